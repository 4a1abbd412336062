//! Endpoints on real sockets. Sending and creating have files of their own.

use super::*;
use crate::{
    SOCKNAME,
    testing::{Log, iterations, run, run_step_by_step},
};
use asyncio_future::Future;
use asyncio_loop::get_running_loop;
use asyncio_sockets::Domain;
use asyncio_task::create_task;
use std::io;

mod creating;
use creating::Directory;
mod packets;
mod sending;

/// Records its events, and runs the given reactions.
#[derive(Default)]
struct Recorder {
    log: Log,
    hooks: Vec<(&'static str, Hook)>,
}

type Hook = Box<dyn FnMut(&DatagramTransport)>;

impl Recorder {
    fn new(log: &Log) -> Recorder {
        Recorder { log: log.clone(), ..Recorder::default() }
    }

    /// Calls `f` in the callback of an event, after it was recorded.
    fn on(mut self, event: &'static str, f: impl FnMut(&DatagramTransport) + 'static) -> Self {
        self.hooks.push((event, Box::new(f)));
        self
    }

    fn happens(&mut self, event: &str, transport: &DatagramTransport) {
        for (_, hook) in self.hooks.iter_mut().filter(|(name, _)| *name == event) {
            hook(transport);
        }
    }
}

impl DatagramProtocol for Recorder {
    fn connection_made(&mut self, transport: &DatagramTransport) {
        self.log.add("made");
        self.happens("made", transport);
    }

    fn connection_lost(&mut self, transport: &DatagramTransport, error: Option<Error>) {
        self.log.add(error.map_or("lost".to_owned(), |error| format!("lost:{error}")));
        self.happens("lost", transport);
    }

    fn pause_writing(&mut self, transport: &DatagramTransport) {
        self.log.add("pause");
        self.happens("pause", transport);
    }

    fn resume_writing(&mut self, transport: &DatagramTransport) {
        self.log.add("resume");
        self.happens("resume", transport);
    }

    fn datagram_received(&mut self, transport: &DatagramTransport, data: Bytes, addr: Address) {
        self.log.add(format!("<{}>", data.escape_ascii()));
        self.happens("datagram", transport);
        if data == "ask" {
            transport.sendto(b"answer", addr);
        }
    }

    fn error_received(&mut self, transport: &DatagramTransport, error: Error) {
        self.log.add(format!("error:{:?}", kind(error)));
        self.happens("error", transport);
    }
}

fn kind(error: Error) -> io::ErrorKind {
    match error {
        Error::Io(error) => error.kind(),
        other => panic!("no system error: {other:?}"),
    }
}

/// Answers as the examples of Python's documentation do.
struct Echo;

impl DatagramProtocol for Echo {
    fn datagram_received(&mut self, t: &DatagramTransport, data: Bytes, addr: Address) {
        t.sendto(data, addr);
    }
}

/// Creates an endpoint on this machine.
async fn endpoint(protocol: Recorder) -> Result<(DatagramTransport, Address)> {
    let creating = create_datagram_endpoint(|| protocol).local_addr(("127.0.0.1", 0));
    let (transport, _) = creating.await?;
    let address = name(&transport);
    Ok((transport, address))
}

fn name(transport: &DatagramTransport) -> Address {
    transport.get_extra_info(SOCKNAME).unwrap()
}

/// Creates two connected Unix sockets: an endpoint, and one that is not read.
async fn pair(protocol: Recorder) -> Result<(DatagramTransport, socket2::Socket)> {
    let (one, other) =
        asyncio_sockets::Socket::pair(Domain::UNIX, asyncio_sockets::Type::DGRAM, None)?;
    let (transport, _) = create_datagram_endpoint(|| protocol).sock(one).await?;
    Ok((transport, other.into()))
}

/// Reads everything that is there.
fn drain(socket: &socket2::Socket) -> Vec<String> {
    let mut all = Vec::new();
    let mut buffer = [0; 4096];
    while let Ok(length) = io::Read::read(&mut &*socket, &mut buffer) {
        all.push(String::from_utf8_lossy(&buffer[..length]).into_owned());
    }
    all
}

#[test]
fn an_echo_answers_each_sender() {
    run(async {
        let (server, _) = create_datagram_endpoint(|| Echo).local_addr(("127.0.0.1", 0)).await?;
        let address = name(&server);
        let (one, other) = (Log::default(), Log::default());
        let (first, _) = endpoint(Recorder::new(&one)).await?;
        let (second, _) = endpoint(Recorder::new(&other)).await?;
        first.sendto(b"1", &address);
        second.sendto(b"2", address.as_inet().unwrap());
        one.wait("<1>").await?;
        other.wait("<2>").await?;
        // The endpoint does not need a handle to stay open.
        drop(server);
        first.sendto(b"3", (std::net::Ipv4Addr::LOCALHOST, address.as_inet().unwrap().port()));
        one.wait("<3>").await?;
        first.close();
        one.lost().await?;
        assert_eq!(one.events(), "made <1> <3> lost");
        assert!(!second.is_closing() && first.is_closing());
        Ok(())
    });
}

#[test]
fn the_protocol_is_called_in_iterations_of_their_own_and_the_result_comes_after_it_was_told() {
    run_step_by_step(async {
        let log = Log::default();
        let (transport, protocol) =
            create_datagram_endpoint(|| Recorder::new(&log)).local_addr(("127.0.0.1", 0)).await?;
        assert_eq!(log.events(), "made");
        assert!(Rc::ptr_eq(&transport.get_protocol::<Recorder>().unwrap(), &protocol));
        transport.close();
        transport.close();
        assert!(transport.is_closing());
        assert_eq!(log.events(), "made");
        iterations(1).await?;
        assert_eq!(log.events(), "made lost");
        assert!(transport.get_protocol::<Recorder>().is_none());
        assert_eq!(Rc::strong_count(&protocol), 1, "let go");
        Ok(())
    });
}

#[test]
fn an_empty_datagram_is_sent_and_received() {
    run(async {
        let log = Log::default();
        let (there, address) = endpoint(Recorder::new(&log)).await?;
        let (here, _) = endpoint(Recorder::default()).await?;
        here.sendto(b"", &address);
        here.sendto(b"x", &address);
        log.wait("<x>").await?;
        assert_eq!(log.events(), "made <> <x>");
        assert_eq!(here.get_write_buffer_size(), 0);
        there.abort();
        Ok(())
    });
}

#[test]
fn a_burst_is_told_one_by_one_with_an_iteration_for_each() {
    const COUNT: usize = 40;
    run_step_by_step(async {
        let log = Log::default();
        let later = log.clone();
        let receiver = Recorder::new(&log).on("datagram", move |_| {
            let later = later.clone();
            get_running_loop().unwrap().call_soon(move || later.add(";")).unwrap();
        });
        let (_there, address) = endpoint(receiver).await?;
        let (here, _) = endpoint(Recorder::default()).await?;
        let expected: Vec<_> = (0..COUNT).map(|n| format!("<{n}> ;")).collect();
        for n in 0..COUNT {
            here.sendto(n.to_string().as_bytes(), &address);
        }
        log.until(|log| log.count(";") == COUNT).await?;
        assert_eq!(log.events(), format!("made {}", expected.join(" ")));
        Ok(())
    });
}

#[test]
fn what_arrives_while_a_burst_is_told_is_not_forgotten() {
    run_step_by_step(async {
        let log = Log::default();
        let (_there, address) = endpoint(Recorder::new(&log)).await?;
        let (here, _) = endpoint(Recorder::default()).await?;
        let mut expected = vec!["made".to_owned()];
        // Each of these arrives at another point of delivering the burst before it.
        for pause in 0..12 {
            for n in 0..3 {
                here.sendto(format!("{pause}.{n}").as_bytes(), &address);
                expected.push(format!("<{pause}.{n}>"));
            }
            iterations(pause).await?;
        }
        log.until(|log| log.events().ends_with("<11.2>")).await?;
        assert_eq!(log.events(), expected.join(" "));
        Ok(())
    });
}

#[test]
fn a_datagram_of_the_largest_size_comes_whole() {
    struct Length(Future<usize>);
    impl DatagramProtocol for Length {
        fn datagram_received(&mut self, _: &DatagramTransport, data: Bytes, _: Address) {
            assert!(data.iter().enumerate().all(|(n, byte)| *byte == (n % 251) as u8));
            let _ = self.0.set_result(data.len());
        }
    }
    run(async {
        let length = Future::new();
        let creating = create_datagram_endpoint(|| Length(length.clone()));
        let (there, _) = creating.local_addr(("127.0.0.1", 0)).await?;
        let (here, _) = endpoint(Recorder::default()).await?;
        let data: Vec<u8> = (0..65507).map(|n| (n % 251) as u8).collect();
        here.sendto(&data, name(&there));
        assert_eq!(length.await?, data.len());
        Ok(())
    });
}

#[test]
fn after_a_close_in_a_callback_nothing_more_is_told() {
    run(async {
        let log = Log::default();
        let (_there, address) =
            endpoint(Recorder::new(&log).on("datagram", |there| there.close())).await?;
        let (here, _) = endpoint(Recorder::default()).await?;
        for data in [b"1", b"2", b"3"] {
            here.sendto(data, &address);
        }
        log.lost().await?;
        iterations(3).await?;
        assert_eq!(log.events(), "made <1> lost");
        // The socket is closed.
        endpoint_at(&address).await?;
        Ok(())
    });
}

async fn endpoint_at(address: &Address) -> Result<DatagramTransport> {
    Ok(create_datagram_endpoint(Recorder::default).local_addr(address).await?.0)
}

#[test]
fn a_panic_over_what_arrived_is_reported_and_the_next_datagram_comes() {
    run(async {
        let log = Log::default();
        log.watch_handler()?;
        let mut times = 0;
        let first = move |_: &DatagramTransport| {
            times += 1;
            assert!(times > 1, "oh");
        };
        let (there, address) = endpoint(Recorder::new(&log).on("datagram", first)).await?;
        let (here, _) = endpoint(Recorder::default()).await?;
        here.sendto(b"x", &address);
        here.sendto(b"y", &address);
        log.wait("<y>").await?;
        let events = log.events();
        let message = "handler: Exception in callback protocol.datagram_received()";
        assert!(events.starts_with(&format!("made <x> {message}")), "{events}");
        assert!(events.ends_with("oh <y>") && !there.is_closing(), "{events}");
        Ok(())
    });
}

#[test]
fn a_panic_over_an_error_is_reported_and_no_more() {
    run(async {
        let log = Log::default();
        log.watch_handler()?;
        let (there, address) = endpoint(Recorder::default()).await?;
        let failing = Recorder::new(&log).on("error", |_| panic!("oh"));
        let (here, _) = endpoint(failing).await?;
        // Too long for a datagram.
        here.sendto([0; 70_000], &address);
        let message = "handler: Exception in callback protocol.error_received()";
        assert!(log.events().contains(message), "{}", log.events());
        here.sendto(b"", &address);
        assert!(!here.is_closing() && !there.is_closing());
        Ok(())
    });
}

#[test]
fn a_panic_of_connection_made_or_pause_writing_is_reported_and_no_more() {
    run(async {
        let log = Log::default();
        log.watch_handler()?;
        let protocol =
            Recorder::new(&log).on("made", |_| panic!("oh")).on("pause", |_| panic!("no"));
        let (there, address) = endpoint(protocol).await?;
        there.set_write_buffer_limits(Some(0), None)?;
        let (here, _) = endpoint(Recorder::default()).await?;
        here.sendto(b"x", &address);
        log.wait("<x>").await?;
        let events = log.events();
        assert!(events.contains("Exception in callback protocol.connection_made()"), "{events}");
        assert!(!there.is_closing());
        Ok(())
    });
}

#[test]
fn a_protocol_can_be_replaced() {
    run(async {
        let (one, other) = (Log::default(), Log::default());
        let (there, address) = endpoint(Recorder::new(&one)).await?;
        let (here, _) = endpoint(Recorder::default()).await?;
        here.sendto(b"1", &address);
        one.wait("<1>").await?;
        there.set_protocol(Recorder::new(&other))?;
        here.sendto(b"2", &address);
        other.wait("<2>").await?;
        there.set_protocol(Echo)?;
        assert!(there.get_protocol::<Recorder>().is_none());
        assert!(there.get_protocol::<Echo>().is_some());
        assert_eq!((one.events(), other.events()), ("made <1>".into(), "<2>".into()));
        there.close();
        iterations(1).await?;
        let error = there.set_protocol(Echo).unwrap_err().to_string();
        assert_eq!(error, "set_protocol: the endpoint is closed, or belongs to another thread");
        Ok(())
    });
}

#[test]
fn a_handle_works_on_another_thread() {
    run(async {
        let log = Log::default();
        let (there, address) = endpoint(Recorder::new(&log)).await?;
        let handle = there.clone();
        std::thread::spawn(move || {
            assert_eq!(handle, handle.clone());
            assert!(handle.get_protocol::<Recorder>().is_none());
            assert_eq!(handle.get_extra_info(SOCKNAME), Some(address.clone()));
            handle.sendto(b"from elsewhere", address);
        })
        .join()
        .unwrap();
        log.wait("<from elsewhere>").await?;
        let handle = there.clone();
        std::thread::spawn(move || handle.close()).join().unwrap();
        log.lost().await?;
        assert!(format!("{there:?}").ends_with(" closing>"));
        Ok(())
    });
}

#[test]
fn a_task_that_is_cancelled_while_it_makes_an_endpoint_closes_it() {
    run_step_by_step(async {
        let log = Log::default();
        let recorder = Recorder::new(&log);
        let socket = asyncio_sockets::Socket::try_from(std::net::UdpSocket::bind("127.0.0.1:0")?)?;
        let address = socket.local_addr()?;
        let making = create_task(async move {
            create_datagram_endpoint(|| recorder).sock(socket).await.map(drop)
        });
        iterations(1).await?;
        making.cancel();
        assert!(making.await.unwrap_err().is_cancelled());
        log.lost().await?;
        assert_eq!(log.events(), "made lost");
        endpoint_at(&address).await?;
        Ok(())
    });
}

#[test]
fn an_endpoint_that_is_never_closed_goes_with_its_loop() {
    let address = Rc::new(RefCell::new(None));
    let told = address.clone();
    run(async move {
        let (_there, address) = endpoint(Recorder::default()).await?;
        told.replace(Some(address));
        Ok(())
    });
    let address = address.take().unwrap();
    std::net::UdpSocket::bind(address.as_inet().unwrap()).unwrap();
}
