//! How many are answered at once.

use std::collections::VecDeque;

use tokio::task::AbortHandle;

/// An answer takes a moment, but for an order's, and those come from one person.
const AT_ONCE: usize = 64;

/// Those who are being answered. Where too many are, the one gives way that has been there for the
/// longest, and that is one who only holds a place: so nobody can keep others out by being slow.
#[derive(Debug, Default)]
pub(super) struct Guests(VecDeque<AbortHandle>);

impl Guests {
    /// Lets `answering` go on by itself, unless it has to give way.
    pub(super) fn welcome(&mut self, answering: impl Future<Output = ()> + Send + 'static) {
        self.0.retain(|guest| !guest.is_finished());
        if self.0.len() == AT_ONCE
            && let Some(longest) = self.0.pop_front()
        {
            longest.abort();
        }
        self.0.push_back(tokio::spawn(answering).abort_handle());
    }
}
