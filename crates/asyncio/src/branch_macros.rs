//! `join!`, `try_join!` and `select!`, with their docs.

/// Awaits several awaitables in the calling task until all have ended, and returns a tuple of their
/// outputs.
///
/// The macro is used inside an `async` block or function, and needs no `.await`. The branches run in the
/// calling task, so they may borrow; none becomes a task. They are polled in the order in which they are
/// written. Each is a separate scope: a limit in one does not affect another. To run the awaitables as
/// tasks, use [`gather!`](crate::gather!). To stop at the first error, use [`try_join!`](crate::try_join!).
///
/// ```
/// # use std::time::Duration;
/// # asyncio::run(async {
/// use asyncio::{sleep, wait_for};
/// let slow = wait_for(sleep(Duration::from_secs(60)), Duration::from_millis(5));
/// let fine = wait_for(sleep(Duration::from_millis(10)).result("fine"), Duration::from_secs(60));
/// let (slow, fine) = asyncio::join!(slow, fine);
/// assert!(slow.unwrap_err().is_timeout());
/// assert_eq!(fine?, "fine");
/// # Ok(()) }).unwrap();
/// ```
///
/// # Panics
/// If a branch panics, the others are cancelled, as in [`select!`](crate::select!), and the panic
/// continues when they have ended.
///
/// # Cancellation
/// A cancellation of the task reaches every branch, and the output of each branch shows how it ended. A
/// branch can report it only if its output is a `Result` whose error can be made from ours (`E:
/// From<asyncio::Error>`). If only other branches are suspended, the surrounding scope returns the
/// cancellation. If the surrounding future is dropped, so are the branches.
#[macro_export]
macro_rules! join {
    ($($branches:tt)*) => { $crate::__macros::__join!($crate; $($branches)*) };
}

/// Awaits several awaitables in the calling task until all have returned or one has failed, and returns
/// a `Result` with the tuple of their values, or the first error.
///
/// This is [`join!`](crate::join!) for `Result`s with one type of error. If a branch fails, the others
/// are cancelled as in [`select!`](crate::select!), and have ended when the macro returns.
///
/// ```
/// # use std::time::Duration;
/// # asyncio::run(async {
/// let name = async { Ok("spam") };
/// let number = async { Ok("42".parse::<u32>()?) };
/// assert_eq!(asyncio::try_join!(name, number)?, ("spam", 42));
///
/// let forever = asyncio::sleep(Duration::from_secs(3600));
/// let number = async { Ok("many".parse::<u32>()?) };
/// assert!(asyncio::try_join!(forever, number).is_err());
/// # Ok(()) }).unwrap();
/// ```
///
/// # Panics
/// Panics as [`join!`](crate::join!) does.
///
/// # Cancellation
/// Works as in [`join!`](crate::join!); the error is that of the first branch that the cancellation
/// ended.
#[macro_export]
macro_rules! try_join {
    ($($branches:tt)*) => { $crate::__macros::__try_join!($crate; $($branches)*) };
}

/// Awaits several awaitables in the calling task, and runs the handler of the first that ends. Nothing
/// is lost: a *borrowed* branch continues in the next round, and an *owned* branch is cancelled and
/// has ended before the handler runs.
///
/// ```text
/// select! {
///     pattern = future => handler,
///     pattern = future, if condition => handler,
///     else => handler,
/// }
/// ```
///
/// The macro is used inside an `async` block or function, and needs no `.await`. Its value is that
/// of the handler, which may use `?`, `break`, `return` and `.await` of the surrounding code.
///
/// ```
/// # use std::time::Duration;
/// # asyncio::run(async {
/// use asyncio::{Queue, create_task, select, sleep};
/// let jobs = Queue::new(0);
/// for n in 1..=3 { jobs.put_nowait(n)?; }
/// // One task for the whole loop: each round borrows it, and no round cancels it.
/// let mut worker = create_task(async { sleep(Duration::from_millis(20)).await?; Ok("done") });
/// let mut sum = 0;
/// let outcome = loop {
///     select! {
///         outcome = &mut worker => break outcome?,
///         job = jobs.get() => sum += job?,
///     }
/// };
/// assert_eq!((outcome, sum), ("done", 6));
/// # Ok(()) }).unwrap();
/// ```
///
/// # Branches
/// - A **borrowed** branch (`&mut future`, `pinned.as_mut()`: any `&mut F` or `Pin<&mut F>`) that
///   loses is left as it is, neither cancelled nor dropped.
/// - An **owned** branch that loses is cancelled: it gets `Err(Cancelled)` at its await, may clean up with
///   awaits of its own, and has ended when the handler runs. An item, permit or byte that it had already
///   received goes back. If the branch still returns a value, or fails with another error, that is reported
///   to the loop's exception handler, so it is not lost silently. A branch that has not been polled yet, or
///   in which only a future of another library is suspended, is dropped immediately.
/// - A branch with a **condition** that is false is disabled, and its future is not created. A branch
///   whose output does not match its pattern is disabled as well. When no branch is left, `else`
///   runs.
///
/// Branches are always polled in the order in which they are written, so a program takes the same
/// steps in every run. If the first branches of a loop are always ready, begin with another one in
/// each round: write `start = round;` before the branches, and that many are skipped and polled last.
/// (For code that was written for tokio, `biased;` is accepted there too.)
///
/// # Panics
/// Panics if every branch is disabled and there is no `else`. If a branch panics, the panic continues when
/// the others have ended.
///
/// # Cancellation
/// A cancellation of the task reaches every enabled branch. The first branch that ends because of it
/// wins, with `Err(Cancelled)` as its output. The others are not cancelled a second time: their
/// clean-up runs to its end. If the surrounding future is dropped, so are the branches.
#[macro_export]
macro_rules! select {
    ($($branches:tt)*) => { $crate::__macros::__select!($crate; $($branches)*) };
}
