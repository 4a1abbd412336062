//! The system's side of signals: the disposition of each, and the handler that runs in signal
//! context, which may only use atomics and async-signal-safe calls.

use super::LoopInbox;
use asyncio_core::{Error, Result};
use nix::{
    errno::Errno,
    libc,
    sys::signal::{SigSet, Signal, raise},
};
use std::{
    mem::MaybeUninit,
    ptr,
    sync::{
        Mutex, MutexGuard,
        atomic::{AtomicBool, AtomicPtr, AtomicU32, Ordering},
    },
};

/// The numbers of the signals, under their usual names. `SIGKILL` and `SIGSTOP` can be sent, but not
/// handled.
pub(super) mod numbers {
    pub use nix::libc::{
        SIGABRT, SIGALRM, SIGBUS, SIGCHLD, SIGCONT, SIGFPE, SIGHUP, SIGILL, SIGINT, SIGIO, SIGKILL,
        SIGPIPE, SIGPROF, SIGQUIT, SIGSEGV, SIGSTOP, SIGSYS, SIGTERM, SIGTRAP, SIGTSTP, SIGTTIN,
        SIGTTOU, SIGURG, SIGUSR1, SIGUSR2, SIGVTALRM, SIGWINCH, SIGXCPU, SIGXFSZ,
    };
}

/// An inbox that receives signals. The list only grows, and nothing in it is freed: an inbox is used
/// by one loop after another.
struct Listener {
    inbox: &'static LoopInbox,
    next: *const Listener,
}

static LISTENERS: AtomicPtr<Listener> = AtomicPtr::new(ptr::null_mut());

/// A signal that loops receive.
struct Caught {
    signal: i32,
    previous: libc::sigaction,
    users: usize,
}

static CAUGHT: Mutex<Vec<Caught>> = Mutex::new(Vec::new());

fn caught() -> MutexGuard<'static, Vec<Caught>> {
    CAUGHT.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
}

/// The bit of `signal` in the sets of an inbox.
///
/// # Errors
/// `Value` if there is no such signal.
pub(super) fn bit(signal: i32) -> Result<u64> {
    match disposition(signal) {
        Ok(_) if (1..=64).contains(&signal) => Ok(1 << (signal - 1)),
        _ => Err(Error::value(format!("invalid signal number {signal}"))),
    }
}

/// The signals of a set of bits.
pub(super) fn signals(mut bits: u64) -> impl Iterator<Item = i32> {
    std::iter::from_fn(move || {
        let place = bits.trailing_zeros();
        bits &= bits.wrapping_sub(1);
        (place < 64).then_some(place as i32 + 1)
    })
}

/// Makes `inbox` receive the caught signals that it wants.
pub(super) fn listen(inbox: &'static LoopInbox) {
    // The lock keeps other writers away.
    let _caught = caught();
    let first = LISTENERS.load(Ordering::Acquire);
    let mut next: *const Listener = first;
    // SAFETY: the list is never freed.
    while let Some(listener) = unsafe { next.as_ref() } {
        if ptr::eq(listener.inbox, inbox) {
            return;
        }
        next = listener.next;
    }
    let listener = Box::leak(Box::new(Listener { inbox, next: first }));
    LISTENERS.store(listener, Ordering::Release);
}

/// Returns the disposition of `signal`.
fn disposition(signal: i32) -> Result<libc::sigaction, Errno> {
    let mut action = MaybeUninit::uninit();
    // SAFETY: only asks; the result is written into a place of the right type.
    Errno::result(unsafe { libc::sigaction(signal, ptr::null(), action.as_mut_ptr()) })?;
    // SAFETY: the call succeeded, so it is written.
    Ok(unsafe { action.assume_init() })
}

fn set_disposition(signal: i32, action: &libc::sigaction) -> Result<(), Errno> {
    // SAFETY: `action` is valid for the call. It comes from the system, is the default, or has
    // `on_signal` as its handler, which is async-signal-safe.
    Errno::result(unsafe { libc::sigaction(signal, action, ptr::null_mut()) }).map(drop)
}

fn action_of(handler: libc::sighandler_t) -> libc::sigaction {
    // SAFETY: all zeros is a valid `sigaction`: the default action, no flags, no mask.
    let mut action: libc::sigaction = unsafe { std::mem::zeroed() };
    action.sa_sigaction = handler;
    action.sa_flags = libc::SA_RESTART | libc::SA_ONSTACK;
    action
}

fn our_handler() -> libc::sighandler_t {
    on_signal as extern "C" fn(libc::c_int) as libc::sighandler_t
}

/// Signals that report a fault in the running code. When their handler returns, the same instruction
/// runs again and faults again, so the loop would never get to run a callback.
const FAULTS: [i32; 4] = [libc::SIGSEGV, libc::SIGBUS, libc::SIGFPE, libc::SIGILL];

/// Catches `signal`; [`release`] reverts this.
///
/// # Errors
/// `Runtime` if the system does not let it be caught, or if it reports a fault in the running code.
pub(super) fn catch(signal: i32) -> Result<()> {
    if FAULTS.contains(&signal) {
        return Err(Error::runtime(format!(
            "add_signal_handler: sig {signal} cannot be caught by an event loop: it reports a fault in \
             the running code, which would fault again before the loop could run the callback"
        )));
    }
    let mut caught = caught();
    if let Some(known) = caught.iter_mut().find(|known| known.signal == signal) {
        known.users += 1;
        return Ok(());
    }
    let cannot = |_| Error::runtime(format!("sig {signal} cannot be caught"));
    let previous = disposition(signal).map_err(cannot)?;
    set_disposition(signal, &action_of(our_handler())).map_err(cannot)?;
    caught.push(Caught { signal, previous, users: 1 });
    Ok(())
}

/// Ends one [`catch`]; the last one restores the disposition from before the first, unless other
/// code has set another one since.
pub(super) fn release(signal: i32) {
    let mut caught = caught();
    let Some(place) = caught.iter().position(|known| known.signal == signal) else { return };
    caught[place].users -= 1;
    if caught[place].users > 0 {
        return;
    }
    let previous = caught.swap_remove(place).previous;
    if disposition(signal).is_ok_and(|now| now.sa_sigaction == our_handler()) {
        // It was valid before, so it is now.
        let _ = set_disposition(signal, &previous);
    }
}

extern "C" fn on_signal(signal: libc::c_int) {
    let errno = Errno::last_raw();
    if signal == libc::SIGINT && is_further_interrupt() {
        end_by(Signal::SIGINT);
    } else if (1..=64).contains(&signal) {
        let mut next: *const Listener = LISTENERS.load(Ordering::Acquire);
        // SAFETY: the list is never freed.
        while let Some(listener) = unsafe { next.as_ref() } {
            listener.inbox.raise(1 << (signal - 1));
            next = listener.next;
        }
    }
    Errno::set_raw(errno);
}

/// Ends the process as the default action of `signal` does. The system ignores that action for the
/// first process of a container, which then exits with the status that a shell reports for a signal.
///
/// Async-signal-safe: each call is a system call, or a store into a set on the stack.
fn end_by(signal: Signal) {
    let number = signal as libc::c_int;
    let _ = set_disposition(number, &action_of(libc::SIG_DFL));
    // The signal is blocked while its handler runs, so it would take effect only after that.
    let mut blocked = SigSet::empty();
    blocked.add(signal);
    let _ = blocked.thread_unblock();
    let _ = raise(signal);
    // SAFETY: ends the process, runs nothing of it, and may be called in a signal handler.
    unsafe { libc::_exit(128 + number) }
}

/// Whether a `Runner` takes Ctrl-C as an interruption of its main task.
static ARMED: AtomicBool = AtomicBool::new(false);
/// The number of times that Ctrl-C has arrived since.
static INTERRUPTS: AtomicU32 = AtomicU32::new(0);
/// The number of loops that have their own handler for Ctrl-C, which makes it an ordinary signal.
static OWN_HANDLERS: AtomicU32 = AtomicU32::new(0);

fn is_further_interrupt() -> bool {
    ARMED.load(Ordering::Acquire)
        && OWN_HANDLERS.load(Ordering::Acquire) == 0
        && INTERRUPTS.fetch_add(1, Ordering::AcqRel) > 0
}

/// Records that a loop sets (or removes) its own handler for Ctrl-C.
pub(super) fn own_interrupt(own: bool) {
    match own {
        true => OWN_HANDLERS.fetch_add(1, Ordering::AcqRel),
        false => OWN_HANDLERS.fetch_sub(1, Ordering::AcqRel),
    };
}

/// While this lives, the first Ctrl-C only notifies the loops, and a further one has its previous
/// effect.
#[derive(Debug)]
pub(super) struct Armed(());

impl Armed {
    /// Returns `None` on any thread except the main thread, and if the program handles Ctrl-C
    /// itself.
    pub(super) fn new() -> Option<Armed> {
        Armed::after(0)
    }

    /// Makes even the first Ctrl-C end the process. Returns `None` where it does so anyway: in every
    /// process except the first one of a container.
    pub(super) fn at_the_end() -> Option<Armed> {
        if nix::unistd::getpid().as_raw() == 1 { Armed::after(1) } else { None }
    }

    fn after(interrupts: u32) -> Option<Armed> {
        let is_default =
            || disposition(libc::SIGINT).is_ok_and(|now| now.sa_sigaction == libc::SIG_DFL);
        if !is_main_thread() || !is_default() {
            return None;
        }
        INTERRUPTS.store(interrupts, Ordering::Release);
        catch(libc::SIGINT).ok()?;
        ARMED.store(true, Ordering::Release);
        Some(Armed(()))
    }

    /// Whether Ctrl-C came.
    pub(super) fn was_interrupted(&self) -> bool {
        INTERRUPTS.load(Ordering::Acquire) > 0
    }
}

impl Drop for Armed {
    fn drop(&mut self) {
        release(libc::SIGINT);
        ARMED.store(false, Ordering::Release);
    }
}

/// Whether this is the thread in which the process began.
fn is_main_thread() -> bool {
    #[cfg(any(target_os = "linux", target_os = "android"))]
    return nix::unistd::gettid() == nix::unistd::getpid();
    // The standard library gives no other thread this name.
    #[cfg(not(any(target_os = "linux", target_os = "android")))]
    return std::thread::current().name() == Some("main");
}
