//! [`Order`]: which item of a queue comes next.

use asyncio_core::raw::layout;
use std::{
    cmp::Reverse,
    collections::{BinaryHeap, VecDeque},
    fmt,
};

/// Keeps the items of a queue, and decides which comes next (the methods `_put` and `_get` of an
/// asyncio queue).
///
/// Its methods are called while the queue is locked: they must not use the queue.
///
/// ```
/// use asyncio::{Order, OrderedQueue};
/// /// Takes from either end in turn.
/// #[derive(Default)]
/// struct Alternating(std::collections::VecDeque<u32>, bool);
/// impl Order for Alternating {
///     type Item = u32;
///     fn push(&mut self, item: u32) { self.0.push_back(item) }
///     fn pop(&mut self) -> Option<u32> {
///         self.1 = !self.1;
///         if self.1 { self.0.pop_front() } else { self.0.pop_back() }
///     }
///     fn len(&self) -> usize { self.0.len() }
/// }
/// let queue = OrderedQueue::with_order(0, Alternating::default());
/// for n in 1..=3 { queue.put_nowait(n)?; }
/// assert_eq!((queue.get_nowait()?, queue.get_nowait()?), (1, 3));
/// # Ok::<_, asyncio::Error>(())
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not an order for a queue",
    label = "an order is expected",
    note = "use `Queue<T>`, `LifoQueue<T>`, or `PriorityQueue<T>`, for which `T` has to be `Ord`; floats are not"
)]
pub trait Order {
    /// The type of the items.
    type Item;

    /// Adds an item.
    fn push(&mut self, item: Self::Item);

    /// Takes the next item out; `None` only if there is none.
    fn pop(&mut self) -> Option<Self::Item>;

    /// Returns the number of items.
    fn len(&self) -> usize;

    /// Returns whether there are no items.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Returns the address of the length, for readers outside the process, or zero if it is not known.
    #[doc(hidden)]
    fn length_address(&self) -> usize {
        0
    }
}

/// First in, first out.
pub struct Fifo<T>(VecDeque<T>);

/// Last in, first out.
pub struct Lifo<T>(Vec<T>);

/// The lowest first. Equal items come in the order of Python's `heapq`.
pub struct Priority<T>(BinaryHeap<Reverse<T>>);

impl<T> Fifo<T> {
    /// Creates it without items.
    pub const fn new() -> Fifo<T> {
        Fifo(VecDeque::new())
    }
}

impl<T> Lifo<T> {
    /// Creates it without items.
    pub const fn new() -> Lifo<T> {
        Lifo(Vec::new())
    }
}

impl<T: Ord> Priority<T> {
    /// Creates it without items.
    pub const fn new() -> Priority<T> {
        Priority(BinaryHeap::new())
    }
}

impl<T> Order for Fifo<T> {
    type Item = T;

    fn push(&mut self, item: T) {
        self.0.push_back(item);
    }

    fn pop(&mut self) -> Option<T> {
        self.0.pop_front()
    }

    fn len(&self) -> usize {
        self.0.len()
    }

    fn length_address(&self) -> usize {
        layout::length_of_deque(&self.0)
    }
}

impl<T> Order for Lifo<T> {
    type Item = T;

    fn push(&mut self, item: T) {
        self.0.push(item);
    }

    fn pop(&mut self) -> Option<T> {
        self.0.pop()
    }

    fn len(&self) -> usize {
        self.0.len()
    }

    fn length_address(&self) -> usize {
        layout::length_of_vec(&self.0)
    }
}

impl<T: Ord> Order for Priority<T> {
    type Item = T;

    fn push(&mut self, item: T) {
        self.0.push(Reverse(item));
    }

    fn pop(&mut self) -> Option<T> {
        Some(self.0.pop()?.0)
    }

    fn len(&self) -> usize {
        self.0.len()
    }

    fn length_address(&self) -> usize {
        layout::length_of_heap(&self.0)
    }
}

macro_rules! default_and_debug {
    ($($name:ident: $($bound:ident)?;)*) => {$(
        impl<T $(: $bound)?> Default for $name<T> {
            fn default() -> $name<T> {
                $name::new()
            }
        }

        impl<T> fmt::Debug for $name<T> {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!(stringify!($name), "({} items)"), self.0.len())
            }
        }
    )*};
}

default_and_debug! {
    Fifo: ;
    Lifo: ;
    Priority: Ord;
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::cmp::Ordering;

    /// Compares only by its first part.
    #[derive(Debug)]
    struct Job(u32, usize);

    impl PartialEq for Job {
        fn eq(&self, other: &Job) -> bool {
            self.0 == other.0
        }
    }

    impl Eq for Job {}

    impl PartialOrd for Job {
        fn partial_cmp(&self, other: &Job) -> Option<Ordering> {
            Some(self.cmp(other))
        }
    }

    impl Ord for Job {
        fn cmp(&self, other: &Job) -> Ordering {
            self.0.cmp(&other.0)
        }
    }

    // The order that Python's heapq gives, with every fourth push followed by a pop.
    const PRIORITIES: [u32; 24] =
        [1, 1, 2, 3, 0, 0, 3, 2, 1, 1, 3, 3, 3, 1, 1, 1, 3, 0, 0, 1, 0, 2, 0, 2];
    const HEAPQ: [usize; 18] = [20, 22, 14, 15, 19, 13, 1, 9, 21, 2, 7, 23, 11, 6, 12, 16, 10, 3];

    #[test]
    fn equal_priorities_come_in_the_order_of_pythons_heap() {
        let mut heap = Priority::new();
        for (i, priority) in PRIORITIES.into_iter().enumerate() {
            heap.push(Job(priority, i));
            if i % 4 == 3 {
                let _ = heap.pop();
            }
        }
        let order: Vec<_> = std::iter::from_fn(|| heap.pop()).map(|job| job.1).collect();
        assert_eq!(order, HEAPQ);
    }
}
