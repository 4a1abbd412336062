//! Errors of other libraries, and conversions where `?` does not work.

use super::{Boxed, Error, OtherError, Result, kinds::from_known};
use pin_project_lite::pin_project;
use std::{
    any::Any,
    error::Error as StdError,
    fmt,
    future::{Future, IntoFuture},
    io,
    panic::Location,
    pin::Pin,
    task::{Context, Poll, ready},
};

/// The original error of another library.
pub(super) enum Foreign {
    Boxed(Box<dyn StdError + Send + Sync>),
    #[cfg(feature = "anyhow")]
    Anyhow(anyhow::Error),
    #[cfg(feature = "eyre")]
    Eyre(eyre::Report),
}

impl Foreign {
    pub(super) fn get(&self) -> &(dyn StdError + Send + Sync + 'static) {
        match self {
            Foreign::Boxed(error) => &**error,
            #[cfg(feature = "anyhow")]
            Foreign::Anyhow(error) => &**error,
            #[cfg(feature = "eyre")]
            Foreign::Eyre(error) => &**error,
        }
    }

    pub(super) fn downcast_ref<E: StdError + Send + Sync + 'static>(&self) -> Option<&E> {
        match self {
            Foreign::Boxed(error) => error.downcast_ref(),
            #[cfg(feature = "anyhow")]
            Foreign::Anyhow(error) => error.downcast_ref(),
            #[cfg(feature = "eyre")]
            Foreign::Eyre(error) => error.downcast_ref(),
        }
    }

    pub(super) fn downcast<E: StdError + Send + Sync + 'static>(self) -> Option<E> {
        match self {
            Foreign::Boxed(error) => error.downcast().ok().map(|error| *error),
            #[cfg(feature = "anyhow")]
            Foreign::Anyhow(error) => error.downcast().ok(),
            #[cfg(feature = "eyre")]
            Foreign::Eyre(error) => error.downcast().ok(),
        }
    }
}

macro_rules! reports {
    ($($feature:literal, $function:ident, $report:ty, $variant:ident;)*) => {$(
        #[cfg(feature = $feature)]
        fn $function(report: $report) -> Error {
            // The `is` of a report also looks behind its contexts, which would be lost.
            let outermost: &(dyn StdError + Send + Sync) = &*report;
            let unpacked = if outermost.is::<Boxed>() {
                report.downcast::<Boxed>().map(|boxed| boxed.0)
            } else if outermost.is::<io::Error>() {
                report.downcast().map(Error::from_io)
            } else {
                Err(report)
            };
            unpacked.unwrap_or_else(|report| Error::Other(OtherError::new(Foreign::$variant(report))))
        }
    )*

        /// Converts a report of anyhow or eyre, which is taken out of its `Option`.
        fn from_report(slot: &mut dyn Any) -> Option<Error> {
            $(
                #[cfg(feature = $feature)]
                if let Some(report) = slot.downcast_mut::<Option<$report>>() {
                    return report.take().map($function);
                }
            )*
            let _ = slot;
            None
        }
    };
}

reports! {
    "anyhow", of_anyhow, anyhow::Error, Anyhow;
    "eyre", of_eyre, eyre::Report, Eyre;
}

/// Converts an error of any type; `at` is the line of the conversion.
fn convert<E>(error: E, at: &'static Location<'static>) -> Error
where
    E: Into<Box<dyn StdError + Send + Sync>> + 'static,
{
    let mut slot = Some(error);
    let known = from_known(&mut slot).or_else(|| from_report(&mut slot));
    known.unwrap_or_else(|| of_box(slot.take().expect("unused").into())).arisen_at(at)
}

pub(super) fn of_box(error: Box<dyn StdError + Send + Sync>) -> Error {
    match error.downcast::<io::Error>() {
        Ok(error) => Error::from_io(*error),
        Err(error) => match error.downcast::<Boxed>() {
            Ok(boxed) => boxed.0,
            Err(error) => Error::Other(OtherError::new(Foreign::Boxed(error))),
        },
    }
}

/// Any error that `?` can convert to an [`Error`]: every type that implements `std::error::Error`.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not an error that `?` can convert into an `asyncio::Error`",
    label = "write `.into_asyncio()?` here (with `use asyncio::prelude::*`)",
    note = "`?` takes what implements `std::error::Error`; `into_asyncio` also takes the errors of anyhow and \
            eyre, boxes and texts, and `asyncio::coroutine(future)` does the same for a coroutine"
)]
pub trait AnyError: StdError + Send + Sync + 'static {}

#[diagnostic::do_not_recommend]
impl<E: StdError + Send + Sync + 'static> AnyError for E {}

/// Methods of results for the errors of an application.
pub trait ResultExt<T> {
    /// Converts the error of the result to an [`Error`]. This is for errors that `?` alone cannot convert
    /// because they do not implement `std::error::Error` (those of anyhow and eyre, boxes, text).
    ///
    /// [`Error::downcast`] finds the original error; for errors that anyhow and eyre have wrapped, this
    /// needs the features of these names. An [`Error`] that they carry is unwrapped, so a cancellation
    /// stays a cancellation.
    ///
    /// # Errors
    /// The error of the result.
    ///
    /// ```
    /// use asyncio::prelude::*;
    /// fn checked(text: &str) -> Result<u16, Box<dyn std::error::Error + Send + Sync>> { Ok(text.parse()?) }
    /// fn port(text: &str) -> asyncio::Result<u16> { Ok(checked(text).into_asyncio()?) }
    /// let error = port("http").unwrap_err();
    /// assert!(error.downcast_ref::<std::num::ParseIntError>().is_some());
    /// ```
    fn into_asyncio(self) -> Result<T>;

    /// Does what [`into_asyncio`](ResultExt::into_asyncio) does, and adds a note to the error: a sentence
    /// about what was being done. Nothing is formatted if there is no error; use `format_args!` for text
    /// of several parts.
    ///
    /// The note does not change the kind of the error, its `{}` text, or the result of
    /// [`Error::downcast`]: see [`Error::add_note`].
    ///
    /// # Errors
    /// The error of the result.
    ///
    /// ```
    /// use asyncio::{Error, prelude::*};
    /// fn settings(path: &str) -> asyncio::Result<String> {
    ///     std::fs::read_to_string(path).add_note(format_args!("reading the settings in {path}"))
    /// }
    /// let error = settings("no such file").unwrap_err();
    /// assert!(matches!(error, Error::Io(_)));
    /// assert_eq!(error.notes(), ["reading the settings in no such file"]);
    /// ```
    fn add_note(self, note: impl fmt::Display) -> Result<T>;
}

impl<T, E: Into<Box<dyn StdError + Send + Sync>> + 'static> ResultExt<T> for Result<T, E> {
    #[track_caller]
    fn into_asyncio(self) -> Result<T> {
        let at = Location::caller();
        self.map_err(|error| convert(error, at))
    }

    #[track_caller]
    fn add_note(self, note: impl fmt::Display) -> Result<T> {
        let at = Location::caller();
        self.map_err(|error| convert(error, at).add_note(note))
    }
}

/// Turns a future whose result has any type of error into a coroutine: an application's own type
/// (thiserror), anyhow's or eyre's, a box, or text.
///
/// A coroutine is a future that returns [`Result<T>`], which [`create_task`], [`gather`] and other functions
/// take. The error is converted as by [`ResultExt::into_asyncio`]: [`Error::downcast`] finds the original,
/// and a cancellation stays a cancellation.
///
/// [`create_task`]: https://docs.rs/asyncio/latest/asyncio/fn.create_task.html
/// [`gather`]: https://docs.rs/asyncio/latest/asyncio/fn.gather.html
///
/// # Errors
/// The errors of the future.
///
/// # Cancellation
/// The cancellation goes to the future.
///
/// ```
/// #[derive(Debug, thiserror::Error)]
/// enum ShopError {
///     #[error("sold out")]
///     SoldOut,
///     #[error("the shop does not answer")]
///     Asyncio(#[from] asyncio::Error),
/// }
///
/// async fn buy() -> Result<(), ShopError> {
///     asyncio::sleep(std::time::Duration::from_millis(1)).await?;
///     Err(ShopError::SoldOut)
/// }
///
/// #[asyncio::main]
/// async fn main() {
///     let task = asyncio::create_task(asyncio::coroutine(buy()));
///     let error = task.await.unwrap_err();
///     assert!(matches!(error.downcast_ref(), Some(ShopError::SoldOut)));
/// }
/// ```
#[track_caller]
pub fn coroutine<F, T, E>(future: F) -> Coroutine<F::IntoFuture>
where
    F: IntoFuture<Output = Result<T, E>>,
    E: Into<Box<dyn StdError + Send + Sync>> + 'static,
{
    Coroutine { future: future.into_future(), at: Location::caller() }
}

pin_project! {
    /// The future that [`coroutine`] returns.
    ///
    /// # Cancellation
    /// The cancellation goes to the future.
    #[must_use = "coroutines do nothing unless they are awaited"]
    pub struct Coroutine<F> {
        #[pin]
        future: F,
        at: &'static Location<'static>,
    }
}

impl<F, T, E> Future for Coroutine<F>
where
    F: Future<Output = Result<T, E>>,
    E: Into<Box<dyn StdError + Send + Sync>> + 'static,
{
    type Output = Result<T>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<T>> {
        let this = self.project();
        let outcome = ready!(this.future.poll(cx));
        Poll::Ready(outcome.map_err(|error| convert(error, this.at)))
    }
}

impl<F> fmt::Debug for Coroutine<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "<Coroutine of {}>", self.at)
    }
}
