//! Random targets and awaitable expressions.

use super::Maker;
use serde_json::{Value as Json, json};

impl Maker {
    /// A task or a future.
    pub(super) fn target(&mut self) -> Json {
        match self.dice.below(10) {
            0..=6 => self.task_target(),
            7 => json!({ "fut": format!("g{}", self.dice.below(self.coroutines + 1)) }),
            _ => json!({ "fut": self.declared_future() }),
        }
    }

    pub(super) fn task_target(&mut self) -> Json {
        match self.dice.below(20) {
            0 => json!({ "task": "self" }),
            1 => json!({ "task": "main" }),
            _ => json!({ "task": self.task_name() }),
        }
    }

    pub(super) fn declared_future(&mut self) -> String {
        self.dice.pick(&self.names.futures).clone()
    }

    /// A task or future to wait for.
    pub(super) fn awaited_target(&mut self) -> Json {
        let above = self.above();
        match (self.dice.below(20), above) {
            (0, _) if self.wild => json!({ "task": "self" }),
            (0..=12, Some(number)) => json!({ "task": self.task_of(number) }),
            (13..=15, Some(number)) => json!({ "fut": format!("g{number}") }),
            (16, _) => json!({ "fut": format!("g{}", self.current) }),
            _ => json!({ "fut": self.declared_future() }),
        }
    }

    pub(super) fn awaited(&mut self, depth: usize) -> Json {
        let composite = if depth > 0 { 10 } else { 0 };
        match self.dice.weighed(&[30, 12, 8, 12, composite, composite, composite]) {
            0 => self.awaited_target(),
            1 => match self.callee() {
                Some(coroutine) => json!({ "coro": super::coroutine_name(coroutine) }),
                None => self.awaited_target(),
            },
            2 => json!({ "sleep": self.ms(), "value": self.dice.below(9) }),
            3 => match self.primitive() {
                Some(primitive) => json!({ "prim": primitive }),
                None => json!({ "sleep": self.ms() }),
            },
            4 => self.gather(depth - 1),
            5 => json!({ "shield": self.awaited(depth - 1) }),
            _ => {
                let timeout = self.timeout();
                json!({ "wait_for": self.awaited(depth - 1), "timeout": timeout })
            }
        }
    }

    pub(super) fn gather(&mut self, depth: usize) -> Json {
        let items = self.items(4, depth);
        json!({ "gather": items, "return_exceptions": self.dice.percent(40) })
    }

    pub(super) fn items(&mut self, most: usize, depth: usize) -> Vec<Json> {
        (0..self.dice.below(most + 1)).map(|_| self.awaited(depth)).collect()
    }

    /// A timeout, or none. It is never negative, because a `Duration` cannot be: with a negative one CPython would run
    /// the timer before all others that are due.
    pub(super) fn timeout(&mut self) -> Option<i64> {
        (!self.dice.percent(15)).then(|| self.ms().max(0))
    }

    /// A waiting operation of an object, if there is an object.
    pub(super) fn primitive(&mut self) -> Option<Json> {
        let weights = [
            2 * self.names.lockable.len(),
            self.names.events.len(),
            2 * self.names.conditions.len(),
            2 * self.names.barriers.len(),
            4 * self.names.queues.len(),
        ];
        if weights.iter().all(|weight| *weight == 0) {
            return None;
        }
        Some(match self.dice.weighed(&weights) {
            0 => json!({ "op": "acquire", "obj": self.dice.pick(&self.names.lockable) }),
            1 => json!({ "op": "event_wait", "obj": self.dice.pick(&self.names.events) }),
            2 => {
                let condition = self.dice.pick(&self.names.conditions).clone();
                if self.dice.percent(60) {
                    json!({ "op": "cond_wait", "obj": condition })
                } else {
                    let test = self.test();
                    super::with(json!({ "op": "cond_wait_for", "obj": condition }), test)
                }
            }
            3 => json!({ "op": "barrier_wait", "obj": self.dice.pick(&self.names.barriers) }),
            _ => {
                let queue = self.dice.pick(&self.names.queues).clone();
                match self.dice.below(5) {
                    0 => json!({ "op": "join", "obj": queue }),
                    1 | 2 => json!({ "op": "put", "obj": queue, "item": self.dice.below(9) }),
                    _ => json!({ "op": "get", "obj": queue }),
                }
            }
        })
    }
}
