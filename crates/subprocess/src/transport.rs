//! [`SubprocessTransport`]: a child process with its pipes, as its protocol sees it.

use crate::{child::Child, protocols::SubprocessProtocol, spawn::Started, start::complete};
use asyncio_core::{
    Error, Result,
    context::current_values,
    exception::ExceptionContext,
    raw::{Listener, LoopLocal, with_entered, with_running},
    wait_site::WaitSite,
};
use asyncio_future::Future;
use asyncio_transports::{Protocol, Transport, connect_read_pipe, connect_write_pipe};
use bytes::Bytes;
use nix::libc;
use std::{
    cell::{Cell, OnceCell, RefCell},
    fmt,
    panic::Location,
    pin::pin,
    rc::Rc,
    sync::{
        Arc, OnceLock,
        atomic::{AtomicBool, Ordering},
    },
};

/// A handle to a child process and its pipes (`asyncio.SubprocessTransport`).
///
/// Clones are handles to the same process. The child and its protocol live in the loop until the
/// process and its pipes have ended, whether or not there are handles. A handle may be used on any
/// thread.
#[doc(alias = "asyncio.SubprocessTransport")]
#[derive(Clone)]
pub struct SubprocessTransport(Arc<Shared>);

struct Shared {
    child: Arc<Child>,
    /// Set when all pipes are connected.
    pipes: OnceLock<[Option<Transport>; 3]>,
    closing: AtomicBool,
    local: LoopLocal<Running>,
}

impl SubprocessTransport {
    /// Returns the number of the process (`get_pid`).
    pub fn get_pid(&self) -> u32 {
        self.0.child.pid()
    }

    /// Returns how the process ended (`get_returncode`): see
    /// [`Process::returncode`](crate::Process::returncode).
    pub fn get_returncode(&self) -> Option<i32> {
        self.0.child.returncode()
    }

    /// Returns the transport of the pipe that is descriptor `fd` in the child, 0 to 2
    /// (`get_pipe_transport`); `None` if it is not a [`PIPE`](crate::PIPE).
    pub fn get_pipe_transport(&self, fd: i32) -> Option<Transport> {
        let fd = usize::try_from(fd).ok()?;
        self.0.pipes.get()?.get(fd)?.clone()
    }

    /// Sends a signal (`send_signal`): see [`Process::send_signal`](crate::Process::send_signal).
    ///
    /// # Errors
    /// As there.
    pub fn send_signal(&self, signal: i32) -> Result<()> {
        self.0.child.send_signal("SubprocessTransport.send_signal", signal)
    }

    /// Asks the process to end (`terminate`), by `SIGTERM`.
    ///
    /// # Errors
    /// As for [`send_signal`](SubprocessTransport::send_signal).
    pub fn terminate(&self) -> Result<()> {
        self.0.child.send_signal("SubprocessTransport.terminate", libc::SIGTERM)
    }

    /// Ends the process (`kill`), by `SIGKILL`.
    ///
    /// # Errors
    /// As for [`send_signal`](SubprocessTransport::send_signal).
    pub fn kill(&self) -> Result<()> {
        self.0.child.send_signal("SubprocessTransport.kill", libc::SIGKILL)
    }

    /// Closes all pipes, and kills the process if it is running (`close`). A second call does
    /// nothing.
    pub fn close(&self) {
        if !self.0.closing.swap(true, Ordering::Relaxed) {
            if self.get_returncode().is_none() {
                // Nothing to do if it has ended meanwhile.
                let _ = self.kill();
            }
            self.0.local.send(Running::close_pipes);
        }
    }

    /// Returns whether [`close`](SubprocessTransport::close) was called (`is_closing`).
    pub fn is_closing(&self) -> bool {
        self.0.closing.load(Ordering::Relaxed)
    }

    /// Replaces the protocol of the process (`set_protocol`).
    ///
    /// # Errors
    /// `Runtime` if the process has ended, or on another thread than the loop's; the protocol is
    /// dropped.
    pub fn set_protocol<P: SubprocessProtocol>(&self, protocol: P) -> Result<()> {
        let protocol = Rc::new(RefCell::new(protocol));
        let set = self.0.local.with(|running| running.protocol.replace(protocol));
        set.map(drop).ok_or_else(|| {
            Error::runtime("set_protocol: the process has ended, or belongs to another thread")
        })
    }
}

impl fmt::Debug for SubprocessTransport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let closing = if self.is_closing() { " closing" } else { "" };
        write!(f, "<SubprocessTransport {:?}{closing}>", self.0.child)
    }
}

/// Creates the transport of a child that was just started, and returns it when all its pipes are
/// connected and `connection_made` was called.
pub(crate) async fn connect(
    child: Arc<Child>,
    started: Started,
    protocol: Rc<RefCell<dyn SubprocessProtocol>>,
    site: WaitSite,
) -> Result<SubprocessTransport> {
    /// Removes the process from the loop if the start fails.
    struct Unfinished(Option<SubprocessTransport>);
    impl Drop for Unfinished {
        fn drop(&mut self) {
            if let Some(transport) = &self.0 {
                transport.close();
                transport.0.local.send(Running::leave);
            }
        }
    }
    let connecting = pin!(async {
        let transport = Running::begin(&child, &started, protocol)?;
        let mut unfinished = Unfinished(Some(transport.clone()));
        Running::connect_pipes(&transport, started, site).await?;
        unfinished.0 = None;
        Ok(transport)
    });
    complete(&child, site, connecting).await
}

/// The part that lives in the loop.
struct Running {
    transport: OnceCell<SubprocessTransport>,
    protocol: RefCell<Rc<RefCell<dyn SubprocessProtocol>>>,
    pipes: RefCell<Vec<Transport>>,
    /// The number of pipes that have not ended.
    pipes_left: Cell<usize>,
    /// Whether the protocol was called for the end of the process.
    has_exited: Cell<bool>,
    /// The events from before all pipes were connected; `None` from then on.
    early: RefCell<Option<Vec<Event>>>,
    finished: Cell<bool>,
}

enum Event {
    Made,
    Data(i32, Bytes),
    PipeLost(i32, Option<Error>),
    Exited,
    Paused,
    Resumed,
    Lost,
}

impl Running {
    fn begin(
        child: &Arc<Child>,
        started: &Started,
        protocol: Rc<RefCell<dyn SubprocessProtocol>>,
    ) -> Result<SubprocessTransport> {
        let pipes = [&started.stdin, &started.stdout, &started.stderr];
        let running = Rc::new(Running {
            transport: OnceCell::new(),
            protocol: RefCell::new(protocol),
            pipes: RefCell::default(),
            pipes_left: Cell::new(pipes.iter().filter(|pipe| pipe.is_some()).count()),
            has_exited: Cell::new(false),
            early: RefCell::new(Some(Vec::new())),
            finished: Cell::new(false),
        });
        let local = LoopLocal::new(running.clone())?;
        let transport = SubprocessTransport(Arc::new(Shared {
            child: child.clone(),
            pipes: OnceLock::new(),
            closing: AtomicBool::new(false),
            local,
        }));
        let _ = running.transport.set(transport.clone());
        let exited = move || {
            local.with(Running::exited);
            Ok(())
        };
        let (values, location) = (current_values(), Location::caller());
        let exited = with_running("SubprocessTransport", |scheduler| {
            scheduler.park(exited, values, location)
        })?;
        if child.listen(|listeners| listeners.push(Listener::Callback(exited))).is_err() {
            exited.fire();
        }
        Ok(transport)
    }

    async fn connect_pipes(
        transport: &SubprocessTransport,
        started: Started,
        site: WaitSite,
    ) -> Result<()> {
        let local = transport.0.local;
        let ends = [started.stdin, started.stdout, started.stderr];
        let mut pipes = [None, None, None];
        for ((fd, end), pipe) in (0..).zip(ends).zip(&mut pipes) {
            let Some(end) = end else { continue };
            let protocol = move || PipeProtocol { process: local, fd };
            let connected = match fd {
                0 => connect_write_pipe(protocol, end).at(site).new_pipe().transport().await?,
                _ => connect_read_pipe(protocol, end).at(site).new_pipe().transport().await?,
            };
            *pipe = Some(connected);
        }
        let _ = transport.0.pipes.set(pipes);
        local.with(|running| running.connected());
        // After `connection_made`.
        let connected = Future::of_loop(site, None);
        let told = connected.clone();
        let tell = move || {
            // Refused if it was cancelled meanwhile.
            let _ = told.set_result(());
            Ok(())
        };
        with_running(site.what(), |scheduler| {
            scheduler.call_soon(tell, current_values(), site.location())
        })?;
        connected.await
    }

    /// All pipes are connected: calls the protocol for this, and for earlier events.
    fn connected(&self) {
        let early = self.early.take();
        self.tell(Event::Made);
        early.into_iter().flatten().for_each(|event| self.tell(event));
    }

    fn opened(&self, pipe: &Transport) {
        self.pipes.borrow_mut().push(pipe.clone());
        if self.handle().is_some_and(|handle| handle.is_closing()) {
            pipe.close();
        }
    }

    fn pipe_lost(&self, fd: i32, error: Option<Error>) {
        self.pipes_left.set(self.pipes_left.get().saturating_sub(1));
        self.tell(Event::PipeLost(fd, error));
        self.try_finish();
    }

    fn exited(&self) {
        self.has_exited.set(true);
        self.tell(Event::Exited);
        self.try_finish();
    }

    /// Ends the transport when the process has ended and no pipe is left.
    fn try_finish(&self) {
        let is_over = self.has_exited.get() && self.pipes_left.get() == 0;
        if is_over && !self.finished.replace(true) {
            self.tell(Event::Lost);
        }
    }

    fn close_pipes(&self) {
        let pipes = self.pipes.borrow().clone();
        pipes.iter().for_each(Transport::close);
    }

    fn leave(&self) {
        if let Some(transport) = self.handle() {
            transport.0.local.remove();
        }
    }

    /// Calls the protocol, as a separate step.
    fn tell(&self, event: Event) {
        if let Some(early) = &mut *self.early.borrow_mut() {
            return early.push(event);
        }
        let Some(SubprocessTransport(shared)) = self.handle() else { return };
        let local = shared.local;
        let call = move || {
            local.with(|running| running.call(event));
            Ok(())
        };
        let location = Location::caller();
        // A loop that is being closed refuses it, and makes no more calls.
        with_entered(|scheduler| drop(scheduler.call_soon(call, current_values(), location)));
    }

    fn call(&self, event: Event) {
        let Some(transport) = self.handle() else { return };
        let protocol = self.protocol.borrow().clone();
        let Ok(mut protocol) = protocol.try_borrow_mut() else {
            let in_use = "the protocol is in use: its RefCell is borrowed outside of its callbacks";
            return ExceptionContext::new("SubprocessProtocol: a callback was not called")
                .with_exception(Error::runtime(in_use))
                .with_note("transport", format!("{transport:?}"))
                .report(Some(transport.0.local.home()));
        };
        match event {
            Event::Made => protocol.connection_made(transport),
            Event::Data(fd, data) => protocol.pipe_data_received(transport, fd, data),
            Event::PipeLost(fd, error) => protocol.pipe_connection_lost(transport, fd, error),
            Event::Exited => protocol.process_exited(transport),
            Event::Paused => protocol.pause_writing(transport),
            Event::Resumed => protocol.resume_writing(transport),
            Event::Lost => {
                self.leave();
                protocol.connection_lost(transport, None);
            }
        }
    }

    /// As in asyncio, it is called immediately; later only if the protocol itself is writing.
    fn flow(&self, event: Event) {
        let is_free = self.protocol.borrow().try_borrow_mut().is_ok();
        if is_free && self.early.borrow().is_none() { self.call(event) } else { self.tell(event) }
    }

    fn handle(&self) -> Option<&SubprocessTransport> {
        self.transport.get()
    }
}

/// The protocol of one of its pipes.
struct PipeProtocol {
    process: LoopLocal<Running>,
    fd: i32,
}

impl Protocol for PipeProtocol {
    fn connection_made(&mut self, transport: &Transport) {
        self.process.with(|process| process.opened(transport));
    }

    fn connection_lost(&mut self, _: &Transport, error: Option<Error>) {
        self.process.with(|process| process.pipe_lost(self.fd, error));
    }

    fn pause_writing(&mut self, _: &Transport) {
        self.process.with(|process| process.flow(Event::Paused));
    }

    fn resume_writing(&mut self, _: &Transport) {
        self.process.with(|process| process.flow(Event::Resumed));
    }

    fn data_received(&mut self, _: &Transport, data: Bytes) {
        self.process.with(|process| process.tell(Event::Data(self.fd, data)));
    }
}
