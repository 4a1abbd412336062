//! The end of a connection: by `close()`, by the other side, with the transport below, or by a failure.

use super::{CallsProtocol, Error, Event, Level, Ordering, SslProtocol, State, Told, log};
use asyncio_core::{TimeoutError, raw::is_debug};
use std::io;

impl SslProtocol {
    fn set_closing(&self) {
        self.handle().0.closing.store(true, Ordering::Relaxed);
    }

    /// `close()`.
    pub(super) fn start_shutdown(&self) {
        match self.state.get() {
            State::Unwrapped | State::DoHandshake => self.abort(None),
            // Data that the other side sent before its end is no longer waited for.
            State::Flushing => self.push(),
            State::Shutdown => {}
            State::Wrapped => {
                self.set_closing();
                self.set_state(State::Flushing);
                self.limit(self.limits.shutdown, |ssl| {
                    let error = TimeoutError::new("SSL shutdown timed out");
                    ssl.abort(Some(Error::Timeout(error)));
                });
                match self.flow.is_calling() {
                    // A callback of the protocol is running, so that the protocol cannot be called now.
                    true => self.soon(SslProtocol::flush),
                    false => self.flush(),
                }
            }
        }
    }

    /// Delivers the data that has arrived, and sends the rest.
    pub(super) fn flush(&self) {
        let may_read = || self.state.get() == State::Flushing && !self.reading.paused.get();
        while may_read() && self.has_unread() {
            if let Err(error) = self.deliver(&mut []) {
                return self.fail(error, "Fatal error on SSL protocol");
            }
        }
        if self.state.get() == State::Flushing {
            self.push();
        }
    }

    /// Sends `close_notify` after all data, and waits for that of the other side.
    pub(super) fn shut_down(&self) {
        self.set_state(State::Shutdown);
        if !self.reading.ended.get() {
            self.session.borrow_mut().send_close_notify();
            if let Err(error) = self.flush_session() {
                return self.fail(error, "Fatal error on SSL protocol");
            }
        }
        self.drop_unread();
        if self.state.get() == State::Shutdown && self.reading.ended.get() {
            self.shutdown_is_over();
        }
    }

    /// Both sides have closed.
    pub(super) fn shutdown_is_over(&self) {
        self.end_limit();
        self.call_eof_received();
        self.soon(|ssl| ssl.lower().close());
    }

    fn call_eof_received(&self) {
        if self.told.get() != Told::Made {
            return;
        }
        self.told.set(Told::Eof);
        match self.tell(Event::Eof) {
            Ok(false) => {}
            Ok(true) => log(
                Level::Warning,
                "returning true from eof_received() has no effect when using ssl",
            ),
            Err(error) => self.fail(error, "Error calling eof_received()"),
        }
    }

    /// The other side has sent its `close_notify`.
    pub(super) fn peer_has_closed(&self) {
        self.call_eof_received();
        self.start_shutdown();
    }

    /// The transport below has received the end. Returns whether it must stay open for now.
    pub(super) fn lower_ended(&self) -> bool {
        self.reading.ended.set(true);
        self.writing.is_forced.set(true);
        match self.state.get() {
            State::Unwrapped => return false,
            State::DoHandshake => {
                let text = "the other side closed the connection during the TLS handshake; it may \
                            speak no TLS there, or have refused what this side offers";
                let error = io::Error::new(io::ErrorKind::ConnectionReset, text);
                self.fail(error.into(), super::HANDSHAKE);
            }
            State::Wrapped => {
                self.set_closing();
                self.set_state(State::Flushing);
                if !(self.reading.paused.get() && self.has_unread()) {
                    self.flush();
                }
            }
            State::Flushing => self.push(),
            State::Shutdown => self.shutdown_is_over(),
        }
        // TLS below ends both directions, and warns of a request to keep one.
        self.lower().can_write_eof()
    }

    /// Ends the connection because of an error. The protocol receives the error; if it is neither one of the
    /// system nor of TLS, the exception handler does as well.
    pub(super) fn fail(&self, error: Error, message: &str) {
        match &error {
            Error::Io(_) if is_debug() => {
                log(Level::Info, &format!("{:?}: {message}: {error}", self.handle()));
            }
            Error::Io(_) => {}
            _ => self.report(message.to_owned(), error.clone()),
        }
        self.wake(Err(error.clone()));
        self.abort(Some(error));
    }

    /// Ends the connection immediately. Buffered data is lost.
    pub(super) fn abort(&self, error: Option<Error>) {
        self.set_closing();
        self.set_state(State::Unwrapped);
        self.end_limit();
        self.discard(error.as_ref());
        if let Some(stream) = self.lower().stream() {
            stream.force_close(error);
        }
    }

    /// The transport below is lost.
    pub(super) fn lower_lost(&self, error: Option<Error>) {
        self.set_closing();
        self.set_state(State::Unwrapped);
        self.end_limit();
        self.discard(error.as_ref());
        if self.made.borrow().is_some() {
            let lost = || io::Error::from(io::ErrorKind::ConnectionAborted).into();
            self.wake(Err(error.clone().unwrap_or_else(lost)));
        }
        self.soon(move |ssl| {
            if matches!(ssl.told.replace(Told::Lost), Told::Made | Told::Eof) {
                // This is the last call of the protocol.
                ssl.call(Event::Lost(error), "connection_lost");
            }
            let local = ssl.local().and_then(|local| local.remove());
            drop((ssl.protocol.take(), local));
        });
    }
}
