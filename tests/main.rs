//! What longwire promises, over real sockets: a module for each behaviour.

mod access_log;
mod addresses;
mod affinity;
mod architecture;
mod balance;
mod checks;
mod command_line;
mod drain;
mod ejection;
mod failures;
mod handshake;
mod headers;
mod health;
mod limits;
mod plain_http;
mod rebalance;
mod reconnect;
mod retries;
mod routes;
mod smuggling;
mod stop;
mod storm;
mod support;
mod tls;
mod tunnels;
mod workers;
