//! [`Connection`]: the part of a stream transport that lives in the loop.
//!
//! It is created with its protocol, and *started*, which takes effect in the next iteration: the
//! protocol's `connection_made` is called, and the descriptor is watched. From then on, it is driven by
//! the readiness of its [`Source`] and by its handles. It always ends by being *lost*: `connection_lost`
//! is called as a separate step, and then everything is dropped.
//!
//! ```text
//!           close() and nothing buffered, force_close()
//!   open ────────────────────────────────────────────────► losing ─► lost
//!     │ close()                 all sent, force_close()      ▲    (a step)
//!     └──────────► closing ──────────────────────────────────┘
//! ```
//!
//! Reading is in [`reading`], writing in [`writing`].
//!
//! A system call flushes the return predictor, so every return after it is mispredicted. The code
//! that runs for every message is therefore written to be inlined into few functions, and rare code
//! is kept apart from it.

use crate::{
    extra_info::Names,
    flow_control::FlowControl,
    io::Io,
    slot::{Calls, CallsProtocol, Event},
    transport::{Shared, Transport},
};
use asyncio_core::{
    Error, Result,
    context::current_values,
    log::{Level, log},
    raw::{LoopLocal, LoopRef, is_debug, with_entered},
    source::{OnReady, Readiness, Source},
};
use asyncio_future::Future;
use std::{
    any::Any,
    cell::{Cell, OnceCell, RefCell},
    io,
    panic::Location,
    rc::Rc,
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

pub use reading::Arrival;

mod reading;
#[cfg(test)]
mod tests;
mod writing;

/// The kind of a connection's descriptor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// A stream socket, with both directions, and whether it is a TCP socket, where a short read or
    /// write means that the next one would block.
    Socket { is_tcp: bool },
    /// The reading end of a pipe.
    ReadPipe,
    /// The writing end of a pipe; `tells_the_end` if it becomes readable when the other end is
    /// closed.
    WritePipe { tells_the_end: bool },
}

const READABLE: Readiness = Readiness { readable: true, writable: false, hangup: false };
const WRITABLE: Readiness = Readiness { readable: false, writable: true, hangup: false };

impl Kind {
    pub(crate) fn is_socket(self) -> bool {
        matches!(self, Kind::Socket { .. })
    }
}

/// A stream transport, in the loop.
pub(crate) struct Connection {
    handle: OnceCell<Transport>,
    /// Taken out when the connection is lost, which closes it.
    source: RefCell<Option<Rc<Source<Io>>>>,
    /// Taken out as well.
    protocol: RefCell<Option<Calls>>,
    /// Whether a read or write of less than there was room for means that the next one would block.
    drained_by_less: Cell<bool>,
    /// Whether the descriptor cannot be registered with the poller, because it is always ready.
    unwatched: Cell<bool>,
    flow: FlowControl,
    reading: reading::State,
    writing: writing::State,
    /// Called when the connection is lost, after the protocol, so that the server can count.
    on_lost: RefCell<Option<Box<dyn FnOnce()>>>,
}

impl Connection {
    /// Creates a connection with its protocol in the loop that runs in this thread. It does nothing
    /// until it is [started](Connection::start).
    ///
    /// # Errors
    /// `Runtime` if no loop runs, or it is being closed.
    pub(crate) fn open(io: Io, kind: Kind, names: Names, protocol: Calls) -> Result<Transport> {
        let connection = Rc::new(Connection {
            handle: OnceCell::new(),
            source: RefCell::new(Some(Rc::new(Source::new(io)))),
            protocol: RefCell::new(Some(protocol)),
            drained_by_less: Cell::new(false),
            unwatched: Cell::new(false),
            flow: FlowControl::new(),
            reading: reading::State::default(),
            writing: writing::State::new(),
            on_lost: RefCell::new(None),
        });
        let local = LoopLocal::new(connection.clone())?;
        let handle = Transport(Arc::new(Shared::new(local, kind, names)));
        Ok(connection.handle.get_or_init(|| handle).clone())
    }

    /// Starts it in the next iteration: calls `connection_made`, begins to read, and sets the
    /// result of `made`, in this order.
    #[track_caller]
    pub(crate) fn start(&self, made: Option<Future<()>>) {
        self.soon(move |connection| {
            connection.call(Event::Made, "connection_made");
            match connection.set_handler() {
                Err(error) if connection.is_always_ready(&error) => {
                    connection.unwatched.set(true);
                    if connection.kind() == Kind::ReadPipe {
                        connection.again(READABLE);
                    }
                }
                Err(error) => {
                    connection.fatal(error, "Cannot watch the descriptor of a transport");
                }
                Ok(()) => {}
            }
            if let Some(made) = made {
                // It may already have been cancelled.
                let _ = made.set_result(());
            }
        });
    }

    /// Registers the connection for the readiness of its descriptor.
    fn set_handler(&self) -> Result<()> {
        let Some(source) = self.source() else { return Ok(()) };
        if self.is_losing() {
            return Ok(());
        }
        // This reference cycle is broken when the connection is lost, or its loop is closed.
        let Some(connection) = self.local().get() else { return Ok(()) };
        source.set_handler(connection)
    }

    /// Whether this says that the descriptor is always ready, as a device like `/dev/null` is.
    fn is_always_ready(&self, error: &Error) -> bool {
        let may_be_device =
            matches!(self.kind(), Kind::ReadPipe | Kind::WritePipe { tells_the_end: false });
        let Error::Io(error) = error else { return false };
        may_be_device && error.kind() == io::ErrorKind::PermissionDenied
    }

    /// Handles `readiness` in the next iteration, as if the poller had reported it.
    fn again(&self, readiness: Readiness) {
        if self.unwatched.get() {
            self.soon(move |connection| connection.on_ready(readiness));
        } else if let Some(source) = self.source() {
            source.call_handler_again(readiness);
        }
    }

    /// Returns the handle of this connection.
    #[inline]
    pub(crate) fn handle(&self) -> &Transport {
        self.handle.get().expect("set when the connection is opened")
    }

    #[inline]
    fn kind(&self) -> Kind {
        self.handle().0.kind
    }

    fn local(&self) -> LoopLocal<Connection> {
        self.handle().0.local
    }

    /// Returns the source, until the connection is lost.
    #[inline]
    pub(crate) fn source(&self) -> Option<Rc<Source<Io>>> {
        self.source.borrow().clone()
    }

    /// Sets the function that is called when the connection is lost.
    pub(crate) fn on_lost(&self, f: impl FnOnce() + 'static) {
        self.on_lost.replace(Some(Box::new(f)));
    }

    /// Calls `f` in the next iteration, if the connection is still there.
    #[track_caller]
    fn soon(&self, f: impl FnOnce(&Connection) + 'static) {
        let local = self.local();
        call_soon(local.home(), move || {
            if let Some(connection) = local.get() {
                f(&connection);
            }
        });
    }
}

impl OnReady for Connection {
    fn on_ready(&self, ready: Readiness) {
        let is_tcp = self.kind() == Kind::Socket { is_tcp: true };
        self.drained_by_less.set(is_tcp && !ready.hangup);
        if ready.readable {
            match self.kind() {
                Kind::WritePipe { tells_the_end } if tells_the_end => self.reader_is_gone(),
                Kind::WritePipe { .. } => {}
                Kind::Socket { .. } | Kind::ReadPipe => self.read_ready(),
            }
        }
        // Usually there is also room, and nothing to send.
        if ready.writable && self.buffered() > 0 {
            self.write_ready();
        }
    }
}

/// Does what `call_soon` does; nothing if the loop is closed.
#[track_caller]
pub(crate) fn call_soon(home: LoopRef, f: impl FnOnce() + 'static) {
    let (values, location) = (current_values(), Location::caller());
    let call = move || {
        f();
        Ok(())
    };
    home.with(|scheduler| drop(scheduler.call_soon(call, values, location)));
}

/// Does what `call_later` does, in the running loop; nothing if it is being closed.
#[track_caller]
pub(crate) fn call_later(delay: Duration, f: impl FnOnce() -> Result<()> + 'static) {
    let (values, location) = (current_values(), Location::caller());
    with_entered(|scheduler| {
        let when = scheduler.timers.time().saturating_add(delay);
        drop(scheduler.call_at(when, f, values, location));
    });
}

/// The protocol.
impl Connection {
    pub(crate) fn set_protocol(&self, protocol: Calls) {
        self.receive_what_was_left();
        let replaced = self.protocol.replace(Some(protocol));
        drop(replaced);
    }

    /// Returns the `RefCell` of the protocol.
    pub(crate) fn protocol(&self) -> Option<Rc<dyn Any>> {
        Some(self.calls()?.protocol())
    }
}

impl CallsProtocol for Connection {
    #[inline]
    fn transport(&self) -> &Transport {
        Connection::handle(self)
    }

    #[inline]
    fn calls(&self) -> Option<Calls> {
        self.protocol.borrow().clone()
    }

    #[inline]
    fn flow(&self) -> &FlowControl {
        &self.flow
    }

    #[inline]
    fn may_pause(&self) -> bool {
        true
    }
}

/// The end.
impl Connection {
    /// See [`Transport::close`].
    pub(crate) fn close(&self) {
        self.receive_what_was_left();
        if self.set_closing() {
            return;
        }
        if self.buffered() == 0 {
            self.lose(None);
        }
    }

    /// Ends it without sending the buffered data; without an error, this is [`Transport::abort`].
    pub(crate) fn force_close(&self, error: Option<Error>) {
        self.receive_what_was_left();
        if self.is_losing() {
            return;
        }
        self.set_closing();
        self.discard(error.as_ref());
        self.lose(error);
    }

    /// Ends it because of an error. A system error goes only to the protocol, any other error to
    /// the exception handler as well.
    fn fatal(&self, error: Error, message: &str) {
        match &error {
            Error::Io(_) if is_debug() => {
                log(Level::Info, &format!("{:?}: {message}: {error}", self.handle()));
            }
            Error::Io(_) => {}
            _ => self.report(message.to_owned(), error.clone()),
        }
        self.force_close(Some(error));
    }

    /// Marks it as closing; returns whether it was before.
    fn set_closing(&self) -> bool {
        self.handle().0.closing.swap(true, Ordering::Relaxed)
    }

    #[inline]
    pub(crate) fn is_closing(&self) -> bool {
        self.handle().is_closing()
    }

    /// Calls the protocol, in a separate step, and drops everything.
    fn lose(&self, error: Option<Error>) {
        if !self.writing.set_losing() {
            self.soon(move |connection| connection.lost(error));
        }
    }

    /// Does the same immediately, in a step of the connection itself.
    fn lose_now(&self) {
        if !self.writing.set_losing() {
            self.lost(None);
        }
    }

    /// Runs the last step. Nothing is called after it.
    fn lost(&self, error: Option<Error>) {
        self.call(Event::Lost(error), "connection_lost");
        let let_go = (self.source.take(), self.protocol.take(), self.local().remove());
        if let Some(on_lost) = self.on_lost.take() {
            on_lost();
        }
        drop(let_go);
    }
}

/// A connection that was not lost when its loop was closed.
impl Drop for Connection {
    fn drop(&mut self) {
        let Some(handle) = self.handle.get().filter(|_| self.source.get_mut().is_some()) else {
            return;
        };
        if handle.0.local.home().with(|scheduler| scheduler.reports.debug()) == Some(true) {
            log(Level::Warning, &format!("unclosed transport {handle:?}"));
        }
    }
}

/// Repeats an operation as long as signals interrupt it.
#[inline]
fn uninterrupted<R>(mut operation: impl FnMut() -> io::Result<R>) -> io::Result<R> {
    loop {
        match operation() {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            outcome => return outcome,
        }
    }
}
