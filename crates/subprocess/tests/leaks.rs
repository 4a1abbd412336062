//! Nothing is left behind: no zombie, no descriptor, no thread. These tests count what the whole
//! process has, so they take turns.

mod common;

use asyncio_core::{AsyncContextManager, Error, Result};
use asyncio_subprocess::{
    DEVNULL, PIPE, Process, STDOUT, Stdio, create_subprocess_exec, create_subprocess_shell,
};
use asyncio_task::{TaskGroup, create_task, sleep};
use common::{children, descriptors, is_alive, run, threads, zombies};
use nix::{fcntl::OFlag, unistd::pipe2};
use std::{
    cell::Cell,
    fs::File,
    io::{self, Read},
    rc::Rc,
    sync::{Mutex, MutexGuard},
    time::Duration,
};

fn turn() -> MutexGuard<'static, ()> {
    static TURN: Mutex<()> = Mutex::new(());
    TURN.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
}

/// Numbers that look random, and are the same in each run.
struct Dice(Cell<u64>);

impl Dice {
    fn roll(&self, sides: u64) -> u64 {
        let mut x = self.0.get();
        x ^= x << 13;
        x ^= x >> 7;
        x ^= x << 17;
        self.0.set(x);
        x % sides
    }
}

/// The threads that wait for children.
fn waiters() -> usize {
    threads().iter().filter(|name| name.starts_with("asyncio-waitpid")).count()
}

async fn sleeper() -> Result<Process> {
    create_subprocess_exec("sleep", ["1000"]).stdin(DEVNULL).await
}

/// Starts a process that ends by itself, is killed, or is forgotten, and waits for it, perhaps until
/// it is cancelled.
async fn one_of_many(dice: Rc<Dice>) -> Result<()> {
    match dice.roll(6) {
        0 => {
            let process = create_subprocess_shell("exit 3").stdin(DEVNULL).await?;
            assert_eq!(process.wait().await?, 3);
        }
        1 => {
            let process = sleeper().await?;
            sleep(Duration::from_millis(dice.roll(3))).await?;
            process.kill()?;
            assert_eq!(process.wait().await?, -9);
        }
        2 => {
            // A signal may come before, at, or after its end.
            let process = create_subprocess_exec("true", ()).await?;
            sleep(Duration::from_millis(dice.roll(3))).await?;
            let _ = process.terminate();
            assert!(matches!(process.wait().await?, 0 | -15));
        }
        3 => {
            let process = sleeper().await?;
            let waiting = create_task(process.wait());
            sleep(Duration::ZERO).await?;
            waiting.cancel();
            assert!(waiting.await.unwrap_err().is_cancelled());
            process.terminate()?;
            assert_eq!(process.wait().await?, -15);
        }
        4 => {
            let input = vec![dice.roll(256) as u8; dice.roll(200_000) as usize];
            let spawn = create_subprocess_exec("cat", ()).stdin(PIPE).stdout(PIPE);
            assert!(spawn.await?.communicate(&input).await?.stdout == input);
        }
        _ => drop(create_subprocess_exec("true", ()).await?),
    }
    Ok(())
}

#[test]
fn two_thousand_processes_leave_nothing_behind() {
    let _turn = turn();
    run(async {
        create_subprocess_exec("true", ()).await?.wait().await?;
        let fds = descriptors();
        let dice = Rc::new(Dice(Cell::new(0x9E37_79B9_7F4A_7C15)));
        let started = Rc::new(Cell::new(0));
        TaskGroup::new()
            .with(async |group| {
                for _ in 0..64 {
                    let (dice, started) = (dice.clone(), started.clone());
                    group.create_task(async move {
                        while started.get() < 2000 {
                            started.set(started.get() + 1);
                            let task = create_task(one_of_many(dice.clone()));
                            if dice.roll(8) == 0 {
                                sleep(Duration::from_millis(dice.roll(3))).await?;
                                task.cancel();
                                let _ = task.await;
                            } else {
                                task.await?;
                            }
                        }
                        Ok(())
                    });
                }
                Ok(())
            })
            .await?;
        // Processes that are never awaited, and those that a cancellation left running.
        kill_the_rest();
        while zombies() + children().len() + waiters() > 0 {
            sleep(Duration::from_millis(1)).await?;
        }
        assert_eq!((zombies(), descriptors()), (0, fds));
        Ok(())
    });
}

fn kill_the_rest() {
    for pid in children() {
        let pid = nix::unistd::Pid::from_raw(pid as i32);
        let _ = nix::sys::signal::kill(pid, nix::sys::signal::SIGKILL);
    }
}

#[test]
fn the_watch_of_a_child_needs_no_thread_where_there_are_pidfds() {
    let _turn = turn();
    run(async {
        let process = sleeper().await?;
        if cfg!(all(target_os = "linux", not(asyncio_no_pidfd))) {
            // A thread would have its name by then.
            sleep(Duration::from_millis(20)).await?;
            assert_eq!(waiters(), 0);
        }
        while cfg!(not(all(target_os = "linux", not(asyncio_no_pidfd)))) && waiters() == 0 {
            sleep(Duration::from_millis(1)).await?;
        }
        process.kill()?;
        process.wait().await?;
        while waiters() > 0 {
            sleep(Duration::from_millis(1)).await?;
        }
        Ok(())
    });
}

#[test]
fn the_action_of_sigchld_makes_no_difference() {
    let _turn = turn();
    run(async {
        let status = || std::fs::read_to_string("/proc/self/status").unwrap();
        let caught =
            || status().lines().find(|line| line.starts_with("SigCgt")).unwrap().to_owned();
        let before = caught();
        let process = sleeper().await?;
        assert_eq!(caught(), before);
        process.kill()?;
        process.wait().await?;
        assert_eq!(caught(), before);
        Ok(())
    });
}

fn kind<T: std::fmt::Debug>(outcome: Result<T>) -> io::ErrorKind {
    match outcome {
        Err(Error::Io(error)) => error.kind(),
        other => panic!("{other:?}"),
    }
}

/// A file that exists and is no program.
const NO_PROGRAM: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.toml");

/// Peak memory of this process, in KiB.
fn peak() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("VmHWM")).unwrap();
    line.split_ascii_whitespace().nth(1).unwrap().parse().unwrap()
}

#[test]
fn a_process_that_is_dropped_gives_up_its_pipes() {
    let _turn = turn();
    run(async {
        let before = descriptors();
        let process = create_subprocess_exec("cat", ()).stdin(PIPE).stdout(PIPE).await?;
        let pid = process.pid();
        drop(process);
        while is_alive(pid) || zombies() > 0 || descriptors() > before {
            sleep(Duration::from_millis(1)).await?;
        }
        assert_eq!(children(), [0; 0]);
        Ok(())
    });
}

#[test]
fn a_start_that_is_cancelled_kills_the_child_and_waits_for_it() {
    let _turn = turn();
    run(async {
        let before = descriptors();
        let starting = create_task(async {
            create_subprocess_exec("sleep", ["1000"]).stdin(PIPE).stdout(PIPE).await
        });
        sleep(Duration::ZERO).await?;
        assert_eq!(children().len(), 1);
        starting.cancel();
        assert!(starting.await.unwrap_err().is_cancelled());
        assert_eq!((children(), zombies()), (vec![], 0));
        sleep(Duration::ZERO).await?;
        assert_eq!(descriptors(), before);
        Ok(())
    });
}

#[test]
fn a_hundred_mebibytes_each_way() {
    const SIZE: usize = 100 << 20;
    let _turn = turn();
    run(async {
        let input = vec![7; SIZE];
        let before = peak();
        let output = create_subprocess_exec("cat", ())
            .stdin(PIPE)
            .stdout(PIPE)
            .await?
            .communicate(&input)
            .await?;
        assert!(output.stdout == input);
        // What was read, and little else.
        let grown = (peak() - before) << 10;
        assert!(grown < SIZE as u64 * 3 / 2, "{grown} bytes");
        Ok(())
    });
}

#[test]
fn what_cannot_be_started_leaves_nothing_behind() {
    let _turn = turn();
    run(async {
        let exec = |program: &str| create_subprocess_exec(program, ()).stdin(PIPE).stdout(PIPE);
        // What the loop itself opens is open.
        assert_eq!(exec("true").await?.wait().await?, 0);
        let before = descriptors();
        for _ in 0..3 {
            let (spare, _) = pipe2(OFlag::O_CLOEXEC)?;
            assert_eq!(kind(exec("/no/such/program").await), io::ErrorKind::NotFound);
            assert_eq!(kind(exec("no-such-program-anywhere").await), io::ErrorKind::NotFound);
            assert_eq!(kind(exec(NO_PROGRAM).await), io::ErrorKind::PermissionDenied);
            assert_eq!(kind(exec("/").await), io::ErrorKind::PermissionDenied);
            assert_eq!(kind(exec("true").cwd("/no/such/place").await), io::ErrorKind::NotFound);
            let stderr = exec("/no/such/program").stderr(STDOUT);
            assert_eq!(kind(stderr.await), io::ErrorKind::NotFound);
            let session = exec("/no/such/program").start_new_session(true);
            assert_eq!(kind(session.await), io::ErrorKind::NotFound);
            let passing = exec("/no/such/program").pass_fds([spare]);
            assert_eq!(kind(passing.await), io::ErrorKind::NotFound);
            for spawn in [exec("true\0"), exec("true").cwd("/\0"), exec("true").env([("A", "\0")])]
            {
                let error = spawn.await.unwrap_err();
                assert!(matches!(error, Error::Value(_)), "{error:?}");
            }
            let error = create_subprocess_exec("echo", ["a\0b"]).stdout(PIPE).await.unwrap_err();
            assert!(matches!(error, Error::Value(_)), "{error:?}");
        }
        assert_eq!((descriptors(), zombies()), (before, 0));
        Ok(())
    });
}

#[test]
fn a_file_is_a_standard_stream_and_closed_here_afterwards() {
    let _turn = turn();
    run(async {
        let (reader, writer) = pipe2(OFlag::O_CLOEXEC)?;
        let before = descriptors();
        let input = File::open("/proc/self/status")?;
        let copy =
            create_subprocess_shell("head -c 5").stdin(input).stdout(Stdio::from(writer)).await?;
        assert_eq!(copy.wait().await?, 0);
        assert_eq!(descriptors(), before - 1);
        let mut text = String::new();
        File::from(reader).read_to_string(&mut text)?;
        assert_eq!(text, "Name:");
        Ok(())
    });
}
