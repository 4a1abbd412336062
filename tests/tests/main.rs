//! `#[asyncio::main]`: how a process ends.

use std::{
    io::{BufRead, BufReader, Read},
    process::{Child, Command, Stdio},
};

/// The exit status of a process, and its output.
#[derive(Debug)]
struct End {
    code: Option<i32>,
    out: String,
    err: String,
}

fn spawn(program: &str) -> Child {
    Command::new(env!("CARGO_BIN_EXE_main_of_many_kinds"))
        .arg(program)
        .env_remove("PYTHONASYNCIODEBUG")
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap()
}

fn run(program: &str) -> End {
    let output = spawn(program).wait_with_output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    End { code: output.status.code(), out: text(output.stdout), err: text(output.stderr) }
}

/// Waits for the first line of a program, and sends it SIGINT.
fn interrupt(program: &str) -> End {
    signal(program, "-INT")
}

fn signal(program: &str, signal: &str) -> End {
    let mut child = spawn(program);
    let mut stdout = BufReader::new(child.stdout.take().unwrap());
    let mut line = String::new();
    stdout.read_line(&mut line).unwrap();
    assert_eq!(line, "ready\n");
    let kill = Command::new("kill").args([signal, &child.id().to_string()]).status().unwrap();
    assert!(kill.success());
    let (mut out, mut err) = (String::new(), String::new());
    stdout.read_to_string(&mut out).unwrap();
    child.stderr.take().unwrap().read_to_string(&mut err).unwrap();
    End { code: child.wait().unwrap().code(), out, err }
}

#[test]
fn what_main_returns_is_how_the_process_ends() {
    let end = run("unit");
    assert_eq!((end.code, &*end.out, &*end.err), (Some(0), "debug: false\n", ""));
    let end = run("exit_code");
    assert_eq!((end.code, &*end.err), (Some(7), ""));
}

#[test]
fn an_error_is_printed_as_rust_prints_it() {
    let end = run("error");
    assert_eq!((end.code, &*end.err), (Some(1), "Error: ValueError: not a number\n"));
    let end = run("error_that_came_in");
    let line = "Error: invalid digit found in string, at tests/src/bin/main_of_many_kinds.rs:";
    assert!(end.code == Some(1) && end.err.starts_with(line), "{end:?}");
    let end = run("error_of_its_own");
    assert_eq!((end.code, &*end.err), (Some(1), "Error: \"broken\"\n"));
    let end = run("cancelled");
    assert_eq!((end.code, &*end.err), (Some(1), "Error: CancelledError: cancelled\n"));
}

#[test]
fn a_panic_is_a_panic() {
    let end = run("panic");
    assert_eq!(end.code, Some(101));
    assert_eq!(end.err.matches("fell over").count(), 1, "{end:?}");
}

#[test]
fn ctrl_c_cancels_main_and_then_the_process_ends_with_130() {
    let end = interrupt("interrupted");
    assert_eq!((end.code, &*end.out), (Some(130), "cleaned up\n"));
    let place =
        "KeyboardInterrupt: interrupted by Ctrl-C, in\n    Task-1: cancellable at tests/src/bin/";
    assert!(end.err.starts_with(place), "{end:?}");
    let end = interrupt("interrupted_boxed");
    assert_eq!((end.code, &*end.out), (Some(130), "cleaned up\n"));
}

#[test]
fn sigterm_cancels_main_if_it_is_told_to() {
    let end = signal("terminated", "-TERM");
    assert_eq!((end.code, &*end.out), (Some(143), "cleaned up\n"));
    assert!(end.err.starts_with("KeyboardInterrupt: SIGTERM"), "{end:?}");
    let end = signal("interrupted", "-TERM");
    assert_eq!((end.code, &*end.out), (None, ""));
}

#[test]
fn a_main_that_swallows_the_interrupt_ends_as_it_says() {
    let end = interrupt("swallows_the_interrupt");
    assert_eq!((end.code, &*end.out), (Some(0), "cleaned up\n"));
}
