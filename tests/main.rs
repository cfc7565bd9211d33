//! What longwire promises, over real sockets: a module for each behaviour.

mod affinity;
mod architecture;
mod headers;
mod routes;
mod support;
