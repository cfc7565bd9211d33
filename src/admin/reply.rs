//! The API: what is answered to each question below `/api/v1/`.

use std::fmt;

use http::{Method, StatusCode};
use serde::de::DeserializeOwned;
use tokio::sync::oneshot;

use super::{
    Errand, Order,
    answer::{Answer, Wrong, json, refusal, wrong_method},
    api::{CloseOne, CloseSome, ConfigText, Done, LogLevel, Pools, Query, Rebalance},
    close,
    desk::{Desk, Question, is_look},
    history::Span,
    news, view,
};
use crate::{
    config::{Intent, Log},
    pool::{Pool, backend::Backend},
    server::RebalanceError,
};

impl Desk {
    /// The answer to what is asked.
    pub(super) async fn reply(&self, question: Question<'_>) -> Answer {
        let method = question.method;
        match *question.path {
            ["status"] => look(method, || json(&self.office.observer.status())),
            ["config"] => look(method, || self.config()),
            ["pools"] => look(method, || {
                json(&Pools {
                    pools: self.office.observer.pools(),
                })
            }),
            ["pools", pool] => look(method, || self.pool(pool)),
            ["pools", pool, "rebalance"] => act(method, || self.rebalance(pool, &question)),
            ["pools", pool, "backends", backend, wish] => {
                act(method, || self.intend(pool, backend, wish))
            }
            ["tunnels"] => look(method, || self.tunnels(question.query)),
            ["tunnels", "close"] => act(method, || {
                read(&question, |wish: CloseSome| {
                    close::some(&self.office, &wish)
                })
            }),
            ["tunnels", id] => look(method, || self.tunnel(id)),
            ["tunnels", id, "close"] => act(method, || {
                read(&question, |wish: CloseOne| {
                    close::one(&self.office, id, &wish)
                })
            }),
            ["closings", id] => look(method, || close::progress(&self.office, id)),
            ["history"] => look(method, || self.history(question.query)),
            ["events"] => look(method, || news::stream(&self.office, question.head)),
            ["log"] => self.log(&question).await,
            ["reload"] => self.order(method, Order::Reload).await,
            ["upgrade"] => self.order(method, Order::Upgrade).await,
            _ => refusal(StatusCode::NOT_FOUND, "there is nothing here"),
        }
    }

    fn config(&self) -> Answer {
        json(&ConfigText {
            file: self.office.observer.file(),
            text: self.office.control.source().text.clone(),
        })
    }

    fn pool(&self, name: &str) -> Answer {
        let pools = self.office.observer.pools();
        let pool = pools.iter().find(|pool| pool.name == name);
        pool.map_or_else(|| no_pool(&self.office.control.pools(), name), json)
    }

    fn rebalance(&self, name: &str, question: &Question<'_>) -> Answer {
        read(question, |wish: Rebalance| {
            match self.office.control.rebalance(name, wish.running) {
                Ok(_) => self.pool(name),
                Err(RebalanceError::NoPool) => no_pool(&self.office.control.pools(), name),
                Err(error) => refusal(StatusCode::CONFLICT, error.to_string()),
            }
        })
    }

    /// Has an operator's wish for a backend known.
    fn intend(&self, pool_name: &str, name: &str, wish: &str) -> Answer {
        let intent = match wish {
            "drain" => Intent::Draining,
            "ready" => Intent::Ready,
            "maintenance" => Intent::Maintenance,
            _ => return refusal(StatusCode::NOT_FOUND, "there is nothing here"),
        };
        let pools = self.office.control.pools();
        let Some(pool) = pools.iter().find(|pool| pool.name() == pool_name) else {
            return no_pool(&pools, pool_name);
        };
        let mut backends = pool.backends().iter();
        let Some(backend) = backends.find(|backend| backend.name() == name) else {
            return no_backend(pool, name);
        };
        pool.intend(backend, intent);
        let pools = self.office.observer.pools();
        let own = pools.iter().find(|pool| pool.name == pool_name);
        let own = own.and_then(|pool| pool.backends.iter().find(|backend| backend.name == name));
        own.map_or_else(|| no_backend(pool, name), json)
    }

    fn tunnels(&self, query: &str) -> Answer {
        match serde_urlencoded::from_str::<Query>(query) {
            Ok(query) => json(&view::page(self.office.control.registry(), &query)),
            Err(error) => refusal(StatusCode::BAD_REQUEST, error.to_string()),
        }
    }

    fn tunnel(&self, id: &str) -> Answer {
        let found = id.parse().ok();
        let found = found.and_then(|id| view::tunnel(self.office.control.registry(), id));
        found.map_or_else(|| close::no_tunnel(id), |tunnel| json(&tunnel))
    }

    fn history(&self, query: &str) -> Answer {
        let span = match query {
            "span=300" => Span::FiveMinutes,
            "" | "span=3600" => Span::Hour,
            _ => return refusal(StatusCode::BAD_REQUEST, "expected span=300 or span=3600"),
        };
        json(&self.office.observer.history(span))
    }

    async fn log(&self, question: &Question<'_>) -> Answer {
        match *question.method {
            Method::GET | Method::HEAD => json(&LogLevel {
                level: self.office.observer.log_level(),
            }),
            Method::PUT => match wanted_level(question) {
                Ok(level) => match self.carried(Order::Log(level)).await {
                    Ok(_) => json(&LogLevel {
                        level: self.office.observer.log_level(),
                    }),
                    Err(wrong) => wrong.answer(),
                },
                Err(wrong) => wrong.answer(),
            },
            _ => wrong_method("GET, HEAD, PUT"),
        }
    }

    async fn order(&self, method: &Method, order: Order) -> Answer {
        if *method == Method::POST {
            self.carry(order).await
        } else {
            wrong_method("POST")
        }
    }

    /// Passes an order on, and answers with what came of it.
    async fn carry(&self, order: Order) -> Answer {
        match self.carried(order).await {
            Ok(done) => json(&Done { done }),
            Err(wrong) => wrong.answer(),
        }
    }

    /// Passes an order on, and says what came of it.
    async fn carried(&self, order: Order) -> Result<String, Wrong> {
        let (reply, outcome) = oneshot::channel();
        let sent = self.errands.send(Errand { order, reply }).await;
        let outcome = match sent {
            Ok(()) => outcome.await.ok(),
            Err(_) => None,
        };
        let ended = || {
            let error = "the proxy has ended before it could be done";
            Wrong::new(StatusCode::INTERNAL_SERVER_ERROR, error)
        };
        let outcome = outcome.ok_or_else(ended)?;
        outcome.map_err(|reason| Wrong::new(StatusCode::CONFLICT, reason))
    }
}

/// An answer to whoever only looks.
fn look(method: &Method, answer: impl FnOnce() -> Answer) -> Answer {
    if is_look(method) {
        answer()
    } else {
        wrong_method("GET, HEAD")
    }
}

/// An answer to whoever wants something done.
fn act(method: &Method, answer: impl FnOnce() -> Answer) -> Answer {
    match *method {
        Method::POST => answer(),
        _ => wrong_method("POST"),
    }
}

/// The answer to what a body says.
fn read<T: DeserializeOwned>(question: &Question<'_>, answer: impl FnOnce(T) -> Answer) -> Answer {
    match parsed(question) {
        Ok(wish) => answer(wish),
        Err(wrong) => wrong.answer(),
    }
}

/// What a body says; one without a word says nothing in particular.
fn parsed<T: DeserializeOwned>(question: &Question<'_>) -> Result<T, Wrong> {
    let unexpected = |what: &dyn fmt::Display| {
        let message = format!("the body is not what is expected here: {what}");
        Wrong::request(message)
    };
    match question.body.trim_ascii() {
        b"" => serde_json::from_slice(b"{}"),
        body if body.starts_with(b"{") => serde_json::from_slice(body),
        // The parser would take a list for the fields in their order.
        _ => return Err(unexpected(&"it is no JSON object")),
    }
    .map_err(|error| unexpected(&error))
}

fn wanted_level(question: &Question<'_>) -> Result<String, Wrong> {
    let LogLevel { level } = parsed(question)?;
    let checked = Log::check_level(&level);
    checked.map_err(|error| Wrong::request(error.to_string()))?;
    Ok(level)
}

fn no_pool(pools: &[std::sync::Arc<Pool>], name: &str) -> Answer {
    let names = pools.iter().map(|pool| pool.name());
    refusal(StatusCode::NOT_FOUND, unknown("pool", name, names))
}

fn no_backend(pool: &Pool, name: &str) -> Answer {
    let names = pool.backends().iter().map(|backend| Backend::name(backend));
    let what = format!("backend in {}", pool.name());
    refusal(StatusCode::NOT_FOUND, unknown(&what, name, names))
}

fn unknown<'n>(what: &str, name: &str, known: impl Iterator<Item = &'n str>) -> String {
    let known: Vec<_> = known.collect();
    format!(
        "there is no {what} called `{name}`, but {}",
        known.join(", ")
    )
}
