use super::{Proxy, ProxyBuilder, Raw, RawBackend, handshake, in_slow_motion, switching};

/// A raw client and a raw backend, with a proxy between them.
pub(crate) struct Pair {
    pub(crate) client: Raw,
    /// The backend's end of the connection that the client's handshake came over.
    pub(crate) backend: Raw,
    /// The head of the handshake, as the backend got it.
    pub(crate) asked: String,
    /// Where the backend gets further connections.
    pub(crate) listener: RawBackend,
    pub(crate) proxy: Proxy,
}

impl Pair {
    /// The client has asked, with these [changes](handshake); the backend has not answered yet.
    pub(crate) async fn asking(changes: &[(&str, &str)]) -> Self {
        Self::asking_through(|proxy| proxy, handshake("/", changes)).await
    }

    /// The same with exactly these bytes, through a proxy configured in some way.
    pub(crate) async fn asking_through(
        configure: impl FnOnce(ProxyBuilder) -> ProxyBuilder,
        request: impl AsRef<[u8]>,
    ) -> Self {
        in_slow_motion();
        let listener = RawBackend::listen();
        let proxy = Proxy::fronting_addresses([listener.address]);
        let proxy = configure(proxy).start().await;
        let mut client = proxy.raw().await;
        client.send(request).await;
        let mut backend = listener.accept().await;
        let asked = backend.head().await;
        Self {
            client,
            backend,
            asked,
            listener,
            proxy,
        }
    }

    /// The tunnel is open.
    pub(crate) async fn open() -> Self {
        Self::open_through(|proxy| proxy).await
    }

    /// The same, through a proxy configured in some way.
    pub(crate) async fn open_through(configure: impl FnOnce(ProxyBuilder) -> ProxyBuilder) -> Self {
        let mut pair = Self::asking_through(configure, handshake("/", &[])).await;
        pair.backend.send(switching(&[])).await;
        let answer = pair.client.head().await;
        assert!(answer.starts_with("HTTP/1.1 101"), "{answer}");
        pair
    }
}
