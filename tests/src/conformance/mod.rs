//! The same program, the same trace: scenarios that were recorded on CPython, run on this
//! workspace's public API.
//!
//! A *scenario* is a JSON program over asyncio's primitives; a *record* is a scenario with the trace
//! and the outcome that CPython 3.14 gave it under a virtual clock. [`run`](run::run) interprets a
//! scenario as a program of this workspace would be written: nothing here reaches behind what the
//! crates offer to everyone. [`check`](pool::check) runs many and compares.
//!
//! [`random::scenario`] makes scenarios that were not recorded. The binary `scenarios` writes them
//! for CPython to run; its records are then compared like any others.

mod acts;
mod awaitables;
mod blocks;
pub mod compare;
pub mod corpus;
mod objects;
pub mod pool;
pub mod program;
pub mod random;
mod resumes;
pub mod run;
mod value;
mod world;
