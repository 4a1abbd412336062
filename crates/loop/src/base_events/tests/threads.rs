//! Jobs in other threads, seen from the loop.

use super::*;
use crate::ThreadPoolExecutor;
use asyncio_core::event_loop::{Job, running_event_loop};
use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering::SeqCst},
        mpsc,
    },
    thread,
};

fn one_thread() -> ThreadPoolExecutor {
    ThreadPoolExecutor::builder().max_workers(1).thread_name_prefix("own").build().unwrap()
}

#[test]
fn a_job_runs_in_a_thread_of_the_default_executor() {
    let event_loop = new_event_loop().unwrap();
    let name = || thread::current().name().map(str::to_owned);
    let job = event_loop.run_in_executor(None, name).unwrap();
    assert_eq!(event_loop.run_until_complete(job).unwrap().as_deref(), Some("asyncio_0"));
    let executor = one_thread();
    let job = event_loop.run_in_executor(Some(&executor), name).unwrap();
    assert_eq!(event_loop.run_until_complete(job).unwrap().as_deref(), Some("own_0"));
    event_loop.close().unwrap();
    assert!(executor.submit(|| ()).is_ok(), "closing the loop ends its own executor alone");

    let event_loop = new_event_loop().unwrap();
    event_loop.set_default_executor(executor.clone());
    let job = event_loop.run_in_executor(None, name).unwrap();
    assert_eq!(event_loop.run_until_complete(job).unwrap().as_deref(), Some("own_0"));
    event_loop.close().unwrap();
    assert!(executor.submit(|| ()).is_err(), "closing the loop ends its default executor");
}

#[test]
fn a_job_does_not_see_the_context_of_its_caller() {
    static USER: ContextVar<&str> = ContextVar::with_default("user", "nobody");
    let event_loop = new_event_loop().unwrap();
    USER.set("ann");
    let job = event_loop.run_in_executor(None, || USER.get()).unwrap();
    assert_eq!(event_loop.run_until_complete(job).unwrap(), Some("nobody"));
    event_loop.close().unwrap();
}

#[test]
fn the_virtual_clock_stands_while_a_job_runs() {
    let event_loop = virtual_loop();
    let this = event_loop.clone();
    let took = event_loop.run_until_complete(async move {
        let job = this.run_in_executor(None, || thread::sleep(20 * MS))?;
        let timer = asyncio_task::create_task(asyncio_task::sleep(Duration::from_secs(1)));
        job.await?;
        let took = this.time();
        timer.await?;
        Ok((took, this.time()))
    });
    assert_eq!(took.unwrap(), (Duration::ZERO, Duration::from_secs(1)));
    // The count is balanced again: nothing is waited for in vain.
    assert!(matches!(event_loop.run_forever(), Err(Error::Deadlock(_))));
    event_loop.close().unwrap();
}

#[test]
fn a_cancelled_job_that_has_not_begun_never_begins() {
    let event_loop = virtual_loop();
    let executor = one_thread();
    let (release, wait) = mpsc::channel::<()>();
    let blocker =
        event_loop.run_in_executor(Some(&executor), move || wait.recv().is_err()).unwrap();
    let job: asyncio_future::Take<()> =
        event_loop.run_in_executor(Some(&executor), || panic!("was cancelled")).unwrap();
    let outcome = event_loop.run_until_complete(async move {
        job.cancel();
        asyncio_task::sleep(Duration::ZERO).await?;
        asyncio_task::sleep(Duration::ZERO).await?;
        drop(release);
        assert!(job.await.unwrap_err().is_cancelled());
        blocker.await
    });
    assert!(outcome.unwrap());
    executor.shutdown(true);
    event_loop.close().unwrap();
}

#[test]
fn a_job_that_panics_fails_its_future_and_not_the_loop() {
    let event_loop = virtual_loop();
    let job: asyncio_future::Take<()> =
        event_loop.run_in_executor(None, || panic!("in a job")).unwrap();
    assert_eq!(message(event_loop.run_until_complete(job)), "PanicError: panicked: in a job");
    event_loop.close().unwrap();
}

#[test]
fn a_result_that_comes_after_the_loop_was_closed_does_nothing() {
    let event_loop = new_event_loop().unwrap();
    let executor = one_thread();
    let (release, wait) = mpsc::channel::<()>();
    let job = event_loop.run_in_executor(Some(&executor), move || wait.recv().is_err()).unwrap();
    event_loop.stop();
    event_loop.run_forever().unwrap();
    job.cancel();
    event_loop.close().unwrap();
    drop(release);
    executor.shutdown(true);
    assert!(job.cancelled());
    // The next loop has the same home, and nothing of this.
    let next = virtual_loop();
    assert_eq!(next.run_until_complete(async { Ok(1) }).unwrap(), 1);
    next.close().unwrap();
}

#[test]
fn a_job_of_another_crate_counts_as_outstanding_even_if_it_panics() {
    let event_loop = virtual_loop();
    let count = Arc::new(AtomicUsize::new(0));
    let inside = count.clone();
    event_loop
        .call_soon(move || -> Result<()> {
            let event_loop = running_event_loop("test")?;
            assert!(format!("{event_loop:?}").contains("running=true"));
            let job: Job = Box::new(move || {
                thread::sleep(20 * MS);
                inside.fetch_add(1, SeqCst);
                panic!("in a job");
            });
            event_loop.submit(job)
        })
        .unwrap();
    assert!(matches!(event_loop.run_forever(), Err(Error::Deadlock(_))));
    assert_eq!(count.load(SeqCst), 1, "the deadlock was called before the job was back");
    event_loop.close().unwrap();
}

#[test]
fn after_the_shutdown_of_the_default_executor_jobs_are_refused() {
    let event_loop = new_event_loop().unwrap();
    let count = Arc::new(AtomicUsize::new(0));
    for _ in 0..8 {
        let count = count.clone();
        let job = move || {
            thread::sleep(MS);
            count.fetch_add(1, SeqCst)
        };
        drop(event_loop.run_in_executor(None, job).unwrap());
    }
    let shutdown = event_loop.shutdown_default_executor(None);
    event_loop.run_until_complete(shutdown).unwrap();
    assert_eq!(count.load(SeqCst), 8);
    let refused = message(event_loop.run_in_executor(None, || ()));
    assert_eq!(refused, "RuntimeError: Executor shutdown has been called");
    // Without an executor there is nothing to do.
    event_loop.run_until_complete(event_loop.shutdown_default_executor(None)).unwrap();
    event_loop.close().unwrap();

    let event_loop = new_event_loop().unwrap();
    event_loop.run_until_complete(event_loop.shutdown_default_executor(MS)).unwrap();
    assert!(event_loop.run_in_executor(None, || ()).is_err());
    event_loop.close().unwrap();
    assert_eq!(
        message(event_loop.run_in_executor(None, || ())),
        "RuntimeError: Event loop is closed"
    );
}

#[test]
fn a_shutdown_that_takes_too_long_gives_up() {
    let event_loop = new_event_loop().unwrap();
    let (release, wait) = mpsc::channel::<()>();
    let wait = Arc::new(Mutex::new(wait));
    let stuck = event_loop.run_in_executor(None, move || wait.lock().unwrap().recv()).unwrap();
    event_loop.run_until_complete(event_loop.shutdown_default_executor(10 * MS)).unwrap();
    assert!(!stuck.done());
    event_loop.close().unwrap();
    drop(release);
}
