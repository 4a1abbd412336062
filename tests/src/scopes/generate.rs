//! Random programs, each from a seed alone.

use super::program::{Cancel, Kind, Node, Program};
use crate::conformance::random::Dice;

/// The largest depth of nested parts.
const DEPTH: usize = 5;

/// The approximate number of nodes of a main task.
const BUDGET: usize = 14;

/// Times in milliseconds. Most are likely to coincide with others.
const TIMES: [u16; 12] = [0, 1, 1, 2, 2, 3, 3, 5, 5, 8, 13, 30];

/// The groups of kinds. Each program prefers some of them.
const TASTES: usize = 6;

struct Maker {
    dice: Dice,
    tastes: [usize; TASTES],
    left: usize,
    /// Whether tasks start eagerly.
    eager: bool,
    tasks: usize,
}

/// The program of a seed.
pub fn program(seed: u64) -> Program {
    let mut maker =
        Maker { dice: Dice::new(seed), tastes: [1; TASTES], left: 0, eager: false, tasks: 0 };
    maker.program()
}

impl Maker {
    fn program(&mut self) -> Program {
        for taste in &mut self.tastes {
            *taste = [1, 3, 8, 16][self.dice.below(4)];
        }
        self.eager = self.dice.percent(20);
        self.tasks = 1 + self.dice.below(3);
        let tasks = (0..self.tasks).map(|_| {
            self.left = BUDGET;
            self.parts(1, 3, DEPTH)
        });
        let tasks = tasks.collect();
        let cancels = (0..self.dice.below(4))
            .map(|_| Cancel { at: self.time(), task: self.dice.below(self.tasks) });
        let mut cancels: Vec<Cancel> = cancels.collect();
        cancels.sort_by_key(|cancel| cancel.at);
        let set_at = self.dice.percent(50).then(|| self.time());
        let (queue, permits) = (self.dice.below(3), 1 + self.dice.below(2));
        Program { tasks, cancels, eager: self.eager, set_at, queue, permits }
    }

    fn time(&mut self) -> u16 {
        *self.dice.pick(&TIMES)
    }

    fn parts(&mut self, least: usize, most: usize, depth: usize) -> Vec<Node> {
        let count = least + self.dice.below(most - least + 1);
        (0..count).map(|_| self.node(depth)).collect()
    }

    fn node(&mut self, depth: usize) -> Node {
        self.left = self.left.saturating_sub(1);
        if depth == 0 || self.left == 0 {
            let kind = if self.dice.percent(60) { self.ours() } else { self.foreign() };
            return Node::leaf(kind);
        }
        let depth = depth - 1;
        let tastes = self.tastes;
        match self.dice.weighed(&tastes) {
            0 => Node::leaf(self.ours()),
            1 => Node::leaf(self.foreign()),
            2 => self.scope(depth),
            3 => self.parallel(depth),
            4 => self.handler(depth),
            _ => self.other(depth),
        }
    }

    fn ours(&mut self) -> Kind {
        let time = self.time();
        match self.dice.below(10) {
            0..4 => Kind::Sleep(time),
            4 => Kind::Get,
            5 => Kind::Put,
            6 => Kind::Event,
            7 => Kind::Future(time),
            8 => Kind::Notified,
            _ => Kind::Sleep(30),
        }
    }

    fn foreign(&mut self) -> Kind {
        let time = self.time();
        match self.dice.below(7) {
            0 | 1 => Kind::Never,
            2 => Kind::Oneshot(time),
            3 => Kind::Channel(time),
            4 => Kind::Waked(time),
            5 => Kind::Spins(time % 5),
            _ => Kind::Library(time),
        }
    }

    fn scope(&mut self, depth: usize) -> Node {
        let time = self.time();
        let kind = match self.dice.below(10) {
            0..3 => Kind::WaitFor(time),
            3..6 => Kind::Timeout(time),
            6 => Kind::Manager(time),
            7 | 8 => Kind::Group,
            _ => Kind::Cancellable,
        };
        let most = if kind == Kind::Group { 3 } else { 2 };
        Node { kind, parts: self.parts(1, most, depth) }
    }

    fn parallel(&mut self, depth: usize) -> Node {
        let time = self.time();
        let kind = match self.dice.below(14) {
            9 => Kind::Joined,
            10 => Kind::TryJoined,
            11 => Kind::Race,
            12 | 13 => Kind::Choose,
            0 | 1 => Kind::Join,
            2 => Kind::TryJoin,
            3 => Kind::Unordered,
            4 => Kind::Buffered(2),
            5 | 6 => Kind::Select,
            7 => Kind::Lend,
            8 => Kind::Borrow(time),
            _ => Kind::Join,
        };
        let lends = matches!(kind, Kind::Lend | Kind::Choose);
        let most = if lends { 5 } else { 3 };
        Node { kind, parts: self.parts(2, most, depth) }
    }

    fn handler(&mut self, depth: usize) -> Node {
        let time = self.time();
        let kind = match self.dice.below(7) {
            0 | 1 => Kind::Cleanup(time),
            2 | 3 => Kind::Swallow,
            4 => Kind::Handle,
            _ => Kind::Catch,
        };
        Node { kind, parts: self.parts(1, 2, depth) }
    }

    fn moved(&mut self, depth: usize) -> Node {
        let first = self.node(depth);
        let racers = self.parts(0, 2, depth);
        Node { kind: Kind::Move, parts: [vec![first], racers].concat() }
    }

    fn other(&mut self, depth: usize) -> Node {
        let kind = match self.dice.below(14) {
            0 => Kind::Lock,
            1 => Kind::Permit,
            2 | 3 => Kind::Child,
            4 => Kind::Gather,
            5 => Kind::Shield,
            6 => return Node::leaf(Kind::CancelSelf),
            7 => {
                let task = self.dice.below(self.tasks) as u16;
                return Node::leaf(Kind::CancelTask(task));
            }
            8 => return Node::leaf(Kind::Set),
            9 => return Node::leaf(Kind::Fail),
            10 => return self.moved(depth),
            11 => return Node::leaf(Kind::Notify),
            _ => Kind::Seq,
        };
        Node { kind, parts: self.parts(1, 3, depth) }
    }
}
