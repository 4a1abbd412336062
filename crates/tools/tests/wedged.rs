//! The example `wedged`: the output of a program that hangs, and the output of `asyncio ps` and `pstree` for
//! it. Both are in `tests/golden/wedged/`; with `GOLDEN=write` in the environment, they are written.

mod printed;
mod stuck;

use printed::{assert_golden, assert_prints, asyncio, in_one_file, text};
use std::{
    fs,
    io::{BufRead, BufReader, Read},
    process::{Child, Command, Stdio},
    sync::mpsc::{Receiver, channel},
    thread,
    time::{Duration, Instant},
};
use stuck::{Stuck, example};

fn wedged(arguments: &[&str]) -> Command {
    let mut command = Command::new(example("wedged"));
    command.args(arguments).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

/// Replaces the numbers of tasks.
fn without_ids(text: &str) -> String {
    let mut parts = text.split("id=0x");
    let mut shown = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        shown += "id=0x…";
        shown += part.trim_start_matches(|c: char| c.is_ascii_hexdigit());
    }
    shown
}

#[track_caller]
fn assert_said(name: &str, text: &str) {
    assert_golden(&format!("wedged/{name}"), &in_one_file(&without_ids(text)));
}

/// Those whose loop can still run.
const WAITING: [&str; 5] = ["lock_order", "full_queue", "task_done", "foreign", "itself"];

#[test]
fn each_kind_that_does_not_block_the_loop_dumps_its_tasks() {
    for kind in WAITING {
        let output = wedged(&[kind, "dump"]).output().expect("the example is built");
        assert!(output.status.success(), "{kind}: {output:?}");
        assert_said(kind, text(&output.stdout));
    }
}

/// Ends the process, whether or not the test succeeds.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// What a process writes, line by line.
struct Lines(Receiver<String>);

impl Lines {
    fn of(pipe: Option<impl Read + Send + 'static>) -> Lines {
        let (sender, receiver) = channel();
        let lines = BufReader::new(pipe.expect("a pipe")).lines();
        thread::spawn(move || lines.map_while(Result::ok).try_for_each(|line| sender.send(line)));
        Lines(receiver)
    }

    #[track_caller]
    fn next(&self) -> String {
        self.0.recv_timeout(Duration::from_secs(60)).expect("the process writes a line")
    }

    /// All up to its end.
    fn rest(&self) -> String {
        self.0.iter().map(|line| line + "\n").collect()
    }
}

#[test]
fn each_kind_is_seen_from_outside() {
    for kind in WAITING {
        let program = Stuck::start("wedged", &[kind, "ready"]);
        let pid = program.pid();
        assert_prints(&format!("wedged/{kind}.ps"), &["ps", &pid]);
        let tree = asyncio(&["pstree", &pid]);
        // A cycle has no tree.
        let shown = if tree.status.success() { &tree.stdout } else { &tree.stderr };
        assert_eq!(tree.status.success(), kind != "itself");
        assert_golden(&format!("wedged/{kind}.pstree"), &in_one_file(text(shown)));
    }
}

#[test]
fn a_loop_that_is_blocked_or_spins_is_seen_from_outside() {
    for (kind, state) in [("blocking", " blocked "), ("endless", " running ")] {
        let child = Running(wedged(&[kind]).spawn().expect("the example is built"));
        let pid = child.0.id().to_string();
        let until = Instant::now() + Duration::from_secs(60);
        // Before its first loop there is nothing to see.
        while !text(&asyncio(&["ps", &pid]).stdout).contains(state) {
            assert!(Instant::now() < until, "{kind}: {:?}", asyncio(&["ps", &pid]));
        }
        assert_prints(&format!("wedged/{kind}.ps"), &["ps", &pid]);
        assert_prints(&format!("wedged/{kind}.pstree"), &["pstree", &pid]);
    }
}

#[test]
fn the_guide_shows_what_is_printed() {
    let guide = concat!(env!("CARGO_MANIFEST_DIR"), "/../asyncio/src/guide/hangs.md");
    let guide = fs::read_to_string(guide).expect("the guide is there");
    for kind in WAITING.iter().chain(&["blocking", "endless"]) {
        for command in ["ps", "pstree"] {
            let path =
                format!("{}/tests/golden/wedged/{kind}.{command}.txt", env!("CARGO_MANIFEST_DIR"));
            let shown = fs::read_to_string(path).expect("the golden file is there");
            assert!(
                guide.contains(&format!("```text\n{shown}```\n")),
                "{kind}.{command}:\n{shown}"
            );
        }
    }
}

#[test]
fn the_watchdog_reports_those_that_block_the_loop_while_they_do() {
    for (kind, task) in [("blocking", "reader"), ("endless", "counter")] {
        let mut child = Running(wedged(&[kind]).spawn().expect("the example is built"));
        let lines = Lines::of(child.0.stderr.take());
        let report = lines.next();
        assert!(
            report.starts_with(&format!("a step of {task} has not come back for 0.")),
            "{report}"
        );
        let main = "crates/tools/examples/wedged.rs:";
        for place in ["the task was created at ", ", last waited for sleep at "] {
            assert!(report.contains(&format!("{place}{main}")), "{report}");
        }
        #[cfg(all(target_os = "linux", target_env = "gnu"))]
        {
            let mut trace = String::new();
            while !trace.contains("async_block") {
                trace += &(lines.next() + "\n");
            }
            assert!(!trace.contains("watchdog"), "{trace}");
        }
        assert!(child.0.try_wait().expect("it is ours").is_none(), "{kind} still runs");
    }
}

#[test]
fn in_debug_mode_the_loop_says_itself_that_tasks_are_stuck() {
    for (kind, stuck) in [("itself", 5), ("lock_order", 3)] {
        let mut command = wedged(&[kind]);
        let spawned = command.env("PYTHONASYNCIODEBUG", "1").spawn();
        let mut child = Running(spawned.expect("the example is built"));
        let lines = Lines::of(child.0.stderr.take());
        let first = lines.next();
        assert_eq!(first, "tasks are stuck: nothing is left that could wake a task");
        for _ in 0..stuck {
            let line = lines.next();
            assert!(line.contains(" at crates/tools/examples/wedged.rs:"), "{line}");
        }
    }
}

fn kill(child: &Child, signal: &str) {
    let status = Command::new("kill").args([signal, &child.id().to_string()]).status();
    assert!(status.expect("there is kill").success());
}

/// Whether the process was started with `SIGINT` ignored, as by a shell in the background.
fn ignores_ctrl_c(child: &Child) -> bool {
    let status =
        std::fs::read_to_string(format!("/proc/{}/status", child.id())).unwrap_or_default();
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    let mask = mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok());
    mask.is_some_and(|mask| mask & 0b10 != 0)
}

#[test]
fn a_signal_dumps_the_tasks_and_ctrl_c_says_what_main_awaits() {
    let mut child =
        Running(wedged(&["lock_order", "ready"]).spawn().expect("the example is built"));
    let (out, err) = (Lines::of(child.0.stdout.take()), Lines::of(child.0.stderr.take()));
    assert_eq!(out.next(), "ready");
    kill(&child.0, "-USR1");
    assert_eq!(err.next(), "the call graphs of all tasks:");
    // The task that awaits the two others is shown twice.
    let (mut dump, mut seen) = (String::new(), 0);
    while seen < 2 {
        let line = err.next();
        seen += usize::from(line.contains("\"Task-1\""));
        dump += &(line + "\n");
    }
    assert_said("signalled", &dump);
    if ignores_ctrl_c(&child.0) {
        println!("SKIPPED: Ctrl-C: the tests run with SIGINT ignored, and so does the program");
        return;
    }
    kill(&child.0, "-INT");
    assert_said("interrupted", &err.rest());
    assert_eq!(child.0.wait().expect("it is ours").code(), Some(1));
}
