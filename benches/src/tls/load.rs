//! The load: rustls, which blocks.

use super::certificate;
use crate::workload::Done;
use std::{
    io::{self, BufRead, BufReader, Read, Write},
    net::{SocketAddr, TcpStream},
    process::{Child, ChildStdin, ChildStdout, Command, Stdio},
    sync::Arc,
};
use tokio_rustls::rustls::{
    ClientConfig, ClientConnection, HandshakeKind, RootCertStore, StreamOwned,
    client::Resumption,
    crypto::ring,
    pki_types::{CertificateDer, ServerName, pem::PemObject},
};

type Stream = StreamOwned<ClientConnection, TcpStream>;

/// The most bytes of a request that are in transit: the size of the system's buffers.
const WINDOW: usize = 128 * 1024;
const PIECE: usize = 16 * 1024;

/// The number of requests of a measurement, and of handshakes.
const REQUESTS: usize = 10_000;
const HANDSHAKES: usize = 200;

/// The argument with which a process is told to keep idle connections.
pub(crate) const KEEP_IDLE: &str = "--keep-idle";

fn config(resumes: bool) -> io::Result<Arc<ClientConfig>> {
    let mut roots = RootCertStore::empty();
    let pem = certificate();
    let trusted = CertificateDer::from_pem_slice(pem.as_bytes()).map_err(io::Error::other)?;
    roots.add(trusted).map_err(io::Error::other)?;
    let mut config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(io::Error::other)?
        .with_root_certificates(roots)
        .with_no_client_auth();
    if !resumes {
        config.resumption = Resumption::disabled();
    }
    Ok(Arc::new(config))
}

fn connect(address: SocketAddr, config: &Arc<ClientConfig>) -> io::Result<Stream> {
    let name = ServerName::try_from("localhost").map_err(io::Error::other)?;
    let connection = ClientConnection::new(config.clone(), name).map_err(io::Error::other)?;
    let stream = TcpStream::connect(address)?;
    stream.set_nodelay(true)?;
    Ok(StreamOwned::new(connection, stream))
}

/// Sends a request, and reads the answer.
fn request(stream: &mut Stream, request: &[u8], answer: &mut [u8]) -> io::Result<()> {
    let (mut sent, mut received) = (0, 0);
    while received < request.len() {
        while sent < request.len() && sent - received < WINDOW {
            let end = request.len().min(sent + PIECE);
            stream.write_all(&request[sent..end])?;
            sent = end;
        }
        let end = request.len().min(received + PIECE);
        stream.read_exact(&mut answer[received..end])?;
        received = end;
    }
    match answer == request {
        true => Ok(()),
        false => Err(io::Error::other("the server does not echo")),
    }
}

/// Requests of `size` bytes, and how much more `used` tells at their end.
pub(super) fn echo(
    address: SocketAddr,
    connections: usize,
    size: usize,
    mut used: impl FnMut() -> io::Result<u64>,
) -> io::Result<Done> {
    let config = config(true)?;
    let rounds = (REQUESTS / connections / (1 + size / 65536)).max(20);
    let mut open = Vec::new();
    for _ in 0..connections {
        open.push(connect(address, &config)?);
    }
    let data: Vec<u8> = (0..size).map(|byte| byte as u8).collect();
    let mut answer = vec![0; size];
    let mut round = |rounds: usize| {
        for _ in 0..rounds {
            if size > PIECE {
                open.iter_mut().try_for_each(|stream| request(stream, &data, &mut answer))?;
                continue;
            }
            // All at once: a batch for the server.
            open.iter_mut().try_for_each(|stream| stream.write_all(&data))?;
            open.iter_mut().try_for_each(|stream| stream.read_exact(&mut answer))?;
        }
        io::Result::Ok(())
    };
    round(rounds.div_ceil(4))?;
    let before = used()?;
    round(rounds)?;
    let more = used()?.saturating_sub(before);
    Ok(Done::said(rounds * connections, more as f64))
}

/// Connections that are opened, have one answer, and are closed in order.
pub(super) fn handshakes(
    address: SocketAddr,
    resumed: bool,
    mut used: impl FnMut() -> io::Result<u64>,
) -> io::Result<Done> {
    let config = config(resumed)?;
    let round = |count: usize, expected: Option<HandshakeKind>| {
        for _ in 0..count {
            let mut stream = connect(address, &config)?;
            request(&mut stream, b"x", &mut [0; 1])?;
            if expected.is_some() && stream.conn.handshake_kind() != expected {
                return Err(io::Error::other("another kind of handshake was expected"));
            }
            stream.conn.send_close_notify();
            stream.flush()?;
            stream.read_to_end(&mut Vec::new())?;
        }
        Ok(())
    };
    round(HANDSHAKES / 4, None)?;
    let kind = if resumed { HandshakeKind::Resumed } else { HandshakeKind::Full };
    let before = used()?;
    round(HANDSHAKES, Some(kind))?;
    let more = used()?.saturating_sub(before);
    Ok(Done::said(HANDSHAKES, more as f64))
}

/// A process that keeps connections which had an answer.
pub(super) struct Idle {
    process: Child,
    commands: ChildStdin,
    answers: BufReader<ChildStdout>,
}

impl Idle {
    pub(super) fn start(address: SocketAddr) -> io::Result<Idle> {
        let mut command = Command::new(std::env::current_exe()?);
        command.args([KEEP_IDLE, &address.to_string()]).env(super::CERTIFICATE, certificate());
        let mut process = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
        let pipe = || io::Error::other("a pipe");
        let commands = process.stdin.take().ok_or_else(pipe)?;
        let answers = BufReader::new(process.stdout.take().ok_or_else(pipe)?);
        Ok(Idle { process, commands, answers })
    }

    /// Opens so many more.
    pub(super) fn open(&mut self, count: usize) -> io::Result<()> {
        writeln!(self.commands, "{count}")?;
        let mut line = String::new();
        self.answers.read_line(&mut line)?;
        match line.trim() == count.to_string() {
            true => Ok(()),
            false => Err(io::Error::other("the load has ended")),
        }
    }
}

impl Drop for Idle {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// The main function of that process: opens as many connections as each line of its input says, and repeats the line.
pub(crate) fn keep_idle(address: &str) -> io::Result<()> {
    let address = address.parse().map_err(io::Error::other)?;
    let (config, mut open) = (config(false)?, Vec::new());
    for line in io::stdin().lines() {
        let count: usize = line?.trim().parse().map_err(io::Error::other)?;
        for _ in 0..count {
            let mut stream = connect(address, &config)?;
            request(&mut stream, b"hello", &mut [0; 5])?;
            open.push(stream);
        }
        println!("{count}");
    }
    Ok(())
}
