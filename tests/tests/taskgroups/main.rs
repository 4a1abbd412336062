//! Task groups, after CPython's `test_taskgroups`.

use asyncio::{
    AsyncContextManager, Error, Group, KeyboardInterrupt, Result, Task, TaskGroup, TaskStatus,
    create_task, current_task, get_running_loop, sleep, wait_for,
};
use asyncio_tests::support::{
    MS, Trace, boom, briefly, cancel_message, cancelled, iterations, message, outcome_of, run,
};
use futures_lite::future::block_on;
use std::{cell::Cell, future::pending, rc::Rc};

mod beyond;
mod course;
mod ends;
mod failures;

async fn fails(error: Error) -> Result<()> {
    Err(error)
}

/// The messages of the members of a group, which may be groups: `[a, [b]]`.
#[track_caller]
fn members<T: std::fmt::Debug>(outcome: Result<T>) -> String {
    fn text(error: &Error) -> String {
        match error {
            Error::Group(group) => {
                assert_eq!(group.message(), "unhandled errors in a TaskGroup");
                let list: Vec<_> = group.exceptions().iter().map(text).collect();
                format!("[{}]", list.join(", "))
            }
            other => other.to_string(),
        }
    }
    match outcome {
        Err(error @ Error::Group(_)) => text(&error),
        other => panic!("no group came out: {other:?}"),
    }
}

fn cancelling() -> u32 {
    current_task().expect("this is a task").cancelling()
}
