//! Random statements and blocks.

use super::{CALLBACKS, Maker, Place, VARIABLES, with};
use serde_json::{Value as Json, json};

impl Maker {
    pub(super) fn block(&mut self, length: usize, depth: usize, place: Place) -> Json {
        let mut block: Vec<Json> = (0..length).map(|_| self.statement(depth, place)).collect();
        let often = if self.current == 0 { 1 } else { 4 * depth * depth };
        if !place.finally && self.dice.percent(often) {
            let value = match self.dice.percent(20) {
                true => json!({ "var": self.dice.pick(&VARIABLES) }),
                false => self.dice.below(100).into(),
            };
            block.push(json!({ "op": "return", "value": value }));
        }
        block.into()
    }

    /// Statements of a callback.
    pub(super) fn callback(&mut self, length: usize, depth: usize) -> Json {
        let statements = (0..length).map(|_| match self.dice.below(12) {
            0 => json!({ "op": "raise", "id": self.id(), "error": self.error() }),
            1 if depth > 0 => {
                let body = self.callback(2, depth - 1);
                json!({ "op": "loop", "count": 2, "body": body })
            }
            2 if depth > 0 => {
                let (then, otherwise) = (self.callback(1, depth - 1), self.callback(1, depth - 1));
                with(json!({ "op": "if", "then": then, "else": otherwise }), self.test())
            }
            _ => self.act(depth),
        });
        let statements: Vec<Json> = statements.collect();
        statements.into()
    }

    fn statement(&mut self, depth: usize, place: Place) -> Json {
        let nested = if depth > 0 { 1 } else { 0 };
        let [objects, timeouts, groups, cancels, futures, sets, loops, callbacks] = self.taste;
        let weights = [
            30,                          // sleep
            20,                          // spawn
            16,                          // await
            40 * nested,                 // try
            8 + 2 * callbacks + futures, // any simple statement
            objects * 2,                 // waiting operations
            timeouts * nested,           // timeout
            groups * nested,             // taskgroup
            2 * cancels,                 // cancel
            sets,                        // wait
            sets / 2,                    // as_completed
            objects * nested,            // with
            loops / 2 * nested,          // loop
            4 * nested,                  // if
            3,                           // raise
            if place.handling { 8 } else { 0 },
        ];
        let id = self.id();
        match self.dice.weighed(&weights) {
            0 => json!({ "op": "sleep", "id": id, "ms": self.ms() }),
            1 => self.spawn(&id),
            2 => json!({ "op": "await", "id": id, "aw": self.awaited(2) }),
            3 => self.guarded(&id, depth, place),
            4 => self.act(1),
            5 => self.waiting(&id),
            6 => self.timeout_block(&id, depth, place),
            7 => {
                let name = format!("G{}", 1 + self.dice.below(2));
                let body = self.group_body(&name, depth, place);
                json!({ "op": "taskgroup", "id": id, "name": name, "body": body })
            }
            8 => self.cancel(&id),
            9 => self.wait(&id),
            10 => self.as_completed(&id),
            11 if !self.names.lockable.is_empty() => {
                let lock = self.dice.pick(&self.names.lockable).clone();
                let body = self.locked_body(&lock, depth, place);
                json!({ "op": "with", "id": id, "obj": lock, "body": body })
            }
            12 => {
                let count = 2 + self.dice.below(2);
                json!({ "op": "loop", "count": count, "body": self.nested(depth, place) })
            }
            13 => {
                let (then, otherwise) = (self.nested(depth, place), self.nested(depth, place));
                with(json!({ "op": "if", "then": then, "else": otherwise }), self.test())
            }
            14 => json!({ "op": "raise", "id": id, "error": self.error() }),
            15 => json!({ "op": "reraise" }),
            _ => json!({ "op": "log", "id": id }),
        }
    }

    fn nested(&mut self, depth: usize, place: Place) -> Json {
        let length = 1 + self.dice.below(3);
        self.block(length, depth - 1, place)
    }

    /// The body of a condition most often uses the condition.
    fn locked_body(&mut self, lock: &str, depth: usize, place: Place) -> Json {
        let mut body = self.nested(depth, place);
        if self.names.conditions.iter().any(|name| name == lock) && self.dice.percent(80) {
            let id = self.id();
            let statement = json!({ "id": id, "obj": lock });
            let statement = with(
                statement,
                match self.dice.below(8) {
                    0..=3 => json!({ "op": "cond_wait" }),
                    4 => with(json!({ "op": "cond_wait_for" }), self.test()),
                    5 => json!({ "op": "notify_all" }),
                    _ => json!({ "op": "notify", "n": 1 + self.dice.below(2) }),
                },
            );
            if let Some(body) = body.as_array_mut() {
                body.insert(self.dice.below(2), statement);
            }
        }
        body
    }

    pub(super) fn spawn(&mut self, id: &str) -> Json {
        let Some(coroutine) = self.callee() else { return json!({ "op": "log", "id": id }) };
        let mut spawn = json!({ "op": "spawn", "id": id, "task": self.task_of(coroutine), "coro": super::coroutine_name(coroutine) });
        if self.eager && self.dice.percent(40) {
            spawn["eager"] = self.dice.percent(70).into();
        }
        spawn
    }

    fn group_body(&mut self, name: &str, depth: usize, place: Place) -> Json {
        let mut body = Vec::new();
        for _ in 0..1 + self.dice.below(3) {
            let id = self.id();
            body.push(self.group_spawn(&id, name));
            if self.dice.percent(50) {
                body.push(self.statement(depth - 1, place));
            }
        }
        body.into()
    }

    fn group_spawn(&mut self, id: &str, group: &str) -> Json {
        let spawn = self.spawn(id);
        match spawn.get("coro") {
            Some(_) => with(spawn, json!({ "op": "tg_spawn", "tg": group })),
            None => spawn,
        }
    }

    fn guarded(&mut self, id: &str, depth: usize, place: Place) -> Json {
        let body = self.nested(depth, place);
        let mut clauses = Vec::new();
        for _ in 0..self.dice.below(3) {
            let pattern = [
                "Any",
                "Any",
                "Cancelled",
                "Cancelled",
                "Error",
                "User",
                "Group",
                "Timeout",
                "Boom",
            ];
            let kinds = vec![*self.dice.pick(&pattern)];
            let handling = self.nested(depth, Place { handling: true, ..place });
            clauses.push(json!({ "kinds": kinds, "body": handling }));
        }
        let mut statement = json!({ "op": "try", "id": id, "body": body, "except": clauses });
        if self.dice.percent(25) {
            statement["finally"] = self.nested(depth, Place { handling: false, finally: true });
        }
        statement
    }

    fn timeout_block(&mut self, id: &str, depth: usize, place: Place) -> Json {
        let name = format!("T{}", 1 + self.dice.below(2));
        let body = self.nested(depth, place);
        let block = json!({ "op": "timeout", "id": id, "name": name, "body": body });
        match self.dice.percent(20) {
            true => with(block, json!({ "at": self.dice.below(8) })),
            false => with(block, json!({ "ms": self.timeout() })),
        }
    }

    fn cancel(&mut self, id: &str) -> Json {
        let mut cancel = json!({ "op": "cancel", "id": id, "target": self.target() });
        if self.messages && self.dice.percent(60) {
            cancel["msg"] = (*self.dice.pick(&["m1", "m2", "m3"])).into();
        }
        cancel
    }

    fn waiting(&mut self, id: &str) -> Json {
        if self.dice.percent(15) && !self.names.barriers.is_empty() {
            let op = *self.dice.pick(&["barrier_reset", "barrier_abort"]);
            return json!({ "op": op, "id": id, "obj": self.dice.pick(&self.names.barriers) });
        }
        match self.primitive() {
            Some(primitive) => with(json!({ "id": id }), primitive),
            None => json!({ "op": "sleep", "id": id, "ms": self.ms() }),
        }
    }

    fn wait(&mut self, id: &str) -> Json {
        let targets: Vec<Json> = (0..self.dice.below(4)).map(|_| self.awaited_target()).collect();
        let whens = ["ALL_COMPLETED", "FIRST_COMPLETED", "FIRST_EXCEPTION"];
        json!({
            "op": "wait", "id": id, "aws": targets,
            "return_when": self.dice.pick(&whens), "timeout": self.timeout(),
        })
    }

    fn as_completed(&mut self, id: &str) -> Json {
        let items = self.items(3, 1);
        let mode = *self.dice.pick(&["iter", "aiter"]);
        let mut statement = json!({
            "op": "as_completed", "id": id, "aws": items, "mode": mode, "timeout": self.timeout(),
        });
        if self.dice.percent(20) {
            statement["limit"] = self.dice.below(3).into();
        }
        statement
    }

    /// A simple statement.
    pub(super) fn act(&mut self, depth: usize) -> Json {
        let [objects, timeouts, groups, cancels, futures, ..] = self.taste;
        let id = self.id();
        let weights = [6, objects * 2, timeouts, groups, 2 * cancels, 4 + 3 * futures, 8, 6, 4];
        match self.dice.weighed(&weights) {
            0 => {
                let op = *self.dice.pick(&["log", "time", "current_task", "all_tasks"]);
                json!({ "op": op, "id": id })
            }
            1 => self.object_act(&id),
            2 => {
                let timeout = format!("T{}", 1 + self.dice.below(2));
                match self.dice.below(3) {
                    0 => json!({ "op": "expired", "id": id, "timeout": timeout }),
                    1 => json!({ "op": "when", "id": id, "timeout": timeout }),
                    _ => {
                        let ms = self.timeout();
                        json!({ "op": "reschedule", "id": id, "timeout": timeout, "ms": ms })
                    }
                }
            }
            3 => {
                let group = format!("G{}", 1 + self.dice.below(2));
                self.group_spawn(&id, &group)
            }
            4 => match self.dice.below(5) {
                0 => json!({ "op": "cancelling", "id": id, "target": self.task_target() }),
                1 => json!({ "op": "uncancel", "id": id, "target": self.task_target() }),
                2 => json!({ "op": "uncancel", "id": id, "target": { "task": "self" } }),
                _ => self.cancel(&id),
            },
            5 => self.future_act(&id),
            6 => match self.dice.below(3) {
                0 => {
                    let value = self.dice.below(4);
                    json!({ "op": "set", "id": id, "var": self.dice.pick(&VARIABLES), "value": value })
                }
                1 => {
                    json!({ "op": "add", "id": id, "var": self.dice.pick(&VARIABLES), "value": 1 })
                }
                _ => json!({ "op": "get_var", "id": id, "var": self.dice.pick(&VARIABLES) }),
            },
            7 if depth > 0 => self.schedule(&id, depth),
            _ => self.spawn(&id),
        }
    }

    fn schedule(&mut self, id: &str, depth: usize) -> Json {
        let length = 1 + self.dice.below(2);
        let body = self.callback(length, depth - 1);
        let handle = format!("h{}", 1 + self.dice.below(2));
        let call = json!({ "id": id, "do": body, "handle": handle });
        with(
            call,
            match self.dice.below(4) {
                0 => json!({ "op": "call_soon" }),
                1 => json!({ "op": "call_at", "at": self.dice.below(9) }),
                2 => json!({ "op": "handle_cancel" }),
                _ => json!({ "op": "call_later", "ms": self.ms().max(0) }),
            },
        )
    }

    fn future_act(&mut self, id: &str) -> Json {
        let target = self.target();
        let callback = *self.dice.pick(&CALLBACKS);
        match self.dice.below(10) {
            0 | 1 => {
                let value = self.dice.below(50);
                json!({ "op": "set_result", "id": id, "fut": self.declared_future(), "value": value })
            }
            2 => {
                let future = self.declared_future();
                json!({ "op": "set_exception", "id": id, "fut": future, "error": self.error() })
            }
            3 => {
                let awaited = match self.dice.percent(50) {
                    true => self.gather(1),
                    false => json!({ "shield": self.awaited(1) }),
                };
                let name = format!("g{}", self.current);
                json!({ "op": "let", "id": id, "fut": name, "aw": awaited })
            }
            4 => json!({ "op": "result", "id": id, "target": target }),
            5 => json!({ "op": "exception", "id": id, "target": target }),
            6 | 7 if !self.in_callback => {
                json!({ "op": "add_done_callback", "id": id, "target": target, "cb": callback })
            }
            8 => {
                json!({ "op": "remove_done_callback", "id": id, "target": target, "cb": callback })
            }
            _ => json!({ "op": "state", "id": id, "target": target }),
        }
    }

    fn object_act(&mut self, id: &str) -> Json {
        let names = &self.names;
        let weights = [
            3 * names.lockable.len(),
            2 * names.events.len(),
            3 * names.conditions.len(),
            names.barriers.len(),
            4 * names.queues.len(),
            1,
        ];
        let (ops, list): (&[Json], _) = match self.dice.weighed(&weights) {
            0 => (&[json!({ "op": "release" }), json!({ "op": "locked" })], &names.lockable),
            1 => (
                &[
                    json!({ "op": "event_set" }),
                    json!({ "op": "event_clear" }),
                    json!({ "op": "event_is_set" }),
                ],
                &names.events,
            ),
            2 => (
                &[
                    json!({ "op": "notify" }),
                    json!({ "op": "notify", "n": 2 }),
                    json!({ "op": "notify_all" }),
                ],
                &names.conditions,
            ),
            3 => (&[json!({ "op": "barrier_state" })], &names.barriers),
            4 => (
                &[
                    json!({ "op": "put_nowait", "item": 3 }),
                    json!({ "op": "put_nowait", "item": 5 }),
                    json!({ "op": "get_nowait" }),
                    json!({ "op": "get_nowait" }),
                    json!({ "op": "task_done" }),
                    json!({ "op": "queue_state" }),
                    json!({ "op": "shutdown" }),
                    json!({ "op": "shutdown", "immediate": true }),
                ],
                &names.queues,
            ),
            _ => return json!({ "op": "log", "id": id }),
        };
        let op = self.dice.pick(ops).clone();
        let name = self.dice.pick(list);
        with(json!({ "id": id, "obj": name }), op)
    }
}
