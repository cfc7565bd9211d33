//! A day on which tunnels end in every way there is. Of each, the log, the metrics and the operator's
//! door say the same: who has ended it, why, with which code, and what had passed.

use std::{
    collections::{BTreeMap, HashMap},
    time::Duration,
};

use longwire::{
    config::Intent,
    tunnel::{Cause, Traffic},
    websocket::{Opcode, Role},
};
use serde_json::{Value, json};
use socket2::SockRef;
use tokio::{
    sync::mpsc::UnboundedReceiver,
    time::{sleep, timeout},
};

use crate::support::{Backend, Frame, Log, Operator, Proxy, Raw, frame, in_slow_motion, switching};

/// How long a tunnel may be idle.
const IDLE: Duration = Duration::from_secs(20);

#[tokio::test(start_paused = true)]
async fn the_log_the_metrics_and_the_door_agree_on_every_end() {
    let mut day = Day::begin().await;
    let mut next = Some(Cause::Close);
    while let Some(cause) = next {
        next = day.has(cause).await;
    }
    day.is_logged();
    day.is_counted().await;
    day.is_told_at_the_door().await;
}

/// A proxy whose tunnels all end, and what is known of those that have.
struct Day {
    proxy: Proxy,
    log: Log,
    operator: Operator,
    /// By the paths that lead there.
    pools: HashMap<&'static str, Vec<Played>>,
    /// By the numbers of the tunnels.
    ends: BTreeMap<u64, End>,
}

/// A backend that the test plays.
struct Played {
    backend: Backend,
    arrivals: UnboundedReceiver<Raw>,
}

/// A tunnel that is open.
struct Tunnel {
    client: Raw,
    backend: Raw,
    passed: Passed,
}

/// What has passed through a tunnel.
#[derive(Debug, Clone, Copy)]
struct Passed {
    /// The tunnel's number.
    id: u64,
    client: Traffic,
    backend: Traffic,
}

/// How a tunnel has ended.
#[derive(Debug, PartialEq, Eq)]
struct End {
    by: String,
    cause: String,
    code: Option<u64>,
    client: Traffic,
    backend: Traffic,
}

impl Day {
    /// Has tunnels end for that cause, and says which comes next: whoever adds a cause has to say
    /// here how it comes about.
    async fn has(&mut self, cause: Cause) -> Option<Cause> {
        match cause {
            Cause::Close => {
                for code in [Some(1000), Some(1000), Some(1001), Some(4001), None] {
                    self.client_closes(code).await;
                }
                for code in [Some(1000), Some(1011), Some(3999), None] {
                    self.backend_closes(code).await;
                }
                Some(Cause::Eof)
            }
            Cause::Eof => {
                self.client_leaves("eof").await;
                self.backend_leaves("eof").await;
                Some(Cause::Reset)
            }
            Cause::Reset => {
                self.client_leaves("reset").await;
                self.backend_leaves("reset").await;
                Some(Cause::Dead)
            }
            Cause::Dead => {
                self.client_dies().await;
                self.backend_dies().await;
                Some(Cause::Stalled)
            }
            Cause::Stalled => {
                self.client_takes_nothing().await;
                self.backend_takes_nothing().await;
                Some(Cause::Idle)
            }
            Cause::Idle => {
                let tunnel = self.opens("/").await;
                self.proxy_closes(tunnel, "idle", 1001).await;
                Some(Cause::Lifetime)
            }
            Cause::Lifetime => {
                self.tunnel_grows_old().await;
                Some(Cause::Draining)
            }
            Cause::Draining => {
                let tunnel = self.opens("/drained").await;
                self.intend("drained", 0, Intent::Draining);
                self.proxy_closes(tunnel, "drain", 1012).await;
                Some(Cause::Removed)
            }
            Cause::Removed => {
                let tunnel = self.opens("/removed").await;
                let without = configuration(&self.pools, "");
                self.proxy.reload_as(&without).await.unwrap();
                self.proxy_closes(tunnel, "drain", 1012).await;
                Some(Cause::Down)
            }
            Cause::Down => {
                let tunnel = self.opens("/sick").await;
                self.pools["/sick"][0].backend.stop().await;
                self.proxy_closes(tunnel, "down", 1012).await;
                Some(Cause::Rebalance)
            }
            Cause::Rebalance => {
                self.some_are_moved_over().await;
                Some(Cause::Closed)
            }
            Cause::Closed => {
                let tunnel = self.opens("/").await;
                let path = format!("tunnels/{}/close", tunnel.passed.id);
                self.operator.post(&path, &json!({ "code": 4321 })).await;
                self.proxy_closes(tunnel, "closed", 4321).await;
                Some(Cause::Shutdown)
            }
            Cause::Shutdown => {
                self.proxy_stops().await;
                None
            }
        }
    }

    async fn client_closes(&mut self, code: Option<u16>) {
        let mut tunnel = self.opens("/").await;
        tunnel.client_says_close(code).await;
        self.reads(tunnel.passed).await;
        tunnel.backend_says_close(code).await;
        self.ends(tunnel, "client", "close", code).await;
    }

    async fn backend_closes(&mut self, code: Option<u16>) {
        let mut tunnel = self.opens("/").await;
        tunnel.backend_says_close(code).await;
        self.reads(tunnel.passed).await;
        tunnel.client_says_close(code).await;
        self.ends(tunnel, "backend", "close", code).await;
    }

    async fn client_leaves(&mut self, how: &'static str) {
        let Tunnel {
            client,
            mut backend,
            passed,
        } = self.opens("/").await;
        leave(client, how);
        assert_eq!(code_of(backend.frame().await), Some(1001));
        drop(backend);
        self.is_over(passed, "client", how, None).await;
    }

    async fn backend_leaves(&mut self, how: &'static str) {
        let Tunnel {
            mut client,
            backend,
            passed,
        } = self.opens("/").await;
        leave(backend, how);
        assert_eq!(code_of(client.frame().await), Some(1014));
        drop(client);
        self.is_over(passed, "backend", how, None).await;
    }

    async fn client_dies(&mut self) {
        let mut tunnel = self.opens("/pinged").await;
        lives_until_told(&mut tunnel.backend, Role::Server).await;
        self.ends(tunnel, "client", "dead", None).await;
    }

    async fn backend_dies(&mut self) {
        let mut tunnel = self.opens("/pinged").await;
        lives_until_told(&mut tunnel.client, Role::Client).await;
        self.ends(tunnel, "backend", "dead", None).await;
    }

    async fn client_takes_nothing(&mut self) {
        let mut tunnel = self.opens("/").await;
        says_much(&mut tunnel.backend, Role::Server).await;
        tunnel.passed.backend = self.reading(tunnel.passed.id).await.backend;
        assert_eq!(code_of(tunnel.backend.frame().await), Some(1001));
        self.ends(tunnel, "client", "stalled", None).await;
    }

    async fn backend_takes_nothing(&mut self) {
        let mut tunnel = self.opens("/").await;
        says_much(&mut tunnel.client, Role::Client).await;
        tunnel.passed.client = self.reading(tunnel.passed.id).await.client;
        assert_eq!(code_of(tunnel.client.frame().await), Some(1001));
        self.ends(tunnel, "backend", "stalled", None).await;
    }

    async fn tunnel_grows_old(&mut self) {
        let mut tunnel = self.opens("/").await;
        for _ in 0..5 {
            sleep(IDLE / 2).await;
            tunnel.client_says("still here").await;
        }
        self.proxy_closes(tunnel, "lifetime", 1001).await;
    }

    async fn some_are_moved_over(&mut self) {
        let mut tunnels = Vec::new();
        for _ in 0..6 {
            tunnels.push(self.opens("/uneven").await);
        }
        self.intend("uneven", 1, Intent::Ready);
        sleep(Duration::from_secs(3)).await;
        self.proxy.control.rebalance("uneven", false).unwrap();
        let mut moved = 0;
        for mut tunnel in tunnels {
            if tunnel.client.is_silent().await {
                tunnel.client_says_close(Some(1000)).await;
                tunnel.backend_says_close(Some(1000)).await;
                self.notes(tunnel.passed, "client", "close", Some(1000));
            } else {
                moved += 1;
                self.proxy_says_close(tunnel, "rebalance", 1012).await;
            }
        }
        assert!((1..=3).contains(&moved), "{moved}");
        self.proxy.registry.emptied().await;
    }

    async fn proxy_stops(&mut self) {
        let obedient = self.opens("/").await;
        let mut stubborn = self.opens("/").await;
        self.proxy.stop();
        self.proxy_says_close(obedient, "shutdown", 1001).await;
        assert_eq!(code_of(stubborn.client.frame().await), Some(1001));
        self.proxy.abort();
        self.proxy.registry.emptied().await;
        self.notes(stubborn.passed, "proxy", "shutdown", Some(1001));
    }

    async fn proxy_closes(&mut self, tunnel: Tunnel, cause: &'static str, code: u16) {
        self.proxy_says_close(tunnel, cause, code).await;
        self.proxy.registry.emptied().await;
    }

    /// Both sides are told by the proxy that it is over, and answer that: which passes to nobody.
    async fn proxy_says_close(&mut self, mut tunnel: Tunnel, cause: &'static str, code: u16) {
        assert_eq!(code_of(tunnel.client.frame().await), Some(code));
        assert_eq!(code_of(tunnel.backend.frame().await), Some(code));
        self.reads(tunnel.passed).await;
        tunnel.client.send(close(Some(code), Role::Client)).await;
        tunnel.backend.send(close(Some(code), Role::Server)).await;
        self.notes(tunnel.passed, "proxy", cause, Some(code));
    }
}

/// What each scene is made of.
impl Day {
    async fn begin() -> Self {
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
    async fn opens(&mut self, path: &'static str) -> Tunnel {
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
    async fn reads(&self, passed: Passed) {
        let reading = self.reading(passed.id).await;
        assert_eq!(
            (reading.client, reading.backend),
            (passed.client, passed.backend)
        );
    }

    async fn reading(&self, id: u64) -> Passed {
        let tunnel = self.operator.get(&format!("tunnels/{id}")).await;
        Passed {
            id,
            client: traffic(&tunnel, "client"),
            backend: traffic(&tunnel, "backend"),
        }
    }

    async fn ends(
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

    async fn is_over(
        &mut self,
        passed: Passed,
        by: &'static str,
        cause: &'static str,
        code: Option<u16>,
    ) {
        self.proxy.registry.emptied().await;
        self.notes(passed, by, cause, code);
    }

    fn notes(&mut self, passed: Passed, by: &str, cause: &str, code: Option<u16>) {
        let end = End {
            by: by.to_owned(),
            cause: cause.to_owned(),
            code: code.map(u64::from),
            client: passed.client,
            backend: passed.backend,
        };
        assert!(self.ends.insert(passed.id, end).is_none());
    }

    fn intend(&self, pool: &str, backend: usize, intent: Intent) {
        let pools = self.proxy.control.pools();
        let pool = pools.iter().find(|own| own.name() == pool).unwrap();
        pool.intend(&pool.backends()[backend], intent);
    }
}

/// What is known of it in the end.
impl Day {
    fn is_logged(&self) {
        let events = self.log.events("tunnel ended");
        assert_eq!(events.len(), self.ends.len(), "each once");
        let ends = events.iter().map(|event| {
            let id = event["tunnel"].as_u64().unwrap();
            (id, End::logged(event))
        });
        assert_eq!(ends.collect::<BTreeMap<_, _>>(), self.ends);
        assert_eq!(self.log.events("tunnel opened").len(), self.ends.len());
    }

    async fn is_counted(&self) {
        let scrape = self.operator.scrape().await;
        let labels = ["by", "cause", "code"];
        let counted = scrape.by("longwire_tunnels_ended_total", labels);
        let counted = counted
            .into_iter()
            .map(|(labels, count)| (labels.map(str::to_owned), count as u64));
        assert_eq!(counted.collect::<BTreeMap<_, _>>(), self.counts());
        let sum = |name| scrape.sum(name, &[]) as usize;
        assert_eq!(sum("longwire_tunnels_opened_total"), self.ends.len());
        assert_eq!(
            sum("longwire_tunnel_lifetime_seconds_count"),
            self.ends.len()
        );
        assert_eq!(sum("longwire_tunnels"), 0);
        let sides: [(_, fn(&End) -> Traffic); 2] =
            [("client", |end| end.client), ("backend", |end| end.backend)];
        for (side, traffic) in sides {
            let of_side = |name| scrape.sum(name, &[("side", side)]) as u64;
            let all = || self.ends.values().map(traffic);
            let (bytes, messages) = (
                all().map(|traffic| traffic.bytes).sum::<u64>(),
                all().map(|traffic| traffic.messages).sum::<u64>(),
            );
            assert_eq!(of_side("longwire_tunnel_bytes_total"), bytes);
            assert_eq!(of_side("longwire_tunnel_messages_total"), messages);
            assert_eq!(of_side("longwire_peers_dead_total"), 1);
        }
    }

    async fn is_told_at_the_door(&self) {
        let status = self.operator.get("status").await;
        let told = status["ends"].as_array().unwrap().iter().map(|ends| {
            let label = |name: &str| ends[name].as_str().unwrap().to_owned();
            (
                [label("by"), label("cause"), label("code")],
                ends["count"].as_u64().unwrap(),
            )
        });
        let told: Vec<_> = told.collect();
        assert!(told.is_sorted_by(|(_, one), (_, other)| one >= other));
        assert_eq!(told.into_iter().collect::<BTreeMap<_, _>>(), self.counts());
        let all = self.ends.len();
        let tunnels = json!({ "open": 0, "closing": 0, "opened": all, "ended": all });
        assert_eq!(status["tunnels"], tunnels);
        assert_eq!(status["readiness"], "stopping");
    }

    /// How many have ended in which way, by the names that count there.
    fn counts(&self) -> BTreeMap<[String; 3], u64> {
        let mut counts = BTreeMap::new();
        for end in self.ends.values() {
            let code = match end.code {
                None => "none".to_owned(),
                Some(3001..=3999) => "3xxx".to_owned(),
                Some(4000..=4999) => "4xxx".to_owned(),
                Some(code) => code.to_string(),
            };
            let labels = [end.by.clone(), end.cause.clone(), code];
            *counts.entry(labels).or_default() += 1;
        }
        counts
    }
}

impl Tunnel {
    async fn client_says(&mut self, text: &str) {
        let said = frame(0x81, text.as_bytes(), Role::Client);
        self.client.send(&said).await;
        self.backend.frame().await.expect("a message");
        self.passed.client.bytes += said.len() as u64;
        self.passed.client.messages += 1;
    }

    async fn backend_says(&mut self, text: &str) {
        let said = frame(0x81, text.as_bytes(), Role::Server);
        self.backend.send(&said).await;
        self.client.frame().await.expect("a message");
        self.passed.backend.bytes += said.len() as u64;
        self.passed.backend.messages += 1;
    }

    async fn client_says_close(&mut self, code: Option<u16>) {
        let said = close(code, Role::Client);
        self.client.send(&said).await;
        assert_eq!(code_of(self.backend.frame().await), code);
        self.passed.client.bytes += said.len() as u64;
    }

    async fn backend_says_close(&mut self, code: Option<u16>) {
        let said = close(code, Role::Server);
        self.backend.send(&said).await;
        assert_eq!(code_of(self.client.frame().await), code);
        self.passed.backend.bytes += said.len() as u64;
    }
}

impl End {
    fn logged(event: &Value) -> Self {
        let text = |name: &str| event[name].as_str().unwrap().to_owned();
        Self {
            by: text("ended_by"),
            cause: text("cause"),
            code: event["close_code"].as_u64(),
            client: traffic(event, "client"),
            backend: traffic(event, "backend"),
        }
    }
}

/// What is said of one side of a tunnel.
fn traffic(said: &Value, side: &str) -> Traffic {
    let number = |what| said[format!("{side}_{what}")].as_u64().unwrap();
    Traffic {
        bytes: number("bytes"),
        messages: number("messages"),
    }
}

/// The whole configuration, with further `routes`.
fn configuration(pools: &HashMap<&str, Vec<Played>>, routes: &str) -> String {
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

fn leave(side: Raw, how: &str) {
    if how == "reset" {
        let socket = SockRef::from(&side.socket);
        socket.set_linger(Some(Duration::ZERO)).unwrap();
    }
}

/// Answers pings until it is told that the other side is lost.
async fn lives_until_told(side: &mut Raw, role: Role) {
    loop {
        let heard = side.frame().await.expect("a Close");
        if !heard.is_ping() {
            assert_eq!(code_of(Some(heard)), Some(1001));
            return;
        }
        side.send(heard.pong(role)).await;
    }
}

/// Says as much as is taken, and a part of a message more.
async fn says_much(side: &mut Raw, role: Role) {
    let message = frame(0x82, &[7; 100_000], role);
    while timeout(Duration::from_secs(1), side.send(&message))
        .await
        .is_ok()
    {}
}

fn close(code: Option<u16>, sender: Role) -> Vec<u8> {
    let payload = code.map(u16::to_be_bytes);
    frame(0x88, payload.as_ref().map_or(&[], |code| &code[..]), sender)
}

/// The code of what was heard, which is a Close.
fn code_of(heard: Option<Frame>) -> Option<u16> {
    let heard = heard.expect("a Close");
    assert_eq!(heard.header.opcode, Opcode::Close);
    heard.close().map(|(code, _)| code.0)
}
