//! The TLS of one connection, as a state machine over bytes: no socket, no clock.

use std::{io, sync::Arc};

use bytes::{Buf, BytesMut};
use rustls::{
    Error, ProtocolVersion, ServerConfig,
    server::{ServerConnectionData, UnbufferedServerConnection},
    unbuffered::{
        ConnectionState, EncodeError, EncodeTlsData, EncryptError, UnbufferedStatus, WriteTraffic,
    },
};
use tokio::io::ReadBuf;

use crate::stream::Handshake;

/// The longest record that rustls takes (RFC 5246, section 6.2.3).
pub(super) const MAX_RECORD: usize = 5 + (1 << 14) + 2048;

/// The most that is kept of a handshake message whose rest has not come.
pub(super) const MAX_KEPT: usize = 64 * 1024;

/// Room for a close_notify, and for an answer to a key update that may go before it.
const MAX_CLOSE: usize = 256;

/// One connection's keys, and what it holds of its input and output. When nothing is under way, it
/// owns no buffer.
pub(super) struct Session {
    connection: UnbufferedServerConnection,
    /// The beginning of a record or of a handshake message, as rustls has left it. Whatever was
    /// whole has been processed.
    incoming: Box<[u8]>,
    /// What was decrypted and has not been taken.
    plaintext: BytesMut,
    /// What is to be sent, and has not been.
    outgoing: BytesMut,
    input: Input,
    /// Whether our close_notify is sent or waits to be.
    closed: bool,
}

/// What is still to be expected of the peer.
enum Input {
    Open,
    /// Nothing: it has said so.
    Closed,
    /// Nothing: its socket ended, though it has not said so.
    Cut,
    /// Nothing that could be made sense of.
    Failed(Box<Error>),
}

impl Session {
    /// The side of a server before the first byte.
    pub(super) fn new(config: Arc<ServerConfig>) -> Result<Self, Error> {
        Ok(Self {
            connection: UnbufferedServerConnection::new(config)?,
            incoming: Box::default(),
            plaintext: BytesMut::new(),
            outgoing: BytesMut::new(),
            input: Input::Open,
            closed: false,
        })
    }

    pub(super) fn is_handshaking(&self) -> bool {
        self.connection.is_handshaking()
    }

    /// What the handshake has come to.
    pub(super) fn handshake(&self) -> Handshake {
        Handshake::of(&self.connection)
    }

    /// Whether the peer waits for the last of our handshake. In TLS 1.3 there are but tickets then.
    pub(super) fn ends_the_handshake(&self) -> bool {
        self.connection.protocol_version() != Some(ProtocolVersion::TLSv1_3)
    }

    /// What is to stand before the next bytes of the peer when they are given to
    /// [`Self::receive`].
    pub(super) fn incoming(&self) -> &[u8] {
        &self.incoming
    }

    /// What is to be sent first of all.
    pub(super) fn outgoing(&self) -> &[u8] {
        &self.outgoing
    }

    /// Takes in bytes of the peer, behind those that were kept. Decrypted bytes go into
    /// `plaintext`, and are kept if they do not fit.
    pub(super) fn receive(&mut self, tls: &mut [u8], plaintext: &mut ReadBuf<'_>) {
        match self.process(tls, plaintext) {
            Ok(used) if tls.len() - used > MAX_KEPT => {
                self.fail(Error::General("a handshake message is too long".into()));
            }
            Ok(used) if used == tls.len() && self.incoming.is_empty() => {}
            Ok(used) => self.incoming = tls[used..].into(),
            Err(error) => self.fail(error),
        }
    }

    /// The peer's socket has ended.
    pub(super) fn end_input(&mut self) {
        self.incoming = Box::default();
        self.input = Input::Cut;
    }

    /// What reading comes to, once the decrypted bytes have been taken: `None` if more may come.
    pub(super) fn end_of_input(&self) -> Option<io::Result<()>> {
        match &self.input {
            Input::Open => None,
            Input::Closed => Some(Ok(())),
            Input::Cut => Some(Err(io::Error::new(
                io::ErrorKind::UnexpectedEof,
                "the peer has ended without close_notify",
            ))),
            Input::Failed(error) => Some(Err(invalid_data(Error::clone(error)))),
        }
    }

    /// Moves decrypted bytes into `buffer`, and says whether there were any.
    pub(super) fn take_plaintext(&mut self, buffer: &mut ReadBuf<'_>) -> bool {
        let taken = self.plaintext.len().min(buffer.remaining());
        buffer.put_slice(&self.plaintext[..taken]);
        advance(&mut self.plaintext, taken);
        taken > 0
    }

    /// Encrypts `plaintext` into `tls`, behind its first `end` bytes, and says where that ends. `tls`
    /// is made longer if it must be.
    pub(super) fn encrypt(
        &mut self,
        plaintext: &[u8],
        tls: &mut BytesMut,
        end: usize,
    ) -> io::Result<usize> {
        if self.closed || matches!(self.input, Input::Failed(_)) {
            return Err(io::ErrorKind::BrokenPipe.into());
        }
        seal(
            &mut self.connection,
            &mut self.incoming,
            tls,
            end,
            |traffic, room| traffic.encrypt(plaintext, room),
        )
    }

    /// Has a close_notify sent, once, unless the connection has failed.
    pub(super) fn close(&mut self) {
        if self.closed || matches!(self.input, Input::Failed(_)) {
            return;
        }
        self.closed = true;
        let end = self.outgoing.len();
        self.outgoing.resize(end + MAX_CLOSE, 0);
        let sealed = seal(
            &mut self.connection,
            &mut self.incoming,
            &mut self.outgoing,
            end,
            |traffic, room| traffic.queue_close_notify(room),
        );
        // With keys that are used up there is no way to say it.
        self.outgoing.truncate(sealed.unwrap_or(end));
    }

    /// The socket has taken that many bytes of what is to be sent.
    pub(super) fn sent(&mut self, len: usize) {
        advance(&mut self.outgoing, len);
    }

    /// Puts what is to be sent at the beginning of `tls`, and says how much it is.
    pub(super) fn take_outgoing(&mut self, tls: &mut [u8]) -> usize {
        let len = self.outgoing.len();
        tls[..len].copy_from_slice(&self.outgoing);
        self.outgoing = BytesMut::new();
        len
    }

    /// Keeps what the socket has not taken.
    pub(super) fn keep_outgoing(&mut self, tls: &[u8]) {
        self.outgoing.extend_from_slice(tls);
    }

    /// Whether it holds memory besides its own, be it in use or not.
    #[cfg(test)]
    pub(super) fn holds_memory(&self) -> bool {
        !self.incoming.is_empty() || self.plaintext.capacity() + self.outgoing.capacity() > 0
    }

    /// How many bytes of its input it holds.
    pub(super) fn kept(&self) -> usize {
        self.incoming.len() + self.plaintext.len()
    }

    /// Processes what is whole in `tls`, and says how much need not be kept.
    fn process(&mut self, tls: &mut [u8], plaintext: &mut ReadBuf<'_>) -> Result<usize, Error> {
        let mut used = 0;
        loop {
            let UnbufferedStatus { discard, state } =
                self.connection.process_tls_records(&mut tls[used..]);
            let mut done = discard;
            match state? {
                ConnectionState::ReadTraffic(mut traffic) => {
                    while let Some(record) = traffic.next_record() {
                        let record = record?;
                        done += record.discard;
                        deliver(record.payload, plaintext, &mut self.plaintext);
                    }
                    // That was all, most often: rustls need not be asked.
                    if used + done == tls.len() && !self.connection.wants_write() {
                        return Ok(tls.len());
                    }
                }
                ConnectionState::EncodeTlsData(mut data) => {
                    let end = self.outgoing.len();
                    let end = encode(&mut data, &mut self.outgoing, end)?;
                    self.outgoing.truncate(end);
                }
                ConnectionState::TransmitTlsData(data) => data.done(),
                ConnectionState::BlockedHandshake | ConnectionState::WriteTraffic(_) => {
                    return Ok(used + done);
                }
                ConnectionState::PeerClosed | ConnectionState::Closed => {
                    self.input = Input::Closed;
                    // What follows is of no account (RFC 8446, section 6.1).
                    return Ok(tls.len());
                }
                // Early data, above all: whoever replays it must not be heard.
                _ => return Err(Error::General("an unexpected state of TLS".into())),
            }
            used += done;
        }
    }

    /// Gives the connection up, with what rustls has to say about that.
    fn fail(&mut self, error: Error) {
        // As long as there is something to send, rustls looks at no input; and it must not look
        // at any again.
        while self.connection.wants_write() {
            let status = self.connection.process_tls_records(&mut []);
            let Ok(ConnectionState::EncodeTlsData(mut data)) = status.state else {
                break;
            };
            let end = self.outgoing.len();
            if encode(&mut data, &mut self.outgoing, end).is_err() {
                break;
            }
        }
        self.incoming = Box::default();
        self.input = Input::Failed(Box::new(error));
    }
}

/// Moves `payload` into `buffer`, and what does not fit there behind what is kept.
fn deliver(payload: &[u8], buffer: &mut ReadBuf<'_>, kept: &mut BytesMut) {
    let room = match kept.is_empty() {
        true => buffer.remaining().min(payload.len()),
        false => 0,
    };
    let (fitting, rest) = payload.split_at(room);
    buffer.put_slice(fitting);
    kept.extend_from_slice(rest);
}

/// Lets `seal` write into `tls`, behind its first `end` bytes, and says where that ends.
fn seal(
    connection: &mut UnbufferedServerConnection,
    incoming: &mut [u8],
    tls: &mut BytesMut,
    mut end: usize,
    mut seal: impl FnMut(
        &mut WriteTraffic<'_, ServerConnectionData>,
        &mut [u8],
    ) -> Result<usize, EncryptError>,
) -> io::Result<usize> {
    loop {
        // Nothing of this is whole, so nothing comes of it; but rustls counts on its being there.
        let status = connection.process_tls_records(incoming);
        match status.state.map_err(invalid_data)? {
            ConnectionState::WriteTraffic(mut traffic) => {
                match seal(&mut traffic, &mut tls[end..]) {
                    Ok(len) => return Ok(end + len),
                    Err(EncryptError::InsufficientSize(short)) => {
                        tls.resize(end + short.required_size, 0);
                    }
                    Err(exhausted) => return Err(io::Error::other(exhausted)),
                }
            }
            ConnectionState::EncodeTlsData(mut data) => {
                end = encode(&mut data, tls, end).map_err(invalid_data)?;
            }
            ConnectionState::TransmitTlsData(data) => data.done(),
            ConnectionState::PeerClosed => {}
            ConnectionState::Closed => return Ok(end),
            _ => return Err(invalid_data(Error::HandshakeNotComplete)),
        }
    }
}

/// Puts what rustls has to say into `tls`, behind its first `end` bytes, and says where that ends.
fn encode(
    data: &mut EncodeTlsData<'_, ServerConnectionData>,
    tls: &mut BytesMut,
    end: usize,
) -> Result<usize, Error> {
    loop {
        match data.encode(&mut tls[end..]) {
            Ok(len) => return Ok(end + len),
            Err(EncodeError::InsufficientSize(short)) => {
                tls.resize(end + short.required_size, 0);
            }
            Err(again @ EncodeError::AlreadyEncoded) => {
                return Err(Error::General(again.to_string()));
            }
        }
    }
}

/// Drops the first `len` bytes, and the memory with the last.
fn advance(bytes: &mut BytesMut, len: usize) {
    bytes.advance(len);
    if bytes.is_empty() {
        *bytes = BytesMut::new();
    }
}

/// What a peer does wrong.
fn invalid_data(error: Error) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, error)
}
