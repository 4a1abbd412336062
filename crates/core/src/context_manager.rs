//! [`AsyncContextManager`]: `async with x as y` is `x.with(async |y| …)`.

use crate::{Error, Result, caught::caught, scope::Scope, wait_site::WaitSite};
use std::{
    future::{Future, poll_fn},
    panic::resume_unwind,
    pin::pin,
    task::Poll,
};

/// An object that is entered before a block and left after it, however the block ends (`async
/// with`).
///
/// ```
/// use asyncio::{AsyncContextManager, Error, Result};
/// struct Database;
/// impl AsyncContextManager for Database {
///     type Target = Vec<&'static str>;
///     async fn enter(&mut self) -> Result<Self::Target> { Ok(vec!["open"]) }
///     async fn exit(&mut self, log: Self::Target, error: Option<&Error>) -> Result<()> {
///         assert_eq!((log, error.is_some()), (vec!["open", "used"], false));
///         Ok(())
///     }
/// }
///
/// #[asyncio::main]
/// async fn main() -> asyncio::Result<()> {
///     let n = Database.with(async |db| { db.push("used"); Ok(db.len()) }).await?;
///     assert_eq!(n, 2);
///     Ok(())
/// }
/// ```
#[allow(async_fn_in_trait)] // A coroutine of this runtime need not be `Send`.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not an asynchronous context manager",
    label = "this has no `enter` and `exit`",
    note = "implement `asyncio::AsyncContextManager` for `{Self}`"
)]
#[doc(alias("async with", "contextlib.asynccontextmanager"))]
pub trait AsyncContextManager: Sized {
    /// The value that the body works with.
    type Target;

    /// Enters (`__aenter__`). If this fails, neither the body nor `exit` runs.
    #[doc(alias = "__aenter__")]
    async fn enter(&mut self) -> Result<Self::Target>;

    /// Leaves (`__aexit__`), with the error that ended the body, if one did. It may await. An error
    /// from here replaces the body's, which becomes its [context](Error::context).
    #[doc(alias = "__aexit__")]
    async fn exit(&mut self, target: Self::Target, error: Option<&Error>) -> Result<()>;

    /// Leaves for [`with_suppress`](AsyncContextManager::with_suppress), and returns whether the error that
    /// ended the body is suppressed (an `__aexit__` that returns true). By default, no error is.
    async fn exit_suppress(&mut self, target: Self::Target, error: Option<&Error>) -> Result<bool> {
        self.exit(target, error).await.map(|()| false)
    }

    /// Enters, runs `body` in its own scope, and leaves, even if the body fails, is cancelled or
    /// panics (the panic continues after `exit` has seen it as [`Error::Panic`]).
    ///
    /// # Cancellation
    /// A cancellation in the body is returned by the body's await or, if that is a foreign future,
    /// ends the body here; `exit` runs in any case. If the returned future itself is dropped before
    /// its end, `exit` does not run, only the target's own `Drop`.
    #[track_caller]
    fn with<R>(
        self,
        body: impl AsyncFnOnce(&mut Self::Target) -> Result<R>,
    ) -> impl Future<Output = Result<R>> {
        run(self, body, WaitSite::here(&"with"))
    }

    /// Does what [`with`](AsyncContextManager::with) does, for a manager that may suppress the error of the
    /// body, as its [`exit_suppress`](AsyncContextManager::exit_suppress) decides: the result is then
    /// `None`. A panic continues.
    ///
    /// # Cancellation
    /// As for [`with`](AsyncContextManager::with).
    ///
    /// ```
    /// use asyncio::{AsyncContextManager, Error, Result};
    ///
    /// /// `contextlib.suppress(OSError)`
    /// struct SuppressIo;
    ///
    /// impl AsyncContextManager for SuppressIo {
    ///     type Target = ();
    ///     async fn enter(&mut self) -> Result<()> { Ok(()) }
    ///     async fn exit(&mut self, _: (), _: Option<&Error>) -> Result<()> { Ok(()) }
    ///     async fn exit_suppress(&mut self, _: (), error: Option<&Error>) -> Result<bool> {
    ///         Ok(matches!(error, Some(Error::Io(_))))
    ///     }
    /// }
    ///
    /// #[asyncio::main]
    /// async fn main() -> asyncio::Result<()> {
    ///     let text = SuppressIo.with_suppress(async |_| Ok(std::fs::read_to_string("no such file")?)).await?;
    ///     assert_eq!(text, None);
    ///     Ok(())
    /// }
    /// ```
    #[track_caller]
    #[doc(alias("move_on_after", "contextlib.suppress"))]
    fn with_suppress<R>(
        self,
        body: impl AsyncFnOnce(&mut Self::Target) -> Result<R>,
    ) -> impl Future<Output = Result<Option<R>>> {
        run_suppress(self, body, WaitSite::here(&"with_suppress"))
    }

    /// Does what [`with`](AsyncContextManager::with) does, for a manager that is its own target, like one
    /// whose `__aenter__` returns `self`: the body works with the manager.
    ///
    /// # Cancellation
    /// As for [`with`](AsyncContextManager::with).
    ///
    /// ```
    /// use asyncio::{AsyncContextManager, Error, Result};
    ///
    /// struct Database {
    ///     is_open: bool,
    /// }
    ///
    /// impl AsyncContextManager for Database {
    ///     type Target = ();
    ///     async fn enter(&mut self) -> Result<()> {
    ///         self.is_open = true;
    ///         Ok(())
    ///     }
    ///     async fn exit(&mut self, _: (), _: Option<&Error>) -> Result<()> {
    ///         self.is_open = false;
    ///         Ok(())
    ///     }
    /// }
    ///
    /// #[asyncio::main]
    /// async fn main() -> asyncio::Result<()> {
    ///     let database = Database { is_open: false };
    ///     assert!(database.with_self(async |database| Ok(database.is_open)).await?);
    ///     Ok(())
    /// }
    /// ```
    #[track_caller]
    fn with_self<R>(
        mut self,
        body: impl AsyncFnOnce(&mut Self) -> Result<R>,
    ) -> impl Future<Output = Result<R>>
    where
        Self: AsyncContextManager<Target = ()>,
    {
        let site = WaitSite::here(&"with_self");
        async move {
            self.enter().await?;
            let outcome = guarded(Scope::new(body(&mut self), site)).await;
            let left = self.exit((), outcome.as_ref().err()).await;
            conclude(outcome, left)
        }
    }
}

/// Does what [`AsyncContextManager::with`] does, for a manager that does more.
#[doc(hidden)]
pub async fn run<M: AsyncContextManager, R>(
    mut manager: M,
    body: impl AsyncFnOnce(&mut M::Target) -> Result<R>,
    site: WaitSite,
) -> Result<R> {
    let mut target = manager.enter().await?;
    let outcome = guarded(Scope::new(body(&mut target), site)).await;
    let left = manager.exit(target, outcome.as_ref().err()).await;
    conclude(outcome, left)
}

/// Does what [`AsyncContextManager::with_suppress`] does, for a manager that does more.
#[doc(hidden)]
pub async fn run_suppress<M: AsyncContextManager, R>(
    mut manager: M,
    body: impl AsyncFnOnce(&mut M::Target) -> Result<R>,
    site: WaitSite,
) -> Result<Option<R>> {
    let mut target = manager.enter().await?;
    let outcome = guarded(Scope::new(body(&mut target), site)).await;
    match manager.exit_suppress(target, outcome.as_ref().err()).await {
        Ok(true) if !matches!(outcome, Ok(_) | Err(Error::Panic(_))) => Ok(None),
        left => conclude(outcome, left.map(drop)).map(Some),
    }
}

/// Combines the outcome of a body with that of leaving.
fn conclude<R>(outcome: Result<R>, left: Result<()>) -> Result<R> {
    match (outcome, left) {
        (Err(Error::Panic(panic)), left) => match panic.take_payload() {
            Some(payload) => resume_unwind(payload),
            None => Err(combine(Error::Panic(panic), left)),
        },
        (Err(error), left) => Err(combine(error, left)),
        (Ok(value), left) => left.map(|()| value),
    }
}

/// Returns the error of a block whose body failed with `body`, and whose exit returned `left`.
fn combine(body: Error, left: Result<()>) -> Error {
    match left {
        Ok(()) => body,
        Err(error) => error.with_context(body),
    }
}

/// Turns a panic into an error.
async fn guarded<R>(body: impl Future<Output = Result<R>>) -> Result<R> {
    let mut body = pin!(body);
    poll_fn(|cx| caught(|| body.as_mut().poll(cx)).unwrap_or_else(|panic| Poll::Ready(Err(panic))))
        .await
}
