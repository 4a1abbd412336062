//! [`Stdio`]: what a child's standard streams are.

use std::{fs::File, os::fd::OwnedFd};

/// What a standard stream of a child is.
///
/// Anything that owns a descriptor becomes one by `into`: an open file, one end of a pipe or of a
/// socket pair. It is closed here when the child has it.
///
/// ```
/// use asyncio::subprocess::{DEVNULL, Stdio};
/// let log = Stdio::from(std::fs::File::open("/dev/null")?);
/// assert!(matches!((log, DEVNULL), (Stdio::File(_), Stdio::Devnull)));
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Debug)]
#[non_exhaustive]
pub enum Stdio {
    /// That of this process (Python's `None`).
    Inherit,
    /// A new pipe (`asyncio.subprocess.PIPE`).
    Pipe,
    /// `/dev/null` (`asyncio.subprocess.DEVNULL`).
    Devnull,
    /// For standard error alone: where standard output goes (`asyncio.subprocess.STDOUT`).
    Stdout,
    /// An open file.
    File(OwnedFd),
}

impl From<OwnedFd> for Stdio {
    fn from(fd: OwnedFd) -> Stdio {
        Stdio::File(fd)
    }
}

impl From<File> for Stdio {
    fn from(file: File) -> Stdio {
        Stdio::File(file.into())
    }
}

/// A user or group: its number, or its name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Account {
    /// Its number.
    Id(u32),
    /// Its name, which is looked up when the process is started.
    Name(String),
}

impl From<u32> for Account {
    fn from(id: u32) -> Account {
        Account::Id(id)
    }
}

impl From<&str> for Account {
    fn from(name: &str) -> Account {
        Account::Name(name.to_owned())
    }
}

impl From<String> for Account {
    fn from(name: String) -> Account {
        Account::Name(name)
    }
}
