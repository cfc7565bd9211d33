//! Clients whose tunnels are never silent and ought to last, new connections besides, and the
//! backends for both. What becomes of them is what an operation on the proxy between costs.

use std::{
    cell::{Cell, RefCell},
    collections::BTreeMap,
    io,
    net::SocketAddr,
    rc::Rc,
    str::FromStr,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use anyhow::{Context, bail};
use bytes::BytesMut;
use serde_json::{Value, json};
use tokio::{
    io::{AsyncBufReadExt, AsyncWriteExt, BufReader, stdin},
    net::TcpStream,
    runtime,
    sync::watch,
    task::{LocalSet, spawn_local},
    time::{Instant, sleep},
};

use crate::{
    backend::{self, Request},
    client::{self, Answer},
    conversation::{self, Account, End, Mood},
    frames::Framed,
    target::{Speech, Target},
    unblocked::Unblocked,
    visits::Visits,
};

/// How long those who listen wait for what is still to come.
const HEARING_OUT: Duration = Duration::from_secs(5);

/// What a line of standard input asks for.
enum Order {
    /// `open plain|tls COUNT`: so many more tunnels. Answered when all are in.
    Open(Kind, usize),
    /// `renew COUNT`: the oldest say goodbye, and as many are opened. Answered when they are in.
    Renew(usize),
    /// `visit RATE`: so many new connections a second from now on.
    Visit(f64),
    /// `listen`: nobody says any more. Answered when all has come back, or will not.
    Listen,
    /// `tell`: what has become of all.
    Tell,
}

/// How a tunnel's client speaks to the proxy.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Kind {
    Plain,
    Tls,
}

/// One that is open.
struct Tunnel {
    id: u64,
    kind: Kind,
    mood: watch::Sender<Mood>,
    account: Rc<Account>,
}

/// One that was lost.
struct Loss {
    kind: Kind,
    /// By the clock that all processes share.
    at: f64,
    how: String,
    unanswered: u64,
}

struct Talk {
    targets: BTreeMap<Kind, Rc<Target>>,
    period: Duration,
    next_id: Cell<u64>,
    tunnels: RefCell<Vec<Tunnel>>,
    losses: RefCell<Vec<Loss>>,
    /// Of all tunnels that there ever were.
    accounts: RefCell<Vec<Rc<Account>>>,
    visits: Rc<Visits>,
}

pub fn run(
    backends: &[SocketAddr],
    plain: SocketAddr,
    tls: SocketAddr,
    period: Duration,
) -> anyhow::Result<()> {
    let runtime = runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    LocalSet::new().block_on(&runtime, async {
        for backend in backends {
            backend::serve_each(*backend, move |socket| converse(socket, period))?;
        }
        let talk = Talk::new(plain, tls, period);
        let mut lines = BufReader::new(stdin()).lines();
        while let Some(line) = lines.next_line().await? {
            let answer = talk.obey(line.parse()?).await.context(line);
            let failure = |error: anyhow::Error| json!({"error": format!("{error:#}")});
            println!("{}", answer.unwrap_or_else(failure));
        }
        Ok(())
    })
}

async fn converse(mut socket: TcpStream, period: Duration) -> io::Result<()> {
    socket.set_nodelay(true)?;
    let mut inbox = BytesMut::with_capacity(1024);
    match backend::next_request(&mut socket, &mut inbox).await? {
        Some(Request::WebSocket(key)) => {
            let answer = backend::accepting(&key);
            socket.write_all(answer.as_bytes()).await?;
            conversation::answer(socket, inbox, conversation::pace(period, 0.5)).await
        }
        Some(Request::Plain) => socket.write_all(backend::ANSWER).await,
        None => Ok(()),
    }
}

impl Talk {
    fn new(plain: SocketAddr, tls: SocketAddr, period: Duration) -> Rc<Self> {
        let plain = Rc::new(Target::new(plain, Speech::Plain));
        let tls = Rc::new(Target::new(tls, Speech::Tls));
        let visits = Visits::new(vec![Rc::clone(&plain), Rc::clone(&tls)]);
        Rc::new(Self {
            targets: BTreeMap::from([(Kind::Plain, plain), (Kind::Tls, tls)]),
            period,
            next_id: Cell::default(),
            tunnels: RefCell::default(),
            losses: RefCell::default(),
            accounts: RefCell::default(),
            visits: Rc::new(visits),
        })
    }

    async fn obey(self: &Rc<Self>, order: Order) -> anyhow::Result<Value> {
        match order {
            Order::Open(kind, count) => self.open(kind, count).await?,
            Order::Renew(count) => self.renew(count).await?,
            Order::Visit(rate) => self.visits.pace(rate),
            Order::Listen => self.hear_out().await,
            Order::Tell => {}
        }
        Ok(self.report())
    }

    async fn open(self: &Rc<Self>, kind: Kind, count: usize) -> anyhow::Result<()> {
        for _ in 0..count {
            let frames = match client::handshake(&self.targets[&kind]).await? {
                Answer::Open(frames) => frames,
                Answer::Refused(head) => bail!("a handshake got {}", head.status),
            };
            let (io, inbox) = frames.into_parts();
            let frames = Framed::new(Unblocked::new(io), inbox, true);
            let id = self.next_id.replace(self.next_id.get() + 1);
            let (mood, wanted) = watch::channel(Mood::Talking);
            let account = Rc::new(Account::default());
            self.accounts.borrow_mut().push(Rc::clone(&account));
            self.tunnels.borrow_mut().push(Tunnel {
                id,
                kind,
                mood,
                account: Rc::clone(&account),
            });
            let pace = conversation::pace(self.period, scattered(id));
            let talk = Rc::clone(self);
            spawn_local(async move {
                let end = conversation::talk(frames, pace, wanted, &account).await;
                talk.forget(id, end);
            });
        }
        Ok(())
    }

    fn forget(&self, id: u64, end: End) {
        let mut tunnels = self.tunnels.borrow_mut();
        let place = tunnels.iter().position(|tunnel| tunnel.id == id);
        let tunnel = tunnels.remove(place.expect("it is forgotten once"));
        tunnel.account.close();
        if let End::Lost(how) = end {
            let now = SystemTime::now().duration_since(UNIX_EPOCH);
            self.losses.borrow_mut().push(Loss {
                kind: tunnel.kind,
                at: now.unwrap_or_default().as_secs_f64(),
                how,
                unanswered: tunnel.account.unanswered(),
            });
        }
    }

    async fn renew(self: &Rc<Self>, count: usize) -> anyhow::Result<()> {
        for kind in self.dismiss(count) {
            self.open(kind, 1).await?;
        }
        Ok(())
    }

    /// Has the oldest say goodbye that are not doing so. What they were.
    fn dismiss(&self, count: usize) -> Vec<Kind> {
        let tunnels = self.tunnels.borrow();
        let is_staying = |tunnel: &&Tunnel| *tunnel.mood.borrow() != Mood::Leaving;
        let oldest = tunnels.iter().filter(is_staying).take(count);
        let leave = |tunnel: &Tunnel| {
            tunnel.mood.send_replace(Mood::Leaving);
            tunnel.kind
        };
        oldest.map(leave).collect()
    }

    async fn hear_out(&self) {
        for tunnel in self.tunnels.borrow().iter() {
            tunnel.mood.send_replace(Mood::Listening);
        }
        let deadline = Instant::now() + HEARING_OUT;
        while self.unanswered() > 0 && Instant::now() < deadline {
            sleep(Duration::from_millis(20)).await;
        }
    }

    /// Messages that have not come back on tunnels that are open.
    fn unanswered(&self) -> u64 {
        let tunnels = self.tunnels.borrow();
        tunnels
            .iter()
            .map(|tunnel| tunnel.account.unanswered())
            .sum()
    }

    fn report(&self) -> Value {
        let accounts = self.accounts.borrow();
        let sum = |count: fn(&Account) -> u64| -> u64 {
            accounts.iter().map(|account| count(account)).sum()
        };
        let longest = accounts.iter().map(|account| account.longest_wait()).max();
        json!({
            "plain": self.open_of(Kind::Plain),
            "tls": self.open_of(Kind::Tls),
            "losses": self.losses.borrow().iter().map(Loss::report).collect::<Vec<_>>(),
            "said": sum(Account::said),
            "heard": sum(Account::heard),
            "lost": sum(Account::lost),
            "repeated": sum(Account::repeated),
            "unanswered": self.unanswered(),
            "longest_wait_milliseconds": longest.unwrap_or_default().as_secs_f64() * 1e3,
            "visits": self.visits.report(),
        })
    }

    fn open_of(&self, kind: Kind) -> usize {
        let tunnels = self.tunnels.borrow();
        tunnels.iter().filter(|tunnel| tunnel.kind == kind).count()
    }
}

impl Loss {
    fn report(&self) -> Value {
        json!({
            "kind": match self.kind {
                Kind::Plain => "plain",
                Kind::Tls => "tls",
            },
            "at": self.at,
            "how": self.how,
            "unanswered": self.unanswered,
        })
    }
}

impl FromStr for Order {
    type Err = anyhow::Error;

    fn from_str(line: &str) -> anyhow::Result<Self> {
        Ok(match line.split_whitespace().collect::<Vec<_>>()[..] {
            ["open", "plain", count] => Self::Open(Kind::Plain, count.parse()?),
            ["open", "tls", count] => Self::Open(Kind::Tls, count.parse()?),
            ["renew", count] => Self::Renew(count.parse()?),
            ["visit", rate] => Self::Visit(rate.parse()?),
            ["listen"] => Self::Listen,
            ["tell"] => Self::Tell,
            _ => bail!("no such order: {line}"),
        })
    }
}

/// A number from 0 to 1, far from those of its neighbours (multiples of the golden ratio).
fn scattered(id: u64) -> f64 {
    (id as f64 * 0.618_033_988_749_895).fract()
}
