//! [`staggered_race`]: starts attempts one after another until one succeeds.

use crate::{AnyTask, create_task, current_task, members::Members, wait_for};
use asyncio_core::{
    CancelledError, Error, ExceptionGroup, Result, limit::ToTimeout, raw::sync::Mutex,
    wait::Operation, wait_site::WaitSite,
};
use asyncio_future::Future;
use std::{future::Future as StdFuture, pin::Pin, sync::Arc, time::Duration};

/// How a [`staggered_race`] ended.
#[derive(Debug)]
pub struct Race<T> {
    /// The result of the winner, and its index; `None` if every attempt failed.
    pub winner: Option<(T, usize)>,
    /// The error of each attempt that was started; `None` for the winner.
    pub exceptions: Vec<Option<Error>>,
}

/// Starts attempts one after another until one succeeds (`asyncio.staggered.staggered_race`). The
/// next attempt starts when the previous one has failed, or after `delay` (`None`: only when it has
/// failed). When one succeeds, the others are cancelled.
///
/// # Cancellation
/// Each request goes to every attempt. Returns `Err(Cancelled)` when all of them have ended. If the
/// race is dropped, they are cancelled.
///
/// ```
/// #[asyncio::main]
/// async fn main() -> asyncio::Result<()> {
///     use std::time::Duration;
///     let attempts = [50u64, 10].map(|ms| move || async move {
///         asyncio::sleep(Duration::from_millis(ms)).await?;
///         Ok(ms)
///     });
///     let race = asyncio::staggered::staggered_race(attempts, Duration::from_millis(5)).await?;
///     assert_eq!(race.winner, Some((10, 1)));
///     Ok(())
/// }
/// ```
#[doc(alias = "asyncio.staggered.staggered_race")]
#[track_caller]
pub fn staggered_race<I, A, F, T>(
    attempts: I,
    delay: impl ToTimeout,
) -> impl StdFuture<Output = Result<Race<T>>>
where
    I: IntoIterator<Item = A>,
    I::IntoIter: 'static,
    A: FnOnce() -> F + 'static,
    F: StdFuture<Output = Result<T>> + 'static,
    T: 'static,
{
    staggered_race_at(WaitSite::here(&"staggered_race"), attempts, delay)
}

/// Does what [`staggered_race`] does, for operations that are built on it: `site` is where their
/// caller waits.
pub fn staggered_race_at<I, A, F, T>(
    site: WaitSite,
    attempts: I,
    delay: impl ToTimeout,
) -> impl StdFuture<Output = Result<Race<T>>>
where
    I: IntoIterator<Item = A>,
    I::IntoIter: 'static,
    A: FnOnce() -> F + 'static,
    F: StdFuture<Output = Result<T>> + 'static,
    T: 'static,
{
    let (attempts, delay) = (attempts.into_iter(), delay.to_timeout());
    async move {
        let running = Arc::new(Mutex::new(Members::default()));
        let state = Arc::new(Mutex::new(State {
            attempts,
            running: running.clone(),
            completed: None,
            race: Some(Race { winner: None, exceptions: Vec::new() }),
            unhandled: Vec::new(),
        }));
        let _attempts = Attempts(&state);
        start_next(&state, delay, None)?;
        let mut cancelled = None;
        while !running.lock().is_empty() {
            let attempts = Arc::downgrade(&running);
            let completed = Future::of_loop(site, Operation::Others(attempts));
            state.lock().completed = Some(completed.clone());
            match completed.await {
                Err(Error::Cancelled(error)) => {
                    cancel_all(&state, &error);
                    cancelled = Some(error);
                }
                outcome => outcome?,
            }
            state.lock().completed = None;
        }
        let mut state = state.lock();
        if !state.unhandled.is_empty() {
            let errors = std::mem::take(&mut state.unhandled);
            return Err(Error::Group(ExceptionGroup::new("staggered race failed", errors)));
        }
        match (cancelled, state.race.take()) {
            (Some(error), _) => Err(Error::Cancelled(error)),
            (None, Some(race)) => Ok(race),
            (None, None) => Err(Error::runtime("staggered_race: awaited twice")),
        }
    }
}

struct State<I, T> {
    attempts: I,
    /// The attempts that have not ended.
    running: Arc<Mutex<Members>>,
    completed: Option<Future<()>>,
    race: Option<Race<T>>,
    unhandled: Vec<Error>,
}

type Shared<I, T> = Arc<Mutex<State<I, T>>>;

/// Cancels the attempts that are still running when the race is dropped.
struct Attempts<'a, I, T>(&'a Shared<I, T>);

impl<I, T> Drop for Attempts<'_, I, T> {
    fn drop(&mut self) {
        cancel_all(self.0, &CancelledError::default());
    }
}

fn cancel_all<I, T>(state: &Shared<I, T>, error: &CancelledError) {
    let current = current_task();
    let running = state.lock().running.clone();
    let running: Vec<AnyTask> = running.lock().iter().cloned().collect();
    for task in running {
        if Some(&task) != current.as_ref() {
            task.cancel_as(error.clone());
        }
    }
}

/// Creates the task of the next attempt, which first waits until the previous one has failed.
fn start_next<I, A, F, T>(
    state: &Shared<I, T>,
    delay: Option<Duration>,
    previous_failed: Option<Future<()>>,
) -> Result<()>
where
    I: Iterator<Item = A> + 'static,
    A: FnOnce() -> F + 'static,
    F: StdFuture<Output = Result<T>> + 'static,
    T: 'static,
{
    let listed = Future::new();
    let task = create_task(attempt(state.clone(), delay, listed.clone(), previous_failed));
    let number = state.lock().running.lock().add((*task).clone());
    let shared = state.clone();
    task.add_done_callback(move |task| {
        let mut state = shared.lock();
        let is_last = {
            let mut running = state.running.lock();
            running.remove(number);
            running.is_empty()
        };
        if let (Some(completed), true) = (&state.completed, is_last) {
            // It may be cancelled already.
            let _ = completed.set_result(());
        }
        if let (false, Ok(Some(error))) = (task.cancelled(), task.exception()) {
            state.unhandled.push(error);
        }
    })?;
    // An eagerly started task continues only now that it is listed.
    listed.set_result(()).map_err(Error::from)
}

fn attempt<I, A, F, T>(
    state: Shared<I, T>,
    delay: Option<Duration>,
    listed: Future<()>,
    previous_failed: Option<Future<()>>,
) -> Pin<Box<dyn StdFuture<Output = Result<()>>>>
where
    I: Iterator<Item = A> + 'static,
    A: FnOnce() -> F + 'static,
    F: StdFuture<Output = Result<T>> + 'static,
    T: 'static,
{
    Box::pin(async move {
        listed.await?;
        if let Some(failed) = previous_failed {
            match wait_for(failed, delay).await {
                Ok(()) | Err(Error::Timeout(_)) => {}
                Err(error) => return Err(error),
            }
        }
        let Some(attempt) = state.lock().attempts.next() else { return Ok(()) };
        let failed = Future::new();
        start_next(&state, delay, Some(failed.clone()))?;
        let index = {
            let mut state = state.lock();
            let exceptions = state.race.as_mut().map(|race| &mut race.exceptions);
            let exceptions =
                exceptions.ok_or_else(|| Error::runtime("staggered_race: it has ended"))?;
            exceptions.push(None);
            exceptions.len() - 1
        };
        match attempt().await {
            Err(error @ Error::KeyboardInterrupt(_)) => return Err(error),
            Err(error) => {
                if let Some(race) = &mut state.lock().race {
                    race.exceptions[index] = Some(error);
                }
                // The next attempt may have stopped waiting for this.
                let _ = failed.set_result(());
            }
            Ok(result) => {
                if let Some(race) = &mut state.lock().race {
                    race.winner = Some((result, index));
                }
                cancel_all(&state, &CancelledError::default());
            }
        }
        Ok(())
    })
}
