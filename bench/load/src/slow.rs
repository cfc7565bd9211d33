//! A backend whose handshakes cost it something: they wait in a queue, and it does one at a time.
//!
//! The work is waited for and not computed, so that four of these fit onto one CPU. It is done
//! whether or not the client still waits, as by a server that asks a database who comes: what is
//! under way is not called back.

use std::{cell::Cell, io, net::SocketAddr, path::Path, rc::Rc, time::Duration};

use anyhow::{Context, bail};
use bytes::BytesMut;
use tokio::{
    io::{AsyncBufReadExt, AsyncWriteExt, BufReader, stdin},
    net::TcpStream,
    runtime,
    sync::{mpsc, oneshot},
    task::{LocalSet, spawn_local},
    time::{Instant, sleep_until},
};

use crate::{
    backend::{self, Request},
    frames::Framed,
    journal::Journal,
};

struct Backend {
    journal: Journal,
    /// What a handshake costs.
    work: Cell<Duration>,
    queue: mpsc::UnboundedSender<oneshot::Sender<()>>,
}

/// Serves, and obeys `work MICROSECONDS`: what a handshake costs from now on.
pub fn run(address: SocketAddr, journal: &Path) -> anyhow::Result<()> {
    let runtime = runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let (queue, waiting) = mpsc::unbounded_channel();
    let backend = Rc::new(Backend {
        journal: Journal::create(journal).context("the journal")?,
        work: Cell::default(),
        queue,
    });
    LocalSet::new().block_on(&runtime, async {
        let served = Rc::clone(&backend);
        backend::serve_each(address, move |socket| Rc::clone(&served).converse(socket))?;
        spawn_local(Rc::clone(&backend).work(waiting));
        let mut lines = BufReader::new(stdin()).lines();
        while let Some(line) = lines.next_line().await? {
            let ["work", microseconds] = line.split_whitespace().collect::<Vec<_>>()[..] else {
                bail!("no such order: {line}");
            };
            backend
                .work
                .set(Duration::from_micros(microseconds.parse()?));
            println!("{{}}");
        }
        Ok(())
    })
}

impl Backend {
    /// Does the work of one handshake after the other. Each begins when the one before it was due,
    /// however late the timer was, so that the rate is exact.
    async fn work(self: Rc<Self>, mut waiting: mpsc::UnboundedReceiver<oneshot::Sender<()>>) {
        let mut due = Instant::now();
        loop {
            let next = match waiting.try_recv() {
                Ok(next) => next,
                Err(_) => {
                    let Some(next) = waiting.recv().await else {
                        return;
                    };
                    due = due.max(Instant::now());
                    next
                }
            };
            due += self.work.get();
            sleep_until(due).await;
            // One that has gone away has cost the same.
            let _ = next.send(());
        }
    }

    async fn converse(self: Rc<Self>, mut socket: TcpStream) -> io::Result<()> {
        socket.set_nodelay(true)?;
        let mut inbox = BytesMut::with_capacity(1024);
        let key = match backend::next_request(&mut socket, &mut inbox).await? {
            Some(Request::WebSocket(key)) => key,
            Some(Request::Plain) => return socket.write_all(backend::ANSWER).await,
            // A health check only connects.
            None => return Ok(()),
        };
        self.journal.note(format_args!("asked"));
        let (done, is_done) = oneshot::channel();
        let _ = self.queue.send(done);
        let _ = is_done.await;
        socket
            .write_all(backend::accepting(&key).as_bytes())
            .await?;
        self.journal.note(format_args!("opened"));
        let end = backend::echo(Framed::new(socket, inbox, false)).await;
        self.journal.note(format_args!("closed"));
        end
    }
}
