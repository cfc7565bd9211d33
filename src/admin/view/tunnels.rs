//! The live tunnels: those that are meant, sorted, a page at a time.

use std::{cmp::Ordering, time::Duration};

use super::rounded;
use crate::{
    admin::api::{Page, Query, Sort, Tunnel},
    tunnel::registry::{Description, Handle, Reading, Registry},
};

/// The most that a page holds.
const MOST: usize = 1_000;

/// What it holds where nothing else is wanted.
const USUAL: usize = 100;

/// The tunnels that `query` asks for.
pub(in crate::admin) fn page(registry: &Registry, query: &Query) -> Page {
    let mut tunnels: Vec<_> = all(registry).filter(|tunnel| query.means(tunnel)).collect();
    tunnels.sort_by(|one, other| {
        let order = query.sort.compare(one, other);
        let order = if query.descending {
            order.reverse()
        } else {
            order
        };
        order.then_with(|| one.id.cmp(&other.id))
    });
    let limit = query.limit.unwrap_or(USUAL).min(MOST);
    Page {
        total: tunnels.len(),
        tunnels: tunnels.into_iter().skip(query.offset).take(limit).collect(),
    }
}

/// The tunnel with that number.
pub(in crate::admin) fn tunnel(registry: &Registry, id: u64) -> Option<Tunnel> {
    let handle = registry.find(id)?;
    Some(described(&handle, handle.describe()?))
}

fn all(registry: &Registry) -> impl Iterator<Item = Tunnel> {
    let handles = registry.served_by(|_| true).into_iter();
    handles.filter_map(|handle| Some(described(&handle, handle.describe()?)))
}

fn described(handle: &Handle, description: Description) -> Tunnel {
    let (client, backend) = (handle.client(), handle.backend());
    let seconds = |round_trip: Option<Duration>| round_trip.map(|time| time.as_secs_f64());
    let heard = |side: &Reading| side.heard_ago.as_secs_f64();
    Tunnel {
        id: handle.id(),
        client: description.client,
        host: description.host,
        path: description.path,
        route: description.route,
        pool: description.pool,
        backend: description.backend,
        affinity: description.affinity.to_owned(),
        is_closing: handle.is_closing(),
        age_seconds: rounded(description.age),
        client_bytes: client.passed.bytes,
        client_messages: client.passed.messages,
        client_heard_seconds: heard(&client),
        client_round_trip_seconds: seconds(client.round_trip),
        backend_bytes: backend.passed.bytes,
        backend_messages: backend.passed.messages,
        backend_heard_seconds: heard(&backend),
        backend_round_trip_seconds: seconds(backend.round_trip),
    }
}

impl Query {
    fn means(&self, tunnel: &Tunnel) -> bool {
        let is = |wanted: &Option<String>, own: &str| wanted.as_deref().is_none_or(|w| w == own);
        is(&self.route, &tunnel.route)
            && is(&self.pool, &tunnel.pool)
            && is(&self.backend, &tunnel.backend)
            && self.client.is_none_or(|client| client == tunnel.client)
            && self
                .search
                .as_deref()
                .is_none_or(|text| tunnel.mentions(text))
    }
}

impl Tunnel {
    fn mentions(&self, text: &str) -> bool {
        let text = text.to_lowercase();
        let (id, client) = (self.id.to_string(), self.client.to_string());
        let texts = [
            &id,
            &client,
            &self.host,
            &self.path,
            &self.route,
            &self.pool,
            &self.backend,
        ];
        texts.iter().any(|own| own.to_lowercase().contains(&text))
    }

    fn messages(&self) -> u64 {
        self.client_messages + self.backend_messages
    }

    fn bytes(&self) -> u64 {
        self.client_bytes + self.backend_bytes
    }
}

impl Sort {
    fn compare(self, one: &Tunnel, other: &Tunnel) -> Ordering {
        let by = |key: fn(&Tunnel) -> f64| key(one).total_cmp(&key(other));
        match self {
            Self::Id => one.id.cmp(&other.id),
            Self::Age => by(|tunnel| tunnel.age_seconds),
            Self::Client => one.client.cmp(&other.client),
            Self::Route => one.route.cmp(&other.route),
            Self::Backend => one.backend.cmp(&other.backend),
            Self::Messages => one.messages().cmp(&other.messages()),
            Self::Bytes => one.bytes().cmp(&other.bytes()),
            Self::ClientHeard => by(|tunnel| tunnel.client_heard_seconds),
            Self::BackendHeard => by(|tunnel| tunnel.backend_heard_seconds),
            // A side that was never asked comes first.
            Self::ClientRoundTrip => by(|tunnel| tunnel.client_round_trip_seconds.unwrap_or(-1.0)),
            Self::BackendRoundTrip => {
                by(|tunnel| tunnel.backend_round_trip_seconds.unwrap_or(-1.0))
            }
        }
    }
}
