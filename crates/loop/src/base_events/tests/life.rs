//! Life: runs within runs, closed loops, current loops, errors, contexts.

use super::*;
use asyncio_core::exception::ExceptionContext;
use asyncio_task::{Task, create_task, sleep};
use std::{cell::Cell, panic::Location};

#[test]
fn no_loop_runs_or_is_current_until_it_is_made_so() {
    assert_eq!(message(get_running_loop()), "RuntimeError: no running event loop");
    std::thread::Builder::new()
        .name("worker".into())
        .spawn(|| {
            let none = "RuntimeError: There is no current event loop in thread 'worker'.";
            assert_eq!(message(get_event_loop()), none);
            let event_loop = new_event_loop().unwrap();
            assert_eq!(message(get_event_loop()), none);
            set_event_loop(event_loop.clone());
            assert_eq!(get_event_loop().unwrap().home(), event_loop.home());
            set_event_loop(None);
            assert_eq!(message(get_event_loop()), none);
            event_loop.close().unwrap();
        })
        .unwrap()
        .join()
        .unwrap();
}

/// As code does that reaches the loop through a task or a handle.
#[test]
fn a_loop_whose_data_are_closed_without_it_takes_no_message() {
    use asyncio_core::raw::{Message, Scheduler};
    let event_loop = new_event_loop().unwrap();
    let home = event_loop.home();
    let came = std::sync::Arc::new(());
    let kept = came.clone();
    home.send(Message::Quiet(Box::new(move || drop(kept)))).unwrap();
    home.with(Scheduler::close).unwrap().unwrap();
    assert_eq!(std::sync::Arc::strong_count(&came), 1, "what was on its way arrived");
    assert!(home.send(Message::Quiet(Box::new(|| ()))).is_err());
    assert!(event_loop.is_closed() && event_loop.close().is_ok());
}

#[test]
fn a_loop_does_not_begin_with_the_error_that_ended_another() {
    let event_loop = new_event_loop().unwrap();
    let home = event_loop.home();
    event_loop.close().unwrap();
    // The next loop of this thread lives in the same home, whose data have just been closed.
    let next = new_event_loop().unwrap();
    assert_eq!(next.home().place(), home.place());
    next.run_until_complete(async { Ok(()) }).unwrap();
    next.close().unwrap();
}

#[test]
fn the_running_loop_goes_before_the_current_one() {
    let (running, current) = (virtual_loop(), virtual_loop());
    set_event_loop(current.clone());
    let home = running.run_until_complete(async { Ok(get_event_loop()?.home()) }).unwrap();
    assert_eq!(home, running.home());
    assert_eq!(get_event_loop().unwrap().home(), current.home());
    set_event_loop(None);
    running.close().unwrap();
    current.close().unwrap();
}

#[test]
fn a_loop_that_runs_can_neither_run_again_nor_be_closed() {
    let event_loop = virtual_loop();
    let this = event_loop.clone();
    let main = async move {
        assert!(this.is_running());
        let again = "RuntimeError: This event loop is already running";
        assert_eq!(message(this.run_forever()), again);
        assert_eq!(message(this.run_until_complete(async { Ok(()) })), again);
        assert_eq!(message(this.close()), "RuntimeError: Cannot close a running event loop");
        let other = virtual_loop();
        let within = "RuntimeError: Cannot run the event loop while another loop is running";
        assert_eq!(message(other.run_forever()), within);
        assert_eq!(message(other.run_until_complete(async { Ok(()) })), within);
        other.close()
    };
    event_loop.run_until_complete(main).unwrap();
    assert!(!event_loop.is_running());
    event_loop.close().unwrap();
}

#[test]
fn a_closed_loop_refuses_everything() {
    let event_loop = virtual_loop();
    let handle = event_loop.handle();
    event_loop.run_until_complete(sleep(MS)).unwrap();
    event_loop.close().unwrap();
    event_loop.close().unwrap();
    assert!(event_loop.is_closed() && !event_loop.is_running());
    let closed = "RuntimeError: Event loop is closed";
    assert_eq!(message(event_loop.run_forever()), closed);
    assert_eq!(message(event_loop.run_until_complete(async { Ok(()) })), closed);
    assert_eq!(message(event_loop.call_soon(|| ())), closed);
    assert_eq!(message(event_loop.call_later(MS, || ())), closed);
    assert_eq!(message(event_loop.call_at(MS, || ())), closed);
    assert_eq!(message(event_loop.call_soon_threadsafe(|| ())), closed);
    assert_eq!(message(handle.call_soon_threadsafe(|| ())), closed);
    assert_eq!(message(event_loop.create_task(async { Ok(()) }).result()), closed);
    assert_eq!(event_loop.time(), MS);
    assert!(!event_loop.get_debug() && event_loop.all_tasks().is_empty());
}

#[test]
fn closing_drops_what_would_have_run() {
    let event_loop = virtual_loop();
    let held = Rc::new(());
    let [ready, timer, task, from_outside] = std::array::from_fn(|_| held.clone());
    event_loop.call_soon(move || drop(ready)).unwrap();
    event_loop.call_later(MS, move || drop(timer)).unwrap();
    drop(event_loop.create_task(async move {
        sleep(MS).await?;
        drop(task);
        Ok(())
    }));
    let arc = std::sync::Arc::new(());
    let sent = arc.clone();
    event_loop.call_soon_threadsafe(move || drop(sent)).unwrap();
    drop(from_outside);
    event_loop.close().unwrap();
    assert_eq!((Rc::strong_count(&held), std::sync::Arc::strong_count(&arc)), (1, 1));
}

#[test]
fn a_home_is_used_by_one_loop_after_another() {
    let handles: Vec<_> = (0..3)
        .map(|_| {
            let event_loop = virtual_loop();
            let handle = event_loop.handle();
            handle.call_soon_threadsafe(|| -> () { panic!("of a loop that never ran") }).unwrap();
            event_loop.close().unwrap();
            handle
        })
        .collect();
    let event_loop = virtual_loop();
    for handle in handles {
        assert!(handle.call_soon_threadsafe(|| ()).is_err());
    }
    assert_eq!(event_loop.run_until_complete(async { Ok(5) }).unwrap(), 5);
    event_loop.close().unwrap();
}

#[test]
fn the_last_handle_closes_a_loop_that_was_left_open() {
    let event_loop = virtual_loop();
    let (handle, held) = (event_loop.handle(), Rc::new(()));
    let inside = held.clone();
    event_loop.call_soon(move || drop(inside)).unwrap();
    drop(event_loop.clone());
    assert!(handle.call_soon_threadsafe(|| ()).is_ok());
    drop(event_loop);
    assert!(handle.call_soon_threadsafe(|| ()).is_err());
    assert_eq!(Rc::strong_count(&held), 1);
}

#[test]
fn a_loop_stopped_before_main_is_done_says_so() {
    let event_loop = virtual_loop();
    let this = event_loop.clone();
    let outcome = event_loop.run_until_complete(async move {
        this.stop();
        sleep(MS).await
    });
    assert_eq!(message(outcome), "RuntimeError: Event loop stopped before Future completed.");
    // The callback that would have stopped the loop is gone.
    let trace = Trace::default();
    let (inside, this) = (trace.clone(), event_loop.clone());
    event_loop.call_later(5 * MS, move || (inside.say("late"), this.stop()).1).unwrap();
    event_loop.run_forever().unwrap();
    assert_eq!(trace.take(), "late");
    event_loop.close().unwrap();
}

#[test]
fn a_main_that_was_not_done_is_not_reported_at_the_close() {
    let event_loop = virtual_loop();
    let trace = Trace::default();
    let seen = trace.clone();
    event_loop.set_exception_handler(move |_, context| {
        seen.say(&context.task_ref().unwrap().name());
    });
    let main = || async {
        get_running_loop()?.stop();
        sleep(MS).await
    };
    event_loop.run_until_complete(main()).unwrap_err();
    let task = event_loop.create_task_with(Task::builder().name("a task"), main());
    event_loop.run_until_complete(task).unwrap_err();
    event_loop.close().unwrap();
    assert_eq!(trace.take(), "a task");
}

#[test]
fn a_keyboard_interrupt_ends_the_run_and_leaves_no_stop_behind() {
    let event_loop = virtual_loop();
    let trace = Trace::default();
    event_loop.call_soon(|| Err::<(), _>(KeyboardInterrupt::default())).unwrap();
    event_loop.call_soon(trace.note("after")).unwrap();
    assert_eq!(message(event_loop.run_forever()), "KeyboardInterrupt: interrupted by Ctrl-C");
    assert_eq!(trace.take(), "");
    let main = async { Err::<(), _>(Error::from(KeyboardInterrupt::default())) };
    let outcome = event_loop.run_until_complete(main);
    assert!(matches!(outcome, Err(Error::KeyboardInterrupt(_))), "{outcome:?}");
    let this = event_loop.clone();
    event_loop.call_later(MS, move || this.stop()).unwrap();
    event_loop.run_forever().unwrap();
    assert_eq!(event_loop.time(), MS, "a stop was left behind");
    assert_eq!(trace.take(), "after");
    event_loop.close().unwrap();
}

#[test]
fn main_may_be_a_task_or_a_future() {
    let event_loop = virtual_loop();
    let task = event_loop.create_task(async { Ok("task") });
    assert_eq!(event_loop.run_until_complete(task).unwrap(), "task");
    let future = event_loop.create_future();
    let setter = future.clone();
    event_loop.call_later(MS, move || setter.set_result("future")).unwrap();
    assert_eq!(event_loop.run_until_complete(future).unwrap(), "future");
    let failing = event_loop.create_future::<()>();
    failing.set_exception(Error::msg("no")).unwrap();
    assert_eq!(message(event_loop.run_until_complete(failing)), "Error: no");
    event_loop.close().unwrap();
}

/// Collects the reports to the exception handler.
fn collect(event_loop: &EventLoop) -> Rc<RefCell<Vec<ExceptionContext>>> {
    let seen = Rc::new(RefCell::new(Vec::new()));
    let inside = seen.clone();
    event_loop.set_exception_handler(move |_, context| {
        inside.borrow_mut().push(context.clone());
    });
    seen
}

fn run_what_is_ready(event_loop: &EventLoop) {
    event_loop.stop();
    event_loop.run_forever().unwrap();
}

#[test]
fn what_a_callback_fails_with_goes_to_the_exception_handler() {
    let event_loop = virtual_loop();
    let (seen, trace) = (collect(&event_loop), Trace::default());
    let line = Location::caller().line() + 1;
    event_loop.call_soon(|| Err::<(), _>(Error::msg("broken"))).unwrap();
    event_loop.call_soon(|| -> () { panic!("worse") }).unwrap();
    event_loop.call_soon(trace.note("goes on")).unwrap();
    run_what_is_ready(&event_loop);
    assert_eq!(trace.take(), "goes on");
    let [broken, worse] = &seen.take()[..] else { panic!("two reports") };
    assert_eq!(broken.message(), "Exception in callback");
    assert_eq!(broken.exception().unwrap().to_string(), "broken");
    assert_eq!(broken.made_at().unwrap().line(), line);
    assert!(matches!(worse.exception(), Some(Error::Panic(_))));
    assert!(event_loop.get_exception_handler().is_some());
    event_loop.reset_exception_handler();
    assert!(event_loop.get_exception_handler().is_none());
    event_loop.close().unwrap();
}

#[test]
fn an_exception_handler_that_panics_stops_nothing() {
    let event_loop = virtual_loop();
    event_loop.set_exception_handler(|_, _| panic!("handler"));
    let trace = Trace::default();
    event_loop.call_soon(|| Err::<(), _>(Error::msg("broken"))).unwrap();
    event_loop.call_soon(trace.note("goes on")).unwrap();
    run_what_is_ready(&event_loop);
    event_loop.call_exception_handler(&ExceptionContext::new("by hand"));
    assert_eq!(trace.take(), "goes on");
    event_loop.close().unwrap();
}

static USER: ContextVar<&str> = ContextVar::with_default("user", "nobody");

#[test]
fn a_callback_runs_in_a_copy_of_the_context_in_which_it_was_registered() {
    let event_loop = virtual_loop();
    let trace = Trace::default();
    let note = |trace: &Trace| {
        let trace = trace.clone();
        move || {
            trace.say(USER.get().unwrap());
            USER.set("changed");
        }
    };
    let token = USER.set("ann");
    let soon = event_loop.call_soon(note(&trace)).unwrap();
    event_loop.call_later(MS, note(&trace)).unwrap();
    USER.reset(token).unwrap();
    assert_eq!(soon.get_context().get(&USER), Some("ann"));
    let context = Context::current();
    context.run(|| USER.set("bob")).unwrap();
    event_loop.in_context(&context).call_soon(note(&trace)).unwrap();
    event_loop.in_context(&context).call_later(MS, note(&trace)).unwrap();
    event_loop.in_context(&context).call_at(MS, note(&trace)).unwrap();
    let handle = event_loop.handle();
    std::thread::spawn(move || {
        USER.set("other thread");
        let set = || USER.get() == Some("other thread");
        handle
            .call_soon_threadsafe(move || set().then_some(()).ok_or(Error::msg("context")))
            .unwrap();
    })
    .join()
    .unwrap();
    let seen = collect(&event_loop);
    event_loop.run_until_complete(sleep(2 * MS)).unwrap();
    assert_eq!(trace.take(), "ann bob ann changed changed");
    assert_eq!((USER.get(), context.get(&USER)), (Some("nobody"), Some("changed")));
    assert!(seen.borrow().is_empty(), "{:?}", seen.borrow());
    event_loop.close().unwrap();
}

#[test]
fn the_exception_handler_runs_in_the_context_of_what_failed() {
    let event_loop = virtual_loop();
    let seen = Rc::new(Cell::new(""));
    let inside = seen.clone();
    event_loop.set_exception_handler(move |_, _| inside.set(USER.get().unwrap()));
    let token = USER.set("ann");
    event_loop.call_soon(|| Err::<(), _>(Error::msg("broken"))).unwrap();
    USER.reset(token).unwrap();
    run_what_is_ready(&event_loop);
    assert_eq!(seen.get(), "ann");
    event_loop.close().unwrap();
}

#[test]
fn tasks_are_listed_in_the_order_of_their_creation() {
    let event_loop = virtual_loop();
    let tasks = [3, 1, 2].map(|n| event_loop.create_task(async move { sleep(n * MS).await }));
    assert_eq!(event_loop.all_tasks(), tasks.iter().map(|t| (**t).clone()).collect::<Vec<_>>());
    event_loop.run_until_complete(sleep(2 * MS)).unwrap();
    assert_eq!(event_loop.all_tasks().len(), 1);
    event_loop.run_until_complete(sleep(2 * MS)).unwrap();
    drop(tasks);
    event_loop.close().unwrap();
}

#[test]
fn the_task_factory_decides_about_tasks_that_do_not_say() {
    let event_loop = virtual_loop();
    assert_eq!(event_loop.get_task_factory(), None);
    event_loop.set_task_factory(crate::eager_task_factory);
    assert_eq!(event_loop.get_task_factory(), Some(crate::eager_task_factory));
    let eager = event_loop.run_until_complete(async {
        let eager = create_task(async { Ok(()) }).done();
        let told = asyncio_task::Task::builder().eager_start(false).create(async { Ok(()) });
        Ok((eager, told.done()))
    });
    assert_eq!(eager.unwrap(), (true, false));
    event_loop.set_task_factory(None);
    assert_eq!(event_loop.get_task_factory(), None);
    event_loop.close().unwrap();
}

#[test]
fn settings_of_debug_mode_are_kept() {
    let event_loop = EventLoop::builder().debug(true).build().unwrap();
    assert!(event_loop.get_debug());
    assert_eq!(event_loop.slow_callback_duration(), 100 * MS);
    event_loop.set_slow_callback_duration(MS);
    event_loop.set_debug(false);
    assert_eq!((event_loop.get_debug(), event_loop.slow_callback_duration()), (false, MS));
    assert_eq!(format!("{event_loop:?}"), "<EventLoop running=false closed=false debug=false>");
    event_loop.close().unwrap();
}

#[test]
fn closing_drops_a_callback_from_another_thread_although_its_handle_is_kept() {
    let event_loop = virtual_loop();
    let handle = event_loop.handle();
    let (tell, told) = std::sync::mpsc::channel::<()>();
    let sent = std::thread::spawn(move || handle.call_soon_threadsafe(move || drop(tell)));
    let kept = sent.join().unwrap().unwrap();
    assert!(!kept.cancelled());
    event_loop.close().unwrap();
    assert_eq!(told.try_recv(), Err(std::sync::mpsc::TryRecvError::Disconnected));
    assert!(kept.cancelled());
}
