//! [`Endpoint`]: the part of a datagram transport that lives in the loop.
//!
//! It is created, *started* in the next iteration, and driven by the readiness of its [`Source`] and
//! by its handles. It always ends by being *lost*, as a stream connection does.

use super::{
    Calls, Event,
    receive::{Habits, receive},
    transport::{DatagramTransport, Shared},
};
use crate::{
    connection::{call_later, call_soon},
    extra_info::Names,
    flow_control::FlowControl,
};
use asyncio_core::{
    Error, Result,
    raw::LoopLocal,
    source::{Readiness, Source},
};
use asyncio_future::Future;
use asyncio_sockets::{Address, Domain};
use nix::libc;
use socket2::{SockAddr, Socket};
use std::{
    any::Any,
    cell::{Cell, OnceCell, RefCell},
    collections::VecDeque,
    io,
    rc::Rc,
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

/// The size that each datagram adds to that of the buffer, because even empty ones take memory.
const HEADER_SIZE: usize = 8;

/// The time after which an unconnected socket tries again to send a datagram to a Unix socket that
/// was full. The system does not report to such a socket when there is room. Instead, each failed
/// attempt makes it report that the sender itself has room, which is always so.
const RETRY_DELAY: Duration = Duration::from_millis(1);

/// A datagram, and its destination, unless the socket is connected.
type Outgoing = (Box<[u8]>, Option<Address>);

/// A datagram transport, in the loop.
pub(super) struct Endpoint {
    handle: OnceCell<DatagramTransport>,
    /// Taken out when the endpoint is lost, which closes it.
    source: RefCell<Option<Rc<Source<Socket>>>>,
    /// Taken out at the same time.
    protocol: RefCell<Option<Rc<dyn Calls>>>,
    flow: FlowControl,
    /// The only address to send to, if it is fixed.
    remote: Option<Address>,
    /// Whether the system knows where to send to.
    connected: bool,
    /// The properties of the socket's kind that affect receiving.
    habits: Habits,
    /// The datagrams that were received and not delivered yet.
    arrived: RefCell<VecDeque<(Box<[u8]>, SockAddr)>>,
    /// The datagrams to be sent, and their size.
    buffer: RefCell<VecDeque<Outgoing>>,
    size: Cell<usize>,
    /// Whether the next attempt is made after a delay, and not when the system reports room.
    retrying: Cell<bool>,
    /// Whether the endpoint is being lost.
    losing: Cell<bool>,
}

const READABLE: Readiness = Readiness { readable: true, writable: false, hangup: false };
const WRITABLE: Readiness = Readiness { readable: false, writable: true, hangup: false };

/// The beginning.
impl Endpoint {
    /// Creates an endpoint in the loop that runs in this thread, with its remote address. It does
    /// nothing until it is [started](Endpoint::start).
    ///
    /// # Errors
    /// `Runtime` if no loop runs, or if it is being closed; the system's error for the socket.
    pub(super) fn open(
        io: Socket,
        domain: Domain,
        remote: Option<Address>,
        protocol: Rc<dyn Calls>,
    ) -> Result<DatagramTransport> {
        let sock = io.local_addr().ok().map(Address::from);
        let peer = io.peer_addr().ok().map(Address::from);
        let habits = Habits::of(&io, domain)?;
        let endpoint = Rc::new(Endpoint {
            handle: OnceCell::new(),
            connected: peer.is_some(),
            source: RefCell::new(Some(Rc::new(Source::new(io)))),
            protocol: RefCell::new(Some(protocol)),
            flow: FlowControl::new(),
            remote,
            habits,
            arrived: RefCell::default(),
            buffer: RefCell::default(),
            size: Cell::new(0),
            retrying: Cell::new(false),
            losing: Cell::new(false),
        });
        let local = LoopLocal::new(endpoint.clone())?;
        let names = Names { sock: sock.into(), peer: peer.into() };
        let shared = Shared::new(local, names, domain);
        Ok(endpoint.handle.get_or_init(|| DatagramTransport(Arc::new(shared))).clone())
    }

    /// Starts it in the next iteration: calls `connection_made`, begins to receive, and sets the
    /// result of `made`, in this order.
    #[track_caller]
    pub(super) fn start(&self, made: Option<Future<()>>) {
        self.soon(move |endpoint| {
            endpoint.call(Event::Made, "connection_made");
            if let Err(error) = endpoint.set_handler() {
                endpoint.fatal(error, "Cannot watch the descriptor of a transport");
            }
            if let Some(made) = made {
                // It may already have been cancelled.
                let _ = made.set_result(());
            }
        });
    }

    fn set_handler(&self) -> Result<()> {
        let Some(source) = self.source().filter(|_| !self.is_losing()) else { return Ok(()) };
        let local = self.local();
        source.set_handler(Rc::new(move |ready: Readiness| {
            let Some(endpoint) = local.get() else { return };
            if ready.readable {
                endpoint.read_ready();
            }
            if ready.writable && !endpoint.retrying.get() {
                endpoint.write_ready();
            }
        }))
    }

    fn handle(&self) -> &DatagramTransport {
        self.handle.get().expect("set when the endpoint is opened")
    }

    fn local(&self) -> LoopLocal<Endpoint> {
        self.handle().0.local
    }

    /// Returns the socket, until the endpoint is lost.
    pub(super) fn source(&self) -> Option<Rc<Source<Socket>>> {
        self.source.borrow().clone()
    }

    fn again(&self, readiness: Readiness) {
        if let Some(source) = self.source() {
            source.call_handler_again(readiness);
        }
    }

    /// Calls `f` in the next iteration, if the endpoint is still there.
    #[track_caller]
    fn soon(&self, f: impl FnOnce(&Endpoint) + 'static) {
        let local = self.local();
        call_soon(local.home(), move || {
            local.with(f);
        });
    }
}

/// The protocol.
impl Endpoint {
    pub(super) fn set_protocol(&self, protocol: Rc<dyn Calls>) {
        let replaced = self.protocol.replace(Some(protocol));
        drop(replaced);
    }

    /// The `RefCell` of the protocol.
    pub(super) fn protocol(&self) -> Option<Rc<dyn Any>> {
        Some(self.protocol.borrow().as_ref()?.protocol())
    }

    /// Calls the protocol for an event, and then tells it whether to pause.
    fn tell(&self, event: Event<'_>) -> Result<()> {
        let calls = self.protocol.borrow().clone();
        let Some(calls) = calls else { return Ok(()) };
        let outcome = self.flow.during_call(|| calls.tell(self.handle(), event));
        self.announce();
        outcome?
    }

    /// Calls the protocol for an event. A panic is reported, and the endpoint stays open.
    fn call(&self, event: Event<'_>, callback: &str) {
        if let Err(error) = self.tell(event) {
            self.report(&format!("Exception in callback protocol.{callback}()"), error);
        }
    }

    /// Calls the protocol for an error of the system. If a callback of the protocol is running,
    /// this happens in the next iteration, so that a callback which sends repeatedly does not loop
    /// forever.
    fn give_error(&self, error: Error) {
        match self.flow.is_calling() {
            true => self.soon(|endpoint| endpoint.give_error(error)),
            false => self.call(Event::Error(error), "error_received"),
        }
    }

    /// Tells the protocol to pause or to continue, unless it already knows. If one of its callbacks is
    /// running, the protocol is notified when that callback has returned.
    fn announce(&self) {
        match self.flow.changed() {
            Some(true) => self.call(Event::PauseWriting, "pause_writing"),
            Some(false) => self.call(Event::ResumeWriting, "resume_writing"),
            None => {}
        }
    }

    pub(super) fn report(&self, message: &str, error: Error) {
        self.handle().report(message.to_owned(), error);
    }
}

/// Receiving: one datagram in each iteration, as in asyncio, so that one busy peer does not keep the
/// others waiting.
impl Endpoint {
    fn read_ready(&self) {
        let Some(source) = self.source().filter(|_| !self.is_closing()) else { return };
        let arrived = self.arrived.borrow_mut().pop_front();
        if let Some((data, sender)) = arrived {
            self.call(Event::Datagram(&data, &sender), "datagram_received");
            return self.again(READABLE);
        }
        match receive(source.get_ref(), self.habits) {
            Ok(received) => {
                let mut datagrams = received.iter();
                let first = datagrams.next();
                let others = datagrams.map(|(data, sender)| (data.into(), sender.clone()));
                self.arrived.borrow_mut().extend(others);
                if let Some((data, sender)) = first {
                    let is_end = self.habits.is_end(source.get_ref(), data);
                    self.call(Event::Datagram(data, sender), "datagram_received");
                    if is_end {
                        return self.close();
                    }
                }
                let was_only = self.arrived.borrow().is_empty() && !received.is_full();
                if was_only && self.habits.fewer_is_all && source.is_drained_by_less() {
                    return;
                }
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => self.give_error(error.into()),
        }
        self.again(READABLE);
    }
}

/// Sending.
impl Endpoint {
    /// Reports why nothing was sent: system errors to the protocol, and other errors to the loop.
    pub(super) fn not_sent(&self, error: Error) {
        match error {
            Error::Io(_) => self.give_error(error),
            error => self.report("transport.sendto() failed", error),
        }
    }

    /// Sends a datagram, or buffers it if the system does not take it now.
    ///
    /// # Errors
    /// `Value` for an address that cannot be sent to; the system's error.
    pub(super) fn sendto(&self, data: &[u8], addr: Option<Address>) -> Result<()> {
        let addr = addr.map(Address::check).transpose()?;
        let addr = match (&self.remote, addr) {
            (Some(remote), Some(addr)) if *remote != addr => {
                let text = format!("Invalid address: must be None or {remote}, not {addr}");
                return Err(Error::value(text));
            }
            (Some(_), _) if self.connected => None,
            (Some(remote), _) => Some(remote.clone()),
            (None, None) if !self.connected => {
                return Err(Error::value("sendto: no address to send to"));
            }
            (None, addr) => addr,
        };
        if self.is_losing() && self.remote.is_some() {
            self.handle().0.count_lost_write();
            return Ok(());
        }
        if self.buffer.borrow().is_empty() {
            match self.send(data, addr.as_ref()) {
                Ok(()) => return Ok(()),
                Err(error) if self.is_to_wait(&error) => {}
                Err(error) => return Err(error.into()),
            }
        }
        if !self.is_losing() {
            self.buffer.borrow_mut().push_back((data.into(), addr));
            self.size.set(self.size.get() + data.len() + HEADER_SIZE);
            self.measure();
        }
        Ok(())
    }

    fn send(&self, data: &[u8], addr: Option<&Address>) -> io::Result<()> {
        let Some(source) = self.source() else { return Ok(()) };
        let sent = match addr.filter(|_| !self.connected) {
            Some(addr) => {
                source.get_ref().send_to_with_flags(data, addr.as_sock_addr(), libc::MSG_NOSIGNAL)
            }
            None => source.get_ref().send_with_flags(data, libc::MSG_NOSIGNAL),
        };
        sent.map(drop)
    }

    /// Whether sending has to be tried again later, which is then arranged.
    fn is_to_wait(&self, error: &io::Error) -> bool {
        match error.kind() {
            io::ErrorKind::Interrupted => self.again(WRITABLE),
            io::ErrorKind::WouldBlock => self.retry_unless_told(),
            _ => return false,
        }
        true
    }

    /// There is room: sends the buffered datagrams.
    fn write_ready(&self) {
        if self.is_losing() {
            return;
        }
        loop {
            let Some((data, addr)) = self.buffer.borrow_mut().pop_front() else { break };
            match self.send(&data, addr.as_ref()) {
                Ok(()) => self.shrink(data.len()),
                Err(error) if self.is_to_wait(&error) => {
                    self.buffer.borrow_mut().push_front((data, addr));
                    break;
                }
                Err(error) => {
                    self.shrink(data.len());
                    self.give_error(error.into());
                    // The rest is sent in the next iteration.
                    return self.again(WRITABLE);
                }
            }
        }
        self.measure();
        let is_over = self.buffer.borrow().is_empty() && self.is_closing();
        if is_over && !self.losing.replace(true) {
            self.lost(None);
        }
    }

    fn shrink(&self, length: usize) {
        self.size.set(self.size.get().saturating_sub(length + HEADER_SIZE));
    }

    /// See [`RETRY_DELAY`].
    fn retry_unless_told(&self) {
        if self.connected || self.handle().0.domain != Domain::UNIX || self.retrying.replace(true) {
            return;
        }
        let local = self.local();
        let retry = move || {
            local.with(|endpoint| {
                endpoint.retrying.set(false);
                endpoint.write_ready();
            });
            Ok(())
        };
        call_later(RETRY_DELAY, retry);
    }

    fn measure(&self) {
        self.flow.measure(self.buffered());
        self.announce();
    }

    pub(super) fn buffered(&self) -> usize {
        self.size.get()
    }

    pub(super) fn water_marks(&self) -> (usize, usize) {
        self.flow.water_marks()
    }

    pub(super) fn set_water_marks(&self, low: usize, high: usize) {
        self.flow.set_water_marks(low, high);
        self.measure();
    }
}

/// The end.
impl Endpoint {
    /// See [`DatagramTransport::close`].
    pub(super) fn close(&self) {
        if !self.set_closing() && self.buffer.borrow().is_empty() {
            self.lose(None);
        }
    }

    /// Ends it without sending buffered datagrams; without an error, this is
    /// [`DatagramTransport::abort`].
    pub(super) fn force_close(&self, error: Option<Error>) {
        if self.is_losing() {
            return;
        }
        self.set_closing();
        self.buffer.take();
        self.size.set(0);
        self.lose(error);
    }

    fn fatal(&self, error: Error, message: &str) {
        self.report(message, error.clone());
        self.force_close(Some(error));
    }

    /// Marks it as closing; returns whether it was before.
    fn set_closing(&self) -> bool {
        self.handle().0.closing.swap(true, Ordering::Relaxed)
    }

    fn is_closing(&self) -> bool {
        self.handle().is_closing()
    }

    fn is_losing(&self) -> bool {
        self.losing.get()
    }

    /// Calls the protocol, in a separate step, and drops everything.
    fn lose(&self, error: Option<Error>) {
        if !self.losing.replace(true) {
            self.soon(move |endpoint| endpoint.lost(error));
        }
    }

    /// Runs the last step. Nothing is called after it.
    fn lost(&self, error: Option<Error>) {
        self.call(Event::Lost(error), "connection_lost");
        let let_go = (self.source.take(), self.protocol.take(), self.local().remove());
        drop(let_go);
    }
}
