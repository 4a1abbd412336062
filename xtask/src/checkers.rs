//! The checkers of undefined behaviour: AddressSanitizer, ThreadSanitizer and Miri. They need the nightly toolchain.
//! If `rustup` cannot install it, the step is skipped.

use crate::shell::{Run, Workspace};
use crate::{Outcome, TaskResult};
use std::time::Duration;

/// The tests to run under the sanitizers: those that move values between threads, and end them in every order.
const TESTS: [&str; 8] = [
    "--test",
    "soundness",
    "--test",
    "soundness_threads",
    "--test",
    "thread_end",
    "--test",
    "stress",
];

/// Building everything with sanitizers takes a few minutes on two cores. A step that takes longer than this hangs.
const LIMIT: Duration = Duration::from_secs(900);

/// Runs AddressSanitizer. It does not instrument the standard library, so it needs only the toolchain.
pub(crate) fn address(workspace: &Workspace) -> TaskResult {
    if let Some(why) = missing(workspace, &[]) {
        return Ok(Outcome::Skipped(why));
    }
    // A coroutine whose locals panic while it returns leaks the value it returned, by the rules of the language.
    let run = sanitized(workspace, "address", &[]).variable("ASAN_OPTIONS", "detect_leaks=0");
    within_limit(run)
}

/// Runs ThreadSanitizer. It instruments the standard library too, because the synchronisation is often in there.
pub(crate) fn thread(workspace: &Workspace) -> TaskResult {
    if let Some(why) = missing(workspace, &["rust-src"]) {
        return Ok(Outcome::Skipped(why));
    }
    within_limit(sanitized(workspace, "thread", &["-Zbuild-std"]))
}

/// Tree Borrows, in the mode in which a reference to a value that contains a `Cell` covers the whole value, because a
/// task is freed through a pointer made from a reference to its cell. Leaks are ignored, because the homes of loops are
/// leaked on purpose.
const MIRI_FLAGS: &str =
    "-Zmiri-tree-borrows -Zmiri-tree-borrows-no-precise-interior-mut -Zmiri-ignore-leaks";

/// The unit tests of unsafe code that makes no system call: each a package, and a selection of its tests. Tests that
/// count to a million, and tests that run other executors, are left out.
const IN_MIRI: [(&str, &str); 3] = [
    (
        "asyncio-core",
        "task_ref registry messages slots local ready --skip every_key --skip what_threads_put_in",
    ),
    ("asyncio-task", "cast"),
    ("asyncio-locks", "lock event condition --skip tokio --skip smol --skip threads --skip stress"),
];

pub(crate) fn miri(workspace: &Workspace) -> TaskResult {
    if let Some(why) = missing(workspace, &["rust-src", "miri"]) {
        return Ok(Outcome::Skipped(why));
    }
    for (package, tests) in IN_MIRI {
        let run = nightly(workspace)
            .args(["miri", "test", "-p", package, "--lib", "--"])
            .args(tests.split_whitespace())
            .flags("MIRIFLAGS", MIRI_FLAGS);
        within_limit(run.target_dir(workspace.target("miri")))?;
    }
    Ok(Outcome::Done)
}

pub(crate) fn nightly(workspace: &Workspace) -> Run {
    workspace.rustup("run nightly cargo")
}

fn sanitized(workspace: &Workspace, sanitizer: &str, args: &[&str]) -> Run {
    // With an explicit target, the flags do not apply to build scripts and macros.
    let target = format!("{}-unknown-linux-gnu", std::env::consts::ARCH);
    nightly(workspace)
        .args(["test", "--no-fail-fast", "-p", "asyncio-tests", "--target", &target])
        .args(args)
        .args(TESTS)
        // Without the free list, so that each use of a freed task is seen.
        .flags("RUSTFLAGS", &format!("-Zsanitizer={sanitizer} --cfg asyncio_no_free_list"))
        .target_dir(workspace.target(sanitizer))
}

fn within_limit(run: Run) -> TaskResult {
    let output = run.shown().output(LIMIT)?;
    print!("{}", output.text);
    if output.success { Ok(Outcome::Done) } else { Err("the run failed".to_owned()) }
}

/// Installs the components if possible. Returns why a checker cannot run here, or `None` if it can.
pub(crate) fn missing(workspace: &Workspace, components: &[&str]) -> Option<String> {
    if !cfg!(all(target_os = "linux", target_env = "gnu")) {
        return Some("it runs only on Linux with glibc".to_owned());
    }
    let has_nightly = || nightly(workspace).args(["--version"]).succeeds();
    let install = || workspace.rustup("toolchain install nightly --profile minimal").succeeds();
    if !has_nightly() && !install() {
        return Some("there is no nightly toolchain, and `rustup` cannot install it".to_owned());
    }
    let add = workspace.rustup("component add --toolchain nightly").args(components);
    if !components.is_empty() && !add.succeeds() {
        let components = components.join(" and ");
        return Some(format!(
            "the nightly toolchain lacks {components}; `rustup` cannot install it"
        ));
    }
    None
}
