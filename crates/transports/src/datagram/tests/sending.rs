//! `sendto`: addresses, errors, flow control.

use super::*;
use crate::PEERNAME;
use std::{cell::Cell, sync::mpsc::RecvTimeoutError, time::Duration};

/// Sends until the system takes no more; returns the number of datagrams.
fn fill(transport: &DatagramTransport) -> usize {
    let mut count = 0;
    while transport.get_write_buffer_size() == 0 {
        transport.sendto(format!("{count}").as_bytes(), None);
        count += 1;
    }
    count
}

#[test]
fn with_a_remote_address_it_is_connected_and_sends_nowhere_else() {
    run(async {
        let (log, other) = (Log::default(), Log::default());
        log.watch_handler()?;
        let (_there, address) = endpoint(Recorder::new(&log)).await?;
        let (stranger, elsewhere) = endpoint(Recorder::new(&other)).await?;
        let creating = create_datagram_endpoint(|| Recorder::new(&other)).remote_addr(&address);
        let (here, _) = creating.await?;
        assert_eq!(here.get_extra_info(PEERNAME), Some(address.clone()));
        here.sendto(b"1", None);
        here.sendto(b"2", &address);
        here.sendto(b"3", &elsewhere);
        // The system drops datagrams of other senders.
        stranger.sendto(b"4", name(&here));
        here.sendto(b"ask", None);
        other.wait("<answer>").await?;
        let refusal = format!("Invalid address: must be None or {address}, not {elsewhere}");
        let report = format!("handler: transport.sendto() failed: {refusal}");
        assert_eq!(log.events(), format!("made {report} <1> <2> <ask>"));
        assert_eq!(other.events(), "made made <answer>");
        Ok(())
    });
}

#[test]
fn what_is_no_address_is_an_error_for_the_handler() {
    run(async {
        let log = Log::default();
        log.watch_handler()?;
        let (here, address) = endpoint(Recorder::new(&log)).await?;
        here.sendto(b"x", None);
        here.sendto(b"x", ("localhost", 1));
        here.sendto(b"x", "127.0.0.1");
        here.sendto(b"x", std::path::PathBuf::from("/x".repeat(100)));
        let events = log.events();
        let mut expected = [
            "made",
            "sendto: no address to send to",
            "sendto: \"localhost\" is not an IP address",
            "sendto: \"127.0.0.1\" is not an IP address with a port",
            "sendto: /x/x",
        ]
        .into_iter();
        assert!(
            events.split(" handler: transport.sendto() failed: ").all(|event| {
                expected.next().is_some_and(|expected| event.starts_with(expected))
            })
        );
        assert!(expected.next().is_none(), "{events}");
        // These are.
        let port = address.as_inet().unwrap().port();
        here.sendto(b"1", ("127.0.0.1", port));
        here.sendto(b"2", &*format!("127.0.0.1:{port}"));
        log.wait("<2>").await?;
        assert!(log.events().ends_with(" <1> <2>"));
        Ok(())
    });
}

#[test]
fn a_refusal_is_told_and_the_transport_stays_open() {
    run(async {
        let log = Log::default();
        let (gone, address) = endpoint(Recorder::default()).await?;
        gone.abort();
        iterations(2).await?;
        let creating = create_datagram_endpoint(|| Recorder::new(&log)).remote_addr(&address);
        let (here, _) = creating.await?;
        here.sendto(b"anyone?", None);
        log.wait("error:ConnectionRefused").await?;
        assert!(!here.is_closing());
        // Now there is a receiver; the earlier refusal does not stop it.
        let there = Log::default();
        let creating = create_datagram_endpoint(|| Recorder::new(&there)).local_addr(&address);
        let (_back, _) = creating.await?;
        here.sendto(b"ask", None);
        log.wait("<answer>").await?;
        assert_eq!(log.events(), "made error:ConnectionRefused <answer>");
        Ok(())
    });
}

#[test]
fn an_error_of_sending_is_told_at_once_but_not_inside_of_a_callback() {
    run_step_by_step(async {
        // No datagram is as long as this.
        let too_long = Rc::new(vec![0; 70_000]);
        let log = Log::default();
        let (again, soon) = (too_long.clone(), log.clone());
        let tries = Cell::new(0);
        let protocol = Recorder::new(&log).on("error", move |here| {
            if tries.replace(tries.get() + 1) < 3 {
                here.sendto(&**again, name(here));
                soon.add("sent");
            }
        });
        let (here, address) = endpoint(protocol).await?;
        here.sendto(&**too_long, &address);
        let error = format!("error:{:?}", io::Error::from_raw_os_error(nix::libc::EMSGSIZE).kind());
        assert_eq!(log.events(), format!("made {error} sent"));
        log.until(|log| log.count(&error) == 4).await?;
        assert_eq!(log.count("sent"), 3);
        assert!(!here.is_closing());
        Ok(())
    });
}

#[test]
fn a_full_socket_buffers_and_pauses_and_sends_all_in_order() {
    run(async {
        let log = Log::default();
        let (here, there) = pair(Recorder::new(&log)).await?;
        here.set_write_buffer_limits(Some(20), Some(10))?;
        let mut count = fill(&here);
        // Each has eight bytes more than its data.
        assert_eq!(here.get_write_buffer_size(), 8 + (count - 1).to_string().len());
        assert_eq!(log.events(), "made");
        while here.get_write_buffer_size() <= 20 {
            here.sendto(format!("{count}").as_bytes(), None);
            count += 1;
        }
        assert_eq!(log.events(), "made pause");
        let before = here.get_write_buffer_size();
        here.sendto(b"", None);
        assert_eq!(here.get_write_buffer_size(), before + 8);
        let mut all = drain(&there);
        log.wait("resume").await?;
        all.extend(drain(&there));
        while all.len() <= count {
            iterations(1).await?;
            all.extend(drain(&there));
        }
        let mut expected: Vec<_> = (0..count).map(|n| n.to_string()).collect();
        expected.push(String::new());
        assert_eq!(all, expected);
        assert_eq!(here.get_write_buffer_size(), 0);
        assert_eq!(log.events(), "made pause resume");
        Ok(())
    });
}

#[test]
fn close_sends_what_is_buffered_and_abort_does_not() {
    run(async {
        for closing in [true, false] {
            let log = Log::default();
            let (here, there) = pair(Recorder::new(&log)).await?;
            let count = fill(&here);
            here.sendto(b"last", None);
            match closing {
                true => here.close(),
                false => here.abort(),
            }
            assert_eq!(here.get_write_buffer_size() > 0, closing);
            iterations(3).await?;
            assert_eq!(log.events(), if closing { "made" } else { "made lost" });
            let mut all = drain(&there);
            log.lost().await?;
            all.extend(drain(&there));
            assert_eq!(all.len(), if closing { count + 1 } else { count - 1 });
            assert_eq!(all.last().unwrap() == "last", closing);
            assert_eq!(log.events(), "made lost");
        }
        Ok(())
    });
}

#[test]
fn what_a_callback_buffers_pauses_it_right_afterwards() {
    run_step_by_step(async {
        let log = Log::default();
        let after = log.clone();
        let first = Cell::new(true);
        let protocol = Recorder::new(&log).on("datagram", move |here| {
            // The second comes without an event that would also tell of room.
            if first.replace(false) {
                return;
            }
            here.set_write_buffer_limits(Some(0), None).unwrap();
            let later = after.clone();
            get_running_loop().unwrap().call_soon(move || later.add("later")).unwrap();
            fill(here);
            after.add("filled");
        });
        let (_here, there) = pair(protocol).await?;
        there.send(b"x")?;
        there.send(b"y")?;
        log.wait("later").await?;
        assert_eq!(log.events(), "made <x> <y> filled pause later");
        drain(&there);
        log.wait("resume").await?;
        Ok(())
    });
}

#[test]
fn while_it_is_closing_nothing_is_told() {
    run_step_by_step(async {
        let log = Log::default();
        let (here, there) = pair(Recorder::new(&log)).await?;
        iterations(3).await?;
        fill(&here);
        here.close();
        there.send(b"x")?;
        iterations(3).await?;
        drain(&there);
        log.lost().await?;
        assert_eq!(log.events(), "made lost");
        Ok(())
    });
}

/// A guard against a test that hangs without waiting.
fn abort_unless_dropped() -> std::sync::mpsc::Sender<()> {
    let (guard, dropped) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        if let Err(RecvTimeoutError::Timeout) = dropped.recv_timeout(Duration::from_secs(30)) {
            std::process::abort();
        }
    });
    guard
}

#[test]
fn a_full_unix_socket_that_it_is_not_connected_to_is_tried_again() {
    run_step_by_step(async {
        let directory = Directory::new("full");
        let path = directory.path("receiver");
        let there = std::os::unix::net::UnixDatagram::bind(&path)?;
        there.set_nonblocking(true)?;
        let there = socket2::Socket::from(there);
        // Another sender fills it, so the system has nothing to report to us.
        let stranger = std::os::unix::net::UnixDatagram::unbound()?;
        stranger.set_nonblocking(true)?;
        while stranger.send_to(b"stranger", &path).is_ok() {}
        let log = Log::default();
        let creating = create_datagram_endpoint(|| Recorder::new(&log)).family(Domain::UNIX);
        let (here, _) = creating.await?;
        // It is told once that it can send, which was already true.
        iterations(3).await?;
        here.sendto(b"1", &*path);
        here.sendto(b"2", path.to_str().unwrap());
        assert_eq!(here.get_write_buffer_size(), 18);
        // The loop waits between attempts, or else virtual time would stand still.
        let guard = abort_unless_dropped();
        asyncio_task::sleep(Duration::from_millis(20)).await?;
        drop(guard);
        assert_eq!(here.get_write_buffer_size(), 18);
        let before = drain(&there);
        assert!(before.iter().all(|data| data == "stranger"));
        while here.get_write_buffer_size() > 0 {
            asyncio_task::sleep(Duration::from_millis(1)).await?;
        }
        assert_eq!(drain(&there), ["1", "2"]);
        assert_eq!(log.events(), "made");
        Ok(())
    });
}

#[test]
fn broadcast_reaches_a_socket_of_this_machine() {
    run(async {
        let log = Log::default();
        let creating = create_datagram_endpoint(|| Recorder::new(&log));
        let (there, _) = creating.local_addr(("0.0.0.0", 0)).await?;
        let everyone = ("127.255.255.255", name(&there).as_inet().unwrap().port());
        let plain = Log::default();
        let (without, _) = endpoint(Recorder::new(&plain)).await?;
        without.sendto(b"x", everyone);
        assert_eq!(plain.events(), "made error:PermissionDenied");
        let creating = create_datagram_endpoint(Recorder::default).allow_broadcast(true);
        let (here, _) = creating.remote_addr(everyone).await?;
        assert_eq!(here.get_extra_info(PEERNAME), None, "not connected");
        here.sendto(b"to all", None);
        here.sendto(b"again", everyone);
        log.wait("<again>").await?;
        assert_eq!(log.events(), "made <to all> <again>");
        Ok(())
    });
}

#[test]
fn an_error_while_the_buffer_is_sent_does_not_stop_the_rest() {
    run(async {
        let log = Log::default();
        let (here, there) = pair(Recorder::new(&log)).await?;
        fill(&here);
        here.sendto(vec![0; 1 << 20], None);
        here.sendto(b"end", None);
        here.close();
        let mut all = drain(&there);
        log.lost().await?;
        all.extend(drain(&there));
        assert_eq!(all.last().unwrap(), "end");
        let error = format!("{:?}", io::Error::from_raw_os_error(nix::libc::EMSGSIZE).kind());
        assert_eq!(log.events(), format!("made pause error:{error} resume lost"));
        Ok(())
    });
}

#[test]
fn what_is_sent_after_the_end_is_dropped() {
    run(async {
        let log = Log::default();
        let (there, address) = endpoint(Recorder::new(&log)).await?;
        let (here, _) = create_datagram_endpoint(Recorder::default).remote_addr(&address).await?;
        here.close();
        here.sendto(b"1", None);
        iterations(2).await?;
        for _ in 0..6 {
            here.sendto(b"2", None);
        }
        there.sendto(b"3", &address);
        log.wait("<3>").await?;
        assert_eq!(log.events(), "made <3>");
        Ok(())
    });
}

#[test]
fn the_marks_follow_from_each_other() {
    run(async {
        let (here, _) = endpoint(Recorder::default()).await?;
        assert_eq!(here.get_write_buffer_limits(), (16 * 1024, 64 * 1024));
        here.set_write_buffer_limits(None, Some(100))?;
        assert_eq!(here.get_write_buffer_limits(), (100, 400));
        assert!(here.set_write_buffer_limits(Some(1), Some(2)).is_err());
        assert_eq!(here.get_write_buffer_limits(), (100, 400));
        Ok(())
    });
}
