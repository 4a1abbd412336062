//! The base of asyncio for Rust: errors, the scheduler's data, cancellation, waits, context
//! variables, and the traits that a loop implements. It mirrors the shared parts of CPython's
//! asyncio: its exceptions, `events.Handle` and `AbstractEventLoop`, the ready queue and timers of
//! `base_events`, and `contextvars`.
//!
//! Programs use the crate `asyncio`, or one of `asyncio-locks`, `asyncio-task` and so on. This
//! crate is for authors of such crates: of a primitive with its own wait, or of another loop. It
//! makes no system call and starts no thread.
//!
//! A new leaf future needs three things: a [`Wait`](wait::Wait), a place where the code that ends the wait
//! finds the [`Waiter`](wait::Waiter), and a [`WaitSite`](wait_site::WaitSite) for reports. This is a door
//! that is opened once, for one waiter:
//!
//! ```
//! use asyncio_core::{Result, wait::{Resume, Wait, Waiter, Wakers}, wait_site::WaitSite};
//! use std::{future::Future, pin::Pin, sync::Mutex, task::{Context, Poll}};
//!
//! #[derive(Default)]
//! struct Door(Mutex<(bool, Option<Waiter>)>);
//! struct Passing<'a> { door: &'a Door, wait: Wait, site: WaitSite }
//!
//! impl Door {
//!     fn open(&self) {
//!         let mut wakers = Wakers::new(); // before the guard: called when that is gone
//!         let mut state = self.0.lock().unwrap();
//!         state.0 = true;
//!         if let Some(waiter) = state.1.take() {
//!             waiter.wake(&mut wakers);
//!         }
//!     }
//!     #[track_caller]
//!     fn pass(&self) -> Passing<'_> {
//!         Passing { door: self, wait: Wait::new(), site: WaitSite::here(&"Door.pass") }
//!     }
//! }
//!
//! impl Future for Passing<'_> {
//!     type Output = Result<()>;
//!     fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<()>> {
//!         let this = &mut *self;
//!         let mut former = None; // Before the guard, so that it is dropped after it.
//!         let mut state = this.door.0.lock().unwrap();
//!         if this.wait.is_armed() {
//!             let waiter = &mut state.1;
//!             match this.wait.poll(cx, this.site, || None, |new| former = waiter.replace(new)) {
//!                 Resume::Pending => return Poll::Pending,
//!                 Resume::Woken => {}
//!                 Resume::Cancelled { error, .. } => return Poll::Ready(Err(error)),
//!             }
//!         }
//!         if state.0 {
//!             return Poll::Ready(Ok(()));
//!         }
//!         this.wait.arm(cx, this.site, None);
//!         state.1 = this.wait.waiter();
//!         Poll::Pending
//!     }
//! }
//!
//! let door = Door::default();
//! std::thread::scope(|scope| {
//!     scope.spawn(|| door.open());
//!     futures_lite::future::block_on(door.pass()).unwrap();
//! });
//! ```
//!
//! # Cancellation
//! The rules are at the top of [`wait`] and of [`cancel`]. A leaf that is built as above follows them:
//! [`Wait::poll`](wait::Wait::poll) tells it that its task was cancelled, and it returns the error.
//! Other futures are stopped by the [`scope`] around them.
//!
//! # Threads
//! A loop and its tasks belong to one thread (`home.rs` says how this is ensured). Errors,
//! contexts, handles, waiters and task references can be sent anywhere.
//!
//! # Differences from asyncio
//! Exceptions are one type, [`Error`]. A loop owns its tasks. An error has a context only if one
//! was added ([`Error::with_context`]), because Rust does not know which error is being handled.

pub mod cancel;
mod caught;
pub mod context;
pub mod context_manager;
pub mod error;
pub mod event_loop;
pub mod exception;
pub mod handle;
mod home;
mod layout;
pub mod limit;
pub mod log;
mod loop_handle;
mod metrics;
#[cfg(loom)]
mod model;
#[doc(hidden)]
pub mod raw;
mod scheduler;
pub mod scope;
mod slots;
pub mod source;
mod sync;
mod task;
pub mod wait;
pub mod wait_site;

pub use context_manager::AsyncContextManager;
pub use error::*;
pub use loop_handle::LoopHandle;
pub use metrics::Metrics;
pub use slots::Key;

#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
