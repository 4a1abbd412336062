//! Values of the scenario language, and its names for errors.

use asyncio_core::{
    BrokenBarrierError, CancelledError, Error, InvalidStateError, QueueEmpty, QueueFull,
    QueueShutDown, Result, RuntimeError, TimeoutError, ValueError,
};
use serde_json::{Value as Json, json};
use std::fmt;

/// The result of a task or future of a scenario, as written in the trace.
#[derive(Clone, Debug, Default)]
pub(crate) struct Value(pub(crate) Json);

/// The results of a `gather`.
impl FromIterator<Value> for Value {
    fn from_iter<I: IntoIterator<Item = Value>>(values: I) -> Value {
        Value(values.into_iter().map(|value| value.0).collect())
    }
}

/// The results of a `gather` that returns exceptions.
impl FromIterator<Result<Value>> for Value {
    fn from_iter<I: IntoIterator<Item = Result<Value>>>(outcomes: I) -> Value {
        Value(outcomes.into_iter().map(|outcome| outcome_json(&outcome)).collect())
    }
}

/// An outcome as written in the trace.
pub(crate) fn outcome_json(outcome: &Result<Value>) -> Json {
    match outcome {
        Ok(value) => value.0.clone(),
        Err(error) => error_json(error),
    }
}

/// An error as written in the trace.
pub(crate) fn error_json(error: &Error) -> Json {
    json!({ "err": kind(error) })
}

/// An error that a scenario raises under a name of its choice.
#[derive(Debug)]
struct UserError(String);

impl fmt::Display for UserError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for UserError {}

/// The error that `raise` and `set_exception` create for a name.
pub(crate) fn make_error(name: &str) -> Error {
    match name {
        "Cancelled" => CancelledError::default().into(),
        "Timeout" => TimeoutError::default().into(),
        "InvalidState" => InvalidStateError::default().into(),
        "QueueFull" => QueueFull::default().into(),
        "QueueEmpty" => QueueEmpty::default().into(),
        "QueueShutDown" => QueueShutDown::default().into(),
        "BrokenBarrier" => BrokenBarrierError::default().into(),
        "Runtime" => RuntimeError::default().into(),
        "Value" => ValueError::default().into(),
        other => UserError(other.to_owned()).into(),
    }
}

/// The name of an error.
pub(crate) fn kind(error: &Error) -> String {
    let name = match error {
        Error::Cancelled(error) => {
            return match error.message() {
                None | Some("") => "Cancelled".to_owned(),
                Some(message) => format!("Cancelled:{message}"),
            };
        }
        Error::Group(group) => {
            let members: Vec<String> = group.exceptions().iter().map(kind).collect();
            return format!("Group[{}]", members.join(","));
        }
        Error::Timeout(_) => "Timeout",
        Error::InvalidState(_) => "InvalidState",
        Error::QueueFull(_) => "QueueFull",
        Error::QueueEmpty(_) => "QueueEmpty",
        Error::QueueShutDown(_) => "QueueShutDown",
        Error::BrokenBarrier(_) => "BrokenBarrier",
        Error::Runtime(_) => "Runtime",
        Error::Value(_) => "Value",
        other => match other.downcast_ref::<UserError>() {
            Some(UserError(name)) => name,
            None => return format!("Other:{}: {other}", other.kind()),
        },
    };
    name.to_owned()
}

/// Whether a `try` with this pattern handles the error.
pub(crate) fn matches(pattern: &str, error: &Error) -> bool {
    match pattern {
        "Any" => true,
        "Error" => !error.is_cancelled(),
        "User" => error.downcast_ref::<UserError>().is_some(),
        "Group" => matches!(error, Error::Group(_)),
        "Cancelled" => error.is_cancelled(),
        exact => kind(error) == exact,
    }
}
