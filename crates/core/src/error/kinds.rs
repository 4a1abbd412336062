//! The kinds that are nothing but a message, and what all kinds have in common.

use super::payloads::*;
use super::{Boxed, Context, Details, Error, Shared};
use std::{any::Any, borrow::Cow, error::Error as StdError, fmt, io, sync::Arc};

macro_rules! message_kinds {
    ($($(#[$doc:meta])* $name:ident, $variant:ident, $default:literal;)*) => {
        $(
        $(#[$doc])*
        #[derive(Clone, Default)]
        pub struct $name(Shared);

        impl $name {
            /// The error with a message.
            pub fn new(message: impl Into<Cow<'static, str>>) -> $name {
                $name(Some(Arc::new(Details { message: Some(message.into()), context: Context(None) })))
            }

            /// The message, if one was given.
            pub fn message(&self) -> Option<&str> {
                self.0.as_ref().and_then(|d| d.message.as_deref())
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(self.message().unwrap_or($default))
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{}({:?})", stringify!($name), self.message().unwrap_or_default())
            }
        }

        impl StdError for $name {}
        )*

        /// The variant of an error of one of our kinds, or of the system's; the error is taken out
        /// of its `Option`.
        pub(super) fn from_known(error: &mut dyn Any) -> Option<Error> {
            $(if let Some(e) = error.downcast_mut::<Option<$name>>() {
                return e.take().map(Error::$variant);
            })*
            if let Some(e) = error.downcast_mut::<Option<io::Error>>() {
                return e.take().map(Error::from_io);
            }
            if let Some(e) = error.downcast_mut::<Option<IncompleteReadError>>() {
                return e.take().map(Error::IncompleteRead);
            }
            if let Some(e) = error.downcast_mut::<Option<LimitOverrunError>>() {
                return e.take().map(Error::LimitOverrun);
            }
            if let Some(e) = error.downcast_mut::<Option<ExceptionGroup>>() {
                return e.take().map(Error::Group);
            }
            if let Some(e) = error.downcast_mut::<Option<DeadlockError>>() {
                return e.take().map(Error::Deadlock);
            }
            if let Some(e) = error.downcast_mut::<Option<PanicError>>() {
                return e.take().map(Error::Panic);
            }
            None
        }

        impl Error {
            /// The name of the kind, as Python spells it where Python has it.
            pub fn kind(&self) -> &'static str {
                match self {
                    $(Error::$variant(_) => stringify!($name),)*
                    Error::IncompleteRead(_) => "IncompleteReadError",
                    Error::LimitOverrun(_) => "LimitOverrunError",
                    Error::Deadlock(_) => "DeadlockError",
                    Error::Io(_) => "OSError",
                    Error::Group(_) => "ExceptionGroup",
                    Error::Panic(_) => "PanicError",
                    Error::Other(_) => "Error",
                }
            }

            pub(super) fn as_std(&self) -> &(dyn StdError + Send + Sync + 'static) {
                match self {
                    $(Error::$variant(e) => e,)*
                    Error::IncompleteRead(e) => e,
                    Error::LimitOverrun(e) => e,
                    Error::Deadlock(e) => e,
                    Error::Io(e) => e.get(),
                    Error::Group(e) => e,
                    Error::Panic(e) => e,
                    Error::Other(e) => e.get(),
                }
            }

            /// The error that was being handled when this one arose (Python's `__context__`).
            pub fn context(&self) -> Option<&Error> {
                match self {
                    $(Error::$variant(e) => e.0.as_ref()?.context.0.as_ref(),)*
                    Error::IncompleteRead(e) => e.0.context(),
                    Error::LimitOverrun(e) => e.0.context(),
                    Error::Deadlock(e) => e.0.context(),
                    Error::Io(e) => e.0.context(),
                    Error::Group(e) => e.0.context(),
                    Error::Panic(e) => e.0.context(),
                    Error::Other(e) => e.0.context(),
                }
            }

            /// Takes the context out, if no other copy of the error is left.
            pub(super) fn take_sole_context(&mut self) -> Option<Error> {
                match self {
                    $(Error::$variant(e) => Arc::get_mut(e.0.as_mut()?)?.context.0.take(),)*
                    Error::IncompleteRead(e) => e.0.take_sole_context(),
                    Error::LimitOverrun(e) => e.0.take_sole_context(),
                    Error::Deadlock(e) => e.0.take_sole_context(),
                    Error::Io(e) => e.0.take_sole_context(),
                    Error::Group(e) => e.0.take_sole_context(),
                    Error::Panic(e) => e.0.take_sole_context(),
                    Error::Other(e) => e.0.take_sole_context(),
                }
            }

            /// The same error, with this context in place of the one that it has.
            pub(super) fn with_only_context(mut self, context: Error) -> Error {
                match &mut self {
                    $(Error::$variant(e) => {
                        let mut details = e.0.as_deref().cloned().unwrap_or_default();
                        details.context = Context(Some(context));
                        e.0 = Some(Arc::new(details));
                    })*
                    Error::IncompleteRead(e) => e.0.set_context(context),
                    Error::LimitOverrun(e) => e.0.set_context(context),
                    Error::Deadlock(e) => e.0.set_context(context),
                    Error::Io(e) => e.0.set_context(context),
                    Error::Group(e) => e.0.set_context(context),
                    Error::Panic(e) => e.0.set_context(context),
                    Error::Other(e) => e.0.set_context(context),
                }
                self
            }
        }
    };
}

impl Error {
    /// The contexts behind each other.
    fn contexts(&self) -> impl Iterator<Item = &Error> {
        std::iter::successors(self.context(), |error| error.context())
    }

    /// The same error, with `context` behind the first `n` contexts that it has, in place of the others.
    fn with_context_behind(self, n: usize, context: Error) -> Error {
        let kept: Vec<Error> = self.contexts().take(n).cloned().collect();
        let context =
            kept.into_iter().rev().fold(context, |inner, error| error.with_only_context(inner));
        self.with_only_context(context)
    }

    /// The same error, with `context` as what was being handled when it arose. A context that it already
    /// has stays in front, so that none is lost.
    pub fn with_context(self, context: Error) -> Error {
        let n = self.contexts().count();
        self.with_context_behind(n, context)
    }

    /// What an error becomes that leaves a `timeout` in place of the cancellation at its deadline: in its
    /// context a [`TimeoutError`] takes the place of that, and has it as its own context. The same in the
    /// members of a group.
    #[doc(hidden)]
    pub fn with_timeout_in_context(self) -> Error {
        let error = match &self {
            Error::Group(group)
                if group.exceptions().iter().any(|e| e.cancelled_context().is_some()) =>
            {
                let members = group.exceptions().iter().cloned().map(Error::timeout_in_own_context);
                let members: Vec<Error> = members.collect();
                let revised =
                    Error::Group(ExceptionGroup::new(group.message().to_owned(), members));
                match self.context() {
                    Some(context) => revised.with_only_context(context.clone()),
                    None => revised,
                }
            }
            _ => self,
        };
        error.timeout_in_own_context()
    }

    /// The first context that is a cancellation, and how many are before it.
    fn cancelled_context(&self) -> Option<(usize, &Error)> {
        self.contexts().enumerate().find(|(_, error)| error.is_cancelled())
    }

    fn timeout_in_own_context(self) -> Error {
        let Some((n, cancelled)) = self.cancelled_context() else { return self };
        let timeout = Error::Timeout(TimeoutError::default()).with_only_context(cancelled.clone());
        self.with_context_behind(n, timeout)
    }
}

message_kinds! {
    /// `asyncio.CancelledError`, with the message that was given to `cancel`.
    CancelledError, Cancelled, "cancelled";
    /// `TimeoutError`.
    TimeoutError, Timeout, "timed out";
    /// `asyncio.InvalidStateError`.
    InvalidStateError, InvalidState, "invalid state";
    /// `RuntimeError`.
    RuntimeError, Runtime, "runtime error";
    /// `ValueError`.
    ValueError, Value, "invalid value";
    /// `asyncio.QueueEmpty`.
    QueueEmpty, QueueEmpty, "the queue is empty";
    /// `asyncio.QueueFull`.
    QueueFull, QueueFull, "the queue is full";
    /// `asyncio.QueueShutDown`.
    QueueShutDown, QueueShutDown, "the queue has been shut down";
    /// `asyncio.BrokenBarrierError`.
    BrokenBarrierError, BrokenBarrier, "the barrier is broken";
    /// `asyncio.SendfileNotAvailableError`.
    SendfileNotAvailableError, SendfileNotAvailable, "sendfile is not available";
    /// `KeyboardInterrupt`.
    KeyboardInterrupt, KeyboardInterrupt, "interrupted by Ctrl-C";
}

impl Error {
    /// A system error as its variant; one that only carries an [`Error`] gives that back.
    pub(super) fn from_io(error: io::Error) -> Error {
        if error.get_ref().is_some_and(|inner| inner.is::<Boxed>()) {
            let inner = error.into_inner().expect("just seen");
            return inner.downcast::<Boxed>().expect("just seen").0;
        }
        Error::Io(IoError::new(error))
    }
}
