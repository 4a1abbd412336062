//! The same program has the same trace: scenarios that were recorded on CPython, run on this workspace's public API.
//!
//! A *scenario* is a JSON program over asyncio's primitives. A *record* is a scenario with the trace and the outcome
//! that it had on CPython 3.14 under a virtual clock. [`run`](run::run) interprets a scenario the way a user would
//! write the program: it uses public items only. [`check`](pool::check) runs many scenarios and compares them with
//! their records.
//!
//! [`random::scenario`] makes scenarios that have no record. The binary `scenarios` writes them for CPython to run.
//! CPython's records are then compared in the same way.

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
