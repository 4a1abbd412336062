//! Models of a task's counts: its memory is freed once, after every use of it.
#![cfg(loom)]

use asyncio_core::{
    context::Values,
    raw::{
        LoopRef, TaskCell, TaskContext, TaskRef, TaskVTable,
        model::{Loop, check, leak},
        sync::{AtomicUsize, Ordering},
    },
};
use loom::thread;
use std::{any::TypeId, panic::Location, ptr::NonNull};

/// The allocation of a task that counts.
#[repr(C)]
struct Counted {
    cell: TaskCell,
    /// The number of reference holders that have used the task.
    uses: AtomicUsize,
    freed: &'static AtomicUsize,
}

static COUNTED: TaskVTable = TaskVTable {
    step: |_| {},
    discard: |_| {},
    free: |cell| {
        // SAFETY: `counted` made it from a box, and no reference is left.
        let task = unsafe { Box::from_raw(cell.cast::<Counted>().as_ptr()) };
        assert_eq!(task.uses.load(Ordering::Relaxed), 2, "it is freed after all uses");
        task.freed.fetch_add(1, Ordering::AcqRel);
    },
    last_handle: |_| {},
    exception: |_| Ok(None),
    cancelled: |_| false,
    output: TypeId::of::<Counted>,
};

/// A task with two references.
fn counted(home: LoopRef, freed: &'static AtomicUsize) -> [TaskRef; 2] {
    let context = TaskContext::Own(Values::default());
    // SAFETY: it is put into its box immediately, and `COUNTED` matches that.
    let cell = unsafe { TaskCell::new(home, 0, context, Location::caller(), &COUNTED) };
    let task = Box::new(Counted { cell, uses: AtomicUsize::new(0), freed });
    let cell: NonNull<TaskCell> = NonNull::from(Box::leak(task)).cast();
    // SAFETY: a cell begins with a handle, which is released here, and with two references beside it.
    unsafe {
        TaskCell::release_any_handle(cell);
        [TaskRef::from_raw(cell), TaskRef::from_raw(cell)]
    }
}

fn use_and_drop(task: TaskRef) {
    // SAFETY: the task comes from `counted`, and the reference keeps it alive.
    let uses = unsafe { &task.as_ptr().cast::<Counted>().as_ref().uses };
    uses.fetch_add(1, Ordering::Relaxed);
    drop(task);
}

#[test]
fn the_last_of_two_references_frees_the_task_after_the_use_of_the_other() {
    check(&["task_freed_unseen"], 3, || {
        let tasks = Loop::new();
        let freed: &AtomicUsize = leak(AtomicUsize::new(0));
        let [one, two] = counted(tasks.home(), freed);
        let other = thread::spawn(move || use_and_drop(two));
        use_and_drop(one);
        other.join().unwrap();
        assert_eq!(freed.load(Ordering::Acquire), 1);
    });
}

/// A reference that is cloned while another one is dropped keeps the task.
#[test]
fn a_clone_keeps_the_task_while_the_original_is_dropped_elsewhere() {
    check(&["task_freed_unseen"], 3, || {
        let tasks = Loop::new();
        let freed: &AtomicUsize = leak(AtomicUsize::new(0));
        let [one, two] = counted(tasks.home(), freed);
        let other = thread::spawn(move || {
            let clone = two.clone();
            drop(two);
            use_and_drop(clone);
        });
        use_and_drop(one);
        other.join().unwrap();
        assert_eq!(freed.load(Ordering::Acquire), 1);
    });
}
