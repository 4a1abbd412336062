//! A driver that only records its calls, and tasks that are stepped by hand.

use super::*;
use crate::{
    context::Values,
    home::test_remote::TestRemote,
    task::{
        cell::{TaskCell, TaskContext, TaskVTable},
        reference::TaskRef,
        step::Step,
    },
};
use std::{
    any::TypeId,
    cell::RefCell,
    future::Future,
    os::unix::net::UnixStream,
    panic::Location,
    pin::Pin,
    ptr::NonNull,
    rc::Rc,
    sync::{
        Mutex as StdMutex,
        atomic::{AtomicUsize, Ordering},
    },
    task::{Wake, Waker},
};

mod handlers;

#[derive(Debug, Default)]
struct FakeDriver {
    registered: StdMutex<Vec<(RawFd, Key)>>,
    gone: StdMutex<Vec<RawFd>>,
    silent: bool,
}

impl Driver for FakeDriver {
    fn register(&self, fd: BorrowedFd<'_>, key: Key) -> io::Result<()> {
        let mut registered = self.registered.lock().unwrap();
        if registered.iter().any(|(raw, _)| *raw == fd.as_raw_fd()) {
            return Err(io::ErrorKind::AlreadyExists.into());
        }
        registered.push((fd.as_raw_fd(), key));
        Ok(())
    }
    fn deregister(&self, fd: BorrowedFd<'_>) {
        self.registered.lock().unwrap().retain(|(raw, _)| *raw != fd.as_raw_fd());
        self.gone.lock().unwrap().push(fd.as_raw_fd());
    }
    fn tells_hangups(&self) -> bool {
        !self.silent
    }
}

/// A loop with its driver.
struct Bench {
    home: LoopRef,
    driver: Arc<FakeDriver>,
}

impl Bench {
    fn new() -> Bench {
        Bench::with(FakeDriver::default())
    }

    fn with(driver: FakeDriver) -> Bench {
        let home = LoopRef::open(true, || Box::new(TestRemote));
        let driver = Arc::new(driver);
        home.local().unwrap().set_driver(driver.clone());
        Bench { home, driver }
    }

    fn scheduler(&self) -> &'static Scheduler {
        self.home.local().unwrap()
    }

    /// Takes the messages of this loop.
    fn take_messages(&self) -> usize {
        let message = TestRemote::take(self.home.id());
        let count = message.len();
        message.into_iter().for_each(|message| self.scheduler().deliver(message));
        count
    }

    fn event(&self, source: &Source<UnixStream>, readable: bool, writable: bool, hangup: bool) {
        let key = source.registered().unwrap().unwrap().key;
        assert!(self.scheduler().deliver_readiness(key, Readiness { readable, writable, hangup }));
    }

    fn readable(&self, source: &Source<UnixStream>) {
        self.event(source, true, false, false);
    }
}

impl Drop for Bench {
    fn drop(&mut self) {
        if let Some(scheduler) = self.home.local() {
            scheduler.close().unwrap();
        }
    }
}

/// The number of times that a task was woken.
#[derive(Default)]
struct Count(AtomicUsize);

impl Wake for Count {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

thread_local! {
    /// The tasks that the ready queue ran, by number.
    static STEPS: RefCell<Vec<u64>> = const { RefCell::new(Vec::new()) };
}

/// A task of the loop, which is stepped by hand.
struct Task(TaskRef);

static BY_HAND: TaskVTable = TaskVTable {
    // SAFETY: the cell is alive.
    step: |cell| STEPS.with(|steps| steps.borrow_mut().push(unsafe { cell.as_ref() }.sequence())),
    discard: |_| {},
    // SAFETY: `Task::new` made it from a box, and this is called once.
    free: |cell| drop(unsafe { Box::from_raw(cell.as_ptr()) }),
    last_handle: |_| {},
    exception: |_| Ok(None),
    cancelled: |_| false,
    output: TypeId::of::<Task>,
};

impl Task {
    fn new(bench: &Bench) -> Task {
        let context = TaskContext::Own(Values::default());
        let (number, here) = (bench.scheduler().tasks.next_sequence(), Location::caller());
        // SAFETY: it is put into its box immediately.
        let cell = Box::new(unsafe { TaskCell::new(bench.home, number, context, here, &BY_HAND) });
        // SAFETY: no other code has seen the cell; its first two references are the registry's and
        // ours.
        let (cell, registered) = unsafe {
            let cell = NonNull::from(Box::leak(cell));
            (TaskRef::from_raw(cell), TaskRef::from_raw(cell))
        };
        // SAFETY: it is new, and belongs to this loop.
        unsafe { bench.scheduler().tasks.adopt(registered) };
        Task(cell)
    }

    /// Polls `future` in a step of the task.
    fn poll<F: Future + Unpin>(&self, future: &mut F) -> Poll<F::Output> {
        let entered = self.0.home().entering();
        // SAFETY: it is ended below, and nothing is polled in it that leaves a step of its own.
        let step = unsafe { Step::begin(&self.0) }.unwrap();
        assert!(step.throw().is_none(), "a leaf is suspended");
        let outcome =
            self.0.with_waker(|waker| Pin::new(future).poll(&mut Context::from_waker(waker)));
        match outcome.is_pending() {
            true => step.suspend(),
            false => drop(step),
        }
        drop(entered);
        outcome
    }

    fn cancel(&self) {
        assert!(self.0.cancel(crate::CancelledError::default()));
    }

    fn woken(&self) -> usize {
        let entered = self.0.home().entering();
        self.0.home().local().unwrap().run_ready();
        drop(entered);
        STEPS.with(|steps| {
            let mut steps = steps.borrow_mut();
            let before = steps.len();
            steps.retain(|number| *number != self.0.sequence());
            before - steps.len()
        })
    }
}

/// Reads one byte if the pair has one; the leaf of these tests.
struct ReadByte<'a> {
    source: &'a Source<UnixStream>,
    wait: IoWait,
    /// The number of bytes that it could read.
    room: usize,
    tries: usize,
}

fn read_byte(source: &Source<UnixStream>) -> ReadByte<'_> {
    ReadByte { source, wait: IoWait::new(), room: 1, tries: 0 }
}

impl Future for ReadByte<'_> {
    type Output = Result<Vec<u8>>;
    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.get_mut();
        let (room, tries) = (this.room, &mut this.tries);
        let operation = |mut io: &UnixStream| {
            *tries += 1;
            let mut bytes = vec![0; room];
            let n = io::Read::read(&mut io, &mut bytes)?;
            bytes.truncate(n);
            Ok(bytes)
        };
        let site = WaitSite::here(&"read_byte");
        this.source
            .poll_io(cx, &mut this.wait, Direction::Read, site, operation, |b| b.len() < room)
            .map(|outcome| Ok(outcome??))
    }
}

fn pair() -> (Source<UnixStream>, UnixStream) {
    let (ours, theirs) = UnixStream::pair().unwrap();
    ours.set_nonblocking(true).unwrap();
    (Source::new(ours), theirs)
}

fn send(mut theirs: &UnixStream, bytes: &[u8]) {
    io::Write::write_all(&mut theirs, bytes).unwrap();
}

fn bytes(outcome: Poll<Result<Vec<u8>>>) -> Vec<u8> {
    match outcome {
        Poll::Ready(Ok(bytes)) => bytes,
        other => panic!("not read: {other:?}"),
    }
}

fn is_cancelled<T>(outcome: &Poll<Result<T>>) -> bool {
    matches!(outcome, Poll::Ready(Err(Error::Cancelled(_))))
}

#[test]
fn an_operation_that_does_not_block_registers_nothing() {
    let bench = Bench::new();
    let (source, theirs) = pair();
    send(&theirs, b"a");
    assert_eq!(bytes(Task::new(&bench).poll(&mut read_byte(&source))), b"a");
    assert!(bench.driver.registered.lock().unwrap().is_empty());
}

#[test]
fn a_wait_registers_once_and_an_event_wakes_it_once() {
    let bench = Bench::new();
    let (source, theirs) = pair();
    let task = Task::new(&bench);
    let mut read = read_byte(&source);
    assert!(task.poll(&mut read).is_pending());
    assert_eq!(bench.driver.registered.lock().unwrap().len(), 1);
    assert!(bench.scheduler().is_waiting_for_io());
    assert_eq!(task.0.wait_site().unwrap().what(), "read_byte");
    send(&theirs, b"a");
    bench.readable(&source);
    bench.readable(&source);
    assert_eq!(task.woken(), 1);
    assert_eq!(bytes(task.poll(&mut read)), b"a");
    assert!(task.poll(&mut read_byte(&source)).is_pending());
    assert_eq!(bench.driver.registered.lock().unwrap().len(), 1);
    assert!(!bench.scheduler().is_waiting_for_io());
}

#[test]
fn an_event_for_one_direction_does_not_wake_the_other() {
    let bench = Bench::new();
    let (source, _theirs) = pair();
    let task = Task::new(&bench);
    let mut read = read_byte(&source);
    assert!(task.poll(&mut read).is_pending());
    bench.event(&source, false, true, false);
    assert_eq!(task.woken(), 0);
}

#[test]
fn the_first_waiter_is_served_first_and_passes_the_turn_on() {
    let bench = Bench::new();
    let (source, theirs) = pair();
    let tasks: Vec<_> = (0..3).map(|_| Task::new(&bench)).collect();
    let mut reads: Vec<_> = (0..3).map(|_| read_byte(&source)).collect();
    for (task, read) in tasks.iter().zip(&mut reads) {
        assert!(task.poll(read).is_pending());
    }
    // Only the first had to try: the others saw the queue.
    assert_eq!(reads.iter().map(|read| read.tries).collect::<Vec<_>>(), [1, 0, 0]);
    send(&theirs, b"abc");
    // The second event finds that a waiter was woken already.
    bench.readable(&source);
    bench.readable(&source);
    for (n, (task, read)) in tasks.iter().zip(&mut reads).enumerate() {
        let woken: Vec<_> = tasks.iter().map(Task::woken).collect();
        assert_eq!(woken.iter().position(|w| *w == 1), Some(n));
        assert_eq!(woken.iter().sum::<usize>(), 1);
        assert_eq!(bytes(task.poll(read)), [b'a' + n as u8]);
    }
}

#[test]
fn a_newcomer_does_not_overtake_the_line() {
    let bench = Bench::new();
    let (source, theirs) = pair();
    let (first, second) = (Task::new(&bench), Task::new(&bench));
    let (mut early, mut late) = (read_byte(&source), read_byte(&source));
    assert!(first.poll(&mut early).is_pending());
    send(&theirs, b"ab");
    bench.readable(&source);
    assert!(second.poll(&mut late).is_pending());
    assert_eq!(late.tries, 0);
    assert_eq!(bytes(first.poll(&mut early)), b"a");
    assert_eq!(second.woken(), 1);
    assert_eq!(bytes(second.poll(&mut late)), b"b");
}

#[test]
fn a_waiter_that_finds_nothing_keeps_its_place() {
    let bench = Bench::new();
    let (source, theirs) = pair();
    let (first, second) = (Task::new(&bench), Task::new(&bench));
    let (mut early, mut late) = (read_byte(&source), read_byte(&source));
    assert!(first.poll(&mut early).is_pending());
    assert!(second.poll(&mut late).is_pending());
    // An event that is out of date.
    bench.readable(&source);
    assert_eq!((first.woken(), second.woken()), (1, 0));
    assert!(first.poll(&mut early).is_pending());
    send(&theirs, b"a");
    bench.readable(&source);
    assert_eq!((first.woken(), second.woken()), (1, 0));
    assert_eq!(bytes(first.poll(&mut early)), b"a");
}

#[test]
fn a_cancelled_wait_leaves_the_data_and_is_skipped_at_once() {
    let bench = Bench::new();
    let (source, theirs) = pair();
    let (first, second) = (Task::new(&bench), Task::new(&bench));
    let (mut early, mut late) = (read_byte(&source), read_byte(&source));
    assert!(first.poll(&mut early).is_pending());
    first.cancel();
    assert_eq!(first.woken(), 1);
    // The cancelled waiter is still in the queue, but does not count.
    assert!(!bench.scheduler().is_waiting_for_io());
    assert!(second.poll(&mut late).is_pending());
    send(&theirs, b"a");
    bench.readable(&source);
    assert_eq!((first.woken(), second.woken()), (0, 1));
    assert!(is_cancelled(&first.poll(&mut early)));
    assert_eq!(bytes(second.poll(&mut late)), b"a");
}

#[test]
fn a_waiter_that_was_woken_and_then_cancelled_passes_the_turn_on() {
    let bench = Bench::new();
    let (source, theirs) = pair();
    let (first, second) = (Task::new(&bench), Task::new(&bench));
    let (mut early, mut late) = (read_byte(&source), read_byte(&source));
    assert!(first.poll(&mut early).is_pending());
    assert!(second.poll(&mut late).is_pending());
    send(&theirs, b"a");
    bench.readable(&source);
    first.cancel();
    assert_eq!((first.woken(), second.woken()), (1, 0));
    assert!(is_cancelled(&first.poll(&mut early)));
    assert_eq!(second.woken(), 1);
    assert_eq!(bytes(second.poll(&mut late)), b"a");
}

#[test]
fn a_waiter_that_was_woken_and_then_dropped_passes_the_turn_on() {
    let bench = Bench::new();
    let (source, theirs) = pair();
    let (first, second) = (Task::new(&bench), Task::new(&bench));
    let (mut early, mut late) = (read_byte(&source), read_byte(&source));
    assert!(first.poll(&mut early).is_pending());
    assert!(second.poll(&mut late).is_pending());
    send(&theirs, b"a");
    bench.readable(&source);
    drop(early);
    assert_eq!(second.woken(), 1);
    assert_eq!(bytes(second.poll(&mut late)), b"a");
}

#[test]
fn a_woken_wait_dropped_on_another_thread_passes_the_turn_on_by_message() {
    let bench = Bench::new();
    let (source, theirs) = pair();
    let (first, second) = (Task::new(&bench), Task::new(&bench));
    let (mut early, mut late) = (read_byte(&source), read_byte(&source));
    assert!(first.poll(&mut early).is_pending());
    assert!(second.poll(&mut late).is_pending());
    send(&theirs, b"a");
    bench.readable(&source);
    std::thread::scope(|scope| {
        scope.spawn(move || drop(early));
    });
    assert_eq!(second.woken(), 0);
    assert!(bench.take_messages() > 0);
    assert_eq!(second.woken(), 1);
    assert_eq!(bytes(second.poll(&mut late)), b"a");
}

#[test]
fn waiting_works_under_a_foreign_executor_on_the_loops_thread() {
    let bench = Bench::new();
    let (source, theirs) = pair();
    let count = Arc::new(Count::default());
    let waker = Waker::from(count.clone());
    let mut cx = Context::from_waker(&waker);
    let _entered = bench.home.entering();
    let mut read = read_byte(&source);
    assert!(Pin::new(&mut read).poll(&mut cx).is_pending());
    send(&theirs, b"a");
    bench.readable(&source);
    assert_eq!(count.0.load(Ordering::Relaxed), 1);
    assert_eq!(bytes(Pin::new(&mut read).poll(&mut cx)), b"a");
}

#[test]
fn a_short_read_waits_for_the_next_event_unless_a_hangup_was_told() {
    let bench = Bench::new();
    let (source, theirs) = pair();
    let task = Task::new(&bench);
    let mut read = ReadByte { room: 8, ..read_byte(&source) };
    assert!(task.poll(&mut read).is_pending());
    send(&theirs, b"abc");
    bench.readable(&source);
    assert_eq!(bytes(task.poll(&mut read)), b"abc");
    // Three of eight: nothing can be left, so the next one does not even try.
    let mut read = ReadByte { room: 8, ..read_byte(&source) };
    assert!(task.poll(&mut read).is_pending());
    assert_eq!(read.tries, 0);
    // Data and the end of the stream in one event: the end is found without another event.
    send(&theirs, b"d");
    drop(theirs);
    bench.event(&source, true, true, true);
    assert_eq!(bytes(task.poll(&mut read)), b"d");
    assert_eq!(bytes(task.poll(&mut ReadByte { room: 8, ..read_byte(&source) })), b"");
}

#[test]
fn a_short_read_says_nothing_where_hangups_are_not_told() {
    let bench = Bench::with(FakeDriver { silent: true, ..FakeDriver::default() });
    let (source, theirs) = pair();
    let task = Task::new(&bench);
    let mut read = ReadByte { room: 8, ..read_byte(&source) };
    assert!(task.poll(&mut read).is_pending());
    send(&theirs, b"abc");
    drop(theirs);
    bench.readable(&source);
    assert_eq!(bytes(task.poll(&mut read)), b"abc");
    assert_eq!(bytes(task.poll(&mut ReadByte { room: 8, ..read_byte(&source) })), b"");
}

#[test]
fn readable_waits_and_clear_readiness_makes_it_wait_again() {
    let bench = Bench::new();
    let (source, _theirs) = pair();
    let task = Task::new(&bench);
    let site = WaitSite::here(&"test");
    assert!(task.poll(&mut source.writable(site)).is_ready());
    assert!(task.poll(&mut source.readable(site)).is_ready());
    source.clear_readiness(Direction::Read);
    let mut ready = source.readable(site);
    assert!(task.poll(&mut ready).is_pending());
    bench.readable(&source);
    assert!(task.poll(&mut ready).is_ready());
    assert!(task.poll(&mut source.readable(site)).is_ready());
}

#[test]
fn dropping_a_source_deregisters_its_descriptor() {
    let bench = Bench::new();
    let (source, _theirs) = pair();
    let _entered = bench.home.entering();
    source.register().unwrap();
    let (raw, key) = bench.driver.registered.lock().unwrap()[0];
    assert!(bench.scheduler().owns_descriptor(raw));
    drop(source);
    assert_eq!(*bench.driver.gone.lock().unwrap(), [raw]);
    assert!(!bench.scheduler().owns_descriptor(raw));
    // An event in transit finds no waiter.
    assert!(!bench.scheduler().deliver_readiness(key, Readiness::default()));
}

#[test]
fn into_inner_gives_the_io_back_deregistered() {
    let bench = Bench::new();
    let (source, theirs) = pair();
    let _entered = bench.home.entering();
    source.register().unwrap();
    let raw = source.get_ref().as_raw_fd();
    let mut stream = source.into_inner();
    assert_eq!(*bench.driver.gone.lock().unwrap(), [raw]);
    send(&theirs, b"a");
    assert_eq!(io::Read::read(&mut stream, &mut [0; 4]).unwrap(), 1);
}

#[test]
fn a_source_dropped_on_another_thread_is_deregistered_there_and_forgotten_by_message() {
    let bench = Bench::new();
    let (source, _theirs) = pair();
    let entered = bench.home.entering();
    source.register().unwrap();
    let raw = source.get_ref().as_raw_fd();
    std::thread::scope(|scope| {
        scope.spawn(move || drop(source));
    });
    assert_eq!(*bench.driver.gone.lock().unwrap(), [raw]);
    assert!(bench.scheduler().owns_descriptor(raw));
    // A descriptor that gets the number before the messages are taken is a separate source.
    let next = Source::new(KeepNumber(raw));
    next.register().unwrap();
    assert_eq!(bench.take_messages(), 1);
    assert!(bench.scheduler().owns_descriptor(raw));
    drop(entered);
}

/// Stands for a descriptor that happens to get number `.0`; no system call sees it.
struct KeepNumber(RawFd);

impl AsFd for KeepNumber {
    fn as_fd(&self) -> BorrowedFd<'_> {
        // SAFETY: the fake driver does nothing but look at the number.
        unsafe { BorrowedFd::borrow_raw(self.0) }
    }
}

#[test]
fn a_descriptor_is_registered_once() {
    let bench = Bench::new();
    let (source, _theirs) = pair();
    let _entered = bench.home.entering();
    source.register().unwrap();
    source.register().unwrap();
    let raw = source.get_ref().as_raw_fd();
    let error = Source::new(KeepNumber(raw)).register().unwrap_err();
    assert!(matches!(error, Error::Runtime(_)), "{error:?}");
    assert!(bench.scheduler().owns_descriptor(raw));
}

#[test]
fn a_wait_without_a_loop_is_an_error() {
    let (source, theirs) = pair();
    let mut cx = Context::from_waker(Waker::noop());
    let outcome = Pin::new(&mut read_byte(&source)).poll(&mut cx);
    assert!(matches!(&outcome, Poll::Ready(Err(Error::Runtime(_)))), "{outcome:?}");
    // Operations that need no loop work without one.
    send(&theirs, b"a");
    assert_eq!(bytes(Pin::new(&mut read_byte(&source)).poll(&mut cx)), b"a");
}

#[test]
fn a_wait_on_another_thread_is_an_error() {
    let bench = Bench::new();
    let (source, _theirs) = pair();
    let task = Task::new(&bench);
    let mut read = read_byte(&source);
    assert!(task.poll(&mut read).is_pending());
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let there = Bench::new();
            let task = Task::new(&there);
            for leaf in [&mut read, &mut read_byte(&source)] {
                let outcome = task.poll(leaf);
                assert!(matches!(&outcome, Poll::Ready(Err(Error::Runtime(_)))), "{outcome:?}");
            }
        });
    });
}

#[test]
fn a_source_outlives_its_loop_and_goes_to_the_next() {
    let (source, theirs) = pair();
    let first = Bench::new();
    let task = Task::new(&first);
    let mut read = read_byte(&source);
    assert!(task.poll(&mut read).is_pending());
    drop(task);
    // The loop's end and its selector's.
    drop(first);
    let second = Bench::new();
    let task = Task::new(&second);
    let outcome = task.poll(&mut read);
    assert!(matches!(&outcome, Poll::Ready(Err(Error::Runtime(_)))), "{outcome:?}");
    let mut read = read_byte(&source);
    assert!(task.poll(&mut read).is_pending());
    send(&theirs, b"a");
    second.readable(&source);
    assert_eq!(bytes(task.poll(&mut read)), b"a");
}

#[test]
fn a_source_of_another_open_loop_of_the_thread_is_refused() {
    let (first, second) = (Bench::new(), Bench::new());
    let (source, _theirs) = pair();
    let mut read = read_byte(&source);
    assert!(Task::new(&first).poll(&mut read).is_pending());
    let outcome = Task::new(&second).poll(&mut read_byte(&source));
    assert!(matches!(&outcome, Poll::Ready(Err(Error::Runtime(_)))), "{outcome:?}");
}
