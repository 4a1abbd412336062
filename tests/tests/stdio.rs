//! Standard streams of programs that are started with files, pipes, sockets and terminals.

use nix::{
    fcntl::{FcntlArg, OFlag, fcntl},
    pty::openpty,
    unistd::pipe2,
};
use std::{
    fs::File,
    io::{Read, Seek, Write},
    os::{
        fd::{AsFd, OwnedFd},
        unix::net::UnixStream,
    },
    process::{Child, Command, Stdio},
    thread,
};

const TEXT: &str = "one\ntwo\nthree";
const ANSWER: &str = "ONE\nTWO\nTHREE";

fn program(what: &str) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_stdio"));
    command.arg(what).stderr(Stdio::piped());
    command
}

/// The flags of an open file; all holders of the file share them.
fn flags(fd: &impl AsFd) -> OFlag {
    OFlag::from_bits_retain(fcntl(fd, FcntlArg::F_GETFL).unwrap())
}

/// Waits until it ends, which must be successful, and returns its standard error.
fn ended(child: Child) -> String {
    let output = child.wait_with_output().unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(output.status.success(), "{said}");
    said
}

/// A file without a name that holds `text`.
fn file(text: &str) -> File {
    static MADE: std::sync::atomic::AtomicUsize = std::sync::atomic::AtomicUsize::new(0);
    let number = MADE.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
    let name = format!("asyncio-stdio-{}-{number}", std::process::id());
    let path = std::env::temp_dir().join(name);
    let mut file = File::options().read(true).write(true).create_new(true).open(&path).unwrap();
    std::fs::remove_file(path).unwrap();
    file.write_all(text.as_bytes()).unwrap();
    file.rewind().unwrap();
    file
}

/// The ends of a pair: ours, and the program's.
type Pair = (File, OwnedFd);

fn socket() -> Pair {
    let (ours, theirs) = UnixStream::pair().unwrap();
    (File::from(OwnedFd::from(ours)), theirs.into())
}

fn pipe_to_it() -> Pair {
    let (reader, writer) = pipe2(OFlag::O_CLOEXEC).unwrap();
    (writer.into(), reader)
}

fn pipe_from_it() -> Pair {
    let (reader, writer) = pipe2(OFlag::O_CLOEXEC).unwrap();
    (reader.into(), writer)
}

#[test]
fn pipes_and_sockets_are_read_and_written_and_block_again() {
    for (input, output) in [(pipe_to_it(), socket()), (socket(), pipe_from_it())] {
        let ((mut to, its_input), (mut from, its_output)) = (input, output);
        let copies = [its_input.try_clone().unwrap(), its_output.try_clone().unwrap()];
        let before = copies.each_ref().map(flags);
        let child = program("echo").stdin(its_input).stdout(its_output).spawn().unwrap();
        to.write_all(TEXT.as_bytes()).unwrap();
        drop(to);
        let mut answer = vec![0; ANSWER.len()];
        from.read_exact(&mut answer).unwrap();
        assert_eq!(answer, ANSWER.as_bytes());
        assert_eq!(ended(child), "3 lines\n");
        assert_eq!(copies.each_ref().map(flags), before);
    }
}

#[test]
fn files_are_read_and_written() {
    let long = "x".repeat(300_000) + "\n";
    let text = long.repeat(5) + TEXT;
    let (input, mut output) = (file(&text), file(""));
    let copies = [input.try_clone().unwrap(), output.try_clone().unwrap()];
    let before = copies.each_ref().map(flags);
    let child = program("echo").stdin(input).stdout(copies[1].try_clone().unwrap()).spawn();
    assert_eq!(ended(child.unwrap()), "8 lines\n");
    output.rewind().unwrap();
    let mut written = String::new();
    output.read_to_string(&mut written).unwrap();
    assert!(written == text.to_ascii_uppercase());
    assert_eq!(copies.each_ref().map(flags), before);
}

#[test]
fn the_null_device_is_at_its_end_and_takes_everything() {
    let child = program("echo").stdin(Stdio::null()).stdout(Stdio::null()).spawn().unwrap();
    assert_eq!(ended(child), "0 lines\n");
    let child = program("echo").stdin(file(TEXT)).stdout(Stdio::null()).spawn().unwrap();
    assert_eq!(ended(child), "3 lines\n");
}

#[test]
fn a_full_disk_is_an_error_of_drain() {
    let full = File::options().write(true).open("/dev/full").unwrap();
    let child = program("flood").stdin(Stdio::null()).stdout(full).spawn().unwrap();
    assert_eq!(ended(child), "it failed: StorageFull");
}

#[test]
fn a_terminal_is_read_by_lines_and_blocks_again() {
    let terminal = openpty(None, None).unwrap();
    let (mut master, slave) = (File::from(terminal.master), terminal.slave);
    let before = flags(&slave);
    let copy = || slave.try_clone().unwrap();
    let child = program("echo").stdin(copy()).stdout(copy()).spawn().unwrap();
    // Control-D at the beginning of a line is the end.
    master.write_all(b"one\ntwo\n\x04").unwrap();
    let mut shown = String::new();
    while !(shown.contains("ONE\r\n") && shown.contains("TWO\r\n")) {
        let mut part = [0; 100];
        let length = master.read(&mut part).unwrap();
        shown += std::str::from_utf8(&part[..length]).unwrap();
    }
    assert_eq!(ended(child), "2 lines\n");
    assert_eq!(flags(&slave), before);
}

#[test]
fn blocking_mode_comes_back_however_the_process_ends() {
    for what in ["panic", "exit"] {
        let terminal = openpty(None, None).unwrap();
        let (_to, its_input) = pipe_to_it();
        let (kept, before) = (its_input.try_clone().unwrap(), flags(&its_input));
        let copy = terminal.slave.try_clone().unwrap();
        let child = program(what).stdin(its_input).stdout(copy).spawn().unwrap();
        assert!(!child.wait_with_output().unwrap().status.success());
        assert_eq!(flags(&kept), before, "{what}");
        assert!(!flags(&terminal.slave).contains(OFlag::O_NONBLOCK), "{what}");
    }
}

#[test]
fn a_read_that_is_cancelled_loses_no_byte() {
    for (mut to, its_input) in [pipe_to_it(), socket()] {
        let (mut from, its_output) = pipe_from_it();
        let child = program("cancel").stdin(its_input).stdout(its_output).spawn().unwrap();
        let mut said = [0; 10];
        from.read_exact(&mut said).unwrap();
        assert_eq!(&said, b"cancelled\n");
        to.write_all(b"lo").unwrap();
        to.write_all(b"st\n and found\n").unwrap();
        let mut rest = String::new();
        from.read_to_string(&mut rest).unwrap();
        assert_eq!(rest, "lost and found\n");
        ended(child);
    }
}

#[test]
fn input_asks_line_by_line_and_says_that_there_is_no_more() {
    let expected = "> \"one\"\n> \"two\"\n> \"three\"\n> input: EOF when reading a line\n";
    let (mut to, its_input) = pipe_to_it();
    to.write_all(TEXT.as_bytes()).unwrap();
    drop(to);
    for its_input in [its_input, file(TEXT).into()] {
        let mut child = program("inputs").stdin(its_input).stdout(Stdio::piped()).spawn().unwrap();
        let mut said = String::new();
        child.stdout.take().unwrap().read_to_string(&mut said).unwrap();
        assert_eq!(said, expected);
        ended(child);
    }
}

#[test]
fn an_output_that_nothing_reads_is_an_error_of_drain() {
    for (from, its_output) in [pipe_from_it(), socket()] {
        let child = program("flood").stdin(Stdio::null()).stdout(its_output).spawn().unwrap();
        let closing = thread::spawn(move || {
            let mut from = from;
            from.read_exact(&mut [0; 1000]).unwrap();
        });
        let said = ended(child);
        let expected = ["it failed: BrokenPipe", "it failed: ConnectionReset"];
        assert!(expected.contains(&&*said), "{said}");
        closing.join().unwrap();
    }
}
