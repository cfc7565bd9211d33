use std::{net::SocketAddr, path::Path, sync::Arc};

use longwire::{
    config::Config,
    pool::{Pool, backend::Backend as Member},
    server::{Arrivals, Changes, Control, Exit, Placement, ReloadError, Server, Stopped},
    tunnel::registry::Registry,
};
use tokio::{
    net::{TcpSocket, TcpStream},
    sync::{mpsc::UnboundedReceiver, oneshot},
    task::JoinHandle,
};

use super::{Answer, Backend, Client, Raw, http};

/// A running proxy.
pub(crate) struct Proxy {
    pub(crate) address: SocketAddr,
    /// Every address that it listens on, in the configuration's order.
    pub(crate) addresses: Vec<SocketAddr>,
    pub(crate) pools: Arc<Vec<Arc<Pool>>>,
    pub(crate) registry: Arc<Registry>,
    pub(crate) control: Control,
    pub(crate) arrivals: Arrivals,
    pub(crate) exit: Arc<Exit>,
    stop: Option<oneshot::Sender<()>>,
    abort: Option<oneshot::Sender<()>>,
    running: JoinHandle<Stopped>,
}

/// The configuration of a proxy with one pool, `main`, for every host and path.
pub(crate) struct ProxyBuilder {
    backends: Vec<String>,
    listener: String,
    route: String,
    pool: String,
    rest: String,
}

impl Proxy {
    pub(crate) fn fronting<'b>(backends: impl IntoIterator<Item = &'b Backend>) -> ProxyBuilder {
        Self::fronting_addresses(
            backends
                .into_iter()
                .map(|backend| backend.address.to_string()),
        )
    }

    pub(crate) fn fronting_addresses(
        backends: impl IntoIterator<Item = impl ToString>,
    ) -> ProxyBuilder {
        let quoted = backends.into_iter().map(|b| format!("{:?}", b.to_string()));
        Self::fronting_entries(quoted)
    }

    /// Backends as they are written in the configuration.
    pub(crate) fn fronting_entries(backends: impl IntoIterator<Item = String>) -> ProxyBuilder {
        ProxyBuilder {
            backends: backends.into_iter().collect(),
            listener: String::new(),
            route: String::new(),
            pool: String::new(),
            rest: String::new(),
        }
    }

    /// A proxy with exactly this configuration.
    pub(crate) async fn with_config(text: &str) -> Self {
        let config = parsed(text);
        let server = Server::bind(&config, Placement::Current).unwrap();
        let (stop, stopped) = oneshot::channel::<()>();
        let (abort, aborted) = oneshot::channel::<()>();
        let addresses = server.addresses();
        let (pools, registry) = (server.pools(), server.registry());
        let control = server.control();
        let (arrivals, exit) = (server.arrivals(), server.exit());
        let running = tokio::spawn(server.run(async { stopped.await.unwrap_or(()) }, async {
            aborted.await.unwrap_or(())
        }));
        Self {
            address: addresses[0],
            addresses,
            pools,
            registry,
            control,
            arrivals,
            exit,
            stop: Some(stop),
            abort: Some(abort),
            running,
        }
    }

    /// Has it run with another configuration.
    pub(crate) async fn reload(&self, to: ProxyBuilder) -> Result<Changes, ReloadError> {
        self.reload_as(&to.text()).await
    }

    /// Has it run with exactly this configuration.
    pub(crate) async fn reload_as(&self, text: &str) -> Result<Changes, ReloadError> {
        self.control.reload(parsed(text)).await
    }

    /// The members of its first pool, as they are configured now.
    pub(crate) fn members(&self) -> Vec<Arc<Member>> {
        self.control.pools()[0].backends().to_vec()
    }

    /// A WebSocket client that has been let in.
    pub(crate) async fn connect(&self) -> Client {
        Client::connect(self.address, "/", &[]).await
    }

    /// The same, with an affinity cookie or another header value pair of that kind.
    pub(crate) async fn connect_with_cookie(&self, cookie: &str) -> Client {
        Client::connect(self.address, "/", &[("cookie", cookie)]).await
    }

    /// The same, for a path and with headers.
    pub(crate) async fn connect_to(&self, path: &str, headers: &[(&str, &str)]) -> Client {
        Client::connect(self.address, path, headers).await
    }

    /// A bare connection on which nothing has been said yet.
    pub(crate) async fn raw(&self) -> Raw {
        Raw::new(TcpStream::connect(self.address).await.unwrap())
    }

    /// A tunnel between a bare client and a backend that the test plays.
    pub(crate) async fn open_to(&self, arrivals: &mut UnboundedReceiver<Raw>) -> (Raw, Raw) {
        let mut client = self.raw().await;
        client.ask_for_websocket("/").await;
        let mut backend = arrivals.recv().await.unwrap();
        backend.grant_websocket().await;
        client.head().await;
        (client, backend)
    }

    /// A bare connection from another address of this machine.
    pub(crate) async fn raw_from(&self, source: [u8; 4]) -> Raw {
        let socket = TcpSocket::new_v4().unwrap();
        socket.bind((source, 0).into()).unwrap();
        Raw::new(socket.connect(self.address).await.unwrap())
    }

    /// The whole answer to a GET.
    pub(crate) async fn get(&self, path: &str) -> Answer {
        http::get(self.address, path, &[]).await
    }

    /// The whole answer to a GET with headers.
    pub(crate) async fn get_with(&self, path: &str, headers: &[(&str, &str)]) -> Answer {
        http::get(self.address, path, headers).await
    }

    /// Asks the proxy to stop gracefully; [`stopped`](Self::stopped) waits for it.
    pub(crate) fn stop(&mut self) {
        drop(self.stop.take());
    }

    /// Asks a stopping proxy to stop at once.
    pub(crate) fn abort(&mut self) {
        drop(self.abort.take());
    }

    /// How it has stopped.
    pub(crate) async fn stopped(self) -> Stopped {
        self.running.await.unwrap()
    }
}

impl ProxyBuilder {
    /// Lines for the pool's affinity, as in `"cookie"` or `{ by = "header", name = "x-room" }`.
    pub(crate) fn affinity(self, affinity: &str) -> Self {
        self.pool(&format!("affinity = {affinity}"))
    }

    /// Lines for `[pool.main]`.
    pub(crate) fn pool(mut self, lines: &str) -> Self {
        self.pool += &format!("{lines}\n");
        self
    }

    /// Lines for `[[listener]]`.
    pub(crate) fn listener(mut self, lines: &str) -> Self {
        self.listener += &format!("{lines}\n");
        self
    }

    /// Lines for `[[route]]`.
    pub(crate) fn route(mut self, lines: &str) -> Self {
        self.route += &format!("{lines}\n");
        self
    }

    /// Whole further sections, such as `[timeouts]` with its lines.
    pub(crate) fn config(mut self, sections: &str) -> Self {
        self.rest += &format!("{sections}\n");
        self
    }

    pub(crate) async fn start(self) -> Proxy {
        Proxy::with_config(&self.text()).await
    }

    fn text(&self) -> String {
        format!(
            "[[listener]]\naddress = \"127.0.0.1:0\"\n{}[[route]]\npool = \"main\"\n{}\
             [pool.main]\nbackends = [{}]\n{}{}",
            self.listener,
            self.route,
            self.backends.join(", "),
            self.pool,
            self.rest
        )
    }
}

/// A configuration that is valid.
pub(crate) fn parsed(text: &str) -> Config {
    let config = Config::parse(text, "test", Path::new(env!("CARGO_MANIFEST_DIR")));
    config.unwrap_or_else(|problems| panic!("{problems}"))
}
