//! longwire at work: `cargo run --release --example demo`, then open the address that it prints.
//!
//! Three chat backends run in this process, with longwire in front of them. The page shows which
//! backend serves the browser, and has buttons that let a backend crash and come back.

mod backend;
mod bus;
mod certificate;
mod page;
mod terminal;

use std::{
    net::{Ipv4Addr, SocketAddr, TcpListener},
    path::Path,
    sync::Arc,
};

use anyhow::Context;
use clap::Parser;
use longwire::{
    config::Config,
    server::{Placement, Server},
};
use tempfile::TempDir;
use tokio::signal::ctrl_c;

use self::{backend::Backend, bus::Bus, page::Page};

/// longwire in front of three chat backends, with a page to watch it by.
#[derive(Parser)]
struct Arguments {
    /// The port to serve http on, or the next one that is free.
    #[arg(long, default_value_t = 8080)]
    port: u16,
    /// The port to serve https on, or the next one that is free.
    #[arg(long, default_value_t = 8443)]
    tls_port: u16,
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let arguments = Arguments::parse();
    terminal::log_to_stderr();

    let backends = chat_backends().await?;
    let plain = free_address(arguments.port, None)?;
    let tls = free_address(arguments.tls_port, Some(plain))?;
    let page = Page::bind(backends.clone()).await?;
    let text = configuration(plain, tls, page.address(), &backends);

    let files = TempDir::new().context("cannot make a temporary directory")?;
    certificate::write_to(files.path())?;
    write_secret_to(files.path())?;
    let config = Config::parse(&text, "the demo's configuration", files.path())?;
    let server = Server::bind(&config, Placement::Threads)?;

    tokio::spawn(page.serve(text));
    terminal::welcome(plain, tls, &backends);
    let stopped = server.run(interrupted(), interrupted()).await;
    terminal::farewell(stopped);
    Ok(())
}

/// Three backends, started, with one room between them.
async fn chat_backends() -> anyhow::Result<Arc<[Arc<Backend>]>> {
    let bus = Bus::new();
    let mut backends = Vec::new();
    for number in 1..=3 {
        let backend = Backend::new(format!("backend {number}"), &bus).await;
        backends.push(Arc::new(backend.context("cannot start a backend")?));
    }
    Ok(backends.into())
}

/// What a user would write into proxy.toml.
fn configuration(
    plain: SocketAddr,
    tls: SocketAddr,
    page: SocketAddr,
    backends: &[Arc<Backend>],
) -> String {
    let chat: Vec<_> = backends.iter().map(|b| b.address().to_string()).collect();
    format!(
        r#"[[listener]]
address = "{plain}"

[[listener]]
address = "{tls}"
tls.certificates = [{{ chain = "localhost.pem", key = "localhost.key" }}]

[[route]]
path = "/chat"
pool = "chat"

[[route]]
path = "/"
pool = "page"

[pool.chat]
backends = {chat:?}
balance = "least-tunnels"

[pool.chat.affinity]
by = "cookie"
name = "longwire-demo"
secret_file = "affinity.secret"
# Cookies belong to a host, not to a port: http and https share this one here. Not every browser
# lets http replace or even send a cookie that https has marked as secure.
secure = false

[pool.page]
backends = ["{page}"]

# Short, to be seen at work.
[keepalive]
interval = "5s"
timeout = "5s"

[stop]
over = "1s"
deadline = "5s"
"#
    )
}

/// The loopback address with that port, or with the next that nobody listens on.
fn free_address(port: u16, taken: Option<SocketAddr>) -> anyhow::Result<SocketAddr> {
    let addresses = (port..=u16::MAX).map(|port| SocketAddr::from((Ipv4Addr::LOCALHOST, port)));
    addresses
        .filter(|address| Some(*address) != taken)
        .find(|address| TcpListener::bind(address).is_ok())
        .with_context(|| format!("no port from {port} on is free"))
}

/// A new secret for every run: the backends' addresses change as well.
fn write_secret_to(directory: &Path) -> anyhow::Result<()> {
    let secret = format!("{:032x}", rand::random::<u128>());
    std::fs::write(directory.join("affinity.secret"), secret).context("cannot write the secret")
}

/// Ready with the next ctrl-c from when it is first waited for.
async fn interrupted() {
    ctrl_c().await.expect("a signal can be listened for");
}
