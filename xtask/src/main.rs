//! The build tool of the workspace. `cargo xtask help` lists its tasks.

mod alone;
mod api;
mod bench;
mod checkers;
mod ci;
mod conformance;
mod costs;
mod fuzz;
mod loom;
mod plot;
mod shell;
mod tidy;

use std::process::ExitCode;

use shell::Workspace;

/// The outcome of a task that did not fail.
#[derive(Debug, PartialEq)]
enum Outcome {
    Done,
    /// The task was not run, for this reason.
    Skipped(String),
}

/// The outcome of a task. The error is a message for the terminal.
type TaskResult = Result<Outcome, String>;

struct Task {
    name: &'static str,
    help: &'static str,
    run: fn(&Workspace, &[String]) -> TaskResult,
}

const TASKS: &[Task] = &[
    Task { name: "ci", help: ci::HELP, run: ci::run },
    Task { name: "tidy", help: tidy::HELP, run: tidy::run },
    Task { name: "conformance", help: conformance::HELP, run: conformance::run },
    Task { name: "loom", help: loom::HELP, run: loom::run },
    Task { name: "fuzz", help: fuzz::HELP, run: fuzz::run },
    Task { name: "api", help: api::HELP, run: api::run },
    Task { name: "bench", help: bench::HELP, run: bench::run },
];

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let Some((name, rest)) = args.split_first() else {
        print!("{}", help());
        return ExitCode::FAILURE;
    };
    if matches!(name.as_str(), "help" | "--help" | "-h") {
        print!("{}", help());
        return ExitCode::SUCCESS;
    }
    match dispatch(name, rest) {
        Ok(Outcome::Done) => ExitCode::SUCCESS,
        Ok(Outcome::Skipped(why)) => {
            println!("SKIPPED: {name}: {why}");
            ExitCode::SUCCESS
        }
        Err(message) => {
            eprintln!("{name}: {message}");
            ExitCode::FAILURE
        }
    }
}

fn dispatch(name: &str, args: &[String]) -> TaskResult {
    let task = TASKS
        .iter()
        .find(|task| task.name == name)
        .ok_or("no such task; `cargo xtask help` lists them all")?;
    (task.run)(&Workspace::locate()?, args)
}

fn help() -> String {
    let mut text =
        String::from("The build tool of the workspace.\n\nUsage: cargo xtask TASK [ARGS]\n");
    for task in TASKS {
        let mut lines = task.help.lines();
        text += &format!("\n  {:<12} {}\n", task.name, lines.next().unwrap_or_default());
        for line in lines {
            text += &format!("  {:<12} {line}\n", "");
        }
    }
    text + &format!("\n  {:<12} Print this text.\n", "help")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn help_names_every_task() {
        let text = help();
        for task in TASKS {
            assert!(text.contains(&format!("\n  {} ", task.name)), "{} is missing", task.name);
        }
    }

    #[test]
    fn an_unknown_task_is_an_error() {
        assert!(dispatch("no-such-task", &[]).is_err_and(|message| message.contains("help")));
    }
}
