//! How a connection reads: once for each piece of news, and again in the next iteration if there may
//! be more, so that one busy peer does not keep the others waiting.

use super::{Connection, Event, Kind, uninterrupted};
use crate::{io, slot::Calls};
use asyncio_core::{
    Error,
    source::{Direction, Readiness},
};
use nix::libc;
use std::{cell::Cell, io::ErrorKind};

#[derive(Debug, Default)]
pub(super) struct State {
    paused: Cell<bool>,
    /// The other side will send no more.
    ended: Cell<bool>,
    /// There was news while nobody wanted to read.
    unread: Cell<bool>,
}

const READABLE: Readiness = Readiness { readable: true, writable: false, hangup: false };

impl Connection {
    pub(crate) fn pause_reading(&self) {
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
        let (Some(source), Some(calls)) = (self.source(), self.calls()) else { return };
        if calls.is_buffered() {
            return self.fill(source.get_ref(), &*calls);
        }
        match uninterrupted(|| io::receive(source.get_ref())) {
            Ok((data, _)) if data.is_empty() => self.read_end(),
            Ok((data, drained)) => {
                self.read_again_unless(drained);
                let told = self.during_call(&*calls, |calls, handle| calls.data(handle, data));
                if let Ok(Err(error)) | Err(error) = told {
                    self.fatal(error, "Fatal error: protocol.data_received() call failed.");
                }
            }
            Err(error) => self.read_failed(error),
        }
    }

    /// Has a protocol with a buffer of its own read.
    fn fill(&self, io: &io::Io, calls: &dyn Calls) {
        let mut room = 0;
        let mut read = |buffer: &mut [u8]| {
            room = buffer.len();
            uninterrupted(|| io.receive(buffer))
        };
        let filled = self.during_call(calls, |calls, handle| calls.fill(handle, &mut read));
        match filled {
            Ok(Ok(Ok(0))) => self.read_end(),
            Ok(Ok(Ok(nbytes))) => {
                self.read_again_unless(nbytes < room);
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
                // What a terminal says when its other side has hung up is no news to the handler.
                if !is_hangup {
                    let message = "Fatal read error on pipe transport".to_owned();
                    self.report(message, error.clone());
                }
                self.force_close(Some(error));
            }
            _ => self.fatal(error.into(), "Fatal read error on a transport"),
        }
    }

    /// Reads again in the next iteration, unless there was less than there was room for and that
    /// means that there is no more.
    #[inline]
    fn read_again_unless(&self, drained: bool) {
        if !(drained && self.drained_by_less.get()) {
            self.read_again();
        }
    }

    #[cold]
    fn read_again(&self) {
        if let Some(source) = self.source() {
            source.attend_again(READABLE);
        }
    }

    /// The other side will send no more.
    #[cold]
    fn read_end(&self) {
        self.reading.ended.set(true);
        if self.kind() == Kind::ReadPipe {
            // Each as a step of its own, and whatever the protocol answers.
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
