//! Common parts of the tests with several threads.

use asyncio_core::Result;
use asyncio_loop::{Runner, new_event_loop};
use concurrent_queue::{ConcurrentQueue, PopError};
use std::{
    cell::{Cell, RefCell},
    future::Future as StdFuture,
    rc::Rc,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::SeqCst},
    },
    thread::{self, ThreadId},
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

const MS: Duration = Duration::from_millis(1);

/// A small generator of numbers (splitmix64).
pub(super) struct Random(u64);

impl Random {
    pub(super) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    pub(super) fn below(&mut self, n: u64) -> u64 {
        self.next() % n
    }

    pub(super) fn coin(&mut self) -> bool {
        self.next() & 1 == 0
    }

    pub(super) fn fork(&mut self) -> Random {
        Random(self.next())
    }

    /// Lets some time pass, most often none.
    pub(super) fn dawdle(&mut self) {
        match self.below(8) {
            0 => thread::yield_now(),
            1 => (0..self.below(300)).for_each(|_| std::hint::spin_loop()),
            _ => {}
        }
    }
}

/// Repeats `round` for a moment.
pub(super) fn repeat(name: &str, mut round: impl FnMut(&mut Random)) {
    let given = std::env::var("ASYNCIO_SEED").ok().and_then(|seed| seed.parse().ok());
    let now = || SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_nanos() as u64;
    let seed = given.unwrap_or_else(now);
    println!("{name}: ASYNCIO_SEED={seed}");
    let (mut random, began) = (Random(seed), Instant::now());
    let mut rounds = 0;
    while rounds < 3 || began.elapsed() < 150 * MS {
        round(&mut random);
        rounds += 1;
    }
    println!("{name}: {rounds} rounds");
}

/// Runs `main` on a loop of its own, in this thread: made by hand, or a runner's.
pub(super) fn run<T: 'static>(
    random: &mut Random,
    main: impl StdFuture<Output = Result<T>> + 'static,
) -> T {
    let outcome = if random.coin() {
        let event_loop = new_event_loop().unwrap();
        event_loop.set_exception_handler(|_, _| ());
        let outcome = event_loop.run_until_complete(main);
        event_loop.close().unwrap();
        outcome
    } else {
        Runner::new().with(|runner| {
            runner.get_loop()?.set_exception_handler(|_, _| ());
            runner.run(main)
        })
    };
    outcome.unwrap()
}

/// A scope whose threads are joined one by one: a race detector does not see a scope's own end.
pub(super) fn beside<'env>(body: impl for<'scope> FnOnce(&Threads<'scope, 'env>)) {
    thread::scope(|scope| {
        let threads = Threads { scope, started: RefCell::new(Vec::new()) };
        body(&threads);
        threads.started.take().into_iter().for_each(|thread| thread.join().unwrap());
    });
}

pub(super) struct Threads<'scope, 'env> {
    scope: &'scope thread::Scope<'scope, 'env>,
    started: RefCell<Vec<thread::ScopedJoinHandle<'scope, ()>>>,
}

impl<'scope> Threads<'scope, '_> {
    pub(super) fn spawn(&self, job: impl FnOnce() + Send + 'scope) {
        self.started.borrow_mut().push(self.scope.spawn(job));
    }
}

/// Runs each closure on its own thread, all at the same time, and waits for all.
pub(super) fn at_once(jobs: Vec<Box<dyn FnOnce() + Send + '_>>) {
    let gate = &Gate::new(jobs.len());
    beside(|threads| {
        for job in jobs {
            threads.spawn(move || {
                gate.wait();
                job();
            });
        }
    });
}

/// Where threads wait for each other; like the channel below of nothing but atomics, so that a race
/// detector that does not see into the standard library knows what comes after what.
pub(super) struct Gate(AtomicUsize);

impl Gate {
    pub(super) fn new(count: usize) -> Gate {
        Gate(AtomicUsize::new(count))
    }

    pub(super) fn wait(&self) {
        self.0.fetch_sub(1, SeqCst);
        while self.0.load(SeqCst) > 0 {
            thread::yield_now();
        }
    }
}

/// One end of a channel.
pub(super) struct Sender<T>(Arc<(ConcurrentQueue<T>, AtomicUsize)>);

/// The other.
pub(super) struct Receiver<T>(Arc<(ConcurrentQueue<T>, AtomicUsize)>);

pub(super) fn channel<T>() -> (Sender<T>, Receiver<T>) {
    let channel = Arc::new((ConcurrentQueue::unbounded(), AtomicUsize::new(1)));
    (Sender(channel.clone()), Receiver(channel))
}

impl<T> Sender<T> {
    pub(super) fn send(&self, value: T) {
        assert!(self.0.0.push(value).is_ok(), "only the last sender closes it");
    }
}

impl<T> Clone for Sender<T> {
    fn clone(&self) -> Sender<T> {
        self.0.1.fetch_add(1, SeqCst);
        Sender(self.0.clone())
    }
}

impl<T> Drop for Sender<T> {
    fn drop(&mut self) {
        if self.0.1.fetch_sub(1, SeqCst) == 1 {
            self.0.0.close();
        }
    }
}

impl<T> Receiver<T> {
    /// The items that have arrived.
    pub(super) fn try_iter(&self) -> impl Iterator<Item = T> {
        self.0.0.try_iter()
    }

    /// The items, until the last sender is dropped.
    pub(super) fn iter(&self) -> impl Iterator<Item = T> {
        std::iter::from_fn(|| {
            loop {
                match self.0.0.pop() {
                    Ok(value) => return Some(value),
                    Err(PopError::Closed) => return None,
                    Err(PopError::Empty) => thread::yield_now(),
                }
            }
        })
    }
}

/// A place for one value, with waiters.
pub(super) struct Slot<T>(Sender<T>, Receiver<T>);

impl<T: Copy> Slot<T> {
    pub(super) fn new() -> Arc<Slot<T>> {
        let (send, receive) = channel();
        Arc::new(Slot(send, receive))
    }

    pub(super) fn set(&self, value: T) {
        self.0.send(value);
    }

    /// Returns the value, and leaves it for the next.
    pub(super) fn get(&self) -> T {
        let value = self.1.iter().next().expect("a sender is left");
        self.0.send(value);
        value
    }
}

/// A value that counts those that live, and has something to go wrong in its memory.
pub(super) struct Counted {
    living: Arc<AtomicUsize>,
    pub(super) text: String,
}

impl Counted {
    pub(super) fn new(living: &Arc<AtomicUsize>) -> Counted {
        living.fetch_add(1, SeqCst);
        Counted { living: living.clone(), text: "alive".to_owned() }
    }
}

impl Clone for Counted {
    fn clone(&self) -> Counted {
        assert_eq!(self.text, "alive");
        Counted::new(&self.living)
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        assert_eq!(self.text, "alive");
        assert!(self.living.fetch_sub(1, SeqCst) > 0, "dropped twice");
    }
}

/// A value that must stay where it is.
pub(super) struct Here(ThreadId, Rc<Cell<u32>>);

impl Here {
    pub(super) fn new() -> Here {
        Here(thread::current().id(), Rc::new(Cell::new(0)))
    }

    pub(super) fn touch(&self) {
        assert_eq!(self.0, thread::current().id());
        self.1.set(self.1.get() + 1);
    }
}

impl Drop for Here {
    fn drop(&mut self) {
        self.touch();
    }
}

/// Calls a closure when it is dropped.
pub(super) struct OnDrop<F: FnMut()>(pub(super) F);

impl<F: FnMut()> Drop for OnDrop<F> {
    fn drop(&mut self) {
        (self.0)();
    }
}
