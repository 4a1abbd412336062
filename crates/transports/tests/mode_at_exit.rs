//! A process that exits while a transport is open restores the mode of its standard streams.

use asyncio_transports::{Protocol, Transport, connect_read_pipe};
use nix::fcntl::{FcntlArg, OFlag, fcntl};
use std::{
    io::{Read, Write},
    os::{
        fd::{AsFd, OwnedFd},
        unix::net::UnixStream,
    },
    process::{Command, Stdio},
};

/// Set for the process that the test starts.
const IS_PROGRAM: &str = "ASYNCIO_TEST_IS_PROGRAM";

struct Idle;

impl Protocol for Idle {
    fn data_received(&mut self, _: &Transport, _: bytes::Bytes) {}
}

/// Reads its standard input, and exits while it does.
fn program() {
    asyncio_loop::run(async {
        let input = std::io::stdin().as_fd().try_clone_to_owned()?;
        let _transport = connect_read_pipe(|| Idle, input).await?;
        std::io::stdout().write_all(b"reading\n")?;
        // Waits until the test has checked the mode.
        let mut go_on = [0];
        std::io::stderr()
            .as_fd()
            .try_clone_to_owned()
            .map(UnixStream::from)?
            .read_exact(&mut go_on)?;
        std::process::exit(0)
    })
    .unwrap()
}

fn is_nonblocking(fd: &impl AsFd) -> bool {
    OFlag::from_bits_retain(fcntl(fd, FcntlArg::F_GETFL).unwrap()).contains(OFlag::O_NONBLOCK)
}

#[test]
fn standard_input_blocks_again_when_the_process_has_ended() {
    if std::env::var_os(IS_PROGRAM).is_some() {
        return program();
    }
    let (input, _other_end) = UnixStream::pair().unwrap();
    let (mut signal, its_signal) = UnixStream::pair().unwrap();
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "standard_input_blocks_again_when_the_process_has_ended", "--nocapture"])
        .env(IS_PROGRAM, "1")
        .stdin(OwnedFd::from(input.try_clone().unwrap()))
        .stdout(Stdio::piped())
        .stderr(OwnedFd::from(its_signal))
        .spawn()
        .unwrap();
    let mut output = Vec::new();
    let mut byte = [0];
    let mut stdout = child.stdout.take().unwrap();
    while !output.ends_with(b"reading\n") {
        assert_eq!(stdout.read(&mut byte).unwrap(), 1, "{}", output.escape_ascii());
        output.push(byte[0]);
    }
    assert!(is_nonblocking(&input));
    signal.write_all(b"!").unwrap();
    assert!(child.wait().unwrap().success());
    assert!(!is_nonblocking(&input));
}
