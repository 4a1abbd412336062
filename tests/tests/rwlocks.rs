//! Reader/writer locks in tasks of a loop: what a cancellation does to them, and in which step.

use asyncio::{
    AsyncContextManager, Error, RwLock, WriteGuard, create_task, gather, sleep, wait_for,
};
use asyncio_tests::support::{MS, Trace, briefly, cancelled, run};
use std::rc::Rc;

#[test]
fn readers_and_writers_come_in_the_order_of_their_arrival() {
    run(async {
        let (lock, trace) = (Rc::new(RwLock::new(())), Trace::new());
        let task = |name: &'static str| {
            let (lock, trace) = (lock.clone(), trace.clone());
            create_task(async move {
                match name.starts_with('r') {
                    true => {
                        let _reader = lock.read().await?;
                        trace.say(name);
                        sleep(MS).await?;
                    }
                    false => {
                        let _writer = lock.write().await?;
                        trace.say(name);
                        sleep(MS).await?;
                    }
                }
                trace.say(format!("/{name}"));
                Ok(())
            })
        };
        gather(["r1", "r2", "w1", "r3", "w2", "r4", "r5"].map(task)).await?;
        assert_eq!(trace.take(), "r1 r2 /r1 /r2 w1 /w1 r3 /r3 w2 /w2 r4 r5 /r4 /r5");
        Ok(())
    });
}

#[test]
fn uncontended_a_reader_or_writer_does_not_suspend() {
    run(async {
        let (lock, trace) = (RwLock::new(()), Trace::new());
        asyncio::get_running_loop()?.call_soon(trace.note("next"))?;
        drop(lock.write().await?);
        let readers = (lock.read().await?, lock.read().await?);
        trace.say("held");
        drop(readers);
        briefly().await?;
        assert_eq!(trace.take(), "held next");
        Ok(())
    });
}

#[test]
fn a_cancelled_writer_lets_the_readers_behind_it_in() {
    run(async {
        let lock = Rc::new(RwLock::new(()));
        let held = lock.read().await?;
        let (of_writer, of_reader) = (lock.clone(), lock.clone());
        let writer = create_task(async move { of_writer.write().await.map(drop) });
        let reader = create_task(async move { of_reader.read().await.map(drop) });
        briefly().await?;
        assert!(lock.try_read().is_none() && !reader.done());
        writer.cancel();
        // It counts as gone immediately after the call: a reader in the same step passes it.
        assert!(lock.try_read().is_none(), "the waiting reader is still before it");
        assert!(cancelled(&writer.await));
        reader.await?;
        drop(held);
        assert!(lock.try_write().is_some());
        Ok(())
    });
}

#[test]
fn a_waiter_cancelled_after_it_was_given_the_lock_gives_it_to_the_next() {
    run(async {
        let lock = Rc::new(RwLock::new(()));
        let held = lock.read().await?;
        let (one, two) = (lock.clone(), lock.clone());
        let first = create_task(async move { one.write().await.map(drop) });
        let second = create_task(async move { two.write().await.map(drop) });
        briefly().await?;
        drop(held);
        assert!(lock.locked(), "it is the first writer's");
        first.cancel();
        assert!(cancelled(&first.await));
        second.await?;
        assert!(!lock.locked());
        Ok(())
    });
}

#[test]
fn a_limit_around_it_leaves_it_free() {
    run(async {
        let lock = RwLock::new(());
        let reader = lock.read().await?;
        assert!(matches!(wait_for(lock.write(), MS).await, Err(Error::Timeout(_))));
        assert!(lock.try_read().is_some());
        drop(reader);
        wait_for(lock.write(), MS).await.map(drop)
    });
}

#[test]
fn as_a_context_manager_it_is_left_even_after_an_error() {
    run(async {
        let lock = RwLock::new(1);
        let add = async |value: &mut WriteGuard<'_, _>| {
            **value += 1;
            Ok(())
        };
        lock.write().with(add).await?;
        let failed = lock.read().with(async |value| Err::<(), _>(Error::msg(value.to_string())));
        assert_eq!(failed.await.unwrap_err().to_string(), "2");
        assert_eq!(lock.into_inner(), 2);
        Ok(())
    });
}
