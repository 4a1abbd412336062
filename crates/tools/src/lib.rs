//! Inspects a running asyncio program from outside. This crate is the library of the command
//! `asyncio` (CPython's `asyncio.tools`, and `python -m asyncio ps` and `pstree`).
//!
//! A [`Process`] or a [`CoreFile`] is [`Memory`]; a [`Reader`] finds the loops, tasks and queues in it, and
//! returns a [`Snapshot`]. [`get_all_awaited_by`] lists the tasks that await each task, and
//! [`build_task_table`] and [`build_async_tree`] format them as text.
//!
//! The program need not cooperate, and does not notice. Everything that is read is validated:
//! addresses, lengths and counts are checked, and data that changes meanwhile is read again.
//!
//! ```no_run
//! use asyncio_tools::{Process, Reader, build_async_tree, get_all_awaited_by};
//!
//! let process = Process::new(4711);
//! let snapshot = Reader::new(&process)?.snapshot()?;
//! for tree in build_async_tree(&get_all_awaited_by(&snapshot)).unwrap_or_default() {
//!     println!("{}", tree.join("\n"));
//! }
//! # Ok::<(), asyncio_tools::Failure>(())
//! ```
//!
//! # Differences from asyncio
//! A frame of a task's stack is the operation in which it waits, with its line: a coroutine in Rust
//! has no stack while it is suspended. `get_all_awaited_by` takes a snapshot instead of a process
//! number. [`build_async_tree`] returns cycles in its error.

#![forbid(unsafe_code)]

mod awaited_by;
mod core_file;
mod memory;
mod note;
mod process;
mod snapshot;
pub mod top;
mod tree;

pub use awaited_by::{
    AwaitedInfo, Awaiter, TaskInfo, build_task_table, display_awaited_by_tasks_table,
    get_all_awaited_by, to_json,
};
pub use core_file::CoreFile;
pub use memory::{Memory, Pieces, Thread, Unreadable};
pub use process::Process;
pub use snapshot::{Location, Loop, NamedQueue, Reader, Snapshot, State, Task, Wait, WaitSite};
pub use tree::{CycleFoundException, NodeType, build_async_tree};

/// The reason for which nothing can be shown, and the remedy, in one sentence.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure(String);

impl Failure {
    pub(crate) fn new(what: String) -> Failure {
        Failure(what)
    }
}

impl std::fmt::Display for Failure {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Failure {}
