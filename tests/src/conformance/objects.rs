//! Locks, events and queues of a scenario.

use super::{
    program::{Declaration, ObjectAct, Parsed, Primitive, PrimitiveOp, QueueKind},
    value::Value,
    world::World,
};
use asyncio_core::{AsyncContextManager, Error, Result};
use asyncio_locks::{Barrier, BoundedSemaphore, Condition, Event, Lock, Semaphore};
use asyncio_queues::{LifoQueue, PriorityQueue, Queue};
use serde_json::{Value as Json, json};
use std::{collections::HashMap, rc::Rc};

#[derive(Clone)]
pub(crate) enum Object {
    Lock(Rc<Lock>),
    Event(Rc<Event>),
    Semaphore(Rc<Semaphore>),
    BoundedSemaphore(Rc<BoundedSemaphore>),
    Condition(Rc<Condition<(), Rc<Lock>>>),
    Barrier(Rc<Barrier>),
    Fifo(Rc<Queue<i64>>),
    Lifo(Rc<LifoQueue<i64>>),
    Priority(Rc<PriorityQueue<i64>>),
}

/// Evaluates `$call` for each kind of queue.
macro_rules! each_queue {
    ($object:expr, $queue:ident => $call:expr) => {
        match $object {
            Object::Fifo($queue) => $call,
            Object::Lifo($queue) => $call,
            Object::Priority($queue) => $call,
            _ => return misuse(),
        }
    };
}

/// An error that no scenario expects.
fn misuse<T>() -> Result<T> {
    Err(Error::msg("an object of another type was expected"))
}

impl Object {
    /// Creates a declared object, which may refer to those declared before it.
    pub(crate) fn declare(
        declaration: &Declaration,
        known: &HashMap<String, Object>,
    ) -> Parsed<Object> {
        Ok(match declaration {
            Declaration::Lock => Object::Lock(Rc::new(Lock::new(()))),
            Declaration::Event => Object::Event(Rc::default()),
            Declaration::Semaphore(value) => Object::Semaphore(Rc::new(Semaphore::new(*value))),
            Declaration::BoundedSemaphore(value) => {
                Object::BoundedSemaphore(Rc::new(BoundedSemaphore::new(*value)))
            }
            Declaration::Condition { lock } => {
                let lock = match lock.as_ref().map(|name| known.get(name)) {
                    None => Rc::new(Lock::new(())),
                    Some(Some(Object::Lock(lock))) => lock.clone(),
                    Some(_) => return Err(format!("{lock:?} is not a lock")),
                };
                Object::Condition(Rc::new(Condition::with_lock(lock)))
            }
            Declaration::Barrier(parties) => {
                let barrier = Barrier::new(*parties);
                Object::Barrier(Rc::new(barrier.map_err(|error| error.to_string())?))
            }
            Declaration::Queue { kind, maxsize } => match kind {
                QueueKind::Fifo => Object::Fifo(Rc::new(Queue::new(*maxsize))),
                QueueKind::Lifo => Object::Lifo(Rc::new(LifoQueue::new(*maxsize))),
                QueueKind::Priority => Object::Priority(Rc::new(PriorityQueue::new(*maxsize))),
            },
            Declaration::Future | Declaration::Variable(_) => {
                return Err(format!("not an object: {declaration:?}"));
            }
        })
    }

    /// Runs an operation that does not wait.
    pub(crate) fn act(&self, act: ObjectAct) -> Result<Json> {
        match act {
            ObjectAct::Release => self.release().map(|()| Json::Null),
            ObjectAct::Locked => Ok(match self {
                Object::Lock(lock) => lock.locked(),
                Object::Semaphore(semaphore) => semaphore.locked(),
                Object::BoundedSemaphore(semaphore) => semaphore.locked(),
                Object::Condition(condition) => condition.locked(),
                _ => return misuse(),
            }
            .into()),
            ObjectAct::Set | ObjectAct::Clear | ObjectAct::IsSet => self.flag(act),
            ObjectAct::Notify(n) => match self {
                Object::Condition(condition) => condition.notify(n).map(|()| Json::Null),
                _ => misuse(),
            },
            ObjectAct::BarrierState => match self {
                Object::Barrier(barrier) => Ok(json!([barrier.n_waiting(), barrier.broken()])),
                _ => misuse(),
            },
            ObjectAct::Put(item) => {
                each_queue!(self, queue => queue.put_nowait(item)?);
                Ok(Json::Null)
            }
            ObjectAct::Get => each_queue!(self, queue => queue.get_nowait()).map(Json::from),
            ObjectAct::TaskDone => {
                each_queue!(self, queue => queue.task_done()).map(|()| Json::Null)
            }
            ObjectAct::Shutdown { immediate } => {
                each_queue!(self, queue => queue.shutdown(immediate));
                Ok(Json::Null)
            }
            ObjectAct::QueueState => {
                Ok(each_queue!(self, queue => json!([queue.qsize(), queue.empty(), queue.full()])))
            }
        }
    }

    fn flag(&self, act: ObjectAct) -> Result<Json> {
        let Object::Event(event) = self else { return misuse() };
        match act {
            ObjectAct::Set => event.set(),
            ObjectAct::Clear => event.clear(),
            _ => return Ok(event.is_set().into()),
        }
        Ok(Json::Null)
    }

    fn release(&self) -> Result<()> {
        match self {
            Object::Lock(lock) => lock.release(),
            Object::Semaphore(semaphore) => {
                semaphore.release();
                Ok(())
            }
            Object::BoundedSemaphore(semaphore) => semaphore.release(),
            Object::Condition(condition) => condition.release(),
            _ => misuse(),
        }
    }

    /// Runs an operation that waits. A lock is then held without a guard, because the scenario releases it.
    pub(crate) async fn wait(self, op: PrimitiveOp, world: Rc<World>) -> Result<Value> {
        match op {
            PrimitiveOp::Acquire => self.acquire().await,
            PrimitiveOp::EventWait => match self {
                Object::Event(event) => event.wait().await.map(|()| Value(true.into())),
                _ => misuse(),
            },
            PrimitiveOp::ConditionWait => match self {
                Object::Condition(condition) => condition.wait().await.map(|()| Value(true.into())),
                _ => misuse(),
            },
            PrimitiveOp::ConditionWaitFor(test) => match self {
                Object::Condition(condition) => {
                    let predicate = || world.test(&test).unwrap_or(true);
                    condition.wait_for(predicate).await.map(|()| Value(true.into()))
                }
                _ => misuse(),
            },
            PrimitiveOp::BarrierWait | PrimitiveOp::BarrierReset | PrimitiveOp::BarrierAbort => {
                let Object::Barrier(barrier) = self else { return misuse() };
                match op {
                    PrimitiveOp::BarrierReset => barrier.reset().await?,
                    PrimitiveOp::BarrierAbort => barrier.abort().await?,
                    _ => return Ok(Value(barrier.wait().await?.into())),
                }
                Ok(Value::default())
            }
            PrimitiveOp::Put(item) => {
                each_queue!(self, queue => queue.put(item).await?);
                Ok(Value::default())
            }
            PrimitiveOp::Get => {
                each_queue!(self, queue => queue.get().await).map(|item| Value(item.into()))
            }
            PrimitiveOp::Join => {
                each_queue!(self, queue => queue.join().await).map(|()| Value::default())
            }
        }
    }

    async fn acquire(&self) -> Result<Value> {
        match self {
            Object::Lock(lock) => std::mem::forget(lock.acquire().await?),
            Object::Semaphore(semaphore) => semaphore.acquire().await?.forget(),
            Object::BoundedSemaphore(semaphore) => semaphore.acquire().await?.forget(),
            Object::Condition(condition) => std::mem::forget(condition.acquire().await?),
            _ => return misuse(),
        }
        Ok(Value(true.into()))
    }
}

/// `async with` of an object that can be acquired. It has no guard: statements of the body or of other coroutines may
/// release it, or wait on it, meanwhile.
impl AsyncContextManager for Object {
    type Target = ();

    async fn enter(&mut self) -> Result<()> {
        self.acquire().await.map(drop)
    }

    async fn exit(&mut self, _: (), _: Option<&Error>) -> Result<()> {
        self.release()
    }
}

impl World {
    /// A waiting operation, as a coroutine.
    pub(crate) async fn primitive(self: Rc<World>, primitive: Primitive) -> Result<Value> {
        let object = self.object(&primitive.object)?;
        object.wait(primitive.op, self).await
    }
}
