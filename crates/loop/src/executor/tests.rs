//! Tests of the executor without a loop.

use super::*;
use std::{
    sync::{
        atomic::{AtomicUsize, Ordering::SeqCst},
        mpsc,
    },
    time::Duration,
};

fn executor(max_workers: usize) -> ThreadPoolExecutor {
    let builder = ThreadPoolExecutor::builder().thread_name_prefix("test");
    builder.max_workers(max_workers).build().unwrap()
}

fn name() -> String {
    thread::current().name().unwrap_or_default().to_owned()
}

#[test]
fn one_thread_serves_jobs_that_come_one_after_another() {
    let executor = executor(4);
    for _ in 0..3 {
        assert_eq!(executor.submit(name).unwrap().result(None).unwrap(), "test_0");
        // Until the thread is idle again.
        while executor.0.0.jobs.idle() == 0 {
            thread::yield_now();
        }
    }
    executor.shutdown(true);
}

#[test]
fn as_many_threads_start_as_are_needed_and_allowed() {
    let executor = executor(2);
    let (release, wait) = mpsc::channel::<()>();
    let wait = Arc::new(Mutex::new(wait));
    let jobs: Vec<_> = (0..3)
        .map(|_| {
            let wait = wait.clone();
            let job = move || {
                let _ = wait.lock().recv();
                name()
            };
            executor.submit(job).unwrap()
        })
        .collect();
    assert_eq!(executor.0.0.threads.lock().handles.len(), 2);
    drop(release);
    let names: Vec<_> = jobs.iter().map(|job| job.result(None).unwrap()).collect();
    assert!(names.iter().all(|name| name == "test_0" || name == "test_1"), "{names:?}");
    executor.shutdown(true);
}

#[test]
fn jobs_begin_in_the_order_of_their_arrival() {
    let executor = executor(1);
    let seen = Arc::new(Mutex::new(Vec::new()));
    for n in 0..100 {
        let seen = seen.clone();
        executor.submit(move || seen.lock().push(n)).unwrap();
    }
    executor.shutdown(true);
    assert_eq!(*seen.lock(), (0..100).collect::<Vec<_>>());
}

#[test]
fn a_cancelled_job_does_not_begin_and_one_that_has_begun_is_not_cancelled() {
    let executor = executor(1);
    let (release, wait) = mpsc::channel::<()>();
    let (began, has_begun) = mpsc::channel();
    let running = executor
        .submit(move || {
            began.send(()).unwrap();
            let _ = wait.recv();
        })
        .unwrap();
    let waiting = executor.submit(|| panic!("was cancelled")).unwrap();
    let _: &ConcurrentFuture<()> = &waiting;
    has_begun.recv().unwrap();
    assert!(!running.cancel() && waiting.cancel());
    drop(release);
    executor.shutdown(true);
    assert!(running.result(None).is_ok() && waiting.cancelled());
}

#[test]
fn a_job_that_panics_fails_and_its_thread_goes_on() {
    let executor = executor(1);
    let panics = executor.submit(|| -> () { panic!("in a job") }).unwrap();
    let Err(Error::Panic(panic)) = panics.result(None) else { panic!("no panic") };
    assert_eq!(panic.message(), "in a job");
    executor.execute(Box::new(|| panic!("in a job without a future"))).unwrap();
    assert_eq!(executor.submit(name).unwrap().result(None).unwrap(), "test_0");
    executor.shutdown(true);
}

#[test]
fn after_a_shutdown_jobs_are_refused_and_those_taken_still_run() {
    let executor = executor(1);
    let count = Arc::new(AtomicUsize::new(0));
    for _ in 0..10 {
        let count = count.clone();
        let job = move || {
            thread::sleep(Duration::from_millis(1));
            count.fetch_add(1, SeqCst)
        };
        executor.submit(job).unwrap();
    }
    executor.shutdown(false);
    let refused = executor.submit(|| ()).unwrap_err().to_string();
    assert_eq!(refused, "cannot schedule new futures after shutdown");
    drop(executor);
    while count.load(SeqCst) < 10 {
        thread::yield_now();
    }
}

#[test]
fn a_job_may_shut_its_own_executor_down() {
    let executor = executor(2);
    let inside = executor.clone();
    executor.submit(move || inside.shutdown(true)).unwrap().result(None).unwrap();
    assert!(executor.submit(|| ()).is_err());
}

#[test]
fn every_shutdown_waits_for_the_jobs() {
    let executor = executor(3);
    let (release, wait) = mpsc::channel::<()>();
    let ended = Arc::new(AtomicUsize::new(0));
    let count = ended.clone();
    let job = move || {
        let _ = wait.recv();
        count.fetch_add(1, SeqCst);
    };
    executor.submit(job).unwrap();
    thread::scope(|scope| {
        let wait = || {
            executor.shutdown(true);
            assert_eq!(ended.load(SeqCst), 1);
        };
        let _threads = [scope.spawn(wait), scope.spawn(wait)];
        while !executor.0.0.threads.lock().is_shut_down {
            thread::yield_now();
        }
        drop(release);
    });
}

#[test]
fn two_jobs_may_shut_their_executor_down() {
    let executor = executor(2);
    let both = Arc::new(std::sync::Barrier::new(2));
    let jobs = [(); 2].map(|()| {
        let (inside, both) = (executor.clone(), both.clone());
        let job = move || {
            both.wait();
            inside.shutdown(true);
        };
        executor.submit(job).unwrap()
    });
    assert!(jobs.iter().all(|job| job.result(None).is_ok()));
    executor.shutdown(true);
}

#[test]
fn the_last_thread_says_that_it_ends() {
    let executor = executor(2);
    let (say, said) = mpsc::channel();
    let tell = |text: &'static str| {
        let say = say.clone();
        move || say.send((text, name())).unwrap()
    };
    let (release, wait) = mpsc::channel::<()>();
    let job = tell("job");
    let held = move || {
        let _ = wait.recv();
        job();
    };
    executor.submit(held).unwrap();
    executor.shutdown_then(Box::new(tell("end")));
    assert!(said.try_recv().is_err());
    drop(release);
    assert_eq!(said.recv().unwrap(), ("job", "test_0".to_owned()));
    assert_eq!(said.recv().unwrap(), ("end", "test_0".to_owned()));
    executor.shutdown(true);
    executor.shutdown_then(Box::new(tell("none")));
    assert_eq!(said.try_recv().unwrap(), ("none", name()));
}

#[test]
fn a_panic_whose_payload_panics_ends_no_thread() {
    struct Bomb;
    impl Drop for Bomb {
        fn drop(&mut self) {
            panic!("the payload fell over, too");
        }
    }
    let executor = executor(1);
    executor.execute(Box::new(|| std::panic::panic_any(Bomb))).unwrap();
    drop(executor.submit(|| std::panic::panic_any(Bomb)).unwrap());
    assert_eq!(executor.submit(name).unwrap().result(None).unwrap(), "test_0");
    executor.shutdown(true);
}

#[test]
fn dropping_the_last_handle_ends_idle_threads() {
    let executor = executor(1);
    let held = Arc::new(());
    struct OnExit(#[allow(dead_code)] Arc<()>);
    thread_local!(static HELD: std::cell::RefCell<Option<OnExit>> = const { std::cell::RefCell::new(None) });
    let inside = held.clone();
    let job = move || HELD.with(|slot| drop(slot.replace(Some(OnExit(inside)))));
    executor.submit(job).unwrap().result(None).unwrap();
    drop(executor);
    while Arc::strong_count(&held) > 1 {
        thread::yield_now();
    }
}

#[test]
fn an_executor_needs_a_thread_and_a_name_without_zeros() {
    let none = ThreadPoolExecutor::builder().max_workers(0).build();
    assert!(matches!(none, Err(Error::Value(_))));
    let zero = ThreadPoolExecutor::builder().thread_name_prefix("a\0b").build();
    assert!(matches!(zero, Err(Error::Value(_))));
    assert!((1..=32).contains(&default_max_workers()));
}
