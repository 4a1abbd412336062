//! The likeliest mistakes, and the compiler's messages for them.
//!
//! The messages depend on the version of the compiler. The texts in `mistakes/*.stderr` are therefore those of one
//! version; with any other, nothing is compared. After a change, or for a newer compiler, update them with
//! `TRYBUILD=overwrite cargo test -p asyncio-ui-tests`, and read the difference.

use std::process::Command;

/// The version of the compiler that printed the texts.
const COMPILER: &str = "rustc 1.95.";

#[test]
fn each_mistake_is_told_with_its_remedy() {
    let rustc = std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
    let version = Command::new(rustc).arg("--version").output().expect("there is a compiler");
    let version = String::from_utf8_lossy(&version.stdout);
    if !version.starts_with(COMPILER) {
        eprintln!("SKIPPED: the expected texts are of {COMPILER}x, and this is {version}");
        return;
    }
    trybuild::TestCases::new().compile_fail("mistakes/*.rs");
}
