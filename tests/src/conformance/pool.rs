//! Runs many scenarios in threads. A scenario that hangs or panics does not end the others.

use super::{
    compare::{Options, difference},
    corpus::Record,
    run::{Run, run},
};
use std::{
    any::Any,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{
        Arc, Mutex, MutexGuard,
        atomic::{AtomicUsize, Ordering},
        mpsc::{self, RecvTimeoutError, Sender},
    },
    thread,
    time::{Duration, Instant},
};

/// A scenario takes a few milliseconds at most. One that takes this long is considered to hang.
const LIMIT: Duration = Duration::from_secs(20);

/// Coroutines that start each other eagerly nest deeply.
const STACK_BYTES: usize = 64 << 20;

/// Runs every scenario and compares it with its record. Returns `None` for each that is equal, or the difference.
pub fn check(records: Arc<[Record]>, jobs: usize, options: Options) -> Vec<Option<String>> {
    let compare = move |record: &Record| {
        let Some(recorded) = &record.recorded else {
            return Err("there is no recorded trace to compare with".to_owned());
        };
        Ok(difference(recorded, &run(&record.scenario)?, options))
    };
    let verdicts = for_each(records, jobs, LIMIT, compare);
    let failed = |problem| Some(format!("  {problem}\n"));
    verdicts.into_iter().map(|verdict| verdict.unwrap_or_else(failed)).collect()
}

/// Runs every scenario. Returns what each one did, or why it could not be run.
pub fn run_all(records: Arc<[Record]>, jobs: usize) -> Vec<Result<Run, String>> {
    for_each(records, jobs, LIMIT, |record| run(&record.scenario))
}

type Work<T> = dyn Fn(&Record) -> Result<T, String> + Send + Sync;

/// The state that the workers share.
struct Shared<T> {
    records: Arc<[Record]>,
    next: AtomicUsize,
    work: Box<Work<T>>,
    /// The record that each worker is running, and since when.
    at: Mutex<Vec<Option<(usize, Instant)>>>,
}

impl<T> Shared<T> {
    fn at(&self) -> MutexGuard<'_, Vec<Option<(usize, Instant)>>> {
        self.at.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }
}

enum Message<T> {
    Done(usize, Result<T, String>),
    /// The worker has ended. If it panicked, another one replaces it.
    Ended {
        panicked: bool,
    },
}

fn for_each<T: Send + 'static>(
    records: Arc<[Record]>,
    jobs: usize,
    limit: Duration,
    work: impl Fn(&Record) -> Result<T, String> + Send + Sync + 'static,
) -> Vec<Result<T, String>> {
    let (next, at) = (AtomicUsize::new(0), Mutex::default());
    let shared = Arc::new(Shared { records, next, work: Box::new(work), at });
    let mut results: Vec<Option<Result<T, String>>> = Vec::new();
    results.resize_with(shared.records.len(), || None);
    let mut left = results.len();
    let (sender, receiver) = mpsc::channel();
    for _ in 0..jobs.max(1) {
        start(&shared, &sender);
    }
    while left > 0 {
        let mut settle = |index: usize, result| {
            if results[index].is_none() {
                results[index] = Some(result);
                left -= 1;
            }
        };
        match receiver.recv_timeout(limit / 100) {
            Ok(Message::Done(index, result)) => settle(index, result),
            Ok(Message::Ended { panicked: true }) => start(&shared, &sender),
            Ok(Message::Ended { panicked: false }) => {}
            Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => {}
        }
        for index in hanging(&shared, limit) {
            settle(index, Err(format!("does not end within {limit:?}")));
            // Its thread is abandoned.
            start(&shared, &sender);
        }
    }
    let missing = || Err("was not run".to_owned());
    results.into_iter().map(|result| result.unwrap_or_else(missing)).collect()
}

/// The records at which workers hang. Each is reported once.
fn hanging<T>(shared: &Shared<T>, limit: Duration) -> Vec<usize> {
    let too_long = |at: &mut Option<(usize, Instant)>| {
        at.take_if(|(_, since)| since.elapsed() > limit).map(|(index, _)| index)
    };
    shared.at().iter_mut().filter_map(too_long).collect()
}

/// Starts a worker.
fn start<T: Send + 'static>(shared: &Arc<Shared<T>>, sender: &Sender<Message<T>>) {
    let (shared, sender) = (shared.clone(), sender.clone());
    let number = {
        let mut at = shared.at();
        at.push(None);
        at.len() - 1
    };
    let worker = thread::Builder::new().name(format!("scenarios {number}")).stack_size(STACK_BYTES);
    let spawned = worker.spawn(move || {
        let panicked = work(&shared, number, &sender);
        // The receiver is gone when all scenarios are done.
        let _ = sender.send(Message::Ended { panicked });
    });
    if let Err(error) = spawned {
        eprintln!("cannot start a thread: {error}");
        std::process::exit(2);
    }
}

/// Runs records until none is left. Returns true if one of them panicked, because its thread may be in any state then.
fn work<T>(shared: &Shared<T>, number: usize, sender: &Sender<Message<T>>) -> bool {
    loop {
        let index = shared.next.fetch_add(1, Ordering::Relaxed);
        let Some(record) = shared.records.get(index) else { return false };
        shared.at()[number] = Some((index, Instant::now()));
        let result = catch_unwind(AssertUnwindSafe(|| (shared.work)(record)));
        // This worker was abandoned meanwhile, and another one has replaced it.
        if shared.at()[number].take().is_none() {
            return false;
        }
        let panicked = result.is_err();
        let result = result.unwrap_or_else(|panic| Err(format!("panicked: {}", text(&*panic))));
        if sender.send(Message::Done(index, result)).is_err() || panicked {
            return panicked;
        }
    }
}

fn text(panic: &(dyn Any + Send)) -> &str {
    match (panic.downcast_ref::<&str>(), panic.downcast_ref::<String>()) {
        (Some(text), _) => text,
        (_, Some(text)) => text,
        _ => "a value that is not text",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::Value as Json;

    fn records(names: &[&str]) -> Arc<[Record]> {
        let record =
            |name: &&str| Record { name: (*name).to_owned(), scenario: Json::Null, recorded: None };
        names.iter().map(record).collect()
    }

    #[test]
    fn one_that_hangs_or_panics_does_not_end_the_others() {
        let names = ["a", "panics", "hangs", "b", "panics", "c"];
        let results = for_each(records(&names), 2, Duration::from_secs(4), |record| {
            match record.name.as_str() {
                "panics" => panic!("no such luck"),
                "hangs" => loop {
                    thread::park();
                },
                name => Ok(name.to_owned()),
            }
        });
        let panicked = Err("panicked: no such luck".to_owned());
        let hanging = Err("does not end within 4s".to_owned());
        let ok = |name: &str| Ok(name.to_owned());
        let expected = [ok("a"), panicked.clone(), hanging, ok("b"), panicked, ok("c")];
        assert_eq!(results, expected);
    }

    #[test]
    fn what_cannot_be_compared_is_a_difference() {
        let verdicts = check(records(&["a"]), 1, Options::default());
        assert_eq!(verdicts, [Some("  there is no recorded trace to compare with\n".to_owned())]);
        let runs = run_all(records(&["a"]), 1);
        assert_eq!(runs[0].as_ref().unwrap_err(), "not an object: null");
    }
}
