//! What holds of longwire's parsers, whatever bytes they are given. Each claim panics if it does
//! not hold. The fuzz targets look for bytes that make one panic, for as long as they are let; the
//! tests of this package try each for a short time, with a stable toolchain.

mod config;
mod cookie;
mod forwarded;
mod handshake;
mod path;
mod scanner;

pub use config::a_configuration_is_read_or_its_faults_are_named;
pub use cookie::only_a_cookie_that_was_issued_brings_its_bearer_back;
pub use forwarded::only_trusted_proxies_say_who_the_client_is;
pub use handshake::a_handshake_is_granted_only_as_it_was_asked_for;
pub use path::a_path_means_what_servers_make_of_it;
pub use scanner::a_scanner_releases_all_but_our_pongs_at_any_pace;
