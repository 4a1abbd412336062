//! TLS with peers that are not ours: CPython's `ssl`, OpenSSL, curl, tokio-rustls.
#![cfg(feature = "tls")]

use asyncio::{
    AsyncContextManager, Error, ExtraInfo, Result, Server, StreamReader, StreamWriter,
    open_connection,
    ssl::{Purpose, SSL_OBJECT, SslContext, TlsVersion, VerifyMode, create_default_context},
    start_server, subprocess, to_thread, wait_for,
};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair};
use std::{
    cell::Cell,
    fs,
    io::{BufRead, BufReader},
    path::PathBuf,
    process::{Command, Stdio},
    rc::Rc,
    time::Duration,
};

/// A directory with an authority (`ca.pem`), and with a certificate for this machine and one for a
/// client, each with its key.
struct Files(PathBuf);

impl Files {
    fn new(test: &str) -> Result<Files> {
        let directory = std::env::temp_dir().join(format!("tls-{test}-{}", std::process::id()));
        fs::create_dir_all(&directory)?;
        let files = Files(directory);
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let authority = CertifiedIssuer::self_signed(params, KeyPair::generate()?)?;
        fs::write(files.path("ca.pem"), authority.pem())?;
        for (file, name) in [("server", "localhost"), ("client", "a client")] {
            let key = KeyPair::generate()?;
            let mut params = CertificateParams::new([name.to_owned()])?;
            params.distinguished_name.push(DnType::CommonName, name);
            fs::write(
                files.path(&format!("{file}.pem")),
                params.signed_by(&key, &authority)?.pem(),
            )?;
            fs::write(files.path(&format!("{file}.key")), key.serialize_pem())?;
        }
        Ok(files)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }

    /// The context of our server.
    fn server(&self) -> Result<SslContext> {
        let mut context = create_default_context(Purpose::ClientAuth);
        context.load_cert_chain(self.path("server.pem"), self.path("server.key"))?;
        Ok(context)
    }

    /// The context of our client.
    fn client(&self) -> Result<SslContext> {
        let mut context = create_default_context(Purpose::ServerAuth);
        context.clear_verify_locations()?;
        context.load_verify_locations(self.path("ca.pem"))?;
        Ok(context)
    }
}

impl Drop for Files {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// Runs `main`; a test takes longer only if it hangs.
fn run<F: Future<Output = Result<()>> + 'static>(main: F) {
    asyncio::run(async { wait_for(main, Duration::from_secs(100)).await }).unwrap();
}

/// Whether a program is there; says so if not.
fn has(program: &str) -> bool {
    let mut asking = Command::new(program);
    let found = asking.arg("--help").stdout(Stdio::null()).stderr(Stdio::null()).status().is_ok();
    if !found {
        eprintln!("SKIPPED: there is no {program}");
    }
    found
}

async fn echo(mut reader: StreamReader, writer: StreamWriter) -> Result<()> {
    loop {
        let data = reader.read(100_000).await?;
        if data.is_empty() {
            writer.close();
            return writer.wait_closed().await;
        }
        writer.write(&data);
        writer.drain().await?;
    }
}

fn port(server: &Server) -> u16 {
    server.local_addr().as_inet().map(|address| address.port()).unwrap_or_default()
}

/// Runs a program to its end, and gives what it wrote to its output.
async fn output(program: &str, args: &[&str], input: &[u8]) -> Result<String> {
    let spawn = asyncio::create_subprocess_exec(program, args);
    let mut process =
        spawn.stdin(subprocess::PIPE).stdout(subprocess::PIPE).stderr(subprocess::STDOUT).await?;
    let output = process.communicate(input).await?;
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// A client with a certificate of its own, which sends a megabyte, gets it back, and closes in order.
const CLIENT: &str = r#"
import socket, ssl, sys, threading
port, directory, version = int(sys.argv[1]), sys.argv[2], sys.argv[3]
context = ssl.create_default_context(cafile=directory + "/ca.pem")
context.load_cert_chain(directory + "/client.pem", directory + "/client.key")
context.set_alpn_protocols(["echo"])
context.minimum_version = context.maximum_version = getattr(ssl.TLSVersion, version)
raw = socket.create_connection(("127.0.0.1", port))
secure = context.wrap_socket(raw, server_hostname="localhost", suppress_ragged_eofs=False)
agreed = secure.version(), secure.selected_alpn_protocol()
data = bytes(range(251)) * 4000
threading.Thread(target=secure.sendall, args=(data,)).start()
got = b""
while len(got) < len(data):
    got += secure.recv(65536)
assert got == data
# It fails unless the other side says close_notify too.
secure.unwrap()
print(*agreed)
"#;

#[test]
fn a_client_of_cpython_with_either_version() {
    if !has("python3") {
        return;
    }
    run(async {
        let files = Files::new("python-client")?;
        let mut context = files.server()?;
        context.load_verify_locations(files.path("ca.pem"))?;
        context.set_verify_mode(VerifyMode::Required)?;
        context.set_alpn_protocols(["echo"])?;
        let server = start_server(echo, ("127.0.0.1", 0)).ssl(context).await?;
        let (port, directory) = (port(&server).to_string(), files.0.display().to_string());
        for (version, expected) in [("TLSv1_2", "TLSv1.2 echo\n"), ("TLSv1_3", "TLSv1.3 echo\n")] {
            let args = ["-c", CLIENT, &port, &directory, version];
            assert_eq!(output("python3", &args, b"").await?, expected);
        }
        server.close();
        server.wait_closed().await
    });
}

/// Serves two clients with asyncio, the second after STARTTLS; each is sent back what it sends.
const SERVER: &str = r#"
import asyncio, ssl, sys
directory, version = sys.argv[1], sys.argv[2]
context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
context.load_cert_chain(directory + "/server.pem", directory + "/server.key")
context.minimum_version = context.maximum_version = getattr(ssl.TLSVersion, version)

async def main():
    done = asyncio.Event()

    async def serve(reader, writer):
        if (await reader.readexactly(1)) == b"s":
            writer.write(b"go on\n")
            await writer.start_tls(context)
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()
        writer.close()
        await writer.wait_closed()
        done.set()

    secure = await asyncio.start_server(serve, "127.0.0.1", 0, ssl=context)
    plain = await asyncio.start_server(serve, "127.0.0.1", 0)
    print(*(s.sockets[0].getsockname()[1] for s in (secure, plain)), flush=True)
    await done.wait()

asyncio.run(main())
"#;

#[test]
fn a_server_of_cpython_with_either_version_and_after_an_upgrade() {
    if !has("python3") {
        return;
    }
    run(async {
        let files = Files::new("python-server")?;
        for version in ["TLSv1_2", "TLSv1_3"] {
            for upgrades in [false, true] {
                let directory = files.0.display().to_string();
                let mut python = Command::new("python3")
                    .args(["-c", SERVER, &directory, version])
                    .stdout(Stdio::piped())
                    .spawn()?;
                let mut line = String::new();
                let from = python.stdout.take().ok_or_else(|| Error::msg("a pipe"))?;
                BufReader::new(from).read_line(&mut line)?;
                let ports: Vec<u16> = line.split_whitespace().flat_map(str::parse).collect();
                let address = ("localhost", ports[usize::from(upgrades)]);
                let (mut reader, writer) = if upgrades {
                    let (mut reader, mut writer) = open_connection(address).await?;
                    writer.write(b"s");
                    assert_eq!(reader.readline().await?, "go on\n");
                    let upgrade = writer.start_tls(files.client()?);
                    upgrade.server_hostname("localhost").await?;
                    (reader, writer)
                } else {
                    let (reader, writer) = open_connection(address).ssl(files.client()?).await?;
                    writer.write(b"x");
                    (reader, writer)
                };
                let expected = match version {
                    "TLSv1_2" => TlsVersion::Tls12,
                    _ => TlsVersion::Tls13,
                };
                assert_eq!(writer.get_extra_info(SSL_OBJECT).map(|o| o.version()), Some(expected));
                let data: Vec<u8> = (0..300_000u32).map(|n| (n % 251) as u8).collect();
                writer.write(&data);
                assert!(reader.readexactly(data.len()).await? == data);
                writer.close();
                writer.wait_closed().await?;
                assert!(to_thread(move || python.wait()).await??.success());
            }
        }
        Ok(())
    });
}

#[test]
fn a_client_of_openssl_that_changes_its_keys_or_wants_to_renegotiate() {
    if !has("openssl") {
        return;
    }
    run(async {
        let files = Files::new("openssl-client")?;
        let server = start_server(echo, ("127.0.0.1", 0)).ssl(files.server()?).await?;
        let address = format!("127.0.0.1:{}", port(&server));
        let ca = files.path("ca.pem").display().to_string();
        let connect = |version| {
            vec![
                "s_client",
                "-connect",
                &*address,
                "-CAfile",
                &*ca,
                version,
                "-servername",
                "localhost",
            ]
        };
        // K asks for new keys, R for a new handshake, Q ends.
        let answer = output("openssl", &connect("-tls1_3"), b"K\nhello\nQ\n").await?;
        assert!(answer.contains("Verify return code: 0 (ok)"), "{answer}");
        let answer = output("openssl", &connect("-tls1_2"), b"R\nhello\n").await?;
        assert!(
            answer.contains("no renegotiation") || answer.contains("RENEGOTIATING"),
            "{answer}"
        );
        let (mut reader, writer) =
            open_connection(("localhost", port(&server))).ssl(files.client()?).await?;
        writer.write(b"still there\n");
        assert_eq!(reader.readline().await?, "still there\n");
        server.close();
        Ok(())
    });
}

#[test]
fn a_server_of_openssl() {
    if !has("openssl") {
        return;
    }
    run(async {
        let files = Files::new("openssl-server")?;
        for version in ["-tls1_2", "-tls1_3"] {
            let probe = std::net::TcpListener::bind("127.0.0.1:0")?;
            let port = probe.local_addr()?.port();
            drop(probe);
            let mut openssl = Command::new("openssl")
                .args(["s_server", "-rev", "-accept", &format!("127.0.0.1:{port}"), version])
                .args([&"-cert".into(), &files.path("server.pem")])
                .args([&"-key".into(), &files.path("server.key")])
                .stdin(Stdio::piped())
                .stdout(Stdio::null())
                .stderr(Stdio::null())
                .spawn()?;
            let (mut reader, writer) = loop {
                match open_connection(("127.0.0.1", port))
                    .ssl(files.client()?)
                    .server_hostname("localhost")
                    .await
                {
                    Ok(halves) => break halves,
                    // It does not listen yet.
                    Err(Error::Io(error))
                        if error.kind() == std::io::ErrorKind::ConnectionRefused =>
                    {
                        asyncio::sleep(Duration::from_millis(10)).await?;
                    }
                    Err(error) => return Err(error),
                }
            };
            writer.write(b"hello\n");
            assert_eq!(reader.readline().await?, "olleh\n", "{version}");
            writer.close();
            writer.wait_closed().await?;
            openssl.kill()?;
            openssl.wait()?;
        }
        Ok(())
    });
}

#[test]
fn curl_fetches_several_pages_over_one_connection() {
    if !has("curl") {
        return;
    }
    run(async {
        let files = Files::new("curl")?;
        let connections = Rc::new(Cell::new(0));
        let count = connections.clone();
        let serve = async move |mut reader: StreamReader, writer: StreamWriter| {
            count.set(count.get() + 1);
            loop {
                let Ok(request) = reader.readuntil("\r\n\r\n").await else { return Ok(()) };
                let path = request.split(|byte| *byte == b' ').nth(1).unwrap_or_default();
                let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", path.len());
                writer.writelines([head.as_bytes(), path]);
                writer.drain().await?;
            }
            #[allow(unreachable_code)]
            Ok::<(), Error>(())
        };
        let mut context = files.server()?;
        context.set_alpn_protocols(["http/1.1"])?;
        let server = start_server(serve, ("127.0.0.1", 0)).ssl(context).await?;
        let (ca, address) = (files.path("ca.pem").display().to_string(), port(&server));
        let (one, two) = (
            format!("https://localhost:{address}/one"),
            format!("https://localhost:{address}/two"),
        );
        let fetched = output("curl", &["-sS", "--cacert", &ca, &one, &two], b"").await?;
        assert_eq!(fetched, "/one/two");
        assert_eq!(connections.get(), 1);
        let refused = output("curl", &["-sS", &one], b"").await?;
        assert!(refused.contains("certificate"), "{refused}");
        server.close();
        server.wait_closed().await
    });
}

#[test]
fn tokio_rustls_on_either_side() {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio_rustls::rustls::{
        ClientConfig, RootCertStore, ServerConfig,
        crypto::ring,
        pki_types::{CertificateDer, PrivateKeyDer, ServerName, pem::PemObject},
    };
    run(async {
        let files = Files::new("tokio")?;
        let provider = std::sync::Arc::new(ring::default_provider());
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from_pem_file(files.path("ca.pem"))?)?;
        let client = ClientConfig::builder_with_provider(provider.clone())
            .with_safe_default_protocol_versions()?
            .with_root_certificates(roots)
            .with_no_client_auth();
        let chain = vec![CertificateDer::from_pem_file(files.path("server.pem"))?];
        let key = PrivateKeyDer::from_pem_file(files.path("server.key"))?;
        let theirs = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()?
            .with_no_client_auth()
            .with_single_cert(chain, key)?;
        let data: Vec<u8> = (0..1_000_000u32).map(|n| (n % 251) as u8).collect();

        let server = start_server(echo, ("127.0.0.1", 0)).ssl(files.server()?).await?;
        let (address, sent) = (port(&server), data.clone());
        to_thread(move || {
            tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(async {
                let connector = tokio_rustls::TlsConnector::from(std::sync::Arc::new(client));
                let stream = tokio::net::TcpStream::connect(("127.0.0.1", address)).await?;
                let name = ServerName::try_from("localhost").expect("a name");
                let stream = connector.connect(name, stream).await?;
                let (mut reader, mut writer) = tokio::io::split(stream);
                let mut received = vec![0; sent.len()];
                let reading = reader.read_exact(&mut received);
                let (outcome, _) = tokio::try_join!(writer.write_all(&sent), reading)?;
                assert!(received == sent);
                writer.shutdown().await?;
                // An end without close_notify would be an error.
                assert_eq!(reader.read(&mut [0; 1]).await?, 0);
                std::io::Result::Ok(outcome)
            })
        })
        .await??;
        server.close();
        server.wait_closed().await?;

        let listener = std::net::TcpListener::bind("127.0.0.1:0")?;
        let address = listener.local_addr()?;
        let serving = std::thread::spawn(move || {
            tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(async {
                listener.set_nonblocking(true)?;
                let listener = tokio::net::TcpListener::from_std(listener)?;
                let acceptor = tokio_rustls::TlsAcceptor::from(std::sync::Arc::new(theirs));
                let mut stream = acceptor.accept(listener.accept().await?.0).await?;
                let mut block = vec![0; 65536];
                loop {
                    match stream.read(&mut block).await? {
                        0 => break stream.shutdown().await,
                        length => stream.write_all(&block[..length]).await?,
                    }
                }
            })
        });
        let opening = open_connection(address).ssl(files.client()?).server_hostname("localhost");
        let (mut reader, writer) = opening.await?;
        let writing = async {
            for chunk in data.chunks(50_000) {
                writer.write(chunk);
                writer.drain().await?;
            }
            Ok::<_, Error>(())
        };
        let (wrote, received) =
            futures_lite::future::zip(writing, reader.readexactly(data.len())).await;
        wrote?;
        assert!(received? == data);
        writer.close();
        writer.wait_closed().await?;
        Ok(to_thread(move || serving.join()).await?.map_err(|_| Error::msg("it panicked"))??)
    });
}

/// A key of a program's own.
const IS_HTTP2: ExtraInfo<bool> = ExtraInfo::new("is_http2", |known| {
    Some(known.get(SSL_OBJECT)?.selected_alpn_protocol() == Some(&b"h2"[..]))
});

#[test]
fn a_program_makes_keys_of_its_own_from_what_was_agreed() {
    run(async {
        let files = Files::new("keys")?;
        let (mut theirs, mut ours) = (files.server()?, files.client()?);
        theirs.set_alpn_protocols(["h2"])?;
        ours.set_alpn_protocols(["h2", "http/1.1"])?;
        let server = start_server(echo, ("127.0.0.1", 0)).ssl(theirs).await?;
        let address = ("localhost", port(&server));
        let (_reader, secure) = open_connection(address).ssl(ours).await?;
        assert_eq!(secure.get_extra_info(IS_HTTP2), Some(true));
        let (_reader, plain) = open_connection(address).await?;
        assert_eq!(plain.get_extra_info(IS_HTTP2), None);
        server.close();
        Ok(())
    });
}

#[test]
fn a_server_with_tls_is_a_context_manager_and_a_wrong_client_does_not_disturb_it() {
    run(async {
        let files = Files::new("context")?;
        let (theirs, ours) = (files.server()?, files.client()?);
        let server = start_server(echo, ("127.0.0.1", 0)).ssl(theirs).await?;
        server
            .with(async |server| {
                let address = ("localhost", port(server));
                let (_reader, plain) = open_connection(address).await?;
                plain.write(b"GET / HTTP/1.1\r\n\r\n");
                let (mut reader, writer) = open_connection(address).ssl(ours).await?;
                writer.write(b"hello\n");
                assert_eq!(reader.readline().await?, "hello\n");
                Ok(())
            })
            .await
    });
}
