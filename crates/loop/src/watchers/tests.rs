//! `add_reader`, `add_writer` and their counterparts.

use crate::{
    EventLoop, new_event_loop,
    test_loop::{FOR_EVER, TestLoop},
};
use asyncio_core::{
    Error, Result,
    context::ContextVar,
    raw::Scheduler,
    source::{Direction, Source},
    wait_site::WaitSite,
};
use std::{
    cell::{Cell, RefCell},
    future::Future,
    io::{Read, Write},
    os::{
        fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, IntoRawFd, OwnedFd, RawFd},
        unix::net::UnixStream,
    },
    pin::Pin,
    rc::Rc,
    task::{Context, Waker},
    time::Duration,
};

/// A loop with a pair of sockets, and a list of what ran.
struct Bench {
    event_loop: EventLoop,
    ours: UnixStream,
    theirs: UnixStream,
    ran: Rc<RefCell<Vec<&'static str>>>,
}

impl Bench {
    fn new() -> Bench {
        let (ours, theirs) = UnixStream::pair().unwrap();
        let event_loop = new_event_loop().unwrap();
        Bench { event_loop, ours, theirs, ran: Rc::default() }
    }

    fn say(&self, what: &'static str) -> impl Fn() + use<> {
        let ran = self.ran.clone();
        move || ran.borrow_mut().push(what)
    }

    /// One iteration that waits for nothing, and what ran in it.
    fn once(&self) -> Vec<&'static str> {
        self.event_loop.stop();
        self.event_loop.run_forever().unwrap();
        self.ran.take()
    }

    fn send(&self) {
        (&self.theirs).write_all(b"x").unwrap();
    }

    fn receive(&self) {
        assert_eq!((&self.ours).read(&mut [0; 16]).unwrap(), 1);
    }
}

impl Drop for Bench {
    fn drop(&mut self) {
        let _ = self.event_loop.close();
    }
}

fn message<T: std::fmt::Debug>(result: Result<T>) -> String {
    let error = result.unwrap_err();
    format!("{}: {error}", error.kind())
}

#[test]
fn a_reader_runs_once_in_each_iteration_that_finds_something_to_read() {
    let bench = Bench::new();
    bench.event_loop.add_reader(&bench.ours, bench.say("read")).unwrap();
    assert!(bench.once().is_empty());
    bench.send();
    assert_eq!(bench.once(), ["read"]);
    assert_eq!(bench.once(), ["read"]);
    bench.receive();
    assert!(bench.once().is_empty());
}

#[test]
fn a_writer_runs_when_there_is_room_and_after_the_reader() {
    let bench = Bench::new();
    bench.event_loop.add_writer(&bench.ours, bench.say("write")).unwrap();
    assert_eq!(bench.once(), ["write"]);
    bench.event_loop.add_reader(&bench.ours, bench.say("read")).unwrap();
    assert_eq!(bench.once(), ["write"]);
    bench.send();
    assert_eq!(bench.once(), ["read", "write"]);
    assert!(bench.event_loop.remove_writer(&bench.ours).unwrap());
    assert_eq!(bench.once(), ["read"]);
}

#[test]
fn setting_a_reader_again_cancels_the_old_one_and_keeps_the_writer() {
    let bench = Bench::new();
    let old = Rc::new(());
    let held = old.clone();
    bench.event_loop.add_reader(&bench.ours, move || drop(held.clone())).unwrap();
    bench.event_loop.add_writer(&bench.ours, bench.say("write")).unwrap();
    bench.event_loop.add_reader(&bench.ours, bench.say("new")).unwrap();
    assert_eq!(Rc::strong_count(&old), 1, "what it held is dropped at once");
    bench.send();
    assert_eq!(bench.once(), ["new", "write"]);
}

#[test]
fn remove_tells_whether_there_was_something() {
    let bench = Bench::new();
    assert!(!bench.event_loop.remove_reader(&bench.ours).unwrap());
    bench.event_loop.add_reader(&bench.ours, bench.say("read")).unwrap();
    assert!(!bench.event_loop.remove_writer(&bench.ours).unwrap());
    assert!(bench.event_loop.remove_reader(&bench.ours).unwrap());
    assert!(!bench.event_loop.remove_reader(&bench.ours).unwrap());
    bench.send();
    assert!(bench.once().is_empty());
}

#[test]
fn a_closed_loop_watches_nothing() {
    let bench = Bench::new();
    bench.event_loop.add_reader(&bench.ours, || ()).unwrap();
    bench.event_loop.close().unwrap();
    assert!(!bench.event_loop.remove_reader(&bench.ours).unwrap());
    assert!(!bench.event_loop.remove_writer(&bench.ours).unwrap());
    for outcome in [
        bench.event_loop.add_reader(&bench.ours, || ()),
        bench.event_loop.add_writer(&bench.ours, || ()),
    ] {
        assert_eq!(message(outcome), "RuntimeError: Event loop is closed");
    }
}

#[test]
fn closing_the_loop_drops_what_the_callbacks_hold() {
    let bench = Bench::new();
    let held = Rc::new(());
    let copy = held.clone();
    bench.event_loop.add_reader(&bench.ours, move || drop(copy.clone())).unwrap();
    bench.event_loop.close().unwrap();
    assert_eq!(Rc::strong_count(&held), 1);
}

#[test]
fn a_callback_may_remove_and_replace_itself() {
    let bench = Bench::new();
    bench.send();
    let (event_loop, say) = (bench.event_loop.clone(), bench.say("first"));
    let (fd, next) = (bench.ours.as_raw_fd(), bench.say("second"));
    let next = RefCell::new(Some(next));
    let callback = move || {
        say();
        assert!(event_loop.remove_reader(&fd)?);
        match next.take() {
            Some(next) => event_loop.add_reader(&fd, next),
            None => Ok(()),
        }
    };
    bench.event_loop.add_reader(&bench.ours, callback).unwrap();
    assert_eq!(bench.once(), ["first"]);
    assert_eq!(bench.once(), ["second"]);
}

#[test]
fn a_reader_that_is_removed_in_the_iteration_of_its_event_does_not_run() {
    let bench = Bench::new();
    let (event_loop, fd) = (bench.event_loop.clone(), bench.ours.as_raw_fd());
    bench.event_loop.add_reader(&bench.ours, bench.say("read")).unwrap();
    bench.send();
    // Steps that were ready before run before those of the poll.
    bench.event_loop.call_soon(move || event_loop.remove_reader(&fd)).unwrap();
    assert!(bench.once().is_empty());
}

#[test]
fn an_event_whose_step_did_not_run_is_not_queued_twice() {
    let test = TestLoop::new();
    let (ours, mut theirs) = UnixStream::pair().unwrap();
    let count = Rc::new(Cell::new(0));
    let copy = count.clone();
    let action = Box::new(move || {
        copy.set(copy.get() + 1);
        Ok(())
    });
    let watched = (ours.as_raw_fd(), Direction::Read);
    test.watch(watched, action);
    theirs.write_all(b"x").unwrap();
    for _ in 0..3 {
        assert_eq!(test.poll(Some(FOR_EVER)), 1);
    }
    test.with(Scheduler::run_ready);
    assert_eq!(count.get(), 1);
}

#[test]
fn an_error_or_a_panic_is_reported_and_the_callback_stays() {
    let bench = Bench::new();
    let reports = Rc::new(RefCell::new(Vec::new()));
    let copy = reports.clone();
    bench.event_loop.set_exception_handler(move |_, context| {
        copy.borrow_mut().push(context.exception().unwrap().kind());
    });
    let turn = Cell::new(0);
    let say = bench.say("fine");
    let callback = move || {
        turn.set(turn.get() + 1);
        match turn.get() {
            1 => return Err(Error::value("no")),
            2 => panic!("no"),
            _ => say(),
        }
        Ok(())
    };
    bench.event_loop.add_reader(&bench.ours, callback).unwrap();
    bench.send();
    assert!(bench.once().is_empty());
    assert!(bench.once().is_empty());
    assert_eq!(bench.once(), ["fine"]);
    assert_eq!(*reports.borrow(), ["ValueError", "PanicError"]);
}

#[test]
fn the_callback_runs_in_one_context_copied_when_it_was_set() {
    static VAR: ContextVar<u32> = ContextVar::new("VAR");
    let bench = Bench::new();
    VAR.set(10);
    let seen = Rc::new(RefCell::new(Vec::new()));
    let copy = seen.clone();
    let callback = move || {
        let value = VAR.get().unwrap();
        copy.borrow_mut().push(value);
        VAR.set(value + 1);
    };
    bench.event_loop.add_reader(&bench.ours, callback).unwrap();
    VAR.set(20);
    bench.send();
    bench.once();
    bench.once();
    assert_eq!(*seen.borrow(), [10, 11]);
    assert_eq!(VAR.get(), Some(20));
}

#[test]
fn a_number_that_was_closed_and_came_back_works() {
    let bench = Bench::new();
    let raw = bench.ours.try_clone().unwrap().into_raw_fd();
    bench.event_loop.add_reader(&raw, bench.say("old")).unwrap();
    bench.event_loop.add_writer(&raw, bench.say("old writer")).unwrap();
    let (fresh, mut other) = UnixStream::pair().unwrap();
    // The old file is closed, and its number is the new one's.
    replace(raw, &fresh);
    bench.event_loop.add_reader(&raw, bench.say("new")).unwrap();
    assert!(bench.once().is_empty(), "the old file's writer is gone with it");
    other.write_all(b"x").unwrap();
    assert_eq!(bench.once(), ["new"]);
    assert!(bench.event_loop.remove_reader(&raw).unwrap());
    close(raw);
}

/// A descriptor that was closed is not forgotten as long as its file has another one.
#[cfg(all(target_os = "linux", not(asyncio_portable_poller)))]
#[test]
fn an_event_of_the_file_that_had_the_number_is_not_for_the_new_one() {
    let bench = Bench::new();
    let raw = bench.ours.try_clone().unwrap().into_raw_fd();
    bench.event_loop.add_reader(&raw, bench.say("old")).unwrap();
    let (fresh, _other) = UnixStream::pair().unwrap();
    replace(raw, &fresh);
    bench.event_loop.add_reader(&raw, bench.say("new")).unwrap();
    bench.send();
    assert!(bench.once().is_empty());
    bench.event_loop.remove_reader(&raw).unwrap();
    close(raw);
}

#[test]
fn a_number_that_was_closed_can_become_a_sources() {
    let test = TestLoop::new();
    let (ours, mut theirs) = UnixStream::pair().unwrap();
    let (fresh, mut other) = UnixStream::pair().unwrap();
    let raw = ours.into_raw_fd();
    let watched = (raw, Direction::Read);
    let action = Box::new(|| panic!("it is closed"));
    test.watch(watched, action);
    replace(raw, &fresh);
    // SAFETY: the number is open, and ours alone.
    let source = Source::new(unsafe { OwnedFd::from_raw_fd(raw) });
    test.home.enter(|| {
        source.register().unwrap();
        assert!(matches!(test.unwatch(watched), Err(Error::Runtime(_))));
        other.write_all(b"x").unwrap();
        assert_eq!(test.turn(FOR_EVER), 1);
        drop(source);
    });
    // The other end of the old file is closed.
    let _ = theirs.write_all(b"x");
    assert_eq!(test.turn(Duration::ZERO), 0);
    assert!(test.unwatch(watched).unwrap());
}

/// Linux cannot remove the registration of a closed descriptor while a duplicate keeps the file open.
#[test]
fn a_closed_descriptor_whose_file_lives_on_does_not_keep_the_loop_awake() {
    for removed in [false, true] {
        let test = TestLoop::new();
        let (ours, mut theirs) = UnixStream::pair().unwrap();
        let duplicate = ours.try_clone().unwrap();
        let raw = ours.into_raw_fd();
        let calls = Rc::new(Cell::new(0));
        let count = calls.clone();
        let action = Box::new(move || {
            count.set(count.get() + 1);
            Ok(())
        });
        let watched = (raw, Direction::Read);
        test.watch(watched, action);
        close(raw);
        if removed {
            assert!(test.unwatch(watched).unwrap());
        }
        theirs.write_all(b"x").unwrap();
        // At most one more event.
        test.turn(Duration::ZERO);
        let wait = Duration::from_millis(20);
        // A signal of another test may end one of them.
        let waits = || {
            let started = std::time::Instant::now();
            test.turn(wait) == 0 && started.elapsed() >= wait
        };
        assert!((0..10).any(|_| waits()), "the wait returns at once");
        assert!(calls.get() <= usize::from(!removed));
        drop(duplicate);
    }
}

/// The number belongs to a source when the last event of the old file arrives.
#[test]
fn an_event_of_a_file_that_lives_on_leaves_the_source_that_has_its_number_alone() {
    let test = TestLoop::new();
    let (ours, mut theirs) = UnixStream::pair().unwrap();
    let _duplicate = ours.try_clone().unwrap();
    let raw = ours.into_raw_fd();
    let action = Box::new(|| Ok(()));
    let watched = (raw, Direction::Read);
    test.watch(watched, action);
    let (new, mut its_peer) = UnixStream::pair().unwrap();
    replace(raw, &new);
    // SAFETY: `raw` is open and owned by nothing else.
    let source = Source::new(UnixStream::from(unsafe { OwnedFd::from_raw_fd(raw) }));
    test.home.enter(|| {
        source.register().unwrap();
        theirs.write_all(b"for the old one").unwrap();
        test.turn(Duration::ZERO);
        source.clear_readiness(Direction::Read);
        let mut cx = Context::from_waker(Waker::noop());
        let mut ready = source.readable(WaitSite::here(&"test"));
        assert!(Pin::new(&mut ready).poll(&mut cx).is_pending());
        its_peer.write_all(b"for the new one").unwrap();
        test.turn(FOR_EVER);
        assert!(Pin::new(&mut ready).poll(&mut cx).is_ready(), "the source still gets its events");
        drop(ready);
        drop(source);
    });
}

/// Closes what `raw` was, and makes it another name of `file`.
fn replace(raw: RawFd, file: &impl AsRawFd) {
    // SAFETY: both numbers are open; what `raw` was has no other owner any more.
    assert_eq!(unsafe { nix::libc::dup2(file.as_raw_fd(), raw) }, raw);
}

fn close(raw: RawFd) {
    // SAFETY: the number is open, and has no owner.
    assert_eq!(unsafe { nix::libc::close(raw) }, 0);
}

#[test]
fn a_bad_descriptor_is_an_error_that_names_the_function() {
    let bench = Bench::new();
    let outcome = bench.event_loop.add_reader(&-1, || ());
    assert_eq!(message(outcome), "ValueError: add_reader: invalid file descriptor: -1");
    let raw = bench.ours.try_clone().unwrap().into_raw_fd();
    close(raw);
    let outcome = message(bench.event_loop.add_writer(&1_000_000, || ()));
    assert!(outcome.starts_with("OSError: add_writer: file descriptor 1000000: "), "{outcome}");
    let file = std::fs::File::open(std::env::current_exe().unwrap()).unwrap();
    if cfg!(target_os = "linux") {
        let error = bench.event_loop.add_reader(&file, || ()).unwrap_err();
        let Error::Io(error) = error else { panic!("{error:?}") };
        assert_eq!(error.kind(), std::io::ErrorKind::PermissionDenied);
    }
    assert!(!bench.event_loop.remove_reader(&file).unwrap());
}

#[test]
fn a_descriptor_of_a_source_is_refused_and_the_other_way_round() {
    let bench = Bench::new();
    bench.ours.set_nonblocking(true).unwrap();
    let raw = bench.ours.as_raw_fd();
    let source = Source::new(bench.ours.try_clone().unwrap());
    let owned = source.get_ref().as_raw_fd();
    bench.event_loop.home().enter(|| {
    source.register().unwrap();
    let text = format!(
        "RuntimeError: File descriptor {owned} is used by a socket or transport of the event loop"
    );
    assert_eq!(message(bench.event_loop.add_reader(&owned, || ())), text);
    assert_eq!(message(bench.event_loop.add_writer(&owned, || ())), text);
    assert_eq!(message(bench.event_loop.remove_reader(&owned)), text);
    assert_eq!(message(bench.event_loop.remove_writer(&owned)), text);
    drop(source);
    bench.event_loop.add_reader(&raw, || ()).unwrap();
    let source = Source::new(Twin(raw));
    if cfg!(target_os = "linux") {
        assert!(matches!(source.register(), Err(Error::Runtime(_))));
    }
    });
}

/// A descriptor that it does not own.
struct Twin(RawFd);

impl AsFd for Twin {
    fn as_fd(&self) -> BorrowedFd<'_> {
        // SAFETY: the owner outlives it in the one test that has it.
        unsafe { BorrowedFd::borrow_raw(self.0) }
    }
}
