//! The rules of scopes: which waits a request to cancel reaches, and what happens to it.

use asyncio::{
    AsyncContextManager, Error, Event, Lock, Queue, Result, TaskGroup, create_task, current_task,
    generator, get_running_loop, sleep, timeout, wait_for,
};
use asyncio_tests::support::run;
use futures_util::{
    StreamExt,
    future::{Either, join, select, select_all},
    stream::FuturesUnordered,
};
use std::{
    cell::{Cell, RefCell},
    future::pending,
    pin::pin,
    rc::Rc,
    time::Duration,
};

fn ms(n: u64) -> Duration {
    Duration::from_millis(n)
}

fn now() -> u64 {
    get_running_loop().unwrap().time().as_millis() as u64
}

fn counts() -> u32 {
    current_task().unwrap().cancelling()
}

/// A future of another library that never ends, and does not know this library.
async fn foreign() {
    let (sender, receiver) = tokio::sync::oneshot::channel::<()>();
    std::mem::forget(sender);
    let _ = receiver.await;
}

#[test]
fn limits_side_by_side() {
    run(async {
        let slow = wait_for(sleep(ms(1000)), ms(10));
        let fine = wait_for(async { sleep(ms(100)).await.map(|()| "fine") }, ms(5000));
        let (slow, fine) = join(slow, fine).await;
        assert!(slow.unwrap_err().is_timeout());
        assert_eq!(fine.unwrap(), "fine");
        Ok(())
    });
}

#[test]
fn requests_of_a_stream_each_with_a_limit() {
    run(async {
        let ask = |t| wait_for(async move { sleep(ms(t)).await.map(|()| t) }, ms(100));
        let answers: Vec<_> =
            futures_util::stream::iter([30, 500, 80, 90, 70]).map(ask).buffered(3).collect().await;
        let kinds: Vec<_> =
            answers.iter().map(|a| a.as_ref().map_or_else(Error::kind, |_| "ok")).collect();
        assert_eq!(kinds, ["ok", "TimeoutError", "ok", "ok", "ok"]);
        Ok(())
    });
}

#[test]
fn a_hundred_requests_each_under_its_own_limit() {
    run(async {
        let mut all = FuturesUnordered::new();
        for i in 0..100u64 {
            all.push(wait_for(async move { sleep(ms(10 * i)).await.map(|()| i) }, ms(505)));
        }
        let (mut done, mut late) = (0, 0);
        while let Some(answer) = all.next().await {
            match answer {
                Ok(_) => done += 1,
                Err(error) if error.is_timeout() => late += 1,
                Err(error) => return Err(error),
            }
        }
        assert_eq!((done, late), (51, 49));
        Ok(())
    });
}

#[test]
fn a_limit_in_one_arm_leaves_the_task_in_another_alone() {
    run(async {
        let mut worker = create_task(async { sleep(ms(60_000)).await.map(|()| "done") });
        let jobs = Queue::new(0);
        jobs.put_nowait(ms(5000)).map_err(|_| Error::runtime("full"))?;
        let outcome = loop {
            tokio::select! {
                biased;
                outcome = &mut worker => break outcome,
                job = jobs.get() => {
                    let handled = wait_for(sleep(job?), ms(10)).await;
                    assert!(handled.unwrap_err().is_timeout());
                }
            }
        };
        assert_eq!(outcome.unwrap(), "done");
        Ok(())
    });
}

#[test]
fn a_limit_elsewhere_leaves_a_pinned_sleep_alone() {
    run(async {
        let mut tick = pin!(sleep(ms(60_000)));
        assert!(futures_util::poll!(tick.as_mut()).is_pending());
        let limited = timeout(ms(10)).with(async |_| sleep(ms(5000)).await).await;
        assert!(limited.unwrap_err().is_timeout());
        tick.await
    });
}

#[test]
fn a_failing_group_ends_no_other_group() {
    run(async {
        let bad = TaskGroup::new().with(async |group| {
            group.create_task(async {
                sleep(ms(5)).await?;
                Err::<(), _>(Error::runtime("child"))
            });
            sleep(ms(1000)).await
        });
        let good = TaskGroup::new().with(async |group| {
            group.create_task(async { sleep(ms(100)).await.map(|()| "good") }).await
        });
        let (bad, good) = join(bad, good).await;
        assert!(bad.is_err());
        assert_eq!(good.unwrap(), "good");
        Ok(())
    });
}

#[test]
fn a_cancel_reaches_a_task_in_a_foreign_await_with_a_leaf_put_aside() {
    run(async {
        let task = create_task(async {
            let mut beat = pin!(sleep(ms(30_000_000)));
            assert!(futures_util::poll!(beat.as_mut()).is_pending());
            foreign().await;
            Ok(())
        });
        sleep(ms(1)).await?;
        assert!(task.cancel());
        assert!(task.await.unwrap_err().is_cancelled());
        Ok(())
    });
}

#[test]
fn a_limit_reaches_a_task_in_a_foreign_await_with_a_leaf_put_aside() {
    run(async {
        let limited = wait_for(
            async {
                let mut beat = pin!(sleep(ms(30_000_000)));
                assert!(futures_util::poll!(beat.as_mut()).is_pending());
                foreign().await;
                Ok(())
            },
            ms(20),
        );
        assert!(limited.await.unwrap_err().is_timeout());
        Ok(())
    });
}

/// A clean-up that awaits a foreign future is not interrupted.
#[test]
fn foreign_clean_up_after_a_handled_cancellation_runs_to_its_end() {
    run(async {
        let (sender, receiver) = tokio::sync::oneshot::channel::<u32>();
        let task = create_task(async move {
            let outcome: Result<()> = async { pending::<Result<()>>().await }.await;
            outcome
        });
        let cleaner = create_task(async move {
            let slept = sleep(ms(1000)).await;
            assert!(slept.unwrap_err().is_cancelled());
            receiver.await.map_err(Error::msg)
        });
        sleep(ms(1)).await?;
        task.cancel();
        cleaner.cancel();
        assert!(task.await.unwrap_err().is_cancelled());
        sleep(ms(1)).await?;
        assert!(!cleaner.done());
        sender.send(7).unwrap();
        assert_eq!(cleaner.await?, 7);
        Ok(())
    });
}

#[test]
fn a_cancellation_in_a_readers_trait_does_not_become_an_io_error() {
    run(async {
        let (ours, theirs) = std::os::unix::net::UnixStream::pair()?;
        let socket = asyncio::socket::Socket::from_fd(std::os::fd::OwnedFd::from(ours))?;
        let (mut reader, _writer) = asyncio::open_unix_connection(socket).await?;
        // A library that treats any error of its connection as its end.
        let library = async {
            let mut byte = [0];
            let read = futures_util::future::poll_fn(|cx| {
                futures_io::AsyncRead::poll_read(std::pin::Pin::new(&mut reader), cx, &mut byte)
            });
            Ok(read.await.is_ok())
        };
        let limited = wait_for(library, ms(20)).await;
        assert!(limited.unwrap_err().is_timeout());
        drop(theirs);
        Ok(())
    });
}

#[test]
fn a_cancellation_that_was_wrapped_is_still_one() {
    run(async {
        let task = create_task(async {
            let slept: anyhow::Result<()> = async { Ok(sleep(ms(1000)).await?) }.await;
            slept.map_err(|error| Error::from_boxed(error.context("while waiting").into()))
        });
        sleep(ms(1)).await?;
        task.cancel();
        assert!(task.await.unwrap_err().is_cancelled());
        let limited = wait_for(
            async {
                let slept: anyhow::Result<()> = async { Ok(sleep(ms(1000)).await?) }.await;
                slept.map_err(|error| Error::from_boxed(error.into()))
            },
            ms(10),
        );
        assert!(limited.await.unwrap_err().is_timeout());
        Ok(())
    });
}

/// A scope that is dropped after its deadline withdraws the request from a leaf that it only
/// borrowed.
#[test]
fn borrowed_sleep_after_a_dropped_limit() {
    run(async {
        let mut tick = pin!(sleep(ms(100)));
        let mut other = pin!(sleep(ms(10)));
        let mut limited = Box::pin(wait_for(tick.as_mut(), ms(10)));
        tokio::select! { biased; r = other.as_mut() => r?, _ = limited.as_mut() => panic!("limit first") }
        drop(limited);
        assert_eq!(counts(), 0);
        tick.await?;
        assert_eq!(now(), 100);
        Ok(())
    });
}
/// The lock is released between the cancellation by a scope and its drop: no waiter is passed over
/// forever.
#[test]
fn borrowed_lock_released_while_cancelled() {
    run(async {
        let l: &'static Lock<()> = Box::leak(Box::new(Lock::new(())));
        let held = Cell::new(Some(l.acquire().await?));
        let mut mine = pin!(l.acquire());
        let mut other = pin!(sleep(ms(10)));
        {
            let limited = wait_for(async { mine.as_mut().await.map(drop) }, ms(10));
            tokio::select! { biased; r = async { other.as_mut().await?; drop(held.take()); Ok::<_, Error>(()) } => r?, _ = limited => panic!("limit first") }
        }
        wait_for(async { mine.await }, ms(50)).await.map(drop)
    });
}
/// the leaf that was set aside is already woken.
#[test]
fn cancel_with_a_woken_leaf_aside_and_foreign() {
    run(async {
        let t = create_task(async {
            let mut beat = pin!(sleep(ms(1)));
            assert!(futures_util::poll!(beat.as_mut()).is_pending());
            pending::<()>().await;
            Ok(())
        });
        sleep(ms(5)).await?;
        assert!(t.cancel());
        assert!(t.await.unwrap_err().is_cancelled());
        Ok(())
    });
}
#[test]
fn cancel_with_a_task_aside_and_foreign() {
    run(async {
        let t = create_task(async {
            let mut beat = create_task(sleep(ms(1_000_000)));
            assert!(futures_util::poll!(&mut beat).is_pending());
            pending::<()>().await;
            Ok(())
        });
        sleep(ms(5)).await?;
        assert!(t.cancel());
        assert!(t.await.unwrap_err().is_cancelled());
        Ok(())
    });
}
#[test]
fn cancel_oneself_with_a_leaf_aside_and_foreign() {
    run(async {
        let t = create_task(async {
            let mut beat = pin!(sleep(ms(1_000)));
            assert!(futures_util::poll!(beat.as_mut()).is_pending());
            current_task().unwrap().cancel();
            pending::<()>().await;
            Ok(1)
        });
        assert!(t.await.unwrap_err().is_cancelled());
        Ok(())
    });
}
/// A select! that drops the cancelled leaf because something foreign was ready in the same step.
#[test]
fn cancel_while_a_select_drops_the_leaf() {
    run(async {
        let (tx, mut rx) = tokio::sync::mpsc::unbounded_channel::<u32>();
        let t = create_task(async move {
            let mut n = 0;
            loop {
                tokio::select! { biased; m = rx.recv() => { m.unwrap(); n += 1; } r = sleep(ms(1000)) => { return r.map(|_| n) } }
            }
        });
        sleep(ms(1)).await?;
        t.cancel();
        tx.send(1).unwrap();
        let r = wait_for(t, ms(100)).await;
        assert!(r.unwrap_err().is_cancelled());
        assert_eq!(now(), 1);
        drop(tx);
        Ok(())
    });
}
/// A request reaches everything inside, even a wait that was woken just before.
#[test]
fn cancel_reaches_the_woken_branch_of_a_join() {
    run(async {
        let e = Rc::new(Event::new());
        let e2 = e.clone();
        let t = create_task(async move {
            let a = async {
                let r = e2.wait().await;
                if r.is_ok() {
                    sleep(ms(1000)).await?;
                }
                r.map(drop)
            };
            let b = sleep(ms(2000));
            let (a, b) = futures_util::join!(a, b);
            Ok((a.is_err(), b.is_err()))
        });
        sleep(ms(1)).await?;
        e.set();
        t.cancel();
        assert_eq!(t.await?, (true, true));
        assert_eq!(now(), 1);
        Ok(())
    });
}
/// Innermost gives way: its clean-up runs.
#[test]
fn innermost_gives_way() {
    run(async {
        struct Cm(Rc<RefCell<Vec<&'static str>>>, &'static str);
        impl AsyncContextManager for Cm {
            type Target = ();
            async fn enter(&mut self) -> Result<()> {
                Ok(())
            }
            async fn exit(&mut self, _: (), e: Option<&Error>) -> Result<()> {
                sleep(ms(1)).await?;
                assert!(e.unwrap().is_cancelled());
                self.0.borrow_mut().push(self.1);
                Ok(())
            }
        }
        let log: Rc<RefCell<Vec<&'static str>>> = Rc::default();
        let l = log.clone();
        let t = create_task(async move {
            let l2 = l.clone();
            Cm(l, "outer")
                .with(async move |_| {
                    Cm(l2, "inner")
                        .with(async move |_| {
                            let mut beat = pin!(sleep(ms(1_000)));
                            assert!(futures_util::poll!(beat.as_mut()).is_pending());
                            pending::<()>().await;
                            Ok(())
                        })
                        .await
                })
                .await
        });
        sleep(ms(1)).await?;
        t.cancel();
        assert!(t.await.unwrap_err().is_cancelled());
        assert_eq!(*log.borrow(), ["inner", "outer"]);
        Ok(())
    });
}
/// A limit inside a generator's body that fires while the consumer is elsewhere.
#[test]
fn limit_in_a_generator_fires_while_the_consumer_is_elsewhere() {
    run(async {
        let mut g = generator(async |y| {
            let r = timeout(ms(10))
                .with(async |_| {
                    y.send(1).await?;
                    sleep(ms(1000)).await
                })
                .await;
            assert!(r.unwrap_err().is_timeout());
            y.send(2).await
        });
        assert_eq!(g.next().await.unwrap()?, 1);
        sleep(ms(50)).await?;
        assert_eq!(g.next().await.unwrap()?, 2);
        assert_eq!(now(), 50);
        assert_eq!(counts(), 0);
        assert!(g.next().await.is_none());
        Ok(())
    });
}
/// A generator with a limit inside continues in another task.
#[test]
fn a_generator_moves_to_another_task() {
    run(async {
        let mut g = generator(async |y| {
            let r = timeout(ms(30))
                .with(async |_| {
                    y.send(1).await?;
                    sleep(ms(1000)).await
                })
                .await;
            assert!(r.unwrap_err().is_timeout());
            y.send(2).await
        });
        assert_eq!(g.next().await.unwrap()?, 1);
        let t = create_task(async move {
            let v = g.next().await.unwrap()?;
            assert_eq!(counts(), 0);
            Ok(v)
        });
        sleep(ms(100)).await?;
        assert_eq!(t.await?, 2);
        assert_eq!(counts(), 0);
        Ok(())
    });
}

/// A request is delivered once, even if a scope beside the winner never saw it.
#[test]
fn a_request_that_the_winner_took_is_not_delivered_again_by_the_loser() {
    run(async {
        let task = create_task(async {
            let limits = [40, 50].map(|limit| Box::pin(wait_for(sleep(ms(10)), ms(limit))));
            let (first, _, losers) = select_all(limits).await;
            drop(losers);
            assert!(first.unwrap_err().is_cancelled());
            sleep(ms(1)).await
        });
        sleep(ms(1)).await?;
        task.cancel();
        task.await
    });
}

#[test]
fn a_woken_leaf_in_a_set_that_is_put_aside() {
    run(async {
        let task = create_task(async {
            let mut set = FuturesUnordered::from_iter([sleep(ms(1))]);
            assert!(futures_util::poll!(set.next()).is_pending());
            pending::<()>().await;
            Ok(())
        });
        sleep(ms(5)).await?;
        assert!(task.cancel());
        assert!(wait_for(task, ms(100)).await.unwrap_err().is_cancelled());
        Ok(())
    });
}

/// Polls `limited` until the 10th millisecond, in which its limit fires, and drops it then.
async fn drop_as_it_fires<T>(limited: impl std::future::Future<Output = Result<T>>) -> Result<()> {
    let mut tick = pin!(sleep(ms(10)));
    match select(tick.as_mut(), Box::pin(limited)).await {
        Either::Left((outcome, limited)) => {
            drop(limited);
            outcome
        }
        Either::Right(_) => panic!("the limit came first"),
    }
}

#[test]
fn a_borrowed_scope_does_not_give_way_to_a_limit_that_is_gone() {
    run(async {
        let mut inner = pin!(asyncio::cancellable(async {
            pending::<()>().await;
            Ok(())
        }));
        drop_as_it_fires(wait_for(inner.as_mut(), ms(10))).await?;
        assert!(wait_for(inner, ms(5)).await.unwrap_err().is_timeout());
        Ok(())
    });
}

#[test]
fn a_limit_that_goes_does_not_take_back_what_one_inside_has_asked() {
    run(async {
        let mut inner = pin!(wait_for(sleep(ms(50)), ms(10)));
        drop_as_it_fires(wait_for(inner.as_mut(), ms(10))).await?;
        assert!(inner.await.unwrap_err().is_timeout());
        assert_eq!(now(), 10);
        Ok(())
    });
}

#[test]
fn what_was_put_aside_in_a_borrowed_scope_ends_no_task_when_the_limit_goes() {
    run(async {
        let mut inner = pin!(async {
            let mut aside = pin!(asyncio::cancellable(sleep(ms(500))));
            assert!(futures_util::poll!(aside.as_mut()).is_pending());
            foreign().await;
            Ok(())
        });
        drop_as_it_fires(wait_for(inner.as_mut(), ms(10))).await?;
        sleep(ms(1)).await?;
        assert_eq!((now(), counts()), (11, 0));
        Ok(())
    });
}

/// The request reaches both the leaf in the calling scope and one in a scope that contains a
/// set-aside future.
#[test]
fn a_request_reaches_a_scope_in_which_a_leaf_was_put_aside_beside_a_leaf_of_ours() {
    run(async {
        let task = create_task(async {
            let aside = wait_for(
                async {
                    let mut beat = pin!(sleep(ms(9_000)));
                    assert!(futures_util::poll!(beat.as_mut()).is_pending());
                    foreign().await;
                    Ok(())
                },
                ms(9_000),
            );
            let (aside, plain) = join(aside, sleep(ms(8_000))).await;
            Ok((aside.unwrap_err().is_cancelled(), plain.unwrap_err().is_cancelled(), now()))
        });
        sleep(ms(1)).await?;
        task.cancel();
        assert_eq!(task.await?, (true, true, 1));
        Ok(())
    });
}

/// A limit elsewhere does not affect a pinned wait of any kind that was set aside.
macro_rules! left_alone {
    ($($name:ident: |$given:ident| $make:expr => $wait:expr, $then:expr;)*) => {$(
        #[test]
        fn $name() {
            run(async {
                let $given = $make;
                let mut aside = Box::pin($wait);
                assert!(futures_util::poll!(aside.as_mut()).is_pending());
                let limited = timeout(ms(10)).with(async |_| sleep(ms(5000)).await).await;
                assert!(limited.unwrap_err().is_timeout());
                assert!(futures_util::poll!(aside.as_mut()).is_pending());
                let _: () = $then;
                assert!(aside.await.is_ok());
                assert_eq!(counts(), 0);
                Ok(())
            });
        }
    )*};
}

mod left_alone {
    use super::*;
    use asyncio::{
        Barrier, BoundedSemaphore, Condition, Future, LifoQueue, PriorityQueue, Semaphore, gather,
        shield, wait,
    };

    left_alone! {
        a_sleep: |_given| () => sleep(ms(50)), ();
        a_lock: |given| { let lock: &'static Lock<()> = Box::leak(Box::new(Lock::new(()))); (lock, lock.acquire().await?) }
            => given.0.acquire(), drop(given.1);
        a_semaphore: |given| Semaphore::new(0) => given.acquire(), given.release();
        a_bounded_semaphore: |given| {
            let semaphore: &'static BoundedSemaphore = Box::leak(Box::new(BoundedSemaphore::new(1)));
            (semaphore, semaphore.acquire().await?)
        } => given.0.acquire(), drop(given.1);
        an_event: |given| Event::new() => given.wait(), given.set();
        a_condition: |given| Condition::new(0) => async {
            given.acquire().await?.wait().await
        }, { let _guard = given.acquire().await?; given.notify_all()? };
        a_barrier: |given| Rc::new(Barrier::new(2)?) => given.wait(), {
            let other = given.clone();
            drop(create_task(async move { other.wait().await.map(drop) }))
        };
        a_queue: |given| Queue::new(0) => given.get(), given.put_nowait(1).unwrap();
        a_lifo_queue: |given| LifoQueue::new(0) => given.get(), given.put_nowait(1).unwrap();
        a_priority_queue: |given| PriorityQueue::new(0) => given.get(), given.put_nowait(1).unwrap();
        a_put: |given| { let queue = Queue::new(1); queue.put_nowait(1).unwrap(); queue }
            => given.put(2), given.get_nowait().map(drop)?;
        a_join: |given| { let queue = Queue::new(0); queue.put_nowait(1).unwrap(); queue }
            => given.join(), given.task_done()?;
        a_future: |given| Future::<u32>::new() => given.clone(), given.set_result(1)?;
        a_task: |_given| () => create_task(sleep(ms(90))), ();
        a_gather: |_given| () => gather([sleep(ms(90))]).into_inner(), ();
        a_shield: |_given| () => shield(create_task(sleep(ms(90)))), ();
        a_wait: |_given| () => async { wait([create_task(sleep(ms(90)))]).await }, ();
    }
}
