//! [`CoarseClock`]: the time of the system's last tick, at a tenth of the cost of the exact time.

/// A clock that is never ahead of the loop's, and at most [`LAG_MAX`] behind. It is absent if the
/// system has none.
///
/// [`LAG_MAX`]: asyncio_core::raw::LAG_MAX
#[derive(Debug)]
pub(super) struct CoarseClock(#[cfg(target_os = "linux")] Option<nix::time::ClockId>);

#[cfg(target_os = "linux")]
impl CoarseClock {
    pub(super) fn new() -> CoarseClock {
        use asyncio_core::raw::LAG_MAX;
        let clock = nix::time::ClockId::CLOCK_MONOTONIC_COARSE;
        let tick = nix::time::clock_getres(clock).map(std::time::Duration::from);
        // An interrupt may be late, so half of the permitted lag is left for that.
        CoarseClock(tick.is_ok_and(|tick| tick <= LAG_MAX / 2).then_some(clock))
    }

    /// Returns the time in nanoseconds, from an arbitrary start.
    #[inline]
    pub(super) fn now(&self) -> Option<u64> {
        let time = nix::time::clock_gettime(self.0?).ok()?;
        Some(time.tv_sec() as u64 * 1_000_000_000 + time.tv_nsec() as u64)
    }
}

#[cfg(not(target_os = "linux"))]
impl CoarseClock {
    pub(super) fn new() -> CoarseClock {
        CoarseClock()
    }

    pub(super) fn now(&self) -> Option<u64> {
        None
    }
}
