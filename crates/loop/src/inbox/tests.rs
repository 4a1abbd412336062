//! The inbox alone: which messages are accepted, and which loops are woken.

use super::*;
use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::SeqCst},
    },
    thread,
};

/// Counts how often it is rung.
#[derive(Clone, Default)]
struct Counter(Arc<AtomicUsize>);

impl Bell for Counter {
    fn ring(&self) {
        self.0.fetch_add(1, SeqCst);
    }
}

fn message() -> Message {
    Message::Quiet(Box::new(|| ()))
}

fn open(id: u64) -> (Inbox<Counter>, Arc<AtomicUsize>) {
    let (inbox, bell) = (Inbox::new(), Counter::default());
    inbox.open(id, bell.clone());
    (inbox, bell.0)
}

fn count(inbox: &Inbox<Counter>) -> usize {
    let mut messages = 0;
    inbox.take_messages(|_| messages += 1);
    messages
}

#[test]
fn a_loop_that_is_awake_is_not_rung_for() {
    let (inbox, rung) = open(1);
    assert!(!inbox.has_messages());
    inbox.push(1, message()).unwrap();
    inbox.push(1, message()).unwrap();
    assert!(inbox.has_messages());
    assert_eq!((rung.load(SeqCst), count(&inbox)), (0, 2));
    assert!(!inbox.has_messages());
}

#[test]
fn a_loop_that_waits_is_rung_for_once() {
    let (inbox, rung) = open(1);
    assert_eq!(inbox.before_wait(), BeforeWait::Wait);
    for _ in 0..3 {
        inbox.push(1, message()).unwrap();
    }
    assert_eq!((rung.load(SeqCst), count(&inbox)), (1, 3));
    // It waits again, and is rung for again.
    assert_eq!(inbox.before_wait(), BeforeWait::Wait);
    inbox.push(1, message()).unwrap();
    assert_eq!((rung.load(SeqCst), count(&inbox)), (2, 1));
}

#[test]
fn a_loop_with_mail_does_not_wait() {
    let (inbox, rung) = open(1);
    inbox.push(1, message()).unwrap();
    assert_eq!(inbox.before_wait(), BeforeWait::Message);
    assert_eq!((rung.load(SeqCst), count(&inbox)), (0, 1));
}

#[test]
fn a_wait_that_ends_by_itself_leaves_the_loop_awake() {
    let (inbox, rung) = open(1);
    assert_eq!(inbox.before_wait(), BeforeWait::Wait);
    assert_eq!(count(&inbox), 0);
    inbox.push(1, message()).unwrap();
    assert_eq!(rung.load(SeqCst), 0);
}

#[test]
fn only_the_loop_that_is_open_gets_message() {
    let (inbox, _) = open(1);
    assert!(inbox.push(2, message()).is_err());
    inbox.push(1, message()).unwrap();
    let mut last = 0;
    inbox.close(|_| last += 1);
    assert_eq!(last, 1, "what was put in before the close arrives");
    assert!(inbox.push(1, message()).is_err());
    inbox.close(|_| panic!("nothing is left"));
    inbox.open(2, Counter::default());
    assert!(inbox.push(1, message()).is_err());
    inbox.push(2, message()).unwrap();
    assert_eq!(count(&inbox), 1);
    inbox.close(drop);
}

#[test]
fn a_closed_inbox_has_given_its_bell_back() {
    let (inbox, rung) = open(1);
    assert_eq!(Arc::strong_count(&rung), 2);
    inbox.close(drop);
    assert_eq!(Arc::strong_count(&rung), 1);
}

#[test]
fn a_message_that_arrives_while_messages_are_taken_waits_for_the_next_time() {
    let (inbox, _) = open(1);
    inbox.push(1, message()).unwrap();
    let mut messages = 0;
    inbox.take_messages(|_| {
        messages += 1;
        inbox.push(1, message()).unwrap();
    });
    assert_eq!((messages, inbox.has_messages()), (1, true));
    assert_eq!(count(&inbox), 1);
}

#[test]
fn signals_get_in_if_they_are_wanted() {
    let (inbox, rung) = open(1);
    inbox.raise(0b11);
    assert_eq!((inbox.take_raised(), inbox.has_messages()), (0, false));
    inbox.want(0b10);
    assert_eq!(inbox.before_wait(), BeforeWait::Wait);
    inbox.raise(0b11);
    assert_eq!((inbox.take_raised(), rung.load(SeqCst)), (0b10, 1));
    assert_eq!(inbox.take_raised(), 0);
    inbox.close(drop);
    inbox.raise(0b10);
    inbox.open(2, Counter::default());
    assert_eq!(inbox.take_raised(), 0, "it was for the loop before");
}

#[test]
fn threads_that_put_in_while_the_loop_closes_know_whether_it_arrived() {
    const THREADS: u64 = 4;
    for round in 1..200 {
        let (inbox, _) = open(round);
        let inbox = Arc::new(inbox);
        let threads: Vec<_> = (0..THREADS)
            .map(|_| {
                let inbox = inbox.clone();
                thread::spawn(move || {
                    (0..50).filter(|_| inbox.push(round, message()).is_ok()).count()
                })
            })
            .collect();
        let mut arrived = 0;
        thread::yield_now();
        inbox.take_messages(|_| arrived += 1);
        inbox.close(|_| arrived += 1);
        let accepted: usize = threads.into_iter().map(|thread| thread.join().unwrap()).sum();
        assert_eq!(arrived, accepted);
        inbox.open(round, Counter::default());
        inbox.close(|_| panic!("it came too late, and was taken in"));
    }
}

#[test]
fn a_closed_inbox_does_not_count_the_senders_that_it_refuses() {
    let (inbox, _) = open(1);
    inbox.want(0b10);
    inbox.close(drop);
    // `close` waits until this count is zero.
    thread::scope(|scope| {
        let hammer = || {
            for _ in 0..100_000 {
                assert!(inbox.push(1, message()).is_err());
                inbox.raise(0b10);
            }
        };
        let threads = [(); 4].map(|()| scope.spawn(hammer));
        while !threads.iter().all(|thread| thread.is_finished()) {
            assert_eq!(inbox.gate.load(Ordering::Relaxed), 0);
        }
    });
}
