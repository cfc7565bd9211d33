//! The smallest program with longwire in it: `cargo run --example embed`, then connect to
//! `ws://127.0.0.1:8080/` with a WebSocket server of yours on port 9001 or 9002.

use std::{future::pending, path::Path};

use longwire::{
    config::Config,
    server::{Placement, Server},
};
use tokio::signal::ctrl_c;

const CONFIG: &str = r#"
[[listener]]
address = "127.0.0.1:8080"

[[route]]
pool = "chat"

[pool.chat]
backends = ["127.0.0.1:9001", "127.0.0.1:9002"]
affinity = "cookie"
"#;

#[tokio::main(flavor = "current_thread")]
async fn main() -> anyhow::Result<()> {
    tracing_subscriber::fmt().init();
    let config = Config::parse(CONFIG, "embedded", Path::new("."))?;
    let server = Server::bind(&config, Placement::Threads)?;
    let stop = async { ctrl_c().await.expect("a signal can be listened for") };
    let stopped = server.run(stop, pending()).await;
    println!("stopped, {} tunnels were cut", stopped.cut_tunnels);
    Ok(())
}
