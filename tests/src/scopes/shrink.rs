//! Reduces a program that fails to the smallest one that fails in the same way.

use super::program::{Kind, Node, Program};

/// The smallest program for which `fails` still holds.
pub fn shrink(mut program: Program, mut fails: impl FnMut(&Program) -> bool) -> Program {
    loop {
        let Some(smaller) = smaller(&program).into_iter().find(|smaller| fails(smaller)) else {
            return program;
        };
        program = smaller;
    }
}

/// Programs that are one step smaller, the smallest first.
fn smaller(program: &Program) -> Vec<Program> {
    let mut found = Vec::new();
    let mut add = |change: &dyn Fn(&mut Program)| {
        let mut smaller = program.clone();
        change(&mut smaller);
        if smaller != *program {
            found.push(smaller);
        }
    };
    if program.tasks.len() > 1 {
        for task in 0..program.tasks.len() {
            add(&|program| {
                program.tasks.remove(task);
                program.cancels.retain(|cancel| cancel.task != task);
                for cancel in &mut program.cancels {
                    cancel.task -= usize::from(cancel.task > task);
                }
            });
        }
    }
    for cancel in 0..program.cancels.len() {
        add(&|program| _ = program.cancels.remove(cancel));
    }
    add(&|program| program.eager = false);
    add(&|program| program.set_at = None);
    for (task, parts) in program.tasks.iter().enumerate() {
        for smaller in smaller_parts(parts) {
            add(&|program| program.tasks[task] = smaller.clone());
        }
    }
    for cancel in 0..program.cancels.len() {
        for at in shorter(program.cancels[cancel].at) {
            add(&|program| program.cancels[cancel].at = at);
        }
    }
    add(&|program| program.permits = 1);
    add(&|program| program.queue = 0);
    found
}

/// Lists of parts that are one step smaller.
fn smaller_parts(parts: &[Node]) -> Vec<Vec<Node>> {
    let mut found = Vec::new();
    for index in 0..parts.len() {
        let mut less = parts.to_vec();
        less.remove(index);
        found.push(less);
    }
    for (index, part) in parts.iter().enumerate() {
        let mut flat = parts.to_vec();
        // Its parts replace it.
        if !part.parts.is_empty() {
            flat.splice(index..=index, part.parts.iter().cloned());
            found.push(flat);
        }
        let with = |node: Node| {
            let mut changed = parts.to_vec();
            changed[index] = node;
            changed
        };
        for less in smaller_parts(&part.parts) {
            found.push(with(Node { kind: part.kind, parts: less }));
        }
        for kind in simpler(part.kind) {
            found.push(with(Node { kind, parts: part.parts.clone() }));
        }
    }
    found
}

/// Simpler kinds.
fn simpler(kind: Kind) -> Vec<Kind> {
    use Kind::{
        Borrow, Buffered, Channel, Choose, Cleanup, Event, Future, Get, Join, Joined, Lend,
        Library, Manager, Never, Notified, Oneshot, Put, Race, Select, Sleep, Spins, Timeout,
        TryJoin, TryJoined, Unordered, WaitFor, Waked,
    };
    let times = |of: fn(u16) -> Kind, ms| shorter(ms).into_iter().map(of).collect::<Vec<_>>();
    match kind {
        Sleep(ms) => times(Sleep, ms),
        Future(ms) => [vec![Sleep(ms)], times(Future, ms)].concat(),
        Get | Put | Event | Notified => vec![Sleep(30)],
        Oneshot(ms) => [vec![Never], times(Oneshot, ms)].concat(),
        Channel(ms) => vec![Oneshot(ms)],
        Waked(ms) => vec![Oneshot(ms)],
        Library(ms) => [vec![Never], times(Library, ms)].concat(),
        Spins(n) => times(Spins, n),
        WaitFor(ms) => times(WaitFor, ms),
        Timeout(ms) => [vec![WaitFor(ms)], times(Timeout, ms)].concat(),
        Manager(ms) => times(Manager, ms),
        Cleanup(ms) => times(Cleanup, ms),
        Borrow(ms) => times(Borrow, ms),
        TryJoin | Unordered | Buffered(_) => vec![Join],
        Lend => vec![Join, Select],
        Joined => vec![Join],
        TryJoined => vec![TryJoin, Joined],
        Race => vec![Select],
        Choose => vec![Lend, Race],
        _ => Vec::new(),
    }
}

/// Shorter times; times that need not differ become equal.
fn shorter(ms: u16) -> Vec<u16> {
    [0, 1, 2, ms / 2, ms.saturating_sub(1)].into_iter().filter(|less| *less < ms).collect()
}
