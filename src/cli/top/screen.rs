//! The terminal, from the first picture to the last.

use std::{io, mem, time::Instant};

use anyhow::Context;
use ratatui::{DefaultTerminal, crossterm::event::Event};
use tokio::{
    signal::unix::{Signal, SignalKind, signal},
    spawn,
    sync::{mpsc, watch},
};

use super::{
    feed::Feed,
    keys::{events, wish},
    state::{FIRST_SORT, State, Wish},
    view::draw,
};
use crate::cli::client::Client;

/// The terminal as we use it. It is as it was before when this is dropped; `ratatui` sees to it
/// that a panic is read on it too.
struct Screen(DefaultTerminal);

/// The signals by which others want us to leave.
struct Signals([Signal; 3]);

/// Shows the proxy until the user leaves.
///
/// # Errors
/// If there is no proxy at the beginning, or no terminal.
pub(super) async fn show(client: Client) -> anyhow::Result<()> {
    let (sort, watched) = watch::channel(FIRST_SORT);
    let mut feed = Feed::new(client, watched);
    // What is wrong from the start is said better without a screen.
    let mut state = State::new(feed.look().await?);
    let (sender, mut looks) = mpsc::channel(1);
    spawn(feed.run(sender));

    let mut signals = Signals::hear()?;
    let mut screen = Screen::open()?;
    let mut events = events();
    loop {
        screen.0.draw(|frame| draw(frame, &state))?;
        tokio::select! {
            Some(look) = looks.recv() => state.heard(look, Instant::now()),
            event = events.recv() => {
                let Some(wish) = wanted(event)? else {
                    continue;
                };
                if state.grant(wish).is_break() {
                    return Ok(());
                }
                sort.send_if_modified(|sort| mem::replace(sort, state.sort()) != state.sort());
            }
            () = signals.come() => return Ok(()),
        }
    }
}

/// What the user wants by an event; nothing by another size, with which the next picture reckons.
fn wanted(event: Option<io::Result<Event>>) -> anyhow::Result<Option<Wish>> {
    let event = event.unwrap_or_else(|| Err(io::ErrorKind::UnexpectedEof.into()));
    match event.context("the terminal is gone")? {
        Event::Key(key) => Ok(wish(key)),
        _ => Ok(None),
    }
}

impl Screen {
    fn open() -> anyhow::Result<Self> {
        let terminal = ratatui::try_init();
        Ok(Self(terminal.context("cannot use this terminal")?))
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        ratatui::restore();
    }
}

impl Signals {
    fn hear() -> io::Result<Self> {
        Ok(Self([
            signal(SignalKind::interrupt())?,
            signal(SignalKind::terminate())?,
            signal(SignalKind::hangup())?,
        ]))
    }

    async fn come(&mut self) {
        let [interrupt, terminate, hangup] = &mut self.0;
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
            _ = hangup.recv() => {}
        }
    }
}
