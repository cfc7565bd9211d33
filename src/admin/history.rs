//! What the last hour was like, in a fixed amount of memory: each second of the last five minutes,
//! and each ten seconds of the last hour.

use std::{
    collections::VecDeque,
    time::{Duration, SystemTime},
};

use super::{
    api::{History, Percentiles, Rates, RoundTrips, Sample},
    view::unix,
};
use crate::{metrics::Snapshot, tunnel::Totals};

/// Seconds that are kept one by one.
const SECONDS: usize = 300;

/// So many of them make one of the longer steps.
const STEP: usize = 10;

/// Longer steps that are kept.
const STEPS: usize = 360;

/// How far back rates look, in seconds.
const RATE: usize = 10;

/// How far back round trips look, in seconds.
const ROUND_TRIPS: usize = 60;

/// All that is counted, at some time.
#[derive(Debug, Clone)]
pub(super) struct Count {
    pub(super) at: SystemTime,
    pub(super) tunnels: usize,
    pub(super) opened: u64,
    pub(super) ended: u64,
    pub(super) requests: u64,
    pub(super) passed: Totals,
}

/// What is kept of a [`Count`] for the time that rates look back.
#[derive(Debug)]
struct Past {
    numbers: Numbers,
    client: Snapshot,
    backend: Snapshot,
}

/// The numbers of a count that only grow.
#[derive(Debug, Clone, Copy)]
struct Numbers {
    opened: u64,
    ended: u64,
    client_messages: u64,
    backend_messages: u64,
    client_bytes: u64,
    backend_bytes: u64,
    requests: u64,
}

/// What the last hour was like.
#[derive(Debug, Default)]
pub(super) struct Record {
    seconds: VecDeque<Sample>,
    steps: VecDeque<Sample>,
    /// Seconds since the last longer step.
    since_step: usize,
    past: VecDeque<Past>,
}

impl Record {
    /// Takes a count, a second after the last one.
    pub(super) fn note(&mut self, count: &Count) {
        let past = Past::of(count);
        let second = self.sample(count, &past, 1);
        keep(&mut self.seconds, SECONDS, second);
        self.since_step += 1;
        if self.since_step == STEP {
            self.since_step = 0;
            let step = self.sample(count, &past, STEP);
            keep(&mut self.steps, STEPS, step);
        }
        if self.past.len() > ROUND_TRIPS {
            self.past.pop_front();
        }
        self.past.push_back(past);
    }

    /// What the last seconds were like, of which the count now is not yet in the past.
    fn sample(&self, count: &Count, now: &Past, seconds: usize) -> Sample {
        let before = self.before(seconds);
        let rates = before.map(|before| now.numbers.since(&before.numbers, seconds));
        let quantile = |side: fn(&Past) -> &Snapshot, q: f64| {
            let before = self.before(seconds.max(RATE))?;
            let seconds = (side(now) - side(before)).quantile(q)? / 1e6;
            Some(seconds)
        };
        let rates = rates.unwrap_or(Numbers::NOTHING);
        Sample {
            at: unix(count.at),
            tunnels: count.tunnels as f64,
            opened: rates.opened,
            ended: rates.ended,
            client_messages: rates.client_messages,
            backend_messages: rates.backend_messages,
            client_bytes: rates.client_bytes,
            backend_bytes: rates.backend_bytes,
            requests: rates.requests,
            client_p50: quantile(|past| &past.client, 0.5),
            client_p99: quantile(|past| &past.client, 0.99),
            backend_p50: quantile(|past| &past.backend, 0.5),
            backend_p99: quantile(|past| &past.backend, 0.99),
        }
    }

    /// What was so many seconds before the one that is about to be noted, or as long as is known.
    fn before(&self, seconds: usize) -> Option<&Past> {
        let at = self.past.len().saturating_sub(seconds);
        self.past.get(at)
    }

    /// What the last second was like.
    pub(super) fn last(&self) -> Sample {
        self.seconds.back().copied().unwrap_or_default()
    }

    /// What the last ten seconds were like.
    pub(super) fn rates(&self) -> Rates {
        let last = self.past.back();
        let at = self.past.len().saturating_sub(RATE + 1);
        let (Some(last), Some(before)) = (last, self.past.get(at)) else {
            return Numbers::NOTHING;
        };
        let seconds = self.past.len() - 1 - at;
        last.numbers.since(&before.numbers, seconds.max(1))
    }

    /// How long pings of the last minute took.
    pub(super) fn round_trips(&self) -> RoundTrips {
        let percentiles = |side: fn(&Past) -> &Snapshot| {
            let recent = side(self.past.back()?) - side(self.past.front()?);
            let seconds = |q| Some(recent.quantile(q)? / 1e6);
            Some(Percentiles {
                p50: seconds(0.5)?,
                p90: seconds(0.9)?,
                p99: seconds(0.99)?,
            })
        };
        RoundTrips {
            client: percentiles(|past| &past.client),
            backend: percentiles(|past| &past.backend),
        }
    }

    /// The last five minutes, second by second, or the last hour.
    pub(super) fn history(&self, span: Span) -> History {
        let (samples, interval) = match span {
            Span::FiveMinutes => (&self.seconds, 1),
            Span::Hour => (&self.steps, STEP as u32),
        };
        let column = |field: fn(&Sample) -> f64| samples.iter().map(field).collect();
        let known = |field: fn(&Sample) -> Option<f64>| samples.iter().map(field).collect();
        History {
            interval_seconds: interval,
            at: column(|sample| sample.at),
            tunnels: column(|sample| sample.tunnels),
            opened: column(|sample| sample.opened),
            ended: column(|sample| sample.ended),
            client_messages: column(|sample| sample.client_messages),
            backend_messages: column(|sample| sample.backend_messages),
            client_bytes: column(|sample| sample.client_bytes),
            backend_bytes: column(|sample| sample.backend_bytes),
            requests: column(|sample| sample.requests),
            client_p50: known(|sample| sample.client_p50),
            client_p99: known(|sample| sample.client_p99),
            backend_p50: known(|sample| sample.backend_p50),
            backend_p99: known(|sample| sample.backend_p99),
        }
    }
}

fn keep(kept: &mut VecDeque<Sample>, most: usize, sample: Sample) {
    if kept.len() == most {
        kept.pop_front();
    }
    kept.push_back(sample);
}

/// How much of the past is wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Span {
    FiveMinutes,
    Hour,
}

impl Past {
    fn of(count: &Count) -> Self {
        let Totals { client, backend } = &count.passed;
        Self {
            numbers: Numbers {
                opened: count.opened,
                ended: count.ended,
                client_messages: client.messages(),
                backend_messages: backend.messages(),
                client_bytes: client.bytes,
                backend_bytes: backend.bytes,
                requests: count.requests,
            },
            client: client.round_trips.clone(),
            backend: backend.round_trips.clone(),
        }
    }
}

impl Numbers {
    const NOTHING: Rates = Rates {
        opened: 0.0,
        ended: 0.0,
        client_messages: 0.0,
        backend_messages: 0.0,
        client_bytes: 0.0,
        backend_bytes: 0.0,
        requests: 0.0,
    };

    /// What has come since `before`, for each of so many seconds.
    fn since(&self, before: &Self, seconds: usize) -> Rates {
        let rate = |number: fn(&Self) -> u64| {
            number(self).saturating_sub(number(before)) as f64 / seconds as f64
        };
        Rates {
            opened: rate(|numbers| numbers.opened),
            ended: rate(|numbers| numbers.ended),
            client_messages: rate(|numbers| numbers.client_messages),
            backend_messages: rate(|numbers| numbers.backend_messages),
            client_bytes: rate(|numbers| numbers.client_bytes),
            backend_bytes: rate(|numbers| numbers.backend_bytes),
            requests: rate(|numbers| numbers.requests),
        }
    }
}

/// How often a count is taken.
pub(super) const INTERVAL: Duration = Duration::from_secs(1);

#[cfg(test)]
mod tests {
    use std::time::UNIX_EPOCH;

    use super::*;

    fn count(second: u64, opened: u64) -> Count {
        Count {
            at: UNIX_EPOCH + Duration::from_secs(second),
            tunnels: opened as usize,
            opened,
            ended: 0,
            requests: 0,
            passed: Totals::default(),
        }
    }

    /// A record of so many seconds, in each of which three tunnels were opened.
    fn record(seconds: u64) -> Record {
        let mut record = Record::default();
        for second in 0..seconds {
            record.note(&count(second, 3 * second));
        }
        record
    }

    #[test]
    fn the_last_five_minutes_are_there_by_the_second_and_the_last_hour_by_ten() {
        let record = record(7_200);
        let minutes = record.history(Span::FiveMinutes);
        assert_eq!((minutes.interval_seconds, minutes.at.len()), (1, SECONDS));
        assert_eq!(minutes.at.last(), Some(&7_199.0));
        let hour = record.history(Span::Hour);
        assert_eq!((hour.interval_seconds, hour.at.len()), (10, STEPS));
        assert_eq!(hour.at[STEPS - 1] - hour.at[0], 3_590.0);
        assert!(hour.opened.iter().all(|rate| *rate == 3.0), "per second");
    }

    #[test]
    fn it_takes_the_same_memory_from_an_hour_on() {
        let [hour, day] = [3_600, 86_400].map(record);
        let held = |record: &Record| (record.seconds.len(), record.steps.len(), record.past.len());
        assert_eq!(held(&hour), held(&day));
    }

    #[test]
    fn rates_are_those_of_the_last_ten_seconds_or_of_what_is_known() {
        assert_eq!(Record::default().rates(), Numbers::NOTHING);
        assert_eq!(record(1).rates().opened, 0.0);
        assert_eq!(record(4).rates().opened, 3.0);
        let mut record = record(100);
        record.note(&count(100, 3 * 99 + 23));
        assert_eq!(record.rates().opened, 5.0);
        assert_eq!(record.last().opened, 23.0);
    }

    #[test]
    fn without_pings_nothing_is_known_of_round_trips() {
        let record = record(100);
        assert_eq!(record.round_trips().client, None);
        assert_eq!(record.last().backend_p50, None);
    }
}
