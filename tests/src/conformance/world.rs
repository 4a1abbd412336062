//! [`World`]: the state of a running scenario, with its loop, its names and its trace.

use super::{
    objects::Object,
    program::{Block, Declaration, Expression, Parsed, Scenario, Target, Test},
    resumes::Resumes,
    value::{Value, error_json},
};
use asyncio_core::{
    Error, Result,
    exception::ExceptionContext,
    handle::{Handle, TimerHandle},
};
use asyncio_future::DoneCallback;
use asyncio_loop::EventLoop;
use asyncio_task::{AnyTask, Awaitable, FutureLike, Group, Task, Watch, current_task};
use serde_json::{Value as Json, json};
use std::{
    cell::{Cell, RefCell},
    collections::HashMap,
    rc::{Rc, Weak},
    time::Duration,
};

/// A scenario that has logged this much is considered endless.
const MAX_EVENTS: usize = 20_000;

/// A scenario that has run this many statements is considered endless.
const MAX_STATEMENTS: usize = 1_000_000;

pub(crate) struct World {
    pub(crate) scenario: Scenario,
    pub(crate) event_loop: EventLoop,
    pub(crate) names: RefCell<Names>,
    /// Every task that a statement spawned.
    spawned: RefCell<Vec<AnyTask>>,
    trace: RefCell<Vec<Json>>,
    statements: Cell<usize>,
    /// Indexed by the task's place in the order of creation.
    pub(super) resumes: RefCell<HashMap<u64, Resumes>>,
    over: Cell<bool>,
    unretrieved: RefCell<Unretrieved>,
}

/// The objects that are bound to names. All of them are dropped at the end, so that the loop can report errors that
/// were never retrieved.
#[derive(Default)]
pub(crate) struct Names {
    pub(crate) objects: HashMap<String, Object>,
    pub(crate) variables: HashMap<String, i64>,
    pub(crate) tasks: HashMap<String, Task<Value>>,
    pub(crate) futures: HashMap<String, Awaitable<Value>>,
    pub(crate) handles: HashMap<String, AnyHandle>,
    pub(crate) timeouts: HashMap<String, Watch>,
    pub(crate) groups: HashMap<String, Group>,
    /// The done callbacks that were added, with the objects to which they were added.
    pub(crate) callbacks: Vec<(Awaitable<Value>, String, DoneCallback)>,
}

pub(crate) enum AnyHandle {
    Soon(Handle),
    Timer(TimerHandle),
}

impl AnyHandle {
    pub(crate) fn cancel(&self) {
        match self {
            AnyHandle::Soon(handle) => handle.cancel(),
            AnyHandle::Timer(handle) => handle.cancel(),
        }
    }
}

/// The declared futures, in order: name and number.
pub(crate) type Declared = Vec<(String, usize)>;

/// What the exception handler received when the last handles were dropped.
#[derive(Default)]
struct Unretrieved {
    /// The place in the order of creation, and the name.
    tasks: Vec<(u64, String)>,
    futures: Vec<usize>,
}

impl World {
    /// Makes the objects that the scenario declares. Returns the declared futures.
    pub(crate) fn new(scenario: Scenario, event_loop: &EventLoop) -> Parsed<(Rc<World>, Declared)> {
        let mut names = Names::default();
        let mut declared = Vec::new();
        for (name, declaration) in &scenario.objects {
            match declaration {
                Declaration::Future => {
                    let future = event_loop.create_future();
                    declared.push((name.clone(), future.id()));
                    names.futures.insert(name.clone(), future.into());
                }
                Declaration::Variable(value) => {
                    names.variables.insert(name.clone(), *value);
                }
                other => {
                    let object = Object::declare(other, &names.objects)?;
                    names.objects.insert(name.clone(), object);
                }
            }
        }
        let world = Rc::new(World {
            scenario,
            event_loop: event_loop.clone(),
            names: RefCell::new(names),
            spawned: RefCell::default(),
            trace: RefCell::default(),
            statements: Cell::new(0),
            resumes: RefCell::default(),
            over: Cell::new(false),
            unretrieved: RefCell::default(),
        });
        // A weak reference, because the loop owns the handler.
        let weak: Weak<World> = Rc::downgrade(&world);
        event_loop.set_exception_handler(move |_, context| {
            if let Some(world) = weak.upgrade() {
                world.handle(context);
            }
        });
        Ok((world, declared))
    }

    /// The exception handler.
    fn handle(&self, context: &ExceptionContext) {
        let message = context.message();
        if message.ends_with("was never retrieved") {
            let mut unretrieved = self.unretrieved.borrow_mut();
            if let Some(task) = context.task_ref().filter(|task| task.is_named()) {
                unretrieved.tasks.push((task.sequence(), task.name().to_string()));
            }
            unretrieved.futures.extend(context.future());
            return;
        }
        let what = if message.starts_with("Task was destroyed") {
            return;
        } else if message.starts_with("Exception in callback") {
            "callback"
        } else if message.ends_with("exception in shielded future") {
            "shield"
        } else if message.starts_with("unhandled exception during asyncio.run() shutdown") {
            "shutdown"
        } else {
            message
        };
        let error = context.exception().map(error_json);
        let error = error.as_ref().map_or(&Json::Null, |error| &error["err"]);
        self.log("!handler", json!({ "handler": what, "err": error }));
    }

    /// Adds an event to the trace.
    pub(crate) fn log(&self, id: &str, value: Json) {
        if self.over.get() {
            return;
        }
        let mut trace = self.trace.borrow_mut();
        if trace.len() >= MAX_EVENTS {
            return self.event_loop.stop();
        }
        trace.push(json!([self.now(), self.current(), id, value]));
    }

    fn current(&self) -> String {
        current_task().map_or_else(|| "-".to_owned(), |task| task.name().to_string())
    }

    /// Counts a statement. Returns an error if there were too many.
    pub(crate) fn step(&self) -> Result<()> {
        let statements = self.statements.get() + 1;
        self.statements.set(statements);
        if statements > MAX_STATEMENTS {
            self.event_loop.stop();
            return Err(Error::msg("the scenario does not come to an end"));
        }
        Ok(())
    }

    /// Binds a task that was just spawned.
    pub(crate) fn bind_task(&self, name: &str, task: Task<Value>) {
        self.spawned.borrow_mut().push((*task).clone());
        let previous = self.names.borrow_mut().tasks.insert(name.to_owned(), task);
        drop(previous);
    }

    /// Checks that every task that was spawned is done, or is among the loop's `pending` tasks.
    pub(crate) fn account(&self, pending: &[AnyTask]) -> Result<(), String> {
        let lost = |task: &&AnyTask| task.done() == pending.contains(task);
        match self.spawned.borrow().iter().find(lost) {
            Some(task) => Err(format!("{task:?} is lost: the loop has {pending:?}")),
            None => Ok(()),
        }
    }

    /// Loop time in milliseconds.
    pub(crate) fn now(&self) -> u64 {
        millis(self.event_loop.time())
    }

    /// Ends logging, unbinds all names, and returns the trace.
    pub(crate) fn end(&self) -> Vec<Json> {
        self.over.set(true);
        drop(self.names.take());
        self.trace.take()
    }

    /// The named tasks, and then the declared futures, whose errors were never retrieved.
    pub(crate) fn unretrieved(&self, declared: &[(String, usize)]) -> Vec<String> {
        let Unretrieved { mut tasks, futures } = self.unretrieved.take();
        tasks.sort();
        let named = tasks.into_iter().map(|(_, name)| name).filter(|name| !name.starts_with('~'));
        let declared = declared.iter().filter(|(_, id)| futures.contains(id));
        named.chain(declared.map(|(name, _)| name.clone())).collect()
    }

    /// What a name means now; `None` if it is not bound.
    pub(crate) fn find(&self, target: &Target) -> Option<Awaitable<Value>> {
        let names = self.names.borrow();
        match target {
            Target::Task(name) => Some(names.tasks.get(name)?.clone().into()),
            Target::Future(name) => names.futures.get(name).cloned(),
            Target::Current => Some(current_task()?.downcast::<Value>()?.into()),
        }
    }

    pub(crate) fn variable(&self, name: &str) -> Result<i64> {
        let value = self.names.borrow().variables.get(name).copied();
        value.ok_or_else(|| Error::msg(format!("no variable {name:?}")))
    }

    pub(crate) fn evaluate(&self, expression: &Expression) -> Result<Value> {
        Ok(Value(match expression {
            Expression::Constant(value) => value.clone(),
            Expression::Variable(name) => self.variable(name)?.into(),
        }))
    }

    pub(crate) fn test(&self, test: &Test) -> Result<bool> {
        Ok((test.compare)(&self.variable(&test.variable)?, &test.value))
    }

    /// A handle to an object.
    pub(crate) fn object(&self, name: &str) -> Result<Object> {
        let object = self.names.borrow().objects.get(name).cloned();
        object.ok_or_else(|| Error::msg(format!("no object {name:?}")))
    }

    pub(crate) fn body_of(&self, coroutine: &str) -> Result<Block> {
        let body = self.scenario.coroutine(coroutine).cloned();
        body.ok_or_else(|| Error::msg(format!("no coroutine {coroutine:?}")))
    }
}

/// The name of the state of a task or future.
pub(crate) fn state(future: &impl FutureLike) -> &'static str {
    match (future.cancelled(), future.done()) {
        (true, _) => "cancelled",
        (false, true) => "done",
        (false, false) => "pending",
    }
}

/// A time of the scenario; one before the start of time is the start.
pub(crate) fn duration(ms: i64) -> Duration {
    Duration::from_millis(u64::try_from(ms).unwrap_or(0))
}

/// A loop time in the scenario's unit.
pub(crate) fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}
