//! Tests with real signals. They run in parallel in one process, so each test has signals of its
//! own.

use super::{system, *};
use crate::{get_running_loop, new_event_loop};
use asyncio_core::{Error, context::ContextVar};
use asyncio_task::{sleep, wait_for};
use nix::{
    libc,
    sys::signal::{SaFlags, SigAction, SigHandler, SigSet, Signal, kill, raise, sigaction},
};
use std::{
    sync::{
        atomic::{AtomicUsize, Ordering::SeqCst},
        mpsc,
    },
    thread,
    time::Duration,
};

fn message<T>(result: Result<T>) -> String {
    match result {
        Ok(_) => "no error".to_owned(),
        Err(error) => format!("{}: {error}", error.kind()),
    }
}

/// Counts how often a callback ran.
#[derive(Clone, Default)]
struct Count(Rc<Cell<usize>>);

impl Count {
    fn up(&self) -> impl FnMut() + use<> {
        let count = self.0.clone();
        move || count.set(count.get() + 1)
    }
}

/// Runs iterations until the signals have had their effect.
fn settle(event_loop: &EventLoop) {
    for _ in 0..4 {
        event_loop.stop();
        event_loop.run_forever().unwrap();
    }
}

#[test]
fn a_signal_runs_its_callback_as_a_step_of_the_loop() {
    let event_loop = new_event_loop().unwrap();
    let count = Count::default();
    event_loop.add_signal_handler(SIGUSR1, count.up()).unwrap();
    raise(Signal::SIGUSR1).unwrap();
    assert_eq!(count.0.get(), 0, "not inside the signal");
    settle(&event_loop);
    assert_eq!(count.0.get(), 1);
    raise(Signal::SIGUSR1).unwrap();
    raise(Signal::SIGUSR1).unwrap();
    settle(&event_loop);
    assert_eq!(count.0.get(), 2, "twice before the loop looks is once");
    assert!(event_loop.remove_signal_handler(SIGUSR1).unwrap());
    assert!(!event_loop.remove_signal_handler(SIGUSR1).unwrap());
    event_loop.close().unwrap();
}

#[test]
fn a_signal_wakes_a_loop_that_waits() {
    let event_loop = new_event_loop().unwrap();
    let this = event_loop.clone();
    event_loop.add_signal_handler(SIGUSR2, move || this.stop()).unwrap();
    let sender = thread::spawn(|| {
        thread::sleep(Duration::from_millis(30));
        kill(nix::unistd::getpid(), Signal::SIGUSR2).unwrap();
    });
    event_loop.run_forever().unwrap();
    sender.join().unwrap();
    event_loop.close().unwrap();
}

#[test]
fn a_new_callback_replaces_the_old_one() {
    let event_loop = new_event_loop().unwrap();
    let (old, new) = (Count::default(), Count::default());
    event_loop.add_signal_handler(SIGHUP, old.up()).unwrap();
    event_loop.add_signal_handler(SIGHUP, new.up()).unwrap();
    assert_eq!(Rc::strong_count(&old.0), 1, "the old callback is dropped");
    raise(Signal::SIGHUP).unwrap();
    settle(&event_loop);
    assert_eq!((old.0.get(), new.0.get()), (0, 1));
    event_loop.close().unwrap();
}

#[test]
fn a_callback_runs_in_the_context_of_its_registration() {
    static USER: ContextVar<&str> = ContextVar::with_default("user", "nobody");
    let event_loop = new_event_loop().unwrap();
    let seen = Rc::new(RefCell::new(Vec::new()));
    let inside = seen.clone();
    USER.set("ann");
    let handler = move || {
        inside.borrow_mut().push(USER.get().unwrap());
        USER.set("changed");
    };
    event_loop.add_signal_handler(SIGWINCH, handler).unwrap();
    USER.set("later");
    for _ in 0..2 {
        raise(Signal::SIGWINCH).unwrap();
        settle(&event_loop);
    }
    assert_eq!((&seen.borrow()[..], USER.get()), (&["ann", "changed"][..], Some("later")));
    event_loop.close().unwrap();
}

#[test]
fn what_a_callback_fails_with_goes_to_the_exception_handler() {
    let event_loop = new_event_loop().unwrap();
    let seen = Count::default();
    let up = RefCell::new(seen.up());
    event_loop.set_exception_handler(move |_, _| (up.borrow_mut())());
    event_loop.add_signal_handler(SIGXCPU, || Err::<(), _>(Error::msg("no"))).unwrap();
    for _ in 0..2 {
        raise(Signal::SIGXCPU).unwrap();
        settle(&event_loop);
    }
    assert_eq!(seen.0.get(), 2);
    event_loop.close().unwrap();
}

#[test]
fn impossible_signals_are_refused() {
    let event_loop = new_event_loop().unwrap();
    let add = |signal| message(event_loop.add_signal_handler(signal, || ()));
    assert_eq!(add(libc::SIGKILL), "RuntimeError: sig 9 cannot be caught");
    assert_eq!(add(libc::SIGSTOP), format!("RuntimeError: sig {} cannot be caught", libc::SIGSTOP));
    // The faulting instruction would run again and again, and the loop never.
    for fault in [libc::SIGSEGV, libc::SIGBUS, libc::SIGFPE, libc::SIGILL] {
        let refused = add(fault);
        assert!(refused.starts_with("RuntimeError: add_signal_handler: sig "), "{refused}");
        assert!(!event_loop.remove_signal_handler(fault).unwrap());
    }
    assert_eq!(add(0), "ValueError: invalid signal number 0");
    assert_eq!(add(-1), "ValueError: invalid signal number -1");
    assert_eq!(add(1000), "ValueError: invalid signal number 1000");
    assert_eq!(
        message(event_loop.remove_signal_handler(1000)),
        "ValueError: invalid signal number 1000"
    );
    event_loop.close().unwrap();
    assert_eq!(add(SIGUSR1), "RuntimeError: Event loop is closed");
    assert!(!event_loop.remove_signal_handler(SIGUSR1).unwrap());
}

static BEFORE: AtomicUsize = AtomicUsize::new(0);

extern "C" fn before(_: i32) {
    BEFORE.fetch_add(1, SeqCst);
}

#[test]
fn the_exact_previous_disposition_comes_back() {
    let mut mask = SigSet::empty();
    mask.add(Signal::SIGPROF);
    let flags = SaFlags::SA_NODEFER | SaFlags::SA_RESTART;
    let ours = SigAction::new(SigHandler::Handler(before), flags, mask);
    let now = |signal| {
        // SAFETY: restores the value that it has read.
        unsafe {
            let now = sigaction(signal, &ours).unwrap();
            sigaction(signal, &now).unwrap();
            now
        }
    };
    let is_ours = |action: &SigAction| match action.handler() {
        SigHandler::Handler(handler) => handler as usize == before as *const () as usize,
        _ => false,
    };
    // SAFETY: the handler uses an atomic alone.
    unsafe { sigaction(Signal::SIGALRM, &ours) }.unwrap();
    let count = Count::default();
    let (a, b) = (new_event_loop().unwrap(), new_event_loop().unwrap());
    a.add_signal_handler(SIGALRM, count.up()).unwrap();
    a.add_signal_handler(SIGALRM, count.up()).unwrap();
    b.add_signal_handler(SIGALRM, count.up()).unwrap();
    assert!(!is_ours(&now(Signal::SIGALRM)));
    assert!(a.remove_signal_handler(SIGALRM).unwrap());
    assert!(!is_ours(&now(Signal::SIGALRM)), "the other loop still wants it");
    raise(Signal::SIGALRM).unwrap();
    settle(&a);
    settle(&b);
    assert_eq!((count.0.get(), BEFORE.load(SeqCst)), (1, 0));
    // Closing takes the last one away.
    b.close().unwrap();
    let back = now(Signal::SIGALRM);
    assert!(is_ours(&back) && back.mask() == ours.mask());
    assert!(back.flags().contains(flags));
    raise(Signal::SIGALRM).unwrap();
    assert_eq!(BEFORE.load(SeqCst), 1);
    a.close().unwrap();
}

#[test]
fn a_handler_set_by_others_since_is_left_alone() {
    let event_loop = new_event_loop().unwrap();
    event_loop.add_signal_handler(SIGVTALRM, || ()).unwrap();
    let theirs = SigAction::new(SigHandler::SigIgn, SaFlags::empty(), SigSet::empty());
    // SAFETY: ignoring is safe.
    unsafe { sigaction(Signal::SIGVTALRM, &theirs) }.unwrap();
    assert!(event_loop.remove_signal_handler(SIGVTALRM).unwrap());
    raise(Signal::SIGVTALRM).unwrap();
    event_loop.close().unwrap();
}

#[test]
fn a_signal_goes_to_every_loop_that_handles_it() {
    let (ready, is_ready) = mpsc::channel();
    let loops: Vec<_> = (0..3)
        .map(|_| {
            let ready = ready.clone();
            thread::spawn(move || {
                let event_loop = new_event_loop().unwrap();
                let this = event_loop.clone();
                event_loop.add_signal_handler(SIGURG, move || this.stop()).unwrap();
                event_loop.call_soon(move || ready.send(()).is_ok()).unwrap();
                event_loop.run_forever().unwrap();
                event_loop.close().unwrap();
            })
        })
        .collect();
    loops.iter().for_each(|_| is_ready.recv().unwrap());
    kill(nix::unistd::getpid(), Signal::SIGURG).unwrap();
    loops.into_iter().for_each(|thread| thread.join().unwrap());
}

#[test]
fn signals_and_closing_loops_do_not_get_in_each_other_s_way() {
    let stop = Arc::new(AtomicUsize::new(0));
    let done = stop.clone();
    let keeper = new_event_loop().unwrap();
    keeper.add_signal_handler(SIGIO, || ()).unwrap();
    let sender = thread::spawn(move || {
        while done.load(SeqCst) == 0 {
            kill(nix::unistd::getpid(), Signal::SIGIO).unwrap();
            thread::yield_now();
        }
    });
    for _ in 0..200 {
        let event_loop = new_event_loop().unwrap();
        let this = event_loop.clone();
        event_loop.add_signal_handler(SIGIO, move || this.stop()).unwrap();
        event_loop.run_forever().unwrap();
        event_loop.close().unwrap();
    }
    stop.store(1, SeqCst);
    sender.join().unwrap();
    keeper.close().unwrap();
}

#[test]
fn sets_of_signals_are_read_in_order() {
    let bits = system::bit(SIGHUP).unwrap() | system::bit(SIGTERM).unwrap() | 1 << 63;
    assert_eq!(system::signals(bits).collect::<Vec<_>>(), [SIGHUP, SIGTERM, 64]);
    assert_eq!(system::signals(0).next(), None);
}

#[test]
fn under_the_virtual_clock_a_handler_is_something_to_wait_for() {
    let event_loop = EventLoop::builder().virtual_time(true).build().unwrap();
    let this = event_loop.clone();
    event_loop.add_signal_handler(SIGXFSZ, move || this.stop()).unwrap();
    let sender = thread::spawn(|| {
        thread::sleep(Duration::from_millis(10));
        kill(nix::unistd::getpid(), Signal::SIGXFSZ).unwrap();
    });
    event_loop.run_forever().unwrap();
    sender.join().unwrap();
    event_loop.remove_signal_handler(SIGXFSZ).unwrap();
    assert!(matches!(event_loop.run_forever(), Err(Error::Deadlock(_))));
    event_loop.close().unwrap();
}

#[test]
fn a_receiver_gives_signals_one_after_another() {
    crate::run(async {
        let event_loop = get_running_loop()?;
        let mut signals = receive_signals([SIGCONT, SIGTTOU])?;
        let refused = message(receive_signals([SIGTTOU]));
        assert!(
            refused.starts_with(&format!(
                "RuntimeError: receive_signals: signal {SIGTTOU} already has a handler"
            )),
            "{refused}"
        );
        raise(Signal::SIGTTOU).unwrap();
        assert_eq!(signals.next().await.transpose()?, Some(SIGTTOU));

        // It waits for later signals, and may be dropped.
        let late = wait_for(async { signals.next().await.transpose() }, Duration::from_millis(1));
        assert!(late.await.unwrap_err().is_timeout());
        event_loop.call_soon(|| raise(Signal::SIGCONT).map_err(Error::from))?;
        assert_eq!(signals.next().await.transpose()?, Some(SIGCONT));
        raise(Signal::SIGCONT).unwrap();
        sleep(Duration::ZERO).await?;
        drop(signals.next());
        assert_eq!(signals.next().await.transpose()?, Some(SIGCONT), "nothing is lost");

        drop(signals);
        assert!(!event_loop.remove_signal_handler(SIGCONT)?);
        drop(receive_signals([SIGTTOU])?);
        let invalid = message(receive_signals([SIGCONT, 0]));
        assert!(invalid.starts_with("ValueError"), "{invalid}");
        assert!(!event_loop.remove_signal_handler(SIGCONT)?, "nothing stays of one that failed");
        Ok(())
    })
    .unwrap();
}
