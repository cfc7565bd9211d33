//! The machinery behind the stories: a proxy in this process, backends of every temper, clients.
//!
//! Everything runs on the test's own runtime and on port 0, so a test with a paused clock drives
//! the proxy's time too.

mod backend;
mod client;
mod crowd;
mod desk;
mod door;
mod heir;
mod http;
mod log;
mod moody;
mod moving;
mod operator;
mod pair;
mod process;
mod proxy;
mod raw;
mod raw_backend;
mod scrape;
mod site;
mod terminal;
mod tls;

use std::{
    cell::RefCell,
    sync::{Arc, Weak},
    time::Duration,
};

use tokio::{spawn, task::yield_now, time::sleep};

pub(crate) use self::{
    backend::{Backend, Request, Response, echo_cluster, naming_cluster, say_who},
    client::Client,
    crowd::{Crowd, End, Entrance, FINISHED, Hosts, Newcomers, WINDOW},
    desk::desk,
    door::{FakeDoor, documented},
    heir::{Heir, children},
    http::{Answer, get},
    log::Log,
    moody::{BROKEN, Mood, Moody, OK, accept_of},
    moving::copied,
    operator::{Events, Operator},
    pair::Pair,
    process::{Folder, Process, WRONG},
    proxy::{Proxy, ProxyBuilder, parsed},
    raw::{Frame, Raw, frame, handshake, header, headers, switching},
    raw_backend::{RawBackend, narrow_client},
    scrape::Scrape,
    site::Site,
    tls::{Authority, Certificate, ClientSocket, TlsClient},
};

/// Lets everything else run until `holds` does, as it must before long.
pub(crate) async fn until(mut holds: impl FnMut() -> bool) {
    for _ in 0..10_000_000 {
        if holds() {
            return;
        }
        yield_now().await;
    }
    panic!("what was waited for does not come");
}

/// Waits until nobody has anything left to do, under a paused clock.
pub(crate) async fn all_is_quiet() {
    sleep(Duration::from_millis(100)).await;
}

thread_local! {
    /// Lives as long as the slow motion of this thread's runtime.
    static SLOW_MOTION: RefCell<Weak<()>> = const { RefCell::new(Weak::new()) };
}

/// Lets a paused clock go on in small steps, with a moment of true time at each. It would else leap
/// from deadline to deadline while bytes are still on their way through the system, and deadlines
/// would overtake them.
pub(crate) fn in_slow_motion() {
    if SLOW_MOTION.with_borrow(|running| running.strong_count() > 0) {
        return;
    }
    let running = Arc::new(());
    SLOW_MOTION.set(Arc::downgrade(&running));
    spawn(async move {
        let _running = running;
        loop {
            sleep(Duration::from_millis(5)).await;
            std::thread::sleep(Duration::from_micros(50));
        }
    });
}
