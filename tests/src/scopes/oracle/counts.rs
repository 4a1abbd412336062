//! Deadlines, and `cancelling()`.

use super::{Fault, Run};
use crate::scopes::{
    program::Kind,
    record::{Moment, Outcome},
};

impl Run<'_> {
    /// The fault of a deadline, or of a count.
    pub(super) fn miscounted(&self) -> Option<Fault> {
        self.nodes().find_map(|node| {
            let limit = self.wrong_limit(node);
            limit.or_else(|| self.wrong_count(node)).map(|kind| self.fault(kind, node))
        })
    }

    fn wrong_limit(&self, node: usize) -> Option<&'static str> {
        let limit = self.kind(node).limit()?;
        let life = self.life(node);
        let (begun, (ended, outcome)) = (life.begun?, life.ended?);
        let deadline = begun.ms + limit;
        let [before, after] = life.cancelling;
        // `wait_for` with a timeout of zero cancels a task in place of its body, and nothing else.
        let stands = limit == 0 && !matches!(self.kind(node), Kind::Timeout(_));
        if let (Some((Outcome::Cancelled, expired)), false) = (life.body, stands) {
            let counts_less = after <= before;
            match outcome {
                Outcome::Timeout if ended.ms < deadline => return Some("a timeout too early"),
                Outcome::Timeout if !counts_less => return Some("a cancellation became a timeout"),
                Outcome::Timeout if expired == Some(false) => {
                    return Some("a timeout from nowhere");
                }
                Outcome::Timeout => {}
                Outcome::Cancelled if counts_less && expired == Some(true) => {
                    return Some("a timeout became a cancellation");
                }
                Outcome::Cancelled if counts_less && expired.is_none() && ended.ms > deadline => {
                    return Some("a timeout became a cancellation");
                }
                Outcome::Cancelled => {}
                _ => return Some("a cancellation was lost at a limit"),
            }
        }
        let mut around = self.tree.around(node);
        let is_aside = around.any(|node| !self.life(node).aside.is_empty());
        let is_late = is_aside || self.has_moved(node);
        if let (Some(cleanup), false) = (self.cleanup_of_all(node), is_late) {
            if ended.ms > deadline + cleanup {
                return Some("a limit ends too late");
            }
        }
        None
    }

    /// The time that a node may take to end after it was cancelled; `None` if it is not known.
    fn cleanup(&self, node: usize) -> Option<u32> {
        let parts = || self.parts(node).iter().map(|part| self.cleanup(*part));
        let longest = || parts().try_fold(0, |longest, part| Some(longest.max(part?)));
        match self.kind(node) {
            Kind::Swallow | Kind::Handle | Kind::Notified => None,
            // A foreign part continues if another part takes the cancellation, and a part that was not
            // polled yet does not get it. A part that takes it may be dropped while it cleans up.
            Kind::Join | Kind::Unordered | Kind::Select if self.has_foreign(node) => None,
            Kind::Buffered(n)
                if self.has_foreign(node) || self.parts(node).len() > usize::from(n) =>
            {
                None
            }
            // A lent part may also be foreign.
            Kind::Lend | Kind::Choose | Kind::Borrow(_) | Kind::Move => None,
            Kind::Cleanup(ms) | Kind::Manager(ms) => {
                Some(self.cleanup_of_all(node)? + u32::from(ms))
            }
            Kind::Group => parts().try_fold(0, |sum, part| Some(sum + part?)),
            Kind::Shield => Some(0),
            _ => longest(),
        }
    }

    /// The same for the parts of a node.
    fn cleanup_of_all(&self, node: usize) -> Option<u32> {
        let mut parts = self.parts(node).iter().map(|part| self.cleanup(*part));
        if matches!(self.kind(node), Kind::Limit(_)) {
            return None;
        }
        let longest = parts.try_fold(0, |longest, part| Some(longest.max(part?)))?;
        // A request that comes while losers end is delivered again afterwards.
        let ends_losers = |part: &&usize| matches!(self.kind(**part), Kind::Race | Kind::TryJoined);
        let losers = self.parts(node).iter().find(ends_losers);
        let again = losers.map_or(Some(0), |losers| self.cleanup(*losers))?;
        Some(longest + again)
    }

    /// Whether there is a foreign future inside without a scope or a task around it.
    fn has_foreign(&self, node: usize) -> bool {
        self.parts(node).iter().any(|part| {
            let kind = self.kind(*part);
            kind.is_foreign()
                || !kind.is_scope() && kind != Kind::Body && self.has_foreign(*part)
                || kind == Kind::Group && self.has_foreign(*part)
        })
    }

    /// Scopes count the requests on their own path, and leave none behind.
    fn wrong_count(&self, node: usize) -> Option<&'static str> {
        let life = self.life(node);
        let begun = life.begun?;
        let [before, after] = life.cancelling;
        if before > self.most_requests(node, begun) {
            return Some("a node counts the requests of others");
        }
        let (ended, outcome) = life.ended?;
        if self.kind(node) != Kind::Body || outcome == Outcome::Dropped {
            return None;
        }
        if after > self.most_requests(node, ended) {
            return Some("a task counts the requests of others at its end");
        }
        let requests = self.record.requests.iter().filter(|request| request.origin == node);
        let own = requests.filter(|request| request.at.number < ended.number).count();
        let is_main = self.parent(node).is_none();
        let is_exact = is_main && self.record.uncancels.is_empty();
        (is_exact && own != after as usize).then_some("a task does not count its requests")
    }

    /// The number of requests that may have reached a node by a moment.
    fn most_requests(&self, node: usize, moment: Moment) -> u32 {
        let may_count = |asked: &&super::Asked| {
            let lasts = self.life(asked.origin).ended;
            let is_passed_on = !self.is_same_task(node, asked.origin);
            asked.is_before(moment)
                && (is_passed_on || lasts.is_none_or(|(ended, _)| ended.number >= moment.number))
                && self.may_reach(asked, node, moment)
        };
        self.asked.iter().filter(may_count).count() as u32
    }
}
