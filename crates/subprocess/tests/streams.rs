//! Processes with streams: what asyncio's `test_subprocess` asks of them.

mod common;

use asyncio_core::{AsyncContextManager, Error, Result};
use asyncio_subprocess::{
    PIPE, Process, STDOUT, SubprocessProtocol, create_subprocess_exec, create_subprocess_shell,
    subprocess_exec,
};
use asyncio_task::{create_task, sleep, timeout};
use common::{is_alive, run};
use std::{
    future::{Future, IntoFuture},
    io,
    time::Duration,
};

const YIELD: Duration = Duration::ZERO;
const NONE: [&str; 0] = [];

async fn cat() -> Result<Process> {
    create_subprocess_exec("cat", NONE).stdin(PIPE).stdout(PIPE).await
}

#[test]
fn what_is_written_is_read_back() {
    run(async {
        let mut cat = cat().await?;
        let stdin = cat.stdin.take().unwrap();
        stdin.write(b"some ");
        stdin.writelines(["da", "ta"]);
        stdin.drain().await?;
        stdin.close();
        assert_eq!(cat.stdout.as_mut().unwrap().read_to_end().await?, "some data");
        assert!(cat.stderr.is_none());
        assert_eq!(cat.wait().await?, 0);
        stdin.wait_closed().await
    });
}

#[test]
fn communicate_gives_what_both_pipes_had() {
    run(async {
        let command = "cat; echo error >&2; exit 4";
        let spawn = create_subprocess_shell(command).stdin(PIPE).stdout(PIPE).stderr(PIPE);
        let mut process = spawn.await?;
        let output = process.communicate(b"input").await?;
        assert_eq!((&*output.stdout, &*output.stderr), (&b"input"[..], &b"error\n"[..]));
        assert_eq!(process.returncode(), Some(4));
        Ok(())
    });
}

#[test]
fn communicate_reads_only_what_is_a_pipe() {
    run(async {
        let mut process = create_subprocess_shell("echo out").stdout(PIPE).await?;
        let output = process.communicate(None).await?;
        assert_eq!((&*output.stdout, &*output.stderr), (&b"out\n"[..], &b""[..]));
        let mut process = create_subprocess_exec("true", NONE).await?;
        assert_eq!(process.communicate(None).await?, Default::default());
        let mut both =
            create_subprocess_shell("echo out; echo err >&2").stdout(PIPE).stderr(STDOUT);
        both = both.env([("PATH", "/usr/bin:/bin")]);
        assert_eq!(both.await?.communicate(None).await?.stdout, b"out\nerr\n");
        Ok(())
    });
}

#[test]
fn communicate_without_input_closes_standard_input_all_the_same() {
    run(async {
        assert_eq!(cat().await?.communicate(None).await?.stdout, b"");
        assert_eq!(cat().await?.communicate(b"").await?.stdout, b"");
        Ok(())
    });
}

#[test]
fn a_child_that_does_not_read_its_input_is_no_error() {
    run(async {
        let large = vec![b'x'; 1 << 20];
        let mut process = create_subprocess_exec("true", NONE).stdin(PIPE).await?;
        process.communicate(&large).await?;
        assert_eq!(process.returncode(), Some(0));
        // Nor if it ends while it is being fed.
        let mut process = create_subprocess_shell("head -c 100000 >/dev/null").stdin(PIPE).await?;
        process.communicate(&large).await?;
        assert_eq!(process.returncode(), Some(0));
        Ok(())
    });
}

#[test]
fn a_drain_fails_if_the_reader_is_gone() {
    run(async {
        let process = create_subprocess_exec("true", NONE).stdin(PIPE).await?;
        process.wait().await?;
        let stdin = process.stdin.as_ref().unwrap();
        stdin.write(vec![b'x'; 1 << 20]);
        let error = stdin.drain().await.unwrap_err();
        let Error::Io(error) = error else { panic!("{error:?}") };
        let kind = error.kind();
        assert!(
            matches!(kind, io::ErrorKind::BrokenPipe | io::ErrorKind::ConnectionReset),
            "{kind}"
        );
        Ok(())
    });
}

#[test]
fn input_for_what_is_no_pipe_is_a_value_error() {
    run(async {
        let mut process = create_subprocess_exec("true", NONE).await?;
        let error = process.communicate(b"input").await.unwrap_err();
        assert!(matches!(error, Error::Value(_)), "{error:?}");
        process.communicate(None).await?;
        Ok(())
    });
}

/// Has the child write more than its pipes and our buffers take, before it reads anything.
#[test]
fn nothing_deadlocks_on_full_pipes() {
    run(async {
        let command = "head -c 1000000 /dev/zero; head -c 1000000 /dev/zero >&2; cat >/dev/null";
        let spawn = create_subprocess_shell(command).stdin(PIPE).stdout(PIPE).stderr(PIPE);
        let output = spawn.await?.communicate(vec![1; 1_000_000]).await?;
        assert_eq!((output.stdout.len(), output.stderr.len()), (1_000_000, 1_000_000));
        Ok(())
    });
}

#[test]
fn an_interrupted_communicate_goes_on_where_it_stopped() {
    run(async {
        // It echoes a line, waits for a signal, and echoes the rest.
        let command = "trap 'go=1' USR1; head -c 200000; \
                       while [ -z \"$go\" ]; do sleep 0.01; done; cat";
        let mut process = create_subprocess_shell(command).stdin(PIPE).stdout(PIPE).await?;
        let input: Vec<u8> = (0..2_000_000_u32).map(|n| (n % 251) as u8).collect();
        let pid = process.pid();
        let limit = timeout(Duration::from_millis(100));
        let first = limit.with(async |_| process.communicate(&input).await).await;
        assert!(first.unwrap_err().is_timeout());
        // Data is not lost either if no task waits for it.
        process.send_signal(10)?;
        assert!(is_alive(pid));
        let other = process.communicate(b"other").await.unwrap_err();
        assert!(matches!(other, Error::Value(_)), "{other:?}");
        drop(process.communicate(None));
        let output = process.communicate(None).await?;
        assert_eq!(output.stdout.len(), input.len());
        assert!(output.stdout == input);
        assert_eq!(process.returncode(), Some(0));
        Ok(())
    });
}

#[test]
fn a_communicate_that_is_dropped_anywhere_loses_nothing() {
    run(async {
        let input: Vec<u8> = (0..1_000_000_u32).map(|n| (n % 251) as u8).collect();
        let mut process = cat().await?;
        let mut rest = Some(&*input);
        let mut polls = 0;
        let output = loop {
            let mut step = Box::pin(process.communicate(rest.take()));
            // One more poll in each round.
            polls += 1;
            let mut outcome = None;
            for _ in 0..polls {
                outcome = futures_lite::future::poll_once(&mut step).await;
                if outcome.is_some() {
                    break;
                }
                sleep(YIELD).await?;
            }
            if let Some(output) = outcome {
                break output?;
            }
        };
        assert!(polls > 2 && output.stdout == input);
        Ok(())
    });
}

#[test]
fn a_cancelled_communicate_leaves_the_child_alone() {
    run(async {
        let mut process = cat().await?;
        let task = create_task(async move {
            let outcome = process.communicate(b"input").await;
            assert!(outcome.unwrap_err().is_cancelled());
            process.communicate(None).await
        });
        sleep(YIELD).await?;
        task.cancel();
        assert_eq!(task.await?.stdout, b"input");
        Ok(())
    });
}

#[test]
fn output_can_be_read_after_the_process_has_ended() {
    run(async {
        let mut process = create_subprocess_shell("echo one; echo two").stdout(PIPE).await?;
        assert_eq!(process.wait().await?, 0);
        let stdout = process.stdout.as_mut().unwrap();
        assert_eq!(stdout.readline().await?, "one\n");
        assert_eq!(stdout.read_to_end().await?, "two\n");
        Ok(())
    });
}

#[test]
fn a_wait_does_not_wait_for_a_pipe_that_others_have_inherited() {
    run(async {
        let mut process = create_subprocess_shell("sleep 1000 & echo $!").stdout(PIPE).await?;
        assert_eq!(process.wait().await?, 0);
        let line = process.stdout.as_mut().unwrap().readline().await?;
        kill(&line)?;
        // Only now has the pipe come to its end.
        assert_eq!(process.communicate(None).await?.stdout, b"");
        Ok(())
    });
}

#[test]
fn a_child_that_writes_more_than_the_limit_is_held_up() {
    run(async {
        let spawn = create_subprocess_exec("head", ["-c", "10000000", "/dev/zero"]).stdout(PIPE);
        let mut process = spawn.limit(1000).await?;
        // Whatever time it has: it cannot end before it is read.
        for _ in 0..100 {
            sleep(YIELD).await?;
        }
        sleep(Duration::from_millis(20)).await?;
        assert_eq!(process.returncode(), None);
        assert_eq!(process.communicate(None).await?.stdout.len(), 10_000_000);
        Ok(())
    });
}

#[test]
fn a_limit_of_nothing_is_a_value_error_and_starts_nothing() {
    run(async {
        let error = create_subprocess_exec("sleep", ["1000"]).limit(0).await.unwrap_err();
        assert!(matches!(error, Error::Value(_)), "{error:?}");
        Ok(())
    });
}

#[test]
fn a_shell_with_children_is_killed_by_itself() {
    run(async {
        let mut process =
            create_subprocess_shell("sleep 1000 & echo $!; wait").stdout(PIPE).await?;
        let line = process.stdout.as_mut().unwrap().readline().await?;
        process.kill()?;
        assert_eq!(process.wait().await?, -9);
        kill(&line)
    });
}

/// Ends the process whose number the line is.
fn kill(line: &[u8]) -> Result<()> {
    let pid = std::str::from_utf8(line)?.trim().parse()?;
    Ok(nix::sys::signal::kill(nix::unistd::Pid::from_raw(pid), nix::sys::signal::SIGKILL)?)
}

#[test]
fn standard_input_is_not_inherited_by_the_next_child() {
    run(async {
        let mut first = cat().await?;
        let second = create_subprocess_exec("sleep", ["1000"]).await?;
        drop(first.stdin.take());
        // Had the second child the other end, the first would never see the end.
        assert_eq!(first.wait().await?, 0);
        second.kill()?;
        second.wait().await?;
        Ok(())
    });
}

#[test]
fn a_timeout_kills() {
    run(async {
        let mut process = create_subprocess_exec("sleep", ["1000"]).stdout(PIPE).await?;
        let limit = timeout(Duration::from_millis(5));
        let outcome = limit.with(async |_| process.communicate(None).await).await;
        assert!(outcome.unwrap_err().is_timeout());
        process.kill()?;
        assert_eq!(process.wait().await?, -9);
        Ok(())
    });
}

#[test]
fn processes_and_their_futures_can_be_sent() {
    fn is_send<T: Send>(value: T) -> T {
        value
    }
    run(async {
        let mut process =
            is_send(create_subprocess_exec("cat", NONE).stdin(PIPE).stdout(PIPE).into_future())
                .await?;
        drop(is_send(process.wait()));
        drop(is_send(process.kill_tree(Duration::ZERO)));
        is_send(process.communicate(None)).await?;
        is_send(process);
        Ok(())
    });
}

/// Where a task waits that runs `work`: what, and whether it says that it was called here.
async fn site<T: 'static>(work: impl Future<Output = Result<T>> + 'static) -> Result<&'static str> {
    let task = create_task(work);
    sleep(YIELD).await?;
    let site = task.wait_site().expect("it waits");
    assert_eq!(site.location().file(), file!());
    task.cancel();
    assert!(task.await.is_err_and(|error| error.is_cancelled()));
    Ok(site.what())
}

#[test]
fn every_wait_tells_what_was_called_and_where() {
    run(async {
        let spawn = || create_subprocess_exec("sleep", ["1000"]).stdin(PIPE).stdout(PIPE);
        assert_eq!(site(spawn().into_future()).await?, "create_subprocess_exec");
        let mut process = spawn().start_new_session(true).await?;
        assert_eq!(site(process.wait()).await?, "Process.wait");
        assert_eq!(site(process.kill_tree(Duration::MAX)).await?, "Process.kill_tree");
        let reading = async move { process.communicate(&[0; 1_000_000]).await };
        assert_eq!(site(reading).await?, "Process.communicate");
        let with_protocol = subprocess_exec(|| Nothing, "sleep", ["1000"]).into_future();
        assert_eq!(site(with_protocol).await?, "subprocess_exec");
        Ok(())
    });
}

struct Nothing;
impl SubprocessProtocol for Nothing {}
