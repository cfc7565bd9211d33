//! What a line of standard input asks for.

use std::{str::FromStr, time::Duration};

use anyhow::bail;

/// Something for clients to do. Sizes are in bytes, times in milliseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    /// `open COUNT`: open more tunnels, each of which has a message echoed.
    Open(usize),
    /// `close`: close all tunnels with a Close.
    Close,
    /// `once SIZE`: have a message echoed on every tunnel.
    Once(usize),
    /// `loop SIZE TIME`: have messages echoed on every tunnel, one after the other.
    Loop(usize, Duration),
    /// `paced SIZE RATE TIME`: have so many messages a second echoed, all tunnels together.
    Paced(usize, u32, Duration),
    /// `take SIZE TIME`: have the backend push messages into every tunnel. Counts bytes.
    Take(usize, Duration),
    /// `handshakes full|resumed CLIENTS TIME`: connect, upgrade, have a message echoed, and close.
    Handshakes(Resumption, usize, Duration),
    /// `get CLIENTS TIME`: plain requests on connections that stay.
    Get(usize, Duration),
}

/// Whether clients come back with the tickets that they got.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Resumption {
    Full,
    Resumed,
}

impl FromStr for Order {
    type Err = anyhow::Error;

    fn from_str(line: &str) -> anyhow::Result<Self> {
        let words: Vec<&str> = line.split_whitespace().collect();
        Ok(match words[..] {
            ["open", count] => Self::Open(count.parse()?),
            ["close"] => Self::Close,
            ["once", size] => Self::Once(size.parse()?),
            ["loop", size, time] => Self::Loop(size.parse()?, milliseconds(time)?),
            ["paced", size, rate, time] => {
                Self::Paced(size.parse()?, rate.parse()?, milliseconds(time)?)
            }
            ["take", size, time] => Self::Take(size.parse()?, milliseconds(time)?),
            ["handshakes", "full", clients, time] => {
                Self::Handshakes(Resumption::Full, clients.parse()?, milliseconds(time)?)
            }
            ["handshakes", "resumed", clients, time] => {
                Self::Handshakes(Resumption::Resumed, clients.parse()?, milliseconds(time)?)
            }
            ["get", clients, time] => Self::Get(clients.parse()?, milliseconds(time)?),
            _ => bail!("no such order"),
        })
    }
}

fn milliseconds(word: &str) -> anyhow::Result<Duration> {
    Ok(Duration::from_millis(word.parse()?))
}
