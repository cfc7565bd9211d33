//! What there is to be seen, in the words of the [API](super::api).

mod pools;
mod status;
mod tunnels;

use std::time::{Duration, SystemTime, UNIX_EPOCH};

pub(super) use self::{
    pools::pools,
    status::{Facts, status},
    tunnels::{page, tunnel},
};

/// Seconds since 1970.
pub(super) fn unix(time: SystemTime) -> f64 {
    let since = time.duration_since(UNIX_EPOCH);
    rounded(since.unwrap_or_default())
}

/// To the millisecond: more is noise.
fn rounded(duration: Duration) -> f64 {
    duration.as_millis() as f64 / 1e3
}
