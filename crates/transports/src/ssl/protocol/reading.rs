//! What arrives is decrypted at once, as much as there is, and the protocol is called with all of it;
//! unless it has paused: then it is kept as it came.
//!
//! It is received into memory that all connections of the thread share, and decrypted there.

use super::{Error, Event, SslProtocol, State};
use crate::{
    connection::Connection,
    io::MAX_SIZE,
    slot::{BufferedCalls, Calls, CallsProtocol, Read},
    ssl::scratch,
};
use bytes::{Buf, Bytes, BytesMut};
use std::{
    cell::{Cell, RefCell},
    io,
};

/// What was received and is not delivered yet. What is not decrypted is in the session.
pub(super) struct Unread {
    /// Whether the protocol has paused reading.
    pub(super) paused: Cell<bool>,
    /// What was decrypted and not taken.
    plaintext: RefCell<BytesMut>,
    /// `(low, high)`.
    marks: Cell<(usize, usize)>,
    /// Whether the transport beneath was paused because too much is kept.
    is_full: Cell<bool>,
    /// Whether it will send no more.
    pub(super) ended: Cell<bool>,
    /// Why nothing behind what is decrypted already can be.
    failed: RefCell<Option<Error>>,
    /// What was just received, and where behind the beginning of a record.
    received: Cell<(Vec<u8>, usize)>,
    /// What is decrypted next, if a task takes it here.
    fetched: RefCell<Option<BytesMut>>,
}

impl Unread {
    pub(super) fn new() -> Unread {
        let high = super::FLOW_CONTROL_HIGH_WATER_SSL_READ;
        Unread {
            paused: Cell::new(false),
            plaintext: RefCell::default(),
            marks: Cell::new((high / 4, high)),
            is_full: Cell::new(false),
            ended: Cell::new(false),
            failed: RefCell::new(None),
            received: Cell::default(),
            fetched: RefCell::new(None),
        }
    }

    /// Keeps what was decrypted and not taken.
    pub(super) fn keep(&self, plaintext: &[u8]) {
        self.plaintext.borrow_mut().extend_from_slice(plaintext);
    }

    /// Nothing behind what is decrypted already can be.
    pub(super) fn fail(&self, error: Error) {
        self.failed.replace(Some(error));
    }
}

/// A record is longer than what is in it, but not by so much.
const OVERHEAD: usize = 64;

/// What came of decrypting.
type Outcome = Result<(), Error>;

impl SslProtocol {
    /// Receives from the transport beneath, by `read`, behind the beginning of a record that there may be.
    pub(super) fn receive(&self, read: Read<'_>) -> io::Result<usize> {
        let mut block = scratch::RECEIVED.take();
        if block.is_empty() {
            block = vec![0; MAX_SIZE];
        }
        let start = self.session.borrow_mut().move_incoming(&mut block);
        let outcome = read(&mut block[start..]);
        if matches!(outcome, Ok(1..)) {
            self.reading.received.set((block, start));
        } else {
            self.session.borrow_mut().keep(&block[..start]);
            scratch::RECEIVED.put_back(block);
        }
        outcome
    }

    /// So many bytes were received.
    pub(super) fn filled(&self, nbytes: usize) {
        let (mut block, start) = self.reading.received.take();
        self.received(&mut block[..start + nbytes]);
        scratch::RECEIVED.put_back(block);
    }

    /// Something arrived at the transport beneath.
    fn received(&self, data: &mut [u8]) {
        match self.state.get() {
            State::DoHandshake => self.shake(data),
            State::Wrapped => self.read(data),
            State::Flushing | State::Shutdown => self.look_for_the_end(data),
            State::Unwrapped => {}
        }
    }

    /// Calls the protocol with what was kept and with `data`, as far as that can be decrypted.
    pub(super) fn read(&self, data: &mut [u8]) {
        if self.state.get() != State::Wrapped {
            return;
        }
        match self.deliver(data) {
            Err(error) => self.fail(error, "Fatal error on SSL protocol"),
            Ok(()) if self.session.borrow().peer_closed() && !self.has_unread() => {
                self.peer_has_closed();
            }
            Ok(()) => {}
        }
        self.control_reading();
    }

    /// The same, whatever the state is.
    pub(super) fn deliver(&self, data: &mut [u8]) -> Outcome {
        if self.reading.paused.get() {
            self.session.borrow_mut().keep(data);
            return Ok(());
        }
        let Some(calls) = self.calls() else { return Ok(()) };
        let outcome = match calls {
            Calls::Plain(calls) => {
                let (plaintext, outcome) = self.decrypt(data);
                if let Some(fetched) = &mut *self.reading.fetched.borrow_mut() {
                    *fetched = plaintext;
                } else if !plaintext.is_empty() {
                    let plaintext = plaintext.freeze();
                    self.during_call(|handle| calls.data(handle, plaintext))
                        .and_then(|inner| inner)?;
                }
                outcome
            }
            Calls::Buffered(calls) => self.fill(data, &*calls),
        };
        // An answer of rustls to the other side, which comes after those of the protocol.
        self.flush_session()?;
        outcome
    }

    /// Decrypts all that can be, in one piece.
    fn decrypt(&self, data: &mut [u8]) -> (BytesMut, Outcome) {
        let mut plaintext = self.reading.plaintext.take();
        if let Some(error) = self.reading.failed.take() {
            return (plaintext, Err(error));
        }
        let mut session = self.session.borrow_mut();
        let room = data.len() + session.unread();
        let outcome = session.read(data, |chunk| {
            if plaintext.is_empty() && chunk.len() + OVERHEAD > room {
                plaintext = BytesMut::from(chunk);
            } else {
                if plaintext.is_empty() {
                    // There will hardly be more of it than of what is encrypted.
                    plaintext.reserve(room);
                }
                plaintext.extend_from_slice(chunk);
            }
            true
        });
        (plaintext, outcome)
    }

    /// Decrypts into the protocol's own buffer; what that has no room for is delivered in the next
    /// iteration.
    fn fill(&self, data: &mut [u8], calls: &dyn BufferedCalls) -> Outcome {
        if data.is_empty() && !self.has_unread() {
            return Ok(());
        }
        let (mut outcome, mut is_full, mut data) = (Ok(()), false, Some(data));
        let mut read = |buffer: &mut [u8]| {
            let filled;
            (filled, outcome) = self.decrypt_into(buffer, data.take().unwrap_or_default());
            is_full = filled == buffer.len();
            Ok(filled)
        };
        let filled =
            self.during_call(|handle| calls.fill(handle, &mut read)).and_then(|inner| inner)??;
        if filled > 0 {
            CallsProtocol::tell(self, Event::Filled(filled))?;
        }
        if is_full {
            self.soon(|ssl| ssl.read(&mut []));
        }
        outcome
    }

    /// Decrypts until `buffer` is full, and tells how much of it is.
    fn decrypt_into(&self, buffer: &mut [u8], data: &mut [u8]) -> (usize, Outcome) {
        let mut session = self.session.borrow_mut();
        let mut kept = self.reading.plaintext.borrow_mut();
        let mut filled = kept.len().min(buffer.len());
        kept.copy_to_slice(&mut buffer[..filled]);
        if kept.is_empty() {
            *kept = BytesMut::new();
        }
        if filled == buffer.len() {
            session.keep(data);
            return (filled, Ok(()));
        }
        if let Some(error) = self.reading.failed.take() {
            return (filled, Err(error));
        }
        let outcome = session.read(data, |chunk| {
            let length = chunk.len().min(buffer.len() - filled);
            buffer[filled..filled + length].copy_from_slice(&chunk[..length]);
            filled += length;
            kept.extend_from_slice(&chunk[length..]);
            filled < buffer.len()
        });
        (filled, outcome)
    }

    /// The protocol is not called any more with what arrives: only the end of it matters.
    fn look_for_the_end(&self, data: &mut [u8]) {
        self.reading.plaintext.take();
        let outcome = match self.reading.failed.take() {
            Some(error) => Err(error),
            None => self.session.borrow_mut().read(data, |_| true),
        };
        if let Err(error) = outcome {
            return self.fail(error, "Fatal error on SSL protocol");
        }
        if self.state.get() == State::Shutdown && self.session.borrow().peer_closed() {
            self.shutdown_is_over();
        }
    }

    /// What is kept is read no more, except for the end of it.
    pub(super) fn drop_unread(&self) {
        self.reading.paused.set(false);
        self.look_for_the_end(&mut []);
        self.control_reading();
    }

    pub(super) fn resume_reading(&self) {
        if self.reading.paused.replace(false) {
            self.soon(|ssl| match ssl.state.get() {
                State::Flushing => ssl.flush(),
                _ => ssl.read(&mut []),
            });
        }
    }

    /// Whether something is left that can be delivered.
    pub(super) fn has_unread(&self) -> bool {
        self.unread() > 0
            || !self.reading.plaintext.borrow().is_empty()
            || self.reading.failed.borrow().is_some()
    }

    pub(in super::super) fn unread(&self) -> usize {
        self.session.borrow().unread()
    }

    pub(in super::super) fn read_marks(&self) -> (usize, usize) {
        self.reading.marks.get()
    }

    pub(in super::super) fn set_read_marks(&self, low: usize, high: usize) {
        self.reading.marks.set((low, high));
        self.control_reading();
    }

    /// Has the transport beneath pause or go on, by how much is kept.
    fn control_reading(&self) {
        let ((low, high), size) = (self.reading.marks.get(), self.unread());
        if size >= high.max(1) && !self.reading.is_full.replace(true) {
            self.lower().pause_reading();
        } else if size <= low && self.reading.is_full.replace(false) {
            self.lower().resume_reading();
        }
    }
}

impl SslProtocol {
    /// Keeps what was received before there was TLS, and belongs to it.
    pub(in super::super) fn keep_received(&self, data: &[u8]) {
        self.session.borrow_mut().keep(data);
    }
}

/// What arrived and was left with the system.
impl SslProtocol {
    /// Whether the protocol leaves bytes that arrived with the system for now.
    pub(super) fn may_leave(&self) -> bool {
        if self.state.get() != State::Wrapped || self.reading.paused.get() || self.has_unread() {
            return false;
        }
        match self.calls() {
            Some(Calls::Plain(calls)) => calls.leaves(self.handle()),
            Some(Calls::Buffered(calls)) => calls.leaves(self.handle()),
            None => false,
        }
    }

    /// Calls the protocol with what it left, because something else is about to happen.
    pub(super) fn receive_what_was_left(&self) {
        self.handle().0.local.with(Connection::receive_what_was_left);
    }

    /// Receives and decrypts what was left, for the protocol.
    pub(crate) fn receive_left(&self) -> Option<Bytes> {
        self.reading.fetched.replace(Some(BytesMut::new()));
        self.receive_what_was_left();
        let fetched = self.reading.fetched.take()?;
        (!fetched.is_empty()).then(|| fetched.freeze())
    }
}
