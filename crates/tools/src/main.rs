//! The command `asyncio`: inspects a running asyncio program from outside.

#![forbid(unsafe_code)]

use asyncio_tools::{
    CoreFile, Failure, Memory, Process, Reader, Snapshot, build_async_tree,
    display_awaited_by_tasks_table, get_all_awaited_by, to_json, top,
};
use std::{
    io::{self, IsTerminal, Write},
    path::Path,
    process::ExitCode,
    thread,
    time::Duration,
};

const HELP: &str = "\
Shows what a program on asyncio for Rust is doing. The program needs no preparation, and is not stopped.

usage: asyncio ps      [--json] PID | --core FILE   a table of all tasks
       asyncio ps      --watch PID                  the same, updated every second
       asyncio pstree  [--json] PID | --core FILE   which task awaits which, as a tree
       asyncio top     PID                          a live view; q ends it, ? explains it
       asyncio top     --json PID                   a line of JSON every second
       asyncio --version | --help
";

/// The reason for which the command ends without output.
enum End {
    /// The arguments are invalid.
    Usage(String),
    /// Nothing can be shown: a sentence for standard error.
    Failed(String),
    /// The output was closed.
    Written(io::Error),
}

impl From<Failure> for End {
    fn from(failure: Failure) -> End {
        End::Failed(format!("asyncio: {failure}"))
    }
}

impl From<io::Error> for End {
    fn from(error: io::Error) -> End {
        End::Written(error)
    }
}

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match run(&arguments) {
        Ok(()) => ExitCode::SUCCESS,
        Err(End::Usage(what)) => {
            eprint!("asyncio: {what}\n\n{HELP}");
            ExitCode::from(2)
        }
        Err(End::Failed(what)) => {
            eprintln!("{what}");
            ExitCode::FAILURE
        }
        Err(End::Written(error)) if error.kind() == io::ErrorKind::BrokenPipe => ExitCode::SUCCESS,
        Err(End::Written(error)) => {
            eprintln!("asyncio: the output cannot be written: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: &[&str]) -> Result<(), End> {
    match arguments {
        ["--help" | "-h" | "help"] => Ok(write!(io::stdout(), "{HELP}")?),
        ["--version" | "-V"] => {
            Ok(writeln!(io::stdout(), "asyncio {}", env!("CARGO_PKG_VERSION"))?)
        }
        ["top", pid] => Ok(top::run(&Process::new(number(pid)?))?),
        ["top", "--json", pid] => in_each_second(&Process::new(number(pid)?), |model, _| {
            writeln!(io::stdout(), "{}", model.to_json())
        }),
        ["ps", "--watch", pid] => in_each_second(&Process::new(number(pid)?), |model, snapshot| {
            let mut result = get_all_awaited_by(snapshot);
            let lasts = model.lasts();
            for task in result.iter_mut().flat_map(|info| &mut info.awaited_by) {
                task.lasts = lasts.get(&task.task_id).copied();
            }
            let mut out = io::stdout();
            // A terminal is cleared; elsewhere one table follows the other.
            let clear = if out.is_terminal() { "\x1b[H\x1b[2J" } else { "" };
            writeln!(out, "{clear}{}", display_awaited_by_tasks_table(&result))
        }),
        [command @ ("ps" | "pstree"), rest @ ..] => show(command, rest),
        [] => Err(End::Usage("a command is missing".to_owned())),
        _ => Err(End::Usage(format!("cannot make sense of `{}`", arguments.join(" ")))),
    }
}

/// `asyncio ps` and `asyncio pstree`.
fn show(command: &str, arguments: &[&str]) -> Result<(), End> {
    let is_json = arguments.contains(&"--json");
    let rest: Vec<&str> = arguments.iter().copied().filter(|word| *word != "--json").collect();
    let snapshot = match rest[..] {
        ["--core", file] => look(&CoreFile::open(Path::new(file))?)?,
        [pid] => look(&Process::new(number(pid)?))?,
        _ => return Err(End::Usage(format!("{command} takes a PID, or --core FILE"))),
    };
    let mut out = io::BufWriter::new(io::stdout().lock());
    if is_json {
        serde_json::to_writer_pretty(&mut out, &to_json(&snapshot)).map_err(io::Error::from)?;
        writeln!(out)?;
    } else if command == "ps" {
        let table = display_awaited_by_tasks_table(&get_all_awaited_by(&snapshot));
        write!(out, "{table}")?;
        for queue in &snapshot.queues {
            writeln!(out, "queue {queue}")?;
        }
    } else {
        let trees = build_async_tree(&get_all_awaited_by(&snapshot));
        for tree in trees.map_err(|cycle| End::Failed(cycle.to_string()))? {
            writeln!(out, "{}", tree.join("\n"))?;
        }
    }
    Ok(out.flush()?)
}

/// Reads a process repeatedly, until it ends or the output is closed.
fn in_each_second(
    process: &Process,
    show: impl Fn(&top::Model, &Snapshot) -> io::Result<()>,
) -> Result<(), End> {
    let mut reader = Reader::new(process)?;
    let mut model = top::Model::default();
    loop {
        let snapshot = reader.snapshot()?;
        model.update(snapshot.clone(), process.now().unwrap_or_default());
        show(&model, &snapshot)?;
        thread::sleep(Duration::from_secs(1));
    }
}

fn look(memory: &dyn Memory) -> Result<Snapshot, Failure> {
    Reader::new(memory)?.snapshot()
}

fn number(pid: &str) -> Result<i32, End> {
    let number = pid.parse().ok().filter(|number| *number > 0);
    number.ok_or_else(|| End::Usage(format!("`{pid}` is not the number of a process")))
}
