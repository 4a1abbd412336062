//! Both ways to start a program start the same one, and fail alike.

use super::*;
use crate::arguments::ToArguments;
use crate::system::{self, Id, Wait};
use nix::{
    fcntl::OFlag,
    sys::signal::{
        SaFlags, SigAction, SigHandler, SigSet, SigmaskHow, Signal, pthread_sigmask, raise,
        sigaction,
    },
};
use std::{fs, io::Read, os::unix::fs::PermissionsExt};

type Way = fn(&Program, &ChildStreams, BeforeExec) -> io::Result<u32>;

/// Returns the child's output and status, or the error.
fn outcome(mut program: Box<Program>, way: Way) -> String {
    let (reader, writer) = unistd::pipe2(OFlag::O_CLOEXEC).unwrap();
    let stderr = std::mem::replace(&mut program.stderr, Stdio::Inherit);
    let streams = ChildStreams::open([Stdio::Devnull, Stdio::File(writer), stderr]).unwrap();
    let before = program.before_exec().unwrap();
    let started = way(&program, &streams, before);
    drop((streams, program));
    let mut text = String::new();
    fs::File::from(reader).read_to_string(&mut text).unwrap();
    match started {
        Ok(pid) => {
            let id = Id { pidfd: None, pid };
            system::wait(id, Wait::Block).unwrap();
            let code = system::wait(id, Wait::Reap).unwrap();
            format!("{code:?} {text}")
        }
        Err(error) => format!("{:?} {:?} {text}", error.kind(), error.raw_os_error()),
    }
}

fn program(name: &str, args: &[&str]) -> Box<Program> {
    Program::exec("test", OsStr::new(name), args.to_arguments())
}

fn shell(command: &str) -> Box<Program> {
    Program::shell("test", OsStr::new(command))
}

fn with(mut program: Box<Program>, set: impl FnOnce(&mut Program)) -> Box<Program> {
    set(&mut program);
    program
}

fn env(variables: &[(&str, &str)]) -> Option<BTreeMap<OsString, OsString>> {
    Some(variables.iter().map(|(name, value)| (name.into(), value.into())).collect())
}

/// Creates a directory with a `tool` that prints `text`, with this mode.
fn directory_of_a_tool(name: &str, text: &str, mode: u32) -> PathBuf {
    let directory =
        std::env::temp_dir().join(format!("asyncio-spawn-{}-{name}", std::process::id()));
    fs::create_dir_all(&directory).unwrap();
    let tool = directory.join("tool");
    fs::write(&tool, format!("#!/bin/sh\necho {text}\n")).unwrap();
    fs::set_permissions(&tool, fs::Permissions::from_mode(mode)).unwrap();
    directory
}

/// Runs the program in both ways, and returns the common outcome.
fn both(program: impl Fn() -> Box<Program>) -> String {
    let by_command = outcome(program(), |program, streams, before| {
        command::spawn(program, streams.theirs, before)
    });
    #[cfg(target_os = "linux")]
    {
        let by_vfork = outcome(program(), |program, streams, before| {
            vfork::spawn(program, streams.theirs, &before)
        });
        assert_eq!(by_vfork, by_command);
    }
    by_command
}

#[test]
fn arguments_environment_and_directory() {
    assert_eq!(both(|| program("printf", &["<%s>", "a b", "", "$X"])), "Some(0) <a b><><$X>");
    let set_env = |p: &mut Program| p.env = env(&[("B", "2"), ("A", "1 = 1")]);
    assert_eq!(both(|| with(program("/usr/bin/env", &[]), set_env)), "Some(0) A=1 = 1\nB=2\n");
    assert_eq!(both(|| with(shell("pwd"), |p| p.cwd = Some("/".into()))), "Some(0) /\n");
    let rename = |p: &mut Program| p.executable = Some("sh".into());
    assert_eq!(both(|| with(program("name", &["-c", "echo $0"]), rename)), "Some(0) name\n");
    assert_eq!(both(|| shell("exit 7")), "Some(7) ");
    assert_eq!(both(|| shell("kill -9 $$")), "Some(-9) ");
}

#[test]
fn the_first_file_of_the_path_that_can_be_run() {
    let denied = directory_of_a_tool("denied", "denied", 0o644);
    let first = directory_of_a_tool("first", "first", 0o755);
    let second = directory_of_a_tool("second", "second", 0o755);
    let tool = |directories: &[&PathBuf]| {
        let path = std::env::join_paths(directories).unwrap();
        both(|| with(program("tool", &[]), |p| p.env = env(&[("PATH", path.to_str().unwrap())])))
    };
    let nowhere = PathBuf::from("/nonexistent");
    assert_eq!(tool(&[&nowhere, &denied, &first, &second]), "Some(0) first\n");
    assert_eq!(tool(&[&second, &first]), "Some(0) second\n");
    assert!(tool(&[&nowhere, &denied, &nowhere]).starts_with("PermissionDenied"));
    assert!(tool(&[&nowhere]).starts_with("NotFound"));
    let here = |p: &mut Program| p.cwd = Some(first.clone());
    assert_eq!(both(|| with(program("./tool", &[]), here)), "Some(0) first\n");
    for directory in [denied, first, second] {
        fs::remove_dir_all(directory).unwrap();
    }
}

#[test]
fn streams_descriptors_masks_and_groups() {
    let share = |p: &mut Program| p.stderr = Stdio::Stdout;
    assert_eq!(both(|| with(shell("echo out; echo err >&2"), share)), "Some(0) out\nerr\n");
    assert_eq!(both(|| shell("readlink /proc/self/fd/0")), "Some(0) /dev/null\n");
    let (_reader, writer) = unistd::pipe2(OFlag::O_CLOEXEC).unwrap();
    let count = || shell("ls /proc/self/fd | wc -l");
    let number = |text: String| text.trim_start_matches("Some(0) ").trim().parse::<u32>().unwrap();
    let pass = |p: &mut Program| p.pass_fds = vec![writer.try_clone().unwrap()];
    assert_eq!(number(both(|| with(count(), pass))), number(both(count)) + 1);
    assert_eq!(both(|| with(shell("umask"), |p| p.umask = Some(0o027))), "Some(0) 0027\n");
    // The child's mask is the child's alone.
    let ours = fs::read_to_string("/proc/self/status").unwrap();
    assert!(!ours.contains("Umask:\t0027"));
    let ids = "read -r pid _ _ _ group session _ < /proc/$$/stat;
        echo $((pid == group)) $((pid == session))";
    assert_eq!(both(|| shell(ids)), "Some(0) 0 0\n");
    assert_eq!(both(|| with(shell(ids), |p| p.process_group = Some(0))), "Some(0) 1 0\n");
    assert_eq!(both(|| with(shell(ids), |p| p.start_new_session = true)), "Some(0) 1 1\n");
}

#[test]
fn signals_are_blocked_as_in_the_thread_that_starts_it_and_a_broken_pipe_is_not_ignored() {
    let blocked = SigSet::from_iter([Signal::SIGUSR1, Signal::SIGTERM]);
    let mut before = SigSet::empty();
    pthread_sigmask(SigmaskHow::SIG_BLOCK, Some(&blocked), Some(&mut before)).unwrap();
    // Checks the signals up to 28, because the C library treats those from 32 on differently.
    let mask = |name: &str| {
        let script = format!("s/^Sig{name}:.*\\(.......\\)$/\\1/p");
        let line = both(|| program("sed", &["-n", &script, "/proc/self/status"]));
        u32::from_str_radix(line.trim_start_matches("Some(0) ").trim(), 16).unwrap()
    };
    let (blocked, ignored) = (mask("Blk"), mask("Ign"));
    let mut after = SigSet::empty();
    pthread_sigmask(SigmaskHow::SIG_SETMASK, Some(&before), Some(&mut after)).unwrap();
    let bit = |signal: Signal| 1 << (signal as u32 - 1);
    assert_eq!(blocked, bit(Signal::SIGUSR1) | bit(Signal::SIGTERM));
    assert_eq!(ignored & bit(Signal::SIGPIPE), 0);
    // And this thread's own mask is unchanged.
    assert!(after.contains(Signal::SIGUSR1) && !after.contains(Signal::SIGUSR2));
}

#[test]
fn threads_start_programs_while_signals_arrive() {
    use std::sync::atomic::{AtomicUsize, Ordering};
    static HANDLED: AtomicUsize = AtomicUsize::new(0);
    extern "C" fn handler(_: i32) {
        HANDLED.fetch_add(1, Ordering::Relaxed);
    }
    let action = SigAction::new(SigHandler::Handler(handler), SaFlags::SA_RESTART, SigSet::empty());
    // SAFETY: the handler adds to a number. It stays installed, because a signal may arrive after
    // the end of the test.
    unsafe { sigaction(Signal::SIGUSR2, &action) }.unwrap();
    let start = || {
        for n in 0..50 {
            assert_eq!(both(|| program("printf", &[&n.to_string()])), format!("Some(0) {n}"));
        }
    };
    std::thread::scope(|scope| {
        let threads = [scope.spawn(start), scope.spawn(start), scope.spawn(start)];
        let mut sent = 0;
        while !threads.iter().all(|thread| thread.is_finished()) || sent == 0 {
            raise(Signal::SIGUSR2).unwrap();
            nix::sys::signal::kill(unistd::getpid(), Signal::SIGUSR2).unwrap();
            sent += 1;
        }
        assert!(HANDLED.load(Ordering::Relaxed) >= sent);
    });
}

#[test]
fn what_cannot_be_started_says_why() {
    assert!(both(|| program("/nonexistent/program", &[])).starts_with("NotFound Some(2)"));
    assert!(both(|| program("/", &[])).starts_with("PermissionDenied Some(13)"));
    let text = directory_of_a_tool("text", "text", 0o755);
    fs::write(text.join("tool"), "no program").unwrap();
    let tool = text.join("tool").to_str().unwrap().to_owned();
    let masked = |p: &mut Program| p.umask = Some(0o022);
    let renamed = |p: &mut Program| p.executable = Some(text.join("tool").into());
    // No shell runs a file of a format that the system does not know, however the child is started.
    for attempt in [
        both(|| program(&tool, &[])),
        both(|| with(program(&tool, &[]), masked)),
        both(|| with(program("name", &[]), renamed)),
    ] {
        assert!(attempt.ends_with("Some(8) "), "{attempt}");
    }
    fs::remove_dir_all(text).unwrap();
    let gone = |p: &mut Program| p.cwd = Some("/nonexistent".into());
    assert!(both(|| with(shell("true"), gone)).starts_with("NotFound Some(2)"));
    let strange = |p: &mut Program| p.process_group = Some(-1);
    assert!(both(|| with(shell("true"), strange)).starts_with("InvalidInput Some(22)"));
    for zero in [program("true", &["a\0b"]), program("tr\0ue", &[])] {
        drop(zero.start().map_err(|error| assert!(matches!(error, Error::Value(_)), "{error:?}")));
    }
    let name = |p: &mut Program| p.env = env(&[("A=B", "C")]);
    let error = with(shell("true"), name).start().unwrap_err();
    assert!(error.to_string().contains("illegal environment variable name"), "{error}");
    let zero = |p: &mut Program| p.env = env(&[("A", "B\0")]);
    let error = with(shell("true"), zero).start().unwrap_err();
    assert!(matches!(error, Error::Value(_)), "{error:?}");
}
