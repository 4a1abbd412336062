//! `start_tls`, and TLS over TLS.

use super::*;
use std::{cell::RefCell, rc::Rc};

/// Two ends of a connection without TLS, with their protocols.
type End = (Transport, Rc<RefCell<Recorder>>, Log);

async fn ends() -> Result<(End, End)> {
    let (one, other) = tcp_pair();
    let end = async |stream: std::net::TcpStream| {
        let log = Log::default();
        let ours = log.clone();
        let socket = Socket::try_from(stream)?;
        let (transport, protocol) =
            connect_accepted_socket(move || Recorder::new(&ours), socket).await?;
        Ok::<_, Error>((transport, protocol, log))
    };
    Ok((end(one).await?, end(other).await?))
}

/// Upgrades both.
async fn upgrade(client: &End, server: &End) -> Result<(End, End)> {
    let accepting = start_tls(&server.0, server.1.clone(), server_context()).server_side(true);
    let accepting = asyncio_task::create_task(async move { accepting.await });
    let ours =
        start_tls(&client.0, client.1.clone(), client_context()).server_hostname(HOST).await?;
    let theirs = accepting.await?;
    let (client, server) = (client.clone(), server.clone());
    Ok(((ours, client.1, client.2), (theirs, server.1, server.2)))
}

#[test]
fn a_connection_is_upgraded_and_made_once() {
    run(async {
        let (client, server) = ends().await?;
        client.0.write(b"plain");
        server.2.wait("data").await?;
        let (client, server) = upgrade(&client, &server).await?;
        assert!(client.0.get_extra_info(SSL_OBJECT).is_some());
        client.0.write(b" and secret");
        server.2.until(|log| log.received() == b"plain and secret").await?;
        server.0.write(b"answer");
        client.2.wait("data").await?;
        client.0.close();
        client.2.lost().await?;
        server.2.lost().await?;
        assert_eq!(client.2.events(), "made data eof lost");
        assert_eq!(server.2.events(), "made data eof lost");
        Ok(())
    });
}

#[test]
fn tls_goes_over_tls() {
    run(async {
        let (client, server) = ends().await?;
        let (client, server) = upgrade(&client, &server).await?;
        let (client, server) = upgrade(&client, &server).await?;
        assert!(client.0.get_extra_info(SOCKET).is_some());
        let data: Vec<u8> = (0..3_000_000u32).map(|n| (n % 251) as u8).collect();
        client.0.write(&data);
        server.0.write(b"answer");
        server.2.until(|log| log.received().len() == data.len()).await?;
        assert!(server.2.received() == data);
        client.2.wait("data").await?;
        client.0.close();
        client.2.lost().await?;
        server.2.lost().await?;
        assert_eq!((client.2.count("lost"), server.2.count("lost")), (1, 1));
        Ok(())
    });
}

/// In a process of its own, because a process has one log.
#[test]
fn tls_over_tls_ends_without_a_warning() {
    let output = std::process::Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "ssl::tests::upgrading::tls_goes_over_tls", "--nocapture"])
        .output()
        .unwrap();
    let (text, log) = (String::from_utf8_lossy(&output.stdout), &output.stderr);
    assert!(text.contains("1 passed"), "{text}");
    assert_eq!(String::from_utf8_lossy(log), "");
}

#[test]
fn what_was_received_before_is_moved_into_tls() {
    run(async {
        let (client, server) = ends().await?;
        let shaking =
            start_tls(&client.0, client.1.clone(), client_context()).server_hostname(HOST);
        let shaking = asyncio_task::create_task(async move { shaking.await });
        server.2.wait("data").await?;
        let hello = server.2.received();
        assert_eq!(hello[0], 0x16, "the beginning of a handshake");
        let accepting = start_tls(&server.0, server.1.clone(), server_context()).server_side(true);
        let theirs = accepting.received(hello).await?;
        shaking.await?.write(b"secret");
        server.2.until(|log| log.received().ends_with(b"secret")).await?;
        theirs.abort();
        server.2.lost().await
    });
}

#[test]
fn a_failure_or_a_cancellation_closes_the_connection() {
    run(async {
        let (client, server) = ends().await?;
        server.0.write(b"no TLS");
        let error = start_tls(&client.0, client.1.clone(), client_context())
            .server_hostname(HOST)
            .await
            .unwrap_err();
        assert!(
            error.to_string().starts_with("start_tls: the other side speaks no TLS"),
            "{error}"
        );
        client.2.lost().await?;
        server.2.lost().await?;

        let (client, server) = ends().await?;
        let shaking =
            start_tls(&client.0, client.1.clone(), client_context()).server_hostname(HOST);
        let shaking = asyncio_task::create_task(async move { shaking.await });
        server.2.wait("data").await?;
        shaking.cancel();
        assert!(shaking.await.unwrap_err().is_cancelled());
        client.2.lost().await?;
        server.2.lost().await?;
        assert_eq!(client.2.events(), "made lost");
        Ok(())
    });
}

#[test]
fn a_connection_that_is_aborted_beneath_ends_the_handshake_above() {
    run(async {
        for over_tls in [false, true] {
            let (mut client, mut server) = ends().await?;
            if over_tls {
                (client, server) = upgrade(&client, &server).await?;
            }
            let shaking = start_tls(&client.0, client.1.clone(), client_context());
            let shaking = shaking.server_hostname(HOST);
            let shaking = asyncio_task::create_task(async move { shaking.await });
            server.2.wait("data").await?;
            client.0.abort();
            let Error::Io(error) = shaking.await.unwrap_err() else { panic!("another error") };
            assert_eq!(error.kind(), std::io::ErrorKind::ConnectionAborted);
            client.2.lost().await?;
            server.2.lost().await?;
        }
        Ok(())
    });
}

#[test]
fn the_protocol_can_be_replaced_and_is_told_of_the_rest() {
    run(async {
        let pair = pair().await?;
        let server = pair.server.clients().remove(0);
        server.write(b"one");
        pair.ours.wait("data").await?;
        let next = Log::default();
        pair.client.set_protocol(Recorder::new(&next))?;
        assert!(pair.client.get_protocol::<Recorder>().is_some());
        server.write(b"two");
        next.wait("data").await?;
        pair.client.close();
        next.lost().await?;
        assert_eq!((pair.ours.received(), next.received()), (b"one".to_vec(), b"two".to_vec()));
        assert_eq!(next.events(), "data eof lost");
        assert!(pair.client.get_extra_info(SOCKET).is_none());
        assert!(pair.client.get_extra_info(SSL_OBJECT).is_some());
        Ok(())
    });
}

#[test]
fn arguments_that_do_not_fit_leave_the_connection_as_it_is() {
    run(async {
        let (client, server) = ends().await?;
        let upgrade = |ssl: Ssl| start_tls(&client.0, client.1.clone(), ssl);
        let text = |outcome: Result<Transport>| outcome.unwrap_err().to_string();
        assert!(text(upgrade(true.into()).await).contains("server_hostname must be set"));
        assert!(text(upgrade(false.into()).server_hostname("x").await).contains("start_tls: "));
        let server_side = upgrade(client_context().into()).server_side(true);
        assert!(text(server_side.await).contains("Purpose::ClientAuth"));
        client.0.write(b"still plain");
        server.2.wait("data").await?;
        client.0.abort();
        client.2.lost().await?;
        assert!(text(upgrade(true.into()).server_hostname(HOST).await).contains("has ended"));
        Ok(())
    });
}
