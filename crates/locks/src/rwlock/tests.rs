//! The reader/writer lock under foreign executors: anyio's, trio's and aiorwlock's promises. Its cancellation is tested
//! with the loop.

use super::*;
use crate::testing::{Random, tester};
use futures_lite::future::{block_on, yield_now};
use std::{
    sync::atomic::{AtomicUsize, Ordering},
    thread,
};

#[test]
fn readers_share_it_and_a_writer_is_alone() {
    let lock = RwLock::new(1);
    let (a, b) = (tester(lock.read()).is_ready().unwrap(), lock.try_read().unwrap());
    assert_eq!((*a, *b, lock.readers(), lock.locked()), (1, 1, 2, false));
    assert!(lock.try_write().is_none());
    drop((a, b));
    let mut writer = tester(lock.write()).is_ready().unwrap();
    *writer += 1;
    assert!(lock.locked() && lock.try_read().is_none() && lock.try_write().is_none());
    drop(writer);
    assert_eq!(*lock.try_read().unwrap(), 2);
}

#[test]
fn a_reader_behind_a_waiting_writer_waits() {
    let lock = RwLock::new(());
    let reader = lock.try_read().unwrap();
    let mut writer = tester(lock.write());
    writer.is_pending();
    assert!(lock.try_read().is_none());
    let mut late = tester(lock.read());
    late.is_pending();
    drop(reader);
    assert!(writer.was_woken() && !late.was_woken());
    drop(writer.is_ready().unwrap());
    assert!(late.was_woken());
    drop(late.is_ready().unwrap());
}

#[test]
fn readers_at_the_head_of_the_line_go_in_together_and_those_behind_a_writer_do_not() {
    let lock = RwLock::new(());
    let held = lock.try_write().unwrap();
    let mut readers = [tester(lock.read()), tester(lock.read())];
    let (mut writer, mut late) = (tester(lock.write()), tester(lock.read()));
    readers.iter_mut().for_each(|reader| reader.is_pending());
    writer.is_pending();
    late.is_pending();
    drop(held);
    assert!(readers.iter_mut().all(|reader| reader.was_woken()));
    assert!(!writer.was_woken() && !late.was_woken());
    // They have been given the lock, and hold it before they run.
    assert_eq!(lock.readers(), 2);
    let [one, two] = readers;
    drop(one);
    assert!(!writer.was_woken());
    drop(two);
    assert!(writer.was_woken() && !late.was_woken());
    drop(writer);
    assert!(late.was_woken());
}

#[test]
fn a_new_reader_joins_readers_that_have_not_run_yet() {
    let lock = RwLock::new(());
    let held = lock.try_write().unwrap();
    let mut first = tester(lock.read());
    first.is_pending();
    drop(held);
    assert!(lock.try_read().is_some() && lock.try_write().is_none());
    drop(tester(lock.read()).is_ready().unwrap());
    drop(first.is_ready().unwrap());
}

#[test]
fn a_writer_that_gives_up_lets_the_readers_behind_it_in() {
    let lock = RwLock::new(());
    let reader = lock.try_read().unwrap();
    let (mut writer, mut late) = (tester(lock.write()), tester(lock.read()));
    writer.is_pending();
    late.is_pending();
    drop(writer);
    assert!(late.was_woken());
    drop((late.is_ready().unwrap(), reader));
    assert!(lock.try_write().is_some());
}

#[test]
fn a_writer_becomes_a_reader_without_a_gap() {
    let lock = RwLock::new(0);
    let mut writer = lock.try_write().unwrap();
    *writer = 7;
    let (mut reader, mut other) = (tester(lock.read()), tester(lock.write()));
    reader.is_pending();
    other.is_pending();
    let downgraded = WriteGuard::downgrade(writer);
    assert!(reader.was_woken() && !other.was_woken());
    assert_eq!((*downgraded, lock.readers()), (7, 2));
    drop((downgraded, reader.is_ready().unwrap()));
    assert!(other.was_woken());
    drop(other);
    assert!(lock.try_write().is_some());
}

#[test]
fn owned_guards_keep_the_lock() {
    let lock = Arc::new(RwLock::new(vec![1]));
    let mut writer = tester(lock.clone().write_owned()).is_ready().unwrap();
    writer.push(2);
    let reader = OwnedWriteGuard::downgrade(writer);
    let other = tester(lock.clone().read_owned()).is_ready().unwrap();
    assert!(lock.try_write().is_none());
    let weak = Arc::downgrade(&lock);
    drop(lock);
    let sum = thread::spawn(move || other.iter().sum::<i32>());
    assert_eq!((sum.join().unwrap(), reader.len()), (3, 2));
    drop(reader);
    assert_eq!(weak.strong_count(), 0);
}

#[test]
fn it_is_shown_with_its_holders() {
    let lock = RwLock::new(5);
    let reader = lock.try_read().unwrap();
    let mut waiting = tester(lock.write());
    waiting.is_pending();
    assert_eq!(format!("{lock:?}"), "RwLock { locked: false, readers: 1, waiters: 1 }");
    assert_eq!(format!("{reader:?} {reader}"), "RwLockGuard(5) 5");
}

/// Threads read and write two numbers that are always the same.
#[test]
fn threads_never_see_a_half_written_value() {
    let (lock, inside) = (RwLock::new((0, 0)), AtomicUsize::new(0));
    thread::scope(|scope| {
        for seed in 0..4 {
            let (lock, inside) = (&lock, &inside);
            scope.spawn(move || {
                let mut random = Random::new(seed);
                block_on(async {
                    for _ in 0..500 {
                        if random.below(3) == 0 {
                            let mut pair = lock.write().await.unwrap();
                            assert_eq!(inside.swap(1, Ordering::SeqCst), 0);
                            pair.0 += 1;
                            yield_now().await;
                            pair.1 += 1;
                            inside.store(0, Ordering::SeqCst);
                        } else {
                            let pair = lock.read().await.unwrap();
                            assert_eq!(inside.load(Ordering::SeqCst), 0);
                            yield_now().await;
                            assert_eq!(pair.0, pair.1);
                        }
                    }
                });
            });
        }
    });
    let (a, b) = lock.into_inner();
    assert_eq!(a, b);
}
