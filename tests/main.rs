//! What longwire promises, over real sockets: a module for each behaviour.

mod affinity;
mod architecture;
mod failures;
mod headers;
mod plain_http;
mod routes;
mod smuggling;
mod support;
