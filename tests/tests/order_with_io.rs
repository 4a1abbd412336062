//! The order of steps with I/O. With `poll_every_iteration`, it is the order of CPython 3.14, which
//! produced the expected values; without it, a wait for a socket ends one iteration earlier.

use asyncio::{
    Result, Runner, Task, create_task, sleep, sock_accept, sock_recv, sock_sendall,
    socket::{Domain, Socket, Type},
};
use asyncio_tests::support::{MS, cancelled};
use std::{cell::RefCell, future::Future, net::TcpStream, rc::Rc, time::Duration};

/// Where steps say that they ran.
#[derive(Clone, Default)]
struct Trace(Rc<RefCell<Vec<String>>>);

impl Trace {
    fn say(&self, what: impl ToString) {
        self.0.borrow_mut().push(what.to_string());
    }

    fn text(&self) -> String {
        self.0.borrow().join(" ")
    }
}

/// Runs the program that `main` makes, with a poll in every iteration.
fn traced<F: Future<Output = Result<()>> + 'static>(main: impl FnOnce(Trace) -> F) -> String {
    let trace = Trace::default();
    let runner = Runner::new().poll_every_iteration(true);
    runner.with(|runner| runner.run(main(trace.clone()))).unwrap();
    trace.text()
}

/// Says 0, 1, 2 and so on in one iteration after another.
async fn count(trace: &Trace) -> Result<()> {
    for n in 0..5 {
        trace.say(n);
        sleep(Duration::ZERO).await?;
    }
    Ok(())
}

async fn iterations(n: usize) -> Result<()> {
    for _ in 0..n {
        sleep(Duration::ZERO).await?;
    }
    Ok(())
}

fn pair() -> Result<(Socket, Socket)> {
    Socket::pair(Domain::UNIX, Type::STREAM, None)
}

#[test]
fn a_receiver_goes_on_one_iteration_after_the_event() {
    let order = traced(|trace| async move {
        let (here, there) = pair()?;
        let inside = trace.clone();
        let task = create_task(async move {
            sock_recv(&there, 1).await?;
            inside.say("recv");
            Ok(())
        });
        iterations(3).await?;
        sock_sendall(&here, b"x").await?;
        count(&trace).await?;
        task.await
    });
    assert_eq!(order, "0 1 2 recv 3 4");
}

#[test]
fn a_task_that_accepts_continues_one_iteration_after_the_event() {
    let order = traced(|trace| async move {
        let listener = std::net::TcpListener::bind("127.0.0.1:0")?;
        let address = listener.local_addr()?;
        let inside = trace.clone();
        let task = create_task(async move {
            sock_accept(&Socket::from_fd(listener)?).await?;
            inside.say("accept");
            Ok(())
        });
        iterations(3).await?;
        let _client = TcpStream::connect(address)?;
        count(&trace).await?;
        task.await
    });
    assert_eq!(order, "0 1 2 accept 3 4");
}

#[test]
fn a_receiver_that_is_cancelled_in_between_passes_the_event_on() {
    traced(|_| async {
        let (here, there) = pair()?;
        let there = Rc::new(there);
        let receive = |socket: Rc<Socket>| async move { sock_recv(&socket, 1).await };
        let tasks: [Task<_>; 2] = [(); 2].map(|()| create_task(receive(there.clone())));
        iterations(3).await?;
        // The event comes in the next iteration, and both steps before its own.
        sock_sendall(&here, b"x").await?;
        iterations(1).await?;
        tasks[0].cancel();
        let [first, second] = tasks;
        assert!(cancelled(&first.await));
        assert_eq!(asyncio::wait_for(second, 1000 * 60 * MS).await?, "x");
        Ok(())
    });
}
