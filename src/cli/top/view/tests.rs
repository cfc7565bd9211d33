use std::time::{Duration, Instant};

use anyhow::anyhow;
use longwire::admin::api::{History, Pool, Status, Tunnel};
use ratatui::{Terminal, backend::TestBackend};
use serde::de::DeserializeOwned;

use super::*;
use crate::cli::top::{
    feed::{Busy, Moment, Pace},
    state::Wish,
};

#[test]
fn an_ordinary_terminal_shows_all_but_how_tunnels_have_ended() {
    insta::assert_snapshot!(picture(&state(), 80, 24), @r"
    longwire  ready  1,200 tunnels  up 1d 0h  process 4711  0.1.0
    opened 1.5/s  ended 1.4/s  messages 1,561/s  bytes 330 kB/s  requests 12/s
    tunnels 299          messages/s 798      bytes/s 321 kB       round trip 27 ms
              ▁▂▃▃▄▅▆▇█         ▁▁▂▃▄▄▅▆▆▇█  ▇▇▇▇▇▇▇▇▇▇▇▇▇▇▇▇▇▇█  █████████████████
     ▁▂▃▄▄▅▆▇██████████  ▄▅▅▆▇▇████████████  ███████████████████  █████████████████
    pool, backend               state       tunnels share
    chat                                      1,200       rebalancing
     10.0.0.1:9001              ready           600 100 %
     10.0.0.2:9001              down            600  35 % the connection was refused

      tunnel client          path              age  ↓messages     /s    bytes   trip
          17 198.51.100.7    /room/7            1h      1,020     12   100 kB  31 ms











    q leave  Tab pane  s by messages  p pause  ? help
    ");
}

#[test]
fn a_small_terminal_shows_the_most_important() {
    insta::assert_snapshot!(picture(&state(), 40, 12), @r"
    longwire  ready  1,200 tunnels  up 1d 0h
    opened 1.5/s  ended 1.4/s
    tunnels 299          messages/s 798
      ▁▁▂▂▂▃▃▄▄▅▅▅▆▆▇▇█  ▂▂▂▃▃▃▄▄▄▅▅▅▆▆▆▇▇▇█
    pool, backend        state       tunnels
    chat                               1,200
     10.0.0.1:9001       ready           600
     10.0.0.2:9001       down            600



    q leave  Tab pane  s by messages
    ");
}

#[test]
fn a_tiny_terminal_shows_what_it_can() {
    insta::assert_snapshot!(picture(&state(), 10, 3), @r"
    longwire
    pool, ba
    chat
    ");
}

#[test]
fn a_large_terminal_has_room_for_everything() {
    let picture = picture(&state(), 200, 50);
    for part in [
        "up 1d 0h  process 4711  0.1.0",
        "round trip 27 ms",
        "last minutes",
        "checks failed",
        "/room/7",
        "10.0.0.1:9001",
        "ended by cause",
        "client   close",
    ] {
        assert!(picture.contains(part), "no {part:?} in {picture}");
    }
}

#[test]
fn no_size_is_too_small() {
    let mut state = state();
    for wish in [Wish::NextPane, Wish::NextPane, Wish::NextPane, Wish::Help] {
        for width in [0, 1, 2, 3, 5, 9, 17, 20, 41] {
            for height in 0..32 {
                picture(&state, width, height);
            }
        }
        let _ = state.grant(wish);
    }
}

#[test]
fn where_one_pane_alone_has_room_tab_shows_the_others() {
    let mut state = state();
    let mut headings = Vec::new();
    for _ in 0..4 {
        headings.push(
            picture(&state, 40, 8)
                .lines()
                .nth(4)
                .unwrap()
                .trim()
                .to_owned(),
        );
        let _ = state.grant(Wish::NextPane);
    }
    let starts = [
        "pool, backend",
        "tunnel client",
        "ended by",
        "pool, backend",
    ];
    for (heading, start) in headings.iter().zip(starts) {
        assert!(heading.starts_with(start), "{headings:#?}");
    }
}

#[test]
fn rows_move_as_far_as_there_are_some() {
    let mut state = state();
    let _ = state.grant(Wish::Down(2));
    let moved = picture(&state, 40, 12);
    assert!(
        moved.contains("10.0.0.2:9001") && !moved.contains("10.0.0.1:9001"),
        "{moved}"
    );
    let _ = state.grant(Wish::Down(100));
    assert!(picture(&state, 40, 12).contains("10.0.0.2:9001"));
    let _ = state.grant(Wish::ToTheTop);
    assert!(picture(&state, 40, 12).contains("10.0.0.1:9001"));
}

#[test]
fn a_proxy_that_is_lost_is_missed_and_found_again() {
    let mut state = state();
    let lost_at = Instant::now();
    state.heard(Err(anyhow!("nobody listens there\nat all")), lost_at);
    let later = lost_at + Duration::from_secs(7);
    state.heard(Err(anyhow!("nobody listens there\nat all")), later);
    let words = "lost for 7s, trying again: nobody listens there\n";
    for (width, height) in [(80, 24), (80, 3)] {
        let picture = picture(&state, width, height);
        assert!(picture.contains(words), "{picture}");
    }
    state.heard(Ok(moment()), later);
    assert!(!picture(&state, 80, 24).contains("lost"));
}

#[test]
fn a_picture_that_is_paused_stays_and_says_so() {
    let mut state = state();
    let _ = state.grant(Wish::Pause);
    let mut next = moment();
    next.status.tunnels.open = 7;
    state.heard(Ok(next.clone()), Instant::now());
    let paused = picture(&state, 80, 24);
    assert!(
        paused.contains("longwire paused  ready  1,200 tunnels"),
        "{paused}"
    );
    let _ = state.grant(Wish::Pause);
    state.heard(Ok(next), Instant::now());
    let goes_on = picture(&state, 80, 24);
    assert!(goes_on.contains("longwire  ready  7 tunnels"), "{goes_on}");
}

#[test]
fn tunnels_are_sorted_by_something_else_at_each_wish() {
    let mut state = state();
    let mut seen = Vec::new();
    for _ in 0..6 {
        let picture = picture(&state, 180, 40);
        let (_, marked) = picture.split_once('↓').expect("a column is marked");
        seen.push(marked.split(' ').next().unwrap_or_default().to_owned());
        let _ = state.grant(Wish::Sort);
    }
    assert_eq!(
        seen,
        ["messages", "bytes", "age", "trip", "heard", "messages"]
    );
}

#[test]
fn any_key_takes_the_help_away_and_only_some_leave() {
    let mut state = state();
    let _ = state.grant(Wish::Help);
    assert!(picture(&state, 80, 24).contains("Ctrl-C"));
    assert!(state.grant(Wish::Back).is_continue());
    assert!(!picture(&state, 80, 24).contains("Ctrl-C"));
    assert!(state.grant(Wish::Nothing).is_continue());
    assert!(state.grant(Wish::Back).is_break());
    assert!(state.grant(Wish::Leave).is_break());
}

/// What is on a screen of that size.
fn picture(state: &State, width: u16, height: u16) -> String {
    let mut terminal = Terminal::new(TestBackend::new(width, height)).unwrap();
    terminal.draw(|frame| draw(frame, state)).unwrap();
    let buffer = terminal.backend().buffer();
    let line = |y| {
        let cells = (0..width).map(|x| buffer[(x, y)].symbol());
        cells.collect::<String>()
    };
    (0..height)
        .map(|y| line(y).trim_end().to_owned() + "\n")
        .collect()
}

fn state() -> State {
    State::new(moment())
}

/// The proxy that `docs/admin.md` tells of, with one backend more.
fn moment() -> Moment {
    let mut pool: Pool = documented("and `GET /api/v1/pools/{pool}`");
    let mut down = pool.backends[0].clone();
    down.name = "10.0.0.2:9001".to_owned();
    down.state = "down".to_owned();
    down.share = 0.35;
    pool.backends.push(down);
    let pace = Pace {
        messages: 12.3,
        bytes: 4500.0,
    };
    Moment {
        status: documented::<Status>("`GET /api/v1/status`"),
        pools: vec![pool],
        history: history(),
        tunnels: vec![Busy {
            tunnel: documented::<Tunnel>("`GET /api/v1/tunnels/{id}` gives one"),
            pace: Some(pace),
        }],
    }
}

/// Five minutes in which ever more happened.
fn history() -> History {
    let rising = |from: f64| (0..300).map(move |second| from + f64::from(second));
    History {
        interval_seconds: 1,
        at: rising(1_764_459_900.0).collect(),
        tunnels: rising(0.0).collect(),
        client_messages: rising(100.0).collect(),
        backend_messages: rising(100.0).collect(),
        client_bytes: rising(20_000.0).collect(),
        backend_bytes: rising(300_000.0).collect(),
        client_p50: rising(24.0)
            .map(|trip| (trip < 300.0).then_some(0.027))
            .collect(),
        ..History::default()
    }
}

fn documented<T: DeserializeOwned>(words: &str) -> T {
    let text = include_str!("../../../../docs/admin.md");
    let (_, rest) = text.split_once(words).expect("it says so");
    let (_, rest) = rest.split_once("```json\n").unwrap();
    let (example, _) = rest.split_once("```").unwrap();
    serde_json::from_str(example).unwrap()
}
