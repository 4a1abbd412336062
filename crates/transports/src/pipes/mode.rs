//! [`NonBlocking`]: keeps a file that was passed to a transport in non-blocking mode.
//!
//! The mode belongs to the open file, which other processes may share: the shell shares the terminal,
//! and the programs of a pipeline share its pipes. They expect it to block. Blocking mode is therefore
//! restored when the last transport of the open file is closed, or when the process exits. A file that
//! was non-blocking before stays non-blocking.

use asyncio_core::raw::sync::Mutex;
use nix::{
    errno::Errno,
    fcntl::{FcntlArg, OFlag, fcntl},
    libc,
};
use std::{
    collections::BTreeMap,
    fs::File,
    io,
    os::{
        fd::{AsFd, AsRawFd, BorrowedFd, RawFd},
        unix::fs::MetadataExt,
    },
    sync::Once,
};

/// Identifies an open file by its inode and access mode. The standard streams of a program in a terminal
/// are usually one open file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct OpenFile {
    device: u64,
    inode: u64,
    access: libc::c_int,
}

/// The open files that were made non-blocking, with the descriptors of their transports.
static CHANGED: Mutex<BTreeMap<OpenFile, Vec<RawFd>>> = Mutex::new(BTreeMap::new());

/// Keeps the file of a descriptor non-blocking. Must be dropped before the descriptor is closed.
#[derive(Debug)]
pub(crate) struct NonBlocking {
    open_file: OpenFile,
    descriptor: RawFd,
}

impl NonBlocking {
    /// Makes the file non-blocking. Returns `None` if it was already, unless another transport made it
    /// so.
    ///
    /// # Errors
    /// The system's error.
    pub(crate) fn begin(file: &File) -> io::Result<Option<NonBlocking>> {
        let flags = OFlag::from_bits_retain(fcntl(file, FcntlArg::F_GETFL)?);
        let (metadata, descriptor) = (file.metadata()?, file.as_raw_fd());
        let access = (flags & OFlag::O_ACCMODE).bits();
        let open_file = OpenFile { device: metadata.dev(), inode: metadata.ino(), access };
        let mut changed = CHANGED.lock();
        if flags.contains(OFlag::O_NONBLOCK) {
            let Some(descriptors) = changed.get_mut(&open_file) else { return Ok(None) };
            descriptors.push(descriptor);
        } else {
            fcntl(file, FcntlArg::F_SETFL(flags | OFlag::O_NONBLOCK))?;
            changed.entry(open_file).or_default().push(descriptor);
            restore_at_exit();
        }
        Ok(Some(NonBlocking { open_file, descriptor }))
    }
}

impl Drop for NonBlocking {
    fn drop(&mut self) {
        let mut changed = CHANGED.lock();
        let Some(descriptors) = changed.get_mut(&self.open_file) else { return };
        if let Some(place) = descriptors.iter().position(|known| *known == self.descriptor) {
            descriptors.swap_remove(place);
        }
        if descriptors.is_empty() {
            changed.remove(&self.open_file);
            restore(self.descriptor);
        }
    }
}

/// Restores blocking mode. Errors are ignored.
fn restore(descriptor: RawFd) {
    // SAFETY: a descriptor is removed from the table before it is closed.
    let fd = unsafe { BorrowedFd::borrow_raw(descriptor) };
    let _ = make_blocking(&fd);
}

fn make_blocking(fd: &impl AsFd) -> Result<(), Errno> {
    let flags = OFlag::from_bits_retain(fcntl(fd, FcntlArg::F_GETFL)?);
    fcntl(fd, FcntlArg::F_SETFL(flags - OFlag::O_NONBLOCK))?;
    Ok(())
}

/// Restores blocking mode if the process exits while transports are open.
fn restore_at_exit() {
    static REGISTERED: Once = Once::new();
    // SAFETY: `restore_all` is a static function, and everything it calls is allowed in an exit handler.
    REGISTERED.call_once(|| unsafe {
        libc::atexit(restore_all);
    });
}

extern "C" fn restore_all() {
    for descriptors in CHANGED.lock().values() {
        if let Some(descriptor) = descriptors.first() {
            restore(*descriptor);
        }
    }
}
