//! Connections that are cancelled while they are made, and those that end immediately.

use super::*;
use asyncio_task::timeout;
use std::{
    pin::Pin,
    task::{Context, Waker},
    time::Duration,
};

#[test]
fn a_connect_that_times_out_makes_no_protocol() {
    run_step_by_step(async {
        use asyncio_core::AsyncContextManager;
        let (silent, _full) = silent();
        let log = Log::default();
        let factory = || Recorder::new(&log);
        let outcome = timeout(Duration::from_secs(1))
            .with(async |_| create_connection(factory, silent).await)
            .await;
        assert!(outcome.map(drop).unwrap_err().is_timeout());
        iterations(3).await?;
        assert_eq!(log.events(), "");
        Ok(())
    });
}

#[test]
fn a_connection_whose_making_is_cancelled_is_closed() {
    run(async {
        let (ours, mut theirs) = tcp_pair();
        let ours = Socket::try_from(ours)?;
        let log = Log::default();
        let protocol = Recorder::new(&log);
        let connecting = create_task(async move { create_connection(|| protocol, ours).await });
        // It is running, and waits for `connection_made`.
        iterations(1).await?;
        assert_eq!(log.events(), "");
        connecting.cancel();
        assert!(connecting.await.map(drop).unwrap_err().is_cancelled());
        log.lost().await?;
        assert_eq!(log.events(), "made lost");
        assert_eq!(theirs.read(&mut [0])?, 0);
        Ok(())
    });
}

#[test]
fn a_connection_whose_making_is_dropped_is_closed() {
    run(async {
        let (ours, mut theirs) = tcp_pair();
        let ours = Socket::try_from(ours)?;
        let log = Log::default();
        let mut connecting = connect_accepted_socket(|| Recorder::new(&log), ours);
        let mut cx = Context::from_waker(Waker::noop());
        assert!(Pin::new(&mut connecting).poll(&mut cx).is_pending());
        drop(connecting);
        log.lost().await?;
        assert_eq!(log.events(), "made lost");
        assert_eq!(theirs.read(&mut [0])?, 0);
        Ok(())
    });
}

#[test]
fn a_protocol_that_closes_in_connection_made_is_given_all_the_same() {
    run(async {
        let (_listener, address) = listener();
        let log = Log::default();
        let protocol = Recorder::new(&log).on("made", Transport::abort);
        let (transport, protocol) = create_connection(|| protocol, address).await?;
        assert!(transport.is_closing());
        log.lost().await?;
        assert!(transport.get_protocol::<Recorder>().is_none());
        assert_eq!(protocol.borrow().log.events(), "made lost");
        Ok(())
    });
}

#[test]
fn a_connection_that_was_reset_is_made_and_lost() {
    run(async {
        let (listener, address) = listener();
        let socket = Socket::new(Domain::IPV4, Type::STREAM, None)?;
        sock_connect(&socket, address).await?;
        let (accepted, _) = listener.accept()?;
        let accepted = socket2::Socket::from(accepted);
        accepted.set_linger(Some(Duration::ZERO))?;
        drop(accepted);
        let log = Log::default();
        let (transport, _) = create_connection(|| Recorder::new(&log), socket).await?;
        log.lost().await?;
        assert_eq!(log.events(), "made lost:ConnectionReset");
        assert!(transport.is_closing());
        Ok(())
    });
}

#[test]
fn without_a_loop_it_is_an_error() {
    let (ours, _theirs) = UnixStream::pair().unwrap();
    let ours = Socket::try_from(ours).unwrap();
    let mut connecting = connect_accepted_socket(Recorder::default, ours);
    let mut cx = Context::from_waker(Waker::noop());
    let mut poll = || match Pin::new(&mut connecting).poll(&mut cx) {
        std::task::Poll::Ready(outcome) => outcome.map(drop).unwrap_err().to_string(),
        std::task::Poll::Pending => panic!("it waits without a loop"),
    };
    assert_eq!(poll(), "connect_accepted_socket: no running event loop");
    assert_eq!(poll(), "connect_accepted_socket: awaited again after its end");
}

#[test]
fn without_a_loop_no_connection_is_made() {
    let place = Scratch::new("outside");
    let listener = UnixListener::bind(&place.0).unwrap();
    listener.set_nonblocking(true).unwrap();
    let factory = || -> Recorder { panic!("there is nothing for it to do") };
    let connecting = create_unix_connection(factory, &place.0);
    let error = futures_lite::future::block_on(connecting).map(drop).unwrap_err();
    assert_eq!(error.to_string(), "create_unix_connection: no running event loop");
    assert_eq!(listener.accept().unwrap_err().kind(), io::ErrorKind::WouldBlock);
}
