//! [`SslProtocol`]: the protocol of the transport beneath, and the stream of the one above.
//!
//! The states are drawn at the top of [`ssl`](super). How it reads is in [`reading`], how it writes in
//! [`writing`], how it ends in [`ending`].
//!
//! What rustls has is borrowed only while nothing else is called, except the transport beneath, which is
//! written to. That calls back with `pause_writing` alone, where nothing is borrowed.

use super::{
    Layer,
    arguments::{Limits, Secured},
    info::Facts,
    session::Session,
};
use crate::{
    connection::call_soon,
    flow_control::FlowControl,
    slot::{BufferedCalls, Calls, CallsProtocol, Event, Read},
    stream::Stream,
    transport::{Shared, Transport},
};
use asyncio_core::{
    Error, Result,
    context::current_values,
    exception::{Level, log},
    raw::{CallbackRef, LoopLocal},
    wait_site::WaitSite,
};
use asyncio_future::Future;
use std::{
    any::Any,
    cell::{Cell, OnceCell, RefCell},
    io::{self, IoSlice},
    panic::Location,
    rc::{Rc, Weak},
    sync::{Arc, OnceLock, atomic::Ordering},
    time::Duration,
};

mod ending;
mod reading;
mod writing;

/// At so many bytes that were written and are not encrypted yet, the protocol has to pause.
pub const FLOW_CONTROL_HIGH_WATER_SSL_WRITE: usize = 512 * 1024;

/// At so many bytes that were received and are not decrypted yet, nothing more is received.
pub const FLOW_CONTROL_HIGH_WATER_SSL_READ: usize = 256 * 1024;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// There is no TLS yet, or no more.
    Unwrapped,
    DoHandshake,
    Wrapped,
    Flushing,
    Shutdown,
}

impl State {
    /// Whether an arrow leads there.
    fn leads_to(self, next: State) -> bool {
        use State::{DoHandshake, Flushing, Shutdown, Unwrapped, Wrapped};
        let forward = matches!(
            (self, next),
            (Unwrapped, DoHandshake)
                | (DoHandshake, Wrapped)
                | (Wrapped, Flushing)
                | (Flushing, Shutdown)
        );
        forward || next == Unwrapped
    }
}

/// What the protocol above was told so far (asyncio's `AppProtocolState`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Told {
    Nothing,
    Made,
    Eof,
    Lost,
}

pub(crate) struct SslProtocol {
    /// The transport above.
    handle: OnceCell<Transport>,
    /// The one beneath.
    lower: OnceCell<Transport>,
    below: OnceCell<Weak<dyn Stream>>,
    session: RefCell<Session>,
    state: Cell<State>,
    /// The protocol above, until the end.
    protocol: RefCell<Option<Calls>>,
    told: Cell<Told>,
    flow: FlowControl,
    reading: reading::Unread,
    writing: writing::Unsent,
    limits: Limits,
    /// Of the handshake, then of the shutdown.
    timer: Cell<Option<CallbackRef>>,
    /// For the task that waits for the handshake.
    made: RefCell<Option<Future<()>>>,
}

impl SslProtocol {
    pub(super) fn new(session: Session, secured: &Secured, protocol: Calls) -> Rc<SslProtocol> {
        Rc::new(SslProtocol {
            handle: OnceCell::new(),
            lower: OnceCell::new(),
            below: OnceCell::new(),
            session: RefCell::new(session),
            state: Cell::new(State::Unwrapped),
            protocol: RefCell::new(Some(protocol)),
            told: Cell::new(Told::Nothing),
            flow: FlowControl::pausing_at(FLOW_CONTROL_HIGH_WATER_SSL_WRITE),
            reading: reading::Unread::new(),
            writing: writing::Unsent::default(),
            limits: secured.limits,
            timer: Cell::new(None),
            made: RefCell::new(None),
        })
    }

    /// Puts it over a transport, and gives the one above.
    ///
    /// # Errors
    /// `Runtime` if no loop runs, or it is being closed.
    pub(super) fn over(self: Rc<Self>, lower: &Transport, secured: &Secured) -> Result<Transport> {
        let local = LoopLocal::new(self.clone())?;
        let facts = Facts { context: secured.context.clone(), object: OnceLock::new() };
        let (place, bottom) = (Layer::of(local, facts), &lower.0);
        let (kind, names) = (bottom.kind, bottom.names.clone());
        let shared = Shared::over(bottom.local, place, kind, names);
        let _ = self.lower.set(lower.clone());
        if let Some(stream) = lower.stream() {
            let _ = self.below.set(Rc::downgrade(&stream));
        }
        Ok(self.handle.get_or_init(|| Transport(Arc::new(shared))).clone())
    }

    /// The protocol above has had its `connection_made` from another transport, whose place this takes.
    pub(super) fn takes_over(&self, is_paused: bool) {
        self.told.set(Told::Made);
        if is_paused {
            self.flow.inherit_pause();
        }
    }

    fn handle(&self) -> &Transport {
        self.handle.get().expect("set when it is put over another transport")
    }

    fn local(&self) -> Option<LoopLocal<SslProtocol>> {
        self.handle().0.ssl.get()
    }

    /// What the transport beneath is a handle of, as long as that is there.
    fn below(&self) -> Option<Rc<dyn Stream>> {
        self.below.get()?.upgrade()
    }

    /// Sends what the session has to say.
    fn flush_session(&self) -> Result<()> {
        let mut session = self.session.borrow_mut();
        match self.below().filter(|_| session.wants_write()) {
            Some(below) => session.flush(&*below),
            None => Ok(()),
        }
    }

    fn lower(&self) -> &Transport {
        self.lower.get().expect("set when it is put over another transport")
    }

    /// To the next state, if an arrow leads there.
    fn set_state(&self, next: State) {
        debug_assert!(self.state.get().leads_to(next), "{:?} to {next:?}", self.state.get());
        self.state.set(next);
    }

    /// Calls `f` in the next iteration, if the connection is still there.
    #[track_caller]
    fn soon(&self, f: impl FnOnce(&SslProtocol) + 'static) {
        let Some(local) = self.local() else { return };
        call_soon(local.home(), move || {
            if let Some(ssl) = local.get() {
                f(&ssl);
            }
        });
    }

    /// Has `f` called when `limit` is over; in place of the former limit.
    fn limit(&self, limit: Duration, f: impl FnOnce(&SslProtocol) + 'static) {
        self.end_limit();
        let Some(local) = self.local() else { return };
        let call = move || {
            if let Some(ssl) = local.get() {
                ssl.timer.set(None);
                f(&ssl);
            }
            Ok(())
        };
        let timer = local.home().with(|scheduler| {
            let when = scheduler.timers.time().saturating_add(limit);
            scheduler.call_at(when, call, current_values(), Location::caller()).ok()
        });
        self.timer.set(timer.flatten());
    }

    fn end_limit(&self) {
        if let Some(timer) = self.timer.take() {
            timer.cancel();
        }
    }
}

/// The handshake.
impl SslProtocol {
    /// Gives `made` its result when the handshake is over.
    pub(super) fn await_handshake(&self, made: Future<()>) {
        self.made.replace(Some(made));
    }

    pub(super) fn start_handshake(&self) {
        if self.handle().is_closing() {
            return;
        }
        self.set_state(State::DoHandshake);
        self.limit(self.limits.handshake, |ssl| {
            let limit = ssl.limits.handshake.as_secs_f64();
            let text = format!(
                "SSL handshake is taking longer than {limit:?} seconds: aborting the connection"
            );
            ssl.fail(io::Error::new(io::ErrorKind::ConnectionAborted, text).into(), HANDSHAKE);
        });
        self.shake(&mut []);
    }

    /// Goes on with the handshake, with what was received.
    fn shake(&self, data: &mut [u8]) {
        let mut session = self.session.borrow_mut();
        let mut data = Some(data);
        let mut outcome = Ok(());
        while outcome.is_ok()
            && session.is_handshaking()
            && (data.is_some() || session.unread() > 0)
        {
            outcome = session.read(data.take().unwrap_or_default(), |early| {
                self.reading.keep(early);
                false
            });
        }
        let (is_over, object) = (!session.is_handshaking(), session.object());
        drop(session);
        outcome = outcome.and(self.flush_session());
        if is_over {
            // What failed came behind it, and is told when that is read.
            if let Err(error) = outcome {
                self.reading.fail(error);
            }
            self.handshake_is_over(object);
        } else if let Err(error) = outcome {
            self.fail(error, HANDSHAKE);
        }
    }

    fn handshake_is_over(&self, object: Option<super::SslObject>) {
        self.end_limit();
        self.set_state(State::Wrapped);
        if let (Some(facts), Some(object)) = (self.handle().0.ssl.facts(), object) {
            let _ = facts.object.set(object);
        }
        if self.told.get() == Told::Nothing {
            self.told.set(Told::Made);
            self.call(Event::Made, "connection_made");
        }
        self.wake(Ok(()));
        self.push();
        if self.has_unread() || self.session.borrow().peer_closed() {
            // After the task that waited for the handshake has had a chance to look at what was agreed.
            self.soon(|ssl| ssl.read(&mut []));
        }
    }

    /// Ends the wait for the handshake.
    fn wake(&self, outcome: Result<()>) {
        let Some(made) = self.made.take() else { return };
        // Cancelled by now, perhaps.
        match outcome {
            Ok(()) => _ = made.set_result(()),
            Err(error) => {
                _ = made.set_exception(error);
                // What dropped its wait does not ask for it.
                _ = made.exception();
            }
        }
    }
}

const HANDSHAKE: &str = "SSL handshake failed";

/// The protocol above.
impl CallsProtocol for SslProtocol {
    fn transport(&self) -> &Transport {
        SslProtocol::handle(self)
    }

    fn calls(&self) -> Option<Calls> {
        self.protocol.borrow().clone()
    }

    fn flow(&self) -> &FlowControl {
        &self.flow
    }

    fn may_pause(&self) -> bool {
        matches!(self.told.get(), Told::Made | Told::Eof)
    }
}

/// What the transport beneath calls.
impl BufferedCalls for SslProtocol {
    fn tell(&self, _: &Transport, event: Event) -> Result<bool, Event> {
        match event {
            Event::Made => self.start_handshake(),
            Event::Lost(error) => self.lower_lost(error),
            Event::ResumeWriting => self.push(),
            Event::PauseWriting => {}
            Event::Filled(nbytes) => self.filled(nbytes),
            Event::Eof => return Ok(self.lower_ended()),
        }
        Ok(false)
    }

    fn protocol(self: Rc<Self>) -> Rc<dyn Any> {
        self
    }

    /// What arrives is decrypted when it does, so that the memory that it is in can be used again.
    fn fill(&self, _: &Transport, read: Read<'_>) -> Result<io::Result<usize>> {
        Ok(self.receive(read))
    }

    fn leaves(&self, _: &Transport) -> bool {
        self.may_leave()
    }
}

/// What the handle above is told.
impl Stream for SslProtocol {
    fn handle(&self) -> &Transport {
        SslProtocol::handle(self)
    }

    fn start(&self, made: Option<Future<()>>) {
        self.made.replace(made);
        if let Some(stream) = self.lower().stream() {
            stream.start(None);
        }
    }

    fn set_protocol(&self, protocol: Calls) {
        self.receive_what_was_left();
        let replaced = self.protocol.replace(Some(protocol));
        drop(replaced);
    }

    fn protocol(&self) -> Option<Rc<dyn Any>> {
        Some(self.calls()?.protocol())
    }

    fn close(&self) {
        self.receive_what_was_left();
        self.start_shutdown();
    }

    fn force_close(&self, error: Option<Error>) {
        self.receive_what_was_left();
        self.abort(error);
    }

    fn pause_reading(&self) {
        self.receive_what_was_left();
        self.reading.paused.set(true);
    }

    fn resume_reading(&self) {
        SslProtocol::resume_reading(self);
    }

    fn is_reading(&self) -> bool {
        !self.reading.paused.get() && !self.handle().is_closing()
    }

    fn write(&self, data: &[u8]) -> Result<()> {
        self.write_pieces("write", &[IoSlice::new(data)])
    }

    fn writelines(&self, pieces: &[IoSlice<'_>]) -> Result<()> {
        self.write_pieces("writelines", pieces)
    }

    fn write_eof(&self) {
        let text = "TLS has no end of one direction: can_write_eof() is false; close() ends both";
        self.handle().report("transport.write_eof() failed", Error::runtime(text));
    }

    fn buffered(&self) -> usize {
        self.writing.backlog.borrow().len()
    }

    fn water_marks(&self) -> (usize, usize) {
        self.flow.water_marks()
    }

    fn set_water_marks(&self, low: usize, high: usize) {
        self.flow.set_water_marks(low, high);
        self.update_flow();
    }

    fn is_full(&self) -> bool {
        self.flow.is_paused()
    }

    fn begin_sendfile(&self, site: WaitSite) -> Result<Future<()>> {
        SslProtocol::begin_sendfile(self, site)
    }

    fn end_sendfile(&self, _: Option<Error>) {
        SslProtocol::end_sendfile(self);
    }
}
