//! What a process can be started with, and what happens when it cannot be started.

mod common;

use asyncio_core::{Error, Result};
use asyncio_subprocess::{
    DEVNULL, STDOUT, Spawn, Streams, create_subprocess_exec, create_subprocess_shell,
};
use common::run;
use nix::unistd;
use std::{
    fs::File,
    io::{self, Read},
    os::{
        fd::{AsRawFd, OwnedFd},
        unix::fs::PermissionsExt,
    },
};

/// What the process writes to standard output, which is a pipe of the test.
async fn output(spawn: Spawn<Streams>) -> Result<String> {
    let (reader, writer) = unistd::pipe2(nix::fcntl::OFlag::O_CLOEXEC)?;
    assert_eq!(spawn.stdout(writer).await?.wait().await?, 0);
    let mut text = String::new();
    File::from(reader).read_to_string(&mut text)?;
    Ok(text.trim().to_owned())
}

fn shell(command: &str) -> Spawn<Streams> {
    create_subprocess_shell(command)
}

#[test]
fn arguments_arrive_as_they_are() {
    run(async {
        let echo = create_subprocess_exec("printf", ["<%s>", "a b", "*", "", "$HOME"]);
        assert_eq!(output(echo).await?, "<a b><*><><$HOME>");
        Ok(())
    });
}

#[test]
fn the_environment_is_the_one_given_and_no_other() {
    run(async {
        let env = create_subprocess_exec("/usr/bin/env", ()).env([("ONE", "1"), ("TWO", "2")]);
        assert_eq!(output(env).await?, "ONE=1\nTWO=2");
        let none: [(&str, &str); 0] = [];
        let env = create_subprocess_exec("/usr/bin/env", ()).env(none);
        assert_eq!(output(env).await?, "");
        let more = std::env::vars_os().chain([("ONE".into(), "1".into())]);
        assert_eq!(output(shell("echo $ONE${PATH:+p}").env(more)).await?, "1p");
        Ok(())
    });
}

#[test]
fn the_program_is_looked_for_in_the_path_of_the_child() {
    run(async {
        let lost = create_subprocess_exec("true", ()).env([("PATH", "/nonexistent")]).await;
        assert_eq!(kind(lost), io::ErrorKind::NotFound);
        Ok(())
    });
}

#[test]
fn the_working_directory_is_the_one_given() {
    run(async {
        assert_eq!(output(shell("pwd").cwd("/")).await?, "/");
        Ok(())
    });
}

#[test]
fn an_executable_runs_under_another_name() {
    run(async {
        let named = create_subprocess_exec("a-name", ["-c", "echo $0"]).executable("/bin/sh");
        assert_eq!(output(named).await?, "a-name");
        assert_eq!(output(shell("echo ok").executable("/bin/sh")).await?, "ok");
        Ok(())
    });
}

#[test]
fn errors_may_go_where_the_output_goes() {
    run(async {
        let both = shell("echo out; echo err >&2").stderr(STDOUT);
        assert_eq!(output(both).await?, "out\nerr");
        let process = shell("echo err >&2").stdout(DEVNULL).stderr(STDOUT).await?;
        assert_eq!(process.wait().await?, 0);
        // To this process's output, which this test does not see.
        assert_eq!(shell("true").stderr(STDOUT).await?.wait().await?, 0);
        Ok(())
    });
}

#[test]
fn standard_output_of_the_output_is_a_value_error() {
    run(async {
        for spawn in [shell("true").stdout(STDOUT), shell("true").stdin(STDOUT)] {
            let error = spawn.await.unwrap_err();
            assert!(matches!(&error, Error::Value(_)), "{error:?}");
            assert!(error.to_string().contains("STDOUT can only be used for stderr"), "{error}");
        }
        Ok(())
    });
}

#[test]
fn devnull_is_empty_and_takes_everything() {
    run(async {
        let empty = shell("cat; echo end").stdin(DEVNULL);
        assert_eq!(output(empty).await?, "end");
        assert_eq!(shell("echo lost").stdout(DEVNULL).await?.wait().await?, 0);
        Ok(())
    });
}

#[test]
fn descriptors_are_passed_on_only_if_told_so() {
    run(async {
        let (reader, writer) = unistd::pipe2(nix::fcntl::OFlag::O_CLOEXEC)?;
        let number = writer.as_raw_fd();
        let command = format!("test -e /proc/self/fd/{number}");
        assert_eq!(shell(&command).await?.wait().await?, 1);
        let command = format!("{command} && echo passed >/proc/self/fd/{number}");
        assert_eq!(shell(&command).pass_fds([writer]).await?.wait().await?, 0);
        // No process has the other end any more, so this ends.
        let mut text = String::new();
        File::from(reader).read_to_string(&mut text)?;
        assert_eq!(text, "passed\n");
        Ok(())
    });
}

/// A descriptor that programs inherit, as C code leaves it.
fn leak() -> Result<OwnedFd> {
    let (reader, _) = unistd::pipe()?;
    Ok(reader)
}

/// Whether the child has a descriptor, for every way in which it can be started.
async fn has(
    fd: &OwnedFd,
    options: impl Fn(Spawn<Streams>) -> Spawn<Streams>,
) -> Result<Vec<bool>> {
    let command = format!("test -e /proc/self/fd/{}", fd.as_raw_fd());
    let start = || options(shell(&command));
    let mut starts = vec![start(), start().start_new_session(true)];
    if unistd::getuid().is_root() {
        starts.push(start().user(0));
    }
    let mut outcomes = Vec::new();
    for start in starts {
        outcomes.push(start.await?.wait().await? == 0);
    }
    Ok(outcomes)
}

#[test]
fn a_child_inherits_no_descriptor_unless_it_is_to() {
    run(async {
        let (leaked, passed) = (leak()?, leak()?);
        let no = has(&leaked, |spawn| spawn).await?;
        assert!(no.iter().all(|has| !has), "{no:?}");
        let yes = has(&leaked, |spawn| spawn.close_fds(false)).await?;
        assert!(yes.iter().all(|has| *has), "{yes:?}");
        // Beside descriptors that are passed on the others are closed, whatever was asked.
        let pass = |spawn: Spawn<Streams>| spawn.pass_fds([passed.try_clone().unwrap()]);
        let no = has(&leaked, |spawn| pass(spawn).close_fds(false)).await?;
        assert!(no.iter().all(|has| !has), "{no:?}");
        // The standard streams stay.
        assert_eq!(output(shell("echo out; ls /proc/self/fd >&2")).await?, "out");
        Ok(())
    });
}

#[test]
fn sessions_groups_and_masks() {
    run(async {
        // Process, group and session, as `ps` would show them.
        let ids = |text: String| -> Vec<i32> {
            text.split(' ').map(|number| number.parse().unwrap()).collect()
        };
        let command = "read -r _ _ _ _ group session _ < /proc/$$/stat; echo $$ $group $session";
        let ours = unistd::getsid(None)?.as_raw();
        let own = ids(output(shell(command).start_new_session(true)).await?);
        assert_eq!((own[1], own[2]), (own[0], own[0]));
        let group = ids(output(shell(command).process_group(0)).await?);
        assert_eq!((group[1], group[2]), (group[0], ours));
        let same = ids(output(shell(command)).await?);
        assert_eq!((same[1], same[2]), (unistd::getpgrp().as_raw(), ours));
        assert_eq!(output(shell("umask").umask(0o027)).await?, "0027");
        Ok(())
    });
}

#[test]
fn users_and_groups() {
    if !unistd::getuid().is_root() {
        // Other users may not become another user.
        return run(async {
            let refused = shell("true").user(0).await;
            assert_eq!(kind(refused), io::ErrorKind::PermissionDenied);
            Ok(())
        });
    }
    run(async {
        let id = |options: fn(Spawn<Streams>) -> Spawn<Streams>| {
            let spawn = create_subprocess_shell("echo $(id -u) $(id -g) $(id -G)");
            output(options(spawn.cwd("/")))
        };
        let by_number = id(|s| s.user(65534).group(65533).extra_groups([1, 2])).await?;
        assert_eq!(by_number, "65534 65533 65533 1 2");
        let nobody = unistd::User::from_name("nobody")?.unwrap();
        let by_name = id(|s| s.user("nobody").extra_groups([0; 0])).await?;
        assert_eq!(by_name.split(' ').next(), Some(&*nobody.uid.to_string()));
        Ok(())
    });
}

#[test]
fn a_script_that_names_no_interpreter_is_no_program_for_any_user() {
    let script = std::env::temp_dir().join(format!("asyncio-script-{}", std::process::id()));
    std::fs::write(&script, "echo ran\n").unwrap();
    std::fs::set_permissions(&script, std::fs::Permissions::from_mode(0o755)).unwrap();
    let path = script.clone();
    run(async move {
        const ENOEXEC: i32 = 8;
        let start = || create_subprocess_exec(&path, ());
        let mut starts = vec![start(), start().umask(0o022)];
        if unistd::getuid().is_root() {
            starts.push(start().user(0));
            starts.push(start().group(0));
        }
        for start in starts {
            let error = start.await.unwrap_err();
            let cause = error.downcast_ref::<io::Error>().and_then(|e| e.get_ref()?.source());
            let cause = cause.and_then(|cause| cause.downcast_ref::<io::Error>());
            assert_eq!(cause.and_then(io::Error::raw_os_error), Some(ENOEXEC), "{error:?}");
        }
        Ok(())
    });
    std::fs::remove_file(script).unwrap();
}

#[test]
fn an_unknown_name_of_a_user_is_a_value_error() {
    run(async {
        let nobody = "nobody of this name";
        let spawns = [
            shell("true").user(nobody),
            shell("true").group(nobody),
            shell("true").extra_groups([nobody]),
        ];
        for spawn in spawns {
            let error = spawn.await.unwrap_err();
            assert!(matches!(error, Error::Value(_)), "{error:?}");
        }
        Ok(())
    });
}

fn kind<T: std::fmt::Debug>(outcome: Result<T>) -> io::ErrorKind {
    match outcome {
        Err(Error::Io(error)) => error.kind(),
        other => panic!("{other:?}"),
    }
}

#[test]
fn an_error_names_the_function_and_what_is_missing() {
    run(async {
        let error = create_subprocess_exec("/no/such/program", ()).await.unwrap_err();
        let text = error.to_string();
        assert!(text.contains("create_subprocess_exec"), "{text}");
        assert!(text.contains("/no/such/program"), "{text}");
        let gone = std::env::temp_dir().join(format!("asyncio-gone-{}", std::process::id()));
        std::fs::create_dir(&gone)?;
        let spawn = shell("true").cwd(&gone);
        std::fs::remove_dir(&gone)?;
        let text = spawn.await.unwrap_err().to_string();
        assert!(text.contains("create_subprocess_shell"), "{text}");
        assert!(text.contains(gone.to_str().unwrap()), "{text}");
        Ok(())
    });
}
