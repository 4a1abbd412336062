//! `join!`, `try_join!` and `select!`, with their docs.

/// Awaits several awaitables in the calling task, until all have ended: a tuple of their outputs.
///
/// It is used inside of an `async` block or function, and awaits by itself. The branches run in the
/// calling task, so they may borrow; none becomes a task. Each is polled in the order written, and is a
/// scope of its own: a limit in one does not touch another. For awaitables that shall become tasks there
/// is [`gather!`](crate::gather!); for a first error that ends the others, [`try_join!`](crate::try_join!).
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
/// With the panic of a branch, when the others have ended: those are cancelled, as in
/// [`select!`](crate::select!).
///
/// # Cancellation
/// One of the task reaches every branch, and each one's output says what became of it. A branch whose
/// output is no `Result` with an error of ours (`E: From<asyncio::Error>`) cannot say so: if nothing else
/// is suspended, the scope around gives way. Dropped, the macro drops its branches.
#[macro_export]
macro_rules! join {
    ($($branches:tt)*) => { $crate::__macros::__join!($crate; $($branches)*) };
}

/// Awaits several awaitables in the calling task, until all have returned or one has failed: a `Result`
/// with the tuple of their values, or the first error.
///
/// Like [`join!`](crate::join!), for `Result`s with one type of error. When a branch fails, the others
/// are cancelled as in [`select!`](crate::select!), and have ended when the macro goes on.
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
/// As [`join!`](crate::join!).
///
/// # Cancellation
/// As [`join!`](crate::join!); the error is that of the first branch that it ended.
#[macro_export]
macro_rules! try_join {
    ($($branches:tt)*) => { $crate::__macros::__try_join!($crate; $($branches)*) };
}

/// Awaits several awaitables in the calling task, and goes on with the handler of the first that ends.
/// Nothing is lost: a branch that is *lent* goes on in the next round, and one that is *owned* is
/// cancelled and has ended before the handler runs.
///
/// ```text
/// select! {
///     pattern = future => handler,
///     pattern = future, if condition => handler,
///     else => handler,
/// }
/// ```
///
/// It is used inside of an `async` block or function, and awaits by itself. Its value is that of the
/// handler, which may use `?`, `break`, `return` and `.await` of what is around it.
///
/// ```
/// # use std::time::Duration;
/// # asyncio::run(async {
/// use asyncio::{Queue, create_task, select, sleep};
/// let jobs = Queue::new(0);
/// for n in 1..=3 { jobs.put_nowait(n)?; }
/// // One task for the whole loop: it is lent to each round, and no round cancels it.
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
/// - A branch that is **lent** (`&mut future`, `pinned.as_mut()`: any `&mut F` or `Pin<&mut F>`) and
///   loses is put aside as it is, neither cancelled nor dropped.
/// - A branch that is **owned** and loses is cancelled: it gets `Err(Cancelled)` at its await, may clean up
///   with awaits of its own, and has ended when the handler runs. An item, permit or byte that it had
///   already got goes back. If it insists on a value, or fails with something else, that goes to the loop's
///   exception handler, so it is not lost silently. A branch that was not polled yet, or in which nothing
///   of ours is suspended (a future of another library), is dropped at once.
/// - A branch with a **condition** that is false takes no part, and its future is not made. One whose
///   output does not match its pattern takes part no more. When none is left, `else` runs.
///
/// Branches are polled in the order written, always, so a program takes the same steps each time. In a
/// loop where the first branches are always ready, begin with another in each round: write
/// `start = round;` in front of the branches, and that many are skipped and polled last. (`biased;` is
/// accepted there too, for code that comes from tokio.)
///
/// # Panics
/// With the panic of a branch, when the others have ended; and if every branch is disabled and there is no
/// `else`.
///
/// # Cancellation
/// One of the task reaches every branch that is not put aside, and the first that ends by it wins, with
/// `Err(Cancelled)` as its output. Dropped, the macro drops its branches.
#[macro_export]
macro_rules! select {
    ($($branches:tt)*) => { $crate::__macros::__select!($crate; $($branches)*) };
}
