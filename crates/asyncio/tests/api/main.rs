//! What a user writes, with only this crate in scope. Each function has to compile by itself, and to do what it looks
//! like.

// As it is with the crate `futures` in Cargo.toml.
extern crate futures_util as futures;

use asyncio::*;
use std::{io::Write, time::Duration};

const LIMIT: Duration = Duration::from_millis(1);

mod beside_futures;
mod callbacks;
mod context_managers;
mod descriptors;
mod errors;
mod exception_groups;
mod helpers;
mod iteration;
mod limits;
mod lists;
mod processes;
mod protocols;
mod servers;
mod tasks;
mod tests;
mod threads;
