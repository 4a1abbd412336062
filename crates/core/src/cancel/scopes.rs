//! The tree of scopes of a loop's tasks.
//!
//! A node is created when a [`Scope`](crate::scope::Scope) or a deadline begins, below the current
//! scope, and removed when it ends. The node counts the futures suspended directly inside and the
//! requests to cancel that came from it (an expired deadline, an aborting group), and it records how
//! far a request has come (its stage). A task's root has no node: its data is stored in the task's
//! cell.

use crate::{
    CancelledError,
    cancel::stage::Stage,
    slots::{Key, Slots},
    wait_site::WaitSite,
};
use std::{
    cell::{Cell, RefCell},
    fmt,
    task::Waker,
};

/// The place in a task at which a future is polled: the innermost scope, and whether the poll goes
/// through a trait of another library.
///
/// It takes half a word, because every task has one. It names the place of a scope in the table, and
/// never that of an ended scope: a scope that ends moves its remaining contents.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Within(u32);

impl Within {
    pub(crate) const ROOT: Within = Within(0);
    const FOREIGN: u32 = 1;

    #[inline]
    pub(crate) fn of(scope: Key) -> Within {
        // There are fewer than 2^30 places.
        Within((scope.place() as u32 + 1) << 1)
    }

    /// The place of the scope in the table; `None` at the task's root.
    #[inline(always)]
    fn place(self) -> Option<u32> {
        (self.0 >> 1).checked_sub(1)
    }

    /// The same place, for a wait that never returns a cancellation: its scope gives way instead.
    pub(crate) fn foreign(self) -> Within {
        Within(self.0 | Within::FOREIGN)
    }

    #[inline(always)]
    pub(crate) fn is_foreign(self) -> bool {
        self.0 & Within::FOREIGN != 0
    }

    /// Whether it is directly inside `scope`, which has not ended; `None` is the root.
    #[inline]
    pub(crate) fn is_in(self, scope: Option<Key>) -> bool {
        let place = scope.map_or(0, |scope| Within::of(scope).0);
        self.0 & !Within::FOREIGN == place
    }

    /// Whether it is at the root of a task.
    #[inline]
    pub(crate) fn is_root(self) -> bool {
        self.place().is_none()
    }
}

/// One scope.
pub(crate) struct Node {
    /// Its operation and source line, for the call graph.
    pub(crate) site: WaitSite,
    /// The scope around it; `None`: the task itself.
    pub(crate) parent: Option<Key>,
    /// The task in which it was last polled.
    pub(crate) task: Option<Key>,
    /// The numbers of waits armed directly inside that a request can reach, of foreign waits, and
    /// of scopes.
    pub(crate) waits: u32,
    pub(crate) foreign: u32,
    pub(crate) children: u32,
    /// How many of these have not followed the scope to its task: they were not polled there yet.
    pub(crate) away: u32,
    /// The outstanding requests that came from here.
    pub(crate) requests: u32,
    /// The [round](Scopes::begin_round) in which it was last polled.
    pub(crate) round: u32,
    pub(crate) stage: Stage,
    /// The origin of the pending or last request: a scope, or the root. The outermost, if there are
    /// several.
    pub(crate) origin: Option<Key>,
    /// The callback of its deadline, if that has not passed.
    pub(crate) deadline: Option<Key>,
    pub(crate) is_expired: bool,
    /// The waker of the scope, if it is not the task's own waker.
    pub(crate) waker: Option<Waker>,
    /// Data that few scopes need.
    pub(crate) rare: Option<Box<Rare>>,
}

/// Data that few scopes need.
#[derive(Default)]
pub(crate) struct Rare {
    /// The other scopes that a pending request came from.
    other_origins: Vec<Key>,
    /// The message of the last request.
    message: CancelledError,
}

impl Node {
    /// A new, empty scope.
    #[inline(always)]
    pub(crate) fn new(site: WaitSite, parent: Option<Key>, task: Option<Key>, round: u32) -> Node {
        Node {
            site,
            parent,
            task,
            waits: 0,
            foreign: 0,
            children: 0,
            away: 0,
            requests: 0,
            round,
            stage: Stage::new(),
            origin: None,
            deadline: None,
            is_expired: false,
            waker: None,
            rare: None,
        }
    }

    /// Whether no future that a request could reach is suspended inside.
    pub(crate) fn is_foreign(&self) -> bool {
        self.waits == 0 && self.children == self.away
    }

    /// Whether nothing is inside.
    pub(crate) fn is_empty(&self) -> bool {
        self.waits == 0 && self.foreign == 0 && self.children == 0
    }

    /// The other scopes, inside its origin, that a pending request came from.
    pub(crate) fn other_origins(&self) -> impl Iterator<Item = Key> {
        self.rare.iter().flat_map(|rare| rare.other_origins.iter().copied())
    }

    /// Whether one of the pending requests came from a scope.
    pub(crate) fn came_from(&self, scope: Key) -> bool {
        self.origin == Some(scope) || self.other_origins().any(|origin| origin == scope)
    }

    /// Whether the last request came from one scope alone.
    pub(crate) fn came_only_from(&self, scope: Key) -> bool {
        self.origin == Some(scope)
            && self.rare.as_ref().is_none_or(|rare| rare.other_origins.is_empty())
    }

    /// The message of the last request.
    pub(crate) fn message(&self) -> CancelledError {
        self.rare.as_ref().map(|rare| rare.message.clone()).unwrap_or_default()
    }

    /// Sets the message, and returns the former one, to be dropped elsewhere.
    pub(crate) fn set_message(&mut self, message: CancelledError) -> CancelledError {
        match &mut self.rare {
            None if message.message().is_none() => message,
            rare => {
                let rare = rare.get_or_insert_default();
                std::mem::replace(&mut rare.message, message)
            }
        }
    }

    /// Records a request from `origin`, which contains this scope.
    fn add_origin(
        &mut self,
        origin: Option<Key>,
        is_inside: impl FnOnce(Key, Option<Key>) -> bool,
    ) {
        if !self.stage.is_undelivered() {
            self.origin = origin;
            if let Some(rare) = &mut self.rare {
                rare.other_origins.clear();
            }
        } else if self.origin != origin {
            // Of two origins of one request, one is inside the other.
            let inner = match (self.origin, origin) {
                (Some(former), origin) if is_inside(former, origin) => {
                    self.origin = origin;
                    Some(former)
                }
                (_, origin) => origin,
            };
            if let Some(inner) = inner {
                let others = &mut self.rare.get_or_insert_default().other_origins;
                if !others.contains(&inner) {
                    others.push(inner);
                }
            }
        }
    }

    fn add_child(&mut self, task: Option<Key>) {
        self.children += 1;
        self.away += u32::from(task != self.task);
    }

    fn remove_child(&mut self, task: Option<Key>) {
        self.children -= 1;
        self.away -= u32::from(task != self.task);
    }

    fn count(&mut self, is_foreign: bool) -> &mut u32 {
        if is_foreign { &mut self.foreign } else { &mut self.waits }
    }
}

/// The scopes of all tasks of one loop.
pub(crate) struct Scopes {
    nodes: RefCell<Slots<Node>>,
    round: Cell<u32>,
    /// A buffer that is reused.
    pub(crate) scratch: Cell<Vec<Key>>,
}

impl fmt::Debug for Scopes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} scopes", self.nodes.borrow().values().count())
    }
}

impl Scopes {
    pub(crate) const fn new() -> Scopes {
        Scopes {
            nodes: RefCell::new(Slots::new()),
            round: Cell::new(0),
            scratch: Cell::new(Vec::new()),
        }
    }

    /// A new scope inside `parent`, in `task`.
    pub(crate) fn open(&self, site: WaitSite, parent: Option<Key>, task: Option<Key>) -> Key {
        let mut nodes = self.nodes.borrow_mut();
        let key = nodes.vacancy().fill(Node::new(site, parent, task, self.round.get()));
        if let Some(parent) = parent.and_then(|parent| nodes.get_mut(parent)) {
            parent.add_child(task);
        }
        key
    }

    /// Removes a scope that is empty, with no pending request and no rare data, as nearly all scopes
    /// are. Returns its deadline and its waker, which is to be dropped elsewhere.
    #[inline]
    pub(crate) fn remove_empty(&self, key: Key) -> Option<(Option<Key>, Option<Waker>)> {
        let mut nodes = self.nodes.borrow_mut();
        let is_plain =
            |node: &&mut Node| node.is_empty() && node.stage.is_idle() && node.rare.is_none();
        let node = nodes.get_mut(key).filter(is_plain)?;
        let (parent, task) = (node.parent, node.task);
        let (deadline, waker) = (node.deadline, node.waker.take());
        nodes.vacate(key);
        if let Some(parent) = parent.and_then(|parent| nodes.get_mut(parent)) {
            parent.remove_child(task);
        }
        Some((deadline, waker))
    }

    /// Removes a scope. Its contents belong to no scope until the caller moves them.
    pub(crate) fn remove(&self, key: Key) -> Option<Node> {
        let mut nodes = self.nodes.borrow_mut();
        let node = nodes.remove(key)?;
        if let Some(parent) = node.parent.and_then(|parent| nodes.get_mut(parent)) {
            parent.remove_child(node.task);
        }
        Some(node)
    }

    /// Calls `f` with a scope. Runs no user code.
    #[inline]
    pub(crate) fn with<R>(&self, key: Key, f: impl FnOnce(&mut Node) -> R) -> Option<R> {
        self.nodes.borrow_mut().get_mut(key).map(f)
    }

    /// The scope around another, if that is not the root.
    pub(crate) fn parent(&self, key: Key) -> Option<Key> {
        self.nodes.borrow().get(key)?.parent
    }

    /// Moves a scope into another scope and another task. Its contents follow when they are polled
    /// there.
    pub(crate) fn move_to(&self, key: Key, parent: Option<Key>, task: Option<Key>) {
        let mut nodes = self.nodes.borrow_mut();
        let Some(node) = nodes.get_mut(key) else { return };
        let former_task = std::mem::replace(&mut node.task, task);
        if former_task != task && node.children > 0 {
            let is_away = |child: &&Node| child.parent == Some(key) && child.task != task;
            let away = nodes.values().filter(is_away).count() as u32;
            nodes.get_mut(key).into_iter().for_each(|node| node.away = away);
        }
        let Some(node) = nodes.get_mut(key) else { return };
        let former = std::mem::replace(&mut node.parent, parent);
        if let Some(former) = former.and_then(|former| nodes.get_mut(former)) {
            former.remove_child(former_task);
        }
        if let Some(parent) = parent.and_then(|parent| nodes.get_mut(parent)) {
            parent.add_child(task);
        }
    }

    /// The scopes directly inside another. Looks at every scope of the loop.
    pub(crate) fn children(&self, key: Key) -> Vec<Key> {
        let nodes = self.nodes.borrow();
        let is_child = |(_, node): &(Key, &Node)| node.parent == Some(key);
        nodes.iter().filter(is_child).map(|(child, _)| child).collect()
    }

    /// The scope that `within` names; `None` at the root.
    #[inline]
    pub(crate) fn scope(&self, within: Within) -> Option<Key> {
        self.nodes.borrow().key_at(within.place()?)
    }

    /// Counts a wait that was armed `within` a scope.
    #[inline]
    pub(crate) fn enter_wait(&self, within: Within) {
        if let Some(place) = within.place() {
            if let Some(node) = self.nodes.borrow_mut().get_mut_at(place) {
                *node.count(within.is_foreign()) += 1;
            }
        }
    }

    /// Uncounts a wait that was armed `within` a scope, and has ended or moved away.
    #[inline]
    pub(crate) fn leave_wait(&self, within: Within) {
        if let Some(place) = within.place() {
            if let Some(node) = self.nodes.borrow_mut().get_mut_at(place) {
                *node.count(within.is_foreign()) -= 1;
            }
        }
    }

    /// Whether `scope` is `outer` or inside it; `None` is the root.
    pub(crate) fn is_inside(&self, scope: Option<Key>, outer: Option<Key>) -> bool {
        outer.is_none() || scope == outer || is_inside(&self.nodes.borrow(), scope, outer)
    }

    /// Records in a scope that a request came from `origin`, which contains it. Does nothing if there is
    /// no such scope.
    pub(crate) fn add_origin(&self, key: Key, origin: Option<Key>) {
        let mut nodes = self.nodes.borrow_mut();
        // The origin is copied, because the other nodes are read too.
        let Some(node) = nodes.get_mut(key) else { return };
        let former = node.origin;
        let is_outer = former.is_some_and(|former| is_inside(&nodes, Some(former), origin));
        if let Some(node) = nodes.get_mut(key) {
            node.add_origin(origin, |_, _| is_outer);
        }
    }

    /// Withdraws the requests of the ended scope `gone` from a scope inside it.
    pub(crate) fn take_origin_back(&self, key: Key, gone: Key) {
        let mut nodes = self.nodes.borrow_mut();
        let Some(node) = nodes.get_mut(key) else { return };
        let others = node.rare.as_mut().map(|rare| &mut rare.other_origins);
        let mut others = others.map(std::mem::take).unwrap_or_default();
        others.retain(|origin| *origin != gone);
        let is_outermost = node.origin == Some(gone);
        let outermost = others
            .iter()
            .copied()
            .reduce(|a, b| if is_inside(&nodes, Some(a), Some(b)) { b } else { a });
        let Some(node) = nodes.get_mut(key) else { return };
        if is_outermost {
            others.retain(|origin| Some(*origin) != outermost);
            node.origin = outermost;
            if outermost.is_none() {
                node.stage.clear(!0);
            }
        }
        if let Some(rare) = &mut node.rare {
            rare.other_origins = others;
        }
    }

    /// The sites of the scopes around a place, the outermost first, and whether one of them has a
    /// deadline.
    pub(crate) fn sites(&self, within: Within) -> (Vec<WaitSite>, bool) {
        let nodes = self.nodes.borrow();
        let innermost = within.place().and_then(|place| nodes.key_at(place));
        let around = |key: &Key| nodes.get(*key).and_then(|node| node.parent);
        let path = std::iter::successors(innermost, around);
        let (mut sites, mut has_deadline) = (Vec::new(), false);
        for node in path.filter_map(|key| nodes.get(key)) {
            sites.push(node.site);
            has_deadline |= node.deadline.is_some();
        }
        sites.reverse();
        // A `with` may consist of two scopes; the program sees one.
        sites.dedup();
        (sites, has_deadline)
    }

    /// The number of scopes from `scope` to the root, including itself.
    pub(crate) fn depth(&self, scope: Option<Key>) -> usize {
        let nodes = self.nodes.borrow();
        std::iter::successors(scope, |key| nodes.get(*key).and_then(|node| node.parent)).count()
    }

    /// The number of requests from `scope` and the scopes around it, without the root.
    pub(crate) fn requests(&self, scope: Option<Key>) -> u32 {
        let nodes = self.nodes.borrow();
        let mut at = scope.and_then(|key| nodes.get(key));
        let mut count = 0;
        while let Some(node) = at {
            count += node.requests;
            at = node.parent.and_then(|key| nodes.get(key));
        }
        count
    }

    /// Withdraws the innermost request; false if there is none.
    pub(crate) fn take_request(&self, scope: Option<Key>) -> bool {
        let mut nodes = self.nodes.borrow_mut();
        let mut at = scope;
        while let Some(node) = at.and_then(|key| nodes.get_mut(key)) {
            if node.requests > 0 {
                node.requests -= 1;
                return true;
            }
            at = node.parent;
        }
        false
    }

    /// Begins a new round, because a step begins with a request pending.
    pub(crate) fn begin_round(&self) {
        self.round.set(self.round.get().wrapping_add(1));
    }

    pub(crate) fn round(&self) -> u32 {
        self.round.get()
    }

    /// The address of the `Vec` of their places, for readers outside the process.
    pub(crate) fn places(&self) -> *const () {
        self.nodes.as_ptr().wrapping_byte_add(Slots::<Node>::PLACES).cast_const().cast()
    }

    /// Removes all scopes.
    pub(crate) fn drain(&self) -> Vec<Node> {
        self.nodes.borrow_mut().drain()
    }
}

fn is_inside(nodes: &Slots<Node>, scope: Option<Key>, outer: Option<Key>) -> bool {
    let mut at = scope;
    while at.is_some() && at != outer {
        at = at.and_then(|key| nodes.get(key)).and_then(|node| node.parent);
    }
    at == outer
}
