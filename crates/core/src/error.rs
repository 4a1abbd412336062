//! [`Error`]: the one error type, as asyncio has one hierarchy of exceptions.
//!
//! Every variant holds at most one thin shared pointer, so an `Error` is two words and cheap to
//! clone, because many awaiters may read a result. Any `std::error::Error + Send + Sync` becomes one
//! through `?`; [`ResultExt::into_asyncio`] and [`coroutine`] cover the types for which coherence
//! forbids that.

use crate::caught::caught;
// The `Arc` is std's own: an error is immutable, so a loom model need not see it.
use std::{any::Any, borrow::Cow, error::Error as StdError, fmt, io, panic::Location, sync::Arc};

mod about;
mod foreign;
mod groups;
mod kinds;
mod payloads;
mod report;
#[cfg(test)]
mod tests;

use about::About;
pub(crate) use about::EndedTask;
pub use foreign::*;
pub use kinds::*;
pub use payloads::*;

/// The result of an asyncio operation.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// An error: one of asyncio's exceptions, or any error that came in through `?`.
///
/// Like `anyhow::Error`, it does not itself implement [`std::error::Error`], so that `?` can build it
/// from every type that does; `.into()` converts it to a `Box<dyn std::error::Error + Send + Sync>`.
/// Because `main` prints the `Debug` form, that form shows the message and its history: the line of the
/// `?` ([`location`](Error::location)), notes, the tasks through which it has passed, sources, contexts,
/// and a backtrace if `RUST_BACKTRACE` is set.
///
/// Types that do not implement `std::error::Error` (anyhow's error, eyre's, boxes, text) are converted by
/// [`into_asyncio`](ResultExt::into_asyncio) on a result, or by [`coroutine`] for a whole coroutine. In the
/// other direction, `#[from] asyncio::Error` of thiserror works, and so does `?` into a `Box<dyn Error>` and,
/// with the features `anyhow` and `eyre`, into the errors of those crates.
///
/// ```
/// use asyncio::Error;
/// fn parse(text: &str) -> asyncio::Result<i32> { Ok(text.parse::<i32>()?) }
/// let error = parse("x").unwrap_err();
/// assert!(error.downcast_ref::<std::num::ParseIntError>().is_some());
/// assert!(!error.is_cancelled());
/// ```
#[derive(Clone)]
#[non_exhaustive]
pub enum Error {
    /// `asyncio.CancelledError`: the task or future was cancelled. Pass it on with `?`.
    Cancelled(CancelledError),
    /// `TimeoutError`: a deadline passed.
    Timeout(TimeoutError),
    /// `asyncio.InvalidStateError`: a future is not in the state that the call needs.
    InvalidState(InvalidStateError),
    /// `RuntimeError`: an operation that makes no sense here, such as releasing an unheld lock.
    Runtime(RuntimeError),
    /// `ValueError`: an argument out of its range.
    Value(ValueError),
    /// `asyncio.QueueEmpty`.
    QueueEmpty(QueueEmpty),
    /// `asyncio.QueueFull`.
    QueueFull(QueueFull),
    /// `asyncio.QueueShutDown`.
    QueueShutDown(QueueShutDown),
    /// `asyncio.BrokenBarrierError`.
    BrokenBarrier(BrokenBarrierError),
    /// `asyncio.IncompleteReadError`: the stream ended before all was read.
    IncompleteRead(IncompleteReadError),
    /// `asyncio.LimitOverrunError`: no separator within the buffer's limit.
    LimitOverrun(LimitOverrunError),
    /// `asyncio.SendfileNotAvailableError`.
    SendfileNotAvailable(SendfileNotAvailableError),
    /// `KeyboardInterrupt`: the program was interrupted by Ctrl-C.
    KeyboardInterrupt(KeyboardInterrupt),
    /// Under the virtual clock: every task waits, and nothing is left that could wake one.
    Deadlock(DeadlockError),
    /// An error of the operating system (`OSError`).
    Io(IoError),
    /// `ExceptionGroup`: several errors at once, as a `TaskGroup` raises them.
    Group(ExceptionGroup),
    /// A task or callback panicked.
    Panic(PanicError),
    /// Any other error, as it came in.
    Other(OtherError),
}

impl Error {
    /// Creates a `RuntimeError` with this message.
    pub fn runtime(message: impl Into<Cow<'static, str>>) -> Error {
        Error::Runtime(RuntimeError::new(message)).in_current_span()
    }

    /// Creates a `ValueError` with this message.
    pub fn value(message: impl Into<Cow<'static, str>>) -> Error {
        Error::Value(ValueError::new(message)).in_current_span()
    }

    /// Creates an `InvalidStateError` with this message.
    pub fn invalid_state(message: impl Into<Cow<'static, str>>) -> Error {
        Error::InvalidState(InvalidStateError::new(message)).in_current_span()
    }

    /// Creates an error of no particular kind with this message.
    pub fn msg(message: impl fmt::Display) -> Error {
        foreign::of_box(message.to_string().into()).in_current_span()
    }

    /// Creates an error from a boxed one. On a result, [`into_asyncio`](ResultExt::into_asyncio) does the
    /// same.
    #[track_caller]
    pub fn from_boxed(error: Box<dyn StdError + Send + Sync>) -> Error {
        foreign::of_box(error).arisen_at(Location::caller())
    }

    /// Creates the error of a panic whose payload is `payload`.
    pub fn from_panic(payload: Box<dyn Any + Send>) -> Error {
        Error::Panic(PanicError::new(payload))
    }

    /// Returns whether this is a cancellation, which a task should pass on rather than handle as a
    /// failure.
    ///
    /// This is also true if another library, or an error type of the program, has wrapped a
    /// cancellation: then `Error::Cancelled` is in the chain of sources. Tasks, scopes and groups use
    /// this check.
    ///
    /// ```
    /// use asyncio::{CancelledError, Error};
    /// let wrapped = std::io::Error::other(CancelledError::new("enough"));
    /// assert!(Error::from(wrapped).is_cancelled());
    /// ```
    pub fn is_cancelled(&self) -> bool {
        self.as_cancelled().is_some()
    }

    /// Returns the cancellation that this error is or wraps: see
    /// [`is_cancelled`](Error::is_cancelled).
    pub fn as_cancelled(&self) -> Option<&CancelledError> {
        match self {
            Error::Cancelled(error) => Some(error),
            // The `source` of a program's own error may panic; then no cancellation is found.
            Error::Io(error) => caught(|| wrapped_in(error.get())).unwrap_or(None),
            Error::Other(error) => caught(|| wrapped_in(error.get())).unwrap_or(None),
            _ => None,
        }
    }

    /// Returns whether a deadline passed.
    pub fn is_timeout(&self) -> bool {
        matches!(self, Error::Timeout(_))
    }

    /// Returns the original error, if it was an `E`. This also finds each of this crate's own error
    /// types, and the [`io::Error`] of a system error.
    pub fn downcast_ref<E: StdError + Send + Sync + 'static>(&self) -> Option<&E> {
        match self {
            Error::Other(error) => error.downcast_ref(),
            other => other.as_std().downcast_ref(),
        }
    }

    /// Returns the original error by value, if it was an `E` and there is no other clone of it.
    pub fn downcast<E: StdError + Send + Sync + 'static>(self) -> Result<E, Error> {
        match self {
            Error::Io(error) => error.take::<E>().map_err(Error::Io),
            Error::Other(error) => error.take::<E>().map_err(Error::Other),
            other => Err(other),
        }
    }
}

/// Converts any error through `?`; the crate's own error types and [`io::Error`] become their
/// variants. The line of the `?` is kept: see [`Error::location`].
impl<E: AnyError> From<E> for Error {
    #[track_caller]
    fn from(error: E) -> Error {
        let mut slot = Some(error);
        let error = kinds::from_known(&mut slot)
            .unwrap_or_else(|| foreign::of_box(Box::new(slot.take().expect("unused"))));
        error.arisen_at(Location::caller())
    }
}

/// Returns the cancellation in a chain of sources.
fn wrapped_in<'a>(error: &'a (dyn StdError + 'static)) -> Option<&'a CancelledError> {
    let mut at = Some(error);
    while let Some(error) = at {
        if let Some(cancelled) = error.downcast_ref::<CancelledError>() {
            return Some(cancelled);
        }
        if let Some(Boxed(inner)) = error.downcast_ref::<Boxed>() {
            return inner.as_cancelled();
        }
        at = match error.downcast_ref::<io::Error>().and_then(io::Error::get_ref) {
            // Its `source` is that of what it carries.
            Some(inner) => Some(inner as &'a (dyn StdError + 'static)),
            None => error.source(),
        };
    }
    None
}

/// An [`Error`] as a `std::error::Error`.
struct Boxed(Error);

impl fmt::Display for Boxed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

impl fmt::Debug for Boxed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}

impl StdError for Boxed {
    /// For a cancellation, this is the cancellation itself: a type that boxes this again, as anyhow does,
    /// exposes only its sources.
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        match &self.0 {
            Error::Cancelled(error) => Some(error),
            error => error.as_std().source(),
        }
    }
}

impl From<Error> for Box<dyn StdError + Send + Sync> {
    fn from(error: Error) -> Self {
        Box::new(Boxed(error))
    }
}

impl From<Error> for Box<dyn StdError> {
    fn from(error: Error) -> Self {
        Box::new(Boxed(error))
    }
}

/// Derefs to a `std::error::Error`, which the type itself cannot be, so that `#[from]` of thiserror
/// accepts it.
impl std::ops::Deref for Error {
    type Target = dyn StdError + Send + Sync + 'static;

    fn deref(&self) -> &Self::Target {
        self.as_std()
    }
}

/// Returns an error that came in as a system error unchanged; other errors become
/// [`io::ErrorKind::Other`].
impl From<Error> for io::Error {
    fn from(error: Error) -> Self {
        match error.downcast::<io::Error>() {
            Ok(error) => error,
            Err(error) => {
                // Another clone of the error exists, but a plain system error can be rebuilt from its
                // number.
                if let (Error::Io(shared), None) = (&error, error.context()) {
                    if let Some(number) = shared.get().raw_os_error() {
                        return io::Error::from_raw_os_error(number);
                    }
                }
                let kind = match &error {
                    Error::Io(e) => e.kind(),
                    Error::Timeout(_) => io::ErrorKind::TimedOut,
                    Error::IncompleteRead(_) => io::ErrorKind::UnexpectedEof,
                    Error::Value(_) => io::ErrorKind::InvalidInput,
                    _ => io::ErrorKind::Other,
                };
                io::Error::new(kind, Boxed(error))
            }
        }
    }
}

#[cfg(feature = "anyhow")]
impl From<Error> for anyhow::Error {
    fn from(error: Error) -> Self {
        anyhow::Error::new(Boxed(error))
    }
}

#[cfg(feature = "eyre")]
impl From<Error> for eyre::Report {
    fn from(error: Error) -> Self {
        eyre::Report::new(Boxed(error))
    }
}

/// The part that every error of a kind shares.
#[derive(Clone, Default)]
struct Details {
    message: Option<Cow<'static, str>>,
    about: About,
}

/// Drops errors with their contexts and members, without recursion.
fn drop_one_by_one(mut rest: Vec<Error>) {
    while let Some(mut error) = rest.pop() {
        rest.extend(error.take_sole_context());
        if let Error::Group(group) = &mut error {
            rest.append(&mut group.take_sole_members());
        }
    }
}

type Shared = Option<Arc<Details>>;
