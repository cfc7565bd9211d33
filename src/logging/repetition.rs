//! A warning that is repeated again and again is left out after a few times, and summed up: whoever
//! makes a proxy complain, be it a broken backend or a hostile client, is not to fill its disk.

use std::{
    collections::HashMap,
    fmt::{self, Write},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::time::{Instant, interval};
use tracing::{
    Event, Level, Metadata, Subscriber, callsite,
    field::{Field, Visit},
    warn,
};
use tracing_subscriber::layer::{Context, Filter};

/// So many of the same warning are let through in each [`WINDOW`].
const LET_THROUGH: u32 = 10;

const WINDOW: Duration = Duration::from_secs(10);

/// The target of what sums up.
const TARGET: &str = "longwire::repetition";

/// What tells one warning from another: where it comes from, and what it is about.
type Key = (callsite::Identifier, String);

/// What was logged of late. Its clones are one.
#[derive(Debug, Clone, Default)]
pub(super) struct Repetition(Arc<Mutex<HashMap<Key, Repeated>>>);

/// A warning that was logged of late.
#[derive(Debug)]
struct Repeated {
    /// When it was logged first.
    since: Instant,
    times: u32,
    message: String,
}

impl Repetition {
    /// Says after each [`WINDOW`] what was left out in it.
    pub(super) async fn sum_up(self) {
        let mut windows = interval(WINDOW / 2);
        loop {
            windows.tick().await;
            for (about, message, times) in self.over(Instant::now()) {
                warn!(target: TARGET, times, about, "repeated, and left out here: {message}");
            }
        }
    }

    /// Whether a warning is to be logged at `now`.
    fn lets_through(&self, event: &Event<'_>, now: Instant) -> bool {
        let mut words = Words::default();
        event.record(&mut words);
        let key = (event.metadata().callsite(), words.about);
        let mut all = self.locked();
        let repeated = all.entry(key).or_insert_with(|| Repeated {
            since: now,
            times: 0,
            message: words.message,
        });
        repeated.times = repeated.times.saturating_add(1);
        repeated.times <= LET_THROUGH
    }

    /// What was left out of those whose window is over, what that was about, and how often.
    fn over(&self, now: Instant) -> Vec<(String, String, u32)> {
        let mut left_out = Vec::new();
        self.locked().retain(|(_, about), repeated| {
            let is_over = now >= repeated.since + WINDOW;
            if is_over && repeated.times > LET_THROUGH {
                let message = std::mem::take(&mut repeated.message);
                left_out.push((about.clone(), message, repeated.times - LET_THROUGH));
            }
            !is_over
        });
        left_out
    }

    fn locked(&self) -> MutexGuard<'_, HashMap<Key, Repeated>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<S: Subscriber> Filter<S> for Repetition {
    fn enabled(&self, _: &Metadata<'_>, _: &Context<'_, S>) -> bool {
        true
    }

    fn event_enabled(&self, event: &Event<'_>, _: &Context<'_, S>) -> bool {
        let metadata = event.metadata();
        *metadata.level() > Level::WARN
            // What sums up is not left out itself.
            || metadata.target() == TARGET
            || self.lets_through(event, Instant::now())
    }
}

/// What a warning says, and what it is about.
#[derive(Debug, Default)]
struct Words {
    message: String,
    about: String,
}

impl Visit for Words {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        match field.name() {
            "message" => self.message = format!("{value:?}"),
            // Of these there are as many as are configured; clients are not told apart.
            "pool" | "backend" | "listener" => {
                // A String takes everything.
                let gap = if self.about.is_empty() { "" } else { " " };
                let _ = write!(self.about, "{gap}{}={value:?}", field.name());
            }
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{io, pin::pin};

    use futures_util::poll;
    use tokio::time::advance;
    use tracing::{info, subscriber::with_default};
    use tracing_subscriber::{Layer, fmt::MakeWriter, layer::SubscriberExt, registry};

    use super::*;

    #[derive(Debug, Clone, Default)]
    struct Page(Arc<Mutex<Vec<u8>>>);

    impl io::Write for Page {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().write(bytes)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    impl<'a> MakeWriter<'a> for Page {
        type Writer = Self;

        fn make_writer(&'a self) -> Self {
            self.clone()
        }
    }

    /// The lines that are logged meanwhile.
    fn lines(repetition: &Repetition, log: impl FnOnce()) -> usize {
        let page = Page::default();
        let layer = tracing_subscriber::fmt::layer()
            .with_writer(page.clone())
            .with_filter(repetition.clone());
        with_default(registry().with(layer), log);
        let page = page.0.lock().unwrap();
        page.iter().filter(|byte| **byte == b'\n').count()
    }

    fn complain(backend: &str, times: usize) {
        for client in 0..times {
            warn!(backend, client, "a request failed");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_warning_that_is_repeated_is_left_out_and_summed_up() {
        let repetition = Repetition::default();
        assert_eq!(lines(&repetition, || complain("a", 1_000)), 10);
        assert_eq!(repetition.over(Instant::now()), []);
        advance(WINDOW).await;
        let (about, message) = ("backend=\"a\"".to_owned(), "a request failed".to_owned());
        assert_eq!(repetition.over(Instant::now()), [(about, message, 990)]);
        assert_eq!(lines(&repetition, || complain("a", 5)), 5);
        advance(WINDOW).await;
        assert_eq!(repetition.over(Instant::now()), [], "none was left out");
    }

    #[tokio::test(start_paused = true)]
    async fn one_backends_warnings_do_not_hide_anothers() {
        let repetition = Repetition::default();
        lines(&repetition, || complain("a", 100));
        assert_eq!(lines(&repetition, || complain("b", 3)), 3);
    }

    #[tokio::test(start_paused = true)]
    async fn however_much_is_summed_up_all_of_it_is_told() {
        let page = Page::default();
        let repetition = Repetition::default();
        let layer = tracing_subscriber::fmt::layer()
            .with_writer(page.clone())
            .with_filter(repetition.clone());
        let _logging = tracing::subscriber::set_default(registry().with(layer));
        let backends: Vec<_> = (0..20).map(|number| number.to_string()).collect();
        backends.iter().for_each(|backend| complain(backend, 11));
        let mut summing_up = pin!(repetition.sum_up());
        assert!(poll!(&mut summing_up).is_pending());
        advance(WINDOW).await;
        assert!(poll!(&mut summing_up).is_pending());
        let page = String::from_utf8(page.0.lock().unwrap().clone()).unwrap();
        assert_eq!(page.matches("left out here").count(), 20, "{page}");
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_no_warning_is_always_told() {
        let repetition = Repetition::default();
        let tell = || (0..100).for_each(|number| info!(number, "request"));
        assert_eq!(lines(&repetition, tell), 100);
    }
}
