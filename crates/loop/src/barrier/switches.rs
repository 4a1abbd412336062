//! [`wait_for_all`]: a barrier for a thread to which `membarrier` is refused.
//!
//! A processor that switches from one thread to another passes a full memory barrier. So it is enough to
//! wait until every other thread has been switched out once, or sleeps; `/proc` tells. A thread that is
//! running is made to give way: this thread asks to run on the same processor.

use nix::libc;
use std::{
    fs,
    mem::{size_of, zeroed},
    sync::atomic::{Ordering, fence},
    thread::yield_now,
    time::{Duration, Instant},
};

/// How long to wait for one thread. It takes as long as the system lets a thread run.
const LIMIT: Duration = Duration::from_secs(2);

/// Runs a full memory barrier on every thread of the process. False if that cannot be told: there is no
/// `/proc`, or a thread does not give way.
pub(super) fn wait_for_all() -> bool {
    fence(Ordering::SeqCst);
    let Ok(threads) = fs::read_dir("/proc/self/task") else { return false };
    let own = nix::unistd::gettid().as_raw();
    let affinity = Affinity::current();
    let numbers = threads.flatten().filter_map(|thread| thread.file_name().to_str()?.parse().ok());
    let passed = numbers.filter(|number| *number != own).all(|number| wait_for(number, &affinity));
    fence(Ordering::SeqCst);
    passed
}

fn wait_for(thread: i32, affinity: &Affinity) -> bool {
    let begin = Instant::now();
    let Some(first) = Look::at(thread) else { return true };
    loop {
        match Look::at(thread) {
            // It has ended.
            None => return true,
            Some(now) if now.sleeps || now.switches != first.switches => return true,
            Some(now) if begin.elapsed() < LIMIT => affinity.move_to(now.processor),
            Some(_) => return false,
        }
        yield_now();
    }
}

/// What a thread does.
struct Look {
    sleeps: bool,
    switches: u64,
    processor: usize,
}

impl Look {
    /// `None` if there is no such thread any more.
    fn at(thread: i32) -> Option<Look> {
        let status = fs::read_to_string(format!("/proc/self/task/{thread}/status")).ok()?;
        let field = |name: &str| {
            let line = status.lines().find_map(|line| line.strip_prefix(name));
            line.map(|value| value.trim_start_matches(':').trim())
        };
        let count = |name| field(name).and_then(|value| value.parse::<u64>().ok()).unwrap_or(0);
        let switches = count("voluntary_ctxt_switches") + count("nonvoluntary_ctxt_switches");
        let stat = fs::read_to_string(format!("/proc/self/task/{thread}/stat")).ok()?;
        // Behind the name, which is in parentheses, comes the third field; the processor is the 39th.
        let processor = stat.rsplit(')').next()?.split_whitespace().nth(36)?.parse().ok()?;
        let sleeps = !field("State")?.starts_with('R');
        Some(Look { sleeps, switches, processor })
    }
}

/// The processors on which this thread may run. They are what they were when this is dropped.
struct Affinity(Option<libc::cpu_set_t>);

impl Affinity {
    fn current() -> Affinity {
        // SAFETY: all zeros is a valid set, and the call fills it in.
        unsafe {
            let mut set: libc::cpu_set_t = zeroed();
            let got = libc::sched_getaffinity(0, size_of::<libc::cpu_set_t>(), &mut set);
            Affinity((got == 0).then_some(set))
        }
    }

    /// Does nothing if the system does not let it: then it takes longer.
    fn move_to(&self, processor: usize) {
        if self.0.is_none() || processor >= libc::CPU_SETSIZE as usize {
            return;
        }
        // SAFETY: all zeros is a valid set, and the processor is one that fits in.
        unsafe {
            let mut set: libc::cpu_set_t = zeroed();
            libc::CPU_SET(processor, &mut set);
            libc::sched_setaffinity(0, size_of::<libc::cpu_set_t>(), &set);
        }
    }
}

impl Drop for Affinity {
    fn drop(&mut self) {
        if let Some(set) = &self.0 {
            // SAFETY: a set that the system gave.
            unsafe { libc::sched_setaffinity(0, size_of::<libc::cpu_set_t>(), set) };
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::{sync::atomic::AtomicBool, thread};

    #[test]
    fn busy_and_sleeping_threads_are_waited_for_and_the_affinity_stays() {
        let affinity = || fs::read_to_string("/proc/thread-self/status").unwrap();
        let allowed = |status: String| {
            let line = status.lines().find(|line| line.starts_with("Cpus_allowed:"));
            line.map(str::to_owned)
        };
        let before = allowed(affinity());
        let ends = AtomicBool::new(false);
        thread::scope(|scope| {
            for _ in 0..3 {
                scope.spawn(|| {
                    while !ends.load(Ordering::Relaxed) {
                        std::hint::spin_loop();
                    }
                });
            }
            let passed = (0..5).map(|_| wait_for_all()).filter(|passed| *passed).count();
            ends.store(true, Ordering::Relaxed);
            assert_eq!(passed, 5);
        });
        assert!(before.is_some());
        assert_eq!(allowed(affinity()), before);
    }
}
