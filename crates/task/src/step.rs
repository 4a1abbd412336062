//! One step of a task: asyncio's `__step` and `__wakeup`; and the allocation that it works on.

use crate::state::{Data, drop_caught};
use asyncio_core::{
    CancelledError, Error, Result,
    cell::{TaskCell, TaskVTable},
    step::Step,
    task_ref::TaskRef,
};
use std::{
    any::TypeId,
    cell::UnsafeCell,
    future::Future,
    panic::{AssertUnwindSafe, catch_unwind},
    pin::Pin,
    ptr::NonNull,
    task::{Context, Poll},
};

/// A task's one allocation. It begins with the [`TaskCell`], so that a pointer to that is one to it.
#[repr(C)]
struct Raw<F, T> {
    data: Data<T>,
    /// Gone as soon as the task has ended. Reached by `step` and `discard` alone.
    coroutine: UnsafeCell<Option<F>>,
}

/// Puts a task into its place. The cell counts what it was made with.
#[inline(always)]
pub(crate) fn allocate<F, T>(data: impl FnOnce() -> Data<T>, coroutine: F) -> NonNull<Data<T>> {
    // Made in place: a task is too large to be moved around.
    let mut place = Box::<Raw<F, T>>::new_uninit();
    place.write(Raw { data: data(), coroutine: UnsafeCell::new(Some(coroutine)) });
    // SAFETY: it was just written.
    NonNull::from(Box::leak(unsafe { place.assume_init() })).cast()
}

/// The functions for tasks that run an `F`.
pub(crate) struct Functions<F, T>(std::marker::PhantomData<(F, T)>);

impl<F: Future<Output = Result<T>>, T: 'static> Functions<F, T> {
    pub(crate) const VTABLE: &'static TaskVTable = &TaskVTable {
        step: step::<F, T>,
        discard: discard::<F, T>,
        free: free::<F, T>,
        output: TypeId::of::<T>,
    };
}

/// # Safety
/// As for `TaskVTable::step`, with a cell that is the beginning of a `Raw<F, T>`.
unsafe fn step<F: Future<Output = Result<T>>, T>(cell: NonNull<TaskCell>) {
    // SAFETY: as the caller promised. While this runs the registry keeps the task, and after its
    // end `registered` does.
    let raw = unsafe { cell.cast::<Raw<F, T>>().as_ref() };
    // SAFETY: a step is not nested in another of the same task, and the allocation never moves.
    let coroutine = unsafe { Pin::new_unchecked(&mut *raw.coroutine.get()) };
    if let Some(registered) = step_of(&raw.data, coroutine) {
        // SAFETY: it is the registry's, the outcome is in place, and the loop runs.
        unsafe { registered.finish_step() }
    }
}

/// If the task has ended: the reference of the registry, which is to be finished.
#[inline(always)]
fn step_of<F: Future<Output = Result<T>>, T>(
    data: &Data<T>,
    mut coroutine: Pin<&mut Option<F>>,
) -> Option<TaskRef> {
    // SAFETY: it is dropped as this returns or unwinds, and steps that begin meanwhile end before.
    let step = unsafe { Step::begin(data.cell()) }?;
    let outcome = match (step.throw(), coroutine.as_mut().as_pin_mut()) {
        (Some(error), _) => Err(Error::Cancelled(error)),
        (None, None) => return None,
        (None, Some(coroutine)) => match poll(data.cell(), coroutine) {
            Poll::Pending => {
                step.suspend();
                return None;
            }
            Poll::Ready(outcome) => outcome,
        },
    };
    match drop_coroutine(coroutine) {
        Ok(()) => data.end(outcome),
        Err(panic) => {
            drop_caught(outcome, data.cell().home());
            data.end(Err(panic))
        }
    }
}

/// Polls, and makes a panic an error.
fn poll<F: Future<Output = Result<T>>, T>(
    cell: &TaskCell,
    coroutine: Pin<&mut F>,
) -> Poll<Result<T>> {
    cell.with_waker(|waker| {
        let mut cx = Context::from_waker(waker);
        catch_unwind(AssertUnwindSafe(|| coroutine.poll(&mut cx)))
            .unwrap_or_else(|panic| Poll::Ready(Err(Error::from_panic(panic))))
    })
}

/// Drops the coroutine; the error is a panic of its `Drop`.
fn drop_coroutine<F>(mut coroutine: Pin<&mut Option<F>>) -> Result<()> {
    catch_unwind(AssertUnwindSafe(|| coroutine.set(None))).map_err(Error::from_panic)
}

/// # Safety
/// As for `TaskVTable::discard`, with a cell that is the beginning of a `Raw<F, T>`.
unsafe fn discard<F: Future<Output = Result<T>>, T>(cell: NonNull<TaskCell>) {
    // SAFETY: as the caller promised.
    let raw = unsafe { cell.cast::<Raw<F, T>>().as_ref() };
    // SAFETY: as in `step`.
    let step = unsafe { Step::begin(raw.data.cell()) };
    // SAFETY: no step of the task runs.
    let dropped = drop_coroutine(unsafe { Pin::new_unchecked(&mut *raw.coroutine.get()) });
    let closed = Err(Error::Cancelled(CancelledError::new("the event loop was closed")));
    let registered = raw.data.end(dropped.and(closed));
    drop(step);
    if let Some(registered) = registered {
        // SAFETY: it is the registry's, and the outcome is in place.
        unsafe { registered.finish() }
    }
}

/// # Safety
/// As for `TaskVTable::free`, with a cell that is the beginning of a `Raw<F, T>`.
unsafe fn free<F, T>(cell: NonNull<TaskCell>) {
    // SAFETY: it was leaked by `allocate`, and nobody has a reference any more. The task has ended,
    // so what is dropped here is no coroutine, and no value either.
    drop(unsafe { Box::from_raw(cell.cast::<Raw<F, T>>().as_ptr()) });
}
