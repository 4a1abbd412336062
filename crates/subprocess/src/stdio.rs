//! [`Stdio`]: the kinds of a child's standard streams.

use std::{fs::File, os::fd::OwnedFd};

/// The kind of a child's standard stream.
///
/// Any value that owns a descriptor can be converted by `into`: an open file, one end of a pipe or
/// of a socket pair. It is closed in this process once the child has it.
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
    /// The stream of this process (Python's `None`).
    Inherit,
    /// A new pipe (`asyncio.subprocess.PIPE`).
    Pipe,
    /// `/dev/null` (`asyncio.subprocess.DEVNULL`).
    Devnull,
    /// Where standard output goes (`asyncio.subprocess.STDOUT`); only for standard error.
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
