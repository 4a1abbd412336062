//! The edges of the graph: those found in the tasks of a loop, and those that the program has
//! added.

use crate::FutureLike;
use asyncio_core::{
    raw::{LoopRef, TaskRef},
    wait::Target,
};
use std::{
    collections::{HashMap, HashSet},
    sync::{Mutex, MutexGuard},
};

/// The awaiters of each task or future, by its number.
pub(super) struct Edges(HashMap<usize, Vec<Target>>);

impl Edges {
    /// Looks at all tasks of these loops.
    pub(super) fn of(homes: &[LoopRef]) -> Edges {
        let mut edges = Edges(HashMap::new());
        for home in homes {
            for task in home.with(|scheduler| scheduler.tasks.all()).unwrap_or_default() {
                for awaited in awaited_ids(&task) {
                    edges.add(awaited, Target::Task(task.clone()));
                }
            }
        }
        for (awaited, waiter) in said().iter() {
            edges.add(awaited.id(), waiter.clone());
        }
        edges
    }

    fn add(&mut self, awaited: usize, waiter: Target) {
        let waiters = self.0.entry(awaited).or_default();
        // The tasks are visited one after another.
        if waiters.last().map(Target::id) != Some(waiter.id()) {
            waiters.push(waiter);
        }
    }

    pub(super) fn waiters(&self, awaited: usize) -> &[Target] {
        self.0.get(&awaited).map(Vec::as_slice).unwrap_or_default()
    }
}

/// Everything that a task awaits, including futures of operations.
fn awaited_ids(task: &TaskRef) -> Vec<usize> {
    let mut ids = Vec::new();
    for wait in task.seen_waits() {
        each_awaited(wait.target, |target, _| ids.push(target.id()));
    }
    ids
}

/// Calls `see` once with a target and, if it belongs to an operation, with the targets that the operation
/// waits for, and so on. The second argument tells whether the target belongs to an operation.
pub(super) fn each_awaited(target: Option<Target>, mut see: impl FnMut(&Target, bool)) {
    let (mut left, mut known) = (Vec::from_iter(target), HashSet::new());
    while let Some(target) = left.pop() {
        if !known.insert(target.id()) {
            continue;
        }
        let inner = match &target {
            Target::Task(_) => None,
            Target::Future(future) => future.awaits(),
        };
        see(&target, inner.is_some());
        left.extend(inner.into_iter().flatten().rev());
    }
}

/// The edges that a program has added: a task or future, and its awaiter.
type Said = Vec<(Target, Target)>;

fn said() -> MutexGuard<'static, Said> {
    static SAID: Mutex<Said> = Mutex::new(Vec::new());
    SAID.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
}

fn place(said: &Said, awaited: &Target, waiter: &Target) -> Option<usize> {
    said.iter().position(|(a, w)| a.id() == awaited.id() && w.id() == waiter.id())
}

/// Records that `waiter` awaits `future` in a way that the library cannot see, such as a callback
/// (`asyncio.future_add_to_awaited_by`). Both are kept alive until
/// [`future_discard_from_awaited_by`] is called.
///
/// ```
/// #[asyncio::main]
/// async fn main() -> asyncio::Result<()> {
///     use asyncio::{Future, capture_call_graph};
///     let (part, whole) = (Future::<u32>::new(), Future::<String>::new());
///     asyncio::future_add_to_awaited_by(&part, &whole);
///     let graph = capture_call_graph(&part)?.expect("it is given");
///     assert_eq!(graph.awaited_by().next().map(|graph| graph.id()), Some(whole.id()));
///     asyncio::future_discard_from_awaited_by(&part, &whole);
///     Ok(())
/// }
/// ```
#[doc(alias = "asyncio.future_add_to_awaited_by")]
pub fn future_add_to_awaited_by(future: &impl FutureLike, waiter: &impl FutureLike) {
    let (future, waiter) = (future.target(), waiter.target());
    let mut said = said();
    if place(&said, &future, &waiter).is_none() {
        said.push((future, waiter));
    }
}

/// Reverts [`future_add_to_awaited_by`] (`asyncio.future_discard_from_awaited_by`). It does nothing if
/// there is no such record.
#[doc(alias = "asyncio.future_discard_from_awaited_by")]
pub fn future_discard_from_awaited_by(future: &impl FutureLike, waiter: &impl FutureLike) {
    let (future, waiter) = (future.target(), waiter.target());
    let mut said = said();
    let discarded = place(&said, &future, &waiter).map(|place| said.remove(place));
    drop(said);
    // Not under the lock, because the drop may run code of the program.
    drop(discarded);
}
