//! A whole session is ended.

mod common;

use asyncio_core::{Error, Result};
use asyncio_subprocess::{Process, create_subprocess_exec, create_subprocess_shell};
use asyncio_task::{create_task, sleep};
use common::{is_alive, run, state, wait_until_dead, wait_until_gone};
use std::{
    fs::File,
    io::{BufRead, BufReader},
    time::Duration,
};

const LONG: Duration = Duration::from_secs(60);
const SHORT: Duration = Duration::from_millis(20);

/// Starts a shell in a session of its own, and reads as many numbers of processes as it says.
async fn session(command: &str, count: usize) -> Result<(Process, Vec<u32>)> {
    let (reader, writer) = nix::unistd::pipe2(nix::fcntl::OFlag::O_CLOEXEC)?;
    let spawn = create_subprocess_shell(command).start_new_session(true);
    let process = spawn.stdout(writer).await?;
    let lines = BufReader::new(File::from(reader)).lines();
    Ok((process, lines.take(count).map(|line| line.unwrap().trim().parse().unwrap()).collect()))
}

#[test]
fn every_process_terminates() {
    run(async {
        let (process, pids) =
            session("sleep 1000 & echo $!; sleep 1001 & echo $!; wait", 2).await?;
        assert_eq!(process.kill_tree(LONG).await?, -15);
        pids.into_iter().for_each(wait_until_dead);
        assert_eq!(state(process.pid()), None);
        Ok(())
    });
}

#[test]
fn a_process_that_does_not_terminate_in_time_is_killed() {
    run(async {
        let stubborn = "trap '' TERM; (trap '' TERM; echo $(sh -c 'echo $PPID'); \
                        while :; do sleep 1000; done) & echo $$; wait; wait";
        let (process, pids) = session(stubborn, 2).await?;
        assert_eq!(process.kill_tree(SHORT).await?, -9);
        pids.into_iter().for_each(wait_until_dead);
        Ok(())
    });
}

#[test]
fn processes_that_outlive_the_first_are_ended_too() {
    run(async {
        let (process, pids) = session("sleep 1000 & echo $!", 1).await?;
        assert_eq!(process.wait().await?, 0);
        assert!(is_alive(pids[0]));
        // Its number is that of the session, so it is kept.
        assert_eq!(state(process.pid()), Some('Z'));
        assert_eq!(process.kill_tree(LONG).await?, 0);
        pids.into_iter().for_each(wait_until_dead);
        assert_eq!(state(process.pid()), None);
        Ok(())
    });
}

#[test]
fn a_process_that_is_dropped_keeps_no_number_for_its_survivors() {
    run(async {
        let (process, pids) = session("sleep 1000 & echo $!", 1).await?;
        assert_eq!(process.wait().await?, 0);
        let leader = process.pid();
        drop(process);
        assert_eq!(state(leader), None);
        let pid = nix::unistd::Pid::from_raw(pids[0] as i32);
        nix::sys::signal::kill(pid, nix::sys::signal::SIGKILL)?;
        Ok(())
    });
}

#[test]
fn a_process_in_another_group_of_the_session_is_found() {
    run(async {
        // It begins a group for what it runs.
        let (process, pids) = session("timeout 1000 sleep 1000 & echo $!; wait", 1).await?;
        let pid = nix::unistd::Pid::from_raw(pids[0] as i32);
        while nix::unistd::getpgid(Some(pid))? != pid {
            sleep(Duration::from_millis(1)).await?;
        }
        process.kill_tree(LONG).await?;
        if cfg!(asyncio_no_pidfd) {
            // Its number could be another's before a signal arrives, so none is sent.
            assert!(is_alive(pids[0]));
            nix::sys::signal::kill(pid, nix::sys::signal::SIGTERM)?;
        }
        pids.into_iter().for_each(wait_until_dead);
        Ok(())
    });
}

#[test]
fn a_session_that_is_over_is_left_alone() {
    run(async {
        let (process, _) = session("exit 3", 0).await?;
        assert_eq!(process.wait().await?, 3);
        wait_until_gone(process.pid());
        assert_eq!(process.kill_tree(LONG).await?, 3);
        Ok(())
    });
}

#[test]
fn a_process_group_will_do() {
    run(async {
        let process = create_subprocess_exec("sleep", ["1000"]).process_group(0).await?;
        assert_eq!(process.kill_tree(LONG).await?, -15);
        Ok(())
    });
}

#[test]
fn without_a_session_or_group_it_is_an_error() {
    run(async {
        let process = create_subprocess_exec("sleep", ["1000"]).await?;
        let error = process.kill_tree(LONG).await.unwrap_err();
        assert!(matches!(&error, Error::Runtime(_)), "{error:?}");
        assert!(error.to_string().contains("start_new_session"), "{error}");
        assert_eq!(process.returncode(), None);
        process.kill()?;
        process.wait().await?;
        Ok(())
    });
}

#[test]
fn what_was_begun_goes_on_when_it_is_cancelled() {
    run(async {
        let (process, pids) =
            session("trap '' TERM; echo $$; while :; do sleep 1000; done", 1).await?;
        let killing = create_task(process.kill_tree(SHORT));
        sleep(Duration::ZERO).await?;
        killing.cancel();
        assert!(killing.await.unwrap_err().is_cancelled());
        assert_eq!(process.wait().await?, -9);
        assert_eq!(pids, [process.pid()]);
        Ok(())
    });
}
