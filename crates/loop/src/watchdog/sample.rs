//! Samples what a thread is running, by a signal.
//!
//! The handler runs in that thread, wherever it was interrupted: it copies a few words, and records
//! instruction pointers. The requesting thread looks up their symbols.
//!
//! # Unwinding in a signal handler
//! is safe where finding the tables of a function takes no lock and no memory: with glibc from 2.35 on, whose
//! `_dl_find_object` is made for this, and which libgcc then calls. Where that is missing, and without the
//! feature `backtrace`, nothing is unwound.

use asyncio_core::raw::RunningTask;
use nix::{
    errno::Errno,
    libc,
    sys::{
        pthread::{Pthread, pthread_kill, pthread_self},
        signal::Signal,
    },
};
use std::{
    cell::UnsafeCell,
    ptr,
    sync::{
        Mutex, MutexGuard,
        atomic::{AtomicU8, AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

/// The signal is ignored if nothing handles it, is hardly used, and does not end a system call that is
/// restarted.
const SIGNAL: i32 = libc::SIGURG;

/// The longest wait for the answer. A thread that the system does not schedule gives none.
const PATIENCE: Duration = Duration::from_secs(2);

/// The largest number of recorded instruction pointers.
const FRAMES: usize = 128;

/// What a thread was doing.
#[derive(Clone, Copy)]
pub(super) struct Sample {
    has_answered: bool,
    task: Option<RunningTask>,
    frames: [usize; FRAMES],
    len: usize,
}

impl Sample {
    const NOTHING: Sample = Sample { has_answered: false, task: None, frames: [0; FRAMES], len: 0 };

    /// Whether the thread has answered.
    pub(super) fn has_answered(&self) -> bool {
        self.has_answered
    }

    /// The task whose step was running.
    pub(super) fn task(&self) -> Option<&RunningTask> {
        self.task.as_ref()
    }

    /// Whether both samples are in a step of the same task, or both outside steps.
    pub(super) fn is_same_step(&self, later: &Sample) -> bool {
        match (&self.task, &later.task) {
            (Some(task), Some(other)) => task.is(other),
            (None, None) => true,
            _ => false,
        }
    }

    /// Formats the stack of the thread, with a line for each frame down to the loop.
    #[cfg(feature = "backtrace")]
    pub(super) fn backtrace(&self) -> String {
        let mut lines = Vec::new();
        // The handler is called by a trampoline, which has no name, and the trampoline by the
        // interrupted code.
        let mut after_handler = None;
        for (n, address) in self.frames[..self.len].iter().enumerate() {
            // For a return address, the call before it is looked up; this one is not a return
            // address.
            let is_interrupted = after_handler.is_some_and(|handler| n == handler + 2);
            let address = *address + usize::from(is_interrupted);
            backtrace::resolve(address as *mut _, |symbol| {
                let name = symbol.name().map(|name| format!("{name:#}")).unwrap_or_default();
                if after_handler.is_none() && name.ends_with("on_signal") {
                    lines.clear();
                    after_handler = Some(n);
                    return;
                }
                let place = symbol.filename().zip(symbol.lineno());
                let place =
                    place.map(|(file, line)| format!("\n        at {}:{line}", file.display()));
                lines.push((name, place.unwrap_or_default()));
            });
        }
        // The loop stands below it.
        let below = ["asyncio_task::step::", "Scheduler::run_callback", "Scheduler::run_so_many"];
        let is_loop = |(name, _): &(String, String)| below.iter().any(|of| name.contains(of));
        let end = lines.iter().position(is_loop).unwrap_or(lines.len());
        lines[..end].iter().map(|(name, place)| format!("\n    {name}{place}")).collect()
    }

    /// Without the feature, there is no backtrace.
    #[cfg(not(feature = "backtrace"))]
    pub(super) fn backtrace(&self) -> String {
        "; with the feature `backtrace` of asyncio, this says where it is".to_owned()
    }
}

/// The thread of a loop, which can be sampled.
#[derive(Debug)]
pub(super) struct Thread {
    id: Pthread,
    _handler: Option<Handler>,
}

// SAFETY: the number of a thread may be used in any other; see `sample`.
unsafe impl Send for Thread {}

impl Thread {
    /// Returns this thread. It has to live as long as the value.
    pub(super) fn current() -> Thread {
        Thread { id: pthread_self(), _handler: Handler::install() }
    }

    /// Samples the thread. If it does not answer, the sample is empty.
    pub(super) fn sample(&self) -> Sample {
        if self._handler.is_none() {
            return Sample::NOTHING;
        }
        static ASKING: Mutex<()> = Mutex::new(());
        let _asking = lock(&ASKING);
        SLOT.thread.store(self.id as usize, Ordering::Relaxed);
        SLOT.state.store(ASKED, Ordering::Release);
        // The thread lives: a run on it ends only after its watchdog.
        let _ = pthread_kill(self.id, Signal::SIGURG);
        let asked = Instant::now();
        while SLOT.state.load(Ordering::Acquire) != ANSWERED {
            let is_late = asked.elapsed() > PATIENCE;
            if is_late && SLOT.change(ASKED, IDLE) {
                return Sample::NOTHING;
            }
            std::thread::sleep(Duration::from_millis(1));
        }
        // SAFETY: the handler has written it, and does not write again until the next request.
        let sample = unsafe { *SLOT.sample.get() };
        SLOT.state.store(IDLE, Ordering::Release);
        sample
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
}

/// The slot for the handler's answer. Its states are `IDLE`, `ASKED`, `ANSWERING` and `ANSWERED`, in
/// this order.
struct Slot {
    state: AtomicU8,
    /// The thread that is asked.
    thread: AtomicUsize,
    sample: UnsafeCell<Sample>,
}

const IDLE: u8 = 0;
const ASKED: u8 = 1;
const ANSWERING: u8 = 2;
const ANSWERED: u8 = 3;

// SAFETY: the handler that has changed `ASKED` to `ANSWERING` writes the sample, and the requester reads it
// in the state `ANSWERED`. There is one requester at a time.
unsafe impl Sync for Slot {}

static SLOT: Slot = Slot {
    state: AtomicU8::new(IDLE),
    thread: AtomicUsize::new(0),
    sample: UnsafeCell::new(Sample::NOTHING),
};

impl Slot {
    fn change(&self, from: u8, to: u8) -> bool {
        self.state.compare_exchange(from, to, Ordering::AcqRel, Ordering::Acquire).is_ok()
    }
}

extern "C" fn on_signal(_: libc::c_int) {
    let errno = Errno::last_raw();
    // Reads a register, and so is async-signal-safe.
    let here = pthread_self() as usize;
    if SLOT.thread.load(Ordering::Relaxed) == here && SLOT.change(ASKED, ANSWERING) {
        // SAFETY: only this handler has changed `ASKED` to `ANSWERING`.
        let sample = unsafe { &mut *SLOT.sample.get() };
        sample.has_answered = true;
        sample.task = RunningTask::look();
        sample.len = record(&mut sample.frames);
        SLOT.state.store(ANSWERED, Ordering::Release);
    }
    Errno::set_raw(errno);
}

/// Records the stack of the thread, and returns the number of frames.
#[cfg(all(feature = "backtrace", target_os = "linux", target_env = "gnu"))]
fn record(frames: &mut [usize; FRAMES]) -> usize {
    if !CAN_UNWIND.load(Ordering::Relaxed) {
        return 0;
    }
    let mut len = 0;
    // SAFETY: it needs a lock on Windows alone.
    unsafe {
        backtrace::trace_unsynchronized(|frame| {
            frames[len] = frame.ip() as usize;
            len += 1;
            len < FRAMES
        });
    }
    len
}

#[cfg(not(all(feature = "backtrace", target_os = "linux", target_env = "gnu")))]
fn record(_: &mut [usize; FRAMES]) -> usize {
    0
}

/// Whether the handler may unwind.
#[cfg(all(feature = "backtrace", target_os = "linux", target_env = "gnu"))]
static CAN_UNWIND: std::sync::atomic::AtomicBool = std::sync::atomic::AtomicBool::new(false);

/// Determines whether the handler may unwind, and lets the unwinder do its one-time initialisation.
fn prepare() {
    #[cfg(all(feature = "backtrace", target_os = "linux", target_env = "gnu"))]
    {
        // SAFETY: looks a name up; the string ends with a zero.
        let found = unsafe { libc::dlsym(libc::RTLD_DEFAULT, c"_dl_find_object".as_ptr()) };
        CAN_UNWIND.store(!found.is_null(), Ordering::Relaxed);
        record(&mut [0; FRAMES]);
    }
}

/// The number of users of the handler, and the previous disposition of the signal.
static INSTALLED: Mutex<(usize, Option<libc::sigaction>)> = Mutex::new((0, None));

/// While one of these lives, the process handles the signal.
#[derive(Debug)]
struct Handler(());

impl Handler {
    /// Returns `None` if the program handles the signal itself.
    fn install() -> Option<Handler> {
        let mut installed = lock(&INSTALLED);
        if installed.0 == 0 {
            prepare();
            // SAFETY: all zeros is a valid `sigaction`, and the handler is async-signal-safe. It runs on the
            // thread's own stack, which the unwinder needs.
            let previous = unsafe {
                let mut action: libc::sigaction = std::mem::zeroed();
                let mut previous: libc::sigaction = std::mem::zeroed();
                if libc::sigaction(SIGNAL, ptr::null(), &mut previous) != 0
                    || ![libc::SIG_DFL, libc::SIG_IGN].contains(&previous.sa_sigaction)
                {
                    return None;
                }
                action.sa_sigaction = on_signal as extern "C" fn(libc::c_int) as libc::sighandler_t;
                action.sa_flags = libc::SA_RESTART;
                if libc::sigaction(SIGNAL, &action, ptr::null_mut()) != 0 {
                    return None;
                }
                previous
            };
            installed.1 = Some(previous);
        }
        installed.0 += 1;
        Some(Handler(()))
    }
}

impl Drop for Handler {
    fn drop(&mut self) {
        let mut installed = lock(&INSTALLED);
        installed.0 -= 1;
        if installed.0 > 0 {
            return;
        }
        if let Some(previous) = installed.1.take() {
            // SAFETY: the action comes from the system. If the program has set another one since, that
            // one stays.
            unsafe {
                let mut now: libc::sigaction = std::mem::zeroed();
                let ours = on_signal as extern "C" fn(libc::c_int) as libc::sighandler_t;
                if libc::sigaction(SIGNAL, ptr::null(), &mut now) == 0 && now.sa_sigaction == ours {
                    libc::sigaction(SIGNAL, &previous, ptr::null_mut());
                }
            }
        }
    }
}
