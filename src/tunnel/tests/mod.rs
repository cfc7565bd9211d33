//! The rules of the tunnel, as claims that can fail.

mod closings;
mod counts;
mod ends;
mod exchange;
mod life;
mod lifeline;
mod long;
mod moving;
mod moving_in_time;
mod odd_sockets;
mod passing;
mod peer;
mod pressure;
mod rescue;
mod rescue_refused;
mod rescued_streams;
mod rig;
mod sockets;
mod streams;
mod turns;
mod wandering;
