//! Numbers as people read them.

use longwire::{admin::api::Percentiles, quote::visible};

/// 1,234,567
pub(crate) fn count(number: impl TryInto<u64>) -> String {
    let digits = number.try_into().unwrap_or_default().to_string();
    let mut text = String::new();
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// 1 tunnel, 1,200 tunnels
pub(crate) fn counted(number: usize, noun: &str) -> String {
    let ending = if number == 1 { "" } else { "s" };
    format!("{} {noun}{ending}", count(number))
}

/// A number of things in a second: to three digits or to the thing.
pub(crate) fn rate(per_second: f64) -> String {
    match per_second {
        few @ ..9.95 => format!("{few:.1}"),
        many => count(many.round() as u64),
    }
}

/// 310 B, 20.5 kB, 1.2 MB
pub(crate) fn bytes(number: f64) -> String {
    const UNITS: [&str; 5] = ["kB", "MB", "GB", "TB", "PB"];
    if number < 999.5 {
        return format!("{number:.0} B");
    }
    let mut rest = number / 1000.0;
    let mut units = UNITS.iter();
    let mut unit = units.next();
    while rest >= 999.5 && units.len() > 0 {
        rest /= 1000.0;
        unit = units.next();
    }
    let unit = unit.unwrap_or(&UNITS[0]);
    match rest {
        ..99.95 => format!("{rest:.1} {unit}"),
        _ => format!("{rest:.0} {unit}"),
    }
}

/// How long something takes or has taken, in its two largest units: 3s, 1m 3s, 2h 5m, 40d 2h.
pub(crate) fn span(seconds: f64) -> String {
    let seconds = seconds.max(0.0).round() as u64;
    let (minutes, hours, days) = (seconds / 60, seconds / 3600, seconds / 86_400);
    match () {
        () if days > 0 => format!("{days}d {}h", hours % 24),
        () if hours > 0 => format!("{hours}h {}m", minutes % 60),
        () if minutes > 0 => format!("{minutes}m {}s", seconds % 60),
        () => format!("{seconds}s"),
    }
}

/// The same in its largest unit: 3s, 1m, 2h, 40d.
pub(crate) fn short_span(seconds: f64) -> String {
    let span = span(seconds);
    span.split(' ').next().unwrap_or_default().to_owned()
}

/// How long ago something was: now, 3s ago.
pub(crate) fn ago(seconds: f64) -> String {
    match span(seconds) {
        now if now == "0s" => "now".to_owned(),
        before => format!("{before} ago"),
    }
}

/// A round trip: 0.4 ms, 31 ms, 1.2 s.
pub(crate) fn round_trip(seconds: f64) -> String {
    match seconds {
        short @ ..0.009_95 => format!("{:.1} ms", short * 1000.0),
        middling @ ..0.9995 => format!("{:.0} ms", middling * 1000.0),
        long => format!("{long:.1} s"),
    }
}

/// Many round trips.
pub(crate) fn round_trips(percentiles: Option<Percentiles>) -> String {
    percentiles.map_or("not measured".to_owned(), |of| {
        let [p50, p90, p99] = [of.p50, of.p90, of.p99].map(round_trip);
        format!("{p50}, {p90}, {p99}")
    })
}

/// What a terminal takes for nothing else than text.
pub(crate) fn plain(text: &str) -> String {
    visible(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_read_at_a_glance() {
        assert_eq!(count(0_u64), "0");
        assert_eq!(count(999_u64), "999");
        assert_eq!(count(1_234_567_u64), "1,234,567");
        assert_eq!(counted(1, "tunnel"), "1 tunnel");
        assert_eq!(counted(1200, "tunnel"), "1,200 tunnels");
        assert_eq!(
            [0.0, 1.54, 9.96, 1250.5].map(rate),
            ["0.0", "1.5", "10", "1,251"]
        );
        let sizes = [0.0, 999.0, 999.6, 20_480.0, 310_000.0, 999_900.0, 1e18];
        let read = [
            "0 B", "999 B", "1.0 kB", "20.5 kB", "310 kB", "1.0 MB", "1000 PB",
        ];
        assert_eq!(sizes.map(bytes), read);
    }

    #[test]
    fn times_are_said_in_their_two_largest_units() {
        let seconds = [0.2, 59.4, 63.0, 3600.0, 7512.0, 86_400.0, 3_463_200.0];
        let read = ["0s", "59s", "1m 3s", "1h 0m", "2h 5m", "1d 0h", "40d 2h"];
        assert_eq!(seconds.map(span), read);
        assert_eq!([0.2, 7512.0].map(ago), ["now", "2h 5m ago"]);
        assert_eq!([0.2, 7512.0].map(short_span), ["0s", "2h"]);
        assert_eq!(
            [0.0004, 0.0311, 1.24].map(round_trip),
            ["0.4 ms", "31 ms", "1.2 s"]
        );
    }

    #[test]
    fn a_terminal_is_not_told_what_to_do_by_those_who_are_shown_on_it() {
        assert_eq!(plain("/a\u{1b}[2J"), r"/a\u{1b}[2J");
    }
}
