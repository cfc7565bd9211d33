//! What a TLS stream owes its reader, its peer and its worker, as claims that can fail.

mod ends;
mod forger;
mod handshake;
mod hostile;
mod pair;
mod peers;
mod records;
mod settings;
mod stream;
mod system_calls;
