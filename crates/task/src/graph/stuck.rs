//! Tasks that can never continue, because they wait for each other.

use super::edges::each_awaited;
use asyncio_core::{
    raw::{Doing, LoopRef, TaskRef},
    wait::Target,
};
use std::collections::{HashMap, HashSet};

/// Returns the tasks of a loop that await each other in a cycle, and those that await nothing except such
/// tasks, in the order of creation. A task that has a deadline, or also awaits something else, is not among
/// them.
#[doc(hidden)]
pub fn stuck_tasks(home: LoopRef) -> Vec<TaskRef> {
    let tasks = home.with(|scheduler| scheduler.tasks.all()).unwrap_or_default();
    // For each task that awaits only tasks, which ones. Tasks that can continue are removed one by
    // one.
    let mut stuck: HashMap<usize, HashSet<usize>> = HashMap::new();
    let mut awaited_by: HashMap<usize, Vec<usize>> = HashMap::new();
    for task in &tasks {
        let Some(awaited) = awaits_tasks_alone(task) else { continue };
        let id = id(task);
        for awaited in &awaited {
            awaited_by.entry(*awaited).or_default().push(id);
        }
        stuck.insert(id, awaited);
    }
    let is_free = |awaited: &HashSet<usize>, stuck: &HashMap<usize, HashSet<usize>>| {
        awaited.iter().any(|awaited| !stuck.contains_key(awaited))
    };
    let mut free: Vec<usize> =
        stuck.iter().filter(|(_, awaited)| is_free(awaited, &stuck)).map(|(id, _)| *id).collect();
    while let Some(id) = free.pop() {
        if stuck.remove(&id).is_some() {
            free.extend(awaited_by.get(&id).into_iter().flatten());
        }
    }
    tasks.into_iter().filter(|task| stuck.contains_key(&id(task))).collect()
}

fn id(task: &TaskRef) -> usize {
    task.as_ptr().as_ptr() as usize
}

/// Returns what a task awaits, if it is suspended and only the end of another task can wake it.
fn awaits_tasks_alone(task: &TaskRef) -> Option<HashSet<usize>> {
    let waits = task.seen_waits();
    if task.doing() != Some(Doing::Waiting) || waits.is_empty() {
        return None;
    }
    let mut awaited = HashSet::new();
    for wait in waits {
        if wait.has_deadline || wait.is_foreign || wait.target.is_none() {
            return None;
        }
        let mut is_else = false;
        each_awaited(wait.target, |target, is_operation| match target {
            Target::Task(task) => _ = awaited.insert(id(task)),
            Target::Future(_) => is_else |= !is_operation,
        });
        if is_else {
            return None;
        }
    }
    (!awaited.is_empty()).then_some(awaited)
}
