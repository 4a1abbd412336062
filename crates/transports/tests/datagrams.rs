//! Datagrams with CPython's asyncio on the other side, and no descriptor left behind.

use asyncio_core::{
    Error, Result,
    log::{Level, set_logger},
};
use asyncio_future::Future;
use asyncio_sockets::Address;
use asyncio_task::{create_task, sleep};
use asyncio_transports::{DatagramProtocol, DatagramTransport, SOCKNAME, create_datagram_endpoint};
use bytes::Bytes;
use std::{
    io::{BufRead, BufReader, Write},
    process::{Child, Command, Stdio},
    sync::atomic::{AtomicUsize, Ordering},
    time::Duration,
};

struct Echo;

impl DatagramProtocol for Echo {
    fn datagram_received(&mut self, t: &DatagramTransport, data: Bytes, addr: Address) {
        t.sendto(data, addr);
    }
}

/// Sends some datagrams, and collects as many answers.
struct Ask {
    messages: Vec<Vec<u8>>,
    answers: Vec<Vec<u8>>,
    done: Future<Vec<Vec<u8>>>,
}

impl DatagramProtocol for Ask {
    fn connection_made(&mut self, t: &DatagramTransport) {
        for message in &self.messages {
            t.sendto(message, None);
        }
    }

    fn datagram_received(&mut self, _: &DatagramTransport, data: Bytes, _: Address) {
        self.answers.push(data.to_vec());
        if self.answers.len() == self.messages.len() {
            let _ = self.done.set_result(self.answers.clone());
        }
    }

    fn error_received(&mut self, _: &DatagramTransport, error: Error) {
        let _ = self.done.set_exception(error);
    }
}

fn messages() -> Vec<Vec<u8>> {
    vec![b"hello".to_vec(), Vec::new(), vec![b'x'; 9000], b"bye".to_vec()]
}

/// Runs a program with CPython; `None`, and a line that says so, if there is none.
fn python(program: &str) -> Option<Child> {
    let mut command = Command::new("python3");
    command.args(["-c", program]).stdin(Stdio::piped()).stdout(Stdio::piped());
    match command.spawn() {
        Ok(child) => Some(child),
        Err(error) => {
            println!("SKIPPED: python3: {error}");
            None
        }
    }
}

#[test]
fn an_endpoint_of_cpython_answers_ours() {
    // A server that ends with its standard input.
    let program = "
import asyncio, sys
class Echo(asyncio.DatagramProtocol):
    def connection_made(self, transport):
        self.transport = transport
    def datagram_received(self, data, addr):
        self.transport._sock.sendto(data, addr)  # Before 3.13 sendto() drops what is empty.
async def main():
    loop = asyncio.get_running_loop()
    transport, _ = await loop.create_datagram_endpoint(Echo, local_addr=('127.0.0.1', 0))
    print(transport.get_extra_info('sockname')[1], flush=True)
    await loop.run_in_executor(None, sys.stdin.read)
asyncio.run(main())
";
    let Some(mut child) = python(program) else { return };
    let mut line = String::new();
    BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
    let port: u16 = line.trim().parse().unwrap();
    let answers = asyncio_loop::run(async move {
        let done = Future::new();
        let ask = Ask { messages: messages(), answers: Vec::new(), done: done.clone() };
        let creating = create_datagram_endpoint(|| ask).remote_addr(("127.0.0.1", port));
        let (transport, _) = creating.await?;
        let answers = asyncio_task::wait_for(done, Duration::from_secs(30)).await?;
        transport.close();
        Ok(answers)
    });
    drop(child.stdin.take());
    child.wait().unwrap();
    assert_eq!(answers.unwrap(), messages());
}

#[test]
fn an_endpoint_of_ours_answers_cpython() {
    let program = "
import asyncio
class Ask(asyncio.DatagramProtocol):
    def connection_made(self, transport):
        self.transport, self.answers = transport, []
        transport.sendto(b'hello')
    def datagram_received(self, data, addr):
        self.answers.append(data)
        if len(self.answers) < 3:
            self.transport.sendto(b'x' * 9000 * len(self.answers))
        else:
            done.set_result([len(answer) for answer in self.answers])
async def main():
    global done
    loop = asyncio.get_running_loop()
    done = loop.create_future()
    await loop.create_datagram_endpoint(Ask, remote_addr=('127.0.0.1', int(input())))
    print(await done, flush=True)
asyncio.run(main())
";
    let Some(mut child) = python(program) else { return };
    let (mut input, output) = (child.stdin.take().unwrap(), child.stdout.take().unwrap());
    let answers = asyncio_loop::run(async move {
        let (server, _) = create_datagram_endpoint(|| Echo).local_addr(("127.0.0.1", 0)).await?;
        let address = server.get_extra_info(SOCKNAME).and_then(|name| name.as_inet());
        writeln!(input, "{}", address.unwrap().port())?;
        let reading = asyncio_task::to_thread(move || {
            let mut line = String::new();
            BufReader::new(output).read_line(&mut line).map(|_| line)
        });
        let line = asyncio_task::wait_for(reading, Duration::from_secs(30)).await??;
        Ok(line)
    });
    child.wait().unwrap();
    assert_eq!(answers.unwrap().trim(), "[5, 9000, 18000]");
}

/// Whether this process is a test's own. If not, the test is run in one, where it has to succeed: the
/// log and the descriptors are those of a process.
fn is_alone(test: &str) -> bool {
    if std::env::var_os("ASYNCIO_ALONE").is_some() {
        return true;
    }
    let mut again = Command::new(std::env::current_exe().unwrap());
    let output = again.args(["--exact", test]).env("ASYNCIO_ALONE", "1").output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
    false
}

#[test]
fn what_is_sent_after_the_end_is_worth_a_warning_from_the_fifth_time_on() {
    static WARNINGS: AtomicUsize = AtomicUsize::new(0);
    if !is_alone("what_is_sent_after_the_end_is_worth_a_warning_from_the_fifth_time_on") {
        return;
    }
    set_logger(|level, text| {
        if level == Level::Warning && text == "socket.send() raised exception." {
            WARNINGS.fetch_add(1, Ordering::Relaxed);
        }
    });
    let outcome: Result<()> = asyncio_loop::run(async {
        let creating = create_datagram_endpoint(|| Echo).remote_addr(("127.0.0.1", 9));
        let (client, _) = creating.await?;
        client.close();
        client.sendto(b"1", None);
        sleep(Duration::ZERO).await?;
        for _ in 0..3 {
            client.sendto(b"2, 3, 4", None);
        }
        assert_eq!(WARNINGS.load(Ordering::Relaxed), 0);
        client.sendto(b"5", None);
        client.sendto(b"6", None);
        assert_eq!(WARNINGS.load(Ordering::Relaxed), 2);
        Ok(())
    });
    outcome.unwrap();
}

/// How many descriptors this process has.
#[cfg(target_os = "linux")]
fn descriptors() -> usize {
    std::fs::read_dir("/proc/self/fd").unwrap().count()
}

#[cfg(target_os = "linux")]
#[test]
fn no_descriptor_is_left_behind() {
    if !is_alone("no_descriptor_is_left_behind") {
        return;
    }
    let outcome: Result<()> = asyncio_loop::run(async {
        let (server, _) = create_datagram_endpoint(|| Echo).local_addr(("127.0.0.1", 0)).await?;
        let address = server.get_extra_info(SOCKNAME).unwrap();
        let before = descriptors();
        for n in 0..1000 {
            let creating = create_datagram_endpoint(|| Echo).remote_addr(&address);
            match n % 4 {
                0 => creating.await?.0.close(),
                1 => {
                    let (client, _) = creating.await?;
                    client.sendto(b"x", None);
                    client.abort();
                }
                2 => {
                    let making = create_task(async { creating.transport().await.map(drop) });
                    sleep(Duration::ZERO).await?;
                    making.cancel();
                    assert!(making.await.unwrap_err().is_cancelled());
                }
                _ => {
                    let taken = create_datagram_endpoint(|| Echo).local_addr(&address);
                    assert!(taken.await.is_err());
                }
            }
        }
        for _ in 0..5 {
            sleep(Duration::ZERO).await?;
        }
        assert_eq!(descriptors(), before);
        Ok(())
    });
    outcome.unwrap();
}
