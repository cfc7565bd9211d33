//! What longwire promises, over real sockets: a module for each behaviour.

mod affinity;
mod architecture;
mod routes;
mod support;
