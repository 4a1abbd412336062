//! [`ChildStreams`]: the standard streams of a child, opened before it is started.

use crate::stdio::Stdio;
use nix::{
    fcntl::{OFlag, open},
    sys::stat::Mode,
    unistd,
};
use std::{
    io,
    os::fd::{AsRawFd, OwnedFd, RawFd},
};

/// The standard input, output and error of a child, and this side of its pipes.
#[derive(Debug, Default)]
pub(crate) struct ChildStreams {
    /// The descriptor that each stream is a copy of; `None` for the stream of this process.
    pub(crate) theirs: [Option<RawFd>; 3],
    /// In blocking mode.
    pub(crate) ours: [Option<OwnedFd>; 3],
    /// Keeps the child's descriptors open until it has them.
    held: [Option<OwnedFd>; 3],
}

impl ChildStreams {
    /// Opens the files of three standard streams.
    ///
    /// # Errors
    /// `InvalidInput` if a stream other than standard error is redirected to standard output;
    /// otherwise the system's error.
    pub(crate) fn open(streams: [Stdio; 3]) -> io::Result<ChildStreams> {
        let mut this = ChildStreams::default();
        for (number, stream) in streams.into_iter().enumerate() {
            let theirs = match stream {
                Stdio::Inherit => continue,
                Stdio::Pipe => {
                    let (reader, writer) = pipe()?;
                    let (ours, theirs) =
                        if number == 0 { (writer, reader) } else { (reader, writer) };
                    this.ours[number] = Some(ours);
                    theirs
                }
                Stdio::Devnull => {
                    open("/dev/null", OFlag::O_RDWR | OFlag::O_CLOEXEC, Mode::empty())?
                }
                Stdio::File(file) => file,
                Stdio::Stdout if number == 2 => {
                    this.theirs[2] = this.theirs[1].or(Some(1));
                    continue;
                }
                Stdio::Stdout => {
                    let text = "STDOUT can only be used for stderr";
                    return Err(io::Error::new(io::ErrorKind::InvalidInput, text));
                }
            };
            // A child puts them in place one by one, so none may have the number of another.
            let theirs = if theirs.as_raw_fd() < 3 { theirs.try_clone()? } else { theirs };
            this.theirs[number] = Some(theirs.as_raw_fd());
            this.held[number] = Some(theirs);
        }
        Ok(this)
    }
}

/// Creates a pipe whose ends no other program inherits.
fn pipe() -> io::Result<(OwnedFd, OwnedFd)> {
    #[cfg(not(target_vendor = "apple"))]
    return Ok(unistd::pipe2(OFlag::O_CLOEXEC)?);
    #[cfg(target_vendor = "apple")]
    {
        use nix::fcntl::{FcntlArg, FdFlag, fcntl};
        let (reader, writer) = unistd::pipe()?;
        fcntl(&reader, FcntlArg::F_SETFD(FdFlag::FD_CLOEXEC))?;
        fcntl(&writer, FcntlArg::F_SETFD(FdFlag::FD_CLOEXEC))?;
        Ok((reader, writer))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_the_childs_stands_above_the_standard_streams() {
        let streams = ChildStreams::open([Stdio::Devnull, Stdio::Pipe, Stdio::Stdout]).unwrap();
        assert_eq!(streams.theirs[1], streams.theirs[2]);
        assert!(streams.theirs.iter().flatten().all(|fd| *fd > 2));
        assert!(streams.ours[0].is_none() && streams.ours[1].is_some());
        let shared = ChildStreams::open([Stdio::Inherit, Stdio::Inherit, Stdio::Stdout]).unwrap();
        assert_eq!(shared.theirs, [None, None, Some(1)]);
    }
}
