//! The tree of tasks that await each other: `asyncio pstree`.

use crate::awaited_by::AwaitedInfo;
use std::{
    collections::{HashMap, HashSet},
    fmt,
};

/// The kind of a node of the tree (`asyncio.tools.NodeType`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum NodeType {
    /// The place at which a task waits.
    Coroutine,
    /// A task.
    Task,
}

/// Tasks wait for each other in a cycle, so that there is no tree
/// (`asyncio.tools.CycleFoundException`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CycleFoundException {
    /// The cycles: each begins and ends with the same task.
    pub cycles: Vec<Vec<u64>>,
    /// The names of the tasks.
    pub id2name: HashMap<u64, String>,
}

/// As asyncio prints it.
impl fmt::Display for CycleFoundException {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "ERROR: await-graph contains cycles - cannot print a tree!")?;
        let name = |id| self.id2name.get(id).cloned().unwrap_or_else(|| format!("{id:#x}"));
        for cycle in &self.cycles {
            let names: Vec<String> = cycle.iter().map(name).collect();
            write!(f, "\ncycle: {}", names.join(" → "))?;
        }
        Ok(())
    }
}

impl std::error::Error for CycleFoundException {}

/// A tree with more lines, or a deeper one, is truncated: a task appears in it once for each path to it.
const LINES_MAX: usize = 1_000_000;
const DEPTH_MAX: usize = 200;

/// A node: a task by its number, or a frame by its own.
type Node = (NodeType, u64);

#[derive(Default)]
struct Graph {
    /// In the order in which they were found.
    nodes: Vec<Node>,
    labels: HashMap<Node, String>,
    children: HashMap<Node, Vec<Node>>,
    edges: HashSet<(Node, Node)>,
    frames: HashMap<(Node, String), Node>,
}

impl Graph {
    fn label(&mut self, node: Node, label: &str) {
        self.nodes.push(node);
        self.labels.insert(node, label.to_owned());
    }

    fn connect(&mut self, parent: Node, child: Node) {
        if self.edges.insert((parent, child)) {
            self.children.entry(parent).or_default().push(child);
        }
    }

    /// The node of a stack's innermost frame, below a task.
    fn stack(&mut self, task: u64, stack: &[String]) -> Node {
        let mut node = (NodeType::Task, task);
        for frame in stack.iter().rev() {
            let known = self.frames.get(&(node, frame.clone())).copied();
            node = known.unwrap_or_else(|| {
                let new = (NodeType::Coroutine, self.frames.len() as u64);
                self.frames.insert((node, frame.clone()), new);
                self.label(new, frame);
                self.connect(node, new);
                new
            });
        }
        node
    }
}

/// Returns the lines of a tree for each task that nothing awaits (`asyncio.tools.build_async_tree`):
/// below a task the place at which it waits, and below that the tasks that it awaits.
///
/// # Errors
/// The cycles, if there are any.
pub fn build_async_tree(result: &[AwaitedInfo]) -> Result<Vec<Vec<String>>, CycleFoundException> {
    let tasks = || result.iter().flat_map(|info| &info.awaited_by);
    let mut graph = Graph::default();
    let mut awaits: HashMap<u64, Vec<u64>> = HashMap::new();
    let mut awaiting = Vec::new();
    for task in tasks() {
        graph.label((NodeType::Task, task.task_id), &task.task_name);
        for awaiter in &task.awaited_by {
            let awaited = awaits.entry(awaiter.task_id).or_insert_with(|| {
                awaiting.push(awaiter.task_id);
                Vec::new()
            });
            awaited.push(task.task_id);
        }
    }
    let cycles = find_cycles(&awaiting, &awaits);
    if !cycles.is_empty() {
        let id2name = tasks().map(|task| (task.task_id, task.task_name.clone())).collect();
        return Err(CycleFoundException { cycles, id2name });
    }
    for task in tasks() {
        for awaiter in &task.awaited_by {
            let innermost = graph.stack(awaiter.task_id, &awaiter.call_stack);
            graph.connect(innermost, (NodeType::Task, task.task_id));
        }
    }
    for task in tasks().filter(|task| !awaits.contains_key(&task.task_id)) {
        graph.stack(task.task_id, &task.coroutine_stack);
    }
    let inner: HashSet<Node> = graph.children.values().flatten().copied().collect();
    let roots = graph.nodes.iter().filter(|node| !inner.contains(node));
    let mut left = LINES_MAX;
    Ok(roots.map(|root| render(&graph, *root, &mut left)).collect())
}

/// Every edge that leads back to a task on the path to it, as the cycle that it closes.
fn find_cycles(order: &[u64], awaits: &HashMap<u64, Vec<u64>>) -> Vec<Vec<u64>> {
    let mut cycles = Vec::new();
    let (mut seen, mut on_path) = (HashSet::new(), HashSet::new());
    for first in order {
        if !seen.insert(*first) {
            continue;
        }
        // This is not recursive, because a chain may be as long as the number of tasks.
        on_path.insert(*first);
        let mut path = vec![(*first, 0)];
        while let Some((task, next)) = path.last_mut() {
            let awaited = awaits.get(task).and_then(|awaited| awaited.get(*next)).copied();
            *next += 1;
            match awaited {
                None => {
                    on_path.remove(task);
                    path.pop();
                }
                Some(awaited) if on_path.contains(&awaited) => {
                    let circle = path.iter().map(|(task, _)| *task);
                    let circle = circle.skip_while(|task| *task != awaited).chain([awaited]);
                    cycles.push(circle.collect());
                }
                Some(awaited) => {
                    if seen.insert(awaited) {
                        on_path.insert(awaited);
                        path.push((awaited, 0));
                    }
                }
            }
        }
    }
    cycles
}

/// The lines of a tree; `left` is the number of lines that may still follow.
fn render(graph: &Graph, root: Node, left: &mut usize) -> Vec<String> {
    let mut lines = Vec::new();
    // The node to write, with its prefix and whether it is the last of its siblings.
    let mut rest = vec![(root, String::new(), true, 0)];
    while let Some((node, prefix, is_last, depth)) = rest.pop() {
        let branch = if is_last { "└── " } else { "├── " };
        if *left == 0 || depth > DEPTH_MAX {
            lines.push(format!("{prefix}{branch}…"));
            if *left == 0 {
                break;
            }
            continue;
        }
        *left -= 1;
        let flag = if node.0 == NodeType::Task { "(T)" } else { "" };
        let label = graph.labels.get(&node).map_or("Unknown", String::as_str);
        lines.push(format!("{prefix}{branch}{flag} {label}"));
        let prefix = format!("{prefix}{}", if is_last { "    " } else { "│   " });
        let children = graph.children.get(&node).map_or(&[][..], Vec::as_slice);
        for (place, child) in children.iter().enumerate().rev() {
            rest.push((*child, prefix.clone(), place + 1 == children.len(), depth + 1));
        }
    }
    lines
}
