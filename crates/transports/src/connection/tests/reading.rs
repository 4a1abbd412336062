//! Pausing, protocols with buffers, several conditions in one event, and taking turns.

use super::*;
use asyncio_task::to_thread;
use std::{os::fd::AsRawFd, time::Duration};

#[test]
fn reading_paused_in_the_first_callback_is_paused() {
    run_step_by_step(async {
        let log = Log::default();
        let (transport, mut theirs) =
            pair(Recorder::new(&log).on("made", Transport::pause_reading));
        theirs.write_all(b"wait")?;
        iterations(5).await?;
        assert!(!transport.is_reading());
        transport.pause_reading();
        drop(theirs);
        iterations(5).await?;
        assert_eq!(log.events(), "made");
        transport.resume_reading();
        assert!(transport.is_reading());
        transport.resume_reading();
        log.lost().await?;
        assert_eq!(log.events(), "made data eof lost");
        assert_eq!(log.received(), b"wait");
        Ok(())
    });
}

#[test]
fn pausing_from_a_callback_holds_back_what_is_left() {
    run_step_by_step(async {
        let log = Log::default();
        let (transport, mut theirs) =
            pair(Recorder::new(&log).on("data", Transport::pause_reading));
        theirs.write_all(b"one")?;
        log.wait("data").await?;
        theirs.write_all(b"two")?;
        iterations(5).await?;
        assert_eq!(log.received(), b"one");
        transport.resume_reading();
        log.until(|log| log.received() == b"onetwo").await?;
        // Paused and resumed while there is no data, which must not lose an event.
        transport.resume_reading();
        transport.pause_reading();
        transport.resume_reading();
        theirs.write_all(b"three")?;
        log.until(|log| log.received() == b"onetwothree").await
    });
}

#[test]
fn pausing_does_nothing_to_what_is_closing() {
    run(async {
        let log = Log::default();
        let (transport, _theirs) = pair(Recorder::new(&log));
        transport.write(vec![1; 5_000_000]);
        transport.close();
        transport.pause_reading();
        transport.resume_reading();
        assert!(!transport.is_reading());
        transport.abort();
        log.lost().await
    });
}

#[test]
fn a_buffered_protocol_gets_its_bytes_where_it_wants_them() {
    run(async {
        let log = Log::default();
        let (_transport, mut theirs) = pair(Filled::new(&log, 4));
        theirs.write_all(b"abcdefghij")?;
        drop(theirs);
        log.lost().await?;
        assert_eq!(log.events(), "made filled:abcd filled:efgh filled:ij eof lost");
        Ok(())
    });
}

#[test]
fn an_empty_buffer_is_an_error_that_ends_the_connection() {
    run(async {
        let log = Log::default();
        log.watch_handler()?;
        let (_transport, mut theirs) = pair(Filled::new(&log, 0));
        theirs.write_all(b"x")?;
        log.lost().await?;
        let error = "get_buffer() returned an empty buffer";
        let report = format!("Fatal error: protocol.get_buffer() call failed.: {error}");
        assert_eq!(log.events(), format!("made handler: {report} lost:{error}"));
        Ok(())
    });
}

#[test]
fn more_data_than_fit_into_one_read_and_the_end_in_one_event() {
    run_step_by_step(async {
        let log = Log::default();
        let (ours, theirs) = tcp_pair();
        let data: Vec<u8> = (0..1_000_000u32).map(|n| (n / 5) as u8).collect();
        let sent = data.clone();
        let writing = create_task(to_thread(move || (&theirs).write_all(&sent)));
        let _transport = connect(ours, Recorder::new(&log));
        writing.await??;
        log.lost().await?;
        assert!(log.received() == data);
        assert_eq!(log.events(), "made data eof lost");
        Ok(())
    });
}

#[test]
fn data_and_a_reset_in_one_event() {
    run_step_by_step(async {
        for size in [5, 100_000] {
            let log = Log::default();
            let (ours, theirs) = tcp_pair();
            (&theirs).write_all(&vec![b'x'; size])?;
            socket2::SockRef::from(&theirs).set_linger(Some(Duration::ZERO))?;
            drop(theirs);
            let _transport = connect(ours, Recorder::new(&log));
            log.lost().await?;
            assert_eq!(log.events(), "made data lost:ConnectionReset");
            assert!(log.received().len() <= size);
        }
        Ok(())
    });
}

#[test]
fn one_that_floods_does_not_keep_a_quiet_one_waiting() {
    run(async {
        let (flood, quiet) = (Log::default(), Log::default());
        let (flooded, theirs) = pair(Recorder::new(&flood));
        let writing = create_task(to_thread(move || {
            let block = vec![0; 1 << 20];
            while (&theirs).write_all(&block).is_ok() {}
        }));
        flood.wait("data").await?;
        let (_transport, mut theirs) = pair(Recorder::new(&quiet).staying_open());
        theirs.write_all(b"me too")?;
        quiet.wait("data").await?;
        // A callback does not wait either: there is one read in each iteration.
        let before = flood.received().len();
        iterations(1).await?;
        assert!(flood.received().len() - before <= 3 * crate::io::MAX_SIZE);
        flooded.abort();
        flood.lost().await?;
        writing.await
    });
}

#[test]
fn a_peer_that_sends_byte_by_byte() {
    run(async {
        let log = Log::default();
        let (_transport, theirs) = pair(Recorder::new(&log));
        let writing = create_task(to_thread(move || {
            for n in 0..=255 {
                (&theirs).write_all(&[n]).unwrap();
            }
        }));
        writing.await?;
        log.lost().await?;
        assert_eq!(log.received(), (0..=255).collect::<Vec<u8>>());
        Ok(())
    });
}

#[test]
fn a_number_that_was_closed_is_used_again() {
    run(async {
        for round in 0..20 {
            let log = Log::default();
            let (transport, mut theirs) = pair(Recorder::new(&log));
            log.wait("made").await?;
            let number = transport.get_extra_info(SOCKET).unwrap().fileno()?;
            transport.abort();
            log.lost().await?;
            iterations(1).await?;
            assert!(theirs.write(b"x").is_err(), "it is closed");

            let log = Log::default();
            let (ours, mut theirs) = UnixStream::pair()?;
            if ours.as_raw_fd() != number {
                // Only other tests of this process can have taken it meanwhile.
                continue;
            }
            let _transport = connect(ours, Recorder::new(&log));
            theirs.write_all(&[round])?;
            log.wait("data").await?;
            assert_eq!(log.received(), [round]);
        }
        Ok(())
    });
}
