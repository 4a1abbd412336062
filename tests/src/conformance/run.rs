//! Runs one scenario in a new loop, under the virtual clock.

use super::{
    program::Scenario,
    value::{Value, kind},
    world::{Declared, World},
};
use asyncio_core::{Error, exception::ExceptionContext};
use asyncio_loop::{EventLoop, eager_task_factory};
use asyncio_task::{Task, gather};
use serde_json::{Map, Value as Json};
use std::rc::Rc;

/// What a scenario did.
#[derive(Debug)]
pub struct Run {
    /// Its events in order, each with time, task, statement and value.
    pub trace: Vec<Json>,
    /// How it ended.
    pub outcome: Json,
}

/// Runs the scenario that `json` describes.
///
/// # Errors
/// If it cannot be parsed, or if a task was lost.
pub fn run(json: &Json) -> Result<Run, String> {
    let scenario = Scenario::parse(json)?;
    let event_loop = EventLoop::builder().virtual_time(true).debug(false).build();
    let event_loop = event_loop.map_err(|error| format!("no event loop: {error}"))?;
    if scenario.eager {
        event_loop.set_task_factory(eager_task_factory);
    }
    let ran = run_in(&event_loop, scenario);
    // The loop does not run any more.
    let closed = event_loop.close();
    let (world, declared, trace, mut outcome) = ran?;
    closed.map_err(|error| format!("the loop cannot be closed: {error}"))?;
    // Closing the loop has ended the remaining tasks.
    world.account(&event_loop.all_tasks())?;
    outcome.insert("unretrieved".to_owned(), world.unretrieved(&declared).into());
    Ok(Run { trace, outcome: outcome.into() })
}

type Ran = (Rc<World>, Declared, Vec<Json>, Map<String, Json>);

/// Runs everything up to the point where the loop is closed. No handle is left then.
fn run_in(event_loop: &EventLoop, scenario: Scenario) -> Result<Ran, String> {
    let (world, declared) = World::new(scenario, event_loop)?;
    let mut outcome = Map::new();
    let main = world.call(&world.scenario.main);
    let main = event_loop.create_task_with(Task::builder().name("main"), main);
    world.bind_task("main", main.clone());
    let (key, value) = match event_loop.run_until_complete(main.clone()) {
        Ok(value) => ("result", value.0),
        Err(error) if main.done() => ("error", kind(&error).into()),
        Err(error) => ("stuck", stuck(&error).into()),
    };
    outcome.insert(key.to_owned(), value);
    if world.scenario.shutdown && key != "stuck" {
        outcome.insert("shutdown".to_owned(), cancel_all_tasks(event_loop).into());
    }
    outcome.insert("end".to_owned(), world.now().into());
    drop(main);
    world.account(&event_loop.all_tasks())?;
    let trace = world.end();
    Ok((world, declared, trace, outcome))
}

/// Why a run ended before `main` did.
fn stuck(error: &Error) -> &'static str {
    match error {
        Error::Deadlock(_) => "deadlock",
        _ => "limit",
    }
}

/// Does what `asyncio.run` does at the end: cancels the remaining tasks and waits for them.
fn cancel_all_tasks(event_loop: &EventLoop) -> &'static str {
    let tasks = event_loop.all_tasks();
    if tasks.is_empty() {
        return "ok";
    }
    for task in &tasks {
        task.cancel();
    }
    // Every task of a scenario has a `Value`.
    let tasks: Vec<Task<Value>> = tasks.iter().filter_map(|task| task.downcast()).collect();
    let all = gather(tasks.iter().cloned()).return_exceptions();
    if let Err(error) = event_loop.run_until_complete(all.collect::<Value>().into_inner()) {
        return stuck(&error);
    }
    for task in tasks.iter().filter(|task| !task.cancelled()) {
        if let Ok(Some(error)) = task.exception() {
            let message = "unhandled exception during asyncio.run() shutdown";
            let context = ExceptionContext::new(message).with_exception(error);
            event_loop.call_exception_handler(&context.with_task(task.task_ref().clone()));
        }
    }
    "ok"
}
