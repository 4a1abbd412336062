//! [`Connection`]: the part of a stream transport that lives in the loop.
//!
//! It is made, told its protocol, and *started*, which takes effect in the next iteration: then the
//! protocol's `connection_made` is called, and the descriptor watched. From there on it is driven
//! by the readiness of its [`Source`] and by its handles. It ends in one way, *lost*: `connection_lost` is
//! called as a step of its own, and then everything is let go.
//!
//! ```text
//!           close() and nothing buffered, force_close()
//!   open ────────────────────────────────────────────────► losing ─► lost
//!     │ close()                 all sent, force_close()      ▲    (a step)
//!     └──────────► closing ──────────────────────────────────┘
//! ```
//!
//! How it reads is in [`reading`], how it writes in [`writing`].
//!
//! After a system call the processor has forgotten where the callers of the caller return to, and
//! guesses wrongly at each; so what leads to one for every message is written to be inlined into few
//! functions, and what is rare stands apart from it.

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
    exception::{Level, log},
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

/// What kind of thing a connection is, where it matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// A stream socket, with both directions, and whether it is a TCP socket, where a short read or
    /// write means that the next one would block.
    Socket { is_tcp: bool },
    /// The end of a pipe to read from.
    ReadPipe,
    /// The end of a pipe to write to; whether it becomes readable when the other end is closed.
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
    /// Taken out likewise.
    protocol: RefCell<Option<Calls>>,
    /// Whether a read or write of less than there was room for means that the next one would block.
    drained_by_less: Cell<bool>,
    /// Whether the descriptor cannot be registered with the poller, because it is always ready.
    unwatched: Cell<bool>,
    flow: FlowControl,
    reading: reading::State,
    writing: writing::State,
    /// Called when the connection is lost, after the protocol: the server counts.
    on_lost: RefCell<Option<Box<dyn FnOnce()>>>,
}

impl Connection {
    /// A connection with its protocol in the loop that runs in this thread. It does nothing until it
    /// is [started](Connection::start).
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

    /// In the next iteration, and in this order: calls `connection_made`, begins to read, and gives
    /// `made` its result.
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
                // Cancelled by now, perhaps.
                let _ = made.set_result(());
            }
        });
    }

    /// Has the connection called with the readiness of its descriptor.
    fn set_handler(&self) -> Result<()> {
        let Some(source) = self.source() else { return Ok(()) };
        if self.is_losing() {
            return Ok(());
        }
        // A circle that is broken when the connection is lost, or its loop closed.
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

    /// The handle of this connection.
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

    /// What is read and written, until the connection is lost.
    #[inline]
    pub(crate) fn source(&self) -> Option<Rc<Source<Io>>> {
        self.source.borrow().clone()
    }

    /// Sets what is called when the connection is lost.
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
        // Nearly always there is room as well, and nothing to send.
        if ready.writable && self.buffered() > 0 {
            self.write_ready();
        }
    }
}

/// `call_soon`, of a loop that is open or else does nothing any more.
#[track_caller]
pub(crate) fn call_soon(home: LoopRef, f: impl FnOnce() + 'static) {
    let (values, location) = (current_values(), Location::caller());
    let call = move || {
        f();
        Ok(())
    };
    home.with(|scheduler| drop(scheduler.call_soon(call, values, location)));
}

/// `call_later`, of the loop that runs. Does nothing if that is being closed.
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

    /// The `RefCell` of the protocol.
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

    /// Ends it without sending what is buffered; [`Transport::abort`] without an error.
    pub(crate) fn force_close(&self, error: Option<Error>) {
        self.receive_what_was_left();
        if self.is_losing() {
            return;
        }
        self.set_closing();
        self.discard(error.as_ref());
        self.lose(error);
    }

    /// Ends it because of an error: one of the system goes to the protocol alone, any other to the
    /// exception handler as well.
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

    /// Whether it was closed, before it is now.
    fn set_closing(&self) -> bool {
        self.handle().0.closing.swap(true, Ordering::Relaxed)
    }

    #[inline]
    pub(crate) fn is_closing(&self) -> bool {
        self.handle().is_closing()
    }

    /// Tells the protocol, in a step of its own, and lets everything go.
    fn lose(&self, error: Option<Error>) {
        if !self.writing.set_losing() {
            self.soon(move |connection| connection.lost(error));
        }
    }

    /// The same at once, in a step that is the connection's own.
    fn lose_now(&self) {
        if !self.writing.set_losing() {
            self.lost(None);
        }
    }

    /// The last step. Nothing is called after it.
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

/// Does an operation again as long as signals interrupt it.
#[inline]
fn uninterrupted<R>(mut operation: impl FnMut() -> io::Result<R>) -> io::Result<R> {
    loop {
        match operation() {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            outcome => return outcome,
        }
    }
}
