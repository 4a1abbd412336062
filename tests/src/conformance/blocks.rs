//! Statements of coroutines: control flow, and statements that wait.

use super::{
    acts::unbound,
    awaitables::Evaluated,
    objects::Object,
    program::{Awaited, Block, Clause, Deadline, Op, Statement, Target, Waiting, When},
    resumes::{Handling, if_cancelled, noting},
    value::{Value, error_json, kind, make_error, matches, outcome_json},
    world::{World, duration},
};
use asyncio_core::{AsyncContextManager, Error, Result};
use asyncio_task::{
    AsCompleted, Awaitable, FutureLike, ReturnWhen, TaskGroup, as_completed, sleep, timeout,
    timeout_at, wait,
};
use serde_json::{Value as Json, json};
use std::{
    cell::Cell,
    collections::HashMap,
    future::{Future, IntoFuture},
    pin::Pin,
    rc::Rc,
};

/// How a block ended, if not by an error.
pub(crate) enum Flow {
    Next,
    Return(Value),
}

/// A running block.
type Running<'a> = Pin<Box<dyn Future<Output = Result<Flow>> + 'a>>;

impl World {
    /// Runs the body of a coroutine.
    pub(crate) async fn run(self: &Rc<World>, body: &Block) -> Result<Value> {
        match self.block(body, None).await? {
            Flow::Next => Ok(Value::default()),
            Flow::Return(value) => Ok(value),
        }
    }

    /// Runs a block. `handling` is the error that is being handled around it. The future is boxed, because blocks contain
    /// blocks.
    fn block<'a>(
        self: &'a Rc<World>,
        block: &'a [Statement],
        handling: Option<Handling<'a>>,
    ) -> Running<'a> {
        Box::pin(async move {
            for statement in block {
                self.step()?;
                if let Flow::Return(value) = self.statement(statement, handling).await? {
                    return Ok(Flow::Return(value));
                }
            }
            Ok(Flow::Next)
        })
    }

    async fn statement(
        self: &Rc<World>,
        statement: &Statement,
        handling: Option<Handling<'_>>,
    ) -> Result<Flow> {
        let id = &statement.id;
        match &statement.op {
            Op::Act(act) => self.log_outcome(id, self.act(act))?,
            Op::Wait(waiting) => {
                let outcome = self.wait(id, waiting).await;
                self.log_outcome(id, outcome)?;
            }
            Op::If { test, then, otherwise } => {
                let block = if self.test(test)? { then } else { otherwise };
                return self.block(block, handling).await;
            }
            Op::Loop { count, body } => {
                for _ in 0..*count {
                    if let Flow::Return(value) = self.block(body, handling).await? {
                        return Ok(Flow::Return(value));
                    }
                }
            }
            Op::Raise(error) => {
                self.log(id, json!({ "err": error }));
                return Err(make_error(error));
            }
            Op::Reraise => {
                return Err(self.reraised(handling));
            }
            Op::Return(value) => return Ok(Flow::Return(self.evaluate(value)?)),
            Op::Try { body, except, finally } => {
                let outcome = self.guarded(id, body, except, handling).await;
                self.block(finally, handling).await?;
                return outcome;
            }
            Op::Timeout { deadline, name, body } => {
                return self.timeout(id, *deadline, name.as_deref(), body, handling).await;
            }
            Op::TaskGroup { name, body } => {
                let group = TaskGroup::new();
                if let Some(name) = name {
                    self.names.borrow_mut().groups.insert(name.clone(), group.handle());
                }
                let (over, waited) = (Cell::new(false), Cell::new(false));
                let inside = group.with(async |_| {
                    let outcome = self.block(body, handling).await;
                    over.set(true);
                    outcome
                });
                let outcome = noting(inside, || waited.set(over.get())).await;
                if waited.get() {
                    self.resumed(false);
                }
                let logged = outcome.as_ref().map_or_else(error_json, |_| Json::Null);
                self.log(id, logged);
                return outcome;
            }
            Op::With { object, body } => {
                return self.with(id, self.object(object)?, body, handling).await;
            }
        }
        Ok(Flow::Next)
    }

    /// `try` and `except`.
    async fn guarded(
        self: &Rc<World>,
        id: &str,
        body: &Block,
        except: &[Clause],
        handling: Option<Handling<'_>>,
    ) -> Result<Flow> {
        let error = match self.block(body, handling).await {
            Ok(flow) => return Ok(flow),
            Err(error) => error,
        };
        let handles = |clause: &&Clause| clause.kinds.iter().any(|kind| matches(kind, &error));
        match except.iter().find(handles) {
            None => Err(error),
            Some(clause) => {
                self.log(id, json!({ "caught": kind(&error) }));
                self.block(&clause.body, Some(self.handling(&error))).await
            }
        }
    }

    async fn timeout(
        self: &Rc<World>,
        id: &str,
        deadline: Deadline,
        name: Option<&str>,
        body: &Block,
        handling: Option<Handling<'_>>,
    ) -> Result<Flow> {
        let timeout = match deadline {
            Deadline::At(at) => timeout_at(duration(at)),
            Deadline::After(ms) => timeout(ms.map(duration)),
        };
        let (timeout, watch) = timeout.watched();
        if let Some(name) = name {
            self.names.borrow_mut().timeouts.insert(name.to_owned(), watch.clone());
        }
        let outcome = timeout.with(async |_| self.block(body, handling).await).await;
        let expired = watch.expired();
        self.log(
            id,
            match &outcome {
                Ok(_) => json!({ "expired": expired }),
                Err(error) => json!({ "err": kind(error), "expired": expired }),
            },
        );
        outcome
    }

    /// `async with` of a lock.
    async fn with(
        self: &Rc<World>,
        id: &str,
        lock: Object,
        body: &Block,
        handling: Option<Handling<'_>>,
    ) -> Result<Flow> {
        let (waited, entered) = (Cell::new(false), Cell::new(false));
        let failed = Cell::new(None);
        let inside = lock.with(async |_| {
            entered.set(true);
            if waited.get() {
                self.resumed(false);
            }
            self.log(id, "acquired".into());
            let outcome = self.block(body, handling).await;
            failed.set(outcome.as_ref().err().map(depth));
            outcome
        });
        let outcome = noting(inside, || waited.set(true)).await;
        if waited.get() && !entered.get() {
            self.resumed(true);
        }
        self.log(
            id,
            match &outcome {
                // The body's own error, unless another one was raised on top of it.
                Err(error) if !entered.get() || failed.get() != Some(depth(error)) => {
                    error_json(error)
                }
                _ => "released".into(),
            },
        );
        outcome
    }
}

/// The length of the chain of contexts of this error.
fn depth(error: &Error) -> usize {
    error.context().map_or(0, |context| 1 + depth(context))
}

/// Statements that wait.
impl World {
    /// Runs the statement, and returns what it logs.
    async fn wait(self: &Rc<World>, id: &str, waiting: &Waiting) -> Result<Json> {
        match waiting {
            Waiting::Sleep(ms) => {
                let slept = self.watched(sleep(duration(*ms)), if_cancelled).await;
                slept.map(|()| Json::Null)
            }
            Waiting::Await(awaited) => {
                let is_thrown = |outcome: &Result<Value>| awaited.is_thrown(outcome);
                let outcome = match self.awaitable(awaited) {
                    None => return Ok(unbound()),
                    Some(Evaluated::Known(known)) => self.watched(known, is_thrown).await,
                    Some(Evaluated::Coroutine(inline)) if awaited.runs_inline() => inline.await,
                    Some(Evaluated::Coroutine(other)) => self.watched(other, is_thrown).await,
                };
                outcome.map(|value| value.0)
            }
            Waiting::Primitive(primitive) => {
                let waited = self.clone().primitive(primitive.clone());
                self.watched(waited, if_cancelled).await.map(|value| value.0)
            }
            Waiting::Wait { targets, return_when, timeout } => {
                self.wait_of(targets, *return_when, *timeout).await
            }
            Waiting::AsCompleted { items, timeout, futures, limit } => {
                let mut names = HashMap::new();
                let mut given = Vec::new();
                for item in items {
                    let Some(evaluated) = self.awaitable(item) else { continue };
                    if let (Awaited::Known(target), Evaluated::Known(known)) = (item, &evaluated) {
                        names.entry(known.id()).or_insert_with(|| name_of(target).to_owned());
                    }
                    given.push(evaluated);
                }
                let items = as_completed(given.into_iter().map(Evaluated::ensure));
                let items = items.timeout(timeout.map(duration));
                let limit = usize::try_from(limit.unwrap_or(i64::MAX)).unwrap_or(0);
                match futures {
                    false => self.results(id, items, limit).await,
                    true => self.futures(id, items, limit, &names).await,
                }
            }
        }
    }

    async fn wait_of(
        &self,
        targets: &[Target],
        return_when: When,
        timeout: Option<i64>,
    ) -> Result<Json> {
        let mut names: Vec<(usize, &str)> = Vec::new();
        let mut futures = Vec::new();
        for target in targets {
            let Some(future) = self.find(target) else { continue };
            if names.iter().all(|(id, _)| *id != future.id()) {
                names.push((future.id(), name_of(target)));
            }
            futures.push(future);
        }
        let waited = wait(futures).timeout(timeout.map(duration)).return_when(match return_when {
            When::AllCompleted => ReturnWhen::AllCompleted,
            When::FirstCompleted => ReturnWhen::FirstCompleted,
            When::FirstException => ReturnWhen::FirstException,
        });
        let waited = self.watched(waited.into_future(), if_cancelled);
        let (done, pending) = waited.await?;
        let named = |set: Vec<Awaitable<Value>>| -> Vec<&str> {
            let is_in = |id: usize| set.iter().any(|future| future.id() == id);
            names.iter().filter(|(id, _)| is_in(*id)).map(|(_, name)| *name).collect()
        };
        Ok(json!({ "done": named(done), "pending": named(pending) }))
    }

    /// The plain iterator: each result or error, in the order of completion.
    async fn results(&self, id: &str, mut items: AsCompleted<Value>, limit: usize) -> Result<Json> {
        let mut taken = 0;
        while taken < limit {
            let Some(next) = items.next_future() else { break };
            taken += 1;
            let outcome = self.watched(next, if_cancelled).await;
            if let Err(error @ Error::Cancelled(_)) = outcome {
                return Err(error);
            }
            self.log(id, outcome_json(&outcome));
        }
        Ok(taken.into())
    }

    /// The asynchronous iterator: each task or future, in the order of completion.
    async fn futures(
        &self,
        id: &str,
        items: AsCompleted<Value>,
        limit: usize,
        names: &HashMap<usize, String>,
    ) -> Result<Json> {
        let mut items = items.futures();
        let mut taken = 0;
        while taken < limit {
            let next = async { items.next().await.transpose() };
            let Some(future) = self.watched(next, if_cancelled).await? else { break };
            taken += 1;
            let outcome = match &future {
                Awaitable::Task(task) => task.result(),
                Awaitable::Future(future) => future.result(),
            };
            let name = names.get(&future.id()).map_or("~", String::as_str);
            self.log(id, json!({ "got": name, "value": outcome_json(&outcome) }));
        }
        Ok(taken.into())
    }
}

/// The name of a target in a result.
fn name_of(target: &Target) -> &str {
    match target {
        Target::Current => "self",
        Target::Task(name) | Target::Future(name) => name,
    }
}
