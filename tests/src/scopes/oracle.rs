//! The rules of cancellation, applied to a recorded run.
//!
//! A request comes from an *origin*: the root of a task (`cancel`), a limit whose deadline has passed,
//! a group whose body or task has failed, or a branch that has lost. It *reaches* everything inside its
//! origin, even in other tasks that are awaited there. The checks:
//!
//! - Nothing is cancelled without cause: a node that ends with a cancellation was reached by a request that
//!   was made after the node began, or that nothing before it in the same sequence has taken (`unfounded`).
//! - A node that is reached ends at the same instant of loop time (`reach`).
//! - Deadlines and counts are right (`counts`).
//! - No item or permit is lost, and the lock is free at the end (`conserved`).

use super::{
    program::{Kind, Program, Tree},
    record::{Life, Moment, Outcome, Record},
};

mod counts;
mod reach;

/// A violation of the rules.
#[derive(Clone, Debug, PartialEq)]
pub struct Fault {
    /// The check that failed.
    pub kind: &'static str,
    /// Where it failed.
    pub text: String,
}

/// A request, from any origin.
#[derive(Clone, Copy, Debug)]
struct Asked {
    origin: usize,
    ms: u32,
    /// The number of the moment, if it is known.
    number: Option<u32>,
    /// The node that made the request, if a node did.
    by: Option<usize>,
    /// The step in which the request was made.
    step: Option<u32>,
    /// Whether the request of a group goes to its tasks only, and not to its body.
    tasks_only: bool,
}

impl Asked {
    /// Whether the request may have come before a moment.
    fn is_before(&self, moment: Moment) -> bool {
        self.number.map_or(self.ms <= moment.ms, |number| number < moment.number)
    }

    /// Whether the request may have come after a moment.
    fn is_after(&self, moment: Moment) -> bool {
        self.number.map_or(self.ms >= moment.ms, |number| number > moment.number)
    }
}

/// A run, and the facts derived from its record.
struct Run<'a> {
    tree: &'a Tree,
    record: &'a Record,
    asked: Vec<Asked>,
    /// The nodes where a cancellation appeared first.
    sources: Vec<(usize, Moment)>,
}

/// The first fault of a run.
pub fn check(program: &Program, tree: &Tree, record: &Record) -> Option<Fault> {
    if let Some((kind, text)) = record.faults.first() {
        return Some(Fault { kind, text: text.clone() });
    }
    let mut run = Run { tree, record, asked: Vec::new(), sources: Vec::new() };
    run.asked = run.requests();
    run.sources = run.sources();
    run.unfounded()
        .or_else(|| run.unreached())
        .or_else(|| run.miscounted())
        .or_else(|| conserved(program, record))
}

/// Whether nothing was lost.
fn conserved(program: &Program, record: &Record) -> Option<Fault> {
    if record.permits != program.permits {
        let text = format!("{} of {}", record.permits, program.permits);
        return Some(Fault { kind: "permits are lost", text });
    }
    let [put, got, left] = &record.items;
    let sorted = |mut items: Vec<u32>| {
        items.sort_unstable();
        items
    };
    if sorted(put.clone()) != sorted([got.as_slice(), left].concat()) {
        let text = format!("put {put:?}, got {got:?}, left {left:?}");
        return Some(Fault { kind: "items are lost", text });
    }
    None
}

impl Run<'_> {
    fn kind(&self, node: usize) -> Kind {
        self.tree.nodes[node].kind
    }

    fn life(&self, node: usize) -> &Life {
        &self.record.lives[node]
    }

    fn parts(&self, node: usize) -> &[usize] {
        &self.tree.nodes[node].parts
    }

    fn parent(&self, node: usize) -> Option<usize> {
        self.tree.nodes[node].parent
    }

    fn nodes(&self) -> std::ops::Range<usize> {
        0..self.tree.nodes.len()
    }

    fn fault(&self, kind: &'static str, node: usize) -> Fault {
        let text = format!("node {node}");
        Fault { kind, text }
    }

    fn outcome(&self, node: usize) -> Option<Outcome> {
        self.life(node).ended.map(|(_, outcome)| outcome)
    }

    /// The requests of all origins.
    fn requests(&self) -> Vec<Asked> {
        let from_tasks = self.record.requests.iter().map(|request| Asked {
            origin: request.origin,
            ms: request.at.ms,
            number: Some(request.at.number),
            by: request.by,
            step: request.by.map(|_| request.at.step),
            tasks_only: false,
        });
        let from_scopes = self.nodes().filter_map(|node| match self.kind(node) {
            Kind::Group => self.abort_of(node),
            Kind::Branch => self.loss_of(node),
            _ => self.deadline_of(node),
        });
        from_tasks.chain(from_scopes).collect()
    }

    /// The request of a limit, if its deadline may have passed before its end.
    fn deadline_of(&self, node: usize) -> Option<Asked> {
        let life = self.life(node);
        let ms = life.begun?.ms + self.kind(node).limit()?;
        if life.ended.is_some_and(|(ended, _)| ended.ms < ms) {
            return None;
        }
        if let Some((_, Some(false))) = life.body {
            return None;
        }
        Some(Asked { origin: node, ms, number: None, by: None, step: None, tasks_only: false })
    }

    /// The first reason for a group to abort: a task fails, the body ends with an error, or the group
    /// is dropped.
    fn abort_of(&self, group: usize) -> Option<Asked> {
        let (body, tasks) = self.parts(group).split_first()?;
        let failed = tasks.iter().filter_map(|task| {
            let (ended, outcome) = self.life(*task).ended?;
            let fails = !matches!(outcome, Outcome::Ok | Outcome::Cancelled | Outcome::Dropped);
            fails.then_some((ended, false))
        });
        let left = [*body, group].into_iter().filter_map(|node| {
            let (ended, outcome) = self.life(node).ended?;
            let fails = outcome != Outcome::Ok;
            (fails && (node == *body || outcome == Outcome::Dropped)).then_some((ended, true))
        });
        let all = failed.chain(left);
        let (at, tasks_only) = all.min_by_key(|(ended, _)| ended.number)?;
        // The callback of the failing task runs an iteration later.
        Some(Asked { origin: group, ms: at.ms, number: None, by: None, step: None, tasks_only })
    }

    /// The request to a branch that has to end because another branch has won, or failed.
    fn loss_of(&self, branch: usize) -> Option<Asked> {
        let around = self.parent(branch)?;
        let fails_only = match self.kind(around) {
            Kind::Joined => return None,
            kind => kind == Kind::TryJoined,
        };
        let begun = self.life(branch).begun?;
        let others = self.parts(around).iter().filter(|other| **other != branch);
        let ends = others.filter_map(|other| {
            let (ended, outcome) = self.life(*other).ended?;
            let counts = outcome != Outcome::Ok || !fails_only;
            (counts && ended.number > begun.number).then_some(ended)
        });
        let first = ends.min_by_key(|ended| ended.number)?;
        if self.surely_answers(branch, first) {
            return None;
        }
        let lasts = self.life(branch).ended.is_none_or(|(ended, _)| ended.number > first.number);
        let asked = Asked {
            origin: branch,
            ms: first.ms,
            number: None,
            by: None,
            step: None,
            tasks_only: false,
        };
        lasts.then_some(asked)
    }

    /// Whether a leaf in a branch took the only request, which was to its whole task, before another branch
    /// won, so that the branch is already ending.
    fn surely_answers(&self, branch: usize, won: Moment) -> bool {
        let [request] = &self.record.requests[..] else { return false };
        let is_limit = |node: usize| self.kind(node).limit().is_some();
        // Losers inside hand on what they took.
        let is_inside = |node: usize| node != branch && self.tree.is_inside(node, branch);
        let mut losers = self.nodes().filter(|node| self.kind(*node) == Kind::Branch);
        let is_only_one = self.record.uncancels.is_empty()
            && !losers.any(is_inside)
            && self.tree.is_inside(branch, request.origin)
            && self.is_same_task(branch, request.origin)
            && !self.tree.around(branch).any(|at| is_limit(at) || self.kind(at) == Kind::Group);
        let has_taken = |leaf: usize| {
            let life = self.life(leaf);
            let (Some(begun), Some((ended, outcome))) = (life.begun, life.ended) else {
                return false;
            };
            self.kind(leaf).is_ours()
                && self.tree.is_inside(leaf, branch)
                && self.is_same_task(leaf, branch)
                && !self.has_moved(leaf)
                && outcome == Outcome::Cancelled
                && (begun.number..ended.number).contains(&request.at.number)
                && ended.number < won.number
        };
        is_only_one && self.nodes().any(has_taken)
    }

    /// Whether a request may have reached a node, which ended at `ended`.
    fn may_reach(&self, asked: &Asked, node: usize, ended: Moment) -> bool {
        // A group that waits for its tasks waits for a future.
        let passes_on = matches!(
            self.kind(node),
            Kind::Future(_) | Kind::Shielded | Kind::Gather | Kind::Group
        );
        let (mut at, mut is_passed_on) = (node, passes_on);
        let mut is_in_a_set = false;
        loop {
            if at == asked.origin {
                return true;
            }
            let flat = &self.tree.nodes[at];
            is_in_a_set |= matches!(flat.kind, Kind::Unordered | Kind::Buffered(_));
            if flat.inside_of == Some(asked.origin) {
                // A request that was passed on to another task, or to a future, is not withdrawn.
                let limit = self.life(asked.origin);
                return limit.begun.is_some_and(|begun| begun.number < ended.number)
                    && (is_passed_on
                        || limit.ended.is_none_or(|(left, _)| left.number > ended.number));
            }
            let Some(around) = flat.parent else { return false };
            if flat.kind == Kind::Body {
                let awaited = self.life(around);
                let is_left = awaited.ended.is_some_and(|(left, _)| !asked.is_before(left));
                let is_new = self.life(at).begun.is_none_or(|begun| asked.is_before(begun));
                // It belongs to its former task until it is polled in the new one. A set polls only
                // woken futures.
                let takes = self.kind(around) == Kind::Move && (is_new || is_in_a_set);
                if self.kind(around) == Kind::Shield || is_left && !takes {
                    return false;
                }
                is_passed_on = true;
            }
            at = around;
        }
    }

    /// Whether a node has moved to another task since it began. A node that two living tasks have polled
    /// cannot be told from one that both go on polling, so it counts as foreign.
    fn has_moved(&self, node: usize) -> bool {
        let begun = self.life(node).begun;
        self.tree.around(node).any(|at| {
            let moved = self.life(at).begun.zip(begun);
            self.kind(at) == Kind::Body
                && moved.is_some_and(|(moved, begun)| moved.number > begun.number)
        })
    }

    /// Whether a node runs in the same task as a node around it.
    fn is_same_task(&self, node: usize, outer: usize) -> bool {
        let mut below = self.tree.around(node).take_while(|at| *at != outer);
        !below.any(|at| self.kind(at) == Kind::Body)
    }

    /// Whether a dropped node is a branch that may have given way: the whole macro ended with a
    /// cancellation.
    fn gives_way(&self, node: usize) -> bool {
        let around = self.parent(node).filter(|_| self.kind(node) == Kind::Branch);
        around.is_some_and(|around| self.outcome(around) == Some(Outcome::Cancelled))
    }

    /// The nodes where cancellations appeared first: leaves, and scopes that have given way.
    fn sources(&self) -> Vec<(usize, Moment)> {
        let sources = self.nodes().filter_map(|node| {
            let (ended, outcome) = self.life(node).ended?;
            let body = self.life(node).body.map(|(outcome, _)| outcome);
            let limit = self.kind(node).limit().is_some()
                && outcome == Outcome::Timeout
                && body.is_none_or(|outcome| outcome == Outcome::Cancelled);
            let is_cancelled = outcome == Outcome::Cancelled
                || limit
                || outcome == Outcome::Dropped && self.gives_way(node);
            let is_cancelled_part = |part: &usize| {
                let ended = self.outcome(*part);
                ended == Some(Outcome::Cancelled)
                    || self.life(*part).task == Some(Outcome::Cancelled)
                    || ended == Some(Outcome::Dropped) && self.gives_way(*part)
            };
            let comes_from_inside = |part: &usize| {
                // A part that has not moved yet runs before its new task begins.
                let has_moved = self.kind(*part) != Kind::Body || self.life(*part).begun.is_some();
                is_cancelled_part(part)
                    || !has_moved && self.parts(*part).iter().any(is_cancelled_part)
            };
            let is_answer = self.kind(node) == Kind::Shielded
                && self
                    .parent(node)
                    .is_some_and(|shield| self.parts(shield).iter().any(is_cancelled_part));
            let mut lent =
                self.nodes().filter(|lent| self.tree.nodes[*lent].inside_of == Some(node));
            let is_source = is_cancelled
                && !is_answer
                && !self.parts(node).iter().any(comes_from_inside)
                && !lent.any(|lent| comes_from_inside(&lent));
            // A context manager gets it before its `exit`.
            let exit = self.parts(node).first().and_then(|exit| self.life(*exit).begun);
            let is_manager = matches!(self.kind(node), Kind::Manager(_));
            is_source.then_some((node, exit.filter(|_| is_manager).unwrap_or(ended)))
        });
        sources.collect()
    }

    /// Whether a request was taken before a node began, by a node that precedes it.
    fn is_taken(&self, asked: &Asked, node: usize, begun: Moment) -> bool {
        let in_time = |moment: Moment| {
            asked.is_before(moment)
                && moment.number < begun.number
                // Running code takes it at its next suspension.
                && asked.step != Some(moment.step)
                && (asked.number.is_some() || moment.ms > asked.ms || begun.ms > asked.ms)
        };
        let parallel = |a, b| self.tree.meet(a, b).is_none_or(|both| self.kind(both).is_parallel());
        let took = self.sources.iter().any(|(source, ended)| {
            *source != node
                && in_time(*ended)
                && self.may_reach(asked, *source, *ended)
                && !self.is_unheard(asked, *source)
                && !self.has_its_own(asked, *source, *ended)
                && !parallel(*source, node)
                && asked.by.is_none_or(|by| !parallel(by, *source))
        });
        let last = self.life(node).ended.map_or(u32::MAX, |(ended, _)| ended.number);
        let again = |scope: usize| {
            let Some((ended, outcome)) = self.life(scope).ended else { return false };
            let delivers = match self.kind(scope) {
                // It came while the losers ended.
                Kind::Race | Kind::TryJoined | Kind::Choose => {
                    let ends = self.parts(scope).iter().filter_map(|part| self.life(*part).ended);
                    let first = ends.map(|(ended, _)| ended).min_by_key(|ended| ended.number);
                    first.is_some_and(|first| asked.is_after(first))
                }
                // A failing group delivers outstanding requests from around it again.
                Kind::Group => outcome == Outcome::Failed,
                _ => false,
            };
            delivers && asked.is_before(ended) && ended.number < last
        };
        // A group cancels its tasks once its body, or its end, has taken the request.
        let mut inside = self.tree.around(node).take_while(|at| *at != asked.origin);
        let is_late = inside.any(|at| {
            let around = self.parent(at).filter(|_| self.kind(at) == Kind::Body);
            around.is_some_and(|around| self.kind(around) == Kind::Group)
        });
        took && !is_late && !self.nodes().any(again)
    }

    /// Whether a cancelled node may have taken another request instead: it is in a branch that has lost, or
    /// is a limit beside something else, and its time was up.
    fn has_its_own(&self, other: &Asked, node: usize, ended: Moment) -> bool {
        let around = || self.tree.around(node).take_while(|at| *at != other.origin);
        let asked = |at| self.asked.iter().any(|own| own.origin == at && own.is_before(ended));
        let mut branches = around().chain(self.parts(node).iter().copied());
        let is_beside = || around().any(|at| at != node && self.kind(at).is_parallel());
        branches.any(|at| self.kind(at) == Kind::Branch && asked(at))
            || self.outcome(node) == Some(Outcome::Timeout) && is_beside() && asked(node)
    }

    /// Whether something was cancelled in another task whose await was dropped.
    fn is_unheard(&self, asked: &Asked, node: usize) -> bool {
        let mut inside = self.tree.around(node).take_while(|at| *at != asked.origin);
        inside.any(|at| {
            let around = self.parent(at).filter(|_| self.kind(at) == Kind::Body);
            around.is_some_and(|around| self.outcome(around) == Some(Outcome::Dropped))
        })
    }

    /// A node that was cancelled without cause.
    fn unfounded(&self) -> Option<Fault> {
        let unfounded = |(node, ended): &&(usize, Moment)| {
            let Some(begun) = self.life(*node).begun else { return false };
            if self.outcome(*node) == Some(Outcome::Timeout) {
                return false;
            }
            // The awaited task may have been cancelled on its own.
            let awaited = |part: &usize| self.life(*part).task == Some(Outcome::Cancelled);
            let around = self.parent(*node);
            let shields = around.filter(|around| self.kind(*around) == Kind::Shield);
            if shields.is_some_and(|shield| self.parts(shield).iter().any(awaited)) {
                return false;
            }
            let mut asked = self.asked.iter();
            !asked.any(|asked| {
                asked.is_before(*ended)
                    && self.may_reach(asked, *node, *ended)
                    && (asked.is_after(begun) || !self.is_taken(asked, *node, begun))
            })
        };
        if let Some((node, _)) = self.sources.iter().find(unfounded) {
            return Some(self.fault("cancelled without cause", *node));
        }
        let foreign = |node: &usize| {
            self.kind(*node).is_foreign() && self.outcome(*node) == Some(Outcome::Cancelled)
        };
        if let Some(node) = self.nodes().find(foreign) {
            return Some(self.fault("a cancellation in something foreign", node));
        }
        let last = Moment { number: u32::MAX, ms: u32::MAX, step: u32::MAX };
        let task = |node: &usize| {
            let ended = self.life(*node).ended;
            self.life(*node).task == Some(Outcome::Cancelled)
                && ended.is_none_or(|(_, outcome)| outcome == Outcome::Dropped)
                && !self.asked.iter().any(|asked| {
                    let ended = ended.map_or(last, |(ended, _)| ended);
                    asked.is_before(ended) && self.may_reach(asked, *node, ended)
                })
        };
        self.nodes().find(task).map(|node| self.fault("a task cancelled without cause", node))
    }
}
