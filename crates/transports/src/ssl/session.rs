//! [`Session`]: one side of a TLS connection, over rustls.
//!
//! It uses the unbuffered interface of rustls. Records are decrypted in the memory into which they were received,
//! and encrypted into memory that all connections of a thread share ([`scratch`](super::scratch)). An idle
//! connection therefore needs no memory for records.

use super::{
    arguments::Secured,
    configuration::{Configured, asked_for},
    context::{SniCallback, SslContext},
    error::SslError,
    info::SslObject,
    scratch,
};
use crate::stream::Stream;
use asyncio_core::{Error, Result};
use bytes::{Buf, BytesMut};
use rustls::{
    CommonState, Error as TlsError,
    client::UnbufferedClientConnection,
    server::{Accepted, Acceptor, UnbufferedServerConnection},
    unbuffered::{
        ConnectionState, EncodeError, EncryptError, InsufficientSizeError, UnbufferedStatus,
    },
};
use std::{io, mem, ops::Deref, sync::Arc};

/// The largest amount that is encrypted and sent at once.
const MOST: usize = 16 * 16 * 1024;

/// One side of a TLS connection.
pub(super) struct Session {
    stage: Stage,
    hostname: Option<Arc<str>>,
    is_server: bool,
    /// Received bytes that are not decrypted yet.
    incoming: BytesMut,
    /// How many of them rustls has seen: the beginning of a record, or of a message in several records, to
    /// which it may refer.
    seen: usize,
    /// Records that rustls has produced and that are not sent yet.
    outgoing: Vec<u8>,
    /// The first bytes from the peer, by which a protocol other than TLS is recognised.
    first_bytes: Vec<u8>,
    /// Whether the peer has sent its `close_notify`.
    peer_closed: bool,
    /// Whether it has failed. Only the alert of rustls is sent from then on.
    failed: bool,
}

enum Stage {
    /// A server whose context depends on the server name that the client requests.
    Accepting(Box<Accepting>),
    Open(Box<Connection>),
}

struct Accepting {
    acceptor: Acceptor,
    /// The number of received bytes that it has been given.
    fed: usize,
    callback: SniCallback,
    context: SslContext,
}

enum Connection {
    Client(UnbufferedClientConnection),
    Server(UnbufferedServerConnection),
}

/// The result of a step.
enum Step {
    /// There is more to do.
    Again,
    /// The plaintext was taken, and there is more to do if some input is left.
    Taken,
    /// The plaintext was taken, and the caller wants no more.
    Enough,
    /// Nothing can be done until more bytes arrive.
    Waits,
    PeerClosed,
}

impl Session {
    /// # Errors
    /// Those of the context.
    pub(super) fn new(secured: &Secured) -> Result<Session> {
        let context = &secured.context;
        let stage = match (&secured.name, &context.settings().sni_callback) {
            (None, Some(callback)) => Stage::Accepting(Box::new(Accepting {
                acceptor: Acceptor::default(),
                fed: 0,
                callback: callback.clone(),
                context: context.clone(),
            })),
            (name, _) => Stage::Open(Box::new(match context.configured()? {
                Configured::Server(config) => {
                    let connection = UnbufferedServerConnection::new(config);
                    Connection::Server(connection.map_err(of_setup)?)
                }
                Configured::Client(config) => {
                    let name = name.clone().ok_or_else(|| Error::value("ssl: no server name"))?;
                    let connection = UnbufferedClientConnection::new(config, name);
                    Connection::Client(connection.map_err(of_setup)?)
                }
            })),
        };
        Ok(Session {
            stage,
            hostname: secured.hostname.clone(),
            is_server: secured.name.is_none(),
            incoming: BytesMut::new(),
            seen: 0,
            outgoing: Vec::new(),
            first_bytes: Vec::new(),
            peer_closed: false,
            failed: false,
        })
    }

    pub(super) fn is_handshaking(&self) -> bool {
        match &self.stage {
            Stage::Accepting(..) => true,
            Stage::Open(connection) => connection.is_handshaking(),
        }
    }

    pub(super) fn peer_closed(&self) -> bool {
        self.peer_closed
    }

    /// Returns the parameters of the connection, after the handshake.
    pub(super) fn object(&self) -> Option<SslObject> {
        match &self.stage {
            Stage::Accepting(..) => None,
            Stage::Open(connection) => {
                SslObject::of(connection, self.is_server, self.hostname.as_deref())
            }
        }
    }
}

/// What is received.
impl Session {
    /// Returns how many received bytes rustls has not seen.
    pub(super) fn unread(&self) -> usize {
        // Bytes that it has seen may have been moved out.
        self.incoming.len().saturating_sub(self.seen)
    }

    /// Keeps more bytes for later.
    pub(super) fn keep(&mut self, data: &[u8]) {
        self.incoming.extend_from_slice(data);
    }

    /// Moves the kept bytes to the beginning of `block`, if they are the beginning of an incomplete record,
    /// and returns how many they are.
    pub(super) fn move_incoming(&mut self, block: &mut [u8]) -> usize {
        let length = self.incoming.len();
        if length > self.seen || length > block.len() / 2 {
            return 0;
        }
        block[..length].copy_from_slice(&self.incoming);
        self.incoming.clear();
        length
    }

    /// Decrypts the kept bytes and `data` in place, record by record, and calls `take` with each plaintext.
    /// It stops at the end, or when `take` returns false, and keeps the rest.
    pub(super) fn read(
        &mut self,
        data: &mut [u8],
        mut take: impl FnMut(&[u8]) -> bool,
    ) -> Result<()> {
        let outcome = if self.incoming.is_empty() {
            let (taken, outcome) = self.process(data, &mut take);
            if taken < data.len() {
                self.incoming = BytesMut::from(&data[taken..]);
            }
            outcome
        } else {
            let mut all = mem::take(&mut self.incoming);
            all.extend_from_slice(data);
            let (taken, outcome) = self.process(&mut all, &mut take);
            all.advance(taken);
            if !all.is_empty() {
                self.incoming = all;
            }
            outcome
        };
        match outcome {
            Ok(Step::Enough) => self.seen = 0,
            Ok(_) => self.seen = self.incoming.len(),
            Err(error) => {
                self.failed = true;
                (self.incoming, self.seen) = (BytesMut::new(), 0);
                let error = SslError::new(error, self.is_server, &self.first_bytes);
                return Err(io::Error::from(error).into());
            }
        }
        Ok(())
    }

    /// Processes the complete records at the front of `input`, and returns their length.
    fn process(
        &mut self,
        input: &mut [u8],
        take: &mut impl FnMut(&[u8]) -> bool,
    ) -> (usize, Result<Step, TlsError>) {
        let is_handshaking = self.is_handshaking();
        if is_handshaking && self.first_bytes.len() < FIRST_BYTES {
            let more = input.len().min(FIRST_BYTES).saturating_sub(self.first_bytes.len());
            let from = self.first_bytes.len();
            self.first_bytes.extend_from_slice(&input[from..from + more]);
        }
        if let Stage::Accepting(accepting) = &mut self.stage {
            match accepting.accept(input, &mut self.outgoing) {
                Ok(Some(connection)) => self.stage = Stage::Open(Box::new(connection)),
                Ok(None) => return (0, Ok(Step::Waits)),
                Err(error) => return (0, Err(error)),
            }
        }
        let Stage::Open(connection) = &mut self.stage else { return (0, Ok(Step::Waits)) };
        let mut taken = 0;
        let outcome = loop {
            let (discarded, step) = connection.step(&mut input[taken..], &mut self.outgoing, take);
            taken += discarded;
            match step {
                Ok(Step::Taken) if taken == input.len() => break Ok(Step::Waits),
                Ok(Step::Again | Step::Taken) => {}
                Ok(Step::PeerClosed) => {
                    // Anything after it is ignored.
                    self.peer_closed = true;
                    break Ok(Step::PeerClosed);
                }
                other => break other,
            }
        };
        if is_handshaking && self.is_server {
            self.hostname = asked_for().or(self.hostname.take());
        }
        let taken = if self.peer_closed { input.len() } else { taken };
        (taken, outcome)
    }
}

/// How many bytes are enough to recognise a protocol other than TLS.
const FIRST_BYTES: usize = 8;

/// What is sent.
impl Session {
    /// Encrypts as much of `data` as `out` has room for, or all of it if `forced`, and returns how much.
    pub(super) fn write(&mut self, data: &[u8], out: &dyn Stream, forced: bool) -> Result<usize> {
        if self.failed {
            // The data is lost with the connection, which ends when the failure is read.
            return Ok(data.len());
        }
        if self.wants_write() {
            self.flush(out)?;
        }
        let Stage::Open(connection) = &mut self.stage else { return Ok(0) };
        let held = &mut self.incoming[..self.seen];
        let mut block = scratch::SENT.take();
        let (mut written, mut outcome) = (0, Ok(()));
        while outcome.is_ok() && written < data.len() && (forced || !out.is_full()) {
            let end = data.len().min(written + MOST);
            outcome = match connection.encrypt(held, Some(&data[written..end]), &mut block) {
                Ok(length) => out.write(&block[..length]),
                Err(error) => Err(io::Error::other(error).into()),
            };
            written = end;
        }
        scratch::SENT.put_back(block);
        outcome.map(|()| written)
    }

    /// Sends the `close_notify` of this side.
    pub(super) fn send_close_notify(&mut self) {
        if let (Stage::Open(connection), false) = (&mut self.stage, self.failed) {
            let (held, mut alert) = (&mut self.incoming[..self.seen], Vec::new());
            // It fails if the peer has closed as well, or if the keys are used up.
            if connection.encrypt(held, None, &mut alert).is_ok() {
                self.outgoing.append(&mut alert);
            }
        }
    }

    /// Whether rustls has something to send.
    pub(super) fn wants_write(&self) -> bool {
        let of_rustls = match &self.stage {
            Stage::Accepting(..) => false,
            Stage::Open(connection) => connection.wants_write(),
        };
        of_rustls || !self.outgoing.is_empty()
    }

    /// Sends what rustls has produced.
    #[cold]
    pub(super) fn flush(&mut self, out: &dyn Stream) -> Result<()> {
        if let Stage::Open(connection) = &mut self.stage {
            while connection.wants_write() {
                let held = &mut self.incoming[..self.seen];
                // An error has already been reported.
                let _ = connection.step(held, &mut self.outgoing, &mut |_| true);
            }
        }
        match mem::take(&mut self.outgoing) {
            outgoing if outgoing.is_empty() => Ok(()),
            outgoing => out.write(&outgoing),
        }
    }
}

impl Accepting {
    /// Chooses the context for the requested server name, as soon as the client's hello is complete.
    fn accept(
        &mut self,
        input: &[u8],
        outgoing: &mut Vec<u8>,
    ) -> Result<Option<Connection>, TlsError> {
        let mut fresh = &input[self.fed..];
        while !fresh.is_empty() {
            let length = self.acceptor.read_tls(&mut fresh);
            self.fed += length.map_err(|error| TlsError::General(error.to_string()))?;
            let accepted = self.acceptor.accept().map_err(|(error, mut alert)| {
                // The handshake has failed, even if the alert cannot be written.
                let _ = alert.write_all(outgoing);
                error
            })?;
            if let Some(accepted) = accepted {
                return self.chosen(&accepted).map(Some);
            }
        }
        Ok(None)
    }

    /// Returns a connection with the context that the callback chooses. It reads the hello again.
    fn chosen(&self, accepted: &Accepted) -> Result<Connection, TlsError> {
        let chosen = (self.callback)(accepted.client_hello().server_name());
        match chosen.as_ref().unwrap_or(&self.context).configured() {
            Ok(Configured::Server(config)) => {
                Ok(Connection::Server(UnbufferedServerConnection::new(config)?))
            }
            Ok(Configured::Client(_)) => {
                let text = "sni_callback: a server needs a context for Purpose::ClientAuth";
                Err(TlsError::General(text.to_owned()))
            }
            Err(error) => Err(TlsError::General(error.to_string())),
        }
    }
}

impl Connection {
    /// Makes rustls process `input`, and returns how much of it is used.
    fn step(
        &mut self,
        input: &mut [u8],
        outgoing: &mut Vec<u8>,
        take: &mut impl FnMut(&[u8]) -> bool,
    ) -> (usize, Result<Step, TlsError>) {
        match self {
            Connection::Client(client) => {
                let UnbufferedStatus { discard, state, .. } = client.process_tls_records(input);
                (discard, state.and_then(|state| step(state, outgoing, take)))
            }
            Connection::Server(server) => {
                let UnbufferedStatus { discard, state, .. } = server.process_tls_records(input);
                let step = match state {
                    // A ready-made configuration may permit it.
                    Ok(ConnectionState::ReadEarlyData(mut early)) => {
                        let mut wants_more = true;
                        while let Some(record) = early.next_record() {
                            wants_more &= record.is_ok_and(|record| take(record.payload));
                        }
                        Ok(if wants_more { Step::Taken } else { Step::Enough })
                    }
                    other => other.and_then(|state| step(state, outgoing, take)),
                };
                (discard, step)
            }
        }
    }

    /// Encrypts `data`, or without it a `close_notify`, into `block`, which grows as needed, and returns the
    /// length.
    fn encrypt(
        &mut self,
        held: &mut [u8],
        data: Option<&[u8]>,
        block: &mut Vec<u8>,
    ) -> Result<usize, TlsError> {
        loop {
            let encrypted = match self {
                Connection::Client(client) => {
                    encrypt(client.process_tls_records(held).state?, data, block)
                }
                Connection::Server(server) => {
                    encrypt(server.process_tls_records(held).state?, data, block)
                }
            };
            if let Some(length) = encrypted? {
                return Ok(length);
            }
        }
    }
}

impl Deref for Connection {
    type Target = CommonState;

    fn deref(&self) -> &CommonState {
        match self {
            Connection::Client(client) => client,
            Connection::Server(server) => server,
        }
    }
}

/// Performs the step that rustls asks for.
fn step<Data>(
    state: ConnectionState<'_, '_, Data>,
    outgoing: &mut Vec<u8>,
    take: &mut impl FnMut(&[u8]) -> bool,
) -> Result<Step, TlsError> {
    match state {
        ConnectionState::ReadTraffic(mut traffic) => {
            let mut wants_more = true;
            while let Some(record) = traffic.next_record() {
                wants_more &= take(record?.payload);
            }
            Ok(if wants_more { Step::Taken } else { Step::Enough })
        }
        ConnectionState::EncodeTlsData(mut message) => {
            let from = outgoing.len();
            let mut room = 0;
            loop {
                outgoing.resize(from + room, 0);
                match message.encode(&mut outgoing[from..]) {
                    Ok(_) => return Ok(Step::Again),
                    Err(EncodeError::InsufficientSize(InsufficientSizeError { required_size })) => {
                        room = required_size;
                    }
                    Err(error) => return Err(TlsError::General(error.to_string())),
                }
            }
        }
        ConnectionState::TransmitTlsData(transmission) => {
            // It is sent with the next data.
            transmission.done();
            Ok(Step::Again)
        }
        ConnectionState::PeerClosed => Ok(Step::PeerClosed),
        _ => Ok(Step::Waits),
    }
}

/// Encrypts. Returns `None` if another step came first, and the caller has to repeat the call.
fn encrypt<Data>(
    state: ConnectionState<'_, '_, Data>,
    data: Option<&[u8]>,
    block: &mut Vec<u8>,
) -> Result<Option<usize>, TlsError> {
    match state {
        ConnectionState::WriteTraffic(mut traffic) => loop {
            let encrypted = match data {
                Some(data) => traffic.encrypt(data, block),
                None => traffic.queue_close_notify(block),
            };
            match encrypted {
                Ok(length) => return Ok(Some(length)),
                Err(EncryptError::InsufficientSize(InsufficientSizeError { required_size })) => {
                    block.resize(required_size, 0);
                }
                Err(error) => return Err(TlsError::General(error.to_string())),
            }
        },
        ConnectionState::TransmitTlsData(transmission) => {
            transmission.done();
            Ok(None)
        }
        other => Err(TlsError::General(format!("nothing can be encrypted: {other:?}"))),
    }
}

fn of_setup(error: TlsError) -> Error {
    Error::value(format!("ssl: {error}"))
}
