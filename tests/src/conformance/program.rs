//! A scenario as a typed program, and how JSON becomes one.

use serde_json::{Map, Value as Json};
use std::rc::Rc;

mod expressions;
mod statements;

/// Why a scenario could not be parsed.
pub type Parsed<T> = Result<T, String>;

/// Statements that run one after the other.
pub(crate) type Block = Rc<[Statement]>;

/// A program of the scenario language.
#[derive(Debug)]
pub struct Scenario {
    /// Its name.
    pub name: String,
    pub(crate) eager: bool,
    pub(crate) shutdown: bool,
    /// In the order of declaration.
    pub(crate) objects: Vec<(String, Declaration)>,
    pub(crate) callbacks: Vec<(String, Block)>,
    pub(crate) coroutines: Vec<(String, Block)>,
    pub(crate) main: String,
}

#[derive(Debug)]
pub(crate) enum Declaration {
    Lock,
    Event,
    Semaphore(usize),
    BoundedSemaphore(usize),
    Condition { lock: Option<String> },
    Barrier(usize),
    Queue { kind: QueueKind, maxsize: usize },
    Future,
    Variable(i64),
}

#[derive(Clone, Copy, Debug)]
pub(crate) enum QueueKind {
    Fifo,
    Lifo,
    Priority,
}

#[derive(Debug)]
pub(crate) struct Statement {
    /// The name under which it logs.
    pub(crate) id: String,
    pub(crate) op: Op,
}

#[derive(Debug)]
pub(crate) enum Op {
    Act(Act),
    Wait(Waiting),
    If { test: Test, then: Block, otherwise: Block },
    Loop { count: i64, body: Block },
    Raise(String),
    Reraise,
    Return(Expression),
    Try { body: Block, except: Vec<Clause>, finally: Block },
    Timeout { deadline: Deadline, name: Option<String>, body: Block },
    TaskGroup { name: Option<String>, body: Block },
    With { object: String, body: Block },
}

#[derive(Debug)]
pub(crate) struct Clause {
    pub(crate) kinds: Vec<String>,
    pub(crate) body: Block,
}

/// A statement. Times are in milliseconds.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Deadline {
    At(i64),
    After(Option<i64>),
}

#[derive(Debug)]
pub(crate) struct Test {
    pub(crate) variable: String,
    pub(crate) compare: fn(&i64, &i64) -> bool,
    pub(crate) value: i64,
}

#[derive(Debug)]
pub(crate) enum Expression {
    Constant(Json),
    Variable(String),
}

/// A task or a future that is bound to a name.
#[derive(Debug)]
pub(crate) enum Target {
    Current,
    Task(String),
    Future(String),
}

/// An awaitable expression.
#[derive(Debug)]
pub(crate) enum Awaited {
    Known(Target),
    Coroutine(String),
    Sleep { ms: i64, value: Json },
    Primitive(Primitive),
    Gather { items: Vec<Awaited>, return_exceptions: bool },
    Shield(Box<Awaited>),
    WaitFor { inner: Box<Awaited>, timeout: Option<i64> },
}

/// A simple statement, which does not wait.
#[derive(Debug)]
pub(crate) enum Act {
    Log,
    Time,
    Spawn { task: String, coroutine: String, eager: Option<bool> },
    GroupSpawn { group: String, task: String, coroutine: String, eager: Option<bool> },
    Let { name: String, awaited: Awaited },
    Cancel { target: Target, message: Option<String> },
    Cancelling(Target),
    Uncancel(Target),
    State(Target),
    Result(Target),
    Exception(Target),
    SetResult { target: Target, value: Expression },
    SetException { target: Target, error: String },
    AddDoneCallback { target: Target, callback: String },
    RemoveDoneCallback { target: Target, callback: String },
    CallSoon { body: Block, handle: Option<String> },
    CallLater { ms: i64, body: Block, handle: Option<String> },
    CallAt { at: i64, body: Block, handle: Option<String> },
    CancelHandle(String),
    Reschedule { timeout: String, ms: Option<i64> },
    Expired(String),
    When(String),
    Set { variable: String, value: i64 },
    Add { variable: String, value: i64 },
    Get(String),
    CurrentTask,
    AllTasks,
    Object { name: String, act: ObjectAct },
}

/// An operation of a lock, event or queue that does not wait.
#[derive(Clone, Copy, Debug)]
pub(crate) enum ObjectAct {
    Release,
    Locked,
    Set,
    Clear,
    IsSet,
    Notify(usize),
    BarrierState,
    Put(i64),
    Get,
    TaskDone,
    Shutdown { immediate: bool },
    QueueState,
}

/// A statement that waits.
#[derive(Debug)]
pub(crate) enum Waiting {
    Sleep(i64),
    Await(Awaited),
    Primitive(Primitive),
    Wait { targets: Vec<Target>, return_when: When, timeout: Option<i64> },
    AsCompleted { items: Vec<Awaited>, timeout: Option<i64>, futures: bool, limit: Option<i64> },
}

#[derive(Clone, Copy, Debug)]
pub(crate) enum When {
    AllCompleted,
    FirstCompleted,
    FirstException,
}

/// A waiting operation of an object.
#[derive(Clone, Debug)]
pub(crate) struct Primitive {
    pub(crate) object: String,
    pub(crate) op: PrimitiveOp,
}

#[derive(Clone, Debug)]
pub(crate) enum PrimitiveOp {
    Acquire,
    EventWait,
    ConditionWait,
    ConditionWaitFor(Rc<Test>),
    BarrierWait,
    BarrierReset,
    BarrierAbort,
    Put(i64),
    Get,
    Join,
}

impl Scenario {
    /// Parses the scenario that `json` describes.
    ///
    /// # Errors
    /// If a part of it is not valid.
    pub fn parse(json: &Json) -> Parsed<Scenario> {
        let scenario = Fields::of(json)?;
        let flags = scenario.0.get("flags").map(Fields::of).transpose()?;
        let flag = |name| flags.as_ref().map_or(Ok(false), |flags| flags.flag(name));
        let (eager, shutdown) = (flag("eager")?, flag("shutdown")?);
        let objects = scenario.named("objects", |json| declaration(&Fields::of(json)?))?;
        Ok(Scenario {
            name: scenario.text("name")?,
            eager,
            shutdown,
            objects,
            callbacks: scenario.named("callbacks", statements::block)?,
            coroutines: scenario.named("coros", statements::block)?,
            main: scenario.text("main")?,
        })
    }

    /// The body of a coroutine.
    pub(crate) fn coroutine(&self, name: &str) -> Option<&Block> {
        self.coroutines.iter().find(|(known, _)| known == name).map(|(_, body)| body)
    }

    /// The body of a callback.
    pub(crate) fn callback(&self, name: &str) -> Option<&Block> {
        self.callbacks.iter().find(|(known, _)| known == name).map(|(_, body)| body)
    }
}

fn declaration(object: &Fields<'_>) -> Parsed<Declaration> {
    let count = |key, default| match object.maybe_int(key)? {
        None => Ok(default),
        Some(n) => usize::try_from(n).map_err(|_| format!("{key:?} is negative: {n}")),
    };
    Ok(match object.text("type")?.as_str() {
        "lock" => Declaration::Lock,
        "event" => Declaration::Event,
        "semaphore" => Declaration::Semaphore(count("value", 1)?),
        "bounded_semaphore" => Declaration::BoundedSemaphore(count("value", 1)?),
        "condition" => Declaration::Condition { lock: object.maybe_text("lock")? },
        "barrier" => Declaration::Barrier(count("parties", 0)?),
        "queue" => {
            let kind = match object.maybe_text("kind")?.as_deref() {
                None | Some("fifo") => QueueKind::Fifo,
                Some("lifo") => QueueKind::Lifo,
                Some("priority") => QueueKind::Priority,
                Some(other) => return Err(format!("unknown kind of queue {other:?}")),
            };
            Declaration::Queue { kind, maxsize: count("maxsize", 0)? }
        }
        "future" => Declaration::Future,
        "var" => Declaration::Variable(object.maybe_int("value")?.unwrap_or(0)),
        other => return Err(format!("unknown type of object {other:?}")),
    })
}

/// The members of a JSON object. A member that is null counts as absent.
struct Fields<'a>(&'a Map<String, Json>);

impl<'a> Fields<'a> {
    fn of(json: &'a Json) -> Parsed<Fields<'a>> {
        json.as_object().map(Fields).ok_or_else(|| format!("not an object: {json}"))
    }

    fn get(&self, key: &str) -> Option<&'a Json> {
        self.0.get(key).filter(|json| !json.is_null())
    }

    fn must<T>(&self, key: &str, value: Option<T>) -> Parsed<T> {
        value.ok_or_else(|| format!("no {key:?} in {}", Json::Object(self.0.clone())))
    }

    /// Applies `read` to the member, if there is one. The member must have the type that `read` reads.
    fn maybe<T>(&self, key: &str, read: impl FnOnce(&'a Json) -> Option<T>) -> Parsed<Option<T>> {
        let Some(json) = self.get(key) else { return Ok(None) };
        read(json).map(Some).ok_or_else(|| format!("{key:?} cannot be {json}"))
    }

    fn maybe_text(&self, key: &str) -> Parsed<Option<String>> {
        self.maybe(key, |json| json.as_str().map(str::to_owned))
    }

    fn maybe_int(&self, key: &str) -> Parsed<Option<i64>> {
        self.maybe(key, Json::as_i64)
    }

    fn maybe_flag(&self, key: &str) -> Parsed<Option<bool>> {
        self.maybe(key, Json::as_bool)
    }

    fn text(&self, key: &str) -> Parsed<String> {
        let text = self.maybe_text(key)?;
        self.must(key, text)
    }

    fn int(&self, key: &str) -> Parsed<i64> {
        let int = self.maybe_int(key)?;
        self.must(key, int)
    }

    fn flag(&self, key: &str) -> Parsed<bool> {
        Ok(self.maybe_flag(key)?.unwrap_or(false))
    }

    /// Reads a list, which is empty if the member is absent.
    fn list<T>(&self, key: &str, read: impl Fn(&'a Json) -> Parsed<T>) -> Parsed<Vec<T>> {
        let list = self.maybe(key, Json::as_array)?;
        list.map_or(&[][..], Vec::as_slice).iter().map(read).collect()
    }

    /// Reads an object whose keys are names, in its own order. It is empty if the member is absent.
    fn named<T>(
        &self,
        key: &str,
        read: impl Fn(&'a Json) -> Parsed<T>,
    ) -> Parsed<Vec<(String, T)>> {
        let object = self.maybe(key, Json::as_object)?;
        let members = object.into_iter().flatten();
        members.map(|(name, json)| Ok((name.clone(), read(json)?))).collect()
    }
}
