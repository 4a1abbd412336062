//! [`SslProtocol`]: the protocol of the transport below, and the stream of the handle above.
//!
//! The picture of the states is in the docs of [`ssl`](super). Reading is in [`reading`], writing in [`writing`],
//! and the end of a connection in [`ending`].
//!
//! The session is never borrowed while the protocol above is called. It may be borrowed while the transport
//! below is written to: the only callback of that is `pause_writing`, which does not use the session.

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
    log::{Level, log},
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

/// The protocol must pause when this number of bytes is written and not encrypted yet.
pub const FLOW_CONTROL_HIGH_WATER_SSL_WRITE: usize = 512 * 1024;

/// Receiving stops when this number of bytes is received and not decrypted yet.
pub const FLOW_CONTROL_HIGH_WATER_SSL_READ: usize = 256 * 1024;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// TLS has not started, or has ended.
    Unwrapped,
    DoHandshake,
    Wrapped,
    Flushing,
    Shutdown,
}

impl State {
    /// Whether the picture has an arrow from this state to `next`.
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

/// The last of these callbacks that the protocol above has received (asyncio's `AppProtocolState`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Told {
    Nothing,
    Made,
    Eof,
    Lost,
}

pub(crate) struct SslProtocol {
    /// The transport that the protocol above sees.
    handle: OnceCell<Transport>,
    /// The transport below.
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
    /// The limit of the handshake, later that of the shutdown.
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

    /// Puts TLS over a transport, and returns the transport above.
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

    /// Takes the place of another transport, from which the protocol above has already received
    /// `connection_made`.
    pub(super) fn takes_over(&self, is_paused: bool) {
        self.told.set(Told::Made);
        if is_paused {
            self.flow.inherit_pause();
        }
    }

    fn handle(&self) -> &Transport {
        self.handle.get().expect("set by `over`")
    }

    fn local(&self) -> Option<LoopLocal<SslProtocol>> {
        self.handle().0.ssl.get()
    }

    /// The connection below, if it still exists.
    fn below(&self) -> Option<Rc<dyn Stream>> {
        self.below.get()?.upgrade()
    }

    /// Sends the records that the session has produced by itself.
    fn flush_session(&self) -> Result<()> {
        let mut session = self.session.borrow_mut();
        if !session.wants_write() {
            return Ok(());
        }
        self.below().map_or(Ok(()), |below| session.flush(&*below))
    }

    fn lower(&self) -> &Transport {
        self.lower.get().expect("set by `over`")
    }

    /// Changes the state along an arrow of the picture.
    fn set_state(&self, next: State) {
        debug_assert!(self.state.get().leads_to(next), "{:?} to {next:?}", self.state.get());
        self.state.set(next);
    }

    /// Calls `f` in the next iteration, if the connection still exists.
    #[track_caller]
    fn soon(&self, f: impl FnOnce(&SslProtocol) + 'static) {
        let Some(local) = self.local() else { return };
        call_soon(local.home(), move || {
            if let Some(ssl) = local.get() {
                f(&ssl);
            }
        });
    }

    /// Calls `f` when `limit` has passed. This replaces the previous limit.
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
    /// Sets the result of `made` when the handshake is over.
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

    /// Continues the handshake with received data.
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
            // The failure came after the handshake, and is reported when that point is read.
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
            // First the task that waits for the handshake has a chance to see its result.
            self.soon(|ssl| ssl.read(&mut []));
        }
    }

    /// Wakes the task that waits for the handshake.
    fn wake(&self, outcome: Result<()>) {
        let Some(made) = self.made.take() else { return };
        // It may have been cancelled.
        match outcome {
            Ok(()) => _ = made.set_result(()),
            Err(error) => {
                _ = made.set_exception(error);
                // If its task is gone, the error counts as seen.
                _ = made.exception();
            }
        }
    }
}

const HANDSHAKE: &str = "SSL handshake failed";

/// Calls to the protocol above.
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

/// Calls from the transport below.
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

    /// Records are decrypted as soon as they arrive, so that their memory can be used again.
    fn fill(&self, _: &Transport, read: Read<'_>) -> Result<io::Result<usize>> {
        Ok(self.receive(read))
    }

    fn leaves(&self, _: &Transport) -> bool {
        self.may_leave()
    }
}

/// Calls from the handle above.
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
