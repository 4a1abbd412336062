//! The barrier of [`asyncio_core::sync::Biased`]: `membarrier`, where the system has it.

#[cfg(target_os = "linux")]
mod switches;

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
        membarrier(MEMBARRIER_CMD_PRIVATE_EXPEDITED) || switches::wait_for_all()
    }

    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        // Refused by systems before 4.14, and by some containers, which may allow only one of the two.
        if membarrier(MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED)
            && membarrier(MEMBARRIER_CMD_PRIVATE_EXPEDITED)
        {
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

    /// Has the system refuse `membarrier` to this thread.
    #[cfg(target_os = "linux")]
    fn refuse_membarrier() {
        use nix::libc;
        let statement =
            |code: u32, jt: u8, jf: u8, k: u32| libc::sock_filter { code: code as u16, jt, jf, k };
        let mut filter = [
            // The number of the system call is what the data begin with.
            statement(libc::BPF_LD | libc::BPF_W | libc::BPF_ABS, 0, 0, 0),
            statement(
                libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K,
                0,
                1,
                libc::SYS_membarrier as u32,
            ),
            statement(
                libc::BPF_RET | libc::BPF_K,
                0,
                0,
                libc::SECCOMP_RET_ERRNO | libc::EPERM as u32,
            ),
            statement(libc::BPF_RET | libc::BPF_K, 0, 0, libc::SECCOMP_RET_ALLOW),
        ];
        let program = libc::sock_fprog { len: filter.len() as u16, filter: filter.as_mut_ptr() };
        // SAFETY: takes numbers, and a program that lives as long as the call.
        unsafe {
            assert_eq!(libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), 0);
            let mode = libc::SECCOMP_MODE_FILTER as libc::c_ulong;
            assert_eq!(libc::prctl(libc::PR_SET_SECCOMP, mode, &raw const program), 0);
        }
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn a_thread_that_may_not_use_membarrier_gets_in_all_the_same() {
        super::install();
        for owner_is_busy in [true, false] {
            for _ in 0..20 {
                let numbers = Arc::new(Biased::new((0_u64, 0_u64)));
                let comes = Arc::new(AtomicBool::new(false));
                let other = {
                    let (numbers, comes) = (numbers.clone(), comes.clone());
                    thread::spawn(move || {
                        refuse_membarrier();
                        comes.store(true, Ordering::Release);
                        (0..100).for_each(|_| step(&mut numbers.lock()));
                    })
                };
                let mut steps = 0;
                while owner_is_busy && (!comes.load(Ordering::Acquire) || !other.is_finished()) {
                    step(&mut numbers.lock());
                    steps += 1;
                }
                other.join().unwrap();
                assert_eq!(*numbers.lock(), (steps + 100, steps + 100));
            }
        }
    }

    #[test]
    fn what_was_made_elsewhere_is_a_mutex() {
        super::install();
        let number = thread::spawn(|| Biased::new(1)).join().unwrap();
        *number.lock() += 1;
        assert_eq!(*number.lock(), 2);
    }
}
