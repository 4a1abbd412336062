//! Integration tests of the workspace, and what they have in common.

pub mod conformance;
pub mod scopes;
pub mod support;
