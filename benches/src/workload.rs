//! The description of a workload.

use std::time::Duration;

/// What is measured of a workload, always for one operation.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Measure {
    /// The CPU time of the process.
    Cpu,
    /// Another time in nanoseconds: elapsed time, or lateness.
    Wall,
    /// The CPU time of a server that is started for the measurement.
    Server,
    /// The number of allocations.
    Allocations,
    /// The number of system calls.
    SystemCalls,
    /// Memory.
    Bytes,
}

/// What a contestant has done, after checking the result.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Done {
    pub(crate) operations: usize,
    /// What the work itself has measured, for all operations together. CPU time is that of the process, and so are
    /// allocations, unless the work reports them.
    pub(crate) said: Option<f64>,
    /// The wall-clock time within which 99 of 100 operations have ended, in nanoseconds.
    pub(crate) p99: Option<f64>,
}

impl Done {
    pub(crate) fn said(operations: usize, said: f64) -> Done {
        Done { operations, said: Some(said), p99: None }
    }

    /// Adds how long each operation took.
    pub(crate) fn took(self, mut each: Vec<Duration>) -> Done {
        each.sort_unstable();
        let p99 = each.get(each.len() * 99 / 100).map(|took| took.as_nanos() as f64);
        Done { p99, ..self }
    }
}

impl From<usize> for Done {
    fn from(operations: usize) -> Done {
        Done { operations, said: None, p99: None }
    }
}

/// Does work of a given size.
pub(crate) type Contestant = fn(usize) -> Done;

/// A task for several runtimes.
#[derive(Clone, Debug)]
pub(crate) struct Workload {
    pub(crate) name: &'static str,
    /// The description for readers. `{n}` stands for the size.
    pub(crate) what: &'static str,
    pub(crate) measure: Measure,
    /// The number of live tasks, timers, waiters or items.
    pub(crate) size: usize,
    /// Whether the table also shows how the cost grows with the size.
    pub(crate) grows: bool,
    /// Whether `peers.py` has it too, in a process that measures itself.
    pub(crate) in_python: bool,
    /// Whether a second row says within which time 99 of 100 operations have ended.
    pub(crate) with_p99: bool,
    /// The largest ratio of our figure to the first peer's that we accept.
    pub(crate) ceiling: Option<f64>,
    /// Why it cannot be measured on this machine, if so.
    pub(crate) needs: fn() -> Result<(), String>,
    /// The contestants by name, ours first.
    pub(crate) contestants: Vec<(&'static str, Contestant)>,
}

impl Workload {
    pub(crate) fn new(
        name: &'static str,
        what: &'static str,
        contestants: Vec<(&'static str, Contestant)>,
    ) -> Workload {
        Workload {
            name,
            what,
            measure: Measure::Cpu,
            size: 0,
            grows: false,
            in_python: false,
            with_p99: false,
            ceiling: None,
            needs: || Ok(()),
            contestants,
        }
    }

    pub(crate) fn measure(self, measure: Measure) -> Workload {
        Workload { measure, ..self }
    }

    pub(crate) fn needs(self, needs: fn() -> Result<(), String>) -> Workload {
        Workload { needs, ..self }
    }

    pub(crate) fn size(self, size: usize) -> Workload {
        Workload { size, ..self }
    }

    pub(crate) fn grows(self) -> Workload {
        Workload { grows: true, ..self }
    }

    pub(crate) fn in_python(self) -> Workload {
        Workload { in_python: true, ..self }
    }

    pub(crate) fn with_p99(self) -> Workload {
        Workload { with_p99: true, ..self }
    }

    pub(crate) fn ceiling(self, ceiling: f64) -> Workload {
        Workload { ceiling: Some(ceiling), ..self }
    }
}

/// Makes a contestant of each of the named peers, from a function of a peer and a size.
macro_rules! contestants {
    ($work:ident: $($peer:ident),+) => {
        vec![$((
            <crate::peers::$peer as crate::peers::Peer>::NAME,
            |n| {
                use crate::peers::{$peer, Peer};
                $peer::run($work::<$peer>(n)).into()
            },
        )),+]
    };
}
pub(crate) use contestants;

/// How often a batch of `size` operations is repeated.
pub(crate) fn batches(size: usize) -> usize {
    (100_000 / size).max(1)
}
