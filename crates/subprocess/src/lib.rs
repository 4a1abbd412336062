//! asyncio's subprocesses: `create_subprocess_exec`, `create_subprocess_shell`, `Process`.
//!
//! It mirrors `asyncio.subprocess` and `base_subprocess`, and the child watchers of `unix_events`.
//!
//! A running event loop is needed; it comes from `asyncio`, or from `asyncio-loop`.
//!
//! ```
//! use asyncio_subprocess::{PIPE, create_subprocess_exec};
//!
//! asyncio_loop::run(async {
//!     let mut ls = create_subprocess_exec("ls", ["-d", "/"]).stdout(PIPE).await?;
//!     assert_eq!(ls.communicate(None).await?.stdout, b"/\n");
//!     assert_eq!(ls.returncode(), Some(0));
//!     Ok(())
//! })?;
//! # Ok::<(), asyncio_core::Error>(())
//! ```
//!
//! Keyword arguments are methods of [`Spawn`]; awaiting it starts the process. [`subprocess_exec`] and
//! [`subprocess_shell`] are the layer below the streams of a [`Process`]. They call the methods of a
//! [`SubprocessProtocol`].
//!
//! # Children
//! A child is started without copying this process's memory tables (by `vfork`, as in CPython), so a start
//! costs the same in a process that uses much memory. The exception is a child that becomes another user.
//!
//! The loop notices the end of a child through its pidfd, for which it waits like for any other
//! descriptor. If the system has no pidfds, or a sandbox refuses them, a thread waits for that child
//! alone. The loop takes the status immediately, so no zombie is left. There is no handler for
//! `SIGCHLD`, and nothing waits for children in general, so the children of other libraries are not
//! affected. A signal is sent only while the status is not taken, and therefore never to another
//! process that was given the same number.
//!
//! # Cancellation
//! Cancelling a start kills the child. Cancelling a wait or `communicate` does not affect the child;
//! both can be called again.
//!
//! # Threads
//! Processes work in the loop of any thread, and signals may be sent from any thread.
//!
//! # Differences from asyncio
//! [`Process::wait`] ends when the process ends, even if other processes that inherited a pipe keep
//! it open. A signal to a process whose end is known is always an error. Text modes and buffering,
//! which asyncio refuses, do not exist. [`Process::kill_tree`] has no counterpart in asyncio.

mod arguments;
mod child;
mod child_watcher;
mod communicate;
mod options;
mod process;
mod protocols;
mod session;
mod spawn;
mod start;
mod stdio;
mod subprocess;
mod system;
mod transport;
mod wait;
mod with_protocol;

pub use arguments::{Listed, Nothing, ToArguments};
pub use asyncio_core::{Error, Result};
pub use communicate::{Communicate, Output, ToInput};
pub use options::Spawn;
pub use process::Process;
pub use protocols::SubprocessProtocol;
pub use stdio::{
    Account,
    Stdio::{self, Devnull as DEVNULL, Pipe as PIPE, Stdout as STDOUT},
};
pub use subprocess::{Spawning, Streams, create_subprocess_exec, create_subprocess_shell};
pub use transport::SubprocessTransport;
pub use wait::{KillTree, ProcessWait};
pub use with_protocol::{SpawningWithProtocol, WithProtocol, subprocess_exec, subprocess_shell};

#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
