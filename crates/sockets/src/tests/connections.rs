//! `sock_connect` and `sock_accept`.

use super::*;
use asyncio_core::AsyncContextManager;

#[test]
fn an_accepted_connection_is_non_blocking_and_knows_its_addresses() {
    run(async {
        let (listener, client) = (listener()?, tcp()?);
        sock_connect(&client, listener.local_addr()?).await?;
        let (server, address) = sock_accept(&listener).await?;
        assert!(server.get_ref().nonblocking()?);
        assert_eq!(address, client.local_addr()?);
        assert_eq!(server.peer_addr()?, address);
        assert_eq!(client.peer_addr()?, listener.local_addr()?);
        Ok(())
    });
}

#[test]
fn accepting_waits_and_serves_many_in_order() {
    run(async {
        let listener = Rc::new(listener()?);
        let accepting: Vec<_> = (0..3)
            .map(|_| {
                let listener = listener.clone();
                create_task(async move { sock_accept(&listener).await })
            })
            .collect();
        settle().await?;
        let mut clients = Vec::new();
        for _ in 0..3 {
            let client = tcp()?;
            sock_connect(&client, listener.local_addr()?).await?;
            clients.push(client);
        }
        for (task, client) in accepting.into_iter().zip(&clients) {
            assert_eq!(task.await?.1, client.local_addr()?);
        }
        Ok(())
    });
}

#[test]
fn many_clients_at_once() {
    run(async {
        let listener = Rc::new(listener()?);
        let address = listener.local_addr()?;
        let serving = create_task(async move {
            loop {
                let (connection, _) = sock_accept(&listener).await?;
                drop(create_task(async move {
                    loop {
                        let data = sock_recv(&connection, 100).await?;
                        if data.is_empty() {
                            return Ok(());
                        }
                        sock_sendall(&connection, &data).await?;
                    }
                }));
            }
            #[allow(unreachable_code)]
            Ok(())
        });
        let clients: Vec<_> = (0..100_u32)
            .map(|n| {
                let address = address.clone();
                create_task(async move {
                    let client = tcp()?;
                    sock_connect(&client, address).await?;
                    for round in 0..10_u32 {
                        let message = (n * 1000 + round).to_be_bytes();
                        sock_sendall(&client, &message).await?;
                        let mut answer = [0; 4];
                        let mut length = 0;
                        while length < 4 {
                            length += sock_recv_into(&client, &mut answer[length..]).await?;
                        }
                        assert_eq!(answer, message);
                    }
                    Ok(())
                })
            })
            .collect();
        for client in clients {
            client.await?;
        }
        serving.cancel();
        assert!(is_cancelled(serving.await));
        Ok(())
    });
}

#[test]
fn a_refused_connection_says_where() {
    run(async {
        let address = listener()?.local_addr()?;
        let error = sock_connect(&tcp()?, &address).await.unwrap_err();
        let text = format!("sock_connect: Connect call failed ({address}): ");
        assert!(error.to_string().starts_with(&text), "{error}");
        assert_eq!(kind(Err::<(), _>(error)), io::ErrorKind::ConnectionRefused);
        Ok(())
    });
}

#[test]
fn a_unix_socket_is_connected_by_its_path() {
    let directory = std::env::temp_dir().join(format!("asyncio-sockets-{}", std::process::id()));
    std::fs::create_dir_all(&directory).unwrap();
    let path = directory.join("socket");
    let there = path.clone();
    run(async move {
        let listener = Socket::new(Domain::UNIX, Type::STREAM, None)?;
        let client = Socket::new(Domain::UNIX, Type::STREAM, None)?;
        assert_eq!(kind(sock_connect(&client, &*there).await), io::ErrorKind::NotFound);
        listener.bind(&*there)?;
        listener.listen(1)?;
        sock_connect(&client, there.to_str().unwrap()).await?;
        let (server, _) = sock_accept(&listener).await?;
        sock_sendall(&server, b"hi").await?;
        assert_eq!(sock_recv(&client, 8).await?, "hi");
        assert_eq!(client.peer_addr()?.as_path(), Some(&*there));
        Ok(())
    });
    std::fs::remove_dir_all(directory).unwrap();
}

#[test]
fn a_name_is_looked_up_and_the_loop_goes_on_meanwhile() {
    run(async {
        let listener = listener()?;
        let port = listener.local_addr()?.as_inet().unwrap().port();
        let client = Rc::new(tcp()?);
        let copy = client.clone();
        let connecting = create_task(async move { sock_connect(&copy, ("localhost", port)).await });
        sleep(YIELD).await?;
        assert_eq!(connecting.wait_site().map(|site| site.what()), Some("sock_connect"));
        connecting.await?;
        assert_eq!(client.peer_addr()?, listener.local_addr()?);
        let client = tcp()?;
        sock_connect(&client, format!("localhost:{port}")).await?;
        Ok(())
    });
}

#[test]
fn a_look_up_can_be_cancelled() {
    run(async {
        let connecting = create_task(async { sock_connect(&tcp()?, ("localhost", 1)).await });
        sleep(YIELD).await?;
        connecting.cancel();
        assert!(is_cancelled(connecting.await));
        Ok(())
    });
}

#[test]
fn what_is_no_address_is_an_error_that_names_the_function() {
    run(async {
        let error = sock_connect(&tcp()?, "nonsense").await.unwrap_err();
        let text = "sock_connect: \"nonsense\" is not of the form host:port";
        assert_eq!((error.kind(), error.to_string().as_str()), ("ValueError", text));
        Ok(())
    });
}

#[test]
fn connecting_again_after_a_cancelled_connect() {
    run(async {
        let listener = Rc::new(Socket::new(Domain::IPV4, Type::STREAM, None)?);
        listener.bind(("127.0.0.1", 0))?;
        listener.listen(1)?;
        let address = listener.local_addr()?;
        for _ in 0..20 {
            let client = Rc::new(tcp()?);
            let (copy, there) = (client.clone(), address.clone());
            let first = create_task(async move { sock_connect(&copy, there).await });
            sleep(YIELD).await?;
            first.cancel();
            let connected = first.await.is_ok();
            match sock_connect(&client, &address).await {
                Ok(()) => {}
                // The first one has already connected.
                Err(Error::Io(error)) => {
                    let source = std::error::Error::source(error.get()).unwrap();
                    let source = source.downcast_ref::<io::Error>().unwrap();
                    assert_eq!(source.raw_os_error(), Some(nix::libc::EISCONN), "{connected}");
                }
                Err(other) => return Err(other),
            }
            let (server, _) = sock_accept(&listener).await?;
            sock_sendall(&server, b"x").await?;
            assert_eq!(sock_recv(&client, 1).await?, "x");
        }
        Ok(())
    });
}

/// On Linux, a listener whose backlog is full leaves the next one connecting.
#[cfg(target_os = "linux")]
#[test]
fn connecting_again_while_the_system_still_connects_waits_too() {
    run_step_by_step(async {
        let listener = Socket::new(Domain::IPV4, Type::STREAM, None)?;
        listener.bind(("127.0.0.1", 0))?;
        listener.listen(0)?;
        let address = listener.local_addr()?;
        let connect = |client: &Rc<Socket>| {
            let (client, address) = (client.clone(), address.clone());
            create_task(async move { sock_connect(&client, address).await })
        };
        let mut clients = Vec::new();
        let (client, first) = loop {
            let client = Rc::new(tcp()?);
            let connecting = connect(&client);
            settle().await?;
            if !connecting.done() {
                break (client, connecting);
            }
            clients.push(client);
            assert!(clients.len() < 10, "the line is never full");
        };
        first.cancel();
        assert!(is_cancelled(first.await));
        let second = connect(&client);
        settle().await?;
        assert!(!second.done());
        second.cancel();
        assert!(is_cancelled(second.await));
        Ok(())
    });
}

#[test]
fn a_socket_that_was_refused_connects_as_if_nothing_had_been() {
    run_step_by_step(async {
        let refusing = listener()?.local_addr()?;
        let client = tcp()?;
        assert!(sock_connect(&client, &refusing).await.is_err());
        settle().await?;
        let listener = listener()?;
        if sock_connect(&client, listener.local_addr()?).await.is_err() {
            // Linux lets a refused socket fail once more (`ECONNABORTED`) before it can connect
            // again.
            sock_connect(&client, listener.local_addr()?).await?;
        }
        let (server, _) = sock_accept(&listener).await?;
        sock_sendall(&server, b"x").await?;
        assert_eq!(sock_recv(&client, 8).await?, "x");
        // The hang-up of the refusal is forgotten.
        let tells = cfg!(all(target_os = "linux", not(asyncio_portable_poller)));
        assert_eq!(client.source.is_drained_by_less(), tells);
        Ok(())
    });
}

#[test]
fn a_cancelled_accept_loses_no_connection() {
    run_step_by_step(async {
        let listener = Rc::new(listener()?);
        let address = listener.local_addr()?.as_inet().unwrap();
        for woken in [false, true] {
            let copy = listener.clone();
            let first = create_task(async move { sock_accept(&copy).await });
            settle().await?;
            let client = std::net::TcpStream::connect(address)?;
            if woken {
                // The poll of the next iteration wakes it; this task is ready before it.
                sleep(YIELD).await?;
            }
            first.cancel();
            assert!(is_cancelled(first.await));
            let (_, from) = sock_accept(&listener).await?;
            assert_eq!(from.as_inet(), Some(client.local_addr()?));
        }
        Ok(())
    });
}

#[test]
fn a_listener_is_free_after_an_accept_that_timed_out() {
    run(async {
        let listener = listener()?;
        let address = listener.local_addr()?;
        let outcome = asyncio_task::timeout(Duration::from_millis(1))
            .with(async |_| sock_accept(&listener).await)
            .await;
        assert!(outcome.unwrap_err().is_timeout());
        drop(listener);
        let refused = kind(sock_connect(&tcp()?, &address).await);
        assert_eq!(refused, io::ErrorKind::ConnectionRefused);
        Ok(())
    });
}

#[test]
fn what_listens_not_accepts_not() {
    run(async {
        let error = sock_accept(&tcp()?).await.unwrap_err();
        assert!(error.to_string().starts_with("sock_accept: "), "{error}");
        Ok(())
    });
}
