//! Errors as a program sees them: cancellations, timeouts, invalid states, and how tasks pass them
//! on.

use asyncio::{
    AsyncContextManager, BrokenBarrierError, CancelledError, Error, ExceptionContext,
    ExceptionGroup, Future, IncompleteReadError, InvalidStateError, LimitOverrunError, Task,
    TimeoutError, create_task, sleep, timeout,
};
use asyncio_tests::support::{MS, boom, briefly, cancelled, message, run};
use std::{io, num::ParseIntError};

#[test]
fn a_cancellation_is_told_from_a_failure() {
    run(async {
        let task = create_task(async {
            // `except Exception` does not catch it.
            match sleep(90 * MS).await {
                Err(error) if !error.is_cancelled() => Ok("handled"),
                outcome => outcome.map(|()| "slept"),
            }
        });
        briefly().await?;
        task.cancel();
        assert!(cancelled(&task.await));
        Ok(())
    });
}

#[test]
fn a_cancellation_has_a_message_or_none() {
    let (bare, said) = (CancelledError::default(), CancelledError::new("why"));
    assert_eq!((bare.message(), said.message()), (None, Some("why")));
    assert_eq!((bare.to_string().as_str(), said.to_string().as_str()), ("cancelled", "why"));
    assert!(Error::from(said).is_cancelled());
}

#[test]
fn a_timeout_is_one_also_for_io() {
    run(async {
        let outcome = timeout(MS).with(async |_| sleep(90 * MS).await).await;
        let error = outcome.unwrap_err();
        assert!(error.is_timeout() && error.downcast_ref::<TimeoutError>().is_some());
        assert_eq!(error.kind(), "TimeoutError");
        assert_eq!(io::Error::from(error).kind(), io::ErrorKind::TimedOut);
        Ok(())
    });
}

#[test]
fn the_wrong_state_of_a_future_is_an_error_of_its_own() {
    let future = Future::<()>::new();
    let error = future.result().unwrap_err();
    assert!(error.downcast_ref::<InvalidStateError>().is_some());
    assert!(matches!(error, Error::InvalidState(_)));
}

#[test]
fn what_was_read_of_what_was_expected_is_told() {
    let error = Error::from(IncompleteReadError::new(&b"abc"[..], Some(7)));
    assert_eq!(
        message(Err::<(), _>(error.clone())),
        "IncompleteReadError: 3 bytes read on a total of 7 expected bytes"
    );
    let Error::IncompleteRead(error) = error else { panic!("{error:?}") };
    assert_eq!((error.partial(), error.expected()), (&b"abc"[..], Some(7)));
    let unknown = IncompleteReadError::new(Vec::new(), None);
    assert_eq!(unknown.to_string(), "0 bytes read on a total of undefined expected bytes");
    let over = LimitOverrunError::new("too long", 12);
    assert_eq!((over.to_string().as_str(), over.consumed()), ("too long", 12));
    assert!(matches!(Error::from(over), Error::LimitOverrun(_)));
    assert!(matches!(Error::from(BrokenBarrierError::default()), Error::BrokenBarrier(_)));
}

#[test]
fn an_error_of_the_program_comes_through_a_task_as_it_was() {
    run(async {
        let task = create_task(async { Ok("x".parse::<i32>()?) });
        let copy = task.clone();
        for task in [task, copy] {
            let error = task.await.unwrap_err();
            assert!(error.downcast_ref::<ParseIntError>().is_some());
        }
        let failing =
            create_task(async { Err::<(), _>(io::Error::from(io::ErrorKind::NotFound).into()) });
        let Err(Error::Io(error)) = failing.await else { panic!("a system error") };
        assert_eq!(error.kind(), io::ErrorKind::NotFound);
        Ok(())
    });
}

#[test]
fn an_error_names_the_tasks_through_which_it_has_come() {
    let at = |line: u32| format!("created at {}:{line}:", file!());
    let (parsing, waiting) = (line!() + 2, line!() + 4);
    run(async move {
        let parser = Task::builder().name("parser");
        let parser = parser.create(async { Ok("x".parse::<i32>()?) });
        let waiter = create_task(async move { parser.await });
        let awaited_by = format!("\n  awaited by {}, ", waiter.name());
        let error = waiter.await.unwrap_err();
        let shown = format!("{error:?}");
        // An error that passed through only one task does not name it.
        let failed = create_task(async { Err::<(), _>(Error::value("no")) }).await;
        assert_eq!(format!("{:?}", failed.unwrap_err()), "ValueError: no");
        let unhandled = ExceptionContext::new("unhandled").with_exception(error).to_string();
        assert!(unhandled.contains("\nError: invalid digit"), "{unhandled}");
        assert!(unhandled.contains(&format!("{awaited_by}created at ")), "{unhandled}");
        assert!(shown.contains(&format!("\n  in parser, {}", at(parsing))), "{shown}");
        assert!(shown.contains(&format!("{awaited_by}{}", at(waiting))), "{shown}");
        assert!(shown.starts_with("invalid digit found in string, at "), "{shown}");
        Ok(())
    });
}

#[test]
fn an_error_awaited_many_times_does_not_grow() {
    run(async {
        let future = Future::<()>::new();
        future.set_exception(boom().with_context(Error::value("first")))?;
        let chain = |error: &Error| {
            std::iter::successors(Some(error.clone()), |error| error.context().cloned()).count()
        };
        for _ in 0..5 {
            assert_eq!(chain(&future.clone().await.unwrap_err()), 2);
        }
        Ok(())
    });
}

#[test]
fn a_group_shows_its_members() {
    let inner = ExceptionGroup::new("inner", [boom()]);
    let group = ExceptionGroup::new("outer", [Error::Group(inner), Error::value("no")]);
    assert_eq!(group.to_string(), "outer (2 sub-exceptions)");
    let text = format!("{:?}", Error::Group(group));
    assert!(text.contains("boom") && text.contains("ValueError"), "{text}");
}

#[asyncio::test]
async fn a_test_and_a_main_may_return_an_error_of_anyhow() -> anyhow::Result<()> {
    asyncio::sleep(std::time::Duration::ZERO).await?;
    let port: u16 = "80".parse()?;
    anyhow::ensure!(port == 80);
    Ok(())
}
