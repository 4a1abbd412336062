//! asyncio's subprocesses: `create_subprocess_exec`, `create_subprocess_shell`, `Process`.
//!
//! Mirrors `asyncio.subprocess` and `base_subprocess`, and of `unix_events` what watches children.
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
//! Keyword arguments are methods of [`Spawn`], and awaiting that starts the process. Below the streams
//! of a [`Process`] are [`subprocess_exec`] and [`subprocess_shell`], with a [`SubprocessProtocol`]
//! that is called with what happens.
//!
//! # Children
//! A child is started without copying this process's memory tables (`vfork`, as CPython does), so that
//! a start costs the same in a process that has much memory, except for a child that becomes another user.
//!
//! A child's end is seen through its pidfd, which the loop waits for like any other descriptor; where
//! the system has none or a sandbox refuses it, a thread of its own waits for that child alone. Its
//! status is taken at once, in the loop, so it leaves no zombie. There is no handler of `SIGCHLD`, and
//! nothing waits for children in general: those of other libraries are left alone. A signal goes out
//! only while the status was not taken, so never to another process that has got the number.
//!
//! # Cancellation
//! To cancel a start kills the child. To cancel a wait, or `communicate`, does nothing to the child,
//! and can be repeated.
//!
//! # Threads
//! Processes work in the loop of any thread, and signals may be sent from any thread.
//!
//! # Differences from asyncio
//! [`Process::wait`] ends when the process ends, although a pipe that others have inherited may be
//! open. A signal to a process whose end is known is always an error. Text modes and buffering, which
//! asyncio refuses, do not exist. [`Process::kill_tree`] is ours.

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
