use std::net::SocketAddr;

use futures_util::{SinkExt, StreamExt};
use http::HeaderMap;
use tokio::net::TcpStream;
use tokio_tungstenite::{
    WebSocketStream, client_async,
    tungstenite::{Message, client::IntoClientRequest, http::HeaderName},
};

/// A well-behaved WebSocket client, its handshake done.
pub(crate) struct Client {
    pub(crate) websocket: WebSocketStream<TcpStream>,
    /// Those of the 101.
    pub(crate) headers: HeaderMap,
}

impl Client {
    pub(crate) async fn connect(address: SocketAddr, path: &str, headers: &[(&str, &str)]) -> Self {
        let mut request = format!("ws://{address}{path}")
            .into_client_request()
            .unwrap();
        for (name, value) in headers {
            let name: HeaderName = name.parse().unwrap();
            request.headers_mut().insert(name, value.parse().unwrap());
        }
        let socket = TcpStream::connect(address).await.unwrap();
        let (websocket, response) = client_async(request, socket).await.unwrap();
        let headers = response.into_parts().0.headers;
        Self { websocket, headers }
    }

    /// Which backend it has.
    pub(crate) fn backend(&self) -> SocketAddr {
        self.headers["x-backend"].to_str().unwrap().parse().unwrap()
    }

    /// The cookie that it was given, as it is sent back.
    pub(crate) fn cookie(&self) -> Option<&str> {
        let cookie = self.headers.get("set-cookie")?.to_str().unwrap();
        cookie.split(';').next()
    }

    pub(crate) async fn send(&mut self, text: &str) {
        self.websocket.send(Message::text(text)).await.unwrap();
    }

    /// The next message: a text, a binary message, a ping, or a Close; `None` is the end.
    pub(crate) async fn next(&mut self) -> Option<Message> {
        self.websocket.next().await.and_then(Result::ok)
    }

    /// The next text.
    pub(crate) async fn text(&mut self) -> String {
        let message = self.next().await.expect("a message");
        message.into_text().expect("a text").to_string()
    }

    /// What comes back of `text`.
    pub(crate) async fn echo(&mut self, text: &str) -> String {
        self.send(text).await;
        self.text().await
    }
}
