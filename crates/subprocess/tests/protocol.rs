//! Transports and protocols of child processes. Some tests look at all children of this process, so
//! they take turns.

mod common;

use asyncio_core::{Error, Result};
use asyncio_future::Future;
use asyncio_subprocess::{
    DEVNULL, STDOUT, Stdio, SubprocessProtocol, SubprocessTransport, subprocess_exec,
    subprocess_shell,
};
use asyncio_task::{create_task, sleep};
use bytes::Bytes;
use common::{children, descriptors, is_alive, run, zombies};
use std::{
    future::IntoFuture,
    rc::Rc,
    sync::{Mutex, MutexGuard},
    time::Duration,
};

const YIELD: Duration = Duration::ZERO;
const NONE: [&str; 0] = [];

fn turn() -> MutexGuard<'static, ()> {
    static TURN: Mutex<()> = Mutex::new(());
    TURN.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
}

/// Writes down what it is called with.
struct Recorder {
    events: Vec<String>,
    data: [Vec<u8>; 3],
    /// Done when the process has exited, and when all is over.
    exited: Future<()>,
    lost: Future<()>,
}

impl Recorder {
    fn new() -> Recorder {
        let [exited, lost] = [Future::new(), Future::new()];
        Recorder { events: Vec::new(), data: Default::default(), exited, lost }
    }

    fn place(&self, event: &str) -> usize {
        let places = self.events.iter().enumerate().filter(|(_, e)| *e == event);
        let places: Vec<usize> = places.map(|(place, _)| place).collect();
        assert_eq!(places.len(), 1, "{event} in {:?}", self.events);
        places[0]
    }
}

impl SubprocessProtocol for Recorder {
    fn connection_made(&mut self, transport: &SubprocessTransport) {
        assert!(transport.get_pid() > 0);
        self.events.push("made".to_owned());
    }

    fn pipe_data_received(&mut self, _: &SubprocessTransport, fd: i32, data: Bytes) {
        assert!(!data.is_empty());
        self.data[fd as usize].extend(data);
        if self.events.last() != Some(&format!("data {fd}")) {
            self.events.push(format!("data {fd}"));
        }
    }

    fn pipe_connection_lost(&mut self, _: &SubprocessTransport, fd: i32, error: Option<Error>) {
        assert!(error.is_none(), "{error:?}");
        self.events.push(format!("lost {fd}"));
    }

    fn process_exited(&mut self, transport: &SubprocessTransport) {
        self.events.push(format!("exited {}", transport.get_returncode().unwrap()));
        self.exited.set_result(()).unwrap();
    }

    fn connection_lost(&mut self, _: &SubprocessTransport, error: Option<Error>) {
        assert!(error.is_none(), "{error:?}");
        self.events.push("lost".to_owned());
        self.lost.set_result(()).unwrap();
    }
}

#[test]
fn what_happens_has_an_order_for_each_pipe() {
    let _turn = turn();
    run(async {
        let command = "read line; echo out $line; echo err $line >&2; exit 5";
        let (transport, protocol) = subprocess_shell(Recorder::new, command).await?;
        assert_eq!(protocol.borrow().events, ["made"]);
        assert_eq!(transport.get_returncode(), None);
        transport.get_pipe_transport(0).unwrap().write(b"line\n");
        let lost = protocol.borrow().lost.clone();
        lost.await?;
        let recorder = protocol.borrow();
        assert_eq!(recorder.data[1..], [b"out line\n".to_vec(), b"err line\n".to_vec()]);
        assert!(recorder.place("data 1") < recorder.place("lost 1"));
        assert!(recorder.place("data 2") < recorder.place("lost 2"));
        assert_eq!(recorder.place("made"), 0);
        assert_eq!(recorder.place("lost"), recorder.events.len() - 1);
        for event in ["exited 5", "lost 0", "lost 1", "lost 2"] {
            recorder.place(event);
        }
        assert_eq!(transport.get_returncode(), Some(5));
        Ok(())
    });
}

#[test]
fn a_pipe_to_the_child_can_be_closed() {
    let _turn = turn();
    run(async {
        let (transport, protocol) = subprocess_exec(Recorder::new, "cat", NONE).await?;
        let stdin = transport.get_pipe_transport(0).unwrap();
        stdin.write(b"one ");
        stdin.write(b"two");
        stdin.write_eof();
        let lost = protocol.borrow().lost.clone();
        lost.await?;
        assert_eq!(protocol.borrow().data[1], b"one two");
        assert_eq!(transport.get_returncode(), Some(0));
        Ok(())
    });
}

#[test]
fn only_what_is_a_pipe_has_a_transport() {
    let _turn = turn();
    run(async {
        let spawn = subprocess_exec(Recorder::new, "true", NONE);
        let (transport, protocol) =
            spawn.stdin(Stdio::Inherit).stdout(DEVNULL).stderr(STDOUT).await?;
        assert!((-1..4).all(|fd| transport.get_pipe_transport(fd).is_none()));
        let lost = protocol.borrow().lost.clone();
        lost.await?;
        assert_eq!(protocol.borrow().events, ["made", "exited 0", "lost"]);
        Ok(())
    });
}

#[test]
fn close_kills_a_running_child() {
    let _turn = turn();
    run(async {
        let (transport, protocol) = subprocess_exec(Recorder::new, "sleep", ["1000"]).await?;
        assert!(!transport.is_closing());
        transport.close();
        transport.close();
        assert!(transport.is_closing());
        let lost = protocol.borrow().lost.clone();
        lost.await?;
        assert_eq!(transport.get_returncode(), Some(-9));
        protocol.borrow().place("lost 1");
        Ok(())
    });
}

#[test]
fn a_signal_to_a_finished_process_is_an_error() {
    let _turn = turn();
    run(async {
        let (transport, protocol) = subprocess_exec(Recorder::new, "sleep", ["1000"]).await?;
        transport.terminate()?;
        let exited = protocol.borrow().exited.clone();
        exited.await?;
        assert_eq!(transport.get_returncode(), Some(-15));
        for outcome in [transport.send_signal(10), transport.terminate(), transport.kill()] {
            let Err(Error::Io(error)) = outcome else { panic!("{outcome:?}") };
            assert_eq!(error.raw_os_error(), Some(3), "ESRCH");
        }
        Ok(())
    });
}

#[test]
fn a_start_that_is_cancelled_kills_the_child_and_waits_for_it() {
    let _turn = turn();
    run(async {
        let before = descriptors();
        let starting = subprocess_exec(Recorder::new, "sleep", ["1000"]).into_future();
        let starting = create_task(async { Ok(starting.await?.0.get_pid()) });
        sleep(YIELD).await?;
        let pids = children();
        assert_eq!(pids.len(), 1);
        starting.cancel();
        assert!(starting.await.unwrap_err().is_cancelled());
        // Waited for already, and what it had is closed.
        assert_eq!((children(), zombies()), (vec![], 0));
        sleep(YIELD).await?;
        assert_eq!(descriptors(), before);
        Ok(())
    });
}

#[test]
fn a_start_that_is_dropped_kills_the_child() {
    let _turn = turn();
    run(async {
        let before = descriptors();
        let mut starting = subprocess_exec(Recorder::new, "sleep", ["1000"]).into_future();
        assert!(futures_lite::future::poll_once(&mut starting).await.is_none());
        assert_eq!(children().len(), 1);
        drop(starting);
        while !children().is_empty() || descriptors() > before {
            sleep(Duration::from_millis(1)).await?;
        }
        Ok(())
    });
}

#[test]
fn a_child_that_ends_before_its_pipes_are_connected_is_told_of_in_order() {
    let _turn = turn();
    run(async {
        let starting = subprocess_shell(Recorder::new, "echo out; exit 3").into_future();
        let task = create_task(async {
            let (_, protocol) = starting.await?;
            let lost = protocol.borrow().lost.clone();
            lost.await?;
            let recorder = protocol.borrow();
            assert_eq!((recorder.place("made"), &*recorder.data[1]), (0, &b"out\n"[..]));
            recorder.place("exited 3");
            Ok(())
        });
        sleep(YIELD).await?;
        // The loop does nothing until it has ended.
        let pid = children()[0];
        while is_alive(pid) {
            std::thread::yield_now();
        }
        task.await
    });
}

#[test]
fn the_end_comes_last_even_if_all_is_seen_at_once() {
    let _turn = turn();
    run(async {
        let (transport, protocol) = subprocess_shell(Recorder::new, "read line; exit 3").await?;
        transport.get_pipe_transport(0).unwrap().write(b"line\n");
        // The loop does nothing until it has ended.
        while is_alive(transport.get_pid()) {
            std::thread::yield_now();
        }
        let lost = protocol.borrow().lost.clone();
        lost.await?;
        let recorder = protocol.borrow();
        assert!(recorder.place("exited 3") < recorder.place("lost"));
        Ok(())
    });
}

struct Holds(#[allow(dead_code)] Rc<()>);
impl SubprocessProtocol for Holds {}

#[test]
fn the_protocol_of_a_start_that_is_cancelled_is_forgotten() {
    let _turn = turn();
    run(async {
        let token = Rc::new(());
        let held = token.clone();
        let starting = subprocess_exec(|| Holds(held), "sleep", ["1000"]).into_future();
        let starting = create_task(async { Ok(starting.await?.0.get_pid()) });
        sleep(YIELD).await?;
        assert_eq!(Rc::strong_count(&token), 2);
        starting.cancel();
        assert!(starting.await.unwrap_err().is_cancelled());
        while Rc::strong_count(&token) > 1 {
            sleep(YIELD).await?;
        }
        Ok(())
    });
}

#[test]
fn a_child_goes_on_when_its_transport_is_dropped() {
    let _turn = turn();
    run(async {
        let (transport, protocol) = subprocess_exec(Recorder::new, "cat", NONE).await?;
        let stdin = transport.get_pipe_transport(0).unwrap();
        let lost = protocol.borrow().lost.clone();
        let weak = Rc::downgrade(&protocol);
        drop((transport, protocol));
        stdin.write(b"still there");
        stdin.write_eof();
        let protocol = weak.upgrade().unwrap();
        lost.await?;
        assert_eq!(protocol.borrow().data[1], b"still there");
        drop(protocol);
        // And is forgotten when all is over.
        sleep(YIELD).await?;
        assert!(weak.upgrade().is_none());
        Ok(())
    });
}

#[test]
fn a_protocol_can_be_exchanged() {
    let _turn = turn();
    run(async {
        let (transport, first) = subprocess_exec(Recorder::new, "cat", NONE).await?;
        let second = Recorder::new();
        let lost = second.lost.clone();
        transport.set_protocol(second)?;
        transport.get_pipe_transport(0).unwrap().write_eof();
        lost.await?;
        assert_eq!(first.borrow().events, ["made"]);
        Ok(())
    });
}

/// Counts how often it was told to pause and to resume.
#[derive(Default)]
struct Flow(usize, usize, Option<Future<()>>);

impl SubprocessProtocol for Flow {
    fn pause_writing(&mut self, _: &SubprocessTransport) {
        self.0 += 1;
    }
    fn resume_writing(&mut self, _: &SubprocessTransport) {
        self.1 += 1;
    }
    fn connection_lost(&mut self, _: &SubprocessTransport, _: Option<Error>) {
        let _ = self.2.take().unwrap().set_result(());
    }
}

#[test]
fn a_full_pipe_to_the_child_pauses_the_writer() {
    let _turn = turn();
    run(async {
        let lost = Future::new();
        let flow = Flow(0, 0, Some(lost.clone()));
        let spawn = subprocess_shell(|| flow, "cat > /dev/null");
        let (transport, protocol) = spawn.stdout(DEVNULL).await?;
        let stdin = transport.get_pipe_transport(0).unwrap();
        stdin.write(vec![0; 1 << 20]);
        assert_eq!((protocol.borrow().0, protocol.borrow().1), (1, 0));
        stdin.write_eof();
        lost.await?;
        assert_eq!((protocol.borrow().0, protocol.borrow().1), (1, 1));
        Ok(())
    });
}

#[test]
fn what_cannot_be_started_is_an_error_of_the_call() {
    let _turn = turn();
    run(async {
        let outcome: Result<_> = subprocess_exec(Recorder::new, "/no/such/program", NONE).await;
        let error = outcome.map(|_| ()).unwrap_err();
        assert!(error.to_string().contains("subprocess_exec"), "{error}");
        Ok(())
    });
}
