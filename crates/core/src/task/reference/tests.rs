//! The first wait of a task, and the release of its reference.

use super::*;
use crate::{
    context::Values,
    home::{LoopRef, test_remote::TestRemote},
    task::cell::{TaskContext, TaskVTable},
    wait::{Wait, state::WAITING},
};
use std::{
    any::TypeId,
    panic::Location,
    sync::atomic::{AtomicUsize, Ordering::SeqCst},
    thread,
};

/// The number of times that the cell of each test was freed.
static FREED: [AtomicUsize; 6] = [const { AtomicUsize::new(0) }; 6];

unsafe fn free<const TEST: usize>(cell: NonNull<TaskCell>) {
    FREED[TEST].fetch_add(1, SeqCst);
    // SAFETY: `new` made it from a box, and this is called once.
    drop(unsafe { Box::from_raw(cell.as_ptr()) });
}

fn freed<const TEST: usize>() -> usize {
    FREED[TEST].load(SeqCst)
}

/// The registry's reference to a task that is never run, and its handle.
struct Task<const TEST: usize>(TaskRef, NonNull<TaskCell>);

impl<const TEST: usize> Task<TEST> {
    const NEVER_RUN: &TaskVTable = &TaskVTable {
        step: |_| {},
        discard: |_| {},
        free: free::<TEST>,
        last_handle: |_| {},
        exception: |_| Ok(None),
        cancelled: |_| false,
        output: TypeId::of::<AtomicUsize>,
    };

    fn new(home: LoopRef) -> Task<TEST> {
        let (context, here) = (TaskContext::Own(Values::default()), Location::caller());
        // SAFETY: it is put into its box immediately.
        let cell = unsafe { TaskCell::new(home, 0, context, here, Self::NEVER_RUN) };
        let cell = NonNull::from(Box::leak(Box::new(cell)));
        // SAFETY: no other code takes the registry's reference.
        Task(unsafe { TaskRef::from_raw(cell) }, cell)
    }

    fn arm(&self) -> FirstWait {
        assert!(self.0.may_arm_first());
        FirstWait::arm(&self.0, &Scheduler::new(), WaitSite::here(&"test"), WAITING).0
    }

    fn count(&self) -> u64 {
        self.0.count.load(Ordering::Relaxed)
    }

    /// Ends the task in a step, and returns the handle.
    fn finish(self) -> Handle {
        // SAFETY: it is the registry's reference, and there is neither coroutine nor result.
        unsafe { self.0.finish_step() }
        Handle(self.1)
    }
}

struct Handle(NonNull<TaskCell>);

// SAFETY: there is no result.
unsafe impl Send for Handle {}

impl Drop for Handle {
    fn drop(&mut self) {
        // SAFETY: it is released once, and there is no result.
        unsafe { TaskCell::release_handle(self.0, |_| {}) }
    }
}

fn open() -> LoopRef {
    LoopRef::open(true, || Box::new(TestRemote))
}

fn take_messages(home: LoopRef) -> usize {
    let message = TestRemote::take(home.id());
    let count = message.len();
    message.into_iter().for_each(|message| home.local().unwrap().deliver(message));
    count
}

#[cfg(target_pointer_width = "64")]
const _: () = assert!(size_of::<Wait>() == 16);

#[test]
fn arming_a_wait_and_ending_it_counts_nothing() {
    let task = Task::<0>::new(open());
    for _ in 0..3 {
        let wait = task.arm();
        assert!(wait.is_of(&task.0) && !task.0.may_arm_first() && task.count() == NEW);
        assert_eq!(wait.end(), WAITING);
        assert!(task.0.may_arm_first() && task.count() == NEW && task.0.armed() == 0);
    }
    // Neither do the references of waiters, except the first.
    for _ in 0..3 {
        drop(Lent::new(&task.0));
        assert_eq!(task.count(), NEW + REFERENCE);
    }
    drop(task.finish());
    assert_eq!(freed::<0>(), 1);
}

#[test]
fn a_wait_that_outlives_its_task_keeps_the_cell() {
    let task = Task::<1>::new(open());
    let (wait, handle) = (task.arm(), task.finish());
    drop(handle);
    assert_eq!(freed::<1>(), 0);
    assert_eq!(wait.end(), WAITING);
    assert_eq!(freed::<1>(), 1);
    // Ended before the last handle goes.
    let task = Task::<1>::new(open());
    let (wait, handle) = (task.arm(), task.finish());
    assert_eq!(wait.end(), WAITING);
    assert_eq!(freed::<1>(), 1);
    drop(handle);
    assert_eq!(freed::<1>(), 2);
}

#[test]
fn a_task_without_a_handle_gives_all_that_it_keeps_up_itself() {
    let task = Task::<2>::new(open());
    drop(Lent::new(&task.0));
    drop(Handle(task.1));
    assert_eq!(freed::<2>(), 0);
    std::mem::forget(task.finish());
    assert_eq!(freed::<2>(), 1);
}

#[test]
fn a_wait_that_ends_on_another_thread_lasts_until_its_task_learns_of_it() {
    let home = open();
    let task = Task::<3>::new(home);
    for _ in 0..2 {
        let wait = task.arm();
        thread::spawn(move || assert_eq!(wait.end(), IDLE)).join().unwrap();
        assert!(!task.0.may_arm_first());
        assert_eq!(take_messages(home), 1);
        assert!(task.0.may_arm_first() && task.count() == NEW);
    }
    // The task ends before the messages are taken.
    let wait = task.arm();
    thread::spawn(move || wait.end()).join().unwrap();
    drop(task.finish());
    assert_eq!(freed::<3>(), 0);
    assert_eq!(take_messages(home), 1);
    assert_eq!(freed::<3>(), 1);
}

#[test]
fn a_wait_that_ends_on_another_thread_after_its_loop_gives_its_reference_up_there() {
    let task = Task::<4>::new(LoopRef::nowhere());
    let wait = task.arm();
    let before = task.count();
    thread::spawn(move || wait.end()).join().unwrap();
    // The task does not end the wait, so that the reference is not released twice.
    assert!(!task.0.may_arm_first() && task.count() == before - REFERENCE);
    drop(task.finish());
    assert_eq!(freed::<4>(), 1);
    // And a task that has ended.
    let task = Task::<5>::new(LoopRef::nowhere());
    let wait = task.arm();
    drop(task.finish());
    assert_eq!(freed::<5>(), 0);
    thread::spawn(move || wait.end()).join().unwrap();
    assert_eq!(freed::<5>(), 1);
}
