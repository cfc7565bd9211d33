//! Names of backends, resolved beside the connections that need them.
//!
//! A name is looked up once however many wait for it, by a few threads at the most, and its answer
//! is kept: while it is in use it is looked up anew in the background, and where that fails the old
//! one goes on to be used.

use std::{
    collections::{HashMap, VecDeque},
    fmt, io,
    net::{Ipv4Addr, Ipv6Addr, SocketAddr, ToSocketAddrs},
    sync::{Arc, Mutex, MutexGuard, OnceLock},
    thread,
    time::{Duration, Instant},
};

use tokio::sync::watch;
use tracing::{info, warn};

/// As long as an answer is used without a further look.
const FRESH: Duration = Duration::from_secs(10);

/// As long as an answer is used while a look is taken in the background. Beyond that nobody knows
/// who lives there now.
const USABLE: Duration = Duration::from_secs(300);

/// As long as nobody asks again for a name that could not be resolved, or led nowhere.
const PAUSE: Duration = Duration::from_secs(1);

/// As long as a name is kept that nobody asks for.
const REMEMBERED: Duration = Duration::from_secs(3_600);

/// As many lookups as are under way at once.
const MAX_THREADS: usize = 4;

/// What looks a name up; it may block.
type LookUp = dyn Fn(&str) -> io::Result<Vec<SocketAddr>> + Send + Sync;

/// Names and their addresses.
pub(super) struct Resolver {
    shared: Arc<Shared>,
}

struct Shared {
    look_up: Box<LookUp>,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    names: HashMap<Arc<str>, Name>,
    waiting: VecDeque<Arc<str>>,
    threads: usize,
}

/// What is known of a name.
struct Name {
    addresses: Arc<[SocketAddr]>,
    /// When they were found; `None` if they never were.
    found: Option<Instant>,
    /// When a lookup ended last, and why it failed if it did.
    tried: Option<Instant>,
    failure: Option<Failure>,
    is_looked_up: bool,
    asked: Instant,
    /// Sent to at the end of each lookup.
    done: watch::Sender<()>,
}

/// Why a lookup has failed; errors of the system cannot be cloned.
#[derive(Clone)]
struct Failure {
    kind: io::ErrorKind,
    text: Arc<str>,
}

/// What a connection goes by.
enum Known {
    Addresses(Arc<[SocketAddr]>),
    Failed(Failure),
    /// Not before a lookup is done.
    Wait(watch::Receiver<()>),
}

impl Resolver {
    /// The process's own: the system's resolver is one too, and an answer outlives a reload.
    pub(super) fn of_process() -> &'static Self {
        static RESOLVER: OnceLock<Resolver> = OnceLock::new();
        RESOLVER.get_or_init(|| Self::new(by_system))
    }

    pub(super) fn new(
        look_up: impl Fn(&str) -> io::Result<Vec<SocketAddr>> + Send + Sync + 'static,
    ) -> Self {
        let shared = Shared {
            look_up: Box::new(look_up),
            state: Mutex::default(),
        };
        Self {
            shared: Arc::new(shared),
        }
    }

    /// The addresses of `host`, in the order in which they are to be tried; at least one.
    ///
    /// # Errors
    /// If it has none, or that cannot be known.
    pub(super) async fn addresses(&self, host: &str) -> io::Result<Arc<[SocketAddr]>> {
        if let Some(own) = without_lookup(host) {
            return Ok(own);
        }
        loop {
            let known = self.shared.lock().known(host, Instant::now());
            match known {
                Known::Addresses(addresses) => {
                    self.shared.start_thread();
                    return Ok(addresses);
                }
                Known::Failed(failure) => return Err(failure.into()),
                Known::Wait(mut done) => {
                    self.shared.start_thread();
                    // An error says that the name was forgotten: then it is asked for anew.
                    let _ = done.changed().await;
                }
            }
        }
    }

    /// None of the addresses of `host` could be connected to: they may be old.
    pub(super) fn doubt(&self, host: &str) {
        self.shared.lock().doubt(host, Instant::now());
        self.shared.start_thread();
    }
}

impl State {
    /// What is known of `host` at `now`; what is not fresh is put in the line.
    fn known(&mut self, host: &str, now: Instant) -> Known {
        if !self.names.contains_key(host) {
            self.names
                .retain(|_, name| name.is_looked_up || now - name.asked < REMEMBERED);
            self.names.insert(host.into(), Name::new(now));
        }
        let Some(name) = self.names.get_mut(host) else {
            unreachable!("it has just been put there");
        };
        name.asked = now;
        let age = name.found.map(|found| now - found);
        let has_paused = name.tried.is_none_or(|tried| now - tried >= PAUSE);
        let is_due = age.is_none_or(|age| age >= FRESH) && has_paused;
        let known = match (age, &name.failure) {
            (Some(age), _) if age < USABLE || !is_due && !name.is_looked_up => {
                Known::Addresses(Arc::clone(&name.addresses))
            }
            (None, Some(failure)) if !has_paused => Known::Failed(failure.clone()),
            _ => Known::Wait(name.done.subscribe()),
        };
        if is_due {
            self.enqueue(host);
        }
        known
    }

    fn doubt(&mut self, host: &str, now: Instant) {
        let tried = self.names.get(host).and_then(|name| name.tried);
        if tried.is_some_and(|tried| now - tried >= PAUSE) {
            self.enqueue(host);
        }
    }

    /// Has a name looked up, once.
    fn enqueue(&mut self, host: &str) {
        if let Some((host, name)) = self.names.get_key_value(host)
            && !name.is_looked_up
        {
            let host = Arc::clone(host);
            self.waiting.push_back(Arc::clone(&host));
            if let Some(name) = self.names.get_mut(&host) {
                name.is_looked_up = true;
            }
        }
    }

    /// The next one to look up; without one the thread that asks ends.
    fn next(&mut self) -> Option<Arc<str>> {
        let next = self.waiting.pop_front();
        if next.is_none() {
            self.threads = self.threads.saturating_sub(1);
        }
        next
    }

    /// There is no thread to look anything up.
    fn give_up(&mut self, error: &io::Error) {
        self.threads -= 1;
        if self.threads == 0 {
            for host in std::mem::take(&mut self.waiting) {
                let failed = io::Error::new(error.kind(), error.to_string());
                self.found(&host, Err(failed), Instant::now());
            }
        }
    }

    /// Takes note of what a lookup has found, and says what is to be logged of it.
    fn found(
        &mut self,
        host: &str,
        found: io::Result<Vec<SocketAddr>>,
        now: Instant,
    ) -> Option<News> {
        let name = self.names.get_mut(host)?;
        name.is_looked_up = false;
        name.tried = Some(now);
        name.done.send_replace(());
        let found = found.and_then(|addresses| match addresses.as_slice() {
            [] => Err(io::Error::new(io::ErrorKind::NotFound, "it has no address")),
            some => Ok(some.into()),
        });
        match found {
            Ok(addresses) => {
                name.addresses = addresses;
                name.found = Some(now);
                let had_failed = name.failure.take().is_some();
                had_failed.then_some(News::Works)
            }
            Err(error) => {
                let failure = Failure::of(&error);
                let is_new = name.failure.replace(failure.clone()).is_none();
                (is_new && name.found.is_some()).then_some(News::Fails(failure))
            }
        }
    }
}

/// What a lookup has changed.
enum News {
    Fails(Failure),
    Works,
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("no holder panics")
    }

    /// Starts a thread for what waits, unless there are enough.
    fn start_thread(self: &Arc<Self>) {
        let mut state = self.lock();
        if state.waiting.is_empty() || state.threads >= MAX_THREADS {
            return;
        }
        state.threads += 1;
        drop(state);
        let shared = Arc::clone(self);
        let thread = thread::Builder::new().name("resolver".to_owned());
        if let Err(error) = thread.spawn(move || shared.work()) {
            self.lock().give_up(&error);
        }
    }

    /// Looks names up until none waits.
    fn work(&self) {
        loop {
            let next = self.lock().next();
            let Some(host) = next else { return };
            let found = (self.look_up)(&host);
            let news = self.lock().found(&host, found, Instant::now());
            match news {
                Some(News::Fails(failure)) => warn!(
                    name = &*host,
                    reason = &*failure.text,
                    "a name cannot be resolved: what it stood for before is used"
                ),
                Some(News::Works) => info!(name = &*host, "a name can be resolved again"),
                None => {}
            }
        }
    }
}

impl Name {
    fn new(now: Instant) -> Self {
        Self {
            addresses: Arc::default(),
            found: None,
            tried: None,
            failure: None,
            is_looked_up: false,
            asked: now,
            done: watch::Sender::default(),
        }
    }
}

impl Failure {
    fn of(error: &io::Error) -> Self {
        Self {
            kind: error.kind(),
            text: error.to_string().into(),
        }
    }
}

impl From<Failure> for io::Error {
    fn from(failure: Failure) -> Self {
        Self::new(failure.kind, failure.text.to_string())
    }
}

impl fmt::Debug for Resolver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Resolver").finish_non_exhaustive()
    }
}

/// The addresses of what is one, and of this machine (RFC 6761, section 6.3).
fn without_lookup(host: &str) -> Option<Arc<[SocketAddr]>> {
    if let Ok(ip) = host.parse() {
        return Some([SocketAddr::new(ip, 0)].into());
    }
    let name = host.strip_suffix('.').unwrap_or(host).to_ascii_lowercase();
    let is_here = name == "localhost" || name.ends_with(".localhost");
    is_here.then(|| {
        let (v6, v4) = (Ipv6Addr::LOCALHOST, Ipv4Addr::LOCALHOST);
        [(v6, 0).into(), (v4, 0).into()].into()
    })
}

fn by_system(host: &str) -> io::Result<Vec<SocketAddr>> {
    let addresses = (host, 0).to_socket_addrs()?;
    Ok(addresses.collect())
}

#[cfg(test)]
mod tests {
    use std::sync::{
        atomic::{AtomicUsize, Ordering::SeqCst},
        mpsc,
    };

    use super::*;

    fn address(last: u8) -> SocketAddr {
        ([192, 0, 2, last], 0).into()
    }

    fn failure() -> io::Error {
        io::Error::other("the servers of names are away")
    }

    /// A state in which the lookup of a name at `now` has come to that.
    fn after(state: &mut State, found: io::Result<Vec<SocketAddr>>, now: Instant) -> Option<News> {
        assert_eq!(state.next().as_deref(), Some("a.test"));
        assert_eq!(state.next().as_deref(), None, "it is looked up once");
        state.found("a.test", found, now)
    }

    fn known(state: &mut State, now: Instant) -> Option<Result<SocketAddr, String>> {
        match state.known("a.test", now) {
            Known::Addresses(addresses) => Some(Ok(addresses[0])),
            Known::Failed(failure) => Some(Err(failure.text.to_string())),
            Known::Wait(_) => None,
        }
    }

    #[test]
    fn an_answer_is_kept_looked_at_again_and_not_believed_for_ever() {
        let mut state = State::default();
        let now = Instant::now();
        assert!(known(&mut state, now).is_none());
        assert!(known(&mut state, now).is_none());
        after(&mut state, Ok(vec![address(1)]), now);
        assert_eq!(known(&mut state, now), Some(Ok(address(1))));
        assert!(state.waiting.is_empty(), "it is fresh");

        let later = now + FRESH;
        assert_eq!(known(&mut state, later), Some(Ok(address(1))));
        assert_eq!(known(&mut state, later), Some(Ok(address(1))));
        after(&mut state, Ok(vec![address(2)]), later);
        assert_eq!(known(&mut state, later), Some(Ok(address(2))));

        assert!(known(&mut state, later + USABLE).is_none(), "it is too old");
    }

    #[test]
    fn the_old_answer_is_used_where_a_lookup_fails_which_is_told_once() {
        let mut state = State::default();
        let now = Instant::now();
        known(&mut state, now);
        after(&mut state, Ok(vec![address(1)]), now);
        let mut told = 0;
        for seconds in [10, 20, 600, 6_000] {
            let then = now + Duration::from_secs(seconds);
            known(&mut state, then);
            let news = after(&mut state, Err(failure()), then);
            told += usize::from(matches!(news, Some(News::Fails(_))));
            assert_eq!(known(&mut state, then), Some(Ok(address(1))));
        }
        assert_eq!(told, 1);
        let then = now + Duration::from_secs(7_000);
        known(&mut state, then);
        let news = after(&mut state, Ok(vec![address(2)]), then);
        assert!(matches!(news, Some(News::Works)));
    }

    #[test]
    fn a_name_that_cannot_be_resolved_is_not_asked_for_again_at_once() {
        let mut state = State::default();
        let now = Instant::now();
        for then in [now, now + PAUSE] {
            assert!(known(&mut state, then).is_none());
            let news = after(&mut state, Err(failure()), then);
            assert!(news.is_none(), "who asked is told");
            let failed = known(&mut state, then).unwrap();
            assert!(failed.unwrap_err().contains("away"));
            assert!(state.waiting.is_empty());
        }
        assert!(known(&mut state, now + 2 * PAUSE).is_none());
        let news = after(&mut state, Ok(Vec::new()), now + 2 * PAUSE);
        assert!(news.is_none());
        let failed = known(&mut state, now + 2 * PAUSE).unwrap();
        assert!(failed.unwrap_err().contains("no address"));
    }

    #[test]
    fn a_name_that_leads_nowhere_is_looked_up_before_its_time() {
        let mut state = State::default();
        let now = Instant::now();
        known(&mut state, now);
        after(&mut state, Ok(vec![address(1)]), now);
        state.doubt("a.test", now);
        assert!(state.waiting.is_empty(), "it has just been found");
        state.doubt("a.test", now + PAUSE);
        after(&mut state, Ok(vec![address(2)]), now + PAUSE);
        assert_eq!(known(&mut state, now + PAUSE), Some(Ok(address(2))));
    }

    #[test]
    fn names_that_nobody_asks_for_are_forgotten() {
        let mut state = State::default();
        let now = Instant::now();
        known(&mut state, now);
        after(&mut state, Ok(vec![address(1)]), now);
        state.known("b.test", now + REMEMBERED);
        assert_eq!(state.names.len(), 1);
    }

    #[tokio::test]
    async fn a_crowd_waits_for_one_lookup_and_few_names_are_looked_up_at_once() {
        let (release, held) = mpsc::channel::<()>();
        let held = Mutex::new(held);
        let lookups = Arc::new(AtomicUsize::new(0));
        let counted = Arc::clone(&lookups);
        let resolver = Resolver::new(move |_| {
            counted.fetch_add(1, SeqCst);
            let _ = held.lock().unwrap().recv();
            Ok(vec![address(1)])
        });
        let names: Vec<_> = (0..20).map(|n| format!("{n}.test")).collect();
        let crowd = names.iter().cycle().take(200);
        let crowd = futures_util::future::join_all(crowd.map(|name| resolver.addresses(name)));
        let releasing = async {
            for _ in &names {
                let threads = resolver.shared.lock().threads;
                assert!(threads <= MAX_THREADS, "{threads}");
                release.send(()).unwrap();
                tokio::task::yield_now().await;
            }
        };
        let (found, ()) = tokio::join!(crowd, releasing);
        assert!(found.into_iter().all(|found| found.is_ok()));
        assert_eq!(lookups.load(SeqCst), 20);
    }

    #[tokio::test]
    async fn an_address_and_this_machine_need_no_lookup() {
        let resolver = Resolver::new(|_| Err(failure()));
        for (host, first) in [
            ("192.0.2.1", "192.0.2.1:0"),
            ("2001:db8::1", "[2001:db8::1]:0"),
            ("localhost", "[::1]:0"),
            ("App.LocalHost.", "[::1]:0"),
        ] {
            let addresses = resolver.addresses(host).await.unwrap();
            assert_eq!(addresses[0].to_string(), first);
        }
        assert!(resolver.addresses("localhost.test").await.is_err());
    }
}
