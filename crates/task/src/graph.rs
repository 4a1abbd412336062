//! The call graph (`asyncio.graph`): what a task waits for, and what waits for the task.
//!
//! A running program records nothing for it. The wait of a task leads to the object that it awaits, because
//! a request to cancel goes the same way. The tasks that await an object are found by looking at every task
//! of the loop.

mod dump;
mod edges;
mod stuck;

pub use dump::{await_chain, format_call_graphs};
pub use edges::{future_add_to_awaited_by, future_discard_from_awaited_by};
pub use stuck::stuck_tasks;

use crate::{AnyTask, FutureLike};
use asyncio_core::{
    Error, Result,
    raw::{Doing, LoopRef, SeenWait, TaskRef, running_loop},
    wait::Target,
    wait_site::WaitSite,
};
use edges::Edges;
use std::{
    collections::HashMap,
    fmt,
    io::{self, Write},
    panic::Location,
    sync::Arc,
};

/// One line of the stack of a task, the counterpart of a frame in Python.
///
/// Rust keeps no frames of a suspended coroutine. The stack consists of the line that created the task, the
/// scopes around its awaits (`timeout`, `TaskGroup`, `with`, …), and the operation that it awaits, each with
/// the line of the program that called it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FrameCallGraphEntry {
    what: &'static str,
    location: Option<&'static Location<'static>>,
}

impl FrameCallGraphEntry {
    fn new(what: &'static str, location: &'static Location<'static>) -> FrameCallGraphEntry {
        FrameCallGraphEntry { what, location: Some(location) }
    }

    fn of(site: &WaitSite) -> FrameCallGraphEntry {
        FrameCallGraphEntry::new(site.what(), site.location())
    }

    /// A future of another library.
    const FOREIGN: FrameCallGraphEntry =
        FrameCallGraphEntry { what: "<a future of another library>", location: None };

    /// Returns `"created"`, `"running"`, or the name of the operation or scope, such as
    /// `"Lock.acquire"`.
    pub fn what(&self) -> &'static str {
        self.what
    }

    /// Returns the line of the program; `None` for a future of another library.
    pub fn location(&self) -> Option<&'static Location<'static>> {
        self.location
    }
}

/// `Lock.acquire at src/main.rs:3:14`
impl fmt::Display for FrameCallGraphEntry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.location {
            Some(location) => write!(f, "{} at {location}", self.what),
            None => f.write_str(self.what),
        }
    }
}

/// A task or future, its stack, and the tasks that await it (`asyncio.FutureCallGraph`).
///
/// It is a snapshot, and cheap to clone. A task or future that is reached on several paths is in it once, so
/// a graph may have cycles: take care when you follow [`awaited_by`](FutureCallGraph::awaited_by).
#[doc(alias = "asyncio.FutureCallGraph")]
#[derive(Clone)]
pub struct FutureCallGraph {
    nodes: Arc<Vec<Node>>,
    at: usize,
}

#[derive(Clone)]
struct Node {
    future: Target,
    name: Option<Arc<str>>,
    call_stack: Vec<FrameCallGraphEntry>,
    /// Whether its innermost entry is the call that captured it.
    is_running: bool,
    awaited_by: Vec<usize>,
}

impl Node {
    fn of(future: Target, here: &'static Location<'static>) -> Node {
        let (mut name, mut call_stack, mut is_running) = (None, Vec::new(), false);
        if let Target::Task(task) = &future {
            name = Some(task.name());
            is_running = task.is_current();
            call_stack = stack(task, here);
        }
        Node { future, name, call_stack, is_running, awaited_by: Vec::new() }
    }
}

/// Returns the stack of a task, the innermost entry last.
fn stack(task: &TaskRef, here: &'static Location<'static>) -> Vec<FrameCallGraphEntry> {
    let mut stack = vec![FrameCallGraphEntry::new("created", task.spawned_at())];
    if task.is_current() {
        stack.extend(task.scopes_here().iter().map(FrameCallGraphEntry::of));
        stack.push(FrameCallGraphEntry::new("running", here));
        return stack;
    }
    let waits = task.seen_waits();
    if waits.is_empty() && task.doing() == Some(Doing::Waiting) {
        stack.push(FrameCallGraphEntry::FOREIGN);
    }
    let mut around: &[WaitSite] = &[];
    for wait in &waits {
        // If there are several awaits at once, the scopes that they share are listed once.
        let shared = around.iter().zip(&wait.scopes).take_while(|(a, b)| a == b).count();
        stack.extend(wait.scopes[shared..].iter().map(FrameCallGraphEntry::of));
        stack.extend(innermost(wait));
        around = &wait.scopes;
    }
    stack
}

/// The wait itself.
fn innermost(wait: &SeenWait) -> impl Iterator<Item = FrameCallGraphEntry> {
    // A wait that a scope arms is for a foreign future inside it, and has the scope's own name.
    let is_leaf = !(wait.is_foreign && wait.scopes.last() == Some(&wait.site));
    let foreign = wait.is_foreign.then_some(FrameCallGraphEntry::FOREIGN);
    foreign.into_iter().chain(is_leaf.then(|| FrameCallGraphEntry::of(&wait.site)))
}

impl FutureCallGraph {
    fn node(&self) -> &Node {
        &self.nodes[self.at]
    }

    /// Returns the task that the graph is about; `None` if it is about a future.
    pub fn task(&self) -> Option<AnyTask> {
        match &self.node().future {
            Target::Task(task) => Some(AnyTask::new(task.clone())),
            Target::Future(_) => None,
        }
    }

    /// Returns the number of the task or future, which is unique while it lives:
    /// [`FutureLike::id`].
    pub fn id(&self) -> usize {
        self.node().future.id()
    }

    /// Returns the call stack, from the line that created the task to the innermost await; empty
    /// for a future.
    pub fn call_stack(&self) -> &[FrameCallGraphEntry] {
        &self.node().call_stack
    }

    /// Returns the tasks that await it, in the order of their creation, followed by those that
    /// [`future_add_to_awaited_by`] has added.
    pub fn awaited_by(&self) -> impl Iterator<Item = FutureCallGraph> {
        let awaited_by = self.node().awaited_by.iter();
        awaited_by.map(|&at| FutureCallGraph { nodes: self.nodes.clone(), at })
    }

    /// Limits the number of entries in each stack (`limit=`). A positive number keeps the entries
    /// nearest to the creation of the task, a negative one the innermost; zero keeps none.
    pub fn limit(mut self, limit: isize) -> FutureCallGraph {
        for node in Arc::make_mut(&mut self.nodes) {
            let (len, left) = (node.call_stack.len(), limit.unsigned_abs());
            match limit {
                0.. => node.call_stack.truncate(left),
                _ => drop(node.call_stack.drain(..len.saturating_sub(left))),
            }
        }
        self
    }

    /// Omits the innermost entries of the stack of the task that runs now (`depth=`). With 1, none is
    /// omitted, and the innermost entry is the line that captured the graph; with 2, one is omitted, and
    /// so on.
    pub fn depth(mut self, depth: usize) -> FutureCallGraph {
        let node = &mut Arc::make_mut(&mut self.nodes)[self.at];
        if node.is_running {
            let left = node.call_stack.len().saturating_sub(depth.saturating_sub(1));
            node.call_stack.truncate(left);
        }
        self
    }

    /// Captures the graphs of `futures`, which share common parts.
    fn capture(
        futures: Vec<Target>,
        homes: &[LoopRef],
        here: &'static Location<'static>,
    ) -> Vec<FutureCallGraph> {
        let edges = Edges::of(homes);
        let mut known = HashMap::new();
        let mut nodes: Vec<Node> = Vec::new();
        let mut place_of = |future: Target, nodes: &mut Vec<Node>| {
            *known.entry(future.id()).or_insert_with(|| {
                nodes.push(Node::of(future, here));
                nodes.len() - 1
            })
        };
        let places: Vec<usize> =
            futures.into_iter().map(|future| place_of(future, &mut nodes)).collect();
        let mut at = 0;
        while at < nodes.len() {
            let waiters = edges.waiters(nodes[at].future.id()).to_vec();
            let places = waiters.into_iter().map(|waiter| place_of(waiter, &mut nodes)).collect();
            nodes[at].awaited_by = places;
            at += 1;
        }
        let nodes = Arc::new(nodes);
        places.into_iter().map(|at| FutureCallGraph { nodes: nodes.clone(), at }).collect()
    }
}

impl fmt::Debug for FutureCallGraph {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "<FutureCallGraph of {:?}>", self.node().future)
    }
}

/// Shows the text of [`format_call_graph`].
impl fmt::Display for FutureCallGraph {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&dump::format(&self.nodes, &[self.at]))
    }
}

/// The subject of a call graph: a task or future by reference, or `None` for the task that runs now.
pub trait ToCallGraph {
    /// Returns the task or future, if there is one.
    fn to_call_graph(self) -> Option<Target>;
}

impl<F: FutureLike> ToCallGraph for &F {
    fn to_call_graph(self) -> Option<Target> {
        Some(self.target())
    }
}

impl ToCallGraph for Option<AnyTask> {
    fn to_call_graph(self) -> Option<Target> {
        self.map(|task| task.target())
    }
}

/// Captures the call graph of a task or future (`asyncio.capture_call_graph`). With `None`, it is that of
/// the task that runs now, if there is one. The keyword arguments are methods of the graph:
/// [`depth`](FutureCallGraph::depth), [`limit`](FutureCallGraph::limit).
///
/// The tasks that await it are found among those of the running loop and of the loop of the future. They may
/// await it by `await`, [`gather`](crate::gather()), [`wait`](crate::wait()), [`shield`](crate::shield), a
/// [`TaskGroup`](crate::TaskGroup) or [`staggered_race`](crate::staggered_race), and inside `select!`, `join!`,
/// [`timeout`](crate::timeout()) and [`wait_for`](crate::wait_for). This function works in a task, in a
/// callback, and without a running loop.
///
/// # Lines
/// An await of a task or future names the line of the `.await`. If the handle is awaited through a `Box`, a
/// reference, `dyn Future` or a scope of this library, that line is not known, and the line at which the task
/// or future was created is named instead. If a combinator of another library polls the handle, the line is in
/// that library. Other operations name the line that called them.
///
/// # Errors
/// `Runtime` for `None` without a running loop, and for a task of another thread.
///
/// ```
/// #[asyncio::main]
/// async fn main() -> asyncio::Result<()> {
///     use std::time::Duration;
///     let nap = asyncio::create_task(asyncio::sleep(Duration::from_millis(1)));
///     let waiting = asyncio::create_task(async move { nap.await });
///     asyncio::sleep(Duration::ZERO).await?;
///     let graph = asyncio::capture_call_graph(&waiting)?.expect("it is given");
///     assert_eq!(graph.call_stack().last().map(|entry| entry.what()), Some("Task"));
///     Ok(())
/// }
/// ```
#[doc(alias = "asyncio.capture_call_graph")]
#[track_caller]
pub fn capture_call_graph(future: impl ToCallGraph) -> Result<Option<FutureCallGraph>> {
    capture(future.to_call_graph(), Location::caller())
}

fn capture(
    future: Option<Target>,
    here: &'static Location<'static>,
) -> Result<Option<FutureCallGraph>> {
    let running = running_loop();
    let future = match (future, running) {
        (Some(future), _) => future,
        (None, None) => {
            return Err(Error::runtime(
                "capture_call_graph: there is no running event loop, and no task or future was given",
            ));
        }
        (None, Some(_)) => match crate::current_task() {
            Some(task) => task.target(),
            None => return Ok(None),
        },
    };
    if let Target::Task(task) = &future {
        if !task.is_local() {
            return Err(Error::runtime(
                "capture_call_graph: the task belongs to another thread; ask there, for example by \
                 call_soon_threadsafe",
            ));
        }
    }
    let mut homes: Vec<LoopRef> = running.into_iter().chain(future.home()).collect();
    homes.dedup();
    Ok(FutureCallGraph::capture(vec![future], &homes, here).pop())
}

/// Returns the call graph as text (`asyncio.format_call_graph`): the stack, and the tasks that await it,
/// indented. The text is empty if there is no graph. A part that was already shown is replaced by `(see
/// above)`, or by `(a cycle)` if a task awaits itself through others.
///
/// # Errors
/// The errors of [`capture_call_graph`].
///
/// ```
/// #[asyncio::main]
/// async fn main() -> asyncio::Result<()> {
///     let text = asyncio::format_call_graph(None)?;
///     assert!(text.starts_with("* Task(name=\"Task-1\""));
///     Ok(())
/// }
/// ```
#[doc(alias = "asyncio.format_call_graph")]
#[track_caller]
pub fn format_call_graph(future: impl ToCallGraph) -> Result<String> {
    let graph = capture(future.to_call_graph(), Location::caller())?;
    Ok(graph.map(|graph| graph.to_string()).unwrap_or_default())
}

/// Prints the text of [`format_call_graph`] to standard output (`asyncio.print_call_graph`). To write
/// elsewhere (`file=`), write that text.
///
/// # Errors
/// The errors of [`capture_call_graph`] and of standard output.
///
/// ```
/// #[asyncio::main]
/// async fn main() -> asyncio::Result<()> {
///     asyncio::print_call_graph(None)
/// }
/// ```
#[doc(alias = "asyncio.print_call_graph")]
#[track_caller]
pub fn print_call_graph(future: impl ToCallGraph) -> Result<()> {
    match capture(future.to_call_graph(), Location::caller())? {
        Some(graph) => Ok(writeln!(io::stdout(), "{graph}")?),
        None => Ok(()),
    }
}
