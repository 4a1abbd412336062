//! The example `wedged`: what a program that hangs says of itself. What it prints stands in `tests/wedged/`;
//! with `ASYNCIO_BLESS` set, that is written anew.

use std::{
    fs,
    io::{BufRead, BufReader, Read},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::mpsc::{Receiver, channel},
    thread,
    time::Duration,
};

/// Where cargo puts the examples that it builds with the tests.
fn wedged(arguments: &[&str]) -> Command {
    let program = std::env::current_exe().expect("a test is a file");
    let directory = program.parent().and_then(Path::parent).expect("in target/<profile>/deps");
    let mut command = Command::new(directory.join("examples/wedged"));
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
fn assert_golden(name: &str, text: &str) {
    let file =
        PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/wedged").join(format!("{name}.txt"));
    let text = without_ids(text);
    if std::env::var_os("ASYNCIO_BLESS").is_some() {
        fs::write(&file, &text).expect("the directory is there");
    }
    assert_eq!(text, fs::read_to_string(&file).unwrap_or_default(), "{}", file.display());
}

#[test]
fn each_kind_that_does_not_block_the_loop_dumps_its_tasks() {
    for kind in ["lock_order", "full_queue", "task_done", "foreign", "itself"] {
        let output = wedged(&[kind, "dump"]).output().expect("the example is built");
        assert!(output.status.success(), "{kind}: {output:?}");
        assert_golden(kind, &String::from_utf8_lossy(&output.stdout));
    }
}

/// Ends the process, whatever becomes of the test.
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
fn the_watchdog_reports_those_that_block_the_loop_while_they_do() {
    for (kind, task) in [("blocking", "reader"), ("endless", "counter")] {
        let mut child = Running(wedged(&[kind]).spawn().expect("the example is built"));
        let lines = Lines::of(child.0.stderr.take());
        let report = lines.next();
        assert!(
            report.starts_with(&format!("a step of {task} has not come back for 0.")),
            "{report}"
        );
        let main = "crates/asyncio/examples/wedged/main.rs:";
        for place in ["the task was created at ", ", last waited for sleep at "] {
            assert!(report.contains(&format!("{place}{main}")), "{report}");
        }
        #[cfg(all(feature = "backtrace", target_os = "linux", target_env = "gnu"))]
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
            assert!(line.contains(" at crates/asyncio/examples/wedged/main.rs:"), "{line}");
        }
    }
}

fn kill(child: &Child, signal: &str) {
    let status = Command::new("kill").args([signal, &child.id().to_string()]).status();
    assert!(status.expect("there is kill").success());
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
    assert_golden("signalled", &dump);
    kill(&child.0, "-INT");
    assert_golden("interrupted", &err.rest());
    assert_eq!(child.0.wait().expect("it is ours").code(), Some(1));
}
