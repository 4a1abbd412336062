//! What runs in a thread, asked for by a signal.
//!
//! The handler runs in the thread in question, wherever that was interrupted: it copies a few words, and
//! records instruction pointers. What they are is looked up in the thread that has asked.
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

/// It is ignored if nothing handles it, hardly used, and does not end a system call that is begun again.
const SIGNAL: i32 = libc::SIGURG;

/// For so long the answer is waited for. A thread that the system does not let run gives none.
const PATIENCE: Duration = Duration::from_secs(2);

/// So many instruction pointers are recorded at most.
const FRAMES: usize = 128;

/// What a thread was found to do.
#[derive(Clone, Copy)]
pub(super) struct Sample {
    has_answered: bool,
    task: Option<RunningTask>,
    frames: [usize; FRAMES],
    len: usize,
}

impl Sample {
    const NOTHING: Sample = Sample { has_answered: false, task: None, frames: [0; FRAMES], len: 0 };

    /// Whether the thread has said what it does.
    pub(super) fn has_answered(&self) -> bool {
        self.has_answered
    }

    /// The task whose step was under way.
    pub(super) fn task(&self) -> Option<&RunningTask> {
        self.task.as_ref()
    }

    /// Whether both were in a step of the same task, or both in none.
    pub(super) fn is_same_step(&self, later: &Sample) -> bool {
        match (&self.task, &later.task) {
            (Some(task), Some(other)) => task.is(other),
            (None, None) => true,
            _ => false,
        }
    }

    /// Where the thread is, a line for each frame down to the loop.
    #[cfg(feature = "backtrace")]
    pub(super) fn backtrace(&self) -> String {
        let mut lines = Vec::new();
        // The handler is called by a trampoline, which has no name, and that by what was interrupted.
        let mut after_handler = None;
        for (n, address) in self.frames[..self.len].iter().enumerate() {
            // Looked up is the call before an address of return; this one is no such.
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

    /// Without the feature there is none.
    #[cfg(not(feature = "backtrace"))]
    pub(super) fn backtrace(&self) -> String {
        "; with the feature `backtrace` of asyncio, this says where it is".to_owned()
    }
}

/// The thread of a loop, which can be asked what it does.
#[derive(Debug)]
pub(super) struct Thread {
    id: Pthread,
    _handler: Option<Handler>,
}

// SAFETY: the number of a thread may be used in any other; see `sample`.
unsafe impl Send for Thread {}

impl Thread {
    /// This thread. It has to live for as long as the value.
    pub(super) fn current() -> Thread {
        Thread { id: pthread_self(), _handler: Handler::install() }
    }

    /// Asks the thread what it does. Nothing is known of one that does not answer.
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
        // SAFETY: the handler has written it, and writes no more until it is asked again.
        let sample = unsafe { *SLOT.sample.get() };
        SLOT.state.store(IDLE, Ordering::Release);
        sample
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
}

/// Where the handler leaves its answer. `IDLE`, `ASKED`, `ANSWERING` and `ANSWERED` follow each other.
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

// SAFETY: the sample is written by the handler that has made `ANSWERING` of `ASKED`, and read by the one that
// has asked when `ANSWERED` stands there. One asks at a time.
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
        // SAFETY: this handler alone has made `ANSWERING` of `ASKED`.
        let sample = unsafe { &mut *SLOT.sample.get() };
        sample.has_answered = true;
        sample.task = RunningTask::look();
        sample.len = record(&mut sample.frames);
        SLOT.state.store(ANSWERED, Ordering::Release);
    }
    Errno::set_raw(errno);
}

/// Records where the thread is, and gives the number of frames.
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

/// Finds out whether the handler may unwind, and lets the unwinder do what it does once.
fn prepare() {
    #[cfg(all(feature = "backtrace", target_os = "linux", target_env = "gnu"))]
    {
        // SAFETY: looks a name up; the string ends with a zero.
        let found = unsafe { libc::dlsym(libc::RTLD_DEFAULT, c"_dl_find_object".as_ptr()) };
        CAN_UNWIND.store(!found.is_null(), Ordering::Relaxed);
        record(&mut [0; FRAMES]);
    }
}

/// How many have the handler, and what the process did about the signal before.
static INSTALLED: Mutex<(usize, Option<libc::sigaction>)> = Mutex::new((0, None));

/// While one lives the process handles the signal.
#[derive(Debug)]
struct Handler(());

impl Handler {
    /// `None` if the program does something of its own about the signal.
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
            // SAFETY: the system gave it to us, unless the program has set another since, which stays.
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
