//! Queues in tasks of a loop: what a cancellation does to them, and in which step.

use asyncio_core::{AsyncContextManager, Error, Result};
use asyncio_loop::EventLoop;
use asyncio_queues::{PriorityQueue, Queue};
use asyncio_task::{Task, create_task, sleep, timeout};
use std::{cell::RefCell, future::Future, rc::Rc, sync::Arc, thread, time::Duration};

/// Runs `main` on its own loop, under the virtual clock.
fn run(main: impl Future<Output = Result<()>> + 'static) {
    let event_loop = EventLoop::builder().virtual_time(true).build().unwrap();
    let outcome = event_loop.run_until_complete(main);
    event_loop.close().unwrap();
    outcome.unwrap();
}

/// One iteration of the loop.
async fn briefly() -> Result<()> {
    sleep(Duration::ZERO).await
}

const MS: Duration = Duration::from_millis(1);

fn get(queue: &Rc<Queue<u32>>) -> Task<u32> {
    let queue = queue.clone();
    create_task(async move { queue.get().await })
}

fn put(queue: &Rc<Queue<u32>>, item: u32) -> Task<()> {
    let queue = queue.clone();
    create_task(async move { queue.put(item).await })
}

fn cancelled<T>(outcome: Result<T>) -> bool {
    matches!(outcome, Err(Error::Cancelled(_)))
}

fn shut_down<T>(outcome: Result<T>) -> bool {
    matches!(outcome, Err(Error::QueueShutDown(_)))
}

#[test]
fn a_put_wakes_a_getter_in_the_next_step() {
    run(async {
        let queue = Rc::new(Queue::new(0));
        let a = get(&queue);
        briefly().await?;
        queue.put(1).await?;
        assert!(!a.done());
        briefly().await?;
        assert!(a.done());
        assert_eq!(a.await?, 1);
        Ok(())
    });
}

#[test]
fn a_getter_cancelled_after_it_was_woken_passes_the_item_on() {
    run(async {
        let queue = Rc::new(Queue::new(0));
        let (a, b) = (get(&queue), get(&queue));
        briefly().await?;
        queue.put_nowait(1)?;
        a.cancel();
        assert!(cancelled(a.await));
        assert_eq!(b.await?, 1);
        Ok(())
    });
}

#[test]
fn a_getter_cancelled_before_the_put_is_passed_over_in_the_same_step() {
    run(async {
        let queue = Rc::new(Queue::new(0));
        let (a, b) = (get(&queue), get(&queue));
        briefly().await?;
        a.cancel();
        queue.put_nowait(1)?;
        briefly().await?;
        // Both run in the same iteration: the item did not pass through the cancelled one.
        assert!(a.cancelled() && b.done());
        assert_eq!(b.await?, 1);
        Ok(())
    });
}

#[test]
fn a_cancellation_between_two_puts_loses_nothing() {
    run(async {
        let queue = Rc::new(Queue::new(0));
        let readers = [0, 1, 2].map(|_| get(&queue));
        briefly().await?;
        // Delivered to the first and second; the first gives it back.
        queue.put_nowait(1)?;
        queue.put_nowait(2)?;
        readers[0].cancel();
        let [a, b, c] = readers;
        assert!(cancelled(a.await));
        assert_eq!((b.await?, c.await?), (1, 2));
        assert!(queue.empty());
        Ok(())
    });
}

#[test]
fn a_getter_that_was_overtaken_waits_at_the_end_of_the_line() {
    run(async {
        let queue = Rc::new(Queue::new(0));
        let (a, b) = (get(&queue), get(&queue));
        briefly().await?;
        queue.put_nowait(1)?;
        assert_eq!(queue.get().await?, 1);
        briefly().await?;
        queue.put_nowait(2)?;
        assert_eq!(b.await?, 2);
        assert!(!a.done());
        queue.put_nowait(3)?;
        assert_eq!(a.await?, 3);
        Ok(())
    });
}

#[test]
fn a_cancelled_put_puts_nothing_and_hands_its_item_back() {
    run(async {
        let queue = Rc::new(Queue::new(1));
        queue.put(1).await?;
        let inner = queue.clone();
        let a = create_task(async move {
            let mut put = inner.put(2);
            let outcome = (&mut put).await;
            Ok((put.into_item().unwrap(), cancelled(outcome)))
        });
        let b = put(&queue, 3);
        briefly().await?;
        // Woken, and then cancelled: the place goes to the next.
        assert_eq!(queue.get_nowait()?, 1);
        a.cancel();
        assert_eq!(a.await?, (2, true));
        b.await?;
        assert_eq!(queue.get_nowait()?, 3);
        assert!(queue.empty());
        Ok(())
    });
}

#[test]
fn a_putter_cancelled_before_there_is_room_is_passed_over_in_the_same_step() {
    run(async {
        let queue = Rc::new(Queue::new(1));
        queue.put(1).await?;
        let (a, b) = (put(&queue, 2), put(&queue, 3));
        briefly().await?;
        a.cancel();
        assert_eq!(queue.get_nowait()?, 1);
        briefly().await?;
        assert!(a.cancelled() && b.done());
        assert_eq!(queue.get_nowait()?, 3);
        Ok(())
    });
}

#[test]
fn a_put_cancelled_after_get_nowait_took_it_out_of_the_line_ends_quietly() {
    run(async {
        let queue = Rc::new(Queue::new(1));
        queue.put(1).await?;
        let a = put(&queue, 2);
        briefly().await?;
        assert_eq!(queue.get_nowait()?, 1);
        queue.put_nowait(9)?;
        a.cancel();
        assert!(cancelled(a.await));
        assert_eq!((queue.get_nowait()?, queue.qsize()), (9, 0));
        Ok(())
    });
}

#[test]
fn a_timeout_over_get_leaves_no_getter_in_line() {
    run(async {
        let queue = Queue::<u32>::new(0);
        for _ in 0..3 {
            let late = timeout(MS).with(async |_| queue.get().await).await;
            assert!(matches!(late, Err(Error::Timeout(_))));
        }
        assert!(format!("{queue:?}").contains("getters: 0"));
        queue.put_nowait(1)?;
        assert_eq!(queue.get().await?, 1);
        Ok(())
    });
}

#[test]
fn all_the_putters_that_fit_are_woken() {
    run(async {
        let queue = Rc::new(Queue::new(2));
        queue.put(0).await?;
        queue.put(0).await?;
        let putters: Vec<_> = (1..=4).map(|n| put(&queue, n)).collect();
        briefly().await?;
        for _ in 0..2 {
            queue.get_nowait()?;
        }
        briefly().await?;
        let done: Vec<_> = putters.iter().map(|task| task.done()).collect();
        assert_eq!(done, [true, true, false, false]);
        let mut got = Vec::new();
        for _ in 0..4 {
            got.push(queue.get().await?);
        }
        assert_eq!(got, [1, 2, 3, 4]);
        Ok(())
    });
}

#[test]
fn join_ends_one_step_after_the_last_task_done() {
    run(async {
        let queue = Rc::new(Queue::new(0));
        queue.join().await?;
        queue.put_nowait(1)?;
        let inner = queue.clone();
        let join = create_task(async move { inner.join().await });
        briefly().await?;
        queue.get_nowait()?;
        queue.task_done()?;
        assert!(!join.done());
        briefly().await?;
        assert!(join.done());
        assert!(matches!(queue.task_done(), Err(Error::Value(_))));
        Ok(())
    });
}

#[test]
fn workers_take_turns_until_all_is_done() {
    run(async {
        let (queue, log) = (Rc::new(Queue::new(3)), Rc::new(RefCell::new(Vec::new())));
        let workers: Vec<_> = (0..3)
            .map(|_| {
                let (queue, log) = (queue.clone(), log.clone());
                create_task(async move {
                    loop {
                        let n: u32 = queue.get().await?;
                        sleep(n * MS).await?;
                        log.borrow_mut().push(n);
                        queue.task_done()?;
                    }
                    #[allow(unreachable_code)]
                    Ok(())
                })
            })
            .collect();
        for n in 1..=10 {
            queue.put(n).await?;
        }
        queue.join().await?;
        for worker in workers {
            worker.cancel();
            assert!(cancelled(worker.await));
        }
        assert_eq!(*log.borrow(), (1..=10).collect::<Vec<_>>());
        Ok(())
    });
}

#[test]
fn shutdown_delivers_what_is_left_and_join_still_waits() {
    run(async {
        let queue = Rc::new(Queue::new(1));
        queue.put(1).await?;
        let blocked = put(&queue, 2);
        let inner = queue.clone();
        let join = create_task(async move { inner.join().await });
        briefly().await?;
        queue.shutdown(false);
        assert!(shut_down(blocked.await));
        assert!(shut_down(queue.put(3).await));
        assert_eq!(queue.get().await?, 1);
        assert!(shut_down(queue.get().await));
        assert!(shut_down(queue.get_nowait()));
        briefly().await?;
        assert!(!join.done());
        queue.task_done()?;
        join.await
    });
}

#[test]
fn shutdown_wakes_every_getter_in_the_next_step() {
    run(async {
        let queue = Rc::new(Queue::new(0));
        let (a, b) = (get(&queue), get(&queue));
        briefly().await?;
        queue.shutdown(false);
        briefly().await?;
        assert!(a.done() && b.done());
        assert!(shut_down(a.await) && shut_down(b.await));
        Ok(())
    });
}

#[test]
fn immediate_shutdown_takes_off_only_what_it_drains() {
    run(async {
        let queue = Rc::new(Queue::new(0));
        for n in 0..4 {
            queue.put_nowait(n)?;
        }
        let inner = queue.clone();
        let join = create_task(async move { inner.join().await });
        briefly().await?;
        queue.get_nowait()?;
        queue.get_nowait()?;
        queue.task_done()?;
        queue.shutdown(true);
        briefly().await?;
        assert!(!join.done(), "one item is still being worked on");
        assert!(queue.empty());
        queue.task_done()?;
        join.await?;
        assert!(matches!(queue.task_done(), Err(Error::Value(_))));
        Ok(())
    });
}

#[test]
fn immediate_shutdown_wakes_those_that_join_before_those_that_put() {
    run(async {
        let (queue, log) = (Rc::new(Queue::new(1)), Rc::new(RefCell::new(Vec::new())));
        queue.put(1).await?;
        let (putting, putter) = (queue.clone(), log.clone());
        let put = create_task(async move {
            let outcome = putting.put(2).await;
            putter.borrow_mut().push("put");
            assert!(shut_down(outcome));
            Ok(())
        });
        briefly().await?;
        let (joining, joiner) = (queue.clone(), log.clone());
        let join = create_task(async move {
            joining.join().await?;
            joiner.borrow_mut().push("join");
            Ok(())
        });
        briefly().await?;
        queue.shutdown(true);
        put.await?;
        join.await?;
        assert_eq!(*log.borrow(), ["join", "put"]);
        Ok(())
    });
}

#[test]
fn a_priority_queue_gives_the_lowest_to_a_waiting_getter() {
    run(async {
        let queue = Rc::new(PriorityQueue::new(0));
        let inner = queue.clone();
        let a = create_task(async move { inner.get().await });
        briefly().await?;
        for job in [(2, "b"), (1, "a"), (3, "c")] {
            queue.put_nowait(job)?;
        }
        // The getter looks when it runs.
        assert_eq!(a.await?, (1, "a"));
        assert_eq!(queue.get_nowait()?, (2, "b"));
        Ok(())
    });
}

#[test]
fn the_wait_site_names_the_operation() {
    run(async {
        let queue = Rc::new(Queue::new(0));
        let a = get(&queue);
        briefly().await?;
        let site = a.wait_site().unwrap();
        assert_eq!((site.what(), site.location().file()), ("Queue.get", file!()));
        a.cancel();
        assert!(cancelled(a.await));
        Ok(())
    });
}

#[test]
fn a_thread_puts_and_a_task_gets() {
    let queue = Arc::new(Queue::new(2));
    let other = queue.clone();
    let thread = thread::spawn(move || {
        (0..100).for_each(|n| other.put_blocking(n).unwrap());
        other.shutdown(false);
    });
    let event_loop = EventLoop::builder().build().unwrap();
    let sum = event_loop.run_until_complete(async move {
        let mut sum = 0;
        loop {
            match queue.get().await {
                Ok(n) => sum += n,
                Err(Error::QueueShutDown(_)) => return Ok(sum),
                Err(error) => return Err(error),
            }
        }
    });
    event_loop.close().unwrap();
    thread.join().unwrap();
    assert_eq!(sum.unwrap(), 4950);
}
