//! Reading. All data that has arrived is decrypted immediately, and the protocol is called with it. While the
//! protocol has paused reading, the data is kept encrypted.
//!
//! Data is received into memory that all connections of the thread share, and decrypted there.

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

/// Received data that is not delivered yet. The session has the part that is not decrypted.
pub(super) struct Unread {
    /// Whether the protocol has paused reading.
    pub(super) paused: Cell<bool>,
    /// Decrypted data that the protocol has not taken.
    plaintext: RefCell<BytesMut>,
    /// `(low, high)`.
    marks: Cell<(usize, usize)>,
    /// Whether the transport below is paused because too much data is kept.
    is_full: Cell<bool>,
    /// Whether the transport below has received the end.
    pub(super) ended: Cell<bool>,
    /// The reason for which nothing after the decrypted data can be decrypted.
    failed: RefCell<Option<Error>>,
    /// The block into which data was just received, and the place where that begins: after the beginning of a
    /// record, if there is one.
    received: Cell<(Vec<u8>, usize)>,
    /// Takes the data that is decrypted next, if a task fetches it.
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

    /// Keeps decrypted data that the protocol has not taken.
    pub(super) fn keep(&self, plaintext: &[u8]) {
        self.plaintext.borrow_mut().extend_from_slice(plaintext);
    }

    /// Keeps the error for the time after the decrypted data.
    pub(super) fn fail(&self, error: Error) {
        self.failed.replace(Some(error));
    }
}

/// More than a record adds to its data.
const OVERHEAD: usize = 64;

/// Blocks of at least this size are copied by the C library with an instruction of the processor (`rep movsb`) that
/// is thirty times slower if the destination is less than [`APART`] bytes behind the source, modulo the size of a
/// page.
const LARGE: usize = 4096;
const APART: usize = 32;

/// The outcome of decrypting.
type Outcome = Result<(), Error>;

/// Returns memory for the data in `length` bytes of records, with [`APART`] unused bytes at both ends.
///
/// rustls has blocks of about this size: one from which a record is copied here, and one into which it is copied when
/// it is written again. The allocator often puts the three side by side. Without the unused bytes, a message whose
/// length is a multiple of a page would begin at nearly the same place of a page in each of them.
fn memory_for(length: usize) -> BytesMut {
    let mut memory = BytesMut::with_capacity(APART + length + APART);
    memory.resize(APART, 0);
    memory.advance(APART);
    memory
}

impl SslProtocol {
    /// Receives from the transport below, with `read`, after the beginning of a record if there is one.
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

    /// Processes this number of received bytes.
    pub(super) fn filled(&self, nbytes: usize) {
        let (mut block, start) = self.reading.received.take();
        self.received(&mut block[..start + nbytes]);
        scratch::RECEIVED.put_back(block);
    }

    /// Processes data that the transport below has received.
    fn received(&self, data: &mut [u8]) {
        match self.state.get() {
            State::DoHandshake => self.shake(data),
            State::Wrapped => self.read(data),
            State::Flushing | State::Shutdown => self.look_for_the_end(data),
            State::Unwrapped => {}
        }
    }

    /// Decrypts the kept data and `data` as far as possible, and calls the protocol with the result.
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

    /// Does the same in any state, and returns the error.
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
        // Records that rustls sends in reply come after the protocol's own data.
        self.flush_session()?;
        outcome
    }

    /// Decrypts as much as possible, into one piece.
    fn decrypt(&self, data: &mut [u8]) -> (BytesMut, Outcome) {
        let mut plaintext = self.reading.plaintext.take();
        if let Some(error) = self.reading.failed.take() {
            return (plaintext, Err(error));
        }
        let mut session = self.session.borrow_mut();
        let room = data.len() + session.unread();
        let outcome = session.read(data, |chunk| {
            if plaintext.is_empty() && chunk.len() + OVERHEAD > room && room < LARGE {
                plaintext = BytesMut::from(chunk);
            } else {
                if plaintext.is_empty() {
                    plaintext = memory_for(room);
                }
                plaintext.extend_from_slice(chunk);
            }
            true
        });
        (plaintext, outcome)
    }

    /// Decrypts into the protocol's own buffer. Data for which that has no room is delivered in the next
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

    /// Decrypts until `buffer` is full, and returns the number of bytes in it.
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

    /// Looks only for the end: the protocol is no longer called with data.
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

    /// Drops the kept data, but looks for the end in it.
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

    /// Whether there is data or an error to deliver.
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

    /// Pauses or resumes the transport below, depending on how much data is kept.
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
    /// Keeps bytes that were received before TLS started, and belong to it.
    pub(in super::super) fn keep_received(&self, data: &[u8]) {
        self.session.borrow_mut().keep(data);
    }
}

/// Data that arrived and was left with the system.
impl SslProtocol {
    /// Whether the protocol leaves arriving data with the system for now.
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

    /// Calls the protocol with the data that it left, before another event.
    pub(super) fn receive_what_was_left(&self) {
        self.handle().0.local.with(Connection::receive_what_was_left);
    }

    /// Receives and decrypts the data that was left, and returns it.
    pub(crate) fn receive_left(&self) -> Option<Bytes> {
        self.reading.fetched.replace(Some(BytesMut::new()));
        self.receive_what_was_left();
        let fetched = self.reading.fetched.take()?;
        (!fetched.is_empty()).then(|| fetched.freeze())
    }
}
