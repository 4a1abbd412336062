//! One step of a task (asyncio's `__step` and `__wakeup`), and the allocation that it works on.

use crate::{
    free_list,
    state::{Data, cancelled, exception, last_handle},
};
use asyncio_core::{
    CancelledError, Error, Result,
    raw::{Step, TaskCell, TaskRef, TaskVTable, caught},
};
use std::{
    any::TypeId,
    future::Future,
    mem::ManuallyDrop,
    pin::Pin,
    ptr::NonNull,
    task::{Context, Poll},
};

/// A task's single allocation. Both variants begin with the [`TaskCell`], so a pointer to the cell
/// is a pointer to the allocation. It is a union only for its size.
#[repr(C)]
union Raw<F, T> {
    running: ManuallyDrop<Running<F>>,
    /// Used once the task has ended.
    ended: ManuallyDrop<Data<T>>,
}

#[repr(C)]
struct Running<F> {
    cell: TaskCell,
    /// Accessed only by `step` and `discard`.
    coroutine: F,
}

// A task that waits has no room for an outcome beside its coroutine.
#[cfg(not(loom))]
const _: () = assert!(size_of::<Raw<[u64; 2], ()>>() <= size_of::<TaskCell>() + 16);

/// Allocates a task. The cell counts the references and handles that it was created with.
#[inline(always)]
pub(crate) fn allocate<F, T>(cell: impl FnOnce() -> TaskCell, coroutine: F) -> NonNull<Data<T>> {
    let place = free_list::allocate::<Raw<F, T>>().cast::<Running<F>>();
    // Built in place, because a task is too large to be moved around. SAFETY: the memory is unused,
    // and large enough.
    unsafe { place.write(Running { cell: cell(), coroutine }) };
    place.cast()
}

/// The functions for tasks that run an `F`.
pub(crate) struct Functions<F, T>(std::marker::PhantomData<(F, T)>);

impl<F: Future<Output = Result<T>>, T: 'static> Functions<F, T> {
    pub(crate) const VTABLE: &'static TaskVTable = &TaskVTable {
        step: step::<F, T>,
        discard: discard::<F, T>,
        free: free::<F, T>,
        last_handle: last_handle::<T>,
        exception: exception::<T>,
        cancelled: cancelled::<T>,
        output: TypeId::of::<T>,
    };
}

/// # Safety
/// As for `TaskVTable::step`, with a cell that is the beginning of a `Raw<F, T>`.
unsafe fn step<F: Future<Output = Result<T>>, T>(cell: NonNull<TaskCell>) {
    // SAFETY: as the caller promised. While this runs the registry keeps the task, and after its
    // end `registered` does.
    let (data, coroutine) = unsafe { (cell.cast::<Data<T>>().as_ref(), coroutine::<F>(cell)) };
    // SAFETY: a step is not nested in another of the same task.
    if let Some(registered) = unsafe { step_of(data, coroutine) } {
        // SAFETY: it is the registry's, the outcome is in place, and the loop runs.
        unsafe { registered.finish_step() }
    }
}

/// Returns the address of the coroutine of a task.
///
/// # Safety
/// `cell` must be the beginning of a living `Running<F>`, or of the data that has replaced it.
#[inline(always)]
unsafe fn coroutine<F>(cell: NonNull<TaskCell>) -> NonNull<F> {
    // SAFETY: it lies in the same allocation.
    unsafe { NonNull::new_unchecked(&raw mut (*cell.cast::<Running<F>>().as_ptr()).coroutine) }
}

/// Runs a step. If the task has ended, returns the reference of the registry, which has to be
/// finished.
///
/// # Safety
/// `coroutine` must be the place of the task's coroutine, and nothing else may access it.
#[inline(always)]
unsafe fn step_of<F: Future<Output = Result<T>>, T>(
    data: &Data<T>,
    mut coroutine: NonNull<F>,
) -> Option<TaskRef> {
    // SAFETY: it is dropped as this returns or unwinds, and steps that begin meanwhile end before.
    let step = unsafe { Step::begin(data.cell()) }?;
    let error = match step.throw() {
        Some(error) => Error::Cancelled(error),
        None if step.has_ended() => return None,
        // SAFETY: it is present, and is dropped in place; it never moves.
        None => match poll(data.cell(), unsafe { Pin::new_unchecked(coroutine.as_mut()) }) {
            Poll::Pending => {
                step.suspend();
                return None;
            }
            Poll::Ready(Ok(value)) => {
                // SAFETY: as the caller promised, and this is the task's thread, where its step runs.
                let dropped = unsafe { drop_coroutine(data, coroutine) };
                // SAFETY: the coroutine is gone.
                return unsafe { data.end(value, dropped) };
            }
            Poll::Ready(Err(error)) => error,
        },
    };
    // SAFETY: as above.
    unsafe {
        let dropped = drop_coroutine(data, coroutine);
        data.end_unusually(Err(error), dropped)
    }
}

/// Polls the coroutine, and converts a panic to an error.
fn poll<F: Future<Output = Result<T>>, T>(
    cell: &TaskCell,
    coroutine: Pin<&mut F>,
) -> Poll<Result<T>> {
    cell.with_waker(|waker| {
        let mut cx = Context::from_waker(waker);
        caught(|| coroutine.poll(&mut cx)).unwrap_or_else(|panic| Poll::Ready(Err(panic)))
    })
}

/// Drops the coroutine, if it is still present, and makes room for the outcome. The error is a panic
/// of its `Drop`.
///
/// # Safety
/// As for `step_of`; must be called on the task's thread.
#[inline(always)]
unsafe fn drop_coroutine<F, T>(data: &Data<T>, coroutine: NonNull<F>) -> Result<()> {
    if data.cell().has_ended() {
        return Ok(());
    }
    // SAFETY: it is present, and is not used again, whether its drop panics or not.
    let drop = || unsafe { coroutine.drop_in_place() };
    let dropped = caught(drop);
    // SAFETY: it is gone.
    unsafe { data.vacated() };
    dropped
}

/// # Safety
/// As for `TaskVTable::discard`, with a cell that is the beginning of a `Raw<F, T>`.
unsafe fn discard<F: Future<Output = Result<T>>, T>(cell: NonNull<TaskCell>) {
    // SAFETY: as the caller promised.
    let (data, coroutine) = unsafe { (cell.cast::<Data<T>>().as_ref(), coroutine::<F>(cell)) };
    // SAFETY: as in `step`.
    let step = unsafe { Step::begin(data.cell()) };
    // SAFETY: no step of the task runs, and this is its thread.
    let registered = unsafe {
        let dropped = drop_coroutine(data, coroutine);
        let closed = Err(Error::Cancelled(CancelledError::new("the event loop was closed")));
        data.end_unusually(closed, dropped)
    };
    drop(step);
    if let Some(registered) = registered {
        // SAFETY: it is the registry's, and the outcome is in place.
        unsafe { registered.finish() }
    }
}

/// # Safety
/// As for `TaskVTable::free`, with a cell that is the beginning of a `Raw<F, T>`.
unsafe fn free<F, T>(cell: NonNull<TaskCell>) {
    // SAFETY: it was allocated by `allocate`, and no reference is left. The task has ended, so the cell is
    // followed by its outcome, which is empty, unless the last handle was dropped on another thread
    // just when the closing loop ended the task.
    unsafe {
        cell.cast::<Data<T>>().as_ref().free_outcome();
        cell.drop_in_place();
        free_list::free(cell.cast::<Raw<F, T>>());
    }
}
