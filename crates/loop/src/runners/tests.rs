//! Tests of `run` and `Runner`, named by situation.

use super::*;
use crate::{get_event_loop, get_running_loop};
use asyncio_core::{context::ContextVar, scope::cancellable};
use asyncio_future::Future;
use asyncio_task::{Task, create_task, sleep};
use std::{
    cell::{Cell, RefCell},
    rc::Rc,
    thread,
};

mod ctrl_c;

const MS: Duration = Duration::from_millis(1);

fn message<T>(result: Result<T>) -> String {
    match result {
        Ok(_) => "no error".to_owned(),
        Err(error) => format!("{}: {error}", error.kind()),
    }
}

/// A list in which steps record that they ran.
#[derive(Clone, Default)]
struct Trace(Rc<RefCell<Vec<String>>>);

impl Trace {
    fn say(&self, what: impl Into<String>) {
        self.0.borrow_mut().push(what.into());
    }

    fn take(&self) -> String {
        self.0.take().join(", ")
    }
}

fn virtual_runner() -> Runner {
    Runner::new().virtual_time(true)
}

#[test]
fn run_gives_what_main_returns() {
    assert_eq!(run(async { Ok(42) }).unwrap(), 42);
    assert_eq!(message(run(async { Err::<(), _>(Error::msg("broken")) })), "Error: broken");
    let panics = async {
        if true {
            panic!("in main");
        }
        Ok(())
    };
    assert_eq!(message(run(panics)), "PanicError: panicked: in main");
    assert!(get_event_loop().is_err(), "no loop is left behind");
}

#[test]
fn run_takes_any_awaitable() {
    assert!(run(sleep(Duration::ZERO)).is_ok());
    let outcome = run(async {
        let future = asyncio_future::Future::new();
        future.set_result(1)?;
        future.await
    });
    assert_eq!(outcome.unwrap(), 1);
}

#[test]
fn a_loop_that_runs_refuses_a_second_one() {
    let outcome = run(async {
        let within = "RuntimeError: asyncio.run() cannot be called from a running event loop";
        assert_eq!(message(run(async { Ok(()) })), within);
        let within = "RuntimeError: Runner.run() cannot be called from a running event loop";
        assert_eq!(message(Runner::new().run(async { Ok(()) })), within);
        Ok(())
    });
    outcome.unwrap();
}

#[test]
fn a_closed_runner_runs_nothing() {
    let mut runner = virtual_runner();
    let event_loop = runner.get_loop().unwrap();
    runner.close().unwrap();
    runner.close().unwrap();
    assert!(event_loop.is_closed());
    assert_eq!(message(runner.run(async { Ok(()) })), "RuntimeError: Runner is closed");
    assert_eq!(message(runner.get_loop()), "RuntimeError: Runner is closed");
    // A runner that never had a loop creates none to close it.
    Runner::new().loop_factory(|| panic!("not needed")).close().unwrap();
}

#[test]
fn all_runs_of_a_runner_share_a_context_and_a_loop() {
    static USER: ContextVar<&str> = ContextVar::with_default("user", "nobody");
    let mut runner = virtual_runner();
    let set = async {
        USER.set("ann");
        get_running_loop().map(|event_loop| event_loop.home())
    };
    let home = runner.run(set).unwrap();
    assert_eq!(USER.get(), Some("nobody"));
    assert_eq!(runner.run(async { Ok(USER.get()) }).unwrap(), Some("ann"));
    let own = Context::new();
    assert_eq!(runner.run_in(&own, async { Ok(USER.get()) }).unwrap(), Some("nobody"));
    let set = async {
        USER.set("bob");
        Ok(())
    };
    runner.run_in(&own, set).unwrap();
    assert_eq!(own.get(&USER), Some("bob"));
    assert_eq!(runner.get_loop().unwrap().home(), home);
    runner.close().unwrap();
}

#[test]
fn the_loop_is_the_current_one_unless_a_factory_made_it() {
    let mut runner = virtual_runner();
    let event_loop = runner.get_loop().unwrap();
    assert_eq!(get_event_loop().unwrap().home(), event_loop.home());
    runner.close().unwrap();
    assert!(get_event_loop().is_err());

    let factory = || EventLoop::builder().virtual_time(true).build();
    let mut runner = Runner::new().debug(true).loop_factory(factory);
    assert!(runner.get_loop().unwrap().get_debug());
    assert!(get_event_loop().is_err());
    assert_eq!(runner.run(sleep(3600 * 1000 * MS)).unwrap(), ());
    runner.close().unwrap();
    let broken = Runner::new().loop_factory(|| Err(Error::msg("no loop"))).get_loop();
    assert_eq!(message(broken), "Error: no loop");
}

#[test]
fn what_is_left_is_cancelled_in_order_and_awaited() {
    let trace = Trace::default();
    let inside = trace.clone();
    let main = async move {
        for n in [1, 2] {
            let trace = inside.clone();
            drop(create_task(async move {
                let outcome = sleep(3600 * 1000 * MS).await;
                trace.say(format!("{n} is cancelled"));
                sleep((3 - n) * MS).await?;
                trace.say(format!("{n} has cleaned up"));
                outcome
            }));
        }
        sleep(MS).await
    };
    virtual_runner().with(|runner| runner.run(main)).unwrap();
    assert_eq!(trace.take(), "1 is cancelled, 2 is cancelled, 2 has cleaned up, 1 has cleaned up");
}

#[test]
fn what_the_rest_fails_with_goes_to_the_exception_handler() {
    let seen = Trace::default();
    let inside = seen.clone();
    let mut runner = virtual_runner();
    let main = async move {
        get_running_loop()?.set_exception_handler(move |_, context| {
            let name = context.task_name().unwrap_or_default();
            let error = context.exception().map(ToString::to_string).unwrap_or_default();
            inside.say(format!("{} of {name}: {error}", context.message()));
        });
        let fails = |n: u32| async move {
            let _ = sleep(MS * 1000).await;
            // The second fails before the first.
            sleep((3 - n) * MS).await?;
            Err::<(), _>(Error::msg(format!("failure {n}")))
        };
        drop(asyncio_task::Task::builder().name("one").create(fails(1)));
        let kept = asyncio_task::Task::builder().name("two").create(fails(2));
        let fine = create_task(async {
            let _ = sleep(MS * 1000).await;
            Ok(())
        });
        sleep(MS).await?;
        Ok((kept, fine))
    };
    let kept = runner.run(main).unwrap();
    runner.close().unwrap();
    let report = "unhandled exception during asyncio.run() shutdown of";
    assert_eq!(seen.take(), format!("{report} one: failure 1, {report} two: failure 2"));
    drop(kept);
    assert_eq!(seen.take(), "", "a failure is reported once");
}

#[test]
fn generators_are_closed_after_the_tasks() {
    let trace = Trace::default();
    let inside = trace.clone();
    let main = async move {
        let closing = inside.clone();
        let mut numbers = asyncio_task::generator(async move |y| {
            let outcome = y.send(1).await;
            sleep(MS).await?;
            closing.say("generator");
            outcome
        });
        assert_eq!(numbers.next().await.unwrap().unwrap(), 1);
        drop(create_task(async move {
            let outcome = sleep(MS * 1000).await;
            inside.say("task");
            outcome
        }));
        sleep(MS).await?;
        Ok(numbers)
    };
    let mut runner = virtual_runner();
    let _numbers = runner.run(main).unwrap();
    runner.close().unwrap();
    assert_eq!(trace.take(), "task, generator");
}

#[test]
fn the_end_waits_for_the_threads_of_the_default_executor() {
    let (done, is_done) = std::sync::mpsc::channel();
    run(async move {
        let job = move || {
            thread::sleep(30 * MS);
            done.send(()).is_ok()
        };
        get_running_loop()?.run_in_executor(None, job)?;
        Ok(())
    })
    .unwrap();
    assert!(is_done.try_recv().is_ok(), "run returned before its thread had finished");
}

#[test]
fn a_runner_that_is_dropped_ends_everything_too() {
    let trace = Trace::default();
    let inside = trace.clone();
    let mut runner = virtual_runner();
    let event_loop = runner.get_loop().unwrap();
    let main = async move {
        drop(create_task(async move {
            let outcome = sleep(MS * 1000).await;
            inside.say("cancelled");
            outcome
        }));
        sleep(MS).await
    };
    runner.run(main).unwrap();
    drop(runner);
    assert_eq!(trace.take(), "cancelled");
    assert!(event_loop.is_closed());
}

#[test]
fn a_task_that_never_ends_is_a_deadlock_and_the_loop_is_closed() {
    let mut runner = virtual_runner();
    let event_loop = runner.get_loop().unwrap();
    let stubborn = async {
        let never = asyncio_future::Future::<()>::new();
        while never.clone().await.is_err() && !never.cancelled() {}
        // It ignores its cancellation, and waits for an event that nothing sets.
        asyncio_future::Future::<()>::new().await
    };
    let main = async move {
        drop(create_task(stubborn));
        sleep(MS).await
    };
    runner.run(main).unwrap();
    assert!(matches!(runner.close(), Err(Error::Deadlock(_))));
    assert!(event_loop.is_closed());
}

/// A task that ignores every cancellation, and continues to wait.
async fn stubborn(trace: Trace) -> Result<()> {
    loop {
        let outcome: Result<()> = asyncio_future::Future::new().await;
        trace.say(message(outcome));
    }
}

#[test]
fn what_does_not_end_in_time_is_cancelled_once_more_and_dropped() {
    let trace = Trace::default();
    let dropped = Rc::new(Cell::new(false));
    struct Drops(Rc<Cell<bool>>);
    impl Drop for Drops {
        fn drop(&mut self) {
            self.0.set(true);
        }
    }
    let mut runner = virtual_runner().shutdown_timeout(MS * 20);
    let event_loop = runner.get_loop().unwrap();
    let reports = trace.clone();
    event_loop.set_exception_handler(move |_, context| {
        reports.say(context.message());
    });
    let (seen, guard) = (trace.clone(), Drops(dropped.clone()));
    let main = async move {
        drop(create_task(stubborn(seen.clone())));
        // Awaits in its clean-up, for longer than there is time, and ends at the second request.
        drop(create_task(async move {
            let _guard = guard;
            let _ = sleep(MS * 500).await;
            let late = sleep(MS * 500).await;
            seen.say("late");
            late
        }));
        drop(create_task(std::future::pending::<Result<()>>()));
        sleep(MS).await
    };
    runner.run(main).unwrap();
    runner.close().unwrap();
    let cancelled = "CancelledError: cancelled";
    let destroyed = "Task was destroyed but it is pending!";
    assert_eq!(trace.take(), format!("{cancelled}, {cancelled}, late, {destroyed}"));
    assert!(dropped.get() && event_loop.is_closed());
}

#[test]
fn a_limit_that_is_not_needed_changes_nothing() {
    let trace = Trace::default();
    let seen = trace.clone();
    let main = async move {
        drop(create_task(async move {
            let _ = sleep(MS * 500).await;
            sleep(MS * 8).await?;
            seen.say("cleaned up");
            Ok(())
        }));
        sleep(MS).await
    };
    virtual_runner().shutdown_timeout(MS * 20).with(|runner| runner.run(main)).unwrap();
    assert_eq!(trace.take(), "cleaned up");
}

#[test]
fn the_error_of_main_is_the_context_of_an_error_at_the_end() {
    let main = async {
        drop(create_task(async {
            let _ = sleep(MS * 1000).await;
            asyncio_future::Future::<()>::new().await
        }));
        sleep(MS).await?;
        Err::<(), _>(Error::msg("main failed"))
    };
    let error = virtual_runner().with(|runner| runner.run(main)).unwrap_err();
    assert!(matches!(error, Error::Deadlock(_)));
    assert_eq!(error.context().unwrap().to_string(), "main failed");
}

#[test]
fn a_main_that_waits_for_something_foreign_is_reported_as_such() {
    let outcome = virtual_runner().with(|runner| {
        runner.run(async { cancellable(std::future::pending::<Result<()>>()).await })
    });
    let Err(Error::Deadlock(deadlock)) = outcome else { panic!("{outcome:?}") };
    assert!(deadlock.to_string().contains("cancellable at "), "{deadlock}");
}

#[test]
fn off_the_main_thread_ctrl_c_is_left_alone() {
    // libtest runs tests in threads of their own, unless it is told to use one.
    let task = |runner: &mut Runner| {
        let event_loop = runner.get_loop().unwrap();
        let task = event_loop.create_task(async { Ok(()) });
        let interruption = event_loop.signals().interruptible(task.task_ref().clone());
        interruption.is_some()
    };
    let armed = thread::spawn(move || task(&mut virtual_runner())).join().unwrap();
    assert!(!armed);
}

#[test]
fn at_the_end_a_task_gets_one_request_however_many_wait_for_it() {
    const TASKS: usize = 1000;
    let requests = Rc::new(Cell::new(0));
    // Awaits the next one, which already exists, or is created meanwhile.
    fn link(next: Option<Task<()>>, requests: Rc<Cell<u32>>) -> Task<()> {
        create_task(async move {
            let outcome = match next {
                Some(next) => next.await,
                None => Future::new().await,
            };
            let this = asyncio_task::current_task().expect("in a task");
            requests.set(requests.get() + this.cancelling());
            outcome
        })
    }
    async fn outwards(left: usize, requests: Rc<Cell<u32>>) -> Result<()> {
        let mut chain = None;
        for _ in 0..left {
            chain = Some(link(chain, requests.clone()));
        }
        sleep(MS).await
    }
    fn inwards(left: usize, requests: Rc<Cell<u32>>) -> Task<()> {
        create_task(async move {
            let outcome = match left {
                0 => Future::new().await,
                _ => inwards(left - 1, requests.clone()).await,
            };
            let this = asyncio_task::current_task().expect("in a task");
            requests.set(requests.get() + this.cancelling());
            outcome
        })
    }
    let counted = requests.clone();
    virtual_runner().with(|runner| runner.run(outwards(TASKS, counted))).unwrap();
    assert_eq!(requests.take(), TASKS as u32);
    let counted = requests.clone();
    let main = async move {
        drop(inwards(TASKS - 1, counted));
        sleep(MS).await
    };
    virtual_runner().with(|runner| runner.run(main)).unwrap();
    assert_eq!(requests.take(), TASKS as u32);
}

/// No other test of this process uses this signal.
fn terminate() {
    nix::sys::signal::raise(nix::sys::signal::Signal::SIGTERM).unwrap();
}

#[test]
fn sigterm_ends_a_run_as_ctrl_c_does_if_the_runner_is_told_to() {
    let runner = || Runner::new().handle_sigterm(true);
    let cleaned = Rc::new(Cell::new(false));
    let done = cleaned.clone();
    let outcome = runner().with(|runner| {
        runner.run(async move {
            terminate();
            let outcome = sleep(Duration::from_secs(3600)).await;
            sleep(Duration::ZERO).await?;
            done.set(true);
            outcome
        })
    });
    let Err(Error::KeyboardInterrupt(interrupt)) = outcome else { panic!("{outcome:?}") };
    assert_eq!((interrupt.to_string().as_str(), cleaned.get()), ("SIGTERM", true));

    // A task that handles the cancellation returns its own result.
    let swallowed = runner().with(|runner| {
        runner.run(async {
            terminate();
            assert!(sleep(Duration::from_secs(3600)).await.unwrap_err().is_cancelled());
            Ok(7)
        })
    });
    assert_eq!(swallowed.unwrap(), 7);

    // The program's own handler goes first, and stays.
    let own = runner().with(|runner| {
        let (event_loop, came) = (runner.get_loop()?, Rc::new(Cell::new(0)));
        let count = came.clone();
        event_loop.add_signal_handler(SIGTERM, move || count.set(count.get() + 1))?;
        for _ in 0..2 {
            runner.run(async {
                terminate();
                sleep(Duration::ZERO).await?;
                sleep(Duration::from_millis(1)).await
            })?;
        }
        assert!(event_loop.remove_signal_handler(SIGTERM)?);
        Ok(came.get())
    });
    assert_eq!(own.unwrap(), 2);
}
