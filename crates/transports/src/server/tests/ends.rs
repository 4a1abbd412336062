//! How servers begin and end.

use super::*;

#[test]
fn it_is_over_when_it_is_closed_and_the_last_client_is_gone_in_either_order() {
    run(async {
        for close_first in [true, false] {
            let log = Log::default();
            let server = recording_server(&log).await?;
            let one = clients(&server, &log, 1).await?;
            let waiting = create_task(server.wait_closed());
            iterations(3).await?;
            assert!(!waiting.done(), "open, with a client");
            if close_first {
                server.close();
                assert!(!server.is_serving() && server.sockets().is_empty());
                iterations(3).await?;
                assert!(!waiting.done(), "closed, with a client");
                drop(one);
            } else {
                drop(one);
                log.lost().await?;
                iterations(3).await?;
                assert!(!waiting.done(), "open, without clients");
                server.close();
            }
            waiting.await?;
            assert_eq!(log.events(), "made eof lost");
            assert!(server.local.get().is_none(), "nothing is left of it in the loop");
            server.wait_closed().await?;
        }
        Ok(())
    });
}

#[test]
fn server_and_client_may_close_in_the_same_iteration() {
    run_step_by_step(async {
        let log = Log::default();
        let server = recording_server(&log).await?;
        let one = clients(&server, &log, 1).await?;
        let waiting = create_task(server.wait_closed());
        iterations(1).await?;
        server.close_clients();
        server.close();
        waiting.await?;
        drop(one);
        Ok(())
    });
}

#[test]
fn close_clients_is_done_within_two_iterations() {
    run_step_by_step(async {
        let log = Log::default();
        let server = recording_server(&log).await?;
        let mut all = clients(&server, &log, 3).await?;
        server.close_clients();
        assert!(server.is_serving());
        iterations(2).await?;
        assert_eq!(log.count("lost"), 3);
        assert!(all.iter_mut().all(is_ended));
        clients(&server, &log, 1).await?;
        server.close();
        Ok(())
    });
}

#[test]
fn clients_are_aborted_even_if_the_reader_pauses_and_the_writer_is_blocked() {
    run_step_by_step(async {
        let log = Log::default();
        let recorder = log.clone();
        let factory = move || {
            Recorder::new(&recorder).on("made", |transport: &Transport| {
                transport.pause_reading();
                transport.write(vec![0; 32 << 20]);
                assert!(transport.get_write_buffer_size() > 0);
            })
        };
        let server = create_server(factory, LOCALHOST).await?;
        let client = clients(&server, &log, 1).await?;
        server.close();
        server.close_clients();
        iterations(5).await?;
        assert_eq!(log.count("lost"), 0, "it would be sent first");
        server.abort_clients();
        iterations(2).await?;
        assert_eq!(log.count("lost"), 1);
        server.wait_closed().await?;
        drop(client);
        Ok(())
    });
}

#[test]
fn what_does_not_serve_yet_serves_forever_until_it_is_cancelled() {
    run(async {
        let log = Log::default();
        let recorder = log.clone();
        let factory = move || Recorder::new(&recorder);
        let server = create_server(factory, LOCALHOST).start_serving(false).await?;
        assert!(!server.is_serving() && is_refused(&server));
        assert_eq!(server.sockets().len(), 1);
        assert!(format!("{server:?}").ends_with(" bound>"));

        let serving = create_task(server.serve_forever());
        iterations(1).await?;
        assert!(server.is_serving());
        let one = clients(&server, &log, 1).await?;
        assert!(text(server.serve_forever().await).contains("already being awaited"));

        serving.cancel();
        iterations(3).await?;
        assert!(!server.is_serving() && server.sockets().is_empty() && is_refused(&server));
        assert!(!serving.done(), "it waits for its client");
        drop(one);
        assert!(serving.await.unwrap_err().is_cancelled());
        let expected = "Server.serve_forever: the server is closed";
        assert!(text(server.serve_forever().await).ends_with(expected));
        assert!(text(server.start_serving().await).ends_with("the server is closed"));
        assert!(format!("{server:?}").ends_with(" closed>"));
        Ok(())
    });
}

#[test]
fn closing_cancels_serve_forever() {
    run_step_by_step(async {
        let server = recording_server(&Log::default()).await?;
        let serving = create_task(server.serve_forever());
        iterations(1).await?;
        server.close();
        server.close();
        iterations(3).await?;
        assert!(serving.done() && serving.await.unwrap_err().is_cancelled());
        server.wait_closed().await
    });
}

#[test]
fn serving_forever_may_be_dropped_and_begun_again() {
    run(async {
        let server = recording_server(&Log::default()).await?;
        for _ in 0..2 {
            let serving = Box::pin(server.serve_forever());
            let waker = std::task::Waker::noop();
            let mut serving = serving;
            assert!(serving.as_mut().poll(&mut Context::from_waker(waker)).is_pending());
            drop(serving);
            assert!(server.is_serving());
        }
        server.close();
        server.wait_closed().await
    });
}

#[test]
fn start_serving_yields_once_and_does_nothing_the_second_time() {
    run_step_by_step(async {
        let steps = Rc::new(Cell::new(0));
        let count = steps.clone();
        let counting = create_task(async move {
            loop {
                count.set(count.get() + 1);
                sleep(Duration::ZERO).await?;
            }
            #[allow(unreachable_code)]
            Ok(())
        });
        let factory = || Recorder::new(&Log::default());
        let server = create_server(factory, LOCALHOST).start_serving(false).await?;
        assert_eq!(steps.get(), 0);
        server.start_serving().await?;
        assert_eq!((steps.get(), server.is_serving()), (1, true));
        server.start_serving().await?;
        assert_eq!((steps.get(), server.is_serving()), (2, true));
        create_server(factory, LOCALHOST).await?;
        assert_eq!(steps.get(), 3);
        counting.cancel();
        Ok(())
    });
}

#[test]
fn as_a_context_manager_it_closes_and_waits() {
    run(async {
        let log = Log::default();
        let server = recording_server(&log).await?;
        let (handle, seen) = (server.clone(), log.clone());
        let outcome = server.with(async |server| {
            let clients = clients(server, &seen, 2).await?;
            let leaving = async move {
                iterations(3).await?;
                drop(clients);
                Ok(())
            };
            drop(create_task(leaving));
            Err::<(), _>(Error::msg("the body failed"))
        });
        assert_eq!(text(outcome.await), "the body failed");
        assert_eq!(log.count("lost"), 2);
        assert!(!handle.is_serving() && handle.local_addr().as_inet().unwrap().port() > 0);
        Ok(())
    });
}

#[test]
fn a_server_without_a_handle_goes_on() {
    run(async {
        let log = Log::default();
        let server = recording_server(&log).await?;
        let address = server.local_addr();
        drop(server);
        let client = TcpStream::connect(address.as_inet().unwrap()).unwrap();
        log.wait("made").await?;
        drop(client);
        log.lost().await
    });
}

#[test]
fn a_cancelled_or_dropped_creation_closes_its_sockets() {
    run(async {
        let address = recording_server(&Log::default()).await?.local_addr();
        let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let create = move || create_server(Recorder::default, port).into_future();
        let creating = create_task(create());
        iterations(1).await?;
        assert!(TcpStream::connect(port).is_ok());
        creating.cancel();
        assert!(creating.await.unwrap_err().is_cancelled());
        assert!(TcpStream::connect(port).is_err());

        let mut creating = Box::pin(create());
        let waker = std::task::Waker::noop();
        assert!(creating.as_mut().poll(&mut Context::from_waker(waker)).is_pending());
        drop(creating);
        assert!(TcpStream::connect(port).is_err());
        assert!(TcpStream::connect(address.as_inet().unwrap()).is_ok());
        Ok(())
    });
}

#[test]
fn a_wait_that_was_cancelled_or_dropped_leaves_nothing_behind() {
    run(async {
        let server = recording_server(&Log::default()).await?;
        for _ in 0..3 {
            let waiting = create_task(server.wait_closed());
            iterations(1).await?;
            waiting.cancel();
            assert!(waiting.await.unwrap_err().is_cancelled());
            let mut waiting = Box::pin(server.wait_closed());
            let waker = std::task::Waker::noop();
            assert!(waiting.as_mut().poll(&mut Context::from_waker(waker)).is_pending());
        }
        let waiting = create_task(server.wait_closed());
        iterations(1).await?;
        assert_eq!(server.shared.life.waiters(), 1);
        server.close();
        waiting.await
    });
}

#[test]
fn another_thread_closes_it_and_waits() {
    run(async {
        let log = Log::default();
        let server = recording_server(&log).await?;
        let one = clients(&server, &log, 1).await?;
        let there = server.clone();
        let closed = asyncio_task::to_thread(move || {
            assert!(there.is_serving() && there.sockets().is_empty());
            let error = futures_lite::future::block_on(there.start_serving()).unwrap_err();
            assert!(error.to_string().ends_with("the server belongs to another thread"));
            there.close();
            there.close_clients();
            futures_lite::future::block_on(there.wait_closed())
        });
        closed.await??;
        assert_eq!(log.events(), "made lost");
        assert!(!server.is_serving());
        drop(one);
        Ok(())
    });
}

#[test]
fn with_its_loop_a_server_is_over() {
    let event_loop = asyncio_loop::new_event_loop().unwrap();
    let log = Log::default();
    let seen = log.clone();
    let (server, mut one) = event_loop
        .run_until_complete(async move {
            let server = recording_server(&seen).await?;
            let one = clients(&server, &seen, 1).await?.remove(0);
            Ok((server, one))
        })
        .unwrap();
    assert!(server.is_serving());
    event_loop.close().unwrap();
    assert!(!server.is_serving() && is_refused(&server) && is_ended(&mut one));
    futures_lite::future::block_on(server.wait_closed()).unwrap();
    server.close();
}

#[test]
fn handles_may_go_anywhere() {
    fn check<T: Send + Sync>(_: &T) {}
    fn check_sending<T: Send>(_: &T) {}
    run(async {
        let creating = create_server(Recorder::default, LOCALHOST).into_future();
        check_sending(&creating);
        let server = creating.await?;
        check(&server);
        check_sending(&server.serve_forever());
        check(&server.wait_closed());
        assert_eq!(server, server.clone());
        assert!(server.home().is_local());
        server.close();
        Ok(())
    });
}
