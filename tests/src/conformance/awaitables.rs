//! Awaitable expressions.

use super::{
    program::Awaited,
    value::Value,
    world::{World, duration},
};
use asyncio_core::{Result, raw::with_entered};
use asyncio_task::{Awaitable, create_task, current_task, gather, shield, sleep, wait_for};
use std::{future::Future, pin::Pin, rc::Rc, time::Duration};

/// A coroutine object.
pub(crate) type Coroutine = Pin<Box<dyn Future<Output = Result<Value>>>>;

/// The value of an awaitable expression.
pub(crate) enum Evaluated {
    Known(Awaitable<Value>),
    Coroutine(Coroutine),
}

impl Evaluated {
    /// A coroutine becomes a task.
    pub(crate) fn ensure(self) -> Awaitable<Value> {
        match self {
            Evaluated::Known(known) => known,
            Evaluated::Coroutine(coroutine) => create_task(coroutine).into(),
        }
    }
}

/// `wait_for` of a coroutine. With a timeout of zero asyncio makes it a task, which is visible if tasks are eager.
/// Ours runs it in the calling task, because it may borrow; a program that wants a task calls `create_task`.
async fn within(coroutine: Coroutine, timeout: Option<Duration>) -> Result<Value> {
    match timeout {
        Some(Duration::ZERO)
            if with_entered(|scheduler| scheduler.tasks.are_eager()) == Some(true) =>
        {
            wait_for(create_task(coroutine), timeout).await
        }
        _ => wait_for(coroutine, timeout).await,
    }
}

impl World {
    /// Calls a coroutine of the scenario.
    pub(crate) fn call(self: &Rc<World>, name: &str) -> Coroutine {
        let (world, name) = (self.clone(), name.to_owned());
        Box::pin(async move {
            if let Some(task) = current_task().filter(|task| !task.is_named()) {
                task.set_name(format!("~{name}"));
            }
            let body = world.body_of(&name)?;
            world.run(&body).await
        })
    }

    /// Evaluates an expression, and creates its coroutine objects and futures. Returns `None` if a name is unbound.
    pub(crate) fn awaitable(self: &Rc<World>, awaited: &Awaited) -> Option<Evaluated> {
        Some(match awaited {
            Awaited::Known(target) => Evaluated::Known(self.find(target)?),
            Awaited::Coroutine(name) => Evaluated::Coroutine(self.call(name)),
            Awaited::Sleep { ms, value } => {
                let sleeping = sleep(duration(*ms)).result(Value(value.clone()));
                Evaluated::Coroutine(Box::pin(sleeping))
            }
            Awaited::Primitive(primitive) => {
                Evaluated::Coroutine(Box::pin(self.clone().primitive(primitive.clone())))
            }
            Awaited::Gather { items, return_exceptions } => {
                // Evaluate all of them first: coroutines become tasks only after the last was evaluated.
                let items = self.awaitables(items);
                let gathered = gather(items.into_iter().map(Evaluated::ensure));
                let results = match return_exceptions {
                    false => gathered.collect::<Value>(),
                    true => gathered.return_exceptions().collect::<Value>(),
                };
                Evaluated::Known(results.into_inner().into())
            }
            Awaited::Shield(inner) => Evaluated::Known(match self.awaitable(inner)? {
                Evaluated::Known(known) => shield(known).into_inner(),
                Evaluated::Coroutine(coroutine) => shield(coroutine).into_inner(),
            }),
            Awaited::WaitFor { inner, timeout } => {
                let timeout = timeout.map(duration);
                Evaluated::Coroutine(match self.awaitable(inner)? {
                    Evaluated::Known(known) => Box::pin(wait_for(known, timeout)),
                    Evaluated::Coroutine(coroutine) => Box::pin(within(coroutine, timeout)),
                })
            }
        })
    }

    /// Evaluates a list, and leaves out unbound names.
    pub(crate) fn awaitables(self: &Rc<World>, list: &[Awaited]) -> Vec<Evaluated> {
        list.iter().filter_map(|awaited| self.awaitable(awaited)).collect()
    }
}
