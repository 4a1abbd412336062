//! [`Process`]: the memory of a running process, read without its help and without stopping it.

use crate::{
    Failure,
    memory::{Memory, Pieces, Thread, Unreadable, shown},
};
use nix::{
    errno::Errno,
    sys::uio::{RemoteIoVec, process_vm_readv},
    time::{ClockId, clock_gettime},
    unistd::Pid,
};
use std::{
    fs,
    io::{self, IoSliceMut},
    time::Duration,
};

/// The number of pieces that the system reads in one call (`UIO_MAXIOV`).
const PIECES_MAX: usize = 1024;

/// A running process.
#[derive(Debug)]
pub struct Process(Pid);

impl Process {
    /// Returns the process with this number.
    pub fn new(pid: i32) -> Process {
        Process(Pid::from_raw(pid))
    }

    fn file(&self, name: &str) -> String {
        format!("/proc/{}/{name}", self.0)
    }

    /// The message for a refused access.
    fn refused(&self, why: &io::Error) -> Failure {
        let name = self.name();
        match Errno::from_raw(why.raw_os_error().unwrap_or_default()) {
            Errno::ENOENT | Errno::ESRCH => {
                Failure::new(format!("there is no {name}; `ps -e` lists those that run"))
            }
            Errno::EPERM | Errno::EACCES => {
                let scope = fs::read_to_string("/proc/sys/kernel/yama/ptrace_scope");
                let scope = scope.unwrap_or_default();
                Failure::new(format!("{name} may not be looked into: {}", advice(scope.trim())))
            }
            _ => Failure::new(format!("{name} cannot be looked into: {why}")),
        }
    }
}

/// The remedy if access is not permitted; `scope` is the value of Yama's `ptrace_scope`.
fn advice(scope: &str) -> String {
    let owner = "run this as the user of that process, or with sudo";
    match scope {
        "" | "0" => owner.to_owned(),
        "3" => "kernel.yama.ptrace_scope is 3, which forbids it until the system is restarted; \
                set another value in /etc/sysctl.d, or look into a core dump with --core"
            .to_owned(),
        scope => format!(
            "{owner}; kernel.yama.ptrace_scope is {scope}, which permits it to root alone, or to the \
             parent of the process: `sudo sysctl kernel.yama.ptrace_scope=0` permits it to its user"
        ),
    }
}

impl Memory for Process {
    fn read(&self, address: u64, buffer: &mut [u8]) -> Result<(), Unreadable> {
        let mut done = 0;
        while done < buffer.len() {
            let base = usize::try_from(address).ok().and_then(|base| base.checked_add(done));
            let rest = &mut buffer[done..];
            let remote = [RemoteIoVec { base: base.ok_or(Unreadable)?, len: rest.len() }];
            match process_vm_readv(self.0, &mut [IoSliceMut::new(rest)], &remote) {
                Ok(0) | Err(_) => return Err(Unreadable),
                Ok(count) => done += count,
            }
        }
        Ok(())
    }

    fn read_each(&self, addresses: &[u64], size: usize) -> Pieces {
        let mut pieces = Pieces::new(addresses.len(), size);
        let mut from = 0;
        while from < addresses.len() && size > 0 {
            let some = &addresses[from..addresses.len().min(from + PIECES_MAX)];
            let remote: Vec<_> =
                some.iter().map(|base| RemoteIoVec { base: *base as usize, len: size }).collect();
            let room = pieces.room(from, some.len());
            let count = process_vm_readv(self.0, &mut [IoSliceMut::new(room)], &remote);
            // Unless all pieces were read, the next one does not exist.
            let read = count.unwrap_or_default() / size;
            pieces.set_read(from..from + read);
            from += if read < some.len() { read + 1 } else { read };
        }
        pieces
    }

    fn images(&self) -> Result<Vec<u64>, Failure> {
        let maps = fs::read_to_string(self.file("maps")).map_err(|why| self.refused(&why))?;
        if maps.is_empty() {
            return Err(Failure::new(format!(
                "{} has ended, or is one of the kernel",
                self.name()
            )));
        }
        // The right to list the mappings of a process does not include the right to read its memory.
        let images: Vec<u64> = maps.lines().filter_map(image).collect();
        if let Some(first) = images.first() {
            let remote = [RemoteIoVec { base: *first as usize, len: 1 }];
            process_vm_readv(self.0, &mut [IoSliceMut::new(&mut [0])], &remote)
                .map_err(|errno| self.refused(&errno.into()))?;
        }
        Ok(images)
    }

    fn thread(&self, number: u64) -> Option<Thread> {
        let name = fs::read_to_string(self.file(&format!("task/{number}/comm"))).ok()?;
        let state = fs::read_to_string(self.file(&format!("task/{number}/stat"))).ok();
        // `17 (name) S …`: the name may have anything in it.
        let state = state.as_deref().and_then(|line| line.rsplit_once(") "));
        let sleeps = state.is_some_and(|(_, rest)| rest.starts_with(['S', 'D', 'T', 't']));
        Some(Thread { name: Some(shown(name.trim_end())), sleeps })
    }

    fn now(&self) -> Option<u64> {
        Some(monotonic())
    }

    fn name(&self) -> String {
        format!("process {}", self.0)
    }
}

/// The clock of the loops.
pub(crate) fn monotonic() -> u64 {
    let now = clock_gettime(ClockId::CLOCK_MONOTONIC).map(Duration::from).unwrap_or_default();
    now.as_nanos() as u64
}

/// The address of a mapping that is the beginning of a file: `55…-55… r--p 00000000 08:01 17 /bin/true`.
fn image(line: &str) -> Option<u64> {
    let mut fields = line.split_whitespace();
    let (range, mode, offset) = (fields.next()?, fields.next()?, fields.next()?);
    let is_image = mode.starts_with('r') && offset.bytes().all(|digit| digit == b'0');
    let is_file = fields.nth(2).is_some_and(|path| path.starts_with('/'));
    let start = range.split('-').next().filter(|_| is_image && is_file)?;
    u64::from_str_radix(start, 16).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn images_are_the_beginnings_of_files() {
        let first = "55d0c0de0000-55d0c0de2000 r--p 00000000 08:01 17   /opt/a b/app";
        assert_eq!(image(first), Some(0x55d0_c0de_0000));
        for other in [
            "55d0c0de2000-55d0c0de3000 r-xp 00002000 08:01 17 /opt/a/app",
            "7ffc0000-7ffd0000 rw-p 00000000 00:00 0 [stack]",
            "7ffc0000-7ffd0000 ---p 00000000 08:01 17 /lib/libc.so",
            "7ffc0000-7ffd0000 rw-p 00000000 00:00 0",
            "",
        ] {
            assert_eq!(image(other), None, "{other}");
        }
    }

    #[test]
    fn a_process_that_is_not_there_is_named_with_what_to_do() {
        let error = Process::new(i32::MAX).images().unwrap_err().to_string();
        assert_eq!(error, "there is no process 2147483647; `ps -e` lists those that run");
    }

    #[test]
    fn a_look_that_is_forbidden_says_what_permits_it() {
        let refused = Process::new(1).refused(&io::Error::from(Errno::EPERM)).to_string();
        assert!(refused.starts_with("process 1 may not be looked into: "), "{refused}");
        assert_eq!(advice("0"), "run this as the user of that process, or with sudo");
        assert!(advice("1").contains("sudo sysctl kernel.yama.ptrace_scope=0"), "{}", advice("1"));
        assert!(advice("3").contains("--core"), "{}", advice("3"));
    }
}
