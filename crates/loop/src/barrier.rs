//! The barrier of [`asyncio_core::sync::Biased`]: `membarrier`, where the system has it.

/// Brings the barrier, once in a process.
#[cfg(target_os = "linux")]
pub(crate) fn install() {
    use nix::libc::{
        MEMBARRIER_CMD_PRIVATE_EXPEDITED, MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED,
        SYS_membarrier, c_int, syscall,
    };
    use std::sync::Once;

    fn membarrier(command: c_int) -> bool {
        // SAFETY: the call touches no memory of ours.
        unsafe { syscall(SYS_membarrier, command, 0_u32, 0_i32) == 0 }
    }

    fn barrier() -> bool {
        // The system itself refuses none to a registered process; a seccomp filter may.
        membarrier(MEMBARRIER_CMD_PRIVATE_EXPEDITED)
    }

    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        // Refused by systems before 4.14, and by some containers, which may allow only one of the two.
        if membarrier(MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED) && barrier() {
            // SAFETY: this is what the system call does, for the threads that run; one that does not
            // run passes a barrier before it does again.
            unsafe { asyncio_core::sync::set_barrier(barrier) }
        }
    });
}

#[cfg(not(target_os = "linux"))]
pub(crate) fn install() {}

#[cfg(test)]
mod tests {
    use asyncio_core::sync::Biased;
    use std::{
        sync::{
            Arc,
            atomic::{AtomicBool, Ordering},
        },
        thread,
    };

    /// The owner comes and goes while another thread comes for the first time.
    #[test]
    fn the_owner_and_a_thread_that_comes_keep_each_other_out() {
        super::install();
        for _ in 0..500 {
            let numbers = Arc::new(Biased::new((0_u64, 0_u64)));
            let go = Arc::new(AtomicBool::new(false));
            let other = {
                let (numbers, go) = (numbers.clone(), go.clone());
                thread::spawn(move || {
                    while !go.load(Ordering::Acquire) {}
                    for _ in 0..100 {
                        step(&mut numbers.lock());
                    }
                })
            };
            go.store(true, Ordering::Release);
            for _ in 0..10_000 {
                step(&mut numbers.lock());
            }
            other.join().unwrap();
            assert_eq!(*numbers.lock(), (10_100, 10_100));
        }
    }

    fn step(numbers: &mut (u64, u64)) {
        assert_eq!(numbers.0, numbers.1);
        numbers.0 += 1;
        std::hint::black_box(&mut *numbers);
        numbers.1 += 1;
    }

    #[test]
    fn what_was_made_elsewhere_is_a_mutex() {
        super::install();
        let number = thread::spawn(|| Biased::new(1)).join().unwrap();
        *number.lock() += 1;
        assert_eq!(*number.lock(), 2);
    }
}
