//! The kinds that only have a message, and the common part of all kinds.

use super::{About, Boxed, Details, Error, Shared, payloads::*};
use std::{any::Any, borrow::Cow, error::Error as StdError, fmt, io, mem, ptr, sync::Arc};

macro_rules! message_kinds {
    ($($(#[$doc:meta])* $name:ident, $variant:ident, $default:literal;)*) => {
        $(
        $(#[$doc])*
        #[derive(Clone, Default)]
        pub struct $name(Shared);

        impl $name {
            /// Creates the error with a message.
            pub fn new(message: impl Into<Cow<'static, str>>) -> $name {
                $name(Some(Arc::new(Details { message: Some(message.into()), about: About::default() })))
            }

            /// Returns the message, if one was given.
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

        /// Returns the variant of an error of one of our kinds, or of the system; the error is
        /// taken out of its `Option`.
        pub(super) fn from_known(error: &mut dyn Any) -> Option<Error> {
            $(if let Some(e) = error.downcast_mut::<Option<$name>>() {
                return e.take().map(Error::$variant);
            })*
            if let Some(e) = error.downcast_mut::<Option<Error>>() {
                return e.take();
            }
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
            /// Returns the name of the kind, as Python spells it where Python has it.
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

            pub(super) fn about(&self) -> Option<&About> {
                Some(match self {
                    $(Error::$variant(e) => &e.0.as_ref()?.about,)*
                    Error::IncompleteRead(e) => e.0.about(),
                    Error::LimitOverrun(e) => e.0.about(),
                    Error::Deadlock(e) => e.0.about(),
                    Error::Io(e) => e.0.about(),
                    Error::Group(e) => e.0.about(),
                    Error::Panic(e) => e.0.about(),
                    Error::Other(e) => e.0.about(),
                })
            }

            /// Returns an address that the copies of an error share; null if it has no data.
            fn address(&self) -> *const () {
                match self {
                    $(Error::$variant(e) => e.0.as_ref().map_or(ptr::null(), |d| Arc::as_ptr(d).cast()),)*
                    Error::IncompleteRead(e) => e.0.address(),
                    Error::LimitOverrun(e) => e.0.address(),
                    Error::Deadlock(e) => e.0.address(),
                    Error::Io(e) => e.0.address(),
                    Error::Group(e) => e.0.address(),
                    Error::Panic(e) => e.0.address(),
                    Error::Other(e) => e.0.address(),
                }
            }

            /// Returns it mutably; other copies of the error are not changed.
            pub(super) fn about_mut(&mut self) -> &mut About {
                match self {
                    $(Error::$variant(e) => &mut Arc::make_mut(e.0.get_or_insert_default()).about,)*
                    Error::IncompleteRead(e) => e.0.about_mut(),
                    Error::LimitOverrun(e) => e.0.about_mut(),
                    Error::Deadlock(e) => e.0.about_mut(),
                    Error::Io(e) => e.0.about_mut(),
                    Error::Group(e) => e.0.about_mut(),
                    Error::Panic(e) => e.0.about_mut(),
                    Error::Other(e) => e.0.about_mut(),
                }
            }

            /// Returns it mutably, if no other copy of the error is left.
            pub(super) fn sole_about(&mut self) -> Option<&mut About> {
                match self {
                    $(Error::$variant(e) => Some(&mut Arc::get_mut(e.0.as_mut()?)?.about),)*
                    Error::IncompleteRead(e) => e.0.sole_about(),
                    Error::LimitOverrun(e) => e.0.sole_about(),
                    Error::Deadlock(e) => e.0.sole_about(),
                    Error::Io(e) => e.0.sole_about(),
                    Error::Group(e) => e.0.sole_about(),
                    Error::Panic(e) => e.0.sole_about(),
                    Error::Other(e) => e.0.sole_about(),
                }
            }
        }
    };
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
    /// Returns whether both are copies of one error. Without data, errors of one kind are not told apart.
    pub(super) fn is_copy_of(&self, other: &Error) -> bool {
        mem::discriminant(self) == mem::discriminant(other) && self.address() == other.address()
    }

    /// Converts a system error to its variant; one that only carries an [`Error`] is unwrapped.
    pub(super) fn from_io(error: io::Error) -> Error {
        if error.get_ref().is_some_and(|inner| inner.is::<Boxed>()) {
            let inner = error.into_inner().expect("just seen");
            return inner.downcast::<Boxed>().expect("just seen").0;
        }
        Error::Io(IoError::new(error))
    }
}
