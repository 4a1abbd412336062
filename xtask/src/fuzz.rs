//! `cargo xtask fuzz`: runs the targets of the package `fuzz`, each for a limited time, with AddressSanitizer. It
//! builds them as `cargo fuzz` does, but needs only the nightly toolchain.

use crate::checkers::{missing, nightly};
use crate::shell::{Run, Workspace};
use crate::{Outcome, TaskResult};
use std::collections::VecDeque;
use std::fs;
use std::sync::Mutex;
use std::thread;
use std::time::Duration;

pub(crate) const HELP: &str = "\
Run the fuzz targets (nightly Rust): all of them, each for a minute.
  SECONDS       run each for that long
  TARGET        run that one";

const TARGETS: [&str; 6] = ["reader", "addresses", "datagrams", "interleavings", "tls", "inspect"];

/// How long each target runs, in seconds.
const MINUTE: u64 = 60;
const IN_CI: u64 = 20;

/// Building everything with this instrumentation takes two or three minutes on two cores.
const BUILD_LIMIT: Duration = Duration::from_secs(900);

/// The instrumentation that libFuzzer needs, and AddressSanitizer.
const FLAGS: &str = "-Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=4 \
    -Cllvm-args=-sanitizer-coverage-inline-8bit-counters \
    -Cllvm-args=-sanitizer-coverage-pc-table -Cllvm-args=-sanitizer-coverage-trace-compares \
    -Cllvm-args=-simplifycfg-branch-fold-threshold=0 -Zsanitizer=address \
    --cfg asyncio_no_free_list";

pub(crate) fn run(workspace: &Workspace, args: &[String]) -> TaskResult {
    let (seconds, targets) = select(args)?;
    run_for(workspace, seconds, &targets, None)
}

/// The step of `ci`.
pub(crate) fn in_ci(workspace: &Workspace) -> TaskResult {
    // The same inputs each time. Finding new ones is the job of `cargo xtask fuzz`.
    run_for(workspace, IN_CI, &TARGETS, Some("-seed=1"))
}

fn select(args: &[String]) -> Result<(u64, Vec<&str>), String> {
    let (mut seconds, mut targets) = (MINUTE, Vec::new());
    for arg in args {
        match (arg.parse(), TARGETS.contains(&arg.as_str())) {
            (Ok(number), _) if number > 0 => seconds = number,
            (_, true) => targets.push(arg.as_str()),
            _ => return Err(format!("no target {arg:?}: there are {}", TARGETS.join(", "))),
        }
    }
    if targets.is_empty() {
        targets.extend(TARGETS);
    }
    Ok((seconds, targets))
}

fn run_for(
    workspace: &Workspace,
    seconds: u64,
    targets: &[&str],
    seed: Option<&str>,
) -> TaskResult {
    if let Some(why) = missing(workspace, &[]) {
        return Ok(Outcome::Skipped(why));
    }
    // With an explicit target, the flags do not apply to build scripts and macros.
    let triple = format!("{}-unknown-linux-gnu", std::env::consts::ARCH);
    let dir = workspace.target("fuzz");
    let build = nightly(workspace)
        .args(["build", "--release", "--manifest-path", "fuzz/Cargo.toml", "--target", &triple])
        .args(targets.iter().flat_map(|target| ["--bin", target]))
        .flags("RUSTFLAGS", FLAGS)
        .target_dir(dir.clone())
        .shown()
        .output(BUILD_LIMIT)?;
    if !build.success {
        print!("{}", build.text);
        return Err("the targets do not build".to_owned());
    }
    let corpora = dir.join("corpus");
    for target in targets {
        let made = fs::create_dir_all(corpora.join(target));
        made.map_err(|error| format!("cannot make a directory for inputs: {error}"))?;
    }
    let fuzz = |target: &str| {
        let program = dir.join(&triple).join("release").join(target);
        workspace
            .tool(&program.to_string_lossy(), "-print_final_stats=1 -timeout=10")
            .args(seed)
            .args(options(target))
            .args([
                format!("-max_total_time={seconds}"),
                format!("-artifact_prefix={}/", dir.display()),
                // The next run starts from the inputs that libFuzzer keeps.
                corpora.join(target).to_string_lossy().into_owned(),
            ])
            // The homes of loops are leaked on purpose.
            .variable("ASAN_OPTIONS", "detect_leaks=0")
    };
    run_all(targets, Duration::from_secs(seconds + 60), fuzz)
}

/// What libFuzzer is told about a target. An input of `tls` is a conversation: a few bytes, with which libFuzzer begins
/// otherwise, are not enough for one. It passes ten thousand places, so that weights for all of them would take a
/// third of the time.
fn options(target: &str) -> &'static [&'static str] {
    match target {
        "tls" => &["-len_control=0", "-entropic=0"],
        _ => &[],
    }
}

/// Runs as many at once as there are processors.
fn run_all(targets: &[&str], limit: Duration, fuzz: impl Fn(&str) -> Run + Sync) -> TaskResult {
    let waiting = Mutex::new(targets.iter().copied().collect::<VecDeque<_>>());
    let failed = Mutex::new(Vec::new());
    let next = || waiting.lock().ok()?.pop_front();
    let work = || {
        while let Some(target) = next() {
            let outcome = fuzz(target).output(limit);
            let (success, text) = outcome.map_or_else(|e| (false, e), |o| (o.success, o.text));
            let runs =
                text.lines().find_map(|line| line.strip_prefix("stat::number_of_executed_units:"));
            if success {
                println!("{target}: {} inputs", runs.unwrap_or("some").trim());
            } else {
                println!("{target}:\n{text}");
                if let Ok(mut failed) = failed.lock() {
                    failed.push(target);
                }
            }
        }
    };
    thread::scope(|scope| {
        for _ in 0..thread::available_parallelism().map_or(1, usize::from) {
            scope.spawn(work);
        }
    });
    match failed.into_inner() {
        Ok(failed) if failed.is_empty() => Ok(Outcome::Done),
        failed => Err(format!("failed, with the input in the output above: {failed:?}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tidy::tree::Tree;
    use std::path::Path;

    #[test]
    fn seconds_and_targets_are_selected() {
        let select = |args: &[&str]| {
            let args: Vec<String> = args.iter().map(|arg| (*arg).to_owned()).collect();
            select(&args).map(|(seconds, targets)| (seconds, targets.join(" ")))
        };
        assert_eq!(select(&[]), Ok((MINUTE, TARGETS.join(" "))));
        assert_eq!(select(&["5", "tls"]), Ok((5, "tls".to_owned())));
        assert!(select(&["nothing"]).is_err_and(|error| error.contains("interleavings")));
        assert!(select(&["0"]).is_err());
    }

    #[test]
    fn every_target_is_run() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("xtask is in the root");
        let tree = Tree::read(root).expect("the workspace can be read");
        let mut files: Vec<&str> = tree
            .under("fuzz/fuzz_targets/")
            .filter_map(|file| file.name().strip_suffix(".rs"))
            .collect();
        let mut targets = TARGETS;
        files.sort_unstable();
        targets.sort_unstable();
        assert_eq!(files, targets);
    }
}
