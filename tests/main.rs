//! What longwire promises, over real sockets: a module for each behaviour.

mod addresses;
mod affinity;
mod architecture;
mod balance;
mod failures;
mod handshake;
mod headers;
mod plain_http;
mod routes;
mod smuggling;
mod support;
mod tunnels;
