//! A task as the loop sees it, whatever it computes: its cell, the references to it, and its steps.

pub(crate) mod cell;
pub(crate) mod flags;
pub(crate) mod graph;
pub(crate) mod listeners;
pub(crate) mod maker;
pub(crate) mod reference;
pub(crate) mod registry;
pub(crate) mod running;
pub(crate) mod step;
