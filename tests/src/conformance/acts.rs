//! Simple statements, which do not wait.

use super::{
    program::{Act, Block, Op, Target},
    value::{Value, error_json, make_error},
    world::{AnyHandle, World, duration, millis, state},
};
use asyncio_core::{CancelledError, Error, Result};
use asyncio_task::{Awaitable, FutureLike, Task, TaskBuilder, all_tasks, current_task};
use serde_json::{Value as Json, json};
use std::rc::Rc;

/// What a statement logs if its target is not bound.
pub(crate) fn unbound() -> Json {
    "unbound".into()
}

/// Evaluates an expression about the object bound to a name. Returns `"unbound"` if there is none.
macro_rules! bound {
    ($found:expr) => {
        match $found {
            Some(found) => found,
            None => return Ok(unbound()),
        }
    };
}

impl World {
    /// Runs a simple statement. Returns what it logs.
    pub(crate) fn act(self: &Rc<World>, act: &Act) -> Result<Json> {
        match act {
            Act::Log => Ok(Json::Null),
            Act::Time => Ok(self.now().into()),
            Act::Spawn { task, coroutine, eager } => {
                let spawned = named(task, *eager).create(self.call(coroutine));
                self.bind_task(task, spawned);
                Ok(Json::Null)
            }
            Act::GroupSpawn { group, task, coroutine, eager } => {
                let group = bound!(self.names.borrow().groups.get(group).cloned());
                let spawned = group.create_task_with(named(task, *eager), self.call(coroutine))?;
                self.bind_task(task, spawned);
                Ok(Json::Null)
            }
            Act::Let { name, awaited } => {
                let future = bound!(self.awaitable(awaited)).ensure();
                self.names.borrow_mut().futures.insert(name.clone(), future);
                Ok(Json::Null)
            }
            Act::CallSoon { .. } | Act::CallLater { .. } | Act::CallAt { .. } => self.schedule(act),
            Act::CancelHandle(name) => {
                let names = self.names.borrow();
                bound!(names.handles.get(name)).cancel();
                Ok(Json::Null)
            }
            Act::Reschedule { timeout, ms } => {
                let timeout = bound!(self.names.borrow().timeouts.get(timeout).cloned());
                let now = self.event_loop.time();
                timeout.reschedule(ms.map(|ms| now + duration(ms)))?;
                Ok(Json::Null)
            }
            Act::Expired(name) => {
                Ok(bound!(self.names.borrow().timeouts.get(name).cloned()).expired().into())
            }
            Act::When(name) => {
                let when = bound!(self.names.borrow().timeouts.get(name).cloned()).when();
                Ok(when.map(millis).into())
            }
            Act::Set { variable, value } => {
                self.names.borrow_mut().variables.insert(variable.clone(), *value);
                Ok((*value).into())
            }
            Act::Add { variable, value } => {
                let sum = self.variable(variable)? + value;
                self.names.borrow_mut().variables.insert(variable.clone(), sum);
                Ok(sum.into())
            }
            Act::Get(variable) => Ok(self.variable(variable)?.into()),
            Act::CurrentTask => Ok(current_task().map(|task| task.name().to_string()).into()),
            Act::AllTasks => Ok(all_tasks()?.len().into()),
            Act::Object { name, act } => self.object(name)?.act(*act),
            _ => self.act_on_future(act),
        }
    }

    fn act_on_future(self: &Rc<World>, act: &Act) -> Result<Json> {
        match act {
            Act::Cancel { target, message } => {
                let error = match message.as_deref() {
                    None | Some("") => CancelledError::default(),
                    Some(message) => CancelledError::new(message.to_owned()),
                };
                Ok(bound!(self.find(target)).cancel_as(error).into())
            }
            Act::Cancelling(target) => match bound!(self.find(target)) {
                Awaitable::Task(task) => Ok(task.cancelling().into()),
                Awaitable::Future(_) => Err(Error::msg("a future has no cancelling()")),
            },
            Act::Uncancel(target) => match bound!(self.find(target)) {
                Awaitable::Task(task) => Ok(task.uncancel().into()),
                Awaitable::Future(_) => Err(Error::msg("a future has no uncancel()")),
            },
            Act::State(target) => Ok(state(&bound!(self.find(target))).into()),
            Act::Result(target) => match bound!(self.find(target)) {
                Awaitable::Task(task) => task.result().map(|value| value.0),
                Awaitable::Future(future) => future.result().map(|value| value.0),
            },
            Act::Exception(target) => {
                let exception = bound!(self.find(target)).exception()?;
                Ok(exception.as_ref().map_or(Json::Null, error_json))
            }
            Act::SetResult { target, value } => {
                let future = bound!(self.find(target));
                let value = self.evaluate(value)?;
                settle(future, Ok(value))
            }
            Act::SetException { target, error } => {
                settle(bound!(self.find(target)), Err(make_error(error)))
            }
            Act::AddDoneCallback { target, callback } => self.add_done_callback(target, callback),
            Act::RemoveDoneCallback { target, callback } => {
                let future = bound!(self.find(target));
                let mut removed = 0;
                self.names.borrow_mut().callbacks.retain(|(of, name, added)| {
                    let is_it = of.id() == future.id() && name == callback;
                    if is_it {
                        removed += future.remove_done_callback(added);
                    }
                    !is_it
                });
                Ok(removed.into())
            }
            other => Err(Error::msg(format!("not a simple statement: {other:?}"))),
        }
    }

    fn add_done_callback(self: &Rc<World>, target: &Target, name: &str) -> Result<Json> {
        let future = bound!(self.find(target));
        let body = self.scenario.callback(name).cloned();
        let body = body.ok_or_else(|| Error::msg(format!("no callback {name:?}")))?;
        let (world, id) = (self.clone(), name.to_owned());
        let added = future.on_done_with(move |future| {
            world.log(&id, state(future).into());
            world.run_callback(&body)
        })?;
        self.names.borrow_mut().callbacks.push((future, name.to_owned(), added));
        Ok(Json::Null)
    }

    fn schedule(self: &Rc<World>, act: &Act) -> Result<Json> {
        let callback = |body: &Block| {
            let (world, body) = (self.clone(), body.clone());
            move || world.run_callback(&body)
        };
        let (registered, name) = match act {
            Act::CallSoon { body, handle } => {
                (AnyHandle::Soon(self.event_loop.call_soon(callback(body))?), handle)
            }
            Act::CallLater { ms, body, handle } => {
                let timer = self.event_loop.call_later(duration(*ms), callback(body))?;
                (AnyHandle::Timer(timer), handle)
            }
            Act::CallAt { at, body, handle } => {
                let timer = self.event_loop.call_at(duration(*at), callback(body))?;
                (AnyHandle::Timer(timer), handle)
            }
            other => return Err(Error::msg(format!("not a callback: {other:?}"))),
        };
        if let Some(name) = name {
            self.names.borrow_mut().handles.insert(name.clone(), registered);
        }
        Ok(Json::Null)
    }

    /// Runs the statements of a callback; the first error ends it.
    pub(crate) fn run_callback(self: &Rc<World>, block: &Block) -> Result<()> {
        for statement in block.iter() {
            self.step()?;
            let outcome = match &statement.op {
                Op::If { test, then, otherwise } => {
                    self.run_callback(if self.test(test)? { then } else { otherwise })?;
                    continue;
                }
                Op::Loop { count, body } => {
                    for _ in 0..*count {
                        self.run_callback(body)?;
                    }
                    continue;
                }
                Op::Raise(error) => Err(make_error(error)),
                Op::Act(act) => self.act(act),
                other => Err(Error::msg(format!("not for callbacks: {other:?}"))),
            };
            self.log_outcome(&statement.id, outcome)?;
        }
        Ok(())
    }

    /// Logs the outcome of a statement, and passes an error on.
    pub(crate) fn log_outcome(&self, id: &str, outcome: Result<Json>) -> Result<()> {
        match outcome {
            Ok(value) => {
                self.log(id, value);
                Ok(())
            }
            Err(error) => {
                self.log(id, error_json(&error));
                Err(error)
            }
        }
    }
}

/// The keyword arguments of `create_task`.
fn named(name: &str, eager: Option<bool>) -> TaskBuilder {
    let task = Task::builder().name(name);
    match eager {
        Some(eager) => task.eager_start(eager),
        None => task,
    }
}

fn settle(future: Awaitable<Value>, outcome: Result<Value>) -> Result<Json> {
    match (future, outcome) {
        (Awaitable::Future(future), Ok(value)) => future.set_result(value)?,
        (Awaitable::Future(future), Err(error)) => future.set_exception(error)?,
        (Awaitable::Task(_), _) => {
            return Err(Error::runtime("Task does not support set_result operation"));
        }
    }
    Ok(json!(null))
}
