//! [`FlowControl`]: the water marks of a buffer, and the calls to the protocol about them.

use asyncio_core::{Error, Result, raw::caught};
use std::cell::Cell;

/// The default high-water mark, above which the protocol is asked to pause.
pub(crate) const HIGH_WATER: usize = 64 * 1024;

/// Knows when the protocol of a transport has to pause writing, and when it may be told: not while
/// one of its callbacks runs, which borrows the protocol.
#[derive(Debug)]
pub(crate) struct FlowControl {
    low: Cell<usize>,
    high: Cell<usize>,
    /// Whether the protocol should have paused, and whether it was told.
    paused: Cell<bool>,
    told: Cell<bool>,
    /// Whether a callback of the protocol runs.
    calling: Cell<bool>,
    /// Whether the protocol has to pause already at the high mark.
    inclusive: bool,
}

impl FlowControl {
    pub(crate) fn new() -> FlowControl {
        FlowControl {
            low: Cell::new(HIGH_WATER / 4),
            high: Cell::new(HIGH_WATER),
            paused: Cell::new(false),
            told: Cell::new(false),
            calling: Cell::new(false),
            inclusive: false,
        }
    }

    /// Creates one that pauses already at `high`, and continues at a quarter of it.
    #[cfg(feature = "tls")]
    pub(crate) fn pausing_at(high: usize) -> FlowControl {
        let flow = FlowControl { inclusive: true, ..FlowControl::new() };
        flow.set_water_marks(high / 4, high);
        flow
    }

    /// `(low, high)`.
    pub(crate) fn water_marks(&self) -> (usize, usize) {
        (self.low.get(), self.high.get())
    }

    pub(crate) fn set_water_marks(&self, low: usize, high: usize) {
        self.low.set(low);
        self.high.set(high);
    }

    /// Sets the number of bytes that are buffered now.
    #[inline]
    pub(crate) fn measure(&self, size: usize) {
        self.paused.set(match self.paused.get() {
            true => size > self.low.get(),
            false => {
                size > self.high.get() || (self.inclusive && size > 0 && size == self.high.get())
            }
        });
    }

    /// Whether the protocol has to pause, whether or not it was told.
    #[cfg(feature = "tls")]
    pub(crate) fn is_paused(&self) -> bool {
        self.paused.get()
    }

    /// Records that another one has told the protocol to pause.
    #[cfg(feature = "tls")]
    pub(crate) fn inherit_pause(&self) {
        self.paused.set(true);
        self.told.set(true);
    }

    /// Returns what to tell the protocol now: true to pause, false to continue.
    #[inline]
    pub(crate) fn changed(&self) -> Option<bool> {
        let paused = self.paused.get();
        let is_new = !self.calling.get() && self.told.replace(paused) != paused;
        is_new.then_some(paused)
    }

    /// Whether a callback of the protocol runs.
    pub(crate) fn is_calling(&self) -> bool {
        self.calling.get()
    }

    /// Makes a call to the protocol. Changes meanwhile are reported afterwards.
    #[inline(always)]
    pub(crate) fn during_call<R>(&self, call: impl FnOnce() -> R) -> Result<R> {
        let outer = self.calling.replace(true);
        let outcome = caught(call);
        self.calling.set(outer);
        outcome
    }
}

/// Returns `(low, high)`, and fills in missing values; `default` is the high mark if neither was
/// given.
pub(crate) fn water_marks(
    what: &str,
    default: usize,
    high: Option<usize>,
    low: Option<usize>,
) -> Result<(usize, usize)> {
    let high = high.unwrap_or_else(|| low.map_or(default, |low| low.saturating_mul(4)));
    let low = low.unwrap_or(high / 4);
    if high < low {
        let text = format!("{what}: high ({high}) must be >= low ({low})");
        return Err(Error::value(text));
    }
    Ok((low, high))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_pauses_above_the_high_mark_and_goes_on_at_the_low_one() {
        let flow = FlowControl::new();
        flow.set_water_marks(2, 4);
        let changed = |size| {
            flow.measure(size);
            flow.changed()
        };
        assert_eq!([4, 5, 6, 4, 3].map(changed), [None, Some(true), None, None, None]);
        assert_eq!([2, 4, 5].map(changed), [Some(false), None, Some(true)]);
    }

    #[test]
    fn a_change_during_a_call_is_reported_after_it() {
        let flow = FlowControl::new();
        flow.during_call(|| {
            flow.measure(HIGH_WATER + 1);
            assert_eq!(flow.changed(), None);
            flow.during_call(|| ()).unwrap();
            assert_eq!(flow.changed(), None, "the outer call goes on");
        })
        .unwrap();
        assert_eq!(flow.changed(), Some(true));
        assert!(flow.during_call(|| panic!("oh")).is_err());
        flow.measure(0);
        assert_eq!(flow.changed(), Some(false), "no call goes on");
    }

    #[test]
    fn a_pause_that_is_resumed_during_a_call_is_not_reported() {
        let flow = FlowControl::new();
        flow.during_call(|| flow.measure(HIGH_WATER + 1)).unwrap();
        flow.during_call(|| flow.measure(0)).unwrap();
        assert_eq!(flow.changed(), None);
    }

    #[test]
    fn marks_that_are_not_given_follow_from_the_other() {
        let water_marks =
            |high, low| super::water_marks("set_write_buffer_limits", HIGH_WATER, high, low);
        assert_eq!(water_marks(None, None).unwrap(), (16 * 1024, 64 * 1024));
        assert_eq!(water_marks(None, Some(10)).unwrap(), (10, 40));
        assert_eq!(water_marks(Some(10), None).unwrap(), (2, 10));
        assert_eq!(water_marks(Some(0), Some(0)).unwrap(), (0, 0));
        assert_eq!(
            water_marks(Some(1), Some(2)).unwrap_err().to_string(),
            "set_write_buffer_limits: high (1) must be >= low (2)"
        );
    }
}
