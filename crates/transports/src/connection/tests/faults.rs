//! Panics, protocols in use, other threads, and loops that are closed.

use super::*;
use asyncio_loop::EventLoop;
use asyncio_task::to_thread;
use std::{process::Command, thread};

fn panics(_: &Transport) {
    panic!("oh");
}

/// Returns the outcome of a connection whose protocol panics in a callback.
fn outcome(event: &'static str, does: impl FnOnce(&Transport, UnixStream) + 'static) -> String {
    let log = Log::default();
    let seen = log.clone();
    run(async move {
        log.watch_handler()?;
        let (transport, theirs) = pair(Recorder::new(&log).on(event, panics));
        iterations(2).await?;
        does(&transport, theirs);
        log.wait(event).await?;
        iterations(3).await?;
        if log.count("lost") == 0 && !transport.is_closing() {
            log.add("goes-on");
        }
        transport.abort();
        Ok(())
    });
    seen.events()
}

#[test]
fn a_panic_in_a_callback_is_reported_and_ends_the_connection() {
    let fatal =
        |what| format!("handler: Fatal error: protocol.{what}() call failed.: panicked: oh");
    let (data, eof) = (fatal("data_received"), fatal("eof_received"));
    let ended = "lost:panicked: oh";
    let seen = outcome("data", |_, mut theirs| theirs.write_all(b"x").unwrap());
    assert_eq!(seen, format!("made data {data} {ended}"));
    let seen = outcome("eof", |_, theirs| drop(theirs));
    assert_eq!(seen, format!("made eof {eof} {ended}"));
}

#[test]
fn a_panic_where_nothing_can_fail_is_reported_and_the_connection_goes_on() {
    let report = |what| format!("handler: Exception in callback protocol.{what}(): panicked: oh");
    let flow = |what| format!("handler: protocol.{what}() failed: panicked: oh");
    let (made, lost) = (report("connection_made"), report("connection_lost"));
    assert!(outcome("made", |_, _| {}).starts_with(&format!("made {made}")));
    let seen = outcome("lost", |transport, _| transport.close());
    assert_eq!(seen, format!("made lost {lost}"));
    let seen = outcome("pause", |transport, theirs| {
        transport.write(vec![0; 1 << 22]);
        std::mem::forget(theirs);
    });
    assert_eq!(seen, format!("made pause {} goes-on lost", flow("pause_writing")));
}

#[test]
fn a_panic_in_a_protocol_with_buffers_is_reported_and_ends_the_connection() {
    struct Bad(&'static str, Log, [u8; 8]);
    impl BufferedProtocol for Bad {
        fn connection_lost(&mut self, _: &Transport, error: Option<Error>) {
            self.1.add(format!("lost:{}", error.unwrap()));
        }
        fn get_buffer(&mut self, _: &Transport) -> &mut [u8] {
            assert!(self.0 != "get_buffer", "oh");
            &mut self.2
        }
        fn buffer_updated(&mut self, _: &Transport, _: usize) {
            assert!(self.0 != "buffer_updated", "oh");
        }
    }
    for callback in ["get_buffer", "buffer_updated"] {
        run(async move {
            let log = Log::default();
            log.watch_handler()?;
            let (_transport, mut theirs) = pair(Bad(callback, log.clone(), [0; 8]));
            theirs.write_all(b"x")?;
            log.lost().await?;
            let report = format!("Fatal error: protocol.{callback}() call failed.: panicked: oh");
            assert_eq!(log.events(), format!("handler: {report} lost:panicked: oh"));
            Ok(())
        });
    }
}

#[test]
#[allow(clippy::await_holding_refcell_ref)] // Which is what this is about.
fn a_protocol_that_is_still_borrowed_is_an_error_and_no_panic() {
    run(async {
        let log = Log::default();
        log.watch_handler()?;
        let (transport, mut theirs) = pair(Recorder::new(&log));
        iterations(2).await?;
        let protocol = transport.get_protocol::<Recorder>().unwrap();
        let held = protocol.borrow();
        theirs.write_all(b"x")?;
        log.until(|log| log.events().contains("data_received")).await?;
        drop(held);
        log.lost().await?;
        let error = "the protocol is in use: its RefCell is borrowed outside of its callbacks";
        let report = format!("Fatal error: protocol.data_received() call failed.: {error}");
        assert_eq!(log.events(), format!("made handler: {report} lost:{error}"));
        Ok(())
    });
}

#[test]
fn handles_work_from_other_threads() {
    run(async {
        let log = Log::default();
        log.watch_handler()?;
        let (transport, mut theirs) = pair(Recorder::new(&log).staying_open());
        log.wait("made").await?;
        let there = transport.clone();
        let spoke = create_task(to_thread(move || {
            assert!(!there.is_closing() && !there.is_reading());
            there.pause_reading();
            there.write(b"from ");
            there.writelines([b"afar".as_slice(), b"!"]);
            there.write_eof();
            there.write(b"too late");
            assert!(there.set_protocol(Recorder::default()).is_err());
            assert!(there.get_protocol::<Recorder>().is_none());
            assert_eq!(there.get_write_buffer_size(), 0);
        }));
        spoke.await?;
        log.until(|log| log.events().contains("handler")).await?;
        let mut all = Vec::new();
        theirs.read_to_end(&mut all)?;
        assert_eq!(all, b"from afar!");
        assert!(!transport.is_reading());
        let there = transport.clone();
        create_task(to_thread(move || there.close())).await?;
        log.lost().await?;
        create_task(to_thread(move || (transport.close(), transport.write(b"x")))).await?;
        let refused = "transport.write() failed: Cannot call write() after write_eof()";
        assert_eq!(log.events(), format!("made handler: {refused} lost"));
        Ok(())
    });
}

#[test]
fn a_loop_that_is_closed_closes_its_connections_and_drops_their_protocols_uncalled() {
    let log = Log::default();
    let event_loop = EventLoop::builder().build().unwrap();
    let (seen, copy) = (log.clone(), Rc::new(()));
    let held = copy.clone();
    let (transport, mut theirs) = event_loop
        .run_until_complete(async move {
            let (transport, theirs) =
                pair(Recorder::new(&seen).on("data", move |_| drop(held.clone())));
            iterations(2).await?;
            transport.write(vec![1; 5_000_000]);
            iterations(3).await?;
            Ok((transport, theirs))
        })
        .unwrap();
    assert_eq!(Rc::strong_count(&copy), 2);
    event_loop.close().unwrap();
    assert_eq!((&*log.events(), Rc::strong_count(&copy)), ("made pause", 1));
    let mut all = Vec::new();
    theirs.read_to_end(&mut all).unwrap();
    assert!(all.len() < 5_000_000);
    transport.write(b"x");
    transport.close();
    assert!(!transport.is_reading());
    assert!(transport.set_protocol(Recorder::default()).is_err());
    thread::spawn(move || transport.abort()).join().unwrap();
}

#[test]
fn no_descriptor_is_left_after_thousands_of_connections() {
    run(async {
        let open = || std::fs::read_dir("/dev/fd").map(|all| all.count());
        let before = open()?;
        for round in 0..2000 {
            let log = Log::default();
            let (transport, theirs) = pair(Recorder::new(&log));
            log.wait("made").await?;
            match round % 4 {
                0 => transport.close(),
                1 => transport.abort(),
                2 => drop(theirs),
                _ => transport.write(vec![0; 300_000]),
            }
            if round % 4 == 3 {
                transport.abort();
            }
            log.lost().await?;
            assert!(log.events().starts_with("made "));
        }
        iterations(2).await?;
        // Other tests of this process may have some open.
        assert!(open()? < before + 500);
        Ok(())
    });
}

const SCENE: &str = "ASYNCIO_TEST_SCENE";

/// Runs one of the scenes below in a process of its own, and returns its standard error output.
fn play(scene: &str) -> String {
    let output = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "connection::tests::faults::a_scene_of_its_own_process", "--nocapture"])
        .env(SCENE, scene)
        .output()
        .unwrap();
    let error = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "scene `{scene}` failed: {error}");
    error
}

/// The other process; in the first one it does nothing.
#[test]
fn a_scene_of_its_own_process() {
    let Ok(scene) = std::env::var(SCENE) else { return };
    match &*scene {
        "lost" => run(async {
            let log = Log::default();
            let (transport, theirs) = pair(Recorder::new(&log).staying_open());
            log.wait("made").await?;
            drop(theirs);
            transport.write(b"this ends it");
            for _ in 0..3 {
                transport.write(b"x");
            }
            log.lost().await?;
            iterations(2).await?;
            transport.write(b"");
            transport.write(b"fourth");
            eprintln!("quiet until here");
            transport.write(b"fifth");
            transport.writelines([b"sixth"]);
            Ok(())
        }),
        "unclosed" => {
            let event_loop = EventLoop::builder().debug(true).build().unwrap();
            let transport = event_loop.run_until_complete(async {
                let (transport, theirs) = pair(Recorder::default());
                iterations(2).await?;
                Ok((transport, theirs))
            });
            event_loop.close().unwrap();
            drop(transport);
        }
        "debug" => run(async {
            get_running_loop()?.set_debug(true);
            let log = Log::default();
            let (transport, theirs) = pair(Recorder::new(&log).staying_open());
            log.wait("made").await?;
            drop(theirs);
            transport.write(b"this ends it");
            log.lost().await
        }),
        other => panic!("no scene {other}"),
    }
}

#[test]
fn writes_to_a_lost_connection_are_worth_a_warning_from_the_fifth_on() {
    let error = play("lost");
    let mut lines = error.lines().skip_while(|line| *line != "quiet until here");
    assert!(!error.split("quiet until here").next().unwrap().contains("raised"), "{error}");
    lines.next().unwrap();
    assert_eq!(lines.filter(|line| *line == "socket.send() raised exception.").count(), 2);
}

#[test]
fn a_connection_that_its_loop_drops_is_a_warning_in_debug_mode() {
    let error = play("unclosed");
    assert!(error.lines().any(|line| line.starts_with("unclosed transport <Transport")), "{error}");
    assert!(!play("lost").contains("unclosed transport"));
}

#[test]
fn an_error_of_the_system_is_logged_in_debug_mode_alone() {
    let error = play("debug");
    assert!(error.contains("Fatal write error on a transport"), "{error}");
    assert!(!play("lost").contains("Fatal"));
}
