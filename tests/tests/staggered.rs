//! `staggered_race`, after CPython's `test_staggered`.

use asyncio::{
    Error, Result, create_task, get_running_loop, sleep,
    staggered::{Race, staggered_race},
};
use asyncio_tests::support::{
    MS, Trace, boom, briefly, cancel_message, cancelled, outcome_of, run,
};
use std::{cell::Cell, future::Future, pin::Pin, rc::Rc, task::Poll, time::Duration};

type Attempt<T> = Box<dyn FnOnce() -> Pin<Box<dyn Future<Output = Result<T>>>>>;

/// An attempt that takes `ms` milliseconds.
fn attempt<T: 'static>(ms: u32, outcome: Result<T>) -> Attempt<T> {
    Box::new(move || {
        Box::pin(async move {
            sleep(ms * MS).await?;
            outcome
        })
    })
}

fn now() -> Duration {
    get_running_loop().expect("a loop runs").time()
}

/// The outcomes of the attempts: nothing, or the kind of their error.
fn kinds<T>(race: &Race<T>) -> Vec<&'static str> {
    race.exceptions.iter().map(|error| error.as_ref().map_or("", Error::kind)).collect()
}

#[test]
fn an_empty_race_has_no_winner() {
    run(async {
        let race = staggered_race(Vec::<Attempt<()>>::new(), None).await?;
        assert!(race.winner.is_none() && race.exceptions.is_empty());
        Ok(())
    });
}

#[test]
fn the_first_that_succeeds_wins() {
    run(async {
        let race = staggered_race([attempt(5, Ok("a")), attempt(0, Ok("b"))], None).await?;
        // Without a delay the second starts only if the first fails.
        assert_eq!((race.winner, now()), (Some(("a", 0)), 5 * MS));
        assert_eq!(race.exceptions.len(), 1);
        Ok(())
    });
}

#[test]
fn the_next_starts_when_the_one_before_has_failed() {
    run(async {
        let attempts = [attempt(5, Err(boom())), attempt(3, Ok("b"))];
        let race = staggered_race(attempts, 100 * MS).await?;
        assert_eq!(kinds(&race), ["Error", ""]);
        assert_eq!((race.winner, now()), (Some(("b", 1)), 8 * MS));
        Ok(())
    });
}

#[test]
fn the_next_starts_after_the_delay_and_the_loser_is_cancelled() {
    run(async {
        let attempts = [attempt(100, Ok("a")), attempt(3, Ok("b"))];
        let race = staggered_race(attempts, 10 * MS).await?;
        assert_eq!(kinds(&race), ["CancelledError", ""]);
        assert_eq!((race.winner, now()), (Some(("b", 1)), 13 * MS));
        Ok(())
    });
}

#[test]
fn if_all_fail_there_is_no_winner() {
    run(async {
        let attempts = [attempt(1, Err::<(), _>(boom())), attempt(1, Err(Error::value("no")))];
        let race = staggered_race(attempts, None).await?;
        assert!(race.winner.is_none());
        assert_eq!(kinds(&race), ["Error", "ValueError"]);
        Ok(())
    });
}

#[test]
fn of_several_that_succeed_the_first_wins_even_if_the_other_swallows_the_cancellation() {
    run(async {
        let trace = Trace::new();
        let log = trace.clone();
        let stubborn: Attempt<&str> = Box::new(move || {
            Box::pin(async move {
                assert!(cancelled(&sleep(100 * MS).await));
                log.say("cancelled");
                Err(boom())
            })
        });
        let race = staggered_race([stubborn, attempt(5, Ok("b"))], 5 * MS).await?;
        assert_eq!(trace.take(), "cancelled");
        assert_eq!(kinds(&race), ["Error", ""]);
        assert_eq!(race.winner, Some(("b", 1)));
        Ok(())
    });
}

#[test]
fn every_cancellation_goes_to_every_attempt() {
    run(async {
        let times = Rc::new(Cell::new(0));
        let tell = times.clone();
        let stubborn: Attempt<()> = Box::new(move || {
            Box::pin(async move {
                for _ in 0..3 {
                    if cancelled(&sleep(100 * MS).await) {
                        tell.set(tell.get() + 1);
                    }
                }
                sleep(MS).await
            })
        });
        let race = create_task(async move {
            staggered_race([stubborn, attempt(500, Ok(()))], 5 * MS).await.map(drop)
        });
        sleep(10 * MS).await?;
        for n in 1..=3 {
            race.cancel_with("why");
            sleep(MS).await?;
            assert_eq!(times.get(), n);
        }
        sleep(5 * MS).await?;
        assert!(race.done());
        assert_eq!(cancel_message(&race.await), "why");
        assert!(now() < 20 * MS);
        Ok(())
    });
}

#[test]
fn a_keyboard_interrupt_ends_the_run() {
    let outcome = outcome_of(async {
        let interrupted = attempt(1, Err::<(), _>(Error::KeyboardInterrupt(Default::default())));
        staggered_race([interrupted, attempt(5, Ok(()))], None).await
    });
    assert!(matches!(outcome, Err(Error::KeyboardInterrupt(_))));
}

#[test]
fn an_attempt_is_made_when_its_turn_comes() {
    run(async {
        let made = Rc::new(Cell::new(0));
        let tell = made.clone();
        let attempts = (0..).map(move |n| {
            let tell = tell.clone();
            move || {
                tell.set(tell.get() + 1);
                async move {
                    briefly().await?;
                    if n < 3 { Err(boom()) } else { Ok(n) }
                }
            }
        });
        let race = staggered_race(attempts, None).await?;
        assert_eq!((race.winner, made.get()), (Some((3, 3)), 4));
        Ok(())
    });
}

#[test]
fn a_race_that_is_dropped_cancels_its_attempts() {
    run(async {
        let ended = Rc::new(Cell::new(None));
        let seen = ended.clone();
        let attempt = move || async move {
            let outcome = sleep(1000 * MS).await;
            seen.set(Some(cancelled(&outcome)));
            outcome
        };
        let mut race = Box::pin(staggered_race([attempt], None));
        // Begins it, in this task.
        let begun = std::future::poll_fn(|cx| Poll::Ready(race.as_mut().poll(cx).is_pending()));
        assert!(begun.await);
        sleep(MS).await?;
        assert_eq!(ended.get(), None);
        drop(race);
        sleep(MS).await?;
        assert_eq!((ended.get(), now()), (Some(true), 2 * MS));
        Ok(())
    });
}
