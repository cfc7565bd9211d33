use std::sync::Arc;

use longwire::admin::{Desk, Errand, Journal};
use tokio::sync::mpsc;

use super::Proxy;

/// A desk for that proxy, whose orders go there.
pub(crate) fn desk(proxy: &Proxy, errands: mpsc::Sender<Errand>) -> Desk {
    let journal = Arc::new(Journal::new());
    Desk::new(&proxy.control, journal, errands, None, "info".to_owned())
}
