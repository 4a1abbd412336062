//! What a workload is.

use std::time::Duration;

/// What is measured of a workload, always for one operation.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Measure {
    /// The CPU time of the process.
    Cpu,
    /// Other nanoseconds: the time by the clock on the wall, how late it was.
    Wall,
    /// The CPU time of a server, whose process is started for it.
    Server,
    /// How often the allocator was asked.
    Allocations,
    /// How often the system was asked.
    SystemCalls,
    /// Memory.
    Bytes,
}

/// What a contestant has done, after it has checked that it was done.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Done {
    pub(crate) operations: usize,
    /// What the work itself has measured, for all operations together. CPU time is taken from the
    /// process; so are allocations, if the work says nothing.
    pub(crate) said: Option<f64>,
    /// The time by the clock on the wall within which 99 of 100 operations have ended, in nanoseconds.
    pub(crate) p99: Option<f64>,
}

impl Done {
    pub(crate) fn said(operations: usize, said: f64) -> Done {
        Done { operations, said: Some(said), p99: None }
    }

    /// With how long each operation took.
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

/// Does the work, at a size.
pub(crate) type Contestant = fn(usize) -> Done;

/// A piece of work that several runtimes do.
#[derive(Clone, Debug)]
pub(crate) struct Workload {
    pub(crate) name: &'static str,
    /// For a reader; `{n}` stands for the size.
    pub(crate) what: &'static str,
    pub(crate) measure: Measure,
    /// How many live tasks, timers, waiters or items there are.
    pub(crate) size: usize,
    /// Whether it is also shown how the cost grows with the size.
    pub(crate) grows: bool,
    /// Whether `peers.py` does it too, in a process that measures itself.
    pub(crate) in_python: bool,
    /// Whether a second row says within which time 99 of 100 operations have ended.
    pub(crate) with_p99: bool,
    /// What our figure must not exceed, as a part of the first peer's.
    pub(crate) ceiling: Option<f64>,
    /// Why it cannot be measured here, if it cannot.
    pub(crate) needs: fn() -> Result<(), String>,
    /// By name, ours first.
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

/// A function of a peer and a size, for each of the peers named.
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

/// So often is a batch of `size` operations to be done.
pub(crate) fn batches(size: usize) -> usize {
    (100_000 / size).max(1)
}
