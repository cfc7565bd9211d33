//! The live tunnels: those that are meant, sorted, a page at a time.

use std::{cmp::Ordering, collections::HashSet, net::IpAddr, rc::Rc, time::Duration};

use super::rounded;
use crate::{
    admin::api::{Page, Query, Sort, Tunnel},
    tunnel::registry::{Description, Handle, Reading, Registry, Sketch},
};

/// The most that a page holds.
const MOST: usize = 1_000;

/// What it holds where nothing else is wanted.
const USUAL: usize = 100;

/// What a tunnel is sorted by.
#[derive(Debug, Clone, PartialEq, PartialOrd)]
enum Key {
    Number(u64),
    Seconds(f64),
    Client(IpAddr),
    /// Many tunnels share one.
    Name(Rc<str>),
}

/// The names that tunnels are sorted by, each kept once.
#[derive(Debug, Default)]
struct Names(HashSet<Rc<str>>);

/// The tunnels that `query` asks for. Only those of the page are described.
pub(in crate::admin) fn page(registry: &Registry, query: &Query) -> Page {
    let search = query.search.as_deref().map(str::to_lowercase);
    let mut names = Names::default();
    let mut found: Vec<_> = registry
        .served_by(|_| true)
        .into_iter()
        .filter_map(|handle| {
            let key = handle.look(|sketch| {
                let is_meant = query.means(sketch)
                    && search
                        .as_deref()
                        .is_none_or(|text| mentions(handle.id(), sketch, text));
                is_meant.then(|| query.sort.key(&handle, sketch, &mut names))
            });
            Some((key??, handle))
        })
        .collect();
    found.sort_by(|(one_key, one), (other_key, other)| {
        let order = one_key.partial_cmp(other_key).unwrap_or(Ordering::Equal);
        let order = if query.descending {
            order.reverse()
        } else {
            order
        };
        order.then_with(|| one.id().cmp(&other.id()))
    });
    let limit = query.limit.unwrap_or(USUAL).min(MOST);
    let page = found.iter().skip(query.offset).take(limit);
    Page {
        total: found.len(),
        tunnels: page
            .filter_map(|(_, handle)| Some(described(handle, handle.describe()?)))
            .collect(),
    }
}

/// The tunnel with that number.
pub(in crate::admin) fn tunnel(registry: &Registry, id: u64) -> Option<Tunnel> {
    let handle = registry.find(id)?;
    Some(described(&handle, handle.describe()?))
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

/// Whether `text`, in small letters, is in anything that is told of the tunnel.
fn mentions(id: u64, tunnel: &Sketch<'_>, text: &str) -> bool {
    let own = [
        tunnel.host,
        tunnel.path,
        tunnel.route,
        tunnel.pool,
        tunnel.backend,
    ];
    id.to_string().contains(text)
        || tunnel.client.to_string().contains(text)
        || own.iter().any(|own| own.to_lowercase().contains(text))
}

impl Query {
    /// But for what it searches for.
    fn means(&self, tunnel: &Sketch<'_>) -> bool {
        let is = |wanted: &Option<String>, own: &str| wanted.as_deref().is_none_or(|w| w == own);
        is(&self.route, tunnel.route)
            && is(&self.pool, tunnel.pool)
            && is(&self.backend, tunnel.backend)
            && self.client.is_none_or(|client| client == tunnel.client)
    }
}

impl Sort {
    fn key(self, handle: &Handle, sketch: &Sketch<'_>, names: &mut Names) -> Key {
        let both = |count: fn(&Reading) -> u64| count(&handle.client()) + count(&handle.backend());
        let seconds = |time: Duration| Key::Seconds(time.as_secs_f64());
        // A side that was never asked comes first.
        let round_trip = |side: Reading| {
            let time = side.round_trip;
            Key::Seconds(time.map_or(-1.0, |time| time.as_secs_f64()))
        };
        match self {
            Self::Id => Key::Number(handle.id()),
            Self::Age => Key::Seconds(rounded(sketch.age)),
            Self::Client => Key::Client(sketch.client),
            Self::Route => names.key(sketch.route),
            Self::Backend => names.key(sketch.backend),
            Self::Messages => Key::Number(both(|side| side.passed.messages)),
            Self::Bytes => Key::Number(both(|side| side.passed.bytes)),
            Self::ClientHeard => seconds(handle.client().heard_ago),
            Self::BackendHeard => seconds(handle.backend().heard_ago),
            Self::ClientRoundTrip => round_trip(handle.client()),
            Self::BackendRoundTrip => round_trip(handle.backend()),
        }
    }
}

impl Names {
    fn key(&mut self, name: &str) -> Key {
        if let Some(known) = self.0.get(name) {
            return Key::Name(Rc::clone(known));
        }
        let name: Rc<str> = name.into();
        self.0.insert(Rc::clone(&name));
        Key::Name(name)
    }
}
