//! When a check has to be over.

use std::time::Duration;

use tokio::time::{Instant, timeout_at};

use super::failure::Failure;

/// When a check has to be over, whatever it is about.
#[derive(Debug, Clone, Copy)]
pub(super) struct Deadline {
    at: Instant,
    after: Duration,
}

impl Deadline {
    /// So much from now.
    pub(super) fn after(after: Duration) -> Self {
        let at = Instant::now() + after;
        Self { at, after }
    }

    /// What `future` comes to, which is what the check waits for as `awaited`.
    ///
    /// A future that is ready at once is late as well when its time is over: a backend that never
    /// stops to send is not to be waited for any longer than one that is silent.
    pub(super) async fn limit<T, E>(
        self,
        awaited: &'static str,
        future: impl Future<Output = Result<T, E>>,
    ) -> Result<T, Failure>
    where
        Failure: From<E>,
    {
        let late = Failure::TimedOut {
            after: self.after,
            awaited,
        };
        if Instant::now() >= self.at {
            return Err(late);
        }
        match timeout_at(self.at, future).await {
            Ok(result) => Ok(result?),
            Err(_) => Err(late),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{future::ready, io};

    use tokio::time::advance;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn what_is_always_ready_is_late_as_well() {
        let deadline = Deadline::after(Duration::from_secs(2));
        let turn = || deadline.limit("a pong", ready(Ok::<_, io::Error>(())));
        advance(Duration::from_millis(1999)).await;
        assert!(turn().await.is_ok());
        advance(Duration::from_millis(1)).await;
        let late = turn().await.unwrap_err().to_string();
        assert_eq!(late, "timed out after 2s, waiting for a pong");
    }
}
