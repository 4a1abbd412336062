//! Real programs, looked into while they run: the example `stuck`, and what is no program of ours.

mod printed;
mod stuck;

use asyncio_tools::{Process, Reader};
use printed::{assert_golden, assert_prints, asyncio, text};
use std::{
    fs,
    io::{BufRead, BufReader},
    process::{Command, Stdio},
    rc::Rc,
    time::{Duration, Instant},
};
use stuck::{Stuck, example};

#[test]
fn every_kind_of_wait_is_shown_with_its_place() {
    let program = Stuck::start("stuck", &["kinds"]);
    assert_prints("kinds.ps", &["ps", &program.pid()]);
    assert_prints("kinds.pstree", &["pstree", &program.pid()]);
}

#[test]
fn every_way_to_wait_for_others_is_an_edge() {
    let program = Stuck::start("stuck", &["ways"]);
    assert_prints("ways.ps", &["ps", &program.pid()]);
    assert_prints("ways.pstree", &["pstree", &program.pid()]);
}

#[test]
fn tasks_that_wait_for_each_other_are_a_circle_and_no_tree() {
    let program = Stuck::start("stuck", &["circle"]);
    assert_prints("circle.ps", &["ps", &program.pid()]);
    let output = asyncio(&["pstree", &program.pid()]);
    assert_eq!((output.status.code(), text(&output.stdout)), (Some(1), ""));
    assert_golden("circle.pstree", text(&output.stderr));
}

#[test]
fn a_loop_that_is_blocked_or_spins_is_read_like_any_other() {
    let program = Stuck::start("stuck", &["threads"]);
    // As soon as the thread has come to sleep in the system.
    assert_prints("threads.ps", &["ps", &program.pid()]);
}

#[test]
fn a_stripped_program_is_read_too() {
    let directory = std::env::temp_dir().join(format!("asyncio-tools-{}", std::process::id()));
    fs::create_dir_all(&directory).unwrap();
    let stripped = directory.join("stripped");
    fs::copy(example("stuck"), &stripped).unwrap();
    match Command::new("strip").arg(&stripped).status() {
        Ok(status) if status.success() => {
            let program = Stuck::of(&stripped, &["kinds"]);
            assert_prints("kinds.ps", &["ps", &program.pid()]);
        }
        _ => println!("SKIPPED: there is no `strip`"),
    }
    fs::remove_dir_all(&directory).unwrap();
}

#[test]
fn a_core_dump_is_read_as_the_program_was() {
    let directory = std::env::temp_dir().join(format!("asyncio-core-{}", std::process::id()));
    fs::create_dir_all(&directory).unwrap();
    let program = Stuck::start("stuck", &["kinds"]);
    let prefix = directory.join("core");
    let dumped = Command::new("gcore").arg("-o").arg(&prefix).arg(program.pid()).output();
    match dumped {
        Ok(output) if output.status.success() => {
            let core = format!("{}.{}", prefix.display(), program.pid());
            assert_prints("core.ps", &["ps", "--core", &core]);
        }
        _ => println!("SKIPPED: there is no `gcore`, or it may not dump"),
    }
    fs::remove_dir_all(&directory).unwrap();
}

#[test]
fn json_says_everything() {
    let program = Stuck::start("stuck", &["kinds"]);
    let output = asyncio(&["ps", "--json", &program.pid()]);
    let json: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    let tasks = json["loops"][0]["tasks"].as_array().unwrap();
    let by_name = |name: &str| tasks.iter().find(|task| task["name"] == name).unwrap();
    let (inner, outer) = (by_name("inner"), by_name("outer"));
    assert_eq!(inner["awaited_by"][0], outer["id"]);
    assert_eq!(outer["awaits"][0], inner["id"]);
    assert_eq!((&inner["waits_for"], &inner["state"]), (&"sleep".into(), &"waiting".into()));
    assert_eq!(
        (&inner["waits"][0]["what"], &inner["waits"][0]["scopes"][0]),
        (&"sleep".into(), &().into())
    );
    assert!(by_name("foreign")["waits_for"].is_null());
    assert_eq!(json["loops"][0]["unread_tasks"], 0);
    assert!(json["loops"][0]["steps"].as_u64() >= Some(9));
}

/// The first lines that a command writes which does not end by itself.
fn first_lines(arguments: &[&str], count: usize) -> Vec<String> {
    let mut command = Command::new(env!("CARGO_BIN_EXE_asyncio"));
    let mut child = command.args(arguments).stdout(Stdio::piped()).spawn().expect("it was built");
    let output = BufReader::new(child.stdout.take().expect("it is piped"));
    let lines = output.lines().take(count).map(|line| line.expect("it prints UTF-8")).collect();
    child.kill().unwrap();
    child.wait().unwrap();
    lines
}

#[test]
fn top_writes_a_line_of_json_for_each_look() {
    let program = Stuck::start("stuck", &["kinds"]);
    let lines = first_lines(&["top", "--json", &program.pid()], 2);
    let looks: Vec<serde_json::Value> =
        lines.iter().map(|line| serde_json::from_str(line).unwrap()).collect();
    for look in &looks {
        assert_eq!(look["tasks"].as_array().map(Vec::len), Some(8), "{look}");
        assert_eq!(
            (&look["states"]["waiting"], &look["states"]["suspended"]),
            (&7.into(), &1.into())
        );
        assert!(look["waits"].as_array().unwrap().iter().any(|wait| wait["what"] == "Queue.put"));
    }
    let lasts = |look: &serde_json::Value| look["tasks"][0]["lasts_ns"].as_u64();
    assert!(lasts(&looks[1]) > lasts(&looks[0]), "{looks:?}");
}

#[test]
fn a_queue_with_a_name_is_shown_with_what_waits_for_it() {
    let program = Stuck::start("wedged", &["full_queue", "ready"]);
    let output = asyncio(&["ps", "--json", &program.pid()]);
    let json: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    let lines = serde_json::json!({
        "name": "lines", "maxsize": 2, "length": 2, "unfinished": 2, "getters": 0, "putters": 1,
        "joiners": 0,
    });
    assert_eq!(json["queues"], serde_json::json!([lines]));
    let look = first_lines(&["top", "--json", &program.pid()], 1).remove(0);
    let look: serde_json::Value = serde_json::from_str(&look).unwrap();
    assert_eq!(look["queues"], json["queues"]);
    // Those that have none are not shown.
    let program = Stuck::start("stuck", &["kinds"]);
    let output = asyncio(&["ps", "--json", &program.pid()]);
    let json: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(json["queues"], serde_json::json!([]));
}

#[asyncio::test]
async fn a_queue_that_was_moved_is_found_again_when_something_waits_for_it() -> asyncio::Result<()>
{
    let process = Process::new(i32::try_from(std::process::id())?);
    let mut reader = Reader::new(&process)?;
    let mut shown = || -> asyncio::Result<_> {
        let queues = reader.snapshot()?.queues;
        let moved = queues.iter().find(|queue| &*queue.name == "moved");
        Ok(moved.map(ToString::to_string))
    };
    let priority = asyncio::PriorityQueue::new(3);
    priority.set_name("moved");
    assert_eq!(shown()?.as_deref(), Some("\"moved\" 0/3"));
    let priority = Rc::new(priority);
    let getting = priority.clone();
    let getter = asyncio::create_task(async move { getting.get().await });
    asyncio::sleep(Duration::ZERO).await?;
    assert_eq!(shown()?.as_deref(), Some("\"moved\" 0/3, 1 getter waiting"));
    priority.put_nowait(1)?;
    priority.put_nowait(2)?;
    assert_eq!(getter.await?, 1);
    assert_eq!(shown()?.as_deref(), Some("\"moved\" 1/3"));
    let stack = asyncio::LifoQueue::new(0);
    stack.set_name("moved");
    drop(priority);
    stack.put_nowait(7)?;
    assert_eq!(shown()?.as_deref(), Some("\"moved\" 1"));
    drop(stack);
    assert_eq!(shown()?, None);
    Ok(())
}

#[test]
fn a_watched_table_says_since_when_even_if_the_loop_runs() {
    let program = Stuck::start("stuck", &["many", "3"]);
    let lines = first_lines(&["ps", "--watch", &program.pid()], 14);
    let waits = |line: &&String| line.contains(" waiting ") && line.contains(" Event.wait ");
    let lasting: Vec<bool> = lines.iter().filter(waits).map(|line| line.contains(" s  ")).collect();
    assert_eq!(lasting.len(), 6, "{lines:?}");
    assert!(lasting[3..].iter().all(|lasts| *lasts), "{lines:?}");
}

#[test]
fn many_tasks_are_listed_while_one_of_them_runs_all_the_time() {
    const COUNT: usize = 100_000;
    let program = Stuck::start("stuck", &["many", &COUNT.to_string()]);
    let began = Instant::now();
    let output = asyncio(&["ps", &program.pid()]);
    assert!(began.elapsed() < Duration::from_secs(60));
    // How wide the columns are depends on what the other one does.
    let waits = |line: &&str| line.contains(" waiting ") && line.contains(" Event.wait ");
    let waiting = text(&output.stdout).lines().filter(waits);
    assert_eq!(waiting.count(), COUNT);
}

#[test]
fn what_cannot_be_looked_into_says_so_in_a_sentence() {
    let failed = |arguments: &[&str]| {
        let output = asyncio(arguments);
        assert_eq!((output.status.code(), text(&output.stdout)), (Some(1), ""));
        text(&output.stderr).to_owned()
    };
    let absent = failed(&["ps", "2147483647"]);
    assert_eq!(absent, "asyncio: there is no process 2147483647; `ps -e` lists those that run\n");
    let mut other = Command::new("sleep").arg("60").spawn().unwrap();
    let pid = other.id().to_string();
    for command in ["ps", "pstree", "top"] {
        let without = failed(&[command, &pid]);
        let expected = format!("asyncio: process {pid} has no asyncio for Rust in it");
        assert!(without.starts_with(&expected), "{without}");
    }
    other.kill().unwrap();
    other.wait().unwrap();
    let ended = failed(&["ps", &pid]);
    assert!(ended.contains("there is no process"), "{ended}");
    let this = failed(&["ps", "--core", "Cargo.toml"]);
    assert!(this.contains("Cargo.toml is no core dump"), "{this}");
}

#[test]
fn arguments_that_make_no_sense_are_told_with_the_usage() {
    for arguments in [&[][..], &["ps"], &["ps", "x"], &["ps", "-1"], &["ps", "1", "2"], &["dance"]]
    {
        let output = asyncio(arguments);
        assert_eq!((output.status.code(), text(&output.stdout)), (Some(2), ""), "{arguments:?}");
        assert!(text(&output.stderr).contains("usage: asyncio ps"), "{arguments:?}");
    }
    assert!(text(&asyncio(&["--help"]).stdout).contains("usage: asyncio ps"));
    assert!(text(&asyncio(&["--version"]).stdout).starts_with("asyncio 0."));
}
