//! Tests of the selector: readiness, hang-ups, wake-ups from elsewhere, and time.

use super::*;
use crate::test_loop::{FOR_EVER, TestLoop};
use asyncio_core::{source::Source, wait_site::WaitSite};
use std::{
    fs::File,
    future::Future,
    io::{Read, Write},
    os::{
        fd::{FromRawFd, OwnedFd},
        unix::net::UnixStream,
    },
    pin::Pin,
    task::{Context, Waker},
    thread,
    time::Instant,
};

fn pair() -> (Source<UnixStream>, UnixStream) {
    let (ours, theirs) = UnixStream::pair().unwrap();
    ours.set_nonblocking(true).unwrap();
    (Source::new(ours), theirs)
}

#[test]
fn a_token_says_whom_it_is_for() {
    for (descriptor, stamp) in [(0, 0), (5, u32::MAX), (i32::MAX - 1, 7)] {
        let receiver = Token::watcher(descriptor, stamp).receiver();
        assert_eq!(receiver, Receiver::Watcher { descriptor, stamp });
    }
    let key = Key::from_bits(u64::from(u32::MAX) << 32 | 12);
    assert_eq!(Token(key.to_bits()).receiver(), Receiver::Source(key));
    assert_eq!(Token::NOTIFIER.receiver(), Receiver::Nobody);
}

#[test]
fn a_wait_lasts_as_long_as_it_is_told() {
    let test = TestLoop::new();
    for wait in [Duration::ZERO, Duration::from_nanos(1), Duration::from_micros(1500)] {
        let started = Instant::now();
        assert_eq!(test.poll(Some(wait)), 0);
        assert!(started.elapsed() >= wait);
    }
}

#[cfg(all(target_os = "linux", not(asyncio_portable_poller)))]
#[test]
fn without_epoll_pwait2_a_wait_is_rounded_up() {
    let test = TestLoop::new();
    test.selector.poller.forget_pwait2();
    let wait = Duration::from_micros(1500);
    let started = Instant::now();
    assert_eq!(test.poll(Some(wait)), 0);
    assert!(started.elapsed() >= Duration::from_millis(2));
    test.selector.notifier().notify();
    assert_eq!(test.poll(None), 0);
}

#[cfg(all(target_os = "linux", not(asyncio_portable_poller)))]
#[test]
fn a_far_deadline_is_kept_after_a_farther_and_after_a_nearer_one() {
    let test = TestLoop::new();
    let now = || Duration::from_nanos(test.with(|scheduler| scheduler.timers.look_at_machine()));
    let begun = now();
    let alarm_after_a_wait = |deadline| {
        test.selector.notifier().notify();
        assert_eq!(test.poll(Some(deadline - now())), 0);
        test.selector.poller.alarm()
    };
    let (far, farther) = (begun + FOR_EVER, begun + 2 * FOR_EVER);
    for (deadline, alarm) in [(farther, farther), (far, far), (farther, far), (far, far)] {
        assert_eq!(alarm_after_a_wait(deadline), alarm, "it is not set again without need");
    }
    for _ in 0..2 {
        let deadline = now() + Duration::from_millis(30);
        assert_eq!(test.poll(Some(deadline - now())), 0);
        assert!(now() >= deadline);
    }
}

#[test]
fn a_notification_ends_the_next_wait_and_only_that() {
    let test = TestLoop::new();
    for _ in 0..3 {
        test.selector.notifier().notify();
        test.selector.notifier().notify();
        assert_eq!(test.poll(None), 0);
        let wait = Duration::from_millis(5);
        let started = Instant::now();
        assert_eq!(test.poll(Some(wait)), 0);
        assert!(started.elapsed() >= wait);
    }
}

#[test]
fn a_wait_may_be_as_long_as_can_be_said() {
    let test = TestLoop::new();
    test.selector.notifier().notify();
    assert_eq!(test.poll(Some(Duration::MAX)), 0);
}

#[test]
fn a_notification_from_another_thread_ends_the_wait_that_goes_on() {
    let test = TestLoop::new();
    let notifier = test.selector.notifier();
    thread::scope(|scope| {
        scope.spawn(move || {
            thread::sleep(Duration::from_millis(5));
            notifier.notify();
        });
        assert_eq!(test.poll(None), 0);
    });
}

#[test]
fn a_notifier_may_outlive_its_selector() {
    let test = TestLoop::new();
    let notifier = test.selector.notifier();
    drop(test);
    notifier.notify();
}

#[test]
fn a_source_is_told_of_data_and_of_room() {
    let test = TestLoop::new();
    let (source, mut theirs) = pair();
    let site = WaitSite::here(&"test");
    test.block_on(async {
        source.register().unwrap();
        source.clear_readiness(asyncio_core::source::Direction::Read);
        source.clear_readiness(asyncio_core::source::Direction::Write);
        source.writable(site).await.unwrap();
        theirs.write_all(b"hello").unwrap();
        source.readable(site).await.unwrap();
        let mut bytes = [0; 16];
        assert_eq!(source.get_ref().read(&mut bytes).unwrap(), 5);
    });
}

#[test]
fn the_writer_of_a_full_pipe_is_told_that_its_reader_is_gone() {
    let test = TestLoop::new();
    let (reader, writer) = full_pipe();
    let source = Source::new(writer);
    test.block_on(async {
        source.register().unwrap();
        source.clear_readiness(asyncio_core::source::Direction::Write);
        drop(reader);
        source.writable(WaitSite::here(&"test")).await.unwrap();
        let error = { source.get_ref() }.write(b"x").unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::BrokenPipe);
    });
}

/// The two ends of a pipe, the second of which is non-blocking and has no room.
fn full_pipe() -> (OwnedFd, File) {
    let mut ends = [0; 2];
    // SAFETY: there is room for two numbers; they are new descriptors, which have no owner yet.
    let (reader, writer) = unsafe {
        assert_eq!(nix::libc::pipe(ends.as_mut_ptr()), 0);
        assert_eq!(nix::libc::fcntl(ends[1], nix::libc::F_SETFL, nix::libc::O_NONBLOCK), 0);
        (OwnedFd::from_raw_fd(ends[0]), File::from_raw_fd(ends[1]))
    };
    while (&writer).write(&[0; 4096]).is_ok() {}
    (reader, writer)
}

#[test]
fn what_is_ready_when_the_source_is_registered_is_told_too() {
    let test = TestLoop::new();
    let (source, mut theirs) = pair();
    theirs.write_all(b"hello").unwrap();
    test.home.enter(|| {
        source.register().unwrap();
        assert_eq!(test.turn(FOR_EVER), 1);
        // An edge, once.
        assert_eq!(test.turn(Duration::ZERO), 0);
    });
}

#[test]
fn one_poll_brings_all_there_is() {
    let test = TestLoop::new();
    let pairs: Vec<_> = (0..100).map(|_| pair()).collect();
    test.home.enter(|| {
        for (source, theirs) in &pairs {
            source.register().unwrap();
            (&mut &*theirs).write_all(b"x").unwrap();
        }
        assert_eq!(test.turn(FOR_EVER), 100);
        drop(pairs);
        assert_eq!(test.turn(Duration::ZERO), 0);
    });
}

#[test]
fn a_dropped_source_is_not_heard_of_even_if_its_file_lives_on() {
    let test = TestLoop::new();
    let (source, mut theirs) = pair();
    let twin = source.get_ref().try_clone().unwrap();
    test.home.enter(|| {
        source.register().unwrap();
        drop(source);
        theirs.write_all(b"x").unwrap();
        assert_eq!(test.turn(Duration::ZERO), 0);
        // Nor on another thread.
        let source = Source::new(twin.try_clone().unwrap());
        source.register().unwrap();
        thread::scope(|scope| {
            scope.spawn(move || drop(source));
        });
        assert_eq!(test.turn(Duration::ZERO), 0);
        drop(twin);
    });
}

#[test]
fn tasks_of_ready_sources_come_before_timers_and_after_what_was_ready() {
    use asyncio_core::context::current_values;
    use std::{cell::RefCell, panic::Location, rc::Rc};
    let test = TestLoop::new();
    let order = Rc::new(RefCell::new(Vec::new()));
    let say = |what: &'static str| {
        let order = order.clone();
        move || {
            order.borrow_mut().push(what);
            Ok(())
        }
    };
    let here = Location::caller();
    let (ours, mut theirs) = UnixStream::pair().unwrap();
    theirs.write_all(b"x").unwrap();
    let watched = (ours.as_raw_fd(), asyncio_core::source::Direction::Read);
    let action = Box::new(say("watcher"));
    test.watch(watched, action);
    test.with(|scheduler| {
        scheduler.call_at(Duration::ZERO, say("timer"), current_values(), here).unwrap();
        scheduler.call_soon(say("ready"), current_values(), here).unwrap();
    });
    test.turn(Duration::ZERO);
    assert_eq!(*order.borrow(), ["ready", "watcher", "timer"]);
}

#[test]
fn a_wait_is_over_in_the_iteration_of_its_event() {
    let test = TestLoop::new();
    let (source, mut theirs) = pair();
    let site = WaitSite::here(&"test");
    test.home.enter(|| {
        source.register().unwrap();
        source.clear_readiness(asyncio_core::source::Direction::Read);
        let mut ready = source.readable(site);
        let mut cx = Context::from_waker(Waker::noop());
        assert!(Pin::new(&mut ready).poll(&mut cx).is_pending());
        test.turn(Duration::ZERO);
        assert!(Pin::new(&mut ready).poll(&mut cx).is_pending());
        theirs.write_all(b"x").unwrap();
        test.turn(FOR_EVER);
        assert!(Pin::new(&mut ready).poll(&mut cx).is_ready());
    });
}
