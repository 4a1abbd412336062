//! [`Acceptor`]: the part of a server that lives in the loop. It owns the listening sockets, and
//! knows the connections that they have accepted.
//!
//! A connection is set up as in asyncio: it is accepted in one iteration, gets its protocol from the
//! factory in the next, and is made in the one after that. Each set-up is a callback with a copy of
//! the context variables, where asyncio has a task; other connections do not see the values that it
//! sets.

use super::{Shared, binding::Bound, create::Serving};
use crate::{
    Transport,
    connection::{Kind, call_later, call_soon},
    extra_info::Names,
    slot::Calls,
    ssl::Plan,
    trsock::TransportSocket,
};
use asyncio_core::{
    Error, Result,
    exception::ExceptionContext,
    raw::{caught, is_debug, running_loop},
    source::{Readiness, Source},
};
use asyncio_sockets::{Address, Type, accept, is_tcp};
use nix::libc;
use std::{
    cell::{Cell, RefCell},
    collections::BTreeMap,
    io,
    rc::{Rc, Weak},
    sync::Arc,
    time::Duration,
};

/// The time for which a server pauses when the system has no resources for another connection.
pub const ACCEPT_RETRY_DELAY: Duration = Duration::from_secs(1);

/// Makes the protocol of a connection.
pub(super) type Factory = Box<dyn FnMut() -> Calls>;

pub(super) struct Acceptor {
    this: Weak<Acceptor>,
    shared: Arc<Shared>,
    backlog: u32,
    /// How connections are opened.
    plan: Plan,
    /// The largest number of connections.
    max_connections: usize,
    /// The number of connections that were accepted and have no transport yet.
    arriving: Cell<usize>,
    /// Empty once the server is closed.
    listeners: RefCell<Vec<Rc<Listener>>>,
    /// Taken out while it runs, and when the server is closed.
    factory: RefCell<Option<Factory>>,
    /// The connections, in the order in which they came.
    clients: RefCell<BTreeMap<u64, Transport>>,
    /// The number of clients so far.
    accepted: Cell<u64>,
    /// Removes it from the loop.
    leave: Cell<Option<Box<dyn FnOnce()>>>,
}

/// A listening socket.
struct Listener {
    source: Rc<Source<socket2::Socket>>,
    /// The kind of the connections that it accepts.
    kind: Kind,
    /// Whether it pauses because it could not accept.
    pauses: Cell<bool>,
    /// The path of a Unix socket, which is removed after the socket was closed.
    _path: Option<super::unix::OwnPath>,
}

const READABLE: Readiness = Readiness { readable: true, writable: false, hangup: false };

impl Acceptor {
    pub(super) fn new(
        shared: Arc<Shared>,
        bound: Vec<Bound>,
        Serving { backlog, max_connections, .. }: Serving,
        plan: Plan,
        factory: Factory,
    ) -> Rc<Acceptor> {
        let listeners = bound.into_iter().map(|Bound { socket, address, path }| {
            let domain = address.as_sock_addr().domain();
            let kind = Kind::Socket { is_tcp: is_tcp(&socket, domain, Type::STREAM) };
            let source = Rc::new(Source::new(socket));
            Rc::new(Listener { source, kind, pauses: Cell::new(false), _path: path })
        });
        Rc::new_cyclic(|this| Acceptor {
            this: this.clone(),
            shared,
            backlog,
            plan,
            max_connections,
            arriving: Cell::new(0),
            listeners: RefCell::new(listeners.collect()),
            factory: RefCell::new(Some(factory)),
            clients: RefCell::default(),
            accepted: Cell::new(0),
            leave: Cell::new(None),
        })
    }

    /// Sets the function that removes it from the loop at its end.
    pub(super) fn on_end(&self, leave: impl FnOnce() + 'static) {
        self.leave.set(Some(Box::new(leave)));
    }

    pub(super) fn sockets(&self) -> Vec<TransportSocket> {
        let listeners = self.listeners.borrow();
        listeners.iter().filter_map(|listener| TransportSocket::of(&listener.source)).collect()
    }

    /// Listens, and accepts from the next iteration on.
    pub(super) fn start(&self) -> Result<()> {
        if self.shared.life.is_closed() {
            return Err(Error::runtime("the server is closed"));
        }
        if self.shared.life.is_serving() {
            return Ok(());
        }
        let backlog = i32::try_from(self.backlog).unwrap_or(i32::MAX);
        for listener in &*self.listeners.borrow() {
            listener.source.get_ref().listen(backlog)?;
            let (this, weak) = (self.this.clone(), Rc::downgrade(listener));
            listener.source.set_handler(Rc::new(move |ready: Readiness| {
                if let (true, Some(this), Some(listener)) =
                    (ready.readable, this.upgrade(), weak.upgrade())
                {
                    this.accept(&listener);
                }
            }))?;
        }
        self.shared.life.serve();
        Ok(())
    }

    /// Closes the sockets.
    pub(super) fn close(&self) {
        let closed = (self.listeners.take(), self.factory.take());
        self.shared.life.close();
        drop(closed);
        self.end_if_alone();
    }

    /// Accepts the waiting connections, as far as there is room, and closes the sockets. Accepted
    /// connections are set up before the server is closed.
    pub(super) fn close_behind_the_last(&self) {
        let listeners = self.listeners.take();
        listeners.iter().for_each(|listener| self.accept(listener));
        drop(listeners);
        self.soon(Acceptor::close);
    }

    /// Calls `f` with each current connection.
    pub(super) fn each_client(&self, f: impl Fn(&Transport)) {
        let clients: Vec<Transport> = self.clients.borrow().values().cloned().collect();
        clients.iter().for_each(f);
    }

    /// Returns the current connections.
    #[cfg(all(test, feature = "tls"))]
    pub(super) fn all_clients(&self) -> Vec<Transport> {
        self.clients.borrow().values().cloned().collect()
    }

    fn lost(&self, number: u64) {
        let transport = self.clients.borrow_mut().remove(&number);
        drop(transport);
        self.end_if_alone();
        self.make_room();
    }

    /// Whether no more connections are accepted for now. Waiting ones are left with the system.
    fn is_full(&self) -> bool {
        self.clients.borrow().len() + self.arriving.get() >= self.max_connections
    }

    /// There is one connection less: accepts again, if the limit was the reason to stop.
    fn make_room(&self) {
        if self.max_connections != usize::MAX {
            for listener in &*self.listeners.borrow() {
                listener.source.call_handler_again(READABLE);
            }
        }
    }

    fn end_if_alone(&self) {
        if self.clients.borrow().is_empty() && self.shared.life.is_closed() {
            self.shared.life.end();
            if let Some(leave) = self.leave.take() {
                leave();
            }
        }
    }
}

/// Accepting.
impl Acceptor {
    /// Accepts waiting connections, but no more in one iteration than may wait at once, so that a
    /// burst does not keep the rest of the program waiting.
    fn accept(&self, listener: &Rc<Listener>) {
        if listener.pauses.get() {
            return;
        }
        for _ in 0..=self.backlog {
            if self.is_full() {
                return;
            }
            match accept(listener.source.get_ref()) {
                Ok((io, peer)) => {
                    let kind = listener.kind;
                    self.arriving.set(self.arriving.get() + 1);
                    self.soon(move |this| this.set_up(io, kind, peer.into()));
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return,
                Err(error) if is_of_one_connection(&error) => {}
                Err(error) => return self.pause(listener, error),
            }
        }
        listener.source.call_handler_again(READABLE);
    }

    /// Tries again after a delay. asyncio does this when the system lacks resources; with any other
    /// error, it fails again in every iteration.
    fn pause(&self, listener: &Rc<Listener>, error: io::Error) {
        listener.pauses.set(true);
        resume_later(Rc::downgrade(listener));
        ExceptionContext::new(match is_of_the_system(&error) {
            true => "socket.accept() out of system resource",
            false => "socket.accept() failed",
        })
        .with_exception(error.into())
        .with_note("socket", format_args!("{:?}", TransportSocket::of(&listener.source)))
        .report(None);
    }

    /// Creates the transport of a connection. System errors concern one client, so they are only reported
    /// in debug mode. A panic of the factory is always reported.
    fn set_up(&self, io: socket2::Socket, kind: Kind, peer: Address) {
        self.arriving.set(self.arriving.get().saturating_sub(1));
        let clients = self.accepted.get();
        self.try_set_up_or_report(io, kind, peer);
        if self.accepted.get() == clients {
            self.make_room();
        }
    }

    fn try_set_up_or_report(&self, io: socket2::Socket, kind: Kind, peer: Address) {
        if let Err(error) = self.try_set_up(io, kind, peer) {
            let is_panic = matches!(error, Error::Panic(_));
            if is_panic || is_debug() {
                ExceptionContext::new("Error on transport creation for incoming connection")
                    .with_exception(error)
                    .report(None);
            }
        }
    }

    fn try_set_up(&self, io: socket2::Socket, kind: Kind, peer: Address) -> Result<()> {
        // A server that was closed meanwhile drops the connection.
        let Some(mut factory) = self.factory.take() else { return Ok(()) };
        let made = caught(&mut factory);
        if self.shared.life.is_closed() {
            return made.map(drop);
        }
        self.factory.replace(Some(factory));
        let protocol = made?;
        let sock = io.local_addr().ok().map(Address::from);
        let names = Names { sock: sock.into(), peer: Some(peer).into() };
        let transport = self.plan.open(io, kind, names, protocol)?;
        let number = self.accepted.replace(self.accepted.get() + 1);
        self.clients.borrow_mut().insert(number, transport.clone());
        let this = self.this.clone();
        transport.0.local.with(|connection| {
            connection.on_lost(move || {
                if let Some(this) = this.upgrade() {
                    this.lost(number);
                }
            });
        });
        if let Some(stream) = transport.stream() {
            stream.start(None);
        }
        Ok(())
    }

    /// Accepts without an event.
    #[cfg(test)]
    pub(super) fn accept_now(&self) {
        let listeners = self.listeners.borrow().clone();
        listeners.iter().for_each(|listener| self.accept(listener));
    }

    /// Calls `f` in the next iteration.
    fn soon(&self, f: impl FnOnce(&Acceptor) + 'static) {
        let Some(home) = running_loop() else { return };
        let this = self.this.clone();
        call_soon(home, move || {
            if let Some(this) = this.upgrade() {
                f(&this);
            }
        });
    }
}

fn resume_later(listener: Weak<Listener>) {
    let resume = move || {
        if let Some(listener) = listener.upgrade() {
            listener.pauses.set(false);
            listener.source.call_handler_again(READABLE);
        }
        Ok(())
    };
    call_later(ACCEPT_RETRY_DELAY, resume);
}

/// A server ends with its loop.
impl Drop for Acceptor {
    fn drop(&mut self) {
        self.shared.life.close();
        self.shared.life.end();
    }
}

/// Whether the next connection may still be accepted: a signal arrived, or this connection was
/// already broken.
fn is_of_one_connection(error: &io::Error) -> bool {
    matches!(error.raw_os_error(), Some(libc::EINTR | libc::ECONNABORTED | libc::EPROTO))
}

/// Whether the system has no descriptor or no memory left.
fn is_of_the_system(error: &io::Error) -> bool {
    let errors = [libc::EMFILE, libc::ENFILE, libc::ENOBUFS, libc::ENOMEM];
    error.raw_os_error().is_some_and(|error| errors.contains(&error))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_connection_that_was_broken_before_it_was_accepted_does_not_end_the_accepting() {
        let of = |error| {
            let error = io::Error::from_raw_os_error(error);
            (is_of_one_connection(&error), is_of_the_system(&error))
        };
        assert_eq!(of(libc::ECONNABORTED), (true, false));
        assert_eq!(of(libc::EINTR), (true, false));
        assert_eq!(of(libc::EMFILE), (false, true));
        assert_eq!(of(libc::EINVAL), (false, false));
    }
}
