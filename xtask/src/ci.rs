//! `cargo xtask ci`: everything that a change must pass. The steps that are likely to fail soonest come first.

use std::time::{Duration, Instant};

use crate::costs::Costs;
use crate::shell::{Run, Workspace};
use crate::tidy::tree::Tree;
use crate::{Outcome, TaskResult, alone, api, checkers, conformance, fuzz, loom, tidy};

pub(crate) const HELP: &str = "\
Run every step that a change must pass; stop at the first that fails.
  --list        print the steps
  --from STEP   begin there
  --only STEP   run that one";

struct Step {
    name: &'static str,
    what: &'static str,
    run: fn(&Workspace) -> TaskResult,
}

const STEPS: &[Step] = &[
    Step { name: "fmt", what: "the code is formatted", run: fmt },
    Step { name: "tidy", what: "the rules of CONTRIBUTING.md hold", run: |w| tidy::run(w, &[]) },
    Step { name: "clippy", what: "no warning, with and without features", run: clippy },
    Step { name: "docs", what: "the docs build without a warning", run: docs },
    Step { name: "servers", what: "PostgreSQL and Redis are there for the tests", run: servers },
    Step { name: "tests", what: "unit, integration and doc tests", run: tests },
    Step { name: "crates", what: "each crate builds alone", run: crates },
    Step { name: "api", what: "the public API is as listed", run: |w| api::run(w, &[]) },
    Step { name: "alone", what: "only the packaged locks, under tokio", run: alone::run },
    Step { name: "portable", what: "the tests again on the portable poller", run: portable },
    Step { name: "no-pidfd", what: "processes again, each watched by a thread", run: no_pidfd },
    Step { name: "systems", what: "system calls with musl; it compiles for others", run: systems },
    Step {
        name: "conformance",
        what: "the traces equal CPython's",
        run: |w| conformance::run(w, &[]),
    },
    Step {
        name: "loom",
        what: "the models hold and the mutants die",
        run: |w| loom::run(w, &["--mutants".to_owned()]),
    },
    Step {
        name: "address",
        what: "soundness and stress under AddressSanitizer",
        run: checkers::address,
    },
    Step { name: "thread", what: "the same under ThreadSanitizer", run: checkers::thread },
    Step { name: "miri", what: "parts of core, task and locks under Miri", run: checkers::miri },
    Step { name: "fuzz", what: "the fuzz targets, for a short time each", run: fuzz::in_ci },
    Step { name: "tour", what: "the tour runs", run: tour },
    Step { name: "tls", what: "bulk data and 10,000 cancelled handshakes over TLS", run: tls },
    Step { name: "jobs", what: "the example of jobs loses none", run: jobs },
    Step { name: "service", what: "the example of a service, under load", run: service },
    Step { name: "benches", what: "the benchmarks build", run: benches },
];

pub(crate) fn run(workspace: &Workspace, args: &[String]) -> TaskResult {
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    if args == ["--list"] {
        for step in STEPS {
            println!("{:<12} {}", step.name, step.what);
        }
        return Ok(Outcome::Done);
    }
    let steps = select(&args)?;
    let started = Instant::now();
    let mut summary = Vec::new();
    let mut failed = None;
    for (number, step) in steps.iter().enumerate() {
        println!("\n==> [{}/{}] {}: {}", number + 1, steps.len(), step.name, step.what);
        let step_started = Instant::now();
        let result = (step.run)(workspace);
        let time = seconds(step_started.elapsed());
        match result {
            Ok(Outcome::Done) => {
                println!("<== {}: ok in {time}", step.name);
                summary.push(format!("ok: {}: {time}", step.name));
            }
            Ok(Outcome::Skipped(why)) => {
                let line = format!("SKIPPED: {}: {why}", step.name);
                println!("{line}");
                summary.push(line);
            }
            Err(message) => {
                println!("<== {}: FAILED after {time}: {message}", step.name);
                summary.push(format!("FAILED: {}: {message}", step.name));
                summary.extend(steps[number + 1..].iter().map(|s| format!("not run: {}", s.name)));
                failed = Some(format!("step {} failed: {message}", step.name));
                break;
            }
        }
    }
    println!("\n==> summary, {}", seconds(started.elapsed()));
    for line in &summary {
        println!("{line}");
    }
    match failed {
        None => {
            println!("ci: passed");
            Ok(Outcome::Done)
        }
        Some(message) => Err(message),
    }
}

fn select(args: &[&str]) -> Result<&'static [Step], String> {
    let position = |name: &str| {
        STEPS
            .iter()
            .position(|step| step.name == name)
            .ok_or_else(|| format!("there is no step `{name}`; --list prints them all"))
    };
    match args {
        [] => Ok(STEPS),
        ["--from", name] => Ok(&STEPS[position(name)?..]),
        ["--only", name] => position(name).map(|at| &STEPS[at..=at]),
        _ => Err(format!("unknown arguments {args:?}; `cargo xtask help` lists the valid ones")),
    }
}

fn seconds(time: Duration) -> String {
    format!("{:.1} s", time.as_secs_f64())
}

fn done(runs: impl IntoIterator<Item = Run>) -> TaskResult {
    for run in runs {
        run.run()?;
    }
    Ok(Outcome::Done)
}

fn fmt(workspace: &Workspace) -> TaskResult {
    require_component(workspace, "fmt", "rustfmt")?;
    // The fuzz targets are a separate workspace.
    const FUZZ: &str = "fmt --manifest-path fuzz/Cargo.toml --check";
    done([workspace.cargo("fmt --all --check"), workspace.cargo(FUZZ)])
}

fn clippy(workspace: &Workspace) -> TaskResult {
    require_component(workspace, "clippy", "clippy")?;
    done([
        // The default features may give other warnings than all features.
        workspace.cargo("clippy --workspace -- -D warnings"),
        workspace.cargo("clippy --workspace --all-targets --all-features -- -D warnings"),
    ])
}

/// A toolchain may come without its components. Installs a missing one, or names it in the error.
fn require_component(workspace: &Workspace, command: &str, component: &str) -> Result<(), String> {
    let works = || workspace.cargo(command).args(["--version"]).succeeds();
    if works() {
        return Ok(());
    }
    // The check below reports a failure, and names what is missing.
    let _ = workspace.rustup("component add").args([component]).run();
    if works() {
        return Ok(());
    }
    Err(format!(
        "`cargo {command}` is missing, and `rustup component add {component}` did not help"
    ))
}

fn docs(workspace: &Workspace) -> TaskResult {
    done([workspace
        .cargo("doc --workspace --no-deps")
        .args(TLS)
        .flags("RUSTDOCFLAGS", "-D warnings")])
}

/// The features that are off by default.
const TLS: [&str; 2] = ["--features", "asyncio/tls,asyncio-http/tls"];

fn tests(workspace: &Workspace) -> TaskResult {
    // Some tests run them.
    let examples = workspace.cargo("build --workspace --examples");
    let mut costs = Costs::default();
    for run in [examples, test_runner(workspace).args(["--workspace"])] {
        run.args(TLS).args(["--timings"]).run()?;
        costs.add_report(workspace);
    }
    println!("{costs}");
    // nextest does not run these.
    done([workspace.cargo("test --workspace --doc").args(TLS)])
}

/// Runs the tests with nextest if it is installed, and otherwise the same tests with `cargo test`.
fn test_runner(workspace: &Workspace) -> Run {
    if workspace.cargo("nextest --version").succeeds() {
        workspace.cargo("nextest run --no-fail-fast")
    } else {
        workspace.cargo("test --no-fail-fast --lib --bins --tests")
    }
}

/// Checks each crate alone. In a build of the whole workspace, a crate may depend on features that another one enables.
fn crates(workspace: &Workspace) -> TaskResult {
    for member in Tree::read(&workspace.root)?.crates() {
        let check = || workspace.cargo("check -p").args([&member.package]);
        done([check(), check().args(["--no-default-features"])])?;
    }
    Ok(Outcome::Done)
}

/// The packages whose code calls the system.
const SYSTEM: [&str; 5] = ["loop", "sockets", "transports", "streams", "subprocess"];

/// Those packages and others, as arguments of cargo.
fn packages(others: &[&str]) -> Vec<String> {
    let all = SYSTEM.iter().chain(others);
    all.flat_map(|name| ["-p".to_owned(), format!("asyncio-{name}")]).collect()
}

fn portable(workspace: &Workspace) -> TaskResult {
    done([test_runner(workspace)
        .args(packages(&["tests"]))
        .flags("RUSTFLAGS", "--cfg asyncio_portable_poller")
        .target_dir(workspace.target("portable"))])
}

fn no_pidfd(workspace: &Workspace) -> TaskResult {
    done([test_runner(workspace)
        .args(["-p", "asyncio-subprocess"])
        .flags("RUSTFLAGS", "--cfg asyncio_no_pidfd")
        .target_dir(workspace.target("no-pidfd"))])
}

/// With musl, the tests of the packages that call the system. On targets where tests cannot run, the compiler
/// checks the code. Targets that rustup cannot install are skipped.
fn systems(workspace: &Workspace) -> TaskResult {
    const MUSL: &str = "x86_64-unknown-linux-musl";
    const TARGETS: [&str; 4] =
        [MUSL, "i686-unknown-linux-gnu", "aarch64-apple-darwin", "x86_64-unknown-freebsd"];
    const OLDEST: &str = "1.85";
    /// Packages that are not libraries, and may need a newer Rust.
    const NEWER: [&str; 2] = ["--exclude", "asyncio-listing"];
    let dir = workspace.target("systems");
    let mut left_out = Vec::new();
    for target in TARGETS {
        if !workspace.rustup("target add").args([target]).succeeds() {
            left_out.push(target);
            continue;
        }
        let runs_here = cfg!(all(target_os = "linux", target_arch = "x86_64")) && target == MUSL;
        let run = if runs_here {
            // C code among the dependencies of tests does not need a compiler for musl.
            test_runner(workspace)
                .args(packages(&["files", "tools", "tests"]))
                .variable("CC_x86_64_unknown_linux_musl", "cc")
        } else {
            // TLS contains C code, for which there may be no compiler.
            workspace
                .cargo("check -p asyncio --features files,tokio,anyhow,eyre")
                .flags("RUSTFLAGS", "-D warnings")
        };
        run.args(["--target", target]).target_dir(dir.clone()).run()?;
    }
    if workspace.rustup("run").args([OLDEST, "cargo", "--version"]).succeeds()
        || workspace.rustup("toolchain install --profile minimal").args([OLDEST]).succeeds()
    {
        let check = workspace.rustup("run").args([OLDEST, "cargo", "check", "--workspace"]);
        check.args(NEWER).args(TLS).flags("RUSTFLAGS", "-D warnings").target_dir(dir).run()?;
    } else {
        left_out.push(OLDEST);
    }
    for what in &left_out {
        println!("SKIPPED: {what}: `rustup` cannot install it");
    }
    if left_out.len() > TARGETS.len() {
        return Ok(Outcome::Skipped(
            "`rustup` cannot install other targets and toolchains".to_owned(),
        ));
    }
    Ok(Outcome::Done)
}

fn tour(workspace: &Workspace) -> TaskResult {
    done([workspace.cargo("run --release --example tour").args(TLS)])
}

/// Tests that do more in a release build.
fn tls(workspace: &Workspace) -> TaskResult {
    let cargo = workspace.cargo("test --release -p asyncio --features tls");
    done([cargo.args(["--test", "tls_bulk", "--test", "tls_handshakes"])])
}

/// The servers that tests and examples start: each a package of Debian, and a command that succeeds if it is installed.
const SERVERS: [(&str, &str); 2] = [
    ("redis-server", "redis-server --version"),
    ("postgresql", "ls /usr/lib/postgresql/*/bin/initdb || command -v initdb"),
];

/// Installs the servers if one command can do it. Without them, tests report that they are skipped.
fn servers(workspace: &Workspace) -> TaskResult {
    for package in SERVERS.map(|(package, _)| package) {
        if without(workspace, &[package]).is_some() {
            let apt = workspace.tool("apt-get", "install --yes --no-install-recommends");
            // The check below reports a failure.
            apt.args([package]).variable("DEBIAN_FRONTEND", "noninteractive").succeeds();
        }
    }
    Ok(without(workspace, &SERVERS.map(|(package, _)| package)).unwrap_or(Outcome::Done))
}

/// The outcome of a step that needs these servers, if one is missing.
fn without(workspace: &Workspace, packages: &[&str]) -> Option<Outcome> {
    let (missing, _) = SERVERS.into_iter().find(|(package, probe)| {
        packages.contains(package) && !workspace.tool("sh", "-c").args([probe]).succeeds()
    })?;
    let why = format!("{missing} is not installed, and `apt-get install {missing}` has failed");
    Some(Outcome::Skipped(why))
}

/// Runs jobs over Redis, and kills a worker.
fn jobs(workspace: &Workspace) -> TaskResult {
    if let Some(skipped) = without(workspace, &["redis-server"]) {
        return Ok(skipped);
    }
    done([workspace.cargo("run -p asyncio-jobs-example --example jobs -- --demo")])
}

/// Runs the service with its own servers, under a load of requests of which half are cancelled.
fn service(workspace: &Workspace) -> TaskResult {
    if let Some(skipped) = without(workspace, &["redis-server", "postgresql"]) {
        return Ok(skipped);
    }
    done([workspace.cargo("run -p asyncio-service-example --example service -- --demo")])
}

fn benches(workspace: &Workspace) -> TaskResult {
    done([workspace.cargo("build --release -p asyncio-benches --all-targets")])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(args: &[&str]) -> Vec<&'static str> {
        select(args).map(|steps| steps.iter().map(|step| step.name).collect()).unwrap_or_default()
    }

    #[test]
    fn steps_are_selected_by_name() {
        assert_eq!(names(&[]).len(), STEPS.len());
        assert_eq!(names(&["--from", "tour"]), ["tour", "tls", "jobs", "service", "benches"]);
        assert_eq!(names(&["--only", "docs"]), ["docs"]);
    }

    #[test]
    fn what_cannot_be_selected_is_an_error() {
        for args in [&["--only", "nothing"][..], &["--from"], &["tests"], &["--only"]] {
            assert!(select(args).is_err(), "{args:?}");
        }
    }
}
