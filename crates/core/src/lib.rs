//! The contract of asyncio for Rust: errors, scheduler, cancellation, context variables.
