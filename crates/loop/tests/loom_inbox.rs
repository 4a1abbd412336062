//! Models of the cross-thread wake-up: no message is lost, whether the loop waits or closes.
//!
//! The inbox is not part of the crate's interface, so its source is compiled into the models.
#![cfg(loom)]
#![allow(dead_code, unreachable_pub)]

#[path = "../src/inbox.rs"]
mod inbox;

use asyncio_core::raw::{
    BeforeWait, Message, Remote,
    model::{Loop, check, leak},
    sync::{Arc, AtomicBool, AtomicUsize, Condvar, Mutex, Ordering},
};
use inbox::{Bell, Inbox};
use loom::thread;
use std::{future::poll_fn, task::Poll};

/// A wait that can be ended, like an eventfd: a ring before the wait counts.
#[derive(Clone)]
struct Doorbell(Arc<(Mutex<bool>, Condvar)>);

impl Doorbell {
    fn new() -> Doorbell {
        Doorbell(Arc::new((Mutex::new(false), Condvar::new())))
    }

    fn wait(&self) {
        let mut rung = self.0.0.lock();
        while !*rung {
            rung = self.0.1.wait(rung);
        }
        *rung = false;
    }
}

impl Bell for Doorbell {
    fn ring(&self) {
        *self.0.0.lock() = true;
        self.0.1.notify_all();
    }
}

fn message() -> Message {
    Message::Quiet(Box::new(|| ()))
}

#[test]
fn a_loop_that_waits_gets_what_two_threads_send() {
    check(&["messages_wait_unseen", "messages_ring_unseen", "messages_taken_unseen"], 3, || {
        let (inbox, bell) = (Arc::new(Inbox::new()), Doorbell::new());
        inbox.open(1, bell.clone());
        let threads: Vec<_> = (0..2)
            .map(|_| {
                let inbox = inbox.clone();
                thread::spawn(move || assert!(inbox.push(1, message()).is_ok()))
            })
            .collect();
        let mut messages = 0;
        while messages < 2 {
            if inbox.before_wait() == BeforeWait::Wait {
                bell.wait();
            }
            inbox.take_messages(|_| messages += 1);
        }
        threads.into_iter().for_each(|thread| thread.join().unwrap());
        inbox.close(|_| panic!("a message came twice"));
    });
}

#[test]
fn a_loop_that_closes_gets_what_was_accepted() {
    check(&["inbox_entered_unseen"], 3, || {
        let inbox = Arc::new(Inbox::new());
        inbox.open(1, Doorbell::new());
        let accepted = Arc::new(AtomicUsize::new(0));
        let (remote, count) = (inbox.clone(), accepted.clone());
        let sender = thread::spawn(move || {
            if remote.push(1, message()).is_ok() {
                count.fetch_add(1, Ordering::AcqRel);
            }
        });
        let mut arrived = 0;
        inbox.take_messages(|_| arrived += 1);
        inbox.close(|_| arrived += 1);
        inbox.open(2, Doorbell::new());
        sender.join().unwrap();
        inbox.close(|_| panic!("it was for the loop before"));
        assert_eq!(arrived, accepted.load(Ordering::Acquire));
        assert!(inbox.push(1, message()).is_err());
    });
}

/// Each wake-up is for a change that the task has to see, even if another wake-up is already on its
/// way.
#[test]
fn a_task_that_two_threads_wake_sees_what_both_did() {
    check(&["messages_task_unseen"], 3, || {
        let event_loop = Loop::reached_through(Box::new(Inbox::<Doorbell>::new()));
        let (home, bell) = (event_loop.home(), Doorbell::new());
        let inbox: &Inbox<Doorbell> = home.remote().as_any().downcast_ref().unwrap();
        inbox.open(home.id(), bell.clone());
        let did: &[AtomicBool; 2] = leak([AtomicBool::new(false), AtomicBool::new(false)]);
        let task = event_loop.spawn(poll_fn(|_| {
            match did.iter().all(|did| did.load(Ordering::Relaxed)) {
                true => Poll::Ready(()),
                false => Poll::Pending,
            }
        }));
        let threads: Vec<_> = did
            .iter()
            .map(|did| {
                let task = task.clone();
                thread::spawn(move || {
                    did.store(true, Ordering::Relaxed);
                    task.wake();
                })
            })
            .collect();
        event_loop.open([]);
        while !task.is_done() {
            if inbox.before_wait() == BeforeWait::Wait {
                bell.wait();
            }
            let mut messages = Vec::new();
            inbox.take_messages(|message| messages.push(message));
            event_loop.open(messages);
        }
        threads.into_iter().for_each(|thread| thread.join().unwrap());
        inbox.close(drop);
    });
}

/// A signal handler sends no message, but still wakes the loop.
#[test]
fn a_loop_that_waits_hears_of_a_signal() {
    check(&["messages_wait_unseen"], 3, || {
        let (inbox, bell) = (Arc::new(Inbox::new()), Doorbell::new());
        inbox.open(1, bell.clone());
        inbox.want(0b100);
        let remote = inbox.clone();
        let sender = thread::spawn(move || remote.raise(0b110));
        let mut raised = 0;
        while raised == 0 {
            if inbox.before_wait() == BeforeWait::Wait {
                bell.wait();
            }
            inbox.take_messages(drop);
            raised = inbox.take_raised();
        }
        assert_eq!(raised, 0b100);
        sender.join().unwrap();
        inbox.close(drop);
    });
}
