//! How connections come in.

use super::*;
use nix::fcntl::{FcntlArg, FdFlag, fcntl};

#[test]
fn one_more_than_may_wait_are_accepted_in_one_iteration() {
    run_step_by_step(async {
        let log = Log::default();
        let made = log.clone();
        let factory = move || {
            made.add("factory");
            Recorder::new(&made)
        };
        let server = create_server(factory, LOCALHOST).backlog(2).await?;
        // Meanwhile, more may be waiting.
        server.sockets()[0].with(|socket| socket.listen(100))?;
        let clients: Vec<_> = (0..7).map(|_| client(&server)).collect();
        let mut steps = Vec::new();
        while log.count("made") < 7 {
            iterations(1).await?;
            steps.push((log.count("factory"), log.count("made")));
        }
        steps.retain(|step| *step != (0, 0));
        // Accepted in one iteration, given a protocol in the next, made in the one after that.
        assert_eq!(steps, [(3, 0), (6, 3), (7, 6), (7, 7)]);
        drop(clients);
        server.close();
        Ok(())
    });
}

#[test]
fn a_connection_has_its_addresses_and_is_not_delayed() {
    run(async {
        let (server, transports) = transports(true).await?;
        let client = client(&server);
        let transport = first(&transports).await?;
        let address = |of: Option<Address>| of.unwrap().as_inet().unwrap();
        assert_eq!(address(transport.get_extra_info(PEERNAME)), client.local_addr().unwrap());
        assert_eq!(address(transport.get_extra_info(SOCKNAME)), client.peer_addr().unwrap());
        let socket = transport.get_extra_info(SOCKET).unwrap();
        assert!(socket.with(|socket| socket.tcp_nodelay())?);
        assert!(socket.with(|socket| socket.keepalive())?);
        assert!(socket.with(|socket| socket.nonblocking())?);
        let flags = socket.with(|socket| Ok(fcntl(socket, FcntlArg::F_GETFD)?))?;
        assert!(FdFlag::from_bits_retain(flags).contains(FdFlag::FD_CLOEXEC));
        server.close();
        server.abort_clients();

        let (server, transports) = self::transports(false).await?;
        let client = self::client(&server);
        let socket = first(&transports).await?.get_extra_info(SOCKET).unwrap();
        assert!(!socket.with(|socket| socket.keepalive())?);
        drop(client);
        server.close();
        Ok(())
    });
}

type Transports = Rc<RefCell<Vec<Transport>>>;

/// Creates a server that keeps its transports.
async fn transports(keep_alive: bool) -> Result<(Server, Transports)> {
    let transports = Transports::default();
    let kept = transports.clone();
    let factory = move || {
        let kept = kept.clone();
        Recorder::default().on("made", move |transport| kept.borrow_mut().push(transport.clone()))
    };
    Ok((create_server(factory, LOCALHOST).keep_alive(keep_alive).await?, transports))
}

async fn first(transports: &Transports) -> Result<Transport> {
    loop {
        if let Some(transport) = transports.borrow().first() {
            return Ok(transport.clone());
        }
        iterations(1).await?;
    }
}

#[test]
fn a_burst_of_thousands_is_served() {
    const BURST: usize = 4000;
    const AT_ONCE: usize = 200;
    run(async {
        let log = Log::default();
        let recorder = log.clone();
        let factory = move || {
            Recorder::new(&recorder).on("data", |transport: &Transport| transport.write(b"pong"))
        };
        let server = create_server(factory, LOCALHOST).backlog(512).await?;
        let address = server.local_addr().as_inet().unwrap();
        let clients = asyncio_task::to_thread(move || {
            let mut answered = 0;
            for _ in 0..BURST / AT_ONCE {
                let connect = |_| TcpStream::connect(address).unwrap();
                let mut burst: Vec<_> = (0..AT_ONCE).map(connect).collect();
                burst.iter_mut().for_each(|client| client.write_all(b"ping").unwrap());
                for mut client in burst {
                    let mut answer = [0; 4];
                    client.read_exact(&mut answer).unwrap();
                    answered += usize::from(answer == *b"pong");
                }
            }
            answered
        });
        assert_eq!(clients.await?, BURST);
        server.close();
        server.wait_closed().await?;
        assert_eq!((log.count("made"), log.count("lost")), (BURST, BURST));
        Ok(())
    });
}

#[test]
fn a_server_that_is_closed_during_a_burst_ends_every_connection() {
    run_step_by_step(async {
        let log = Log::default();
        let server = recording_server(&log).await?;
        let mut clients: Vec<_> = (0..50).map(|_| client(&server)).collect();
        iterations(2).await?;
        let mut more: Vec<_> = (0..8).map(|_| client(&server)).collect();
        server.close();
        server.close_clients();
        server.wait_closed().await?;
        iterations(3).await?;
        assert_eq!(log.count("made"), log.count("lost"));
        assert!(clients.iter_mut().chain(&mut more).all(is_ended));
        assert!(is_refused(&server));
        Ok(())
    });
}

#[test]
fn a_connection_that_was_accepted_when_the_server_is_closed_is_dropped() {
    run_step_by_step(async {
        let log = Log::default();
        let server = recording_server(&log).await?;
        let mut client = client(&server);
        let listener = server.local.get().unwrap();
        listener.accept_now();
        server.close();
        server.wait_closed().await?;
        iterations(3).await?;
        assert_eq!(log.events(), "");
        assert!(is_ended(&mut client));
        Ok(())
    });
}

#[test]
fn a_factory_may_close_its_server() {
    run(async {
        let log = Log::default();
        let (recorder, handle) = (log.clone(), Rc::new(RefCell::new(None::<Server>)));
        let own = handle.clone();
        let factory = move || {
            recorder.add("factory");
            own.borrow().iter().for_each(Server::close);
            Recorder::new(&recorder)
        };
        let server = create_server(factory, LOCALHOST).await?;
        handle.replace(Some(server.clone()));
        let mut one = client(&server);
        server.wait_closed().await?;
        iterations(3).await?;
        assert_eq!(log.events(), "factory");
        assert!(is_ended(&mut one));
        Ok(())
    });
}

#[test]
fn a_factory_that_panics_costs_one_connection_and_is_reported() {
    for debug in [false, true] {
        run(async move {
            let log = Log::default();
            log.watch_handler()?;
            asyncio_loop::get_running_loop()?.set_debug(debug);
            let (recorder, calls) = (log.clone(), Cell::new(0));
            let factory = move || {
                calls.set(calls.get() + 1);
                assert!(calls.get() > 1, "not this one");
                Recorder::new(&recorder)
            };
            let server = create_server(factory, LOCALHOST).await?;
            let mut one = client(&server);
            let other = client(&server);
            log.wait("made").await?;
            assert!(is_ended(&mut one));
            let report = "Error on transport creation for incoming connection";
            assert!(log.events().contains(report), "{}", log.events());
            assert!(log.events().contains("not this one"), "{}", log.events());
            drop(other);
            server.close();
            server.wait_closed().await
        });
    }
}

#[test]
fn a_factory_that_closes_its_server_and_panics_is_reported_too() {
    run(async {
        let log = Log::default();
        log.watch_handler()?;
        let server = Rc::new(RefCell::new(None::<Server>));
        let to_close = server.clone();
        let factory = move || -> Recorder {
            to_close.take().unwrap().close();
            panic!("the last one")
        };
        let new = create_server(factory, LOCALHOST).await?;
        let mut one = client(&new);
        server.replace(Some(new));
        log.until(|log| log.events().contains("the last one")).await?;
        assert!(is_ended(&mut one));
        Ok(())
    });
}

#[test]
fn what_a_connection_sets_in_its_context_is_seen_by_no_other() {
    static NUMBER: std::sync::LazyLock<asyncio_core::context::ContextVar<u32>> =
        std::sync::LazyLock::new(|| asyncio_core::context::ContextVar::new("number"));
    run(async {
        NUMBER.set(7);
        let log = Log::default();
        let recorder = log.clone();
        let factory = move || {
            let seen = NUMBER.get().unwrap();
            NUMBER.set(seen + 1);
            let log = recorder.clone();
            let note = move |_: &Transport| log.add(format!("{seen}-{}", NUMBER.get().unwrap()));
            Recorder::new(&recorder).on("made", note)
        };
        let server = create_server(factory, LOCALHOST).await?;
        let clients: Vec<_> = (0..2).map(|_| client(&server)).collect();
        log.until(|log| log.count("made") == 2).await?;
        assert_eq!(log.events(), "made 7-8 made 7-8");
        drop(clients);
        server.close();
        server.wait_closed().await
    });
}

#[test]
fn a_client_that_resets_before_it_is_accepted_does_no_harm() {
    run(async {
        let log = Log::default();
        let server = recording_server(&log).await?;
        let hasty = socket2::Socket::from(client(&server));
        hasty.set_linger(Some(Duration::ZERO)).unwrap();
        drop(hasty);
        let other = client(&server);
        // Some systems never report the first.
        log.until(|log| log.count("made") > log.count("lost:ConnectionReset")).await?;
        drop(other);
        server.close();
        server.wait_closed().await
    });
}

#[test]
fn buffered_protocols_are_served_too() {
    struct Buffered(Vec<u8>, Log);
    impl BufferedProtocol for Buffered {
        fn get_buffer(&mut self, _: &Transport) -> &mut [u8] {
            &mut self.0
        }
        fn buffer_updated(&mut self, _: &Transport, nbytes: usize) {
            self.1.add(format!("{nbytes}"));
        }
    }
    run(async {
        let log = Log::default();
        let seen = log.clone();
        let server = create_server(move || Buffered(vec![0; 8], seen.clone()), LOCALHOST).await?;
        client(&server).write_all(b"hello").unwrap();
        log.wait("5").await?;
        server.close();
        server.wait_closed().await
    });
}

#[test]
fn a_socket_that_accepts_no_more_is_reported_once_in_a_second() {
    run_step_by_step(async {
        let log = Log::default();
        let server = recording_server(&log).await?;
        log.watch_handler()?;
        server.sockets()[0].shutdown(std::net::Shutdown::Both)?;
        sleep(Duration::from_millis(2500)).await?;
        assert_eq!(log.events().matches("handler: socket.accept() failed").count(), 3);
        server.close();
        sleep(Duration::from_secs(2)).await?;
        assert_eq!(log.events().matches("handler").count(), 3);
        Ok(())
    });
}

#[test]
fn a_server_that_closes_behind_the_last_serves_waiting_connections() {
    run(async {
        let log = Log::default();
        let server = recording_server(&log).await?;
        // Nothing is accepted in between: this is one step.
        let mut connected: Vec<_> = (0..5).map(|_| client(&server)).collect();
        server.close_behind_the_last();
        assert!(is_refused(&server));
        log.until(|log| log.count("made") == 5).await?;
        for client in &mut connected {
            client.write_all(b"x")?;
        }
        log.until(|log| log.received().len() == 5).await?;
        drop(connected);
        server.wait_closed().await
    });
}
