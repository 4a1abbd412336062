//! The texts of the compiler for the likeliest mistakes are in `mistakes`; `tests/ui.rs` compares them.
