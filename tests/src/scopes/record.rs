//! The record of a run: when each node began, how it ended, and the requests to cancel.

use super::program::Tree;
use asyncio::{Error, Result};
use std::fmt::{self, Write};

/// A moment of a run.
#[derive(Clone, Copy, Debug, PartialEq, PartialOrd)]
pub struct Moment {
    /// Its number in the order of events.
    pub number: u32,
    /// The loop's time.
    pub ms: u32,
    /// The step of a task. A task that is started eagerly runs in the step of the task that starts it;
    /// each event outside all tasks is a separate step.
    pub step: u32,
}

/// How a node ended.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Outcome {
    /// With `Ok`.
    Ok,
    /// With a cancellation.
    Cancelled,
    /// With a timeout.
    Timeout,
    /// With a panic.
    Panic,
    /// With another error.
    Failed,
    /// It was dropped.
    Dropped,
}

impl Outcome {
    /// Converts an `outcome`.
    pub fn of<T>(outcome: &Result<T>) -> Outcome {
        match outcome {
            Ok(_) => Outcome::Ok,
            Err(Error::Panic(_)) => Outcome::Panic,
            Err(error) if error.is_cancelled() => Outcome::Cancelled,
            Err(error) if error.is_timeout() => Outcome::Timeout,
            Err(_) => Outcome::Failed,
        }
    }
}

/// The life of a node. A node runs at most once.
#[derive(Clone, Debug, Default)]
pub struct Life {
    /// When it was first polled.
    pub begun: Option<Moment>,
    /// When and how it ended.
    pub ended: Option<(Moment, Outcome)>,
    /// `cancelling()` of its task at these moments.
    pub cancelling: [u32; 2],
    /// When it was set aside, and polled again.
    pub aside: Vec<(Moment, Option<Moment>)>,
    /// For a deadline: how its body ended, and whether it had expired, if that is known.
    pub body: Option<(Outcome, Option<bool>)>,
    /// For the root of a task: the outcome of the task.
    pub task: Option<Outcome>,
    /// How often it was polled.
    pub polls: u32,
}

impl Life {
    /// Whether it had begun at a moment, and had not ended.
    pub fn is_active(&self, at: Moment) -> bool {
        self.begun.is_some_and(|begun| begun.number < at.number)
            && self.ended.is_none_or(|(ended, _)| ended.number > at.number)
    }

    /// Whether it was set aside at a moment.
    pub fn is_aside(&self, at: Moment) -> bool {
        let contains = |(from, to): &(Moment, Option<Moment>)| {
            from.number <= at.number && to.is_none_or(|to| to.number > at.number)
        };
        self.aside.iter().any(contains)
    }

    /// Whether it was set aside at any moment of a millisecond.
    pub fn was_aside_in(&self, ms: u32) -> bool {
        let contains = |(from, to): &(Moment, Option<Moment>)| {
            from.ms <= ms && to.is_none_or(|to| to.ms >= ms)
        };
        self.aside.iter().any(contains)
    }
}

/// A request to cancel.
#[derive(Clone, Copy, Debug)]
pub struct Request {
    /// When it was made.
    pub at: Moment,
    /// Its origin: the root of a task, or a group.
    pub origin: usize,
    /// The node that made it, if a node did.
    pub by: Option<usize>,
}

/// Everything that happened.
#[derive(Debug, Default)]
pub struct Record {
    /// The lives, by the number of the node.
    pub lives: Vec<Life>,
    /// The requests in order, without those of deadlines.
    pub requests: Vec<Request>,
    /// Where `uncancel` was called, and when.
    pub uncancels: Vec<(usize, Moment)>,
    /// The items that were put into the queue, taken out, and left in it.
    pub items: [Vec<u32>; 3],
    /// The number of permits left.
    pub permits: usize,
    /// Faults that were noticed during the run.
    pub faults: Vec<(&'static str, String)>,
    now: Option<Moment>,
    /// The number of polls in progress, and the step of the outermost.
    polls: u32,
    step: u32,
}

impl fmt::Display for Moment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}ms#{}", self.ms, self.number)
    }
}

impl Record {
    /// The record as text, one node to a line.
    pub fn describe(&self, tree: &Tree) -> String {
        let mut text = String::new();
        let mut add = |line: String| _ = writeln!(text, "{line}");
        for (number, (node, life)) in tree.nodes.iter().zip(&self.lives).enumerate() {
            let Some(begun) = life.begun else { continue };
            let ended = life.ended.map(|(ended, outcome)| format!("{ended} {outcome:?}"));
            let ended = ended.unwrap_or_else(|| "?".to_owned());
            let mut line = format!("{:1$}{2:?}", "", 2 * node.depth, node.kind);
            line += &format!(" (node {number}): {begun} to {ended}");
            if life.cancelling != [0, 0] {
                line += &format!(", cancelling {:?}", life.cancelling);
            }
            if !life.aside.is_empty() {
                line += &format!(", aside {:?}", life.aside);
            }
            add(line);
        }
        for request in &self.requests {
            let by = request.by.map(|by| format!(" by node {by}")).unwrap_or_default();
            add(format!("node {} cancelled at {}{by}", request.origin, request.at));
        }
        text
    }

    /// An empty record of this many nodes.
    pub fn new(nodes: usize) -> Record {
        Record { lives: vec![Life::default(); nodes], ..Record::default() }
    }

    /// The next moment. Without a loop, time stands still.
    pub fn now(&mut self, ms: Option<u32>) -> Moment {
        self.step += u32::from(self.polls == 0);
        let last = self.now.unwrap_or(Moment { number: 0, ms: 0, step: 0 });
        let now = Moment { number: last.number + 1, ms: ms.unwrap_or(last.ms), step: self.step };
        self.now = Some(now);
        now
    }

    /// A node is about to be polled, maybe inside another.
    pub fn begin_poll(&mut self) {
        self.step += u32::from(self.polls == 0);
        self.polls += 1;
    }

    /// The poll has ended.
    pub fn end_poll(&mut self) {
        self.polls -= 1;
    }

    /// Records a fault.
    pub fn fault(&mut self, kind: &'static str, text: String) {
        self.faults.push((kind, text));
    }
}
