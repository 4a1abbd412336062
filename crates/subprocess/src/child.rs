//! [`Child`]: a child process, from its start until its status was taken.
//!
//! A process keeps its number until its status is taken; after that, the number may be reused. Both
//! taking the status and sending signals therefore happen under one lock, and no signal is sent
//! once the status is taken. Only the watcher of the child takes the status.

use crate::{
    session,
    system::{self, Id, Wait},
};
use asyncio_core::{
    Error, Result,
    log::{Level, log},
    raw::{Listeners, LoopRef, sync::Mutex},
    source::{OnReady, Source},
    wait::Wakers,
};
use nix::libc;
use std::{
    fmt, io,
    os::fd::{AsFd, OwnedFd},
    rc::Rc,
    sync::OnceLock,
};

/// The return code of a child whose status other code has taken, as in asyncio.
const UNKNOWN: i32 = 255;

pub(crate) struct Child {
    pid: u32,
    /// Whether it leads a session or group of processes.
    leads: bool,
    /// The loop that watches it.
    watched_by: OnceLock<LoopRef>,
    state: Mutex<State>,
}

struct State {
    stage: Stage,
    /// The pidfd while it runs, which becomes readable when it ends.
    pidfd: Option<Source<OwnedFd>>,
    /// The pidfd while its status is kept.
    kept: Option<OwnedFd>,
    listeners: Listeners,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Stage {
    Running,
    /// It has ended, and its status is kept, so that its number, which is that of a session, is not
    /// reused.
    Ended(i32),
    /// Its status was taken.
    Gone(i32),
}

impl Child {
    /// Creates the child that was just started with this number.
    pub(crate) fn new(pid: u32, leads: bool) -> Child {
        let pidfd = system::pidfd_open(pid).ok().map(Source::new);
        let (stage, listeners) = (Stage::Running, Listeners::new());
        let state = State { stage, pidfd, kept: None, listeners };
        Child { pid, leads, watched_by: OnceLock::new(), state: Mutex::new(state) }
    }

    /// Sets the loop that watches it. If the loop is closed, a thread watches it.
    pub(crate) fn set_watched_by(&self, home: LoopRef) {
        let _ = self.watched_by.set(home);
    }

    /// Checks that the child is watched while a task waits for its end.
    ///
    /// # Errors
    /// `Runtime` if it does not.
    pub(crate) fn check_awaited_here(&self, what: &str) -> Result<()> {
        match self.watched_by.get().filter(|home| !home.is_closed()) {
            Some(home) => home.check_awaited_here(what),
            None => Ok(()),
        }
    }

    pub(crate) fn pid(&self) -> u32 {
        self.pid
    }

    pub(crate) fn leads(&self) -> bool {
        self.leads
    }

    /// Registers a callback in the running loop for the end of the child. Returns false, without a
    /// callback, if there is no pidfd, or if the system cannot wait for it.
    pub(crate) fn set_handler(&self, callback: impl FnOnce() -> Rc<dyn OnReady>) -> bool {
        // Without the lock, because the callback may be dropped.
        let Some(pidfd) = self.state.lock().pidfd.take() else { return false };
        let watched = pidfd.register().is_ok() && pidfd.set_handler(callback()).is_ok();
        self.state.lock().pidfd = Some(pidfd);
        watched
    }

    /// Returns how it ended, once that is known.
    pub(crate) fn returncode(&self) -> Option<i32> {
        match self.state.lock().stage {
            Stage::Running => None,
            Stage::Ended(code) | Stage::Gone(code) => Some(code),
        }
    }

    /// Sends a signal, for the function `what`.
    ///
    /// # Errors
    /// `ESRCH` (Python: `ProcessLookupError`) if the child is known to have ended; `Value` if there is
    /// no such signal.
    pub(crate) fn send_signal(&self, what: &str, signal: i32) -> Result<()> {
        let state = self.state.lock();
        if state.stage != Stage::Running {
            return Err(io::Error::from_raw_os_error(libc::ESRCH).into());
        }
        match system::send_signal(self.id(&state), signal) {
            Err(error) => match error.raw_os_error() {
                Some(libc::EINVAL) => {
                    Err(Error::value(format!("{what}: invalid signal number {signal}")))
                }
                // Other code has taken its status, which is noticed soon.
                Some(libc::ESRCH) => Ok(()),
                _ => Err(error.into()),
            },
            Ok(()) => Ok(()),
        }
    }

    /// Calls `f` with the number of the child's session, which cannot be reused meanwhile; `None`
    /// if it may already have been reused.
    pub(crate) fn with_session<R>(&self, f: impl FnOnce(u32) -> R) -> Option<R> {
        let state = self.state.lock();
        match state.stage {
            Stage::Gone(_) => None,
            _ => Some(f(self.pid)),
        }
    }

    /// Calls `f` with the listeners for the end, or returns the return code if it is known.
    pub(crate) fn listen<R>(&self, f: impl FnOnce(&mut Listeners) -> R) -> Result<R, i32> {
        let mut state = self.state.lock();
        match state.stage {
            Stage::Running => Ok(f(&mut state.listeners)),
            Stage::Ended(code) | Stage::Gone(code) => Err(code),
        }
    }

    /// Checks whether the child has ended; if so, takes its status and notifies the waiters.
    /// Returns whether it has ended.
    pub(crate) fn look(&self) -> bool {
        let mut wakers = Wakers::new();
        let mut state = self.state.lock();
        if state.stage != Stage::Running {
            return true;
        }
        // If other processes are left in its session, its number has to stay.
        let how = if self.leads { Wait::Look } else { Wait::Reap };
        let code = match system::wait(self.id(&state), how) {
            Ok(None) => return false,
            Ok(Some(code)) => code,
            Err(error) => {
                let pid = self.pid;
                let text = "will report returncode 255";
                log(Level::Warning, &format!("Unknown child process pid {pid}, {text}: {error}"));
                UNKNOWN
            }
        };
        state.stage = Stage::Gone(code);
        if self.leads {
            state.stage = Stage::Ended(code);
            if session::has_others(self.pid) {
                state.kept = state.pidfd.as_ref().and_then(|fd| fd.get_ref().try_clone().ok());
            } else {
                self.reap(&mut state);
            }
        }
        state.listeners.notify(&mut wakers);
        let pidfd = state.pidfd.take();
        // Dropped outside the lock: it holds the callback that has led here.
        drop(state);
        drop(pidfd);
        true
    }

    /// Releases the number of a child that has ended.
    pub(crate) fn let_go(&self) {
        self.reap(&mut self.state.lock());
    }

    fn reap(&self, state: &mut State) {
        if let Stage::Ended(code) = state.stage {
            let _ = system::wait(self.id(state), Wait::Reap);
            state.stage = Stage::Gone(code);
            state.kept = None;
        }
    }

    /// Blocks until the child has ended, on its own thread.
    pub(crate) fn block(&self) {
        // Without the lock; the number stays the child's own, because only its watcher takes its status.
        let pidfd = self.state.lock().pidfd.as_ref().and_then(|fd| fd.get_ref().try_clone().ok());
        let id = Id { pidfd: pidfd.as_ref().map(|fd| fd.as_fd()), pid: self.pid };
        // The next look sees the error again.
        let _ = system::wait(id, Wait::Block);
    }

    fn id<'a>(&self, state: &'a State) -> Id<'a> {
        let running = state.pidfd.as_ref().map(|source| source.get_ref());
        Id { pidfd: running.or(state.kept.as_ref()).map(|fd| fd.as_fd()), pid: self.pid }
    }
}

/// Releases the number when the last handle is dropped, if it was kept for the session.
impl Drop for Child {
    fn drop(&mut self) {
        self.let_go();
    }
}

impl fmt::Debug for Child {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.returncode() {
            Some(code) => write!(f, "pid={} returncode={code}", self.pid),
            None => write!(f, "pid={} running", self.pid),
        }
    }
}
