//! [`NonBlocking`]: a file that a program had before it gave it to a transport, in non-blocking mode for
//! as long as that lives.
//!
//! The mode belongs to the open file, which others may have too: the shell that started the program has
//! its terminal, the other programs of a pipeline have its pipes. They expect that it blocks, so the last
//! transport of an open file makes it block again, or the end of the process does. If it did not block
//! before, it stays as it was.

use asyncio_core::sync::Mutex;
use nix::{
    errno::Errno,
    fcntl::{FcntlArg, OFlag, fcntl},
    libc,
    sys::stat::fstat,
};
use std::{
    collections::BTreeMap,
    io,
    os::fd::{AsFd, AsRawFd, BorrowedFd, RawFd},
    sync::Once,
};

/// An open file, as far as it can be told from others: which file, and for reading or for writing. The
/// standard streams of a program in a terminal are one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct OpenFile {
    device: libc::dev_t,
    inode: libc::ino_t,
    access: libc::c_int,
}

/// The open files that were made non-blocking here, and the descriptors of their transports.
static CHANGED: Mutex<BTreeMap<OpenFile, Vec<RawFd>>> = Mutex::new(BTreeMap::new());

/// Keeps the file of a descriptor non-blocking. To be dropped before the descriptor is closed.
#[derive(Debug)]
pub(crate) struct NonBlocking {
    file: OpenFile,
    descriptor: RawFd,
}

impl NonBlocking {
    /// Makes the file non-blocking; `None` if it was already, and not because of another transport.
    ///
    /// # Errors
    /// What the system says.
    pub(crate) fn begin(fd: BorrowedFd<'_>) -> io::Result<Option<NonBlocking>> {
        let flags = OFlag::from_bits_retain(fcntl(fd, FcntlArg::F_GETFL)?);
        let status = fstat(fd)?;
        let access = (flags & OFlag::O_ACCMODE).bits();
        let file = OpenFile { device: status.st_dev, inode: status.st_ino, access };
        let mut changed = CHANGED.lock();
        if flags.contains(OFlag::O_NONBLOCK) {
            let Some(descriptors) = changed.get_mut(&file) else { return Ok(None) };
            descriptors.push(fd.as_raw_fd());
        } else {
            fcntl(fd, FcntlArg::F_SETFL(flags | OFlag::O_NONBLOCK))?;
            changed.entry(file).or_default().push(fd.as_raw_fd());
            restore_at_exit();
        }
        Ok(Some(NonBlocking { file, descriptor: fd.as_raw_fd() }))
    }
}

impl Drop for NonBlocking {
    fn drop(&mut self) {
        let mut changed = CHANGED.lock();
        let Some(descriptors) = changed.get_mut(&self.file) else { return };
        if let Some(place) = descriptors.iter().position(|known| *known == self.descriptor) {
            descriptors.swap_remove(place);
        }
        if descriptors.is_empty() {
            changed.remove(&self.file);
            restore(self.descriptor);
        }
    }
}

/// Makes the file of a descriptor block again. Errors are ignored: nothing is left to do.
fn restore(descriptor: RawFd) {
    // SAFETY: whoever is in the table has not closed the descriptor yet.
    let fd = unsafe { BorrowedFd::borrow_raw(descriptor) };
    let _ = make_blocking(&fd);
}

fn make_blocking(fd: &impl AsFd) -> Result<(), Errno> {
    let flags = OFlag::from_bits_retain(fcntl(fd, FcntlArg::F_GETFL)?);
    fcntl(fd, FcntlArg::F_SETFL(flags - OFlag::O_NONBLOCK))?;
    Ok(())
}

/// For a process that ends while transports live: main returns, or `exit` is called.
fn restore_at_exit() {
    static REGISTERED: Once = Once::new();
    // SAFETY: the function is there as long as the process, and calls nothing that may not be called then.
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
