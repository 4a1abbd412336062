//! Call graphs as text.

use super::{FutureCallGraph, Node, edges::each_awaited};
use asyncio_core::{
    raw::{LoopRef, TaskRef},
    wait::Target,
};
use std::{collections::HashSet, panic::Location};

/// The number of levels that are indented. Deeper levels are not indented further.
const MAX_INDENTED: usize = 16;

/// Formats the graphs of some nodes, one below the other. Nodes that several graphs share are shown
/// once.
pub(super) fn format(nodes: &[Node], roots: &[usize]) -> String {
    let mut text = Text { nodes, lines: Vec::new(), shown: vec![Shown::No; nodes.len()] };
    roots.iter().for_each(|root| text.show(*root));
    text.lines.join("\n")
}

#[derive(Clone, Copy, PartialEq)]
enum Shown {
    No,
    /// The tasks that await it are being shown.
    Inside,
    Yes,
}

struct Text<'a> {
    nodes: &'a [Node],
    lines: Vec<String>,
    shown: Vec<Shown>,
}

/// The remaining work, kept in a list instead of by recursion: a chain of awaits may be deeper than the
/// stack.
enum Work {
    Enter { at: usize, level: usize },
    Leave(usize),
}

impl Text<'_> {
    fn show(&mut self, root: usize) {
        let mut work = vec![Work::Enter { at: root, level: 0 }];
        while let Some(next) = work.pop() {
            match next {
                Work::Leave(at) => self.shown[at] = Shown::Yes,
                Work::Enter { at, level } => {
                    let indent = "    ".repeat(level.min(MAX_INDENTED));
                    let node = &self.nodes[at];
                    if self.shown[at] != Shown::No {
                        let what = match self.shown[at] {
                            Shown::Inside => "a cycle",
                            _ => "see above",
                        };
                        self.lines.push(format!("{indent}* {} ({what})", head(node)));
                        continue;
                    }
                    self.shown[at] = Shown::Inside;
                    self.lines.push(format!("{indent}* {}", head(node)));
                    if !node.call_stack.is_empty() {
                        self.lines.push(format!("{indent}  + Call stack:"));
                        let entries = node.call_stack.iter();
                        self.lines.extend(entries.map(|entry| format!("{indent}  |   {entry}")));
                    }
                    if !node.awaited_by.is_empty() {
                        self.lines.push(format!("{indent}  + Awaited by:"));
                    }
                    work.push(Work::Leave(at));
                    let waiters = node.awaited_by.iter().rev();
                    work.extend(waiters.map(|&at| Work::Enter { at, level: level + 1 }));
                }
            }
        }
    }
}

fn head(node: &Node) -> String {
    let id = node.future.id();
    match &node.name {
        Some(name) => format!("Task(name={name:?}, id={id:#x})"),
        None => format!("Future(id={id:#x})"),
    }
}

/// Returns the call graphs of all tasks of a loop as text, each task once: first those that await no other
/// task, each with the tasks that await it; then those of cycles. Empty on another thread.
#[doc(hidden)]
#[track_caller]
pub fn format_call_graphs(home: LoopRef) -> String {
    let tasks = home.with(|scheduler| scheduler.tasks.all()).unwrap_or_default();
    let targets = tasks.iter().cloned().map(Target::Task).collect();
    let mut graphs = FutureCallGraph::capture(targets, &[home], Location::caller());
    let Some(FutureCallGraph { nodes, .. }) = graphs.first().cloned() else { return String::new() };
    // In a cycle, the task itself is awaited, so the others are shown below it.
    graphs.sort_by_cached_key(|graph| match graph.task() {
        Some(task) if awaited_tasks(task.task_ref()).is_empty() => 0,
        _ if !graph.node().awaited_by.is_empty() => 1,
        _ => 2,
    });
    let mut text = Text { nodes: &nodes, lines: Vec::new(), shown: vec![Shown::No; nodes.len()] };
    for graph in &graphs {
        // Already shown below the task that it awaits.
        if text.shown[graph.at] == Shown::No {
            text.show(graph.at);
        }
    }
    text.lines.join("\n")
}

/// The unfinished tasks that a task awaits, in the order in which it names them.
fn awaited_tasks(task: &TaskRef) -> Vec<TaskRef> {
    let mut tasks = Vec::new();
    for wait in task.seen_waits() {
        each_awaited(wait.target, |target, _| match target {
            Target::Task(task) if !task.is_done() => tasks.push(task.clone()),
            _ => {}
        });
    }
    tasks
}

/// Returns a task, the tasks that it awaits, the tasks that those await, and so on, each with its depth. A
/// task that is reached again is listed again, but not followed.
#[doc(hidden)]
pub fn await_chain(task: &TaskRef) -> Vec<(usize, TaskRef)> {
    let (mut chain, mut known) = (Vec::new(), HashSet::new());
    let mut left = vec![(0, task.clone())];
    while let Some((depth, task)) = left.pop() {
        if known.insert(task.as_ptr()) {
            let awaited = awaited_tasks(&task).into_iter().rev();
            left.extend(awaited.map(|task| (depth + 1, task)));
        }
        chain.push((depth, task));
    }
    chain
}
