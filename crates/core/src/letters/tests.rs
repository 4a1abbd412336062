//! The list alone: what comes out, in which order, and how the loop is found.

use super::*;
use crate::{
    cell::{TaskContext, TaskVTable},
    context::Values,
    home::LoopRef,
    sync::{AtomicUsize, Mutex},
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

/// A task that is never run, with one reference.
fn task() -> TaskRef {
    let (context, here) = (TaskContext::Own(Values::default()), Location::caller());
    // SAFETY: it is put into its box at once.
    let cell = unsafe { TaskCell::new(LoopRef::nowhere(), 0, context, here, &NEVER_RUN) };
    let cell = NonNull::from(Box::leak(Box::new(cell)));
    // SAFETY: nobody else has seen the cell, which counts three references.
    unsafe {
        drop((TaskRef::from_raw(cell), TaskRef::from_raw(cell)));
        TaskRef::from_raw(cell)
    }
}

fn letter() -> Mail {
    Mail::Quiet(Box::new(|| ()))
}

fn opened() -> Letters {
    let letters = Letters::new();
    letters.open();
    letters
}

/// What is in the list, in short: tasks by where they are.
fn read(taken: Taken<'_>) -> Vec<Option<NonNull<TaskCell>>> {
    let place = |mail| match mail {
        Mail::Task(task) => Some(task.as_ptr()),
        _ => None,
    };
    taken.map(place).collect()
}

#[test]
fn mail_of_every_kind_comes_out_in_the_order_in_which_it_was_put_in() {
    let (letters, first, second) = (opened(), task(), task());
    for mail in [Mail::Task(first.clone()), letter(), Mail::Task(second.clone()), letter()] {
        assert_eq!(letters.push(mail).unwrap(), Found::Awake);
    }
    let expected = [Some(first.as_ptr()), None, Some(second.as_ptr()), None];
    assert_eq!(read(letters.take()), expected);
    assert!(read(letters.take()).is_empty());
}

#[test]
fn a_task_is_in_the_list_once() {
    let (letters, task) = (opened(), task());
    for _ in 0..2 {
        for _ in 0..3 {
            assert_eq!(letters.push(Mail::Task(task.clone())).unwrap(), Found::Awake);
        }
        assert_eq!(read(letters.take()), [Some(task.as_ptr())]);
    }
    drop(task);
    assert_eq!(FREED.get(), 1, "every reference was given up");
}

#[test]
fn what_was_not_read_is_put_in_again() {
    let (letters, task) = (opened(), task());
    for mail in [letter(), Mail::Task(task.clone()), letter()] {
        assert_eq!(letters.push(mail).unwrap(), Found::Awake);
    }
    assert!(letters.take().next().is_some());
    assert!(letters.is_any());
    assert_eq!(read(letters.take()), [Some(task.as_ptr()), None]);
}

#[test]
fn a_closed_list_gives_back_what_it_is_given() {
    let (letters, task) = (Letters::new(), task());
    assert!(matches!(letters.push(letter()), Err(Mail::Quiet(_))));
    assert!(matches!(letters.push(Mail::Task(task.clone())), Err(Mail::Task(_))));
    assert_eq!(letters.nudge(), Found::Awake);
    assert!(!letters.is_any() && read(letters.take()).is_empty());
    letters.open();
    assert_eq!(letters.push(Mail::Task(task.clone())).unwrap(), Found::Awake);
    assert_eq!(read(letters.close()), [Some(task.as_ptr())]);
    assert!(letters.push(letter()).is_err());
}

#[test]
fn a_list_that_is_dropped_drops_its_mail() {
    let (letters, task, held) = (opened(), task(), Arc::new(()));
    let holder = held.clone();
    let mail = Mail::Quiet(Box::new(move || drop(holder)));
    assert_eq!(letters.push(Mail::Task(task)).unwrap(), Found::Awake);
    assert_eq!(letters.push(mail).unwrap(), Found::Awake);
    drop(letters);
    assert_eq!((Arc::strong_count(&held), FREED.get()), (1, 1));
}

#[test]
fn a_nudge_is_something_to_look_at_and_no_mail() {
    let letters = opened();
    assert_eq!(letters.before_wait(), BeforeWait::Wait);
    assert_eq!(letters.nudge(), Found::Waiting);
    assert_eq!(letters.nudge(), Found::Awake);
    letters.after_wait();
    assert!(letters.is_any() && read(letters.take()).is_empty() && !letters.is_any());
    // Mail that comes upon a nudge stands for it.
    assert_eq!(letters.nudge(), Found::Awake);
    assert_eq!(letters.push(letter()).unwrap(), Found::Awake);
    assert_eq!(read(letters.take()), [None]);
}

#[test]
fn what_threads_put_in_comes_out_once_and_in_the_order_of_each() {
    const THREADS: usize = 3;
    const TIMES: usize = 1000;
    let (letters, shared) = (opened(), task());
    let (done, read) = (AtomicUsize::new(0), Arc::new(Mutex::new([0; THREADS])));
    let work = |thread: usize| {
        for n in 0..TIMES {
            let read = read.clone();
            let in_order = move || {
                let before = std::mem::replace(&mut read.lock()[thread], n + 1);
                assert_eq!(before, n);
            };
            let _ = letters.push(Mail::Quiet(Box::new(in_order))).unwrap();
            // What happened before a wake-up is seen by who reads it, also if it joins another.
            done.fetch_add(1, Ordering::Relaxed);
            let _ = letters.push(Mail::Task(shared.clone())).unwrap();
        }
    };
    let (mut seen, mut woken) = (0, 0);
    thread::scope(|scope| {
        let work = &work;
        (0..THREADS).for_each(|thread| _ = scope.spawn(move || work(thread)));
        while seen < THREADS * TIMES {
            for mail in letters.take() {
                match mail {
                    Mail::Quiet(quiet) => quiet(),
                    _ => {
                        woken += 1;
                        seen = done.load(Ordering::Relaxed);
                    }
                }
            }
        }
    });
    letters.take().for_each(|mail| {
        if let Mail::Quiet(quiet) = mail {
            quiet()
        }
    });
    assert_eq!(*read.lock(), [TIMES; THREADS]);
    assert!((1..=THREADS * TIMES).contains(&woken));
}
