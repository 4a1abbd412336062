//! Reading of a connection. It reads once for each report of readiness, and again in the next iteration if
//! there may be more, so that one busy peer does not keep the others waiting.
//!
//! A protocol wakes the task that waits for its data, and the task runs in the next iteration, after
//! every other connection was served. By then, the data that all of them received may have left the
//! processor's cache. If the data is likely to be large, such a protocol may therefore
//! [leave](crate::Protocol::leaves) it with the system until its task runs. Programs cannot observe
//! this, because the protocol is called with the data before any other event of the connection. The end
//! and errors are never left.

use super::{Connection, Event, Kind, READABLE, uninterrupted};
use crate::{
    io,
    slot::{BufferedCalls, Calls, CallsProtocol, PlainCalls},
    ssl,
    transport::Transport,
};
use asyncio_core::{
    Error,
    raw::{LoopLocal, LoopRef},
    source::Direction,
};
use asyncio_sockets::is_short;
use bytes::Bytes;
use nix::libc;
use std::{cell::Cell, io::ErrorKind};

#[derive(Debug, Default)]
pub(super) struct State {
    paused: Cell<bool>,
    /// The other side has stopped sending.
    ended: Cell<bool>,
    /// The descriptor became ready while reading was paused.
    unread: Cell<bool>,
    /// Whether the last data was large enough that the next may be left with the system; and
    /// whether the protocol has left some.
    large: Cell<bool>,
    left: Cell<bool>,
}

/// From this size on, messages for a few hundred tasks fill a processor's cache. Smaller ones are
/// received one after another before any is answered, which is better for the instruction cache.
const LARGE: usize = 1024;

/// Data that arrived at a connection.
#[doc(hidden)]
#[derive(Clone, Copy, Debug)]
pub struct Arrival {
    at: LoopLocal<Connection>,
    ssl: Option<LoopLocal<ssl::Place>>,
}

impl Arrival {
    /// Creates an arrival at this connection.
    #[inline]
    pub fn at(transport: &Transport) -> Arrival {
        Arrival { at: transport.0.local, ssl: transport.0.ssl.get() }
    }

    /// Returns the loop of the connection.
    #[inline]
    pub fn home(self) -> LoopRef {
        self.at.home()
    }

    /// Receives the data that was left; nothing if the protocol was called with it meanwhile. On
    /// another thread than the loop's, the protocol is called with it soon.
    pub fn receive(self) -> Option<Bytes> {
        if let Some(place) = self.ssl.and_then(LoopLocal::get) {
            return place.receive_left();
        }
        match self.at.get() {
            Some(connection) => connection.receive_left(),
            None => {
                self.at.send(Connection::receive_what_was_left);
                None
            }
        }
    }
}

impl Connection {
    pub(crate) fn pause_reading(&self) {
        self.receive_what_was_left();
        self.reading.paused.set(true);
    }

    pub(crate) fn resume_reading(&self) {
        if self.reading.paused.replace(false) && !self.is_closing() && self.reading.unread.take() {
            self.read_again();
        }
    }

    #[inline]
    pub(crate) fn is_reading(&self) -> bool {
        !self.reading.paused.get() && !self.is_closing()
    }

    #[inline]
    pub(super) fn read_ready(&self) {
        if self.reading.ended.get() {
            return;
        }
        if !self.is_reading() {
            self.reading.unread.set(true);
            return;
        }
        let Some(calls) = self.calls() else { return };
        match calls {
            Calls::Plain(calls) if self.may_leave() && calls.leaves(self.handle()) => {
                self.reading.left.set(true);
            }
            Calls::Buffered(calls) if self.may_leave() && calls.leaves(self.handle()) => {
                self.reading.left.set(true);
            }
            Calls::Plain(calls) => self.receive(&*calls),
            Calls::Buffered(calls) => self.fill(&*calls),
        }
    }

    /// Whether the data may be left: it is likely to be large, and cannot be the end. It may be the
    /// end if a hang-up was reported, or if hang-ups are not reported.
    #[inline]
    fn may_leave(&self) -> bool {
        self.reading.large.get() && self.drained_by_less.get()
    }

    /// Receives, and calls the protocol with it.
    #[inline(always)]
    fn receive(&self, calls: &dyn PlainCalls) {
        let Some(data) = self.receive_some() else { return };
        let told = self.during_call(|handle| calls.data(handle, data));
        if let Ok(Err(error)) | Err(error) = told {
            self.fatal(error, "Fatal error: protocol.data_received() call failed.");
        }
    }

    /// Receives the available data. If there is none, the end or the error has been handled.
    #[inline(always)]
    fn receive_some(&self) -> Option<Bytes> {
        self.reading.left.set(false);
        // Borrowed, and not counted: nothing is called meanwhile.
        let source = self.source.borrow();
        let received = io::receive(source.as_ref()?.get_ref());
        drop(source);
        match received {
            Ok((data, drained)) if !data.is_empty() => {
                self.reading.large.set(data.len() >= LARGE);
                self.read_again_unless(drained);
                return Some(data);
            }
            Ok(_) => self.read_end(),
            Err(error) => self.read_failed(error),
        }
        None
    }

    /// Receives the data that the protocol left, for the protocol.
    #[inline]
    pub(crate) fn receive_left(&self) -> Option<Bytes> {
        if self.reading.left.get() { self.receive_some() } else { None }
    }

    /// Calls the protocol with the data that it left, because another event is about to be
    /// reported.
    #[inline]
    pub(crate) fn receive_what_was_left(&self) {
        if self.reading.left.get() {
            self.receive_what_was_left_now();
        }
    }

    #[cold]
    fn receive_what_was_left_now(&self) {
        match self.calls() {
            Some(Calls::Plain(calls)) => self.receive(&*calls),
            Some(Calls::Buffered(calls)) => self.fill(&*calls),
            None => {}
        }
    }

    /// Reads into the buffer of a protocol that has its own.
    fn fill(&self, calls: &dyn BufferedCalls) {
        self.reading.left.set(false);
        let Some(source) = self.source() else { return };
        let mut room = 0;
        let mut read = |buffer: &mut [u8]| {
            room = buffer.len();
            uninterrupted(|| source.get_ref().receive(buffer))
        };
        let filled = self.during_call(|handle| calls.fill(handle, &mut read));
        match filled {
            Ok(Ok(Ok(0))) => self.read_end(),
            Ok(Ok(Ok(nbytes))) => {
                self.reading.large.set(nbytes >= LARGE);
                self.read_again_unless(is_short(nbytes, room));
                if let Err(error) = self.tell(Event::Filled(nbytes)) {
                    self.fatal(error, "Fatal error: protocol.buffer_updated() call failed.");
                }
            }
            Ok(Ok(Err(error))) => self.read_failed(error),
            Ok(Err(error)) | Err(error) => {
                self.fatal(error, "Fatal error: protocol.get_buffer() call failed.");
            }
        }
    }

    #[cold]
    fn read_failed(&self, error: std::io::Error) {
        match self.kind() {
            _ if error.kind() == ErrorKind::WouldBlock => {
                if let Some(source) = self.source() {
                    source.clear_readiness(Direction::Read);
                }
            }
            Kind::ReadPipe => {
                let is_hangup = error.raw_os_error() == Some(libc::EIO);
                let error = Error::from(error);
                // The error of a terminal whose other side has hung up is not reported to the handler.
                if !is_hangup {
                    let message = "Fatal read error on pipe transport".to_owned();
                    self.report(message, error.clone());
                }
                self.force_close(Some(error));
            }
            _ => self.fatal(error.into(), "Fatal read error on a transport"),
        }
    }

    /// Reads again in the next iteration, unless a short read means that there is no more data.
    #[inline]
    fn read_again_unless(&self, drained: bool) {
        if !(drained && self.drained_by_less.get()) {
            self.read_again();
        }
    }

    #[cold]
    fn read_again(&self) {
        self.again(READABLE);
    }

    /// The other side has stopped sending.
    #[cold]
    fn read_end(&self) {
        self.reading.ended.set(true);
        if self.kind() == Kind::ReadPipe {
            // Each is a separate step, whatever the protocol returns.
            self.set_closing();
            self.soon(|connection| connection.call(Event::Eof, "eof_received"));
            self.lose(None);
            return;
        }
        match self.tell(Event::Eof) {
            Ok(true) => {}
            Ok(false) => self.close(),
            Err(error) => {
                self.fatal(error, "Fatal error: protocol.eof_received() call failed.");
            }
        }
    }
}
