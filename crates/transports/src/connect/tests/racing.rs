//! Several addresses at a time: Happy Eyeballs, in virtual time.

use super::*;
use crate::connect::attempts::{Attempts, Options, interleaved};
use asyncio_core::{raw::sync::Arc, wait_site::WaitSite};
use asyncio_loop::get_running_loop;
use asyncio_sockets::AddrInfo;
use std::time::Duration;

const DELAY: Duration = Duration::from_millis(250);

fn info(address: SocketAddr) -> AddrInfo {
    let protocol = Some(Protocol::TCP);
    let family = Domain::for_address(address);
    let address = address.into();
    AddrInfo { family, kind: Type::STREAM, protocol, canonical_name: None, address }
}

/// Returns where a race ended, and after what time.
async fn race(addresses: &[SocketAddr]) -> Result<(Option<SocketAddr>, Duration)> {
    let site = WaitSite::here(&"create_connection");
    let attempts = Arc::new(Attempts { local: None, failures: Default::default(), site });
    let event_loop = get_running_loop()?;
    let start = event_loop.time();
    let addresses = addresses.iter().map(|address| info(*address)).collect();
    let winner = attempts.race(addresses, DELAY).await?;
    let peer = winner.map(|socket| socket.peer_addr().unwrap().as_inet().unwrap());
    Ok((peer, event_loop.time() - start))
}

#[test]
fn the_next_is_tried_after_the_delay_if_one_does_not_answer() {
    run_step_by_step(async {
        let ((silent, _full), (_listener, address)) = (silent(), listener());
        assert_eq!(race(&[silent, address]).await?, (Some(address), DELAY));
        assert_eq!(race(&[silent, silent, address]).await?, (Some(address), 2 * DELAY));
        Ok(())
    });
}

#[test]
fn the_next_is_tried_at_once_if_one_is_refused() {
    run_step_by_step(async {
        let (_listener, address) = listener();
        assert_eq!(race(&[refusing(), address]).await?, (Some(address), Duration::ZERO));
        assert_eq!(race(&[refusing(), refusing()]).await?, (None, Duration::ZERO));
        Ok(())
    });
}

#[test]
fn the_first_that_answers_at_once_has_no_rivals() {
    run_step_by_step(async {
        let ((_listener, address), (other, there)) = (listener(), listener());
        assert_eq!(race(&[address, there]).await?, (Some(address), Duration::ZERO));
        other.set_nonblocking(true)?;
        assert_eq!(other.accept().unwrap_err().kind(), io::ErrorKind::WouldBlock);
        Ok(())
    });
}

#[test]
fn a_name_whose_first_address_is_refused_is_connected_without_delay() {
    let Some((_v4, v6, port)) = both_families() else { return };
    run_step_by_step(async move {
        drop(v6);
        let connecting = create_connection(Recorder::default, ("", port));
        let (transport, _) = connecting.happy_eyeballs_delay(DELAY).await?;
        let peer = transport.get_extra_info(PEERNAME).unwrap().to_string();
        assert_eq!(peer, format!("127.0.0.1:{port}"));
        assert_eq!(get_running_loop()?.time(), Duration::ZERO);
        transport.abort();
        Ok(())
    });
}

#[test]
fn a_delay_implies_that_families_take_turns_unless_something_else_is_said() {
    let count =
        |delay, interleave| Options { delay, interleave, ..Options::default() }.first_count();
    assert_eq!((count(None, None), count(None, Some(2))), (0, 2));
    assert_eq!((count(Some(DELAY), None), count(Some(DELAY), Some(0))), (1, 0));
}

#[test]
fn addresses_are_interleaved_by_family() {
    fn order(found: &str, first_count: usize) -> String {
        let address = |n: char| match n.is_ascii_lowercase() {
            true => SocketAddr::from(([0, 0, 0, n as u8], 1)),
            false => SocketAddr::from(([0, 0, 0, 0, 0, 0, 0, n as u16], 1)),
        };
        let name = |info: AddrInfo| {
            let last = match info.address.as_inet().unwrap().ip() {
                std::net::IpAddr::V4(ip) => ip.octets()[3],
                std::net::IpAddr::V6(ip) => ip.octets()[15],
            };
            char::from(last)
        };
        let found = found.chars().map(|n| info(address(n))).collect();
        interleaved(found, first_count).into_iter().map(name).collect()
    }
    assert_eq!(order("ABCDabc", 1), "AaBbCcD");
    assert_eq!(order("ABCDabc", 2), "ABaCbDc");
    assert_eq!(order("ABab", 9), "ABab");
    assert_eq!(order("aABC", 1), "aABC");
    assert_eq!(order("abc", 2), "abc");
    assert_eq!(order("", 1), "");
}

#[test]
fn the_wait_site_is_the_line_of_the_call() {
    run_step_by_step(async {
        let (silent, _full) = silent();
        for delay in [None, Some(DELAY)] {
            let line = line!() + 2;
            let connecting = create_task(async move {
                create_connection(Recorder::default, silent).happy_eyeballs_delay(delay).await
            });
            iterations(5).await?;
            let site = connecting.wait_site().unwrap();
            assert_eq!((site.what(), site.location().line()), ("create_connection", line));
            assert_eq!(site.location().file(), file!());
            connecting.cancel();
            assert!(connecting.await.map(drop).unwrap_err().is_cancelled());
        }
        Ok(())
    });
}
