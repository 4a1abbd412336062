//! [`PutError`]: an item that could not be put, and why.

use asyncio_core::{Error, QueueFull, QueueShutDown};
use std::fmt;

/// An item that could not be put into a queue, and why: the error of
/// [`put_nowait`](crate::OrderedQueue::put_nowait).
///
/// `?` turns it into an [`Error`], whatever the item is, and drops the item. (For this, the type
/// itself does not implement `std::error::Error`.)
///
/// ```
/// use asyncio::{PutError, Queue};
/// let queue = Queue::new(1);
/// queue.put_nowait("first")?;
/// let Err(PutError::Full(item)) = queue.put_nowait("second") else { panic!() };
/// assert_eq!(item, "second");
/// # Ok::<_, asyncio::Error>(())
/// ```
#[derive(Clone)]
pub enum PutError<T> {
    /// The queue is full (`asyncio.QueueFull`).
    Full(T),
    /// The queue was shut down (`asyncio.QueueShutDown`).
    ShutDown(T),
}

impl<T> PutError<T> {
    /// Returns the item.
    ///
    /// ```
    /// use asyncio::Queue;
    /// let queue = Queue::new(0);
    /// queue.shutdown(false);
    /// assert_eq!(queue.put_nowait(7).unwrap_err().into_inner(), 7);
    /// ```
    pub fn into_inner(self) -> T {
        match self {
            PutError::Full(item) | PutError::ShutDown(item) => item,
        }
    }

    /// Returns the error without the item.
    ///
    /// ```
    /// use asyncio::PutError;
    /// assert_eq!(PutError::Full(7).to_error().kind(), "QueueFull");
    /// ```
    pub fn to_error(&self) -> Error {
        match self {
            PutError::Full(_) => Error::QueueFull(QueueFull::default()),
            PutError::ShutDown(_) => Error::QueueShutDown(QueueShutDown::default()),
        }
    }
}

impl<T> From<PutError<T>> for Error {
    fn from(error: PutError<T>) -> Error {
        error.to_error()
    }
}

impl<T> fmt::Display for PutError<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.to_error().fmt(f)
    }
}

/// Shows the error without the item, which need not be `Debug`.
impl<T> fmt::Debug for PutError<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            PutError::Full(_) => "Full(..)",
            PutError::ShutDown(_) => "ShutDown(..)",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::cell::Cell;

    /// Neither `Send` nor `Debug`.
    struct Item<'a>(&'a Cell<i32>);

    #[test]
    fn any_item_becomes_an_error_through_the_question_mark() {
        fn full(cell: &Cell<i32>) -> asyncio_core::Result<()> {
            Err(PutError::Full(Item(cell)))?
        }
        let cell = Cell::new(1);
        assert!(matches!(full(&cell), Err(Error::QueueFull(_))));
        let down = PutError::ShutDown(Item(&cell));
        assert_eq!(format!("{down:?}: {down}"), "ShutDown(..): the queue has been shut down");
        assert_eq!(down.into_inner().0.get(), 1);
    }
}
