//! Statements from JSON.

use super::expressions::{awaited, expression, maybe_target, primitive, target, test};
use super::{
    Act, Block, Clause, Deadline, Fields, ObjectAct, Op, Parsed, Statement, Target, Waiting, When,
};
use serde_json::Value as Json;

pub(super) fn block(json: &Json) -> Parsed<Block> {
    let list = json.as_array().ok_or_else(|| format!("not a list of statements: {json}"))?;
    list.iter().map(statement).collect()
}

fn statement(json: &Json) -> Parsed<Statement> {
    let fields = Fields::of(json)?;
    let name = fields.text("op")?;
    let op = op(&name, &fields)?.ok_or_else(|| format!("unknown statement {name:?}"))?;
    Ok(Statement { id: fields.maybe_text("id")?.unwrap_or(name), op })
}

fn op(name: &str, fields: &Fields<'_>) -> Parsed<Option<Op>> {
    if let Some(op) = control(name, fields)? {
        return Ok(Some(op));
    }
    if let Some(waiting) = waiting(name, fields)? {
        return Ok(Some(Op::Wait(waiting)));
    }
    if let Some(act) = object_act(name, fields)? {
        return Ok(Some(Op::Act(Act::Object { name: fields.text("obj")?, act })));
    }
    Ok(act(name, fields)?.map(Op::Act))
}

impl Fields<'_> {
    fn block(&self, key: &str) -> Parsed<Block> {
        self.get(key).map_or_else(|| Ok(Block::default()), block)
    }

    fn target(&self) -> Parsed<Target> {
        target(self.must("target", self.get("target"))?)
    }
}

fn control(name: &str, fields: &Fields<'_>) -> Parsed<Option<Op>> {
    Ok(Some(match name {
        "if" => Op::If {
            test: test(fields)?,
            then: fields.block("then")?,
            otherwise: fields.block("else")?,
        },
        "loop" => Op::Loop { count: fields.int("count")?, body: fields.block("body")? },
        "raise" => Op::Raise(fields.text("error")?),
        "reraise" => Op::Reraise,
        "return" => Op::Return(expression(fields)?),
        "try" => Op::Try {
            body: fields.block("body")?,
            except: fields.list("except", clause)?,
            finally: fields.block("finally")?,
        },
        "timeout" => {
            let deadline = match fields.maybe_int("at")? {
                Some(at) => Deadline::At(at),
                None => Deadline::After(fields.maybe_int("ms")?),
            };
            Op::Timeout { deadline, name: fields.maybe_text("name")?, body: fields.block("body")? }
        }
        "taskgroup" => {
            Op::TaskGroup { name: fields.maybe_text("name")?, body: fields.block("body")? }
        }
        "with" => Op::With { object: fields.text("obj")?, body: fields.block("body")? },
        _ => return Ok(None),
    }))
}

fn clause(json: &Json) -> Parsed<Clause> {
    let fields = Fields::of(json)?;
    let kind = |json: &Json| {
        json.as_str().map(str::to_owned).ok_or_else(|| format!("not a kind of error: {json}"))
    };
    Ok(Clause { kinds: fields.list("kinds", kind)?, body: fields.block("body")? })
}

fn waiting(name: &str, fields: &Fields<'_>) -> Parsed<Option<Waiting>> {
    Ok(Some(match name {
        "sleep" => Waiting::Sleep(fields.int("ms")?),
        "await" => Waiting::Await(awaited(fields.must("aw", fields.get("aw"))?)?),
        "wait" => {
            let return_when = match fields.maybe_text("return_when")?.as_deref() {
                None | Some("ALL_COMPLETED") => When::AllCompleted,
                Some("FIRST_COMPLETED") => When::FirstCompleted,
                Some("FIRST_EXCEPTION") => When::FirstException,
                Some(other) => return Err(format!("unknown return_when {other:?}")),
            };
            let targets = fields.list("aws", target)?;
            Waiting::Wait { targets, return_when, timeout: fields.maybe_int("timeout")? }
        }
        "as_completed" => {
            let futures = match fields.maybe_text("mode")?.as_deref() {
                None | Some("iter") => false,
                Some("aiter") => true,
                Some(other) => return Err(format!("unknown mode {other:?}")),
            };
            let (timeout, limit) = (fields.maybe_int("timeout")?, fields.maybe_int("limit")?);
            let items = fields.list("aws", awaited)?;
            Waiting::AsCompleted { items, timeout, futures, limit }
        }
        _ => return Ok(primitive(name, fields)?.map(Waiting::Primitive)),
    }))
}

fn object_act(name: &str, fields: &Fields<'_>) -> Parsed<Option<ObjectAct>> {
    Ok(Some(match name {
        "release" => ObjectAct::Release,
        "locked" => ObjectAct::Locked,
        "event_set" => ObjectAct::Set,
        "event_clear" => ObjectAct::Clear,
        "event_is_set" => ObjectAct::IsSet,
        "notify" => {
            let n = fields.maybe_int("n")?.unwrap_or(1);
            ObjectAct::Notify(usize::try_from(n).unwrap_or(0))
        }
        "notify_all" => ObjectAct::Notify(usize::MAX),
        "barrier_state" => ObjectAct::BarrierState,
        "put_nowait" => ObjectAct::Put(fields.int("item")?),
        "get_nowait" => ObjectAct::Get,
        "task_done" => ObjectAct::TaskDone,
        "shutdown" => ObjectAct::Shutdown { immediate: fields.flag("immediate")? },
        "queue_state" => ObjectAct::QueueState,
        _ => return Ok(None),
    }))
}

fn act(name: &str, fields: &Fields<'_>) -> Parsed<Option<Act>> {
    let future = || {
        let target = maybe_target(fields)?;
        fields.must("fut", target)
    };
    let (body, handle) = (|| fields.block("do"), || fields.maybe_text("handle"));
    Ok(Some(match name {
        "log" => Act::Log,
        "time" => Act::Time,
        "spawn" => Act::Spawn {
            task: fields.text("task")?,
            coroutine: fields.text("coro")?,
            eager: fields.maybe_flag("eager")?,
        },
        "tg_spawn" => Act::GroupSpawn {
            group: fields.text("tg")?,
            task: fields.text("task")?,
            coroutine: fields.text("coro")?,
            eager: fields.maybe_flag("eager")?,
        },
        "let" => Act::Let {
            name: fields.text("fut")?,
            awaited: awaited(fields.must("aw", fields.get("aw"))?)?,
        },
        "cancel" => Act::Cancel { target: fields.target()?, message: fields.maybe_text("msg")? },
        "cancelling" => Act::Cancelling(fields.target()?),
        "uncancel" => Act::Uncancel(fields.target()?),
        "state" => Act::State(fields.target()?),
        "result" => Act::Result(fields.target()?),
        "exception" => Act::Exception(fields.target()?),
        "set_result" => Act::SetResult { target: future()?, value: expression(fields)? },
        "set_exception" => Act::SetException { target: future()?, error: fields.text("error")? },
        "add_done_callback" => {
            Act::AddDoneCallback { target: fields.target()?, callback: fields.text("cb")? }
        }
        "remove_done_callback" => {
            Act::RemoveDoneCallback { target: fields.target()?, callback: fields.text("cb")? }
        }
        "call_soon" => Act::CallSoon { body: body()?, handle: handle()? },
        "call_later" => Act::CallLater { ms: fields.int("ms")?, body: body()?, handle: handle()? },
        "call_at" => Act::CallAt { at: fields.int("at")?, body: body()?, handle: handle()? },
        "handle_cancel" => Act::CancelHandle(fields.text("handle")?),
        "reschedule" => {
            Act::Reschedule { timeout: fields.text("timeout")?, ms: fields.maybe_int("ms")? }
        }
        "expired" => Act::Expired(fields.text("timeout")?),
        "when" => Act::When(fields.text("timeout")?),
        "set" => Act::Set { variable: fields.text("var")?, value: fields.int("value")? },
        "add" => Act::Add { variable: fields.text("var")?, value: fields.int("value")? },
        "get_var" => Act::Get(fields.text("var")?),
        "current_task" => Act::CurrentTask,
        "all_tasks" => Act::AllTasks,
        _ => return Ok(None),
    }))
}
