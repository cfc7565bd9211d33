//! How slowly a client may send its request's body.

use std::{
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use tokio::time::{Instant, Sleep, sleep_until};

/// The piece of a body that a client has its time for.
const PIECE: usize = 4 * 1024;

/// Measures how long a client is waited for until it has sent another [`PIECE`] of its body. The time
/// that a backend takes to accept what came does not count.
#[derive(Debug)]
pub(super) struct Pace {
    limit: Duration,
    /// How long this piece was waited for so far, the wait under way left out.
    waited: Duration,
    bytes: usize,
    wait: Option<Wait>,
}

/// A wait under way.
#[derive(Debug)]
struct Wait {
    since: Instant,
    over: Pin<Box<Sleep>>,
}

impl Pace {
    /// A pace at which each piece takes at most `limit`.
    pub(super) fn new(limit: Duration) -> Self {
        Self {
            limit,
            waited: Duration::ZERO,
            bytes: 0,
            wait: None,
        }
    }

    /// So much has come.
    pub(super) fn heard(&mut self, bytes: usize) {
        if let Some(wait) = self.wait.take() {
            self.waited += wait.since.elapsed();
        }
        self.bytes += bytes;
        if self.bytes >= PIECE {
            self.bytes = 0;
            self.waited = Duration::ZERO;
        }
    }

    /// Waits for the client, until it has been waited for too long.
    pub(super) fn poll_over(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let left = self.limit.saturating_sub(self.waited);
        let wait = self.wait.get_or_insert_with(|| {
            let since = Instant::now();
            let over = Box::pin(sleep_until(since + left));
            Wait { since, over }
        });
        wait.over.as_mut().poll(cx)
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;

    use tokio::time::advance;

    use super::*;

    const LIMIT: Duration = Duration::from_secs(60);

    async fn is_over(pace: &mut Pace) -> bool {
        poll_fn(|cx| Poll::Ready(pace.poll_over(cx).is_ready())).await
    }

    #[tokio::test(start_paused = true)]
    async fn drops_that_come_often_do_not_make_a_piece() {
        let mut pace = Pace::new(LIMIT);
        for _ in 0..5 {
            assert!(!is_over(&mut pace).await);
            advance(LIMIT / 5 - Duration::from_millis(2)).await;
            pace.heard(1);
        }
        assert!(!is_over(&mut pace).await);
        advance(Duration::from_millis(20)).await;
        assert!(is_over(&mut pace).await);
    }

    #[tokio::test(start_paused = true)]
    async fn a_long_upload_that_moves_goes_on_and_time_without_a_wait_is_not_the_clients() {
        let mut pace = Pace::new(LIMIT);
        for _ in 0..100 {
            assert!(!is_over(&mut pace).await);
            advance(LIMIT - Duration::from_secs(1)).await;
            pace.heard(PIECE);
            advance(10 * LIMIT).await;
        }
        assert!(!is_over(&mut pace).await);
    }
}
