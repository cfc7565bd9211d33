use std::sync::Arc;

use longwire::admin::{Desk, Errand, Journal};
use tokio::sync::mpsc;

use super::Proxy;

/// A desk for that proxy, whose orders go there.
pub(crate) fn desk(proxy: &Proxy, errands: mpsc::Sender<Errand>) -> Desk {
    desk_with(proxy, Arc::new(Journal::new()), errands)
}

/// The same with that journal.
pub(super) fn desk_with(
    proxy: &Proxy,
    journal: Arc<Journal>,
    errands: mpsc::Sender<Errand>,
) -> Desk {
    Desk::new(&proxy.control, journal, errands, None, "info".to_owned())
}
