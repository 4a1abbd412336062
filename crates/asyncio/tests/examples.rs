//! Runs the examples as processes, with independent clients where there are any.

use std::{
    io::{BufRead, BufReader, Read, Write},
    net::{TcpListener, TcpStream, UdpSocket},
    path::PathBuf,
    process::{Child, Command, Stdio},
    time::Duration,
};

/// A command for an example, from the directory into which cargo builds examples with the tests.
fn example(name: &str) -> Command {
    let mut directory: PathBuf = std::env::current_exe().unwrap();
    directory.pop();
    directory.pop();
    Command::new(directory.join("examples").join(name))
}

/// A server that is killed when dropped.
struct Server {
    process: Child,
    address: String,
}

impl Server {
    /// Starts an example; its first line of output holds the address.
    fn start(name: &str, arguments: &[&str]) -> Server {
        let mut command = example(name);
        let process = command.args(arguments).stdout(Stdio::piped()).spawn();
        let mut process = process.expect("the examples are built: `cargo build --examples`");
        let mut line = String::new();
        let mut output = BufReader::new(process.stdout.take().unwrap());
        output.read_line(&mut line).unwrap();
        std::thread::spawn(move || output.read_to_string(&mut String::new()));
        let is_address = |word: &&str| word.contains("127.0.0.1");
        let address = line.split_whitespace().find(is_address).unwrap();
        let address = address.trim_start_matches("http://").trim_end_matches("/metrics").to_owned();
        Server { process, address }
    }

    fn connect(&self) -> TcpStream {
        let stream = TcpStream::connect(&self.address).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
        stream
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn read(mut stream: &TcpStream, length: usize) -> String {
    let mut bytes = vec![0; length];
    stream.read_exact(&mut bytes).unwrap();
    String::from_utf8(bytes).unwrap()
}

fn output(command: &mut Command) -> String {
    let output = command.output().unwrap();
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout).unwrap()
}

/// Whether the process was started with `SIGINT` ignored, as by a shell in the background.
fn ignores_ctrl_c(id: &str) -> bool {
    let status = std::fs::read_to_string(format!("/proc/{id}/status")).unwrap_or_default();
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    let mask = mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok());
    mask.is_some_and(|mask| mask & 0b10 != 0)
}

const ANYWHERE: &str = "127.0.0.1:0";

#[test]
fn the_echo_server_echoes_and_ends_at_ctrl_c() {
    let mut server = Server::start("echo_server", &[ANYWHERE]);
    let mut client = server.connect();
    client.write_all(b"hello").unwrap();
    assert_eq!(read(&client, 5), "hello");
    drop(client);
    let id = server.process.id().to_string();
    if ignores_ctrl_c(&id) {
        println!("SKIPPED: Ctrl-C: the tests run with SIGINT ignored, and so does the server");
        return;
    }
    assert!(Command::new("kill").args(["-INT", &id]).status().unwrap().success());
    assert!(!server.process.wait().unwrap().success());
}

#[test]
fn the_metrics_of_a_loop_are_there_for_prometheus() {
    let server = Server::start("prometheus", &[ANYWHERE]);
    let mut client = server.connect();
    client.write_all(b"GET /metrics HTTP/1.0\r\n\r\n").unwrap();
    let mut answer = String::new();
    client.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.0 200 OK\r\n"), "{answer}");
    for line in ["asyncio_iterations_total ", "asyncio_tasks 1\n", "_bucket{le=\"+Inf\"} "] {
        assert!(answer.contains(line), "{line}: {answer}");
    }
}

#[test]
fn the_chat_server_passes_on_what_one_says() {
    let server = Server::start("chat_server", &[ANYWHERE]);
    let (mut ann, mut bob) = (server.connect(), server.connect());
    ann.write_all(b"ann\n").unwrap();
    assert_eq!(read(&ann, 11), "Your name? ");
    // A name that is taken shows that she is in.
    bob.write_all(b"ann\n").unwrap();
    assert_eq!(read(&bob, 11 + 29 + 11), "Your name? That name is taken, or none.\nYour name? ");
    bob.write_all(b"bob\nhello\n").unwrap();
    assert_eq!(read(&ann, 26), "* bob has come\nbob: hello\n");
    drop(bob);
    assert_eq!(read(&ann, 15), "* bob has left\n");
}

#[test]
fn the_port_forwarder_leads_to_the_http_server() {
    let server = Server::start("http_server", &[ANYWHERE]);
    let forwarder = Server::start("port_forwarder", &[ANYWHERE, &server.address]);
    let url = format!("http://{}/page", forwarder.address);
    let said = output(example("http_client").arg(&url));
    assert!(said.starts_with("HTTP/1.1 200 OK\n"), "{said}");
    match Command::new("curl").args(["-s", "-d", "abc", &url, &url]).output() {
        Ok(output) => {
            let line = |n| format!("POST /page with 3 bytes, from visitor {n}\n");
            assert_eq!(String::from_utf8_lossy(&output.stdout), line(2) + &line(2), "kept alive");
        }
        Err(error) => println!("SKIPPED: curl: {error}"),
    }
}

#[test]
fn hyper_serves_and_asks() {
    let server = Server::start("hyper_server", &[ANYWHERE]);
    let said = output(example("hyper_client").args([&server.address, "/path"]));
    assert!(said.ends_with("GET /path: request 1\n\n"), "{said}");
    match Command::new("curl").args(["-s", &format!("http://{}/", server.address)]).output() {
        Ok(output) => assert_eq!(output.stdout, b"GET /: request 2\n"),
        Err(error) => println!("SKIPPED: curl: {error}"),
    }
}

#[test]
fn the_port_scanner_finds_what_listens() {
    let listener = TcpListener::bind(ANYWHERE).unwrap();
    let port = listener.local_addr().unwrap().port().to_string();
    let said = output(example("port_scanner").args(["127.0.0.1", &port, &port]));
    assert_eq!(said, format!("{port} is open\n"));
}

#[test]
fn the_downloader_tries_again_and_tells_lengths() {
    let server = Server::start("http_server", &[ANYWHERE]);
    let said = output(example("downloader").args([&*server.address, "/a", "/b"]));
    let lines: Vec<_> = said.lines().collect();
    assert!(
        matches!(lines[..], [a, b] if a.starts_with("/a: ") && b.starts_with("/b: ")),
        "{said}"
    );
}

#[test]
fn the_log_tailer_prints_errors_and_counts_them() {
    let path = std::env::temp_dir().join(format!("asyncio-log-tailer-{}", std::process::id()));
    std::fs::write(&path, "fine\nERROR: disk full\nfine\n").unwrap();
    let mut tailer = example("log_tailer").arg(&path).stdout(Stdio::piped()).spawn().unwrap();
    let mut output = BufReader::new(tailer.stdout.take().unwrap());
    let mut said = String::new();
    output.read_line(&mut said).unwrap();
    std::fs::remove_file(&path).unwrap();
    assert_eq!(said, "ERROR: disk full\n");
    let interrupt = Command::new("kill").args(["-INT", &tailer.id().to_string()]).status();
    assert!(interrupt.unwrap().success());
    output.read_to_string(&mut said).unwrap();
    assert!(said.ends_with("1 errors\n"), "{said}");
    assert!(tailer.wait().unwrap().success());
}

#[test]
fn the_job_scheduler_runs_jobs_until_it_is_told_to_stop() {
    let jobs = ["0.01", "true", "1000", "false"];
    let mut scheduler = example("job_scheduler").args(jobs).stdout(Stdio::piped()).spawn().unwrap();
    let mut output = BufReader::new(scheduler.stdout.take().unwrap());
    let mut said = String::new();
    while !said.contains("given up: false: exit status 1\n") {
        assert_ne!(output.read_line(&mut said).unwrap(), 0, "{said}");
    }
    assert!(said.matches("done: true\n").count() > 1, "{said}");
    assert!(Command::new("kill").arg(scheduler.id().to_string()).status().unwrap().success());
    output.read_to_string(&mut said).unwrap();
    assert!(said.ends_with("stopped\n"), "{said}");
    assert!(scheduler.wait().unwrap().success());
}

#[test]
fn the_store_over_udp_keeps_what_it_is_told() {
    let server = Server::start("udp_store", &["127.0.0.1", "0"]);
    let socket = UdpSocket::bind(ANYWHERE).unwrap();
    socket.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
    socket.connect(&server.address).unwrap();
    for (request, answer) in [("SET a 1", "OK\n"), ("GET a", "1\n"), ("GET b", "?\n")] {
        socket.send(request.as_bytes()).unwrap();
        let mut buffer = [0; 100];
        let length = socket.recv(&mut buffer).unwrap();
        assert_eq!(&buffer[..length], answer.as_bytes());
    }
}
