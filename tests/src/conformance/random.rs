//! Random scenarios: every feature of the language, in combinations that were not planned.
//!
//! A scenario depends on its seed alone, so that a printed seed can be run again. It always ends, or deadlocks: a
//! coroutine calls and spawns only coroutines with higher numbers, and loops are short.

use serde_json::{Map, Value as Json, json};

mod awaitables;
mod statements;

/// A pseudorandom generator (SplitMix64). The same seed always gives the same numbers.
#[derive(Debug)]
pub(crate) struct Dice(u64);

impl Dice {
    /// The generator with this seed.
    pub(crate) fn new(seed: u64) -> Dice {
        Dice(seed)
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number below `n`.
    pub(crate) fn below(&mut self, n: usize) -> usize {
        // The remainder fits, and a slight bias does not matter.
        (self.next() % n.max(1) as u64) as usize
    }

    /// Returns true with a probability of so many percent.
    pub(crate) fn percent(&mut self, n: usize) -> bool {
        self.below(100) < n
    }

    pub(crate) fn pick<'a, T>(&mut self, list: &'a [T]) -> &'a T {
        &list[self.below(list.len())]
    }

    /// Returns the index of a weight, chosen with a probability in proportion to the weight.
    pub(crate) fn weighed(&mut self, weights: &[usize]) -> usize {
        let mut left = self.below(weights.iter().sum());
        for (index, weight) in weights.iter().enumerate() {
            match left.checked_sub(*weight) {
                Some(rest) => left = rest,
                None => return index,
            }
        }
        0
    }
}

/// Names of each type of object that a scenario may use.
#[derive(Debug, Default)]
struct Names {
    /// Locks, semaphores, conditions.
    lockable: Vec<String>,
    events: Vec<String>,
    conditions: Vec<String>,
    barriers: Vec<String>,
    queues: Vec<String>,
    futures: Vec<String>,
}

#[derive(Debug)]
struct Maker {
    dice: Dice,
    names: Names,
    objects: Map<String, Json>,
    /// The number of coroutines beside `main`, which is number 0.
    coroutines: usize,
    /// The number of the coroutine that is being made.
    current: usize,
    /// How many more times it may call or spawn another one.
    calls: usize,
    /// Whether a named callback is being made. It may neither add a callback nor spawn a coroutine that does, because that
    /// would never end.
    in_callback: bool,
    messages: bool,
    eager: bool,
    /// The kinds of statements that are frequent in this scenario.
    taste: [usize; 8],
    next_id: usize,
    /// Whether tasks may wait for each other in a cycle, or for themselves.
    wild: bool,
}

const VARIABLES: [&str; 2] = ["x", "y"];
const CALLBACKS: [&str; 2] = ["k1", "k2"];
const ERRORS: [&str; 12] = [
    "Boom",
    "Boom",
    "Boom",
    "Bang",
    "Bang",
    "Cancelled",
    "Timeout",
    "InvalidState",
    "QueueFull",
    "Runtime",
    "Value",
    "BrokenBarrier",
];

/// Makes the scenario of a seed.
pub fn scenario(seed: u64) -> Json {
    let mut maker = Maker {
        dice: Dice::new(seed),
        names: Names::default(),
        objects: Map::new(),
        coroutines: 0,
        current: 0,
        calls: 0,
        in_callback: false,
        messages: false,
        eager: false,
        taste: [0; 8],
        next_id: 0,
        wild: false,
    };
    maker.scenario(seed)
}

impl Maker {
    fn scenario(&mut self, seed: u64) -> Json {
        self.coroutines = 2 + self.dice.below(5);
        self.messages = self.dice.percent(20);
        self.wild = self.dice.percent(4);
        self.eager = self.dice.percent(20);
        let all_eager = self.eager && self.dice.percent(60);
        for taste in &mut self.taste {
            *taste = [0, 2, 6, 16][self.dice.below(4)];
        }
        self.declare();
        let mut callbacks = Map::new();
        for name in CALLBACKS {
            self.current = self.coroutines.saturating_sub(1);
            self.calls = 0;
            let length = self.dice.below(3);
            self.in_callback = true;
            callbacks.insert(name.to_owned(), self.callback(length, 1));
            self.in_callback = false;
        }
        // The last one comes first, so that each knows the tasks of those with higher numbers.
        let mut coroutines = Map::new();
        for number in (1..=self.coroutines).rev() {
            (self.current, self.calls) = (number, 3);
            let length = 2 + self.dice.below(6);
            coroutines.insert(coroutine_name(number), self.block(length, 3, Place::default()));
        }
        coroutines.insert(coroutine_name(0), self.main());
        let tags = [("eager", self.eager), ("msg", self.messages), ("wild", self.wild)];
        let tags: Vec<&str> = tags.iter().filter(|(_, on)| *on).map(|(tag, _)| *tag).collect();
        json!({
            "name": format!("random-{seed}"),
            "tags": tags,
            "flags": { "eager": all_eager, "shutdown": self.dice.percent(40) },
            "objects": self.objects,
            "callbacks": callbacks,
            "coros": coroutines,
            "main": coroutine_name(0),
        })
    }

    /// Makes `main`: it spawns a few tasks, schedules a few callbacks, and handles most errors.
    fn main(&mut self) -> Json {
        (self.current, self.calls) = (0, 10);
        let mut body = Vec::new();
        for _ in 0..2 + self.dice.below(4) {
            let id = self.id();
            body.push(self.spawn(&id));
        }
        for _ in 0..self.dice.below(4) {
            let (id, ms, length) = (self.id(), self.dice.below(8), 1 + self.dice.below(2));
            let callback = self.callback(length, 0);
            body.push(json!({ "op": "call_later", "id": id, "ms": ms, "do": callback }));
        }
        for _ in 0..4 + self.dice.below(8) {
            let statement = self.block(1, 3, Place::default());
            if self.dice.percent(20) {
                body.extend(statement.as_array().cloned().unwrap_or_default());
                continue;
            }
            let except = json!([{ "kinds": ["Any"], "body": [] }]);
            let id = self.id();
            body.push(json!({ "op": "try", "id": id, "body": statement, "except": except }));
        }
        body.into()
    }

    fn declare(&mut self) {
        for name in VARIABLES {
            self.objects.insert(name.to_owned(), json!({ "type": "var", "value": 0 }));
        }
        for number in 1..=1 + self.dice.below(3) {
            let name = format!("f{number}");
            self.objects.insert(name.clone(), json!({ "type": "future" }));
            self.names.futures.push(name);
        }
        for number in 1..=2 + self.dice.below(3) {
            self.declare_one(number);
        }
    }

    fn declare_one(&mut self, number: usize) {
        let name = |letter: char| format!("{letter}{number}");
        let value = self.dice.below(3);
        let (name, object) = match self.dice.below(8) {
            0 => {
                self.names.lockable.push(name('L'));
                (name('L'), json!({ "type": "lock" }))
            }
            1 => {
                self.names.events.push(name('E'));
                (name('E'), json!({ "type": "event" }))
            }
            2 => {
                self.names.lockable.push(name('S'));
                (name('S'), json!({ "type": "semaphore", "value": value }))
            }
            3 => {
                self.names.lockable.push(name('B'));
                (name('B'), json!({ "type": "bounded_semaphore", "value": value }))
            }
            4 => {
                let is_lock = |name: &&String| name.starts_with('L');
                let lock = self.names.lockable.iter().find(is_lock).cloned();
                let lock = lock.filter(|_| self.dice.percent(50));
                self.names.lockable.push(name('C'));
                self.names.conditions.push(name('C'));
                let mut object = json!({ "type": "condition" });
                if let Some(lock) = lock {
                    object["lock"] = lock.into();
                }
                (name('C'), object)
            }
            5 => {
                self.names.barriers.push(name('R'));
                (name('R'), json!({ "type": "barrier", "parties": 1 + value }))
            }
            _ => {
                let kind = *self.dice.pick(&["fifo", "fifo", "lifo", "priority"]);
                self.names.queues.push(name('Q'));
                (name('Q'), json!({ "type": "queue", "kind": kind, "maxsize": value }))
            }
        };
        self.objects.insert(name, object);
    }

    fn id(&mut self) -> String {
        self.next_id += 1;
        format!("s{}", self.next_id)
    }

    /// A short time, most often one at which other events happen as well.
    fn ms(&mut self) -> i64 {
        [0, 0, 0, 1, 1, 2, 2, 3, 4, 5, 7, -1][self.dice.below(12)]
    }

    /// The name of any task.
    fn task_name(&mut self) -> String {
        let number = 1 + self.dice.below(self.coroutines);
        self.task_of(number)
    }

    /// The name of a task that runs coroutine `number`.
    fn task_of(&mut self, number: usize) -> String {
        format!("t{number}{}", ["a", "b"][self.dice.below(2)])
    }

    /// The number of a coroutine above the current one. Coroutines that wait only for those never wait in a cycle. In a
    /// wild scenario it may be any number.
    fn above(&mut self) -> Option<usize> {
        let lowest = if self.wild { 1 } else { self.current + 1 };
        let count = (self.coroutines + 1).checked_sub(lowest).filter(|count| *count > 0)?;
        Some(lowest + self.dice.below(count))
    }

    /// The number of a coroutine to call from the current one, if there is one and the limit on calls is not reached.
    fn callee(&mut self) -> Option<usize> {
        let above = self.coroutines - self.current;
        self.calls = self.calls.checked_sub(1)?;
        (above > 0).then(|| self.current + 1 + self.dice.below(above))
    }

    fn error(&mut self) -> &'static str {
        ERRORS[self.dice.below(ERRORS.len())]
    }

    fn test(&mut self) -> Json {
        let cmp = *self.dice.pick(&["==", "!=", "<", "<=", ">", ">="]);
        json!({ "var": self.dice.pick(&VARIABLES), "cmp": cmp, "value": self.dice.below(4) })
    }
}

/// The surroundings of a block, which determine what it may contain.
#[derive(Clone, Copy, Debug, Default)]
struct Place {
    handling: bool,
    finally: bool,
}

fn coroutine_name(number: usize) -> String {
    match number {
        0 => "main".to_owned(),
        number => format!("w{number}"),
    }
}

/// `object` with more members.
fn with(mut object: Json, members: Json) -> Json {
    if let (Some(object), Json::Object(members)) = (object.as_object_mut(), members) {
        object.extend(members);
    }
    object
}
