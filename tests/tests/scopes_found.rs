//! Programs of scopes that random search has found, each cut down to what matters: see
//! `scopes_random.rs`.

use asyncio::{Queue, Result, create_task, current_task, get_running_loop, sleep, wait_for};
use asyncio_tests::support::run;
use futures_util::{StreamExt, future::join, stream::FuturesUnordered};
use std::{cell::RefCell, future::pending, pin::pin, rc::Rc, time::Duration};

fn ms(n: u64) -> Duration {
    Duration::from_millis(n)
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
    type Boxed = std::pin::Pin<Box<dyn std::future::Future<Output = Result<()>>>>;
    run(async {
        let task = create_task(async {
            let first: Boxed = Box::pin(wait_for(
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
            // The clean-up takes a step of its own before the limit goes.
            sleep(ms(0)).await?;
            drop(aside);
            sleep(ms(1)).await
        });
        sleep(ms(5)).await?;
        task.cancel();
        task.await
    });
}
