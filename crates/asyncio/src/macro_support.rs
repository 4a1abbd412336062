//! The functions that the attributes `main` and `test`, and the macros `join!`, `try_join!` and
//! `select!`, expand to.

use crate::{CancelledError, Error, Runner};
use std::{
    any::Any,
    cell::RefCell,
    fmt::Debug,
    future::Future,
    process::{ExitCode, Termination},
    rc::Rc,
};

pub use asyncio_core::wait_site::WaitSite;
pub use asyncio_macros::{join as __join, select as __select, try_join as __try_join};
pub use asyncio_task::branches::{
    Branch, LeafBranch, LentBranch, Losing, OpaqueBranch, OurBranch, Payload, Probe, ScopeBranch,
    all_disabled, end, output_of,
};
pub use std::{future::poll_fn, panic::resume_unwind};

/// The exit status after Ctrl-C: 128 plus the number of the signal, as in shells.
const INTERRUPTED: u8 = 130;

/// The exit status after `SIGTERM`.
const TERMINATED: u8 = 143;

/// The types that `async fn main` may return.
#[diagnostic::on_unimplemented(
    message = "`async fn main` cannot return `{Self}`",
    label = "return `()`, an `ExitCode`, or a `Result` of one of them",
    note = "the error of a `Result` has to be `Debug`, so that it can be printed"
)]
pub trait Outcome: Termination + 'static {
    /// The error, if there is one; the inner value is `Some` if it is an error of asyncio.
    fn error(&self) -> Option<Option<&Error>>;
}

impl Outcome for () {
    fn error(&self) -> Option<Option<&Error>> {
        None
    }
}

impl Outcome for ExitCode {
    fn error(&self) -> Option<Option<&Error>> {
        None
    }
}

impl<T: Termination + 'static, E: Debug + 'static> Outcome for std::result::Result<T, E> {
    fn error(&self) -> Option<Option<&Error>> {
        self.as_ref().err().map(|error| (error as &dyn Any).downcast_ref())
    }
}

/// Runs a program, and ends it as Rust's own `main` does.
#[track_caller] // The main task is created where the attribute stands.
pub fn main<F>(mut runner: Runner, main: F) -> ExitCode
where
    F: Future + 'static,
    F::Output: Outcome,
{
    // The result of `main`, if it is that of a cancelled task.
    let cancelled = Rc::new(RefCell::new(None));
    let slot = cancelled.clone();
    let outcome = runner.run(async move {
        let outcome = main.await;
        let error = match outcome.error() {
            Some(Some(error)) if error.is_cancelled() => {
                error.as_cancelled().cloned().unwrap_or_default()
            }
            // Another type of error may hold a cancellation; the requests say whether it does.
            Some(None) if is_being_cancelled() => CancelledError::default(),
            _ => return Ok(outcome),
        };
        slot.replace(Some(outcome));
        Err(Error::Cancelled(error))
    });
    let outcome = runner.with(|_| outcome);
    match (outcome, cancelled.take()) {
        (Ok(outcome), _) => outcome.report(),
        (Err(Error::KeyboardInterrupt(interrupt)), returned) => {
            // Python prints the traceback: where the program was.
            eprintln!("KeyboardInterrupt: {interrupt}");
            let of_its_own = |outcome: &F::Output| matches!(outcome.error(), Some(None));
            if let Some(outcome) = returned.filter(of_its_own) {
                // The error may describe a failure during the clean-up.
                outcome.report();
            }
            let is_sigterm = interrupt.to_string() == "SIGTERM";
            ExitCode::from(if is_sigterm { TERMINATED } else { INTERRUPTED })
        }
        (Err(Error::Cancelled(_)), Some(outcome)) => outcome.report(),
        (Err(error), _) => std::result::Result::<(), Error>::Err(panicked(error)).report(),
    }
}

/// Runs a test, and returns what the test returned.
///
/// # Panics
/// Panics if the test did, or if the loop could not run it to its end.
#[track_caller]
pub fn test<F>(mut runner: Runner, test: F) -> F::Output
where
    F: Future + 'static,
{
    let outcome = runner.run(async move { Ok(test.await) });
    let outcome = runner.with(|_| outcome);
    outcome.unwrap_or_else(|error| panic!("{:?}", panicked(error)))
}

fn is_being_cancelled() -> bool {
    crate::current_task().is_some_and(|task| task.cancelling() > 0)
}

/// Resumes the panic that ended the main task, if one did.
fn panicked(error: Error) -> Error {
    if let Error::Panic(panic) = &error {
        if let Some(payload) = panic.take_payload() {
            resume_unwind(payload);
        }
    }
    error
}
