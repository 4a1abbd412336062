//! The list alone: its contents, their order, and the observed state of the loop.

use super::*;
use crate::{
    context::Values,
    home::LoopRef,
    sync::{AtomicUsize, Mutex},
    task::cell::{TaskContext, TaskVTable},
};
use std::{any::TypeId, cell::Cell, panic::Location, sync::Arc, thread};

thread_local!(static FREED: Cell<usize> = const { Cell::new(0) });

static NEVER_RUN: TaskVTable = TaskVTable {
    step: |_| {},
    discard: |_| {},
    free: |cell| {
        FREED.set(FREED.get() + 1);
        // SAFETY: `task` made it from a box, and this is called once.
        drop(unsafe { Box::from_raw(cell.as_ptr()) });
    },
    last_handle: |_| {},
    exception: |_| Ok(None),
    cancelled: |_| false,
    output: TypeId::of::<Cell<()>>,
};

/// Creates a task that is never run, with one reference.
fn task() -> TaskRef {
    let (context, here) = (TaskContext::Own(Values::default()), Location::caller());
    // SAFETY: it is put into its box at once.
    let cell = unsafe { TaskCell::new(LoopRef::nowhere(), 0, context, here, &NEVER_RUN) };
    let cell = NonNull::from(Box::leak(Box::new(cell)));
    // SAFETY: no other code has seen the cell, which counts three references.
    unsafe {
        drop((TaskRef::from_raw(cell), TaskRef::from_raw(cell)));
        TaskRef::from_raw(cell)
    }
}

fn message() -> Message {
    Message::Quiet(Box::new(|| ()))
}

fn opened() -> Messages {
    let messages = Messages::new();
    messages.open();
    messages
}

/// Returns the contents of the list in short: tasks by their addresses.
fn read(taken: Taken<'_>) -> Vec<Option<NonNull<TaskCell>>> {
    let place = |message| match message {
        Message::Task(task) => Some(task.as_ptr()),
        _ => None,
    };
    taken.map(place).collect()
}

#[test]
fn message_of_every_kind_comes_out_in_the_order_in_which_it_was_put_in() {
    let (messages, first, second) = (opened(), task(), task());
    for message in
        [Message::Task(first.clone()), message(), Message::Task(second.clone()), message()]
    {
        assert_eq!(messages.push(message).unwrap(), Notify::NotNeeded);
    }
    let expected = [Some(first.as_ptr()), None, Some(second.as_ptr()), None];
    assert_eq!(read(messages.take()), expected);
    assert!(read(messages.take()).is_empty());
}

#[test]
fn a_task_is_in_the_list_once() {
    let (messages, task) = (opened(), task());
    for _ in 0..2 {
        for _ in 0..3 {
            assert_eq!(messages.push(Message::Task(task.clone())).unwrap(), Notify::NotNeeded);
        }
        assert_eq!(read(messages.take()), [Some(task.as_ptr())]);
    }
    drop(task);
    assert_eq!(FREED.get(), 1, "every reference was given up");
}

#[test]
fn what_was_not_read_is_put_in_again() {
    let (messages, task) = (opened(), task());
    for message in [message(), Message::Task(task.clone()), message()] {
        assert_eq!(messages.push(message).unwrap(), Notify::NotNeeded);
    }
    assert!(messages.take().next().is_some());
    assert!(messages.is_any());
    assert_eq!(read(messages.take()), [Some(task.as_ptr()), None]);
}

#[test]
fn a_closed_list_gives_back_what_it_is_given() {
    let (messages, task) = (Messages::new(), task());
    assert!(matches!(messages.push(message()), Err(Message::Quiet(_))));
    assert!(matches!(messages.push(Message::Task(task.clone())), Err(Message::Task(_))));
    assert_eq!(messages.nudge(), Notify::NotNeeded);
    assert!(!messages.is_any() && read(messages.take()).is_empty());
    messages.open();
    assert_eq!(messages.push(Message::Task(task.clone())).unwrap(), Notify::NotNeeded);
    assert_eq!(read(messages.close()), [Some(task.as_ptr())]);
    assert!(messages.push(message()).is_err());
}

#[test]
fn a_list_that_is_dropped_drops_its_message() {
    let (messages, task, held) = (opened(), task(), Arc::new(()));
    let holder = held.clone();
    let message = Message::Quiet(Box::new(move || drop(holder)));
    assert_eq!(messages.push(Message::Task(task)).unwrap(), Notify::NotNeeded);
    assert_eq!(messages.push(message).unwrap(), Notify::NotNeeded);
    drop(messages);
    assert_eq!((Arc::strong_count(&held), FREED.get()), (1, 1));
}

#[test]
fn a_nudge_is_something_to_look_at_and_no_message() {
    let messages = opened();
    assert_eq!(messages.before_wait(), BeforeWait::Wait);
    assert_eq!(messages.nudge(), Notify::Needed);
    assert_eq!(messages.nudge(), Notify::NotNeeded);
    messages.after_wait();
    assert!(messages.is_any() && read(messages.take()).is_empty() && !messages.is_any());
    // A message that follows a nudge stands for it.
    assert_eq!(messages.nudge(), Notify::NotNeeded);
    assert_eq!(messages.push(message()).unwrap(), Notify::NotNeeded);
    assert_eq!(read(messages.take()), [None]);
}

#[test]
fn what_threads_put_in_comes_out_once_and_in_the_order_of_each() {
    const THREADS: usize = 3;
    const TIMES: usize = 1000;
    let (messages, shared) = (opened(), task());
    let (done, read) = (AtomicUsize::new(0), Arc::new(Mutex::new([0; THREADS])));
    let work = |thread: usize| {
        for n in 0..TIMES {
            let read = read.clone();
            let in_order = move || {
                let before = std::mem::replace(&mut read.lock()[thread], n + 1);
                assert_eq!(before, n);
            };
            let _ = messages.push(Message::Quiet(Box::new(in_order))).unwrap();
            // Everything before a wake-up is visible to the reader, even if it joins another
            // wake-up.
            done.fetch_add(1, Ordering::Relaxed);
            let _ = messages.push(Message::Task(shared.clone())).unwrap();
        }
    };
    let (mut seen, mut woken) = (0, 0);
    thread::scope(|scope| {
        let work = &work;
        (0..THREADS).for_each(|thread| _ = scope.spawn(move || work(thread)));
        while seen < THREADS * TIMES {
            for message in messages.take() {
                match message {
                    Message::Quiet(quiet) => quiet(),
                    _ => {
                        woken += 1;
                        seen = done.load(Ordering::Relaxed);
                    }
                }
            }
        }
    });
    messages.take().for_each(|message| {
        if let Message::Quiet(quiet) = message {
            quiet()
        }
    });
    assert_eq!(*read.lock(), [TIMES; THREADS]);
    assert!((1..=THREADS * TIMES).contains(&woken));
}
