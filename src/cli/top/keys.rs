//! What the keys mean.

use std::{io, thread, time::Duration};

use ratatui::crossterm::event::{self, Event, KeyCode, KeyEvent, KeyEventKind, KeyModifiers};
use tokio::sync::mpsc;

use super::state::Wish;

/// How soon the reader notices that nobody is interested any more.
const PULSE: Duration = Duration::from_millis(200);

/// How far a page goes.
const PAGE: usize = 10;

/// What the user does, as long as somebody listens; an error if the terminal is gone.
pub(super) fn events() -> mpsc::Receiver<io::Result<Event>> {
    let (sender, receiver) = mpsc::channel(16);
    thread::spawn(move || {
        while !sender.is_closed() {
            let event = match event::poll(PULSE) {
                Ok(false) => continue,
                Ok(true) => event::read(),
                Err(error) => Err(error),
            };
            let is_gone = event.is_err();
            if sender.blocking_send(event).is_err() || is_gone {
                return;
            }
        }
    });
    receiver
}

/// What the user wants by a key.
pub(super) fn wish(key: KeyEvent) -> Option<Wish> {
    if key.kind == KeyEventKind::Release {
        return None;
    }
    let is_control = key.modifiers.contains(KeyModifiers::CONTROL);
    Some(match key.code {
        KeyCode::Char('c') if is_control => Wish::Leave,
        KeyCode::Char('q') => Wish::Leave,
        KeyCode::Esc => Wish::Back,
        KeyCode::Char('?' | 'h') => Wish::Help,
        KeyCode::Char('p' | ' ') => Wish::Pause,
        KeyCode::Char('s') => Wish::Sort,
        KeyCode::Tab | KeyCode::Right => Wish::NextPane,
        KeyCode::BackTab | KeyCode::Left => Wish::PreviousPane,
        KeyCode::Down => Wish::Down(1),
        KeyCode::Up => Wish::Up(1),
        KeyCode::PageDown => Wish::Down(PAGE),
        KeyCode::PageUp => Wish::Up(PAGE),
        KeyCode::Home => Wish::ToTheTop,
        _ => Wish::Nothing,
    })
}
