mod frames;
mod greeting;
mod pressure;
mod processes;
mod rig;
mod wire;
