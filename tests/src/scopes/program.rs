//! A program of scopes as data: its nodes, their printed form, and their numbers.

use std::fmt;

/// What a node does. Times are in milliseconds.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Kind {
    /// Runs its parts one after another, up to the first error.
    Seq,

    // Leaves of ours.
    /// `sleep`.
    Sleep(u16),
    /// `Queue::get`.
    Get,
    /// `Queue::put`.
    Put,
    /// `Event::wait`.
    Event,
    /// Awaits a future whose result is set after this time.
    Future(u16),
    /// Waits for the condition to be notified.
    Notified,
    /// Runs its parts with the lock held.
    Lock,
    /// Runs its parts with a permit of the semaphore.
    Permit,

    // Leaves of other libraries.
    /// `std::future::pending`.
    Never,
    /// A `tokio::sync::oneshot` whose value is sent after this time.
    Oneshot(u16),
    /// A `tokio::sync::mpsc` whose value is sent after this time.
    Channel(u16),
    /// A future that a timer wakes after this time.
    Waked(u16),
    /// A future that wakes itself this many times.
    Spins(u16),
    /// A `sleep` of ours that is polled through another library's trait.
    Library(u16),

    // Other tasks.
    /// Creates a task and awaits it.
    Child,
    /// `gather`, with one task for each part.
    Gather,
    /// `shield` of a task.
    Shield,
    /// The first part begins here and races the others. If it loses, it continues in a new task,
    /// which is awaited.
    Move,

    // Scopes.
    /// `wait_for`.
    WaitFor(u16),
    /// `timeout(…).with(…)`.
    Timeout(u16),
    /// A context manager of the program, whose `exit` sleeps.
    Manager(u16),
    /// `TaskGroup`: the first part is the body, and the others are its tasks.
    Group,
    /// `cancellable`.
    Cancellable,

    // Several things at once.
    /// `join_all`.
    Join,
    /// `try_join_all`: drops the others at the first error.
    TryJoin,
    /// `FuturesUnordered`, to its end.
    Unordered,
    /// `buffered`, to its end.
    Buffered(u16),
    /// `select_all`, which drops the losers.
    Select,
    /// The first part is pinned, and races every second part. If it loses, it is set aside while the
    /// part after that runs. It is awaited at the end.
    Lend,
    /// The first part is pinned, and polled inside a `wait_for` of this time, which races the second
    /// part and is dropped if it loses. The first part is then awaited.
    Borrow(u16),

    /// `asyncio::join!` of the first three parts.
    Joined,
    /// `asyncio::try_join!` of the first three parts.
    TryJoined,
    /// `asyncio::race`.
    Race,
    /// As `Lend`, with `asyncio::select!`.
    Choose,

    // Reactions to a cancellation.
    /// Sleeps if a part is cancelled, and passes the cancellation on.
    Cleanup(u16),
    /// Swallows a cancellation.
    Swallow,
    /// Swallows a cancellation, and calls `uncancel`.
    Handle,
    /// Swallows any other error.
    Catch,

    // Actions that take no time.
    /// The task cancels itself.
    CancelSelf,
    /// Cancels one of the main tasks.
    CancelTask(u16),
    /// Sets the event.
    Set,
    /// Notifies one waiter of the condition.
    Notify,
    /// Fails.
    Fail,

    // Implied parts: each node of the kinds above has the ones that it needs.
    /// The root of a task.
    Body,
    /// A branch of `join!`, `try_join!`, `select!` or `race`.
    Branch,
    /// Waits for the lock, or for a permit.
    Acquire,
    /// Sleeps in a handler, or in an `exit`.
    Leave(u16),
    /// Awaits the shield.
    Shielded,
    /// The `wait_for` of a `Borrow`.
    Limit(u16),
}

/// A part of a program.
#[derive(Clone, Debug, PartialEq)]
pub struct Node {
    /// What it does.
    pub kind: Kind,
    /// Its parts; any number is valid.
    pub parts: Vec<Node>,
}

/// A `cancel` from a callback of the loop.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Cancel {
    /// When it is called.
    pub at: u16,
    /// The number of the task.
    pub task: usize,
}

/// A whole program.
#[derive(Clone, Debug, PartialEq)]
pub struct Program {
    /// The main tasks.
    pub tasks: Vec<Vec<Node>>,
    /// Requests from outside.
    pub cancels: Vec<Cancel>,
    /// Whether tasks start eagerly, inside the code that creates them.
    pub eager: bool,
    /// When the event is set, if ever.
    pub set_at: Option<u16>,
    /// The size of the queue; zero means unlimited.
    pub queue: usize,
    /// The number of permits.
    pub permits: usize,
}

impl Node {
    /// A node without parts.
    pub fn leaf(kind: Kind) -> Node {
        Node { kind, parts: Vec::new() }
    }

    /// The number of nodes.
    pub fn size(&self) -> usize {
        1 + self.parts.iter().map(Node::size).sum::<usize>()
    }

    fn write(&self, f: &mut fmt::Formatter<'_>, depth: usize) -> fmt::Result {
        writeln!(f, "{:1$}{2:?}", "", 4 * depth, self.kind)?;
        self.parts.iter().try_for_each(|part| part.write(f, depth + 1))
    }
}

impl fmt::Display for Program {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let eager = if self.eager { ", eager tasks" } else { "" };
        writeln!(f, "queue of {}, {} permits{eager}", self.queue, self.permits)?;
        if let Some(at) = self.set_at {
            writeln!(f, "event set at {at}")?;
        }
        for cancel in &self.cancels {
            writeln!(f, "task {} cancelled at {}", cancel.task, cancel.at)?;
        }
        for (number, parts) in self.tasks.iter().enumerate() {
            writeln!(f, "task {number}")?;
            parts.iter().try_for_each(|part| part.write(f, 1))?;
        }
        Ok(())
    }
}

impl Kind {
    /// Whether it is a leaf that awaits a future of ours.
    pub fn is_ours(self) -> bool {
        use Kind::{Acquire, Event, Future, Get, Leave, Put, Shielded, Sleep};
        matches!(self, Sleep(_) | Get | Put | Event | Future(_) | Acquire | Leave(_) | Shielded)
    }

    /// Whether it awaits a foreign future.
    pub fn is_foreign(self) -> bool {
        use Kind::{Channel, Library, Never, Oneshot, Spins, Waked};
        matches!(self, Never | Oneshot(_) | Channel(_) | Waked(_) | Spins(_) | Library(_))
    }

    /// Whether it awaits another task.
    pub fn is_awaiting(self) -> bool {
        matches!(self, Kind::Child | Kind::Gather | Kind::Shield | Kind::Move)
    }

    /// Whether it is a scope that gives way.
    pub fn is_scope(self) -> bool {
        use Kind::{Branch, Cancellable, Group, Limit, Manager, Timeout, WaitFor};
        matches!(
            self,
            WaitFor(_) | Timeout(_) | Manager(_) | Group | Cancellable | Limit(_) | Branch
        )
    }

    /// Whether its parts run at the same time.
    pub fn is_parallel(self) -> bool {
        use Kind::{
            Borrow, Buffered, Choose, Gather, Group, Join, Joined, Lend, Move, Race, Select,
            Shield, TryJoin, TryJoined, Unordered,
        };
        matches!(
            self,
            Join | TryJoin
                | Unordered
                | Buffered(_)
                | Select
                | Lend
                | Borrow(_)
                | Group
                | Gather
                | Shield
                | Move
                | Joined
                | TryJoined
                | Race
                | Choose
        )
    }

    /// The time after which it cancels its parts, in milliseconds.
    pub fn limit(self) -> Option<u32> {
        match self {
            Kind::WaitFor(ms) | Kind::Timeout(ms) | Kind::Limit(ms) => Some(u32::from(ms)),
            _ => None,
        }
    }
}

/// A node in a [`Tree`].
#[derive(Debug)]
pub struct Flat {
    /// What it does.
    pub kind: Kind,
    /// The node around it; `None` for the root of a main task.
    pub parent: Option<usize>,
    /// Its parts, including the implied ones.
    pub parts: Vec<usize>,
    /// The number of nodes around it.
    pub depth: usize,
    /// A scope that also surrounds it while that scope lasts, besides those around its parent.
    pub inside_of: Option<usize>,
}

/// The nodes of a program, by number. A node comes before its parts.
#[derive(Debug)]
pub struct Tree {
    /// The nodes.
    pub nodes: Vec<Flat>,
    /// The roots of the main tasks.
    pub roots: Vec<usize>,
}

impl Tree {
    /// The nodes of a program.
    pub fn of(program: &Program) -> Tree {
        let mut tree = Tree { nodes: Vec::new(), roots: Vec::new() };
        for parts in &program.tasks {
            let root = tree.add_body(None, parts);
            tree.roots.push(root);
        }
        tree
    }

    fn push(&mut self, kind: Kind, parent: Option<usize>) -> usize {
        let number = self.nodes.len();
        let depth = parent.map_or(0, |parent| self.nodes[parent].depth + 1);
        self.nodes.push(Flat { kind, parent, parts: Vec::new(), depth, inside_of: None });
        if let Some(parent) = parent {
            self.nodes[parent].parts.push(number);
        }
        number
    }

    fn add_body(&mut self, parent: Option<usize>, parts: &[Node]) -> usize {
        let body = self.push(Kind::Body, parent);
        self.add_all(body, parts);
        body
    }

    fn add_all(&mut self, parent: usize, parts: &[Node]) {
        parts.iter().for_each(|part| self.add(parent, part));
    }

    fn add_branch(&mut self, parent: usize, part: &Node) {
        let branch = self.push(Kind::Branch, Some(parent));
        self.add(branch, part);
    }

    fn add(&mut self, parent: usize, node: &Node) {
        use Kind::{
            Acquire, Borrow, Child, Choose, Cleanup, Gather, Group, Joined, Leave, Limit, Lock,
            Manager, Move, Permit, Race, Shield, Shielded, TryJoined,
        };
        let number = self.push(node.kind, Some(parent));
        let parts = &node.parts;
        match node.kind {
            Lock | Permit => {
                self.push(Acquire, Some(number));
                self.add_all(number, parts);
            }
            Child => _ = self.add_body(Some(number), parts),
            Joined | TryJoined | Race => {
                let most = if node.kind == Race { parts.len() } else { 3 };
                parts.iter().take(most).for_each(|part| self.add_branch(number, part));
            }
            Choose => {
                for (index, part) in parts.iter().enumerate() {
                    match index % 2 {
                        1 => self.add_branch(number, part),
                        _ => self.add(number, part),
                    }
                }
            }
            Move => {
                let (first, rest) = parts.split_at(parts.len().min(1));
                self.add_body(Some(number), first);
                self.add_all(number, rest);
            }
            Shield => {
                self.push(Shielded, Some(number));
                self.add_body(Some(number), parts);
            }
            Gather => {
                for part in parts {
                    self.add_body(Some(number), std::slice::from_ref(part));
                }
            }
            Group => {
                let (body, tasks) = parts.split_at(parts.len().min(1));
                let first = self.push(Kind::Seq, Some(number));
                self.add_all(first, body);
                for task in tasks {
                    self.add_body(Some(number), std::slice::from_ref(task));
                }
            }
            Cleanup(ms) | Manager(ms) => {
                self.push(Leave(ms), Some(number));
                self.add_all(number, parts);
            }
            Borrow(ms) => {
                let limit = self.push(Limit(ms), Some(number));
                self.add_all(number, parts);
                if let Some(lent) = self.nodes[number].parts.get(1).copied() {
                    self.nodes[lent].inside_of = Some(limit);
                }
            }
            _ => self.add_all(number, parts),
        }
    }

    /// Whether `inner` is `outer`, or inside it in the program's text.
    pub fn is_inside(&self, inner: usize, outer: usize) -> bool {
        self.around(inner).any(|node| node == outer)
    }

    /// A node and those around it, from the inside to the outside.
    pub fn around(&self, node: usize) -> impl Iterator<Item = usize> + '_ {
        std::iter::successors(Some(node), |node| self.nodes[*node].parent)
    }

    /// The innermost node around both.
    pub fn meet(&self, a: usize, b: usize) -> Option<usize> {
        let (mut a, mut b) = (a, b);
        while a != b {
            let deeper = if self.nodes[a].depth >= self.nodes[b].depth { &mut a } else { &mut b };
            *deeper = self.nodes[*deeper].parent?;
        }
        Some(a)
    }
}
