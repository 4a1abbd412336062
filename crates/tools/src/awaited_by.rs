//! The tasks that await each task, and their table: `asyncio ps`.

use crate::snapshot::{NamedQueue, Snapshot, State, Task, Wait, WaitSite, tasks_by_id};
use serde_json::{Value, json};
use std::collections::HashMap;

/// The tasks of a thread (`asyncio.tools`: an item of `get_all_awaited_by`).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AwaitedInfo {
    /// The system's number of the thread.
    pub thread_id: u64,
    /// Its tasks.
    pub awaited_by: Vec<TaskInfo>,
}

/// A task, with the tasks that await it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TaskInfo {
    /// Its address in memory, like Python's `id`.
    pub task_id: u64,
    /// Its name.
    pub task_name: String,
    /// Its state.
    pub state: State,
    /// The frames in which it is suspended, innermost first: an operation, a space, its line.
    pub coroutine_stack: Vec<String>,
    /// The minimum time for which it has waited, in nanoseconds, if that is known.
    pub lasts: Option<u64>,
    /// The tasks that await it.
    pub awaited_by: Vec<Awaiter>,
}

/// A task that awaits another.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Awaiter {
    /// The frames in which it waits, innermost first.
    pub call_stack: Vec<String>,
    /// The number of the task.
    pub task_id: u64,
}

/// Returns the tasks of each loop, and the tasks that await them
/// (`asyncio.tools.get_all_awaited_by`).
#[doc(alias = "tools")]
pub fn get_all_awaited_by(snapshot: &Snapshot) -> Vec<AwaitedInfo> {
    let mut awaiters: HashMap<u64, Vec<Awaiter>> = HashMap::new();
    for task in snapshot.loops.iter().flat_map(|l| &l.tasks) {
        for awaited in &task.awaits {
            let awaiter = Awaiter { call_stack: task.frames(), task_id: task.id };
            awaiters.entry(*awaited).or_default().push(awaiter);
        }
    }
    let mut info = |task: &Task| TaskInfo {
        task_id: task.id,
        task_name: task.name.to_string(),
        state: task.state,
        coroutine_stack: task.frames(),
        lasts: task.lasts,
        awaited_by: awaiters.remove(&task.id).unwrap_or_default(),
    };
    let of_loop = |l: &crate::Loop| AwaitedInfo {
        thread_id: l.thread,
        awaited_by: l.tasks.iter().map(&mut info).collect(),
    };
    snapshot.loops.iter().map(of_loop).collect()
}

/// Returns a frame without its lines.
fn operation(frame: &str) -> String {
    let operations = frame.split(" | ").map(|wait| wait.split(' ').next().unwrap_or_default());
    operations.collect::<Vec<_>>().join(" | ")
}

/// Returns a row for each task and each task that awaits it (`asyncio.tools.build_task_table`): thread,
/// task, name, state, minimum duration, stack, and the stack, name and number of the awaiting task.
pub fn build_task_table(result: &[AwaitedInfo]) -> Vec<[String; 9]> {
    let tasks = || result.iter().flat_map(|info| &info.awaited_by);
    let names: HashMap<u64, &str> =
        tasks().map(|task| (task.task_id, task.task_name.as_str())).collect();
    let mut table = Vec::new();
    for info in result {
        for task in &info.awaited_by {
            let row = |chain, name: &str, id: u64| {
                [
                    info.thread_id.to_string(),
                    format!("{:#x}", task.task_id),
                    task.task_name.clone(),
                    task.state.to_string(),
                    task.lasts.map(duration).unwrap_or_default(),
                    task.coroutine_stack.join(" -> "),
                    chain,
                    name.to_owned(),
                    format!("{id:#x}"),
                ]
            };
            if task.awaited_by.is_empty() {
                table.push(row(String::new(), "", 0));
            }
            for awaiter in &task.awaited_by {
                let chain: Vec<String> = awaiter.call_stack.iter().map(|f| operation(f)).collect();
                let name = names.get(&awaiter.task_id).copied().unwrap_or("Unknown");
                table.push(row(chain.join(" -> "), name, awaiter.task_id));
            }
        }
    }
    table
}

const COLUMNS: [&str; 9] = [
    "tid",
    "task id",
    "task name",
    "state",
    "for",
    "coroutine stack",
    "awaiter chain",
    "awaiter name",
    "awaiter id",
];

/// Returns the table as text, with each column as wide as necessary
/// (`asyncio.tools.display_awaited_by_tasks_table`).
pub fn display_awaited_by_tasks_table(result: &[AwaitedInfo]) -> String {
    let table = build_task_table(result);
    let columns = COLUMNS.map(str::to_owned);
    let width = |column: usize| {
        let rows = table.iter().chain([&columns]);
        rows.map(|row| row[column].chars().count()).max().unwrap_or_default()
    };
    let widths: [usize; 9] = std::array::from_fn(width);
    let line = |row: &[String; 9]| {
        let cells = row.iter().zip(widths).map(|(cell, width)| format!("{cell:<width$}"));
        let line = cells.collect::<Vec<_>>().join("  ");
        format!("{}\n", line.trim_end())
    };
    let mut text = line(&columns);
    text += &"-".repeat(widths.iter().sum::<usize>() + 2 * (widths.len() - 1));
    text.push('\n');
    table.iter().for_each(|row| text += &line(row));
    text
}

/// Formats nanoseconds in the largest suitable unit.
pub(crate) fn duration(nanoseconds: u64) -> String {
    let number = nanoseconds as f64;
    match nanoseconds {
        0 => "0".to_owned(),
        1..1_000_000 => format!("{:.0} µs", number / 1e3),
        1_000_000..1_000_000_000 => format!("{:.1} ms", number / 1e6),
        1_000_000_000..100_000_000_000 => format!("{:.1} s", number / 1e9),
        _ => format!("{:.0} s", number / 1e9),
    }
}

/// Everything that was found, in a form for programs.
pub fn to_json(snapshot: &Snapshot) -> Value {
    let mut awaited_by: HashMap<u64, Vec<u64>> = HashMap::new();
    for task in tasks_by_id(snapshot).values() {
        for awaited in &task.awaits {
            awaited_by.entry(*awaited).or_default().push(task.id);
        }
    }
    awaited_by.values_mut().for_each(|ids| ids.sort_unstable());
    let task = |task: &Task| {
        let site = task.waits.first().map(|wait| &wait.site);
        let frame =
            |site: &WaitSite| json!({ "what": &*site.what, "at": site.location.to_string() });
        let wait = |wait: &Wait| {
            json!({
                "what": &*wait.site.what,
                "at": wait.site.location.to_string(),
                "scopes": wait.scopes.iter().map(frame).collect::<Vec<_>>(),
                "foreign": wait.is_foreign,
            })
        };
        json!({
            "id": task.id,
            "sequence": task.sequence,
            "name": &*task.name,
            "state": task.state.to_string(),
            "waits_for": site.map(|site| site.what.to_string()),
            "waits_at": site.map(|site| site.location.to_string()),
            "waits": task.waits.iter().map(wait).collect::<Vec<_>>(),
            "waited": task.waited,
            "lasts_ns": task.lasts,
            "waited_at": task.waited_at.as_ref().map(frame),
            "created_at": task.created_at.as_ref().map(ToString::to_string),
            "awaits": task.awaits,
            "awaited_by": awaited_by.get(&task.id).cloned().unwrap_or_default(),
        })
    };
    let of_loop = |l: &crate::Loop| {
        json!({
            "loop": l.id,
            "thread": l.thread,
            "thread_name": l.thread_info.as_ref().and_then(|thread| thread.name.clone()),
            "iterations": l.counts.iterations,
            "steps": l.counts.steps,
            "unread_tasks": l.unread,
            "tasks": l.tasks.iter().map(task).collect::<Vec<_>>(),
        })
    };
    json!({
        "loops": snapshot.loops.iter().map(of_loop).collect::<Vec<_>>(),
        "queues": queues_to_json(&snapshot.queues),
    })
}

/// The queues that have a name, for programs.
pub(crate) fn queues_to_json(queues: &[NamedQueue]) -> Value {
    let queue = |queue: &NamedQueue| {
        json!({
            "name": &*queue.name,
            "maxsize": queue.maxsize,
            "length": queue.length,
            "unfinished": queue.unfinished,
            "getters": queue.getters,
            "putters": queue.putters,
            "joiners": queue.joiners,
        })
    };
    queues.iter().map(queue).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_in_their_own_unit() {
        let shown = [0, 1_500, 2_500_000, 1_200_000_000, 3_600_000_000_000].map(duration);
        assert_eq!(shown, ["0", "2 µs", "2.5 ms", "1.2 s", "3600 s"]);
    }
}
