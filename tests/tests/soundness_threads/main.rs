//! Safe code, however it is written, does nothing undefined: threads that run against each other for
//! a moment, each test with a seed that it prints (`ASYNCIO_SEED` repeats one). Most of what could go
//! wrong here shows in a sanitizer alone; what shows without one is asserted: every value is dropped
//! once, on a thread on which it may be, every waiter is woken, and every question gets an answer.

mod futures;
mod loops;
mod scaffold;
mod tasks;

use std::time::Duration;

const MS: Duration = Duration::from_millis(1);
