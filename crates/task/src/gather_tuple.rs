//! `gather!`: [`gather`](crate::gather()) for awaitables of different types.
//!
//! The results of one `gather` have one type. For each number of arguments, there is therefore a sum
//! type whose variants are the result types of the arguments.

use crate::{
    future_like::Child,
    gather::{Gather, Mapped, Part},
};
use asyncio_core::{Result, wait_site::WaitSite};
use asyncio_future::Take;
use std::{
    fmt,
    future::{Future, IntoFuture},
    pin::Pin,
    task::{Context, Poll, ready},
};

/// Runs awaitables of different types at the same time: `gather!(a, b).await?` is a tuple of their
/// results.
///
/// Everything in the docs of the function `gather` applies. The macro takes one to eight arguments.
/// With `.return_exceptions()`, each item of the tuple is a `Result`.
///
/// ```
/// #[asyncio::main]
/// async fn main() -> asyncio::Result<()> {
///     let (n, s) = asyncio::gather!(async { Ok(1) }, async { Ok("one") }).await?;
///     assert_eq!((n, s), (1, "one"));
///     Ok(())
/// }
/// ```
#[macro_export]
macro_rules! gather {
    ($($awaitable:expr),+ $(,)?) => {
        $crate::IntoGather::into_gather(($($awaitable,)+))
    };
}

/// A tuple of awaitables, which the macro `gather!` takes.
#[diagnostic::on_unimplemented(
    message = "`gather!` cannot run all of `{Self}`",
    label = "one to eight coroutines, tasks or futures are expected",
    note = "a coroutine is what an `async fn` or an `async {{}}` block returns; its output is an \
            `asyncio::Result`",
    note = "for more than eight, or for a list, use the function `gather`"
)]
pub trait IntoGather {
    /// The type that it becomes.
    type Gather;
    /// Runs them all at the same time.
    fn into_gather(self) -> Self::Gather;
}

/// A result of one of the arguments, in a type that holds any of them.
pub trait AnyResult: Sized + 'static {
    /// All results.
    type Results;
    /// All outcomes.
    type Outcomes;
    /// Converts a list to the results.
    fn results(list: Vec<Self>) -> Self::Results;
    /// Converts a list to the outcomes.
    fn outcomes(list: Vec<Result<Self>>) -> Self::Outcomes;
}

/// The value that the macro `gather!` returns. Awaiting it returns the results.
#[must_use = "the awaitables run, but their outcomes are lost unless this is awaited"]
pub struct GatherTuple<S>(Gather<S>);

/// The value that [`GatherTuple::return_exceptions`] returns.
#[must_use = "the awaitables run, but their outcomes are lost unless this is awaited"]
pub struct GatherTupleAll<S>(Gather<S>);

impl<S> GatherTuple<S> {
    /// Makes each item of the tuple a `Result`, so that the tuple is complete.
    pub fn return_exceptions(self) -> GatherTupleAll<S> {
        GatherTupleAll(self.0)
    }
}

/// The future of a `gather!`.
#[must_use = "futures do nothing unless they are awaited"]
pub struct Sorted<L, R> {
    list: Take<L>,
    sort: fn(L) -> R,
}

impl<L, R> Future for Sorted<L, R> {
    type Output = Result<R>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<R>> {
        let list = ready!(Pin::new(&mut self.list).poll(cx));
        Poll::Ready(list.map(self.sort))
    }
}

impl<S: AnyResult> IntoFuture for GatherTuple<S> {
    type Output = Result<S::Results>;
    type IntoFuture = Sorted<Vec<S>, S::Results>;

    fn into_future(self) -> Self::IntoFuture {
        Sorted { list: self.0.into_future(), sort: S::results }
    }
}

impl<S: AnyResult> IntoFuture for GatherTupleAll<S> {
    type Output = Result<S::Outcomes>;
    type IntoFuture = Sorted<Vec<Result<S>>, S::Outcomes>;

    fn into_future(self) -> Self::IntoFuture {
        Sorted { list: self.0.return_exceptions().into_future(), sort: S::outcomes }
    }
}

impl<S> fmt::Debug for GatherTuple<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl<S> fmt::Debug for GatherTupleAll<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl<L, R> fmt::Debug for Sorted<L, R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Gather")
    }
}

macro_rules! arity {
    ($sum:ident: $($f:ident $t:ident),+) => {
        #[doc(hidden)]
        #[derive(Debug)]
        pub enum $sum<$($t),+> { $($t($t)),+ }

        impl<$($t: 'static),+> AnyResult for $sum<$($t),+> {
            type Results = ($($t,)+);
            type Outcomes = ($(Result<$t>,)+);

            fn results(list: Vec<Self>) -> Self::Results {
                let mut list = list.into_iter();
                ($(match list.next() {
                    Some($sum::$t(result)) => result,
                    _ => unreachable!("results are in the order of the arguments"),
                },)+)
            }

            fn outcomes(list: Vec<Result<Self>>) -> Self::Outcomes {
                let mut list = list.into_iter();
                ($(match list.next() {
                    Some(Ok($sum::$t(result))) => Ok(result),
                    Some(Err(error)) => Err(error),
                    _ => unreachable!("outcomes are in the order of the arguments"),
                },)+)
            }
        }

        impl<$($f, $t),+> IntoGather for ($($f,)+)
        where
            $($f: IntoFuture<Output = Result<$t>>, $f::IntoFuture: 'static, $t: 'static,)+
        {
            type Gather = GatherTuple<$sum<$($t),+>>;

            #[track_caller]
            #[allow(non_snake_case)]
            fn into_gather(self) -> Self::Gather {
                let site = WaitSite::here(&"gather");
                let ($($f,)+) = self;
                // Each one is created when its turn comes.
                let children = std::iter::empty()$(.chain(std::iter::once_with(move || {
                    let child = Child::ensure($f, site.location());
                    Box::new(Mapped(child, $sum::$t)) as Box<dyn Part<_>>
                })))+;
                GatherTuple(Gather::start(children, site))
            }
        }
    };
}

arity!(Any1: F1 T1);
arity!(Any2: F1 T1, F2 T2);
arity!(Any3: F1 T1, F2 T2, F3 T3);
arity!(Any4: F1 T1, F2 T2, F3 T3, F4 T4);
arity!(Any5: F1 T1, F2 T2, F3 T3, F4 T4, F5 T5);
arity!(Any6: F1 T1, F2 T2, F3 T3, F4 T4, F5 T5, F6 T6);
arity!(Any7: F1 T1, F2 T2, F3 T3, F4 T4, F5 T5, F6 T6, F7 T7);
arity!(Any8: F1 T1, F2 T2, F3 T3, F4 T4, F5 T5, F6 T6, F7 T7, F8 T8);
