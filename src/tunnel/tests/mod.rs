//! The rules of the tunnel, as claims that can fail.

mod closings;
mod ends;
mod exchange;
mod life;
mod long;
mod odd_sockets;
mod passing;
mod pressure;
mod rig;
mod sockets;
mod streams;
