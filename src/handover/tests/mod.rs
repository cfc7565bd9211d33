mod frames;
mod greeting;
mod pressure;
mod rig;
mod wire;
