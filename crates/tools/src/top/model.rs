//! The displayed data: the latest sample, and the changes since earlier samples.

use crate::{
    awaited_by::queues_to_json,
    snapshot::{Loop, NamedQueue, Snapshot, State, Task, WaitSite, tasks_by_id},
};
use asyncio_core::raw::metrics::Counts;
use serde_json::{Map, Value, json};
use std::{
    cmp::{Ordering, Reverse},
    collections::{BTreeMap, HashMap, HashSet, VecDeque},
    fmt,
};

const SECOND: u64 = 1_000_000_000;

/// The time after which a step counts as too long.
const BUSY: u64 = SECOND;
/// The time after which a task counts as never woken.
const NEVER: u64 = 60 * SECOND;
/// The number of wake-ups in a second from which a task counts as woken too often.
const OFTEN: f64 = 1000.0;
/// The number of samples that decide which tasks grow in number, and the least growth that counts.
const SAMPLES: usize = 10;
const GROWTH: usize = 10;

/// A possible problem of a task (as tokio-console warns of them).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Warning {
    /// One step has lasted for more than a second.
    Busy,
    /// It is woken more than a thousand times in a second.
    Often,
    /// The number of tasks created at the same place grows.
    Grows,
    /// It was not woken for more than a minute.
    Never,
}

impl fmt::Display for Warning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Warning::Busy => "busy",
            Warning::Often => "often",
            Warning::Grows => "grows",
            Warning::Never => "never",
        })
    }
}

/// A line of the list of tasks.
#[derive(Clone, Debug)]
pub struct Row {
    /// The task.
    pub task: Task,
    /// The thread of its loop.
    pub thread: u64,
    /// The observed duration of its current state, in nanoseconds.
    pub lasts: u64,
    /// The number of wake-ups per second between the last two samples.
    pub wakes: f64,
    /// Its possible problem.
    pub warning: Option<Warning>,
}

impl Row {
    /// Whether the row contains the text of a filter.
    fn matches(&self, filter: &str) -> bool {
        let warning = self.warning.map(|warning| warning.to_string()).unwrap_or_default();
        let state = self.task.state.to_string();
        let created = self.task.created_at.as_ref().map(ToString::to_string).unwrap_or_default();
        let shown = [&*self.task.name, &self.task.doing(), &state, &warning, &created];
        shown.iter().any(|text| text.to_lowercase().contains(filter))
    }
}

/// The order of the list.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Sort {
    /// Possible problems first, then by creation.
    #[default]
    Warning,
    /// By name.
    Name,
    /// By state.
    State,
    /// The longest duration first.
    Lasts,
    /// The most wake-ups first.
    Wakes,
    /// By the line that created them.
    Created,
}

impl Sort {
    const ALL: [Sort; 6] =
        [Sort::Warning, Sort::Name, Sort::State, Sort::Lasts, Sort::Wakes, Sort::Created];

    /// The next order.
    pub fn next(self) -> Sort {
        let place = Sort::ALL.iter().position(|sort| *sort == self).unwrap_or_default();
        Sort::ALL[(place + 1) % Sort::ALL.len()]
    }

    /// The title of the column by which it sorts.
    pub fn column(self) -> &'static str {
        match self {
            Sort::Warning => "warning",
            Sort::Name => "task",
            Sort::State => "state",
            Sort::Lasts => "lasts",
            Sort::Wakes => "wakes/s",
            Sort::Created => "created at",
        }
    }

    fn compare(self, a: &Row, b: &Row) -> Ordering {
        let order = match self {
            Sort::Warning => {
                let key = |row: &Row| (row.warning.is_none(), row.warning);
                key(a).cmp(&key(b))
            }
            Sort::Name => a.task.name.cmp(&b.task.name),
            Sort::State => (a.task.state, a.task.doing()).cmp(&(b.task.state, b.task.doing())),
            Sort::Lasts => Reverse(a.lasts).cmp(&Reverse(b.lasts)),
            Sort::Wakes => b.wakes.total_cmp(&a.wakes),
            Sort::Created => a.task.created_at.cmp(&b.task.created_at),
        };
        order.then_with(|| (a.task.sequence, a.task.id).cmp(&(b.task.sequence, b.task.id)))
    }
}

/// The data of a loop.
#[derive(Clone, Debug)]
pub struct LoopLine {
    /// The thread, and its name.
    pub thread: String,
    /// The part of the time in which it ran, from zero to one.
    pub busy: f64,
    /// Steps in a second.
    pub steps: f64,
    /// Its counters.
    pub counts: Counts,
    /// The number of tasks in the sample.
    pub tasks: usize,
}

/// The time at which a task entered its state.
struct Seen {
    state: State,
    waits: u32,
    sequence: u64,
    since: u64,
}

/// The samples of a program.
#[derive(Default)]
pub struct Model {
    snapshot: Snapshot,
    rows: Vec<Row>,
    loops: Vec<LoopLine>,
    seen: HashMap<u64, Seen>,
    /// The counters of each loop at the last sample, and its time.
    counted: HashMap<u64, (Counts, u64)>,
    /// The number of tasks that each line created, in each of the last samples.
    places: VecDeque<HashMap<String, usize>>,
    taken_at: u64,
}

impl fmt::Debug for Model {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Model of {} tasks", self.rows.len())
    }
}

impl Model {
    /// Adds a sample that was taken at `now`.
    pub fn update(&mut self, snapshot: Snapshot, now: u64) {
        self.loops = snapshot.loops.iter().map(|l| self.line(l, now)).collect();
        let counted = |l: &Loop| (l.id, (l.counts, now.saturating_sub(l.counts.clock_zero)));
        self.counted = snapshot.loops.iter().map(counted).collect();
        self.count_places(&snapshot);
        let growing: HashSet<String> =
            self.growing().into_iter().map(|(place, ..)| place).collect();
        let elapsed = now.saturating_sub(self.taken_at).max(1) as f64 / SECOND as f64;
        let (mut rows, mut seen) = (Vec::new(), HashMap::new());
        for l in &snapshot.loops {
            for task in &l.tasks {
                let before = self.seen.get(&task.id).filter(|seen| seen.sequence == task.sequence);
                let is_same = |seen: &&Seen| seen.waits == task.waited && seen.state == task.state;
                let since = before.filter(is_same).map_or(now, |seen| seen.since);
                let woken = before.map_or(0, |seen| task.waited.wrapping_sub(seen.waits));
                let seen_for = now.saturating_sub(since);
                // The loop may have been waiting for longer.
                let lasts = seen_for.max(task.lasts.unwrap_or_default());
                let wakes = f64::from(woken) / elapsed;
                let grows = task.created_at.as_ref().map(ToString::to_string);
                let runs = matches!(task.state, State::Running | State::Blocked);
                let warning = match task.state {
                    _ if runs && lasts >= BUSY => Some(Warning::Busy),
                    _ if wakes >= OFTEN => Some(Warning::Often),
                    _ if grows.is_some_and(|place| growing.contains(&place)) => {
                        Some(Warning::Grows)
                    }
                    _ if lasts >= NEVER => Some(Warning::Never),
                    _ => None,
                };
                let (state, waits, sequence) = (task.state, task.waited, task.sequence);
                seen.insert(task.id, Seen { state, waits, sequence, since });
                rows.push(Row { task: task.clone(), thread: l.thread, lasts, wakes, warning });
            }
        }
        (self.rows, self.seen) = (rows, seen);
        (self.snapshot, self.taken_at) = (snapshot, now);
    }

    fn line(&self, l: &Loop, now: u64) -> LoopLine {
        let now = now.saturating_sub(l.counts.clock_zero);
        let name = l.thread_info.as_ref().and_then(|thread| thread.name.as_deref());
        let thread = match name {
            Some(name) => format!("{} {name}", l.thread),
            None => l.thread.to_string(),
        };
        // Without an earlier sample: since the loop was created.
        let (before, then) = self.counted.get(&l.id).copied().unwrap_or_default();
        let busy = l.counts.busy_by(now).saturating_sub(before.busy_by(then));
        let waited = l.counts.waited_by(now).saturating_sub(before.waited_by(then));
        let all = busy.saturating_add(waited).max(1) as f64;
        let steps = l.counts.steps.saturating_sub(before.steps) as f64;
        LoopLine {
            thread,
            busy: busy as f64 / all,
            steps: steps * SECOND as f64 / all,
            counts: l.counts,
            tasks: l.tasks.len(),
        }
    }

    fn count_places(&mut self, snapshot: &Snapshot) {
        let mut places = HashMap::new();
        for task in snapshot.loops.iter().flat_map(|l| &l.tasks) {
            if let Some(location) = &task.created_at {
                *places.entry(location.to_string()).or_insert(0) += 1;
            }
        }
        self.places.push_back(places);
        if self.places.len() > SAMPLES {
            self.places.pop_front();
        }
    }

    /// Returns the lines whose tasks grow in number, with their number and its growth. It has not fallen in
    /// any of the last samples.
    pub fn growing(&self) -> Vec<(String, usize, usize)> {
        let (Some(first), Some(last)) = (self.places.front(), self.places.back()) else {
            return Vec::new();
        };
        let count = |places: &HashMap<String, usize>, place: &str| {
            places.get(place).copied().unwrap_or_default()
        };
        let mut growing = Vec::new();
        for (place, now) in last {
            let counts: Vec<usize> = self.places.iter().map(|some| count(some, place)).collect();
            let came = now.saturating_sub(count(first, place));
            if came >= GROWTH && counts.len() > 2 && counts.is_sorted() {
                growing.push((place.clone(), *now, came));
            }
        }
        growing.sort_by_key(|(place, _, came)| (Reverse(*came), place.clone()));
        growing
    }

    /// The loops.
    pub fn loops(&self) -> &[LoopLine] {
        &self.loops
    }

    /// The queues that have a name.
    pub fn queues(&self) -> &[NamedQueue] {
        &self.snapshot.queues
    }

    /// The tasks that a filter lets pass, in order.
    pub fn rows(&self, sort: Sort, reverse: bool, filter: &str) -> Vec<&Row> {
        let filter = filter.to_lowercase();
        let mut rows: Vec<&Row> = self.rows.iter().filter(|row| row.matches(&filter)).collect();
        rows.sort_by(|a, b| sort.compare(a, b));
        if reverse {
            rows.reverse();
        }
        rows
    }

    /// Returns the number of tasks in each state.
    pub fn states(&self) -> impl Iterator<Item = (State, usize)> + '_ {
        let count = |state| self.rows.iter().filter(|row| row.task.state == state).count();
        State::ALL.into_iter().map(move |state| (state, count(state)))
    }

    /// Returns the number of tasks that wait in each operation, the most frequent first.
    pub fn kinds(&self) -> Vec<(String, usize)> {
        let mut kinds: BTreeMap<&str, usize> = BTreeMap::new();
        for wait in self.rows.iter().flat_map(|row| &row.task.waits) {
            *kinds.entry(&wait.site.what).or_default() += 1;
        }
        let mut kinds: Vec<_> = kinds.into_iter().map(|(k, count)| (k.to_owned(), count)).collect();
        kinds.sort_by_key(|(_, count)| Reverse(*count));
        kinds
    }

    /// Returns the lines at which more than one task waits, with the number of tasks, the most common first.
    pub fn common_waits(&self) -> Vec<(String, usize)> {
        let mut sites: HashMap<&WaitSite, usize> = HashMap::new();
        for wait in self.rows.iter().flat_map(|row| &row.task.waits) {
            *sites.entry(&wait.site).or_default() += 1;
        }
        let sites = sites.into_iter().filter(|(_, count)| *count > 1);
        let mut sites: Vec<_> = sites.map(|(site, count)| (site.to_string(), count)).collect();
        sites.sort_by(|a, b| (Reverse(a.1), &a.0).cmp(&(Reverse(b.1), &b.0)));
        sites
    }

    /// Returns the last sample, and its changes since the previous one, for programs.
    pub fn to_json(&self) -> Value {
        let of_loop = |line: &LoopLine| {
            let counts = line.counts;
            json!({
                "thread": line.thread,
                "busy": line.busy,
                "steps_per_second": line.steps,
                "tasks": line.tasks,
                "iterations": counts.iterations,
                "steps": counts.steps,
                "longest_stretch_ns": counts.longest_stretch,
                "longest_step_ns": counts.longest_step,
                "timers": counts.timers,
                "late_timers": counts.late,
                "descriptors": counts.descriptors,
                "outstanding": counts.outstanding,
                "ready": counts.ready,
                "events": counts.events,
                "jobs": counts.jobs,
            })
        };
        let task = |row: &Row| {
            json!({
                "id": row.task.id,
                "name": &*row.task.name,
                "thread": row.thread,
                "state": row.task.state.to_string(),
                "doing": row.task.frames(),
                "created_at": row.task.created_at.as_ref().map(ToString::to_string),
                "lasts_ns": row.lasts,
                "wakes_per_second": row.wakes,
                "warning": row.warning.map(|warning| warning.to_string()),
                "awaits": row.task.awaits,
            })
        };
        let count = |(what, count): (String, usize)| json!({ "what": what, "tasks": count });
        let grows = |(place, tasks, came): (String, usize, usize)| json!({ "created_at": place, "tasks": tasks, "came": came });
        let states = self.states().map(|(state, count)| (state.to_string(), count.into()));
        json!({
            "loops": self.loops.iter().map(of_loop).collect::<Vec<_>>(),
            "states": states.collect::<Map<String, Value>>(),
            "waits": self.kinds().into_iter().map(count).collect::<Vec<_>>(),
            "common_waits": self.common_waits().into_iter().map(count).collect::<Vec<_>>(),
            "queues": queues_to_json(self.queues()),
            "growing": self.growing().into_iter().map(grows).collect::<Vec<_>>(),
            "tasks": self.rows.iter().map(task).collect::<Vec<_>>(),
        })
    }

    /// The observed duration of each task's state.
    pub fn lasts(&self) -> HashMap<u64, u64> {
        self.rows.iter().map(|row| (row.task.id, row.lasts)).collect()
    }

    /// Returns the chain of awaits through a task, as lines: its awaiter and so on, itself, and what it awaits.
    pub fn chain(&self, id: u64) -> Vec<String> {
        let tasks = tasks_by_id(&self.snapshot);
        let Some(task) = tasks.get(&id) else { return vec!["the task has ended".to_owned()] };
        let awaiter = |id: u64| tasks.values().find(|task| task.awaits.contains(&id)).copied();
        let awaited = |task: &Task| task.awaits.first().and_then(|id| tasks.get(id)).copied();
        let mut seen = HashSet::from([id]);
        let mut above = Vec::new();
        let mut next = awaiter(id);
        while let Some(task) = next.filter(|task| seen.insert(task.id)) {
            above.push(task);
            next = awaiter(task.id);
        }
        let mut below = vec![*task];
        let mut next = awaited(task);
        while let Some(task) = next.filter(|task| seen.insert(task.id)) {
            below.push(task);
            next = awaited(task);
        }
        let mut lines = Vec::new();
        for (depth, task) in above.into_iter().rev().chain(below).enumerate() {
            let (indent, mark) = ("  ".repeat(depth), if task.id == id { "▶" } else { " " });
            lines.push(format!("{mark} {indent}{} ({})", task.name, task.state));
            lines.push(format!("  {indent}  {}", task.doing()));
            if let Some(location) = task.created_at.as_ref().filter(|_| !task.waits.is_empty()) {
                lines.push(format!("  {indent}  created {location}"));
            }
        }
        lines
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::snapshot::{Location, Wait};

    fn place(line: u32) -> Location {
        Location { file: "src/main.rs".into(), line, column: 5 }
    }

    fn task(id: u64, state: State, waited: u32) -> Task {
        let site = WaitSite { what: "sleep".into(), location: place(id as u32) };
        Task {
            id,
            sequence: id,
            name: format!("Task-{id}").into(),
            state,
            waits: match state {
                State::Waiting => vec![Wait { site, scopes: Vec::new(), is_foreign: false }],
                _ => Vec::new(),
            },
            others: 0,
            lasts: None,
            waited_at: None,
            waited,
            created_at: Some(place(100)),
            awaits: Vec::new(),
        }
    }

    fn snapshot(tasks: Vec<Task>, counts: Counts) -> Snapshot {
        let (thread_info, unread) = (None, 0);
        let loops = vec![Loop { id: 1, thread: 7, thread_info, counts, tasks, unread }];
        Snapshot { loops, queues: Vec::new() }
    }

    fn warnings(model: &Model) -> Vec<(u64, Option<Warning>)> {
        let rows = model.rows(Sort::Warning, false, "");
        rows.iter().map(|row| (row.task.id, row.warning)).collect()
    }

    #[test]
    fn what_may_be_wrong_is_told_from_two_samples() {
        let mut model = Model::default();
        let sample = |woken| {
            let tasks = vec![
                task(1, State::Waiting, 1),
                task(2, State::Waiting, woken),
                task(3, State::Blocked, 5),
            ];
            snapshot(tasks, Counts::default())
        };
        model.update(sample(0), SECOND);
        assert_eq!(warnings(&model), [(1, None), (2, None), (3, None)]);
        model.update(sample(3000), 3 * SECOND);
        let expected = [(3, Some(Warning::Busy)), (2, Some(Warning::Often)), (1, None)];
        assert_eq!(warnings(&model), expected);
        assert_eq!(model.rows(Sort::Wakes, false, "")[0].wakes, 1500.0);
        model.update(sample(3000), 62 * SECOND);
        let expected = [(3, Some(Warning::Busy)), (1, Some(Warning::Never)), (2, None)];
        assert_eq!(warnings(&model), expected);
        assert_eq!(model.rows(Sort::Lasts, false, "")[0].lasts, 61 * SECOND);
    }

    #[test]
    fn another_task_in_the_same_place_begins_anew() {
        let mut model = Model::default();
        model.update(snapshot(vec![task(1, State::Waiting, 1)], Counts::default()), 0);
        let other = Task { sequence: 9, ..task(1, State::Waiting, 1) };
        model.update(snapshot(vec![other], Counts::default()), 99 * SECOND);
        assert_eq!(warnings(&model), [(1, None)]);
    }

    #[test]
    fn tasks_that_only_ever_become_more_grow() {
        let mut model = Model::default();
        for count in [1, 5, 5, 20] {
            let tasks = (1..=count).map(|id| task(id, State::Waiting, 1)).collect();
            model.update(snapshot(tasks, Counts::default()), count * SECOND);
        }
        assert_eq!(model.growing(), [("src/main.rs:100:5".to_owned(), 20, 19)]);
        assert!(model.rows(Sort::Name, false, "grows").len() == 20);
        model.update(snapshot(vec![task(1, State::Waiting, 1)], Counts::default()), 30 * SECOND);
        assert_eq!(model.growing(), []);
    }

    #[test]
    fn a_loop_is_busy_for_its_part_of_the_time_between_two_samples() {
        let mut model = Model::default();
        let first = Counts { running_since: 1, waited: SECOND, steps: 5, ..Counts::default() };
        model.update(snapshot(Vec::new(), first), 2 * SECOND + 1);
        assert_eq!((model.loops()[0].busy, model.loops()[0].steps), (0.5, 2.5));
        // It has waited for three of four seconds, and is still waiting.
        let (waited, waiting_since) = (3 * SECOND, 5 * SECOND + 1);
        let second = Counts { waited, waiting_since, steps: 45, ..first };
        model.update(snapshot(Vec::new(), second), 6 * SECOND + 1);
        assert_eq!((model.loops()[0].busy, model.loops()[0].steps), (0.25, 10.0));
    }

    #[test]
    fn filter_and_order_are_those_of_the_rows_that_are_shown() {
        let mut model = Model::default();
        let mut named = task(1, State::Waiting, 0);
        named.name = "zoe".into();
        let tasks = vec![named, task(2, State::Ready, 0), task(3, State::Waiting, 0)];
        model.update(snapshot(tasks, Counts::default()), 0);
        let ids = |sort, reverse, filter| -> Vec<u64> {
            model.rows(sort, reverse, filter).iter().map(|row| row.task.id).collect()
        };
        assert_eq!(ids(Sort::Name, false, ""), [2, 3, 1]);
        assert_eq!(ids(Sort::Name, true, ""), [1, 3, 2]);
        assert_eq!(ids(Sort::State, false, "SLEEP"), [1, 3]);
        assert_eq!(ids(Sort::State, false, "ready"), [2]);
        assert_eq!(model.kinds(), [("sleep".to_owned(), 2)]);
        assert_eq!(model.common_waits(), []);
        assert_eq!(Sort::ALL.iter().fold(Sort::Warning, |sort, _| sort.next()), Sort::Warning);
    }

    #[test]
    fn a_chain_goes_both_ways_and_ends_in_a_circle() {
        let mut model = Model::default();
        let waits = |id, awaited| Task { awaits: vec![awaited], ..task(id, State::Waiting, 0) };
        let tasks =
            vec![waits(1, 2), waits(2, 3), task(3, State::Ready, 0), waits(4, 5), waits(5, 4)];
        model.update(snapshot(tasks, Counts::default()), 0);
        assert_eq!(
            model.chain(2).join("\n"),
            "  Task-1 (waiting)\n    sleep src/main.rs:1:5\n    created src/main.rs:100:5\n\
             ▶   Task-2 (waiting)\n      sleep src/main.rs:2:5\n      created src/main.rs:100:5\n\
             \x20     Task-3 (ready)\n        (created src/main.rs:100:5)"
        );
        assert_eq!(model.chain(4).len(), 6);
        assert_eq!(model.chain(9), ["the task has ended"]);
    }
}
