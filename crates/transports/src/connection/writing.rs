//! Writing of a connection. The system takes as much as it can immediately; the rest stays in a
//! buffer, and the protocol is called above the high-water mark and at the low one.

use super::{CallsProtocol, Connection, Kind, WRITABLE, uninterrupted};
use crate::io::{Io, PIECES};
use asyncio_core::{Error, Result, wait_site::WaitSite};
use asyncio_future::Future;
use asyncio_sockets::is_short;
use bytes::{Buf, BytesMut};
use std::{
    cell::{Cell, RefCell},
    io::{self, IoSlice},
};

pub(super) struct State {
    buffer: RefCell<BytesMut>,
    /// Whether nothing more will be written.
    ended: Cell<bool>,
    /// Whether the connection is being lost.
    losing: Cell<bool>,
    /// The operation that bypasses the buffer, and waits until it is empty.
    emptied: RefCell<Option<Future<()>>>,
}

impl State {
    pub(super) fn new() -> State {
        State {
            buffer: RefCell::new(BytesMut::new()),
            ended: Cell::new(false),
            losing: Cell::new(false),
            emptied: RefCell::new(None),
        }
    }

    /// Marks the connection as being lost; returns whether it was before.
    pub(super) fn set_losing(&self) -> bool {
        self.losing.replace(true)
    }
}

impl Connection {
    #[inline]
    pub(crate) fn write(&self, data: &[u8]) -> Result<()> {
        self.check_may_write("write")?;
        if data.is_empty() || self.writes_are_lost() {
            return Ok(());
        }
        let Some(sent) = self.send_at_once(|io| io.send(data)) else { return Ok(()) };
        if sent < data.len() {
            self.keep(&data[sent..], sent);
        }
        Ok(())
    }

    /// Buffers the data that the system did not take.
    #[cold]
    fn keep(&self, data: &[u8], sent: usize) {
        self.writing.buffer.borrow_mut().extend_from_slice(data);
        self.write_rest(sent);
        self.update_flow();
    }

    pub(crate) fn writelines(&self, pieces: &[IoSlice<'_>]) -> Result<()> {
        self.check_may_write("writelines")?;
        if pieces.iter().all(|piece| piece.is_empty()) || self.writes_are_lost() {
            return Ok(());
        }
        let Some(sent) = self.send_at_once(|io| io.send_vectored(pieces)) else { return Ok(()) };
        let mut gone = sent;
        let mut buffer = self.writing.buffer.borrow_mut();
        for piece in pieces {
            let skipped = gone.min(piece.len());
            gone -= skipped;
            buffer.extend_from_slice(&piece[skipped..]);
        }
        let is_rest = !buffer.is_empty();
        drop(buffer);
        if pieces.len() > PIECES {
            self.write_again();
        } else if is_rest {
            self.write_rest(sent);
        }
        self.update_flow();
        Ok(())
    }

    pub(crate) fn write_eof(&self) {
        if self.is_closing() || self.writing.ended.get() {
            return;
        }
        match self.kind() {
            Kind::Socket { .. } => {
                self.writing.ended.set(true);
                if self.buffered() == 0 && !self.is_sending_file() {
                    self.shutdown_write();
                }
            }
            Kind::WritePipe { .. } => self.close(),
            Kind::ReadPipe => {}
        }
    }

    #[inline]
    pub(crate) fn buffered(&self) -> usize {
        self.writing.buffer.borrow().len()
    }

    /// Whether the protocol has to pause.
    #[cfg(feature = "tls")]
    pub(crate) fn is_full(&self) -> bool {
        self.flow.is_paused()
    }

    pub(crate) fn water_marks(&self) -> (usize, usize) {
        self.flow.water_marks()
    }

    pub(crate) fn set_water_marks(&self, low: usize, high: usize) {
        self.flow.set_water_marks(low, high);
        self.update_flow();
    }

    #[inline]
    fn check_may_write(&self, what: &str) -> Result<()> {
        let is_over = self.kind() == Kind::ReadPipe || self.writing.ended.get();
        if is_over || self.is_sending_file() { self.refuse(what) } else { Ok(()) }
    }

    /// Checks whether writing is allowed, and returns the error if it is not.
    #[cold]
    fn refuse(&self, what: &str) -> Result<()> {
        if self.kind() == Kind::ReadPipe {
            return Err(Error::runtime(format!("Cannot call {what}() of a read pipe")));
        }
        if self.writing.ended.get() {
            return Err(Error::runtime(format!("Cannot call {what}() after write_eof()")));
        }
        Err(Error::runtime(format!("unable to {what}; sendfile is in progress")))
    }

    /// Whether the connection is lost, or about to be; then this write is counted.
    #[inline]
    fn writes_are_lost(&self) -> bool {
        if self.is_losing() {
            self.handle().0.count_lost_write();
            return true;
        }
        // A pipe sends only what was written before it was closed.
        !self.kind().is_socket() && self.is_closing()
    }

    #[inline]
    pub(super) fn is_losing(&self) -> bool {
        self.writing.losing.get()
    }

    /// Sends if nothing is buffered, and returns the number of bytes sent; `None` if this ended the
    /// connection.
    #[inline]
    fn send_at_once(&self, send: impl Fn(&Io) -> io::Result<usize>) -> Option<usize> {
        if self.buffered() > 0 {
            return Some(0);
        }
        // Borrowed, and not counted: nothing is called meanwhile.
        let source = self.source.borrow();
        let io = source.as_ref()?.get_ref();
        let outcome = uninterrupted(|| send(io));
        drop(source);
        match outcome {
            Ok(sent) => Some(sent),
            Err(error) => self.send_failed(error),
        }
    }

    #[cold]
    fn send_failed(&self, error: io::Error) -> Option<usize> {
        if error.kind() == io::ErrorKind::WouldBlock {
            return Some(0);
        }
        self.fatal(error.into(), "Fatal write error on a transport");
        None
    }

    /// There is room: sends the buffered data, which is not empty.
    #[cold]
    pub(super) fn write_ready(&self) {
        let Some(source) = self.source() else { return };
        if self.is_losing() {
            return;
        }
        let sent = uninterrupted(|| source.get_ref().send(&self.writing.buffer.borrow()));
        let sent = match sent {
            Ok(sent) => sent,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return,
            Err(error) => return self.fatal(error.into(), "Fatal write error on a transport"),
        };
        self.writing.buffer.borrow_mut().advance(sent);
        self.update_flow();
        if self.buffered() > 0 {
            return self.write_rest(sent);
        }
        self.writing.buffer.take();
        if let Some(emptied) = &*self.writing.emptied.borrow() {
            let _ = emptied.set_result(());
        }
        if self.is_closing() {
            self.lose_now();
        } else if self.writing.ended.get() && !self.is_sending_file() {
            self.shutdown_write();
        }
    }

    /// The system took only `sent` bytes. The poller reports when there is room again, unless there may
    /// still be room now.
    fn write_rest(&self, sent: usize) {
        if !(self.drained_by_less.get() && is_short(sent, usize::MAX)) {
            self.write_again();
        }
    }

    fn write_again(&self) {
        self.again(WRITABLE);
    }

    fn shutdown_write(&self) {
        if let Some(source) = self.source() {
            // It fails if the connection is broken, which reading or writing reports.
            let _ = source.get_ref().shutdown_write();
        }
    }

    /// The other end of the pipe was closed.
    pub(super) fn reader_is_gone(&self) {
        let error = match self.buffered() {
            0 => None,
            _ => Some(io::Error::from(io::ErrorKind::BrokenPipe).into()),
        };
        self.force_close(error);
    }

    #[inline]
    fn is_sending_file(&self) -> bool {
        self.writing.emptied.borrow().is_some()
    }

    /// Keeps other callers from writing, and stops reading. The caller may bypass the buffer when
    /// the future is done, because the buffer was then sent.
    pub(crate) fn begin_sendfile(&self, site: WaitSite) -> Result<Future<()>> {
        self.check_may_write("sendfile")?;
        let emptied = Future::of_loop(site, None);
        if self.buffered() == 0 {
            let _ = emptied.set_result(());
        }
        self.writing.emptied.replace(Some(emptied.clone()));
        self.pause_reading();
        Ok(emptied)
    }

    /// Lets others write again. An error that broke the connection ends it.
    pub(crate) fn end_sendfile(&self, error: Option<Error>) {
        drop(self.writing.emptied.take());
        match error {
            Some(error) if is_broken(&error) => {
                self.fatal(error, "Fatal write error on a transport");
            }
            _ if self.writing.ended.get() && self.buffered() == 0 => self.shutdown_write(),
            _ => {}
        }
    }

    /// Drops the buffered data.
    pub(super) fn discard(&self, error: Option<&Error>) {
        self.writing.buffer.take();
        if let Some(emptied) = &*self.writing.emptied.borrow() {
            let error = error.cloned();
            let reset = || io::Error::from(io::ErrorKind::ConnectionReset).into();
            let _ = emptied.set_exception(error.unwrap_or_else(reset));
        }
    }

    /// Calls the protocol if a mark was passed.
    fn update_flow(&self) {
        self.flow.measure(self.buffered());
        self.announce();
    }
}

/// Whether an error is about the connection, and not about a file.
fn is_broken(error: &Error) -> bool {
    use io::ErrorKind as Kind;
    let Error::Io(error) = error else { return false };
    matches!(
        error.kind(),
        Kind::BrokenPipe
            | Kind::ConnectionAborted
            | Kind::ConnectionReset
            | Kind::NotConnected
            | Kind::TimedOut
            | Kind::HostUnreachable
            | Kind::NetworkUnreachable
            | Kind::NetworkDown
    )
}
