//! Programs of scopes that a random search found, each reduced to the essential steps: see
//! `scopes_random.rs`.

use asyncio::{
    AsyncContextManager, Event, Queue, Result, cancellable, create_task, current_task, gather,
    get_running_loop, race, sleep, timeout, wait_for,
};
use asyncio_tests::support::run;
use futures_util::{
    StreamExt,
    future::{join, select},
    stream::FuturesUnordered,
};
use std::{
    cell::RefCell,
    future::{Future, pending},
    pin::{Pin, pin},
    rc::Rc,
    time::Duration,
};

fn ms(n: u64) -> Duration {
    Duration::from_millis(n)
}

type Boxed<'a> = Pin<Box<dyn Future<Output = Result<()>> + 'a>>;

/// Suspends for one step, in something foreign.
async fn yields() -> Result<()> {
    futures_lite::future::yield_now().await;
    Ok(())
}

fn now() -> u64 {
    get_running_loop().unwrap().time().as_millis() as u64
}

#[test]
fn a_limit_in_a_set_with_a_yield_put_aside() {
    run(async {
        let limited = wait_for(
            async {
                let mut beat = pin!(sleep(ms(0)));
                assert!(futures_util::poll!(beat.as_mut()).is_pending());
                pending::<()>().await;
                Ok(())
            },
            ms(10),
        );
        let mut set = FuturesUnordered::from_iter([limited]);
        assert!(set.next().await.unwrap().unwrap_err().is_timeout());
        assert_eq!(now(), 10);
        Ok(())
    });
}

#[test]
fn what_asks_for_itself_in_a_set_gives_way_and_not_what_had_not_begun() {
    run(async {
        let task = create_task(async {
            let first: Boxed<'_> = Box::pin(wait_for(
                async {
                    let stop = async { current_task().unwrap().cancel() };
                    join(pending::<()>(), stop).await;
                    Ok(())
                },
                ms(10),
            ));
            let mut set = FuturesUnordered::from_iter([first, Box::pin(sleep(ms(20)))]);
            let outcome = set.next().await.unwrap();
            assert!(outcome.unwrap_err().is_cancelled());
            assert_eq!(now(), 0);
            set.next().await.unwrap()?;
            Ok(now())
        });
        assert_eq!(task.await?, 20);
        Ok(())
    });
}

#[test]
fn a_handle_that_moves_passes_a_request_on_where_it_is_now() {
    run(async {
        let mut worker: asyncio::Task<()> = create_task(pending());
        let other = worker.any();
        assert!(futures_util::poll!(&mut worker).is_pending());
        let task = create_task(async move { worker.await });
        sleep(ms(1)).await?;
        task.cancel();
        assert!(task.await.unwrap_err().is_cancelled());
        assert!(other.done());
        Ok(())
    });
}

#[test]
fn a_limit_that_moves_out_of_a_set_is_woken_where_it_is_now() {
    run(async {
        let moving = async {
            let mut limited = Box::pin(wait_for(pending::<Result<()>>(), ms(10)));
            assert!(futures_util::poll!(limited.as_mut()).is_pending());
            create_task(limited).await
        };
        let mut set = FuturesUnordered::from_iter([moving]);
        assert!(set.next().await.unwrap().unwrap_err().is_timeout());
        Ok(())
    });
}

#[test]
fn a_limit_around_a_set_that_moves_ends_in_time() {
    run(async {
        let mut set = FuturesUnordered::from_iter([sleep(ms(50))]);
        let body = async move { set.next().await.unwrap() };
        let mut limited = Box::pin(wait_for(body, ms(10)));
        assert!(futures_util::poll!(limited.as_mut()).is_pending());
        assert!(create_task(limited).await.unwrap_err().is_timeout());
        assert_eq!(now(), 10);
        Ok(())
    });
}

#[test]
fn a_deadline_during_the_clean_up_of_a_loser_is_not_swallowed() {
    run(async {
        let tidy = async {
            if let Err(error) = sleep(ms(1000)).await {
                sleep(ms(20)).await?;
                return Err(error);
            }
            Ok(())
        };
        let body = async {
            asyncio::select! { _ = tidy => (), outcome = sleep(ms(1)) => outcome? }
            sleep(ms(1000)).await
        };
        assert!(wait_for(body, ms(10)).await.unwrap_err().is_timeout());
        assert_eq!(now(), 10);
        Ok(())
    });
}

#[test]
fn a_moved_scope_with_a_leaf_put_aside_in_it() {
    run(async {
        let queue: &'static Queue<u32> = Box::leak(Box::new(Queue::new(0)));
        let mut scope = Box::pin(asyncio::cancellable(async {
            let mut beat = pin!(sleep(ms(1)));
            assert!(futures_util::poll!(beat.as_mut()).is_pending());
            queue.get().await
        }));
        assert!(futures_util::poll!(scope.as_mut()).is_pending());
        let task = create_task(scope);
        sleep(ms(5)).await?;
        task.cancel();
        sleep(ms(5)).await?;
        assert!(task.done());
        Ok(())
    });
}

#[test]
fn a_loser_with_a_woken_leaf_put_aside_ends() {
    run(async {
        let loser = async {
            let mut limited = pin!(wait_for(sleep(ms(10)), ms(10)));
            assert!(futures_util::poll!(limited.as_mut()).is_pending());
            pending::<Result<()>>().await
        };
        asyncio::select! { outcome = sleep(ms(10)) => outcome?, _ = loser => () }
        Ok(())
    });
}

#[test]
fn a_set_with_a_limit_that_has_expired_is_put_aside() {
    run(async {
        let task = create_task(async {
            let mut set = FuturesUnordered::from_iter([wait_for(pending::<Result<()>>(), ms(1))]);
            assert!(futures_util::poll!(set.next()).is_pending());
            pending::<Result<()>>().await
        });
        sleep(ms(5)).await?;
        task.cancel();
        sleep(ms(5)).await?;
        assert!(task.done());
        Ok(())
    });
}

#[test]
fn a_limit_that_goes_on_under_no_task_acts_there() {
    run(async {
        let mut limited = Box::pin(wait_for(pending::<Result<()>>(), ms(10)));
        assert!(futures_util::poll!(limited.as_mut()).is_pending());
        let outcomes = Rc::new(RefCell::new(Vec::new()));
        let (slot, limited) = (outcomes.clone(), Rc::new(RefCell::new(limited)));
        for at in [1, 15] {
            let (slot, limited) = (slot.clone(), limited.clone());
            get_running_loop()?.call_later(ms(at), move || {
                let mut cx = std::task::Context::from_waker(std::task::Waker::noop());
                let polled = std::future::Future::poll(limited.borrow_mut().as_mut(), &mut cx);
                slot.borrow_mut().push(polled);
            })?;
        }
        sleep(ms(20)).await?;
        let outcomes = outcomes.take();
        assert!(outcomes[0].is_pending());
        assert!(matches!(&outcomes[1], std::task::Poll::Ready(Err(error)) if error.is_timeout()));
        assert_eq!(current_task().unwrap().cancelling(), 0);
        Ok(())
    });
}

#[test]
fn a_limit_put_aside_does_not_deliver_again_what_was_taken_beside_it() {
    run(async {
        let task = create_task(async {
            let mut aside = Box::pin(wait_for(pending::<Result<()>>(), ms(1)));
            assert!(futures_util::poll!(aside.as_mut()).is_pending());
            assert!(sleep(ms(100)).await.unwrap_err().is_cancelled());
            // The clean-up takes one step before the limit ends.
            sleep(ms(0)).await?;
            drop(aside);
            sleep(ms(1)).await
        });
        sleep(ms(5)).await?;
        task.cancel();
        task.await
    });
}

#[test]
fn a_limit_at_the_end_of_losers_does_not_deliver_an_older_request_again() {
    run(async {
        let task = create_task(async {
            assert!(sleep(ms(100)).await.unwrap_err().is_cancelled());
            let stays = async { join(pending::<()>(), sleep(ms(100))).await.1 };
            let racers: [Boxed<'_>; 2] = [Box::pin(stays), Box::pin(yields())];
            // The loser takes the request to end, and stays in something foreign until its time is up.
            wait_for(race(racers), ms(1)).await?;
            sleep(ms(0)).await
        });
        sleep(ms(5)).await?;
        task.cancel();
        task.await
    });
}

#[test]
fn a_limit_that_gives_way_takes_the_request_from_around_it_as_well() {
    run(async {
        let task = create_task(async {
            current_task().unwrap().cancel();
            let limited = timeout(ms(0)).with(async |_| yields().await);
            assert!(limited.await.unwrap_err().is_timeout());
            sleep(ms(0)).await
        });
        task.await
    });
}

#[test]
fn what_was_woken_and_borrowed_takes_the_request_after_its_limit_was_dropped() {
    run(async {
        let task = create_task(async {
            let mut leaf = pin!(sleep(ms(0)));
            let limited = Box::pin(wait_for(leaf.as_mut(), ms(1)));
            drop(select(Box::pin(yields()), limited).await);
            assert!(leaf.await.unwrap_err().is_cancelled());
            Ok(())
        });
        sleep(ms(0)).await?;
        task.cancel();
        task.await
    });
}

#[test]
fn a_loser_that_is_dropped_does_not_deliver_again_what_the_winner_has_taken() {
    run(async {
        let task = create_task(async {
            let never = create_task(pending::<Result<()>>());
            let gathers = async { gather([never]).await.map(drop) };
            let racers: [Boxed<'_>; 2] = [Box::pin(gathers), Box::pin(sleep(ms(0)))];
            let chosen = async move {
                let mut racing = pin!(race(racers));
                asyncio::select! {
                    outcome = racing.as_mut() => outcome,
                    outcome = pending::<Result<()>>() => outcome,
                }
            };
            let outcome = chosen.await;
            assert!(outcome.unwrap_err().is_cancelled());
            sleep(ms(0)).await
        });
        sleep(ms(0)).await?;
        task.cancel();
        task.await
    });
}

#[test]
fn a_loser_takes_nothing_that_is_armed_beside_it_with_it() {
    run(async {
        let event = Rc::new(Event::new());
        let set = event.clone();
        let task = create_task(async move {
            let racers: [Boxed<'_>; 2] = [Box::pin(sleep(ms(1))), Box::pin(sleep(ms(1)))];
            let cleans_up = async {
                assert!(event.wait().await.unwrap_err().is_cancelled());
                sleep(ms(0)).await
            };
            let parts: [Boxed<'_>; 2] = [Box::pin(race(racers)), Box::pin(cleans_up)];
            let mut set = FuturesUnordered::from_iter(parts);
            assert!(set.next().await.unwrap().unwrap_err().is_cancelled());
            set.next().await.unwrap()
        });
        sleep(ms(0)).await?;
        set.set();
        task.cancel();
        task.await
    });
}

#[test]
fn what_was_woken_takes_a_request_that_something_armed_since_takes_too() {
    run(async {
        let task = create_task(async {
            let queue = Queue::new(0);
            let first = queue.get();
            let asks = async {
                queue.put_nowait(1)?;
                current_task().unwrap().cancel();
                sleep(ms(1)).await
            };
            let takes = async { queue.get().await };
            let (first, (asked, second)) = join(first, join(asks, takes)).await;
            assert!(first.unwrap_err().is_cancelled());
            assert!(asked.unwrap_err().is_cancelled());
            assert_eq!(second?, 1);
            Ok(())
        });
        task.await
    });
}

#[test]
fn the_answer_to_a_request_is_looked_at_even_if_what_passed_it_on_is_put_aside() {
    run(async {
        let task = create_task(async {
            let never = create_task(pending::<Result<()>>());
            let gathers = async { gather([never]).await.map(drop) };
            let parts: [Boxed<'_>; 2] = [Box::pin(gathers), Box::pin(sleep(ms(0)))];
            let mut set = FuturesUnordered::from_iter(parts);
            assert!(futures_util::poll!(set.next()).is_pending());
            // The set is not polled again; its own waker has been called already.
            pending::<Result<()>>().await
        });
        sleep(ms(0)).await?;
        task.cancel();
        sleep(ms(5)).await?;
        assert!(task.done());
        Ok(())
    });
}

#[test]
fn a_loser_with_a_scope_inside_does_not_deliver_again_what_was_taken_beside_it() {
    run(async {
        let task = create_task(async {
            let never = create_task(pending::<Result<()>>());
            let gathers = async { cancellable(async { gather([never]).await.map(drop) }).await };
            let racers: [Boxed<'_>; 2] = [Box::pin(gathers), Box::pin(sleep(ms(0)))];
            let mut racing = Box::pin(race(racers));
            assert!(futures_util::poll!(racing.as_mut()).is_pending());
            yields().await?;
            assert!(futures_util::poll!(racing.as_mut()).is_pending());
            drop(racing);
            sleep(ms(0)).await
        });
        sleep(ms(0)).await?;
        task.cancel();
        task.await
    });
}
