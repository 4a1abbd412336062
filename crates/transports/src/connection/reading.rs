//! How a connection reads: once for each piece of news, and again in the next iteration if there may
//! be more, so that one busy peer does not keep the others waiting.

use super::{Connection, Event, Kind, uninterrupted};
use crate::io;
use asyncio_core::{
    Error, Result,
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

/// What came of one attempt.
enum Received {
    Data(Event),
    End,
    Nothing,
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

    pub(crate) fn is_reading(&self) -> bool {
        !self.reading.paused.get() && !self.is_closing()
    }

    pub(super) fn read_ready(&self) {
        if self.reading.ended.get() {
            return;
        }
        if !self.is_reading() {
            self.reading.unread.set(true);
            return;
        }
        match self.receive() {
            Ok(Ok(Received::Data(event))) => {
                let callback = match event {
                    Event::Filled(_) => "buffer_updated",
                    _ => "data_received",
                };
                if let Err(error) = self.tell(event) {
                    let message = format!("Fatal error: protocol.{callback}() call failed.");
                    self.fatal(error, &message);
                }
            }
            Ok(Ok(Received::End)) => self.read_end(),
            Ok(Ok(Received::Nothing)) => {}
            Ok(Err(error)) if self.kind() == Kind::ReadPipe => {
                let is_hangup = error.raw_os_error() == Some(libc::EIO);
                let error = Error::from(error);
                // What a terminal says when its other side has hung up is no news to the handler.
                if !is_hangup {
                    let message = "Fatal read error on pipe transport".to_owned();
                    self.report(message, error.clone());
                }
                self.force_close(Some(error));
            }
            Ok(Err(error)) => self.fatal(error.into(), "Fatal read error on a transport"),
            Err(error) => self.fatal(error, "Fatal error: protocol.get_buffer() call failed."),
        }
    }

    /// Receives once. The outer error is the protocol's, the inner one the system's.
    fn receive(&self) -> Result<std::io::Result<Received>> {
        let (Some(source), Some(calls)) = (self.source(), self.calls()) else {
            return Ok(Ok(Received::Nothing));
        };
        let io = source.get_ref();
        let outcome = if calls.is_buffered() {
            let mut room = 0;
            let mut read = |buffer: &mut [u8]| {
                room = buffer.len();
                uninterrupted(|| io.receive(buffer))
            };
            let filled = self.during_call(&*calls, |calls, handle| calls.fill(handle, &mut read));
            filled??.map(|nbytes| (Event::Filled(nbytes), nbytes, nbytes < room))
        } else {
            uninterrupted(|| io::receive(io)).map(|(data, drained)| {
                let nbytes = data.len();
                (Event::Data(data), nbytes, drained)
            })
        };
        Ok(match outcome {
            Ok((_, 0, _)) => Ok(Received::End),
            Ok((event, _, drained)) => {
                if !(drained && self.drained_by_less.get()) {
                    self.read_again();
                }
                Ok(Received::Data(event))
            }
            Err(error) if error.kind() == ErrorKind::WouldBlock => {
                source.clear_readiness(Direction::Read);
                Ok(Received::Nothing)
            }
            Err(error) => Err(error),
        })
    }

    fn read_again(&self) {
        if let Some(source) = self.source() {
            source.attend_again(READABLE);
        }
    }

    /// The other side will send no more.
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
