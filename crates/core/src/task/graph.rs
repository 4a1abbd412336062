//! The visible state of a suspended task: what it waits for, and within which scopes. Call graphs are made
//! from it. Nothing is stored for them: the awaiters of a task are found from their own waits.

use crate::{
    cancel::scopes::Within,
    sync::Ordering,
    task::{
        cell::TaskCell,
        flags::{Flag, Phase},
    },
    wait::{
        state::{STATE, WAITING},
        target::Target,
    },
    wait_site::WaitSite,
};

/// One of the waits of a task.
#[derive(Clone, Debug)]
pub struct SeenWait {
    /// The operation, and where it was called.
    pub site: WaitSite,
    /// The scopes around it, from the outermost on.
    pub scopes: Vec<WaitSite>,
    /// Whether the deadline of a scope may end it.
    pub has_deadline: bool,
    /// Whether a future of another library is between the task and the wait.
    pub is_foreign: bool,
    /// The task or future that it waits for, if it is one.
    pub target: Option<Target>,
}

/// What a task is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Doing {
    /// A step of it is running.
    Running,
    /// It is in the ready queue.
    Ready,
    /// It is suspended.
    Waiting,
    /// It has ended.
    Done,
}

impl TaskCell {
    /// Returns what the task waits for, and where; `None` while it runs, is ready or is done.
    pub fn wait_site(&self) -> Option<WaitSite> {
        let affine = self.affine()?;
        if self.first.load(Ordering::Acquire) & STATE == WAITING {
            let (site, target) = self.see_first()?;
            return Some(in_program(site, target.as_ref()));
        }
        affine.with_cold(|cold| {
            let waiting = cold.others.values().find(|other| other.wait.is_waiting())?;
            Some(in_program(waiting.wait.site, waiting.target.as_ref()))
        })?
    }

    /// Returns what the task is doing; `None` on another thread.
    pub fn doing(&self) -> Option<Doing> {
        Some(match self.affine()?.phase.get() {
            _ if self.is_done() => Doing::Done,
            Phase::Idle => Doing::Waiting,
            Phase::Ready => Doing::Ready,
            Phase::Running | Phase::Woken => Doing::Running,
            Phase::Ended => Doing::Done,
        })
    }

    /// Returns the waits that the leaves of the task have armed, the first before the others; none on
    /// another thread. A wait that was woken is among them until its leaf has seen the wake-up.
    pub fn seen_waits(&self) -> Vec<SeenWait> {
        let Some(affine) = self.affine() else { return Vec::new() };
        let first =
            self.see_first().map(|(site, target)| (site, affine.within.get(), false, target));
        let others = affine.with_cold(|cold| {
            let mut others: Vec<_> = cold.others.values().collect();
            others.sort_by_key(|other| other.number);
            let seen = others.iter().map(|other| {
                let is_foreign = !self.is_own(&other.wait.waker);
                (other.wait.site, other.within, is_foreign, other.target.clone())
            });
            seen.collect::<Vec<_>>()
        });
        let waits = first.into_iter().chain(others.into_iter().flatten());
        waits
            .map(|(site, within, is_foreign, target)| {
                let (scopes, has_deadline) = self.scopes_around(within);
                let site = in_program(site, target.as_ref());
                let is_foreign = is_foreign || within.is_foreign();
                SeenWait { site, scopes, has_deadline, is_foreign, target }
            })
            .collect()
    }

    fn see_first(&self) -> Option<(WaitSite, Option<Target>)> {
        let affine = self.affine().filter(|_| !self.may_arm_first())?;
        let aim = affine.aim.take();
        let target = aim.target().filter(|_| affine.flags.has(Flag::Target));
        affine.aim.set(aim);
        Some((self.first_site()?, target))
    }

    fn scopes_around(&self, within: Within) -> (Vec<WaitSite>, bool) {
        self.home().local().map(|scheduler| scheduler.scopes.sites(within)).unwrap_or_default()
    }

    /// Returns the scopes in which the task runs, from the outermost on, if it is the one that runs
    /// now.
    pub fn scopes_here(&self) -> Vec<WaitSite> {
        let scheduler = self.home().local().filter(|_| self.is_current());
        scheduler.map(|scheduler| self.scopes_around(scheduler.within()).0).unwrap_or_default()
    }
}

/// Returns a site with a location in the program: that of the awaited object, if it was awaited in
/// a library.
fn in_program(site: WaitSite, target: Option<&Target>) -> WaitSite {
    match target {
        Some(target) if site.is_in_a_library() => WaitSite::new(site.what, target.made_at()),
        _ => site,
    }
}
