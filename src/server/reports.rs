//! Has tunnels that live long leave a line now and then.

use std::{sync::Arc, time::Duration};

use tokio::time::interval;
use tracing::info;

use super::TICK;
use crate::{
    proxy::access::TARGET,
    tunnel::registry::{Handle, Registry},
};

/// Reports each open tunnel whenever it has been open for that long again.
pub(super) async fn reporting(registry: Arc<Registry>, every: Duration) {
    let mut ticks = interval(TICK);
    let mut before = ticks.tick().await;
    loop {
        let now = ticks.tick().await;
        for tunnel in registry.served_by(|_| true) {
            if is_due(tunnel.age(), now - before, every) {
                report(&tunnel);
            }
        }
        before = now;
    }
}

/// Whether a multiple of `every` has passed since a tunnel of that `age` opened, in the last time.
fn is_due(age: Duration, last: Duration, every: Duration) -> bool {
    let times = |age: Duration| age.as_secs() / every.as_secs().max(1);
    times(age) > times(age.saturating_sub(last))
}

/// The event of a tunnel that is still open.
fn report(tunnel: &Handle) {
    let Some(about) = tunnel.describe() else {
        return;
    };
    let (client, backend) = (tunnel.client(), tunnel.backend());
    info!(
        target: TARGET,
        tunnel = tunnel.id(),
        client = %about.client,
        host = about.host,
        path = about.path,
        duration_seconds = about.age.as_secs_f64(),
        client_bytes = client.passed.bytes,
        client_messages = client.passed.messages,
        client_round_trip_seconds = client.round_trip.map(|time| time.as_secs_f64()),
        backend_bytes = backend.passed.bytes,
        backend_messages = backend.passed.messages,
        backend_round_trip_seconds = backend.round_trip.map(|time| time.as_secs_f64()),
        route = about.route,
        pool = about.pool,
        backend = about.backend,
        affinity = about.affinity,
        "tunnel open"
    );
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn seconds(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    #[test]
    fn a_tunnel_is_due_once_in_each_interval_though_a_tick_may_come_late() {
        let minute = seconds(60);
        let due = |age: u64, last: u64| is_due(seconds(age), seconds(last), minute);
        let dues: Vec<_> = (0..200).filter(|age| due(*age, 1)).collect();
        assert_eq!(dues, [60, 120, 180]);
        assert!(due(62, 3) && !due(62, 2));
    }
}
