//! [`close_on_exec`]: marks the descriptors that a new process has inherited.
//!
//! The descriptors are marked close-on-exec, and the system closes them when the program starts. They
//! are not closed directly, because `Command` reports errors to the parent through one of them. All of
//! this runs between `fork` and `exec`: it only makes system calls, takes no lock and allocates nothing.

use nix::libc;

/// The first descriptor after the standard streams.
const FIRST: libc::c_int = 3;

/// The largest number of descriptors that are tried one by one: the default maximum of Linux.
const LIMIT: libc::rlim_t = 1 << 20;

/// Marks every descriptor that is not a standard stream, so that it is closed when a program runs.
pub(super) fn close_on_exec() {
    #[cfg(target_os = "linux")]
    if mark_range() || mark_listed() {
        return;
    }
    mark_up_to_limit();
}

/// Marks them in one call, since Linux 5.11. Returns false if that is refused.
#[cfg(target_os = "linux")]
fn mark_range() -> bool {
    let flag = libc::CLOSE_RANGE_CLOEXEC as libc::c_uint;
    // SAFETY: takes three numbers.
    unsafe { libc::syscall(libc::SYS_close_range, FIRST, libc::c_uint::MAX, flag) == 0 }
}

/// Marks them one by one, as `/proc` lists them. Returns false if there is no `/proc`.
#[cfg(target_os = "linux")]
fn mark_listed() -> bool {
    /// As `getdents64` requires.
    #[repr(align(8))]
    struct Entries([u8; 2048]);
    /// Before its name, an entry has its inode and offset, its length and its type.
    const LENGTH: usize = 16;
    const NAME: usize = 19;

    // SAFETY: a string that ends with zero.
    let list = unsafe {
        libc::open(c"/proc/self/fd".as_ptr(), libc::O_RDONLY | libc::O_DIRECTORY | libc::O_CLOEXEC)
    };
    if list == -1 {
        return false;
    }
    let mut entries = Entries([0; 2048]);
    let size = entries.0.len();
    let complete = loop {
        // SAFETY: there is room for this many bytes.
        let read = unsafe {
            libc::syscall(libc::SYS_getdents64, list, entries.0.as_mut_ptr(), size as libc::c_uint)
        };
        let Ok(mut left @ 1..) = usize::try_from(read) else { break read == 0 };
        let mut entry = 0;
        while left > 0 {
            let bytes = [entries.0[entry + LENGTH], entries.0[entry + LENGTH + 1]];
            let length = usize::from(u16::from_ne_bytes(bytes)).clamp(1, left);
            if let Some(fd) = number(&entries.0[(entry + NAME).min(size)..entry + length]) {
                mark(fd);
            }
            entry += length;
            left -= length;
        }
    };
    // SAFETY: it was opened above, and nothing else has it.
    unsafe { libc::close(list) };
    complete
}

/// The number at the beginning of a name that ends with zero.
#[cfg(target_os = "linux")]
fn number(name: &[u8]) -> Option<libc::c_int> {
    let digits = name.split(|byte| *byte == 0).next()?;
    std::str::from_utf8(digits).ok()?.parse().ok()
}

/// Marks each descriptor that may be open.
fn mark_up_to_limit() {
    let mut limit = libc::rlimit { rlim_cur: LIMIT, rlim_max: LIMIT };
    // SAFETY: `limit` is valid for the call. If that fails it stays as it is.
    unsafe { libc::getrlimit(libc::RLIMIT_NOFILE, &mut limit) };
    (FIRST..limit.rlim_cur.min(LIMIT) as libc::c_int).for_each(mark);
}

fn mark(fd: libc::c_int) {
    if fd >= FIRST {
        // SAFETY: takes numbers. One that is not open is an error, which is ignored.
        unsafe { libc::fcntl(fd, libc::F_SETFD, libc::FD_CLOEXEC) };
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::{fs::File, os::fd::AsRawFd};

    fn is_marked(fd: libc::c_int) -> bool {
        // SAFETY: takes numbers.
        unsafe { libc::fcntl(fd, libc::F_GETFD) == libc::FD_CLOEXEC }
    }

    /// All ways mark the same descriptors. Nothing in this process needs unmarked descriptors
    /// during the test.
    #[test]
    fn every_way_marks_what_is_not_a_standard_stream() {
        let ways: &[fn()] = &[
            #[cfg(target_os = "linux")]
            || assert!(mark_listed()),
            mark_up_to_limit,
            close_on_exec,
        ];
        let standard = [0, 1, 2].map(is_marked);
        // More than one call of the system lists.
        let files: Vec<File> = (0..200).map(|_| File::open("/dev/null").unwrap()).collect();
        for way in ways {
            for file in &files {
                // SAFETY: takes numbers.
                unsafe { libc::fcntl(file.as_raw_fd(), libc::F_SETFD, 0) };
            }
            way();
            assert!(files.iter().all(|file| is_marked(file.as_raw_fd())));
            assert_eq!([0, 1, 2].map(is_marked), standard);
        }
    }
}
