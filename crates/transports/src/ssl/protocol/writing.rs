//! Writing. Data is encrypted and passed to the transport below until that is full. The rest stays plaintext
//! until the transport below has room again.

use super::{CallsProtocol, Error, Result, SslProtocol, State, Told};
use asyncio_core::wait_site::WaitSite;
use asyncio_future::Future;
use bytes::{Buf, BytesMut};
use std::{
    cell::{Cell, RefCell},
    io::{self, IoSlice},
};

/// Written data that is not encrypted yet.
#[derive(Default)]
pub(super) struct Unsent {
    pub(super) backlog: RefCell<BytesMut>,
    /// Whether all data goes to the transport below, even if that is full. After its end has been received,
    /// that transport does not say when it has room again.
    pub(super) is_forced: Cell<bool>,
    /// Set while a file is sent: done when the backlog is empty.
    emptied: RefCell<Option<Future<()>>>,
}

impl SslProtocol {
    pub(super) fn write_pieces(&self, what: &str, pieces: &[IoSlice<'_>]) -> Result<()> {
        if self.writing.emptied.borrow().is_some() {
            let text = format!("unable to {what}; sendfile is in progress");
            return Err(Error::runtime(text));
        }
        if pieces.iter().all(|piece| piece.is_empty()) {
            return Ok(());
        }
        match self.state.get() {
            State::Wrapped => {}
            State::DoHandshake => {}
            State::Unwrapped if self.told.get() == Told::Nothing && !self.handle().is_closing() => {
            }
            State::Unwrapped | State::Flushing | State::Shutdown => {
                self.handle().0.count_lost_write();
                return Ok(());
            }
        }
        self.write_some(pieces);
        Ok(())
    }

    /// Encrypts as much as there is room for, and keeps the rest.
    pub(super) fn write_some(&self, pieces: &[IoSlice<'_>]) {
        for piece in pieces {
            let written = match self.writing.backlog.borrow().is_empty() {
                true => self.encrypt(piece),
                false => Ok(0),
            };
            match written {
                Ok(written) if written < piece.len() => {
                    self.writing.backlog.borrow_mut().extend_from_slice(&piece[written..]);
                }
                Ok(_) => {}
                Err(error) => return self.fail(error, "Fatal error on SSL protocol"),
            }
        }
        self.update_flow();
    }

    /// Encrypts as much of `data` as there is room for, and returns how much. There is no room before the end of
    /// the handshake.
    fn encrypt(&self, data: &[u8]) -> Result<usize> {
        if !matches!(self.state.get(), State::Wrapped | State::Flushing) {
            return Ok(0);
        }
        match self.below() {
            Some(below) => {
                let is_forced = self.writing.is_forced.get();
                self.session.borrow_mut().write(data, &*below, is_forced)
            }
            // The connection is lost, and the data with it.
            None => Ok(data.len()),
        }
    }

    /// Encrypts as much of the backlog as there is room for. If it is empty then, a connection that is being
    /// flushed proceeds to the next state.
    pub(super) fn push(&self) {
        let mut backlog = self.writing.backlog.take();
        if !backlog.is_empty() {
            match self.encrypt(&backlog) {
                Ok(written) => backlog.advance(written),
                Err(error) => return self.fail(error, "Fatal error on SSL protocol"),
            }
        }
        let is_empty = backlog.is_empty();
        if !is_empty {
            self.writing.backlog.replace(backlog);
        } else if let Some(emptied) = &*self.writing.emptied.borrow() {
            let _ = emptied.set_result(());
        }
        self.update_flow();
        if is_empty && self.state.get() == State::Flushing {
            self.shut_down();
        }
    }

    /// Prevents other writes, and pauses reading. The future is done when the backlog is empty.
    pub(super) fn begin_sendfile(&self, site: WaitSite) -> Result<Future<()>> {
        if self.writing.emptied.borrow().is_some() {
            return Err(Error::runtime("unable to sendfile; sendfile is in progress"));
        }
        let emptied = Future::of_loop(site, None);
        if self.writing.backlog.borrow().is_empty() {
            let _ = emptied.set_result(());
        }
        self.receive_what_was_left();
        self.writing.emptied.replace(Some(emptied.clone()));
        self.reading.paused.set(true);
        Ok(emptied)
    }

    /// Sends a part of the file. The future is done when all of that is encrypted.
    pub(in super::super) fn send_block(&self, block: &[u8], site: WaitSite) -> Future<()> {
        let emptied = Future::of_loop(site, None);
        self.writing.emptied.replace(Some(emptied.clone()));
        self.write_some(&[IoSlice::new(block)]);
        if self.writing.backlog.borrow().is_empty() {
            let _ = emptied.set_result(());
        }
        emptied
    }

    /// Permits other writes again.
    pub(super) fn end_sendfile(&self) {
        drop(self.writing.emptied.take());
    }

    /// Calls the protocol if a mark was passed.
    pub(super) fn update_flow(&self) {
        self.flow.measure(self.writing.backlog.borrow().len());
        self.announce();
    }

    /// Drops the data that is not encrypted.
    pub(super) fn discard(&self, error: Option<&Error>) {
        self.writing.backlog.take();
        if let Some(emptied) = &*self.writing.emptied.borrow() {
            let reset = || io::Error::from(io::ErrorKind::ConnectionReset).into();
            let _ = emptied.set_exception(error.cloned().unwrap_or_else(reset));
        }
    }
}
