//! What scenes are made of.

use std::collections::{BTreeMap, HashMap};

use longwire::{
    config::Intent,
    tunnel::Traffic,
    websocket::{Opcode, Role},
};
use serde_json::Value;
use tokio::sync::mpsc::UnboundedReceiver;

use crate::support::{Backend, Frame, Log, Operator, Proxy, Raw, frame, in_slow_motion, switching};

/// A proxy whose tunnels all end, and what is known of those that have.
pub(super) struct Day {
    pub(super) proxy: Proxy,
    pub(super) log: Log,
    pub(super) operator: Operator,
    /// By the paths that lead there.
    pub(super) pools: HashMap<&'static str, Vec<Played>>,
    /// By the numbers of the tunnels.
    pub(super) ends: BTreeMap<u64, End>,
}

/// A backend that the test plays.
pub(super) struct Played {
    pub(super) backend: Backend,
    arrivals: UnboundedReceiver<Raw>,
}

/// A tunnel that is open.
pub(super) struct Tunnel {
    pub(super) client: Raw,
    pub(super) backend: Raw,
    pub(super) passed: Passed,
}

/// What has passed through a tunnel.
#[derive(Debug, Clone, Copy)]
pub(super) struct Passed {
    /// The tunnel's number.
    pub(super) id: u64,
    pub(super) client: Traffic,
    pub(super) backend: Traffic,
}

/// How a tunnel has ended.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct End {
    pub(super) by: String,
    pub(super) cause: String,
    pub(super) code: Option<u64>,
    pub(super) client: Traffic,
    pub(super) backend: Traffic,
}

impl Day {
    pub(super) async fn begin() -> Self {
        in_slow_motion();
        let mut pools = HashMap::new();
        for (path, backends) in [("/", 1), ("/drained", 1), ("/sick", 1), ("/uneven", 2)] {
            let mut played = Vec::new();
            for _ in 0..backends {
                let (backend, arrivals) = Backend::played().await;
                played.push(Played { backend, arrivals });
            }
            pools.insert(path, played);
        }
        let log = Log::begin();
        let removed = "[[route]]\npath = \"/removed\"\npool = \"main\"";
        let proxy = Proxy::with_config(&configuration(&pools, removed)).await;
        Self {
            operator: Operator::of(&proxy),
            proxy,
            log,
            pools,
            ends: BTreeMap::new(),
        }
    }

    /// A tunnel by that path, with three messages behind it.
    pub(super) async fn opens(&mut self, path: &'static str) -> Tunnel {
        let mut client = self.proxy.raw().await;
        client.ask_for_websocket(path).await;
        let pool = if self.pools.contains_key(path) {
            path
        } else {
            "/"
        };
        let arrivals = &mut self.pools.get_mut(pool).unwrap()[0].arrivals;
        let mut backend = asked(arrivals).await;
        backend.send(switching(&[])).await;
        client.head().await;
        let newest = self
            .operator
            .get("tunnels?sort=id&descending=true&limit=1")
            .await;
        let mut tunnel = Tunnel {
            client,
            backend,
            passed: Passed {
                id: newest["tunnels"][0]["id"].as_u64().unwrap(),
                client: Traffic::default(),
                backend: Traffic::default(),
            },
        };
        tunnel.client_says("hello").await;
        tunnel.backend_says("welcome").await;
        tunnel.client_says("thank you").await;
        self.reads(tunnel.passed).await;
        tunnel
    }

    /// That has passed, as is said at the door.
    pub(super) async fn reads(&self, passed: Passed) {
        let reading = self.reading(passed.id).await;
        assert_eq!(
            (reading.client, reading.backend),
            (passed.client, passed.backend)
        );
    }

    pub(super) async fn reading(&self, id: u64) -> Passed {
        let tunnel = self.operator.get(&format!("tunnels/{id}")).await;
        Passed {
            id,
            client: traffic(&tunnel, "client"),
            backend: traffic(&tunnel, "backend"),
        }
    }

    pub(super) async fn ends(
        &mut self,
        tunnel: Tunnel,
        by: &'static str,
        cause: &'static str,
        code: Option<u16>,
    ) {
        let passed = tunnel.passed;
        drop(tunnel);
        self.is_over(passed, by, cause, code).await;
    }

    pub(super) async fn is_over(
        &mut self,
        passed: Passed,
        by: &'static str,
        cause: &'static str,
        code: Option<u16>,
    ) {
        self.proxy.registry.emptied().await;
        self.notes(passed, by, cause, code);
    }

    pub(super) fn notes(&mut self, passed: Passed, by: &str, cause: &str, code: Option<u16>) {
        let end = End {
            by: by.to_owned(),
            cause: cause.to_owned(),
            code: code.map(u64::from),
            client: passed.client,
            backend: passed.backend,
        };
        assert!(self.ends.insert(passed.id, end).is_none());
    }

    pub(super) fn intend(&self, pool: &str, backend: usize, intent: Intent) {
        let pools = self.proxy.control.pools();
        let pool = pools.iter().find(|own| own.name() == pool).unwrap();
        pool.intend(&pool.backends()[backend], intent);
    }
}

impl Tunnel {
    pub(super) async fn client_says(&mut self, text: &str) {
        let said = frame(0x81, text.as_bytes(), Role::Client);
        self.client.send(&said).await;
        self.backend.frame().await.expect("a message");
        self.passed.client.bytes += said.len() as u64;
        self.passed.client.messages += 1;
    }

    pub(super) async fn backend_says(&mut self, text: &str) {
        let said = frame(0x81, text.as_bytes(), Role::Server);
        self.backend.send(&said).await;
        self.client.frame().await.expect("a message");
        self.passed.backend.bytes += said.len() as u64;
        self.passed.backend.messages += 1;
    }

    pub(super) async fn client_says_close(&mut self, code: Option<u16>) {
        let said = close(code, Role::Client);
        self.client.send(&said).await;
        assert_eq!(code_of(self.backend.frame().await), code);
        self.passed.client.bytes += said.len() as u64;
    }

    pub(super) async fn backend_says_close(&mut self, code: Option<u16>) {
        let said = close(code, Role::Server);
        self.backend.send(&said).await;
        assert_eq!(code_of(self.client.frame().await), code);
        self.passed.backend.bytes += said.len() as u64;
    }
}

/// What is said of one side of a tunnel.
pub(super) fn traffic(said: &Value, side: &str) -> Traffic {
    let number = |what| said[format!("{side}_{what}")].as_u64().unwrap();
    Traffic {
        bytes: number("bytes"),
        messages: number("messages"),
    }
}

/// The whole configuration, with further `routes`.
pub(super) fn configuration(pools: &HashMap<&str, Vec<Played>>, routes: &str) -> String {
    let address = |path: &str, index: usize| pools[path][index].backend.address;
    format!(
        r#"
        [[listener]]
        address = "127.0.0.1:0"

        [timeouts]
        tunnel_idle = "20s"
        tunnel_lifetime = "60s"
        tunnel_lifetime_jitter = 0
        stall = "5s"

        [keepalive]
        interval = "off"
        [reload]
        removed = "drain"

        [[route]]
        pool = "main"
        [[route]]
        path = "/pinged"
        pool = "main"
        keepalive = {{ interval = "2s", timeout = "2s" }}
        [[route]]
        path = "/drained"
        pool = "drained"
        [[route]]
        path = "/sick"
        pool = "sick"
        [[route]]
        path = "/uneven"
        pool = "uneven"
        {routes}

        [pool.main]
        backends = ["{}"]
        ejection = "off"
        drain.over = "1s"
        [pool.drained]
        backends = ["{}"]
        drain.over = "1s"
        [pool.sick]
        backends = ["{}"]
        health = {{ check = "tcp", interval = "1s", falls = 1, on_down = "drain" }}
        drain.over = "1s"
        [pool.uneven]
        backends = ["{}", {{ address = "{}", state = "maintenance" }}]
        rebalance = {{ rate = 50, min_age = "1s" }}
        slow_start = "off"
        "#,
        address("/", 0),
        address("/drained", 0),
        address("/sick", 0),
        address("/uneven", 0),
        address("/uneven", 1),
    )
}

/// The next one who asks for something: checks do not.
async fn asked(arrivals: &mut UnboundedReceiver<Raw>) -> Raw {
    loop {
        let mut backend = arrivals.recv().await.unwrap();
        if backend.next_head().await.is_some() {
            return backend;
        }
    }
}

pub(super) fn close(code: Option<u16>, sender: Role) -> Vec<u8> {
    let payload = code.map(u16::to_be_bytes);
    frame(0x88, payload.as_ref().map_or(&[], |code| &code[..]), sender)
}

/// The code of what was heard, which is a Close.
pub(super) fn code_of(heard: Option<Frame>) -> Option<u16> {
    let heard = heard.expect("a Close");
    assert_eq!(heard.header.opcode, Opcode::Close);
    heard.close().map(|(code, _)| code.0)
}
