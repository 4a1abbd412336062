//! A node that a request reaches ends at the same instant, and no request is without effect.

use super::{Asked, Fault, Run};
use crate::scopes::{
    program::Kind,
    record::{Moment, Outcome},
};

impl Run<'_> {
    /// A node that a request should have reached.
    pub(super) fn unreached(&self) -> Option<Fault> {
        // `uncancel` withdraws outstanding requests.
        let withdrawn =
            |asked: &&Asked| self.record.uncancels.iter().any(|(_, moment)| moment.ms == asked.ms);
        let moves = |asked: &&Asked| {
            self.nodes().any(|node| {
                let is_moved = self.kind(node) == Kind::Move;
                let begun = self.parts(node).first().and_then(|body| self.life(*body).begun);
                let ended = self.life(node).ended;
                is_moved
                    && self.tree.is_inside(node, asked.origin)
                    && (begun.is_some_and(|begun| begun.ms == asked.ms)
                        || ended.is_some_and(|(ended, _)| ended.ms == asked.ms))
            })
        };
        // A group that waits for its tasks may have cancelled them already.
        let leaves = |asked: &&Asked| {
            let body = self.parts(asked.origin).first();
            let is_group = self.kind(asked.origin) == Kind::Group;
            is_group
                && body.is_some_and(|body| self.outcome(*body) == Some(Outcome::Ok))
                && (asked.tasks_only
                    || self.asked.iter().any(|other| {
                        let moment = Moment { number: u32::MAX, ms: asked.ms, step: u32::MAX };
                        other.origin != asked.origin
                            && other.ms <= asked.ms
                            && self.may_reach(other, asked.origin, moment)
                    }))
        };
        let answers = |asked: &&Asked| self.may_answer(asked);
        let is_sure = |asked: &&Asked| {
            !withdrawn(asked) && !moves(asked) && !leaves(asked) && !answers(asked)
        };
        let mut requests = self.asked.iter().filter(is_sure);
        requests.find_map(|asked| {
            self.unreached_leaf(asked).or_else(|| self.unreached_foreign(asked)).or_else(|| {
                let fault = self.fault("a request is without effect", asked.origin);
                self.is_without_effect(asked).then_some(fault)
            })
        })
    }

    /// Whether a branch that loses may be answering a request from around it: it is not asked again then.
    fn may_answer(&self, asked: &Asked) -> bool {
        let branch = asked.origin;
        let Some(begun) = self.life(branch).begun else { return false };
        let reached = |other: &Asked| {
            !self.tree.is_inside(other.origin, branch)
                && other.ms <= asked.ms
                && self.may_reach(other, branch, begun)
        };
        self.kind(branch) == Kind::Branch && self.asked.iter().any(reached)
    }

    /// Whether a node ran when a request came. If the moment is not known, whether it ran before and
    /// after.
    fn is_active(&self, asked: &Asked, node: usize) -> bool {
        let life = self.life(node);
        let Some(begun) = life.begun else { return false };
        let left = life.ended.map(|(ended, _)| ended);
        match asked.number {
            Some(number) => begun.number < number && left.is_none_or(|left| left.number > number),
            None => begun.ms < asked.ms && left.is_none_or(|left| left.ms > asked.ms),
        }
    }

    /// Whether a node was set aside at the instant of a request, alone or with a node around it.
    fn is_aside(&self, asked: &Asked, node: usize) -> bool {
        let mut at = node;
        loop {
            if self.life(at).was_aside_in(asked.ms) {
                return true;
            }
            let is_root = self.kind(at) == Kind::Body && self.life(at).begun.is_some();
            match self.parent(at) {
                Some(around) if !is_root => at = around,
                _ => return false,
            }
        }
    }

    /// Whether a node was set aside when a request came, and ever since.
    fn is_surely_aside(&self, asked: &Asked, node: usize) -> bool {
        let is_root = |at: usize| self.kind(at) == Kind::Body && self.life(at).begun.is_some();
        let mut around = self.tree.around(node).take_while(|at| !is_root(*at));
        let is_aside = |at: usize| {
            let contains = |(from, to): &(Moment, Option<Moment>)| {
                asked.number.map_or(from.ms < asked.ms, |number| from.number < number)
                    && to.is_none_or(|to| to.ms > asked.ms)
            };
            self.life(at).aside.iter().any(contains)
        };
        around.any(is_aside)
    }

    /// Whether an await passes a request on: not if it ended without suspending afterwards.
    fn passes_on(&self, asked: &Asked, node: usize) -> bool {
        // A set that has moved polls only woken futures: the others have not followed it.
        let is_set = |at: usize| matches!(self.kind(at), Kind::Unordered | Kind::Buffered(_));
        let may_stay = self.has_moved(node) && self.tree.around(node).any(is_set);
        self.is_active(asked, node) && !self.is_same_step(asked, node) && !may_stay
    }

    /// Whether a request reaches a node immediately.
    fn reaches(&self, asked: &Asked, node: usize) -> bool {
        let mut at = node;
        loop {
            if at == asked.origin {
                return true;
            }
            let flat = &self.tree.nodes[at];
            if flat.inside_of == Some(asked.origin) {
                return self.is_active(asked, asked.origin);
            }
            let Some(around) = flat.parent else { return false };
            if asked.tasks_only && around == asked.origin && flat.kind != Kind::Body {
                return false;
            }
            if flat.kind == Kind::Body {
                // A task that is already done takes nothing.
                let is_answered = self.parts(around).iter().any(|body| {
                    let ended = self.life(*body).ended;
                    ended.is_some_and(|(ended, _)| ended.ms <= asked.ms)
                });
                let passes = match self.kind(around) {
                    Kind::Child | Kind::Move => self.passes_on(asked, around),
                    Kind::Gather => self.passes_on(asked, around) && !is_answered,
                    Kind::Group => around == asked.origin,
                    _ => false,
                };
                if !passes {
                    return false;
                }
            }
            at = around;
        }
    }

    /// Whether a node ended in the step in which the request was made: it may have been woken before.
    fn is_same_step(&self, asked: &Asked, node: usize) -> bool {
        self.life(node).ended.is_some_and(|(ended, _)| asked.step == Some(ended.step))
    }

    fn unreached_leaf(&self, asked: &Asked) -> Option<Fault> {
        let unreached = |node: &usize| {
            self.kind(*node).is_ours()
                && !self.has_moved(*node)
                && self.is_active(asked, *node)
                && self.reaches(asked, *node)
                && !self.is_aside(asked, *node)
                && !self.is_same_step(asked, *node)
                && self
                    .life(*node)
                    .ended
                    .is_none_or(|(ended, outcome)| ended.ms > asked.ms || outcome == Outcome::Ok)
        };
        let node = self.nodes().find(unreached)?;
        let mut fault = self.fault("a request does not reach a leaf", node);
        fault.text += &format!(", {asked:?}");
        Some(fault)
    }

    /// If only foreign futures are suspended, the innermost scope gives way.
    fn unreached_foreign(&self, asked: &Asked) -> Option<Fault> {
        let unreached = |node: &usize| {
            let life = self.life(*node);
            self.kind(*node).is_foreign()
                && !self.has_moved(*node)
                && self.is_active(asked, *node)
                && self.reaches(asked, *node)
                && !self.is_aside(asked, *node)
                && life.ended.is_none_or(|(ended, _)| ended.ms > asked.ms)
                && self.is_alone(asked, *node)
        };
        let node = self.nodes().find(unreached)?;
        let mut fault = self.fault("a request does not reach a foreign future", node);
        fault.text += &format!(", {asked:?}");
        Some(fault)
    }

    /// Whether only foreign futures are suspended in the innermost scope of one.
    fn is_alone(&self, asked: &Asked, node: usize) -> bool {
        let is_scope = |node: &usize| {
            let kind = self.kind(*node);
            kind.is_scope() || kind == Kind::Body || self.tree.nodes[*node].inside_of.is_some()
        };
        let Some(scope) = self.tree.around(node).skip(1).find(is_scope) else { return false };
        let begun = self.life(scope).begun;
        if !begun.is_some_and(|begun| asked.is_after(begun)) {
            // It has not moved there yet.
            return false;
        }
        if self.kind(scope) == Kind::Group || self.tree.nodes[scope].inside_of.is_some() {
            return false;
        }
        // Nodes in other tasks are below a node that awaits them, which is checked.
        !self.nodes().any(|other| {
            let kind = self.kind(other);
            let life = self.life(other);
            let runs = life.begun.is_some_and(|begun| begun.ms <= asked.ms)
                && life.ended.is_none_or(|(ended, _)| ended.ms >= asked.ms);
            let is_awaiting = kind.is_awaiting();
            let holds = is_awaiting || kind.is_scope() || kind.is_ours() || kind == Kind::Notified;
            other != scope
                && holds
                && runs
                && self.tree.is_inside(other, scope)
                && (is_awaiting || !self.is_surely_aside(asked, other))
        })
    }

    /// Whether nothing inside its origin has ended at the instant of a request.
    fn is_without_effect(&self, asked: &Asked) -> bool {
        let origin = self.life(asked.origin);
        if self.kind(asked.origin) == Kind::Group || origin.begun.is_none() {
            return false;
        }
        let lasts = origin.ended.is_none_or(|(ended, _)| ended.ms > asked.ms);
        if !lasts || self.has_moved(asked.origin) || self.is_aside(asked, asked.origin) {
            return false;
        }
        let inside = |node: &usize| self.tree.is_inside(*node, asked.origin);
        let lent = |node: &usize| {
            self.tree.around(*node).any(|at| self.tree.nodes[at].inside_of == Some(asked.origin))
        };
        let ends = |node: usize| {
            let ended = self.life(node).ended.map(|(ended, _)| ended);
            ended.is_some_and(|ended| ended.ms == asked.ms && asked.is_before(ended))
        };
        // A group that is already aborting waits for its tasks, whatever is requested.
        let leaves = |node: usize| {
            let body = self.parts(node).first().and_then(|body| self.life(*body).ended);
            self.kind(node) == Kind::Group && body.is_some_and(|(ended, _)| asked.ms >= ended.ms)
        };
        let mut nodes = self.nodes().filter(|node| inside(node) || lent(node));
        !nodes.any(|node| ends(node) || leaves(node))
    }
}
