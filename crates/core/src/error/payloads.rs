//! The kinds that carry more than a message.

use super::{About, Error, drop_one_by_one, foreign::Foreign};
use std::{
    any::{Any, TypeId},
    borrow::Cow,
    error::Error as StdError,
    fmt, io,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{Arc, Mutex, PoisonError},
};

/// A payload, shared by every copy of the error, and the data of this copy.
pub(super) struct Payload<T> {
    about: About,
    value: Arc<T>,
}

impl<T> Clone for Payload<T> {
    fn clone(&self) -> Self {
        Payload { about: self.about.clone(), value: self.value.clone() }
    }
}

/// The one pointer that an error holds.
pub(super) struct Thin<T>(Arc<Payload<T>>);

impl<T> Clone for Thin<T> {
    fn clone(&self) -> Self {
        Thin(self.0.clone())
    }
}

impl<T> Thin<T> {
    fn new(value: T) -> Thin<T> {
        Thin(Arc::new(Payload { about: About::default(), value: Arc::new(value) }))
    }

    pub(super) fn address(&self) -> *const () {
        Arc::as_ptr(&self.0.value).cast()
    }

    pub(super) fn about(&self) -> &About {
        &self.0.about
    }

    pub(super) fn about_mut(&mut self) -> &mut About {
        &mut Arc::make_mut(&mut self.0).about
    }

    pub(super) fn sole_about(&mut self) -> Option<&mut About> {
        Some(&mut Arc::get_mut(&mut self.0)?.about)
    }

    /// The payload itself, if no other copy of the error is left.
    fn into_value(self) -> Result<T, Thin<T>> {
        match Arc::try_unwrap(self.0) {
            Ok(Payload { about, value }) => {
                Arc::try_unwrap(value).map_err(|value| Thin(Arc::new(Payload { about, value })))
            }
            Err(shared) => Err(Thin(shared)),
        }
    }
}

macro_rules! payload_kinds {
    ($($(#[$doc:meta])* $name:ident($payload:ty);)*) => {$(
        $(#[$doc])*
        #[derive(Clone)]
        pub struct $name(pub(super) Thin<$payload>);

        impl $name {
            fn value(&self) -> &$payload {
                &self.0.0.value
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{}({:?})", stringify!($name), self.to_string())
            }
        }
    )*};
}

/// The payload of a panic, until it is taken.
pub(super) struct PanicPayload(Mutex<Option<Box<dyn Any + Send>>>);

/// A payload is dropped wherever the last copy of its error is dropped, so its panic must not get out
/// there.
impl Drop for PanicPayload {
    fn drop(&mut self) {
        let payload = self.0.get_mut().unwrap_or_else(PoisonError::into_inner).take();
        if let Err(next) = catch_unwind(AssertUnwindSafe(|| drop(payload))) {
            // Its drop may panic as well.
            std::mem::forget(next);
        }
    }
}

payload_kinds! {
    /// `asyncio.IncompleteReadError`: the stream ended before the requested bytes were read.
    IncompleteReadError((Vec<u8>, Option<usize>));
    /// `asyncio.LimitOverrunError`: the separator was not found within the limit.
    LimitOverrunError((Cow<'static, str>, usize));
    /// The error of a run in which no task can ever run again (virtual clock only).
    DeadlockError(Vec<String>);
    /// `ExceptionGroup`: several errors at once.
    #[doc(alias = "BaseExceptionGroup")]
    ExceptionGroup((Cow<'static, str>, Members));
    /// A panic that was caught at the edge of a task, callback or job.
    PanicError((String, PanicPayload));
    /// A system error; it derefs to the [`io::Error`].
    IoError(io::Error);
    /// An error of another library.
    OtherError(Foreign);
}

impl IncompleteReadError {
    /// Creates the error of a read that got `partial` instead of `expected` bytes (`None`: until a
    /// separator).
    pub fn new(partial: impl Into<Vec<u8>>, expected: Option<usize>) -> IncompleteReadError {
        IncompleteReadError(Thin::new((partial.into(), expected)))
    }

    /// Returns the bytes that were read before the stream ended.
    pub fn partial(&self) -> &[u8] {
        &self.value().0
    }

    /// Returns the number of bytes that were requested; `None` if the read was for a separator.
    pub fn expected(&self) -> Option<usize> {
        self.value().1
    }
}

impl fmt::Display for IncompleteReadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let read = self.partial().len();
        match self.expected() {
            Some(n) => write!(f, "{read} bytes read on a total of {n} expected bytes"),
            None => write!(f, "{read} bytes read on a total of undefined expected bytes"),
        }
    }
}

impl StdError for IncompleteReadError {}

impl LimitOverrunError {
    /// Creates the error, with the number of bytes that have to be consumed to get past it.
    pub fn new(message: impl Into<Cow<'static, str>>, consumed: usize) -> LimitOverrunError {
        LimitOverrunError(Thin::new((message.into(), consumed)))
    }

    /// Returns how many bytes of the buffer can be consumed without losing a separator.
    pub fn consumed(&self) -> usize {
        self.value().1
    }
}

impl fmt::Display for LimitOverrunError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.value().0)
    }
}

impl StdError for LimitOverrunError {}

impl DeadlockError {
    /// Creates the error, with one line for each task that waits.
    pub fn new(tasks: Vec<String>) -> DeadlockError {
        DeadlockError(Thin::new(tasks))
    }

    /// Returns one line for each unfinished task: its name, what it waits for, and where.
    pub fn tasks(&self) -> &[String] {
        self.value()
    }
}

impl fmt::Display for DeadlockError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("nothing is left that could wake a task")?;
        self.tasks().iter().try_for_each(|line| write!(f, "\n    {line}"))
    }
}

impl StdError for DeadlockError {}

impl ExceptionGroup {
    /// Creates a group of `exceptions`, in this order.
    pub fn new(
        message: impl Into<Cow<'static, str>>,
        exceptions: impl Into<Vec<Error>>,
    ) -> ExceptionGroup {
        ExceptionGroup(Thin::new((message.into(), Members(exceptions.into()))))
    }

    /// Returns the message of the group.
    pub fn message(&self) -> &str {
        &self.value().0
    }

    /// Takes the members out, if no other copy of the error is left.
    pub(super) fn take_sole_members(&mut self) -> Vec<Error> {
        let value =
            Arc::get_mut(&mut self.0.0).and_then(|payload| Arc::get_mut(&mut payload.value));
        value.map(|(_, members)| std::mem::take(&mut members.0)).unwrap_or_default()
    }

    pub(super) fn cow(&self) -> &Cow<'static, str> {
        &self.value().0
    }

    /// Returns the members, in order. A member may be a group.
    pub fn exceptions(&self) -> &[Error] {
        &self.value().1.0
    }
}

/// The members of a group. Groups may be nested deeper than the stack allows.
pub(super) struct Members(Vec<Error>);

impl Drop for Members {
    fn drop(&mut self) {
        drop_one_by_one(std::mem::take(&mut self.0));
    }
}

impl fmt::Display for ExceptionGroup {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let n = self.exceptions().len();
        write!(f, "{} ({n} sub-exception{})", self.message(), if n == 1 { "" } else { "s" })
    }
}

impl StdError for ExceptionGroup {}

impl PanicError {
    pub(super) fn new(payload: Box<dyn Any + Send>) -> PanicError {
        let message = match payload.downcast_ref::<&'static str>() {
            Some(text) => (*text).to_owned(),
            None => payload.downcast_ref::<String>().cloned().unwrap_or_default(),
        };
        PanicError(Thin::new((message, PanicPayload(Mutex::new(Some(payload))))))
    }

    /// Returns the message of the panic; empty if its payload was not text.
    pub fn message(&self) -> &str {
        &self.value().0
    }

    /// Takes the payload, for [`std::panic::resume_unwind`]; only the first caller gets it.
    pub fn take_payload(&self) -> Option<Box<dyn Any + Send>> {
        self.value().1.0.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

impl fmt::Display for PanicError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "panicked: {}", self.message())
    }
}

impl StdError for PanicError {}

impl IoError {
    pub(super) fn new(error: io::Error) -> IoError {
        IoError(Thin::new(error))
    }

    /// Returns the system error.
    pub fn get(&self) -> &io::Error {
        self.value()
    }

    /// Returns the error number of the operating system (Python's `errno`).
    ///
    /// Unlike [`io::Error::raw_os_error`], this also searches the sources of the error. It therefore
    /// works for errors that have been wrapped to add a message, as most errors of this workspace are.
    ///
    /// ```
    /// use asyncio::Error;
    /// use std::io;
    /// let system = io::Error::from_raw_os_error(24);
    /// let error = Error::from(io::Error::new(system.kind(), system));
    /// let Error::Io(error) = error else { unreachable!() };
    /// assert_eq!(error.raw_os_error(), Some(24)); // `EMFILE` on most systems
    /// assert_eq!(error.get().raw_os_error(), None);
    /// ```
    pub fn raw_os_error(&self) -> Option<i32> {
        let mut next: Option<&(dyn StdError + 'static)> = Some(self.get());
        while let Some(error) = next {
            next = match error.downcast_ref::<io::Error>() {
                // `io::Error::source` skips the error it wraps and returns that error's source.
                Some(error) => match error.raw_os_error() {
                    Some(number) => return Some(number),
                    None => error.get_ref().map(|carried| carried as &(dyn StdError + 'static)),
                },
                None => error.source(),
            };
        }
        None
    }

    pub(super) fn take<E: 'static>(self) -> Result<E, IoError> {
        if TypeId::of::<E>() != TypeId::of::<io::Error>() {
            return Err(self);
        }
        self.0.into_value().map(same).map_err(IoError)
    }
}

impl std::ops::Deref for IoError {
    type Target = io::Error;
    fn deref(&self) -> &io::Error {
        self.get()
    }
}

impl fmt::Display for IoError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self.get(), f)
    }
}

impl OtherError {
    pub(super) fn new(error: Foreign) -> OtherError {
        OtherError(Thin::new(error))
    }

    /// Returns the original error.
    pub fn get(&self) -> &(dyn StdError + Send + Sync + 'static) {
        self.value().get()
    }

    pub(super) fn downcast_ref<E: StdError + Send + Sync + 'static>(&self) -> Option<&E> {
        self.value().downcast_ref()
    }

    pub(super) fn take<E: StdError + Send + Sync + 'static>(self) -> Result<E, OtherError> {
        if self.downcast_ref::<E>().is_none() {
            return Err(self);
        }
        let error = self.0.into_value().map_err(OtherError)?;
        Ok(error.downcast().expect("its type was checked"))
    }
}

impl fmt::Display for OtherError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self.get(), f)
    }
}

/// Converts a value to the type that it is known to have.
fn same<A: 'static, B: 'static>(value: A) -> B {
    let mut value = Some(value);
    let value = (&mut value as &mut dyn Any).downcast_mut::<Option<B>>();
    value.and_then(Option::take).expect("the types were compared")
}
