//! [`Messages`]: messages from other threads to a loop.
//!
//! It is a list that consists of one word: the newest message, which links to the others, or else
//! the state of the loop. The word is changed only by read-modify-write:
//!
//! ```text
//!            about to wait (1)
//!           ───────────────────►
//!     EMPTY                      WAITING
//!      ▲ │  ◄───────────────────    │
//!      │ │  the wait is over (2)    │
//!      │ │ put in (3)               │ put in (3): rings the bell
//!  (4) │ ▼                          │
//!      messages ◄──────────────────────┘
//! ```
//!
//!   1. [`Messages::before_wait`]; 2. [`Messages::after_wait`]; 3. [`Messages::push`], or
//!      [`Messages::nudge`] if no message comes; 4. [`Messages::take`].
//!
//! A woken task is itself an entry of the list, once at a time: nothing is allocated for a wake-up.
//! Every other message is boxed.
//!
//! The cost of a wake-up between two running threads is that of the cache lines which move between
//! them: that of the word, and that of the task.

#[cfg(all(test, not(loom)))]
mod tests;

use crate::{
    home::Message,
    sync::{AtomicPtr, Ordering, mutant},
    task::{cell::TaskCell, reference::TaskRef},
};
use std::{
    fmt,
    mem::ManuallyDrop,
    ptr::{NonNull, null_mut, without_provenance_mut},
};

/// The loop is open, and is not waiting.
const EMPTY: *mut () = null_mut();
/// It is waiting.
const WAITING: *mut () = without_provenance_mut(8);
/// There is no loop.
const CLOSED: *mut () = without_provenance_mut(16);
/// There is no message, but something else to look at. Greater values are messages.
const NUDGED: *mut () = without_provenance_mut(24);

/// A bit in the address of a boxed message. The address of a cell is even.
const BOXED: usize = 1;

/// The messages of a loop, oldest first.
// In separate cache lines: the loop looks at it in every iteration.
#[repr(align(128))]
pub struct Messages {
    word: AtomicPtr<()>,
}

/// A boxed message.
struct Boxed {
    next: AtomicPtr<()>,
    message: Message,
}

/// Whether the sender has to ring the loop's bell.
#[must_use]
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Notify {
    /// The loop checks by itself.
    NotNeeded,
    /// The loop is waiting for its bell.
    Needed,
}

/// Whether the loop may wait.
#[must_use]
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum BeforeWait {
    /// It may: later messages ring the bell.
    Wait,
    /// There are messages.
    Message,
}

impl Messages {
    /// Creates a closed list.
    pub fn new() -> Messages {
        Messages { word: AtomicPtr::new(CLOSED) }
    }

    /// Opens the list, for a loop that is awake.
    pub fn open(&self) {
        self.word.swap(EMPTY, Ordering::AcqRel);
    }

    /// Adds `message`; returns it if the list is closed. A task that is already in the list is not added
    /// again. Everything before the call is visible to the thread that takes the messages out.
    pub fn push(&self, message: Message) -> Result<Notify, Message> {
        let Some(node) = Node::new(message) else { return Ok(Notify::NotNeeded) };
        // Usually the list is empty, and this is the only access that takes the word from the loop.
        let mut seen = EMPTY;
        loop {
            let rest = if Node::at(seen).is_some() { seen } else { EMPTY };
            // SAFETY: the node is ours until it is in the list.
            unsafe { node.next() }.store(rest, Ordering::Relaxed);
            match self.change(seen, node.word()) {
                Ok(found) => return Ok(found),
                // SAFETY: it did not get in.
                Err(CLOSED) => return Err(unsafe { node.into_message() }),
                Err(now) => seen = now,
            }
        }
    }

    /// Makes the loop check the list without a message. Async-signal-safe.
    pub fn nudge(&self) -> Notify {
        let mut seen = EMPTY;
        loop {
            // If there is already something to look at, the same value is written again, so that
            // everything before is visible to the reader.
            let word = if seen == EMPTY || seen == WAITING { NUDGED } else { seen };
            match self.change(seen, word) {
                Ok(found) => return found,
                Err(now) => seen = now,
            }
        }
    }

    #[inline]
    fn change(&self, from: *mut (), to: *mut ()) -> Result<Notify, *mut ()> {
        let early = mutant("messages_ring_unseen").then(|| self.word.load(Ordering::Acquire));
        self.word.compare_exchange(from, to, Ordering::AcqRel, Ordering::Acquire)?;
        Ok(if early.unwrap_or(from) == WAITING { Notify::Needed } else { Notify::NotNeeded })
    }

    /// Returns whether there are messages; the answer may be slightly out of date.
    #[inline]
    pub fn is_any(&self) -> bool {
        self.word.load(Ordering::Relaxed) >= NUDGED
    }

    /// Prepares for the loop's wait for its bell.
    #[inline]
    pub fn before_wait(&self) -> BeforeWait {
        if mutant("messages_wait_unseen") && !self.is_any() {
            self.word.swap(WAITING, Ordering::AcqRel);
            return BeforeWait::Wait;
        }
        match self.change(EMPTY, WAITING) {
            Ok(_) => BeforeWait::Wait,
            Err(_) => BeforeWait::Message,
        }
    }

    /// Ends the wait.
    #[inline]
    pub fn after_wait(&self) {
        if self.word.load(Ordering::Relaxed) == WAITING {
            // Else something came just now.
            let _ = self.change(WAITING, EMPTY);
        }
    }

    /// Takes all messages. Later ones are for the next call.
    pub fn take(&self) -> Taken<'_> {
        if !self.is_any() {
            return Taken { messages: self, oldest: None };
        }
        let seen = mutant("messages_taken_unseen").then(|| self.word.load(Ordering::Acquire));
        let newest = self.word.swap(EMPTY, Ordering::AcqRel);
        // SAFETY: it was the list's word, and no longer is.
        unsafe { Taken::new(self, seen.unwrap_or(newest)) }
    }

    /// Closes the list, and takes all messages.
    pub fn close(&self) -> Taken<'_> {
        // SAFETY: as in `take`.
        unsafe { Taken::new(self, self.word.swap(CLOSED, Ordering::AcqRel)) }
    }
}

impl Default for Messages {
    fn default() -> Messages {
        Messages::new()
    }
}

impl fmt::Debug for Messages {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.word.load(Ordering::Relaxed) {
            EMPTY => "empty",
            WAITING => "waiting",
            CLOSED => "closed",
            _ => "message",
        })
    }
}

impl Drop for Messages {
    fn drop(&mut self) {
        drop(self.close());
    }
}

/// The messages that were taken out, oldest first. Those that are left when it is dropped are put back: a
/// panic while one message is handled loses no other message.
#[derive(Debug)]
pub struct Taken<'a> {
    messages: &'a Messages,
    oldest: Option<Node>,
}

impl<'a> Taken<'a> {
    /// # Safety
    /// `newest` is a former word of the list, which the caller has taken.
    #[inline]
    unsafe fn new(messages: &'a Messages, newest: *mut ()) -> Taken<'a> {
        let mut oldest = None;
        let mut rest = Node::at(newest);
        while let Some(node) = rest {
            // SAFETY: what leads on from the word is the caller's as well.
            let next = unsafe { node.next() };
            rest = Node::at(next.load(Ordering::Relaxed));
            next.store(oldest.map_or(EMPTY, Node::word), Ordering::Relaxed);
            oldest = Some(node);
        }
        Taken { messages, oldest }
    }
}

impl Iterator for Taken<'_> {
    type Item = Message;

    #[inline]
    fn next(&mut self) -> Option<Message> {
        let node = self.oldest?;
        // SAFETY: what was taken out is ours, until it is given away here.
        unsafe {
            self.oldest = Node::at(node.next().load(Ordering::Relaxed));
            Some(node.into_message())
        }
    }
}

impl Drop for Taken<'_> {
    #[inline]
    fn drop(&mut self) {
        while let Some(message) = self.next() {
            let _ = self.messages.push(message);
        }
    }
}

/// A message in the list, or on its way in or out.
#[derive(Clone, Copy, Debug)]
enum Node {
    /// A task: a counted reference.
    Task(NonNull<TaskCell>),
    /// A boxed message.
    Boxed(NonNull<Boxed>),
}

impl Node {
    /// None, if it is a task that is in the list already.
    fn new(message: Message) -> Option<Node> {
        let Message::Task(task) = message else {
            let message = Boxed { next: AtomicPtr::new(EMPTY), message };
            return Some(Node::Boxed(NonNull::from(Box::leak(Box::new(message)))));
        };
        let is_in = task.sent.swap(true, Ordering::AcqRel);
        (!is_in).then(|| Node::Task(ManuallyDrop::new(task).as_ptr()))
    }

    /// None, if it is the word of an empty list.
    #[inline]
    fn at(word: *mut ()) -> Option<Node> {
        match NonNull::new(word)? {
            node if node.as_ptr() <= NUDGED => None,
            node if node.addr().get() & BOXED == 0 => Some(Node::Task(node.cast())),
            _ => NonNull::new(word.map_addr(|address| address & !BOXED))
                .map(|l| Node::Boxed(l.cast())),
        }
    }

    #[inline]
    fn word(self) -> *mut () {
        match self {
            Node::Task(cell) => cell.as_ptr().cast(),
            Node::Boxed(message) => message.as_ptr().map_addr(|address| address | BOXED).cast(),
        }
    }

    /// The link to the next message.
    ///
    /// # Safety
    /// The node was not opened yet, and nothing opens it while the link is used.
    #[inline]
    unsafe fn next<'a>(self) -> &'a AtomicPtr<()> {
        // SAFETY: the caller sees to it that the message, or the reference to the cell, is still there.
        unsafe {
            match self {
                Node::Task(cell) => &(*cell.as_ptr()).next_message,
                Node::Boxed(message) => &(*message.as_ptr()).next,
            }
        }
    }

    /// Converts the node to its message.
    ///
    /// # Safety
    /// The node must belong to the caller and be in no list; it must not be used afterwards.
    #[inline]
    unsafe fn into_message(self) -> Message {
        match self {
            Node::Task(cell) => {
                // SAFETY: the reference is the node's.
                let task = unsafe { TaskRef::from_raw(cell) };
                // From now on, it is added again. The earlier writes of threads that found it here
                // are visible.
                if mutant("messages_task_unseen") {
                    task.sent.store(false, Ordering::Release);
                } else {
                    task.sent.swap(false, Ordering::AcqRel);
                }
                Message::Task(task)
            }
            // SAFETY: `new` made it from a box.
            Node::Boxed(message) => unsafe { Box::from_raw(message.as_ptr()) }.message,
        }
    }
}
