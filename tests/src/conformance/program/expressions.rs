//! Awaitable expressions, targets, tests and values from JSON.

use super::{Awaited, Expression, Fields, Parsed, Primitive, PrimitiveOp, Target, Test};
use serde_json::Value as Json;
use std::rc::Rc;

pub(super) fn awaited(json: &Json) -> Parsed<Awaited> {
    let fields = Fields::of(json)?;
    if let Some(target) = maybe_target(&fields)? {
        return Ok(Awaited::Known(target));
    }
    if let Some(name) = fields.maybe_text("coro")? {
        return Ok(Awaited::Coroutine(name));
    }
    if let Some(ms) = fields.maybe_int("sleep")? {
        let value = fields.get("value").cloned().unwrap_or_default();
        return Ok(Awaited::Sleep { ms, value });
    }
    if let Some(json) = fields.get("prim") {
        let operation = Fields::of(json)?;
        let op = operation.text("op")?;
        if op == "sleep" {
            return Ok(Awaited::Sleep { ms: operation.int("ms")?, value: Json::Null });
        }
        let primitive = primitive(&op, &operation)?;
        return primitive.map(Awaited::Primitive).ok_or_else(|| format!("unknown prim {op:?}"));
    }
    if fields.get("gather").is_some() {
        let items = fields.list("gather", awaited)?;
        let return_exceptions = fields.flag("return_exceptions")?;
        return Ok(Awaited::Gather { items, return_exceptions });
    }
    if let Some(inner) = fields.get("shield") {
        return Ok(Awaited::Shield(Box::new(awaited(inner)?)));
    }
    if let Some(inner) = fields.get("wait_for") {
        let inner = Box::new(awaited(inner)?);
        return Ok(Awaited::WaitFor { inner, timeout: fields.maybe_int("timeout")? });
    }
    Err(format!("unknown awaitable {json}"))
}

pub(super) fn target(json: &Json) -> Parsed<Target> {
    maybe_target(&Fields::of(json)?)?.ok_or_else(|| format!("neither a task nor a future: {json}"))
}

pub(super) fn maybe_target(fields: &Fields<'_>) -> Parsed<Option<Target>> {
    Ok(match fields.maybe_text("task")? {
        Some(name) if name == "self" => Some(Target::Current),
        Some(name) => Some(Target::Task(name)),
        None => fields.maybe_text("fut")?.map(Target::Future),
    })
}

/// Parses a waiting operation of an object. Returns `None` if `op` is something else.
pub(super) fn primitive(op: &str, fields: &Fields<'_>) -> Parsed<Option<Primitive>> {
    let op = match op {
        "acquire" => PrimitiveOp::Acquire,
        "event_wait" => PrimitiveOp::EventWait,
        "cond_wait" => PrimitiveOp::ConditionWait,
        "cond_wait_for" => PrimitiveOp::ConditionWaitFor(Rc::new(test(fields)?)),
        "barrier_wait" => PrimitiveOp::BarrierWait,
        "barrier_reset" => PrimitiveOp::BarrierReset,
        "barrier_abort" => PrimitiveOp::BarrierAbort,
        "put" => PrimitiveOp::Put(fields.int("item")?),
        "get" => PrimitiveOp::Get,
        "join" => PrimitiveOp::Join,
        _ => return Ok(None),
    };
    Ok(Some(Primitive { object: fields.text("obj")?, op }))
}

pub(super) fn test(fields: &Fields<'_>) -> Parsed<Test> {
    let compare: fn(&i64, &i64) -> bool = match fields.text("cmp")?.as_str() {
        "==" => i64::eq,
        "!=" => i64::ne,
        "<" => i64::lt,
        "<=" => i64::le,
        ">" => i64::gt,
        ">=" => i64::ge,
        other => return Err(format!("unknown comparison {other:?}")),
    };
    Ok(Test { variable: fields.text("var")?, compare, value: fields.int("value")? })
}

pub(super) fn expression(fields: &Fields<'_>) -> Parsed<Expression> {
    let value = fields.get("value").cloned().unwrap_or_default();
    Ok(match value.get("var") {
        Some(name) => match name.as_str() {
            Some(name) => Expression::Variable(name.to_owned()),
            None => return Err(format!("not the name of a variable: {name}")),
        },
        None => Expression::Constant(value),
    })
}
