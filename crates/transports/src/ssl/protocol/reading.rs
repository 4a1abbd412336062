//! What arrives is decrypted at once, as much as there is, and the protocol is called with all of it;
//! unless it has paused: then it is kept as it came.

use super::{Error, Event, SslProtocol, State};
use crate::slot::{BufferedCalls, Calls, CallsProtocol};
use bytes::{Buf, Bytes, BytesMut};
use std::cell::{Cell, RefCell};

/// What was received and is not decrypted yet.
pub(super) struct Unread {
    /// Whether the protocol has paused reading.
    pub(super) paused: Cell<bool>,
    incoming: RefCell<BytesMut>,
    /// `(low, high)`.
    marks: Cell<(usize, usize)>,
    /// Whether the transport beneath was paused because too much is kept.
    is_full: Cell<bool>,
    /// Whether it will send no more.
    pub(super) ended: Cell<bool>,
    /// Why nothing behind what is decrypted already can be.
    failed: RefCell<Option<Error>>,
}

impl Unread {
    pub(super) fn new() -> Unread {
        let high = super::FLOW_CONTROL_HIGH_WATER_SSL_READ;
        Unread {
            paused: Cell::new(false),
            incoming: RefCell::default(),
            marks: Cell::new((high / 4, high)),
            is_full: Cell::new(false),
            ended: Cell::new(false),
            failed: RefCell::new(None),
        }
    }

    pub(super) fn take(&self) -> BytesMut {
        self.incoming.take()
    }

    /// Keeps more.
    pub(super) fn keep(&self, data: &[u8]) {
        if !data.is_empty() {
            self.incoming.borrow_mut().extend_from_slice(data);
        }
    }

    /// Nothing behind what is decrypted already can be.
    pub(super) fn fail(&self, error: Error) {
        self.failed.replace(Some(error));
    }

    fn is_empty(&self) -> bool {
        self.incoming.borrow().is_empty() && self.failed.borrow().is_none()
    }
}

/// What came of decrypting.
type Outcome = Result<(), Error>;

impl SslProtocol {
    /// Something arrived at the transport beneath.
    pub(super) fn received(&self, data: &[u8]) {
        match self.state.get() {
            State::DoHandshake => self.shake(data),
            State::Wrapped => self.read(data),
            State::Flushing | State::Shutdown => self.look_for_the_end(data),
            State::Unwrapped => {}
        }
    }

    /// Calls the protocol with what was kept and with `data`, as far as that can be decrypted.
    pub(super) fn read(&self, data: &[u8]) {
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
    pub(super) fn deliver(&self, data: &[u8]) -> Outcome {
        if self.reading.paused.get() {
            self.reading.keep(data);
            return Ok(());
        }
        let Some(calls) = self.calls() else { return Ok(()) };
        let outcome = match calls {
            Calls::Plain(calls) => {
                let (plaintext, outcome) = self.decrypt(data);
                if !plaintext.is_empty() {
                    self.during_call(|handle| calls.data(handle, plaintext))
                        .and_then(|inner| inner)?;
                }
                outcome
            }
            Calls::Buffered(calls) => {
                self.reading.keep(data);
                self.fill(&*calls)
            }
        };
        // An answer of rustls to the other side, which comes after those of the protocol.
        self.session.borrow_mut().flush(self.lower())?;
        outcome
    }

    /// Decrypts all that can be, in one piece.
    fn decrypt(&self, data: &[u8]) -> (Bytes, Outcome) {
        let mut kept = self.reading.take();
        let mut input = match kept.is_empty() {
            true => data,
            false => {
                kept.extend_from_slice(data);
                &kept[..]
            }
        };
        let (mut plaintext, room) = (Vec::new(), input.len());
        let outcome = self.decrypt_with(&mut input, |chunk, left| {
            if plaintext.is_empty() {
                // If more follows, there will hardly be more of it than of what is encrypted.
                plaintext.reserve_exact(if left == 0 { chunk.len() } else { room });
            }
            plaintext.extend_from_slice(chunk);
            chunk.len()
        });
        self.reading.keep(input);
        if plaintext.len() < plaintext.capacity() / 2 {
            plaintext.shrink_to_fit();
        }
        (plaintext.into(), outcome)
    }

    /// Decrypts as long as `take` takes all that there is. It is called with a piece of plaintext and how
    /// much of the input is left, and tells how many bytes it has taken.
    fn decrypt_with(
        &self,
        input: &mut &[u8],
        mut take: impl FnMut(&[u8], usize) -> usize,
    ) -> Outcome {
        let mut session = self.session.borrow_mut();
        loop {
            let mut chunk = session.plaintext();
            while !chunk.is_empty() {
                let (taken, length) = (take(chunk, input.len()), chunk.len());
                session.consume(taken);
                if taken < length {
                    return Ok(());
                }
                chunk = session.plaintext();
            }
            if let Some(error) = self.reading.failed.take() {
                return Err(error);
            }
            if input.is_empty() {
                return Ok(());
            }
            if let Err(error) = session.feed(input, self.lower()) {
                self.reading.fail(error);
            }
        }
    }

    /// Decrypts into the protocol's own buffer; what that has no room for is delivered in the next
    /// iteration.
    fn fill(&self, calls: &dyn BufferedCalls) -> Outcome {
        let (mut outcome, mut is_full) = (Ok(()), false);
        if self.reading.is_empty() && self.session.borrow_mut().plaintext().is_empty() {
            return Ok(());
        }
        let mut read = |buffer: &mut [u8]| {
            let mut kept = self.reading.take();
            let (mut input, mut filled) = (&kept[..], 0);
            outcome = self.decrypt_with(&mut input, |chunk, _| {
                let length = chunk.len().min(buffer.len() - filled);
                buffer[filled..filled + length].copy_from_slice(&chunk[..length]);
                filled += length;
                length
            });
            is_full = filled == buffer.len();
            let left = input.len();
            kept.advance(kept.len() - left);
            self.reading.incoming.replace(kept);
            Ok(filled)
        };
        let filled =
            self.during_call(|handle| calls.fill(handle, &mut read)).and_then(|inner| inner)??;
        if filled > 0 {
            self.tell(Event::Filled(filled))?;
        }
        if is_full {
            self.soon(|ssl| ssl.read(&[]));
        }
        outcome
    }

    /// The protocol is not called any more with what arrives: only the end of it matters.
    fn look_for_the_end(&self, data: &[u8]) {
        let mut kept = self.reading.take();
        kept.extend_from_slice(data);
        let outcome = self.decrypt_with(&mut &kept[..], |chunk, _| chunk.len());
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
        self.look_for_the_end(&[]);
        self.control_reading();
    }

    pub(super) fn resume_reading(&self) {
        if self.reading.paused.replace(false) {
            self.soon(|ssl| match ssl.state.get() {
                State::Flushing => ssl.flush(),
                _ => ssl.read(&[]),
            });
        }
    }

    /// Whether something is left that can be delivered.
    pub(super) fn has_unread(&self) -> bool {
        !self.reading.is_empty() || !self.session.borrow_mut().plaintext().is_empty()
    }

    pub(in super::super) fn unread(&self) -> usize {
        self.reading.incoming.borrow().len()
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
        self.reading.keep(data);
    }
}
