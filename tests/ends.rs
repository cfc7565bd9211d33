//! A day on which tunnels end in every way there is. Of each, the log, the metrics and the operator's
//! door say the same: who has ended it, why, with which code, and what had passed.

mod day;
mod verdict;

use std::time::Duration;

use longwire::{config::Intent, tunnel::Cause, websocket::Role};
use serde_json::json;
use socket2::SockRef;
use tokio::time::{sleep, timeout};

use self::day::{Day, Tunnel, close, code_of, configuration};
use crate::support::{Raw, frame};

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
                self.proxy_closes(tunnel, "removed", 1012).await;
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

fn leave(side: Raw, how: &str) {
    if how == "reset" {
        let socket = SockRef::from(&side.socket);
        socket.set_linger(Some(Duration::ZERO)).unwrap();
    }
    drop(side);
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
