//! The checkers of undefined behaviour: AddressSanitizer, ThreadSanitizer and Miri. All come with the
//! nightly toolchain, which `rustup` gets if it can; where it cannot, the step is skipped.

use crate::shell::{Run, Workspace};
use crate::{Outcome, TaskResult};
use std::time::Duration;

/// The tests that move things between threads and end them in every order: under the sanitizers.
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

/// Building everything with another code generation takes a few minutes on two cores; a step that takes
/// longer than this hangs.
const LIMIT: Duration = Duration::from_secs(900);

/// Needs nothing but the toolchain: the standard library is not checked, but what is called in it is.
pub(crate) fn address(workspace: &Workspace) -> TaskResult {
    if let Some(why) = missing(workspace, &[]) {
        return Ok(Outcome::Skipped(why));
    }
    // A coroutine whose locals panic as it returns leaks what it returned: that is the language's.
    let run = sanitized(workspace, "address", &[]).variable("ASAN_OPTIONS", "detect_leaks=0");
    within_limit(run)
}

/// Needs a standard library that is checked as well: what orders two accesses is often in there.
pub(crate) fn thread(workspace: &Workspace) -> TaskResult {
    if let Some(why) = missing(workspace, &["rust-src"]) {
        return Ok(Outcome::Skipped(why));
    }
    within_limit(sanitized(workspace, "thread", &["-Zbuild-std"]))
}

/// By Tree Borrows, and so that a reference to what has a `Cell` in it lends the whole of it: a task is
/// freed through what began as a reference to its cell. The homes of loops are leaked, on purpose.
const MIRI_FLAGS: &str =
    "-Zmiri-tree-borrows -Zmiri-tree-borrows-no-precise-interior-mut -Zmiri-ignore-leaks";

/// The unit tests of what is unsafe and makes no system call: a package, and which of its tests. Left out
/// is what counts to a million, and what runs other executors.
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
    // With a target that is named, the flags are not those of build scripts and macros.
    let target = format!("{}-unknown-linux-gnu", std::env::consts::ARCH);
    nightly(workspace)
        .args(["test", "--no-fail-fast", "-p", "asyncio-tests", "--target", &target])
        .args(args)
        .args(TESTS)
        .flags("RUSTFLAGS", &format!("-Zsanitizer={sanitizer}"))
        .target_dir(workspace.target(sanitizer))
}

fn within_limit(run: Run) -> TaskResult {
    let output = run.shown().output(LIMIT)?;
    print!("{}", output.text);
    if output.success { Ok(Outcome::Done) } else { Err("the run failed".to_owned()) }
}

/// Why a checker cannot run here; what can be installed is.
pub(crate) fn missing(workspace: &Workspace, components: &[&str]) -> Option<String> {
    if !cfg!(all(target_os = "linux", target_env = "gnu")) {
        return Some("it is run on Linux alone".to_owned());
    }
    let has_nightly = || nightly(workspace).args(["--version"]).succeeds();
    let install = || workspace.rustup("toolchain install nightly --profile minimal").succeeds();
    if !has_nightly() && !install() {
        return Some("there is no nightly toolchain, and `rustup` cannot get it".to_owned());
    }
    let add = workspace.rustup("component add --toolchain nightly").args(components);
    if !components.is_empty() && !add.succeeds() {
        let components = components.join(" and ");
        return Some(format!("the nightly toolchain has no {components}, nor can `rustup` get it"));
    }
    None
}
