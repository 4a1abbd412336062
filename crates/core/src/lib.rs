//! The contract on which asyncio for Rust stands. (docs follow)
#![allow(missing_docs)]

pub mod cancel;
pub mod cell;
mod clock;
pub mod context;
pub mod context_manager;
pub mod error;
pub mod event_loop;
pub mod exception;
pub mod handle;
pub mod home;
pub mod listeners;
pub mod scheduler;
pub mod scope;
mod slots;
pub mod source;
pub mod step;
pub mod sync;
pub mod task_ref;
mod timers;
pub mod wait;
pub mod wait_site;

pub use context_manager::AsyncContextManager;
pub use error::*;
pub use slots::Key;
