mod change;
mod getting_ready;
mod rig;
mod trouble;
mod tunnels;
