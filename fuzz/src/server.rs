//! A server's TLS stream, polled by hand, and what it owes whoever polls it.

use std::{
    io,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, Waker},
};

use longwire::stream::ServerTls;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::{Pipe, SERVER};

/// A stream from its first byte on.
pub struct Server {
    stage: Stage,
    /// What it has decrypted.
    pub heard: Vec<u8>,
    /// How reading has ended, once it has.
    end: Option<Option<io::ErrorKind>>,
}

enum Stage {
    Handshake(Pin<Box<dyn Future<Output = io::Result<ServerTls<Pipe>>>>>),
    Established(Box<ServerTls<Pipe>>),
    Failed,
}

impl Server {
    /// A server over `pipe`.
    pub fn over(pipe: &Pipe) -> Self {
        let accept = ServerTls::accept(Arc::clone(&SERVER), pipe.clone());
        Self {
            stage: Stage::Handshake(Box::pin(accept)),
            heard: Vec::new(),
            end: None,
        }
    }

    /// Whether the handshake is done.
    pub fn is_established(&self) -> bool {
        matches!(self.stage, Stage::Established(_))
    }

    /// Goes on with the handshake.
    pub fn shake_hands(&mut self) {
        if let Stage::Handshake(accept) = &mut self.stage
            && let Poll::Ready(accepted) = accept.as_mut().poll(&mut context())
        {
            self.stage = accepted.map_or(Stage::Failed, |tls| Stage::Established(Box::new(tls)));
        }
    }

    /// Reads as long as something comes, `size` bytes at a time.
    pub fn read(&mut self, size: usize) {
        let Stage::Established(tls) = &mut self.stage else {
            return;
        };
        let mut bytes = vec![0; size.max(1)];
        loop {
            let mut buffer = ReadBuf::new(&mut bytes);
            let end = match Pin::new(&mut *tls).poll_read(&mut context(), &mut buffer) {
                Poll::Pending => return,
                Poll::Ready(Ok(())) if !buffer.filled().is_empty() => {
                    assert!(self.end.is_none(), "it has come back from its end");
                    self.heard.extend_from_slice(buffer.filled());
                    continue;
                }
                Poll::Ready(Ok(())) => None,
                Poll::Ready(Err(error)) => Some(error.kind()),
            };
            let first = *self.end.get_or_insert(end);
            assert_eq!(first, end, "it has ended in two ways");
            return;
        }
    }

    /// Writes `len` bytes, as many at once as are taken, and says how many that were.
    pub fn write(&mut self, len: usize) -> usize {
        let Stage::Established(tls) = &mut self.stage else {
            return 0;
        };
        match Pin::new(tls).poll_write(&mut context(), &vec![b's'; len]) {
            Poll::Ready(Ok(written)) => written,
            Poll::Ready(Err(_)) | Poll::Pending => 0,
        }
    }

    /// Flushes, and says whether that is done.
    pub fn flush(&mut self) -> bool {
        let Stage::Established(tls) = &mut self.stage else {
            return false;
        };
        Pin::new(tls).poll_flush(&mut context()).is_ready()
    }

    /// Begins or goes on to shut down.
    pub fn shut_down(&mut self) {
        if let Stage::Established(tls) = &mut self.stage {
            let _ = Pin::new(tls).poll_shutdown(&mut context());
        }
    }
}

fn context() -> Context<'static> {
    Context::from_waker(Waker::noop())
}
