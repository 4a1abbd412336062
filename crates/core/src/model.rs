//! The parts of loom models: [`check`], and a [`Loop`] with our own tasks. This module exists only
//! under `--cfg loom`.
//!
//! The loop is the minimum that a task needs: it empties its inbox, runs ready steps, and sleeps if
//! there is nothing to do. A lost wake-up is therefore a deadlock, which loom finds.

use crate::{
    CancelledError,
    context::Values,
    home::{LoopRef, Message, Remote},
    scheduler::Scheduler,
    sync::{Condvar, Mutex},
    task::{
        cell::{TaskCell, TaskContext, TaskVTable},
        reference::TaskRef,
        step::Step,
    },
};
use std::{
    any::{Any, TypeId, type_name},
    cell::RefCell,
    collections::VecDeque,
    fmt,
    future::Future,
    panic::Location,
    pin::Pin,
    ptr::NonNull,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    task::{Context, Waker},
};

/// Runs `body` in every interleaving with at most `preemptions` preemptions. `mutants` are the
/// faults that this model has to detect: see [`mutant`](crate::sync::mutant).
///
/// The line that it prints at the end is for `cargo xtask loom`.
pub fn check<F: Fn() + Send + Sync + 'static>(mutants: &[&str], preemptions: usize, body: F) {
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = Some(preemptions);
    let executions = Arc::new(AtomicUsize::new(0));
    let count = executions.clone();
    builder.check(move || {
        count.fetch_add(1, Ordering::Relaxed);
        body();
    });
    let name = type_name::<F>().trim_end_matches("::{{closure}}");
    let name = name.rsplit("::").next().unwrap_or(name);
    let executions = executions.load(Ordering::Relaxed);
    let mutants = mutants.join(",");
    println!("\nmodel {name} executions={executions} preemptions={preemptions} mutants={mutants}");
}

/// The inbox of a loop, and the bell that ends its sleep.
struct TestRemote {
    messages: Mutex<VecDeque<Message>>,
    came: Condvar,
}

impl Remote for TestRemote {
    fn push(&self, _: u64, message: Message) -> Result<(), Message> {
        self.messages.lock().push_back(message);
        self.came.notify_all();
        Ok(())
    }

    fn close(&self, _: &mut dyn FnMut(Message)) {}

    fn as_any(&self) -> &dyn Any {
        self
    }
}

/// The loop of the model thread that makes it.
#[derive(Debug)]
pub struct Loop {
    home: LoopRef,
}

impl Default for Loop {
    fn default() -> Loop {
        Loop::new()
    }
}

impl Loop {
    /// Creates a loop without tasks.
    pub fn new() -> Loop {
        let remote = TestRemote { messages: Mutex::new(VecDeque::new()), came: Condvar::new() };
        Loop::reached_through(Box::new(remote))
    }

    /// Creates a loop without tasks, with a remote of another kind: it [opens](Loop::open) its
    /// messages.
    pub fn reached_through(remote: Box<dyn Remote>) -> Loop {
        Loop { home: LoopRef::open(true, || remote) }
    }

    /// Returns the reference to the loop.
    pub fn home(&self) -> LoopRef {
        self.home
    }

    fn scheduler(&self) -> &'static Scheduler {
        self.home.local().expect("a loop is used on its own thread, while it is open")
    }

    fn remote(&self) -> &'static TestRemote {
        self.home.remote().as_any().downcast_ref().expect("all homes of a model are of this kind")
    }

    /// Creates a task that has not started.
    #[track_caller]
    pub fn spawn(&self, coroutine: impl Future<Output = ()> + 'static) -> TaskRef {
        let (context, number) = (TaskContext::Own(Values::default()), 0);
        // SAFETY: it is put into its box immediately, and `BY_HAND` matches that.
        let cell =
            unsafe { TaskCell::new(self.home, number, context, Location::caller(), &BY_HAND) };
        let coroutine: Coroutine = RefCell::new(Some(Box::pin(coroutine)));
        let task = NonNull::from(Box::leak(Box::new(Task { cell, coroutine }))).cast();
        // SAFETY: these are references that a cell begins with, the registry's and a handle's; the task is
        // new, and ours.
        let task = unsafe {
            self.scheduler().tasks.adopt(TaskRef::from_raw(task));
            TaskRef::from_raw(task)
        };
        task.wake();
        task
    }

    /// Runs one iteration: looks at the messages, and runs what is ready.
    pub fn turn(&self) {
        let messages = std::mem::take(&mut *self.remote().messages.lock());
        self.open(messages);
    }

    /// Runs one iteration with these messages.
    pub fn open(&self, messages: impl IntoIterator<Item = Message>) {
        let entered = self.home.entering();
        messages.into_iter().for_each(|message| self.scheduler().deliver(message));
        self.scheduler().run_ready();
        drop(entered);
    }

    /// Runs until every task has ended.
    pub fn run(&self) {
        loop {
            self.turn();
            if self.scheduler().tasks.all().is_empty() {
                return;
            }
            if !self.scheduler().has_ready() {
                let mut messages = self.remote().messages.lock();
                while messages.is_empty() {
                    messages = self.remote().came.wait(messages);
                }
            }
        }
    }
}

impl Drop for Loop {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            let _ = self.scheduler().close();
        }
    }
}

type Coroutine = RefCell<Option<Pin<Box<dyn Future<Output = ()>>>>>;

/// The allocation of a task.
#[repr(C)]
struct Task {
    cell: TaskCell,
    coroutine: Coroutine,
}

static BY_HAND: TaskVTable = TaskVTable {
    step,
    discard: |_| {},
    // SAFETY: `spawn` made it from a box, and no reference is left.
    free: |cell| drop(unsafe { Box::from_raw(cell.cast::<Task>().as_ptr()) }),
    last_handle: |_| {},
    exception: |_| Ok(None),
    cancelled: |_| false,
    output: TypeId::of::<Task>,
};

/// As `TaskVTable::step` says.
fn step(cell: NonNull<TaskCell>) {
    // SAFETY: the registry keeps the task until it is retired, and after that `registered` does.
    let task = unsafe { cell.cast::<Task>().as_ref() };
    // SAFETY: it is dropped before this returns, and steps are not nested.
    let Some(step) = (unsafe { Step::begin(&task.cell) }) else { return };
    let ended = match (step.throw(), &mut *task.coroutine.borrow_mut()) {
        (None, Some(coroutine)) => task
            .cell
            .with_waker(|waker| coroutine.as_mut().poll(&mut Context::from_waker(waker)))
            .is_ready(),
        _ => true,
    };
    if !ended {
        return step.suspend();
    }
    let coroutine = task.coroutine.take();
    drop(coroutine);
    // SAFETY: the coroutine is gone.
    let registered = task.cell.home().local().and_then(|s| unsafe { s.tasks.retire(&task.cell) });
    drop(step);
    if let Some(registered) = registered {
        // SAFETY: it is the registry's, and there is no result.
        unsafe { registered.finish() }
    }
}

/// Requests the cancellation of a task, without a message.
pub fn cancel(task: &TaskRef) -> bool {
    task.cancel(CancelledError::default())
}

impl fmt::Debug for TestRemote {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TestRemote")
    }
}

/// Polls once, as a foreign task that does not run; returns true if the future is pending.
pub fn is_pending<F: Future>(future: Pin<&mut F>) -> bool {
    future.poll(&mut Context::from_waker(Waker::noop())).is_pending()
}

/// Leaks a value that the threads of a model share.
pub fn leak<T>(shared: T) -> &'static T {
    Box::leak(Box::new(shared))
}
