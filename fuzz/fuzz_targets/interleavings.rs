//! Tasks that wait on locks, semaphores, conditions, events and queues, while they are woken, cancelled and timed out in
//! any order, and while their waits are dropped, raced, polled elsewhere, and finished by other tasks. A lock has one
//! holder at a time, no task waits for something that is available, and nothing is lost.
#![no_main]

use asyncio::{
    Condition, Error, Event, Lock, OwnedLockGuard, OwnedPermit, Queue, Result, Semaphore, Task,
    create_task, current_task, sleep, wait_for,
};
use asyncio_fuzz::{Input, iterations, poll, poll_here, run};
use std::{
    cell::{Cell, RefCell},
    future::{Future, poll_fn},
    pin::Pin,
    rc::Rc,
    sync::Arc,
    task::Poll,
    thread,
    time::Duration,
};

const TASKS: usize = 5;
const PLACES: usize = 4;
const PERMITS: usize = 2;
const ITEMS_MAX: usize = 2;
const HOUR: Duration = Duration::from_secs(3600);

/// The operations that can be waited for.
#[derive(Clone, Copy, Debug)]
enum Wait {
    Lock,
    Permit,
    Event,
    Get,
    Put,
    Condition,
    Task(usize),
    Sleep(usize),
}

#[derive(Clone, Copy, Debug)]
enum Act {
    Wait(Wait),
    Within(usize, Wait),
    /// Waits for the first of two waits, and drops the other one.
    Race(Wait, Wait),
    /// Polls a wait once, and stores it if it has not ended.
    Begin(usize, Wait),
    /// Continues a stored wait, which another task may have begun.
    Finish(usize),
    PollElsewhere(usize),
    Drop(usize),
    Release,
    Cancel(usize),
    Set,
    SetOnThread,
    Clear,
    Notify,
    NotifyAll,
}

/// What a wait may have received. Dropping it gives everything back.
enum Held {
    Nothing,
    Lock(#[allow(dead_code, reason = "held")] Inside),
    Permit(#[allow(dead_code, reason = "held")] Counted),
}

/// The only holder of the lock.
struct Inside(OwnedLockGuard<bool>);

impl Inside {
    fn new(mut guard: OwnedLockGuard<bool>) -> Held {
        assert!(!std::mem::replace(&mut *guard, true), "two hold the lock");
        Held::Lock(Inside(guard))
    }
}

impl Drop for Inside {
    fn drop(&mut self) {
        *self.0 = false;
    }
}

/// One of at most `PERMITS` holders.
struct Counted(Rc<World>, #[allow(dead_code, reason = "held")] OwnedPermit);

impl Counted {
    fn new(world: &Rc<World>, permit: OwnedPermit) -> Held {
        world.permits.set(world.permits.get() + 1);
        assert!(world.permits.get() <= PERMITS, "more permits than there are");
        Held::Permit(Counted(world.clone(), permit))
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.permits.set(self.0.permits.get() - 1);
    }
}

type Waiting = Pin<Box<dyn Future<Output = Result<Held>>>>;

struct World {
    lock: Arc<Lock<bool>>,
    semaphore: Arc<Semaphore>,
    permits: Cell<usize>,
    event: Arc<Event>,
    queue: Queue<usize>,
    condition: Condition<()>,
    items: Cell<usize>,
    put: RefCell<Vec<usize>>,
    got: RefCell<Vec<usize>>,
    tasks: RefCell<Vec<Task<()>>>,
    places: RefCell<[Option<Waiting>; PLACES]>,
    /// What each task currently waits for.
    waits: RefCell<[Vec<Wait>; TASKS]>,
}

impl World {
    fn new() -> Rc<World> {
        Rc::new(World {
            lock: Arc::new(Lock::new(false)),
            semaphore: Arc::new(Semaphore::new(PERMITS)),
            permits: Cell::new(0),
            event: Arc::new(Event::new()),
            queue: Queue::new(ITEMS_MAX),
            condition: Condition::new(()),
            items: Cell::new(0),
            put: RefCell::default(),
            got: RefCell::default(),
            tasks: RefCell::default(),
            places: RefCell::default(),
            waits: RefCell::default(),
        })
    }

    fn task(&self, number: usize) -> Option<Task<()>> {
        self.tasks.borrow().get(number).cloned()
    }

    fn take(&self, place: usize) -> Option<Waiting> {
        self.places.borrow_mut()[place].take()
    }
}

fn wait(world: &Rc<World>, what: Wait) -> Waiting {
    let world = world.clone();
    match what {
        Wait::Lock => {
            let acquiring = world.lock.clone().acquire_owned();
            Box::pin(async move { acquiring.await.map(Inside::new) })
        }
        Wait::Permit => {
            let acquiring = world.semaphore.clone().acquire_owned();
            Box::pin(async move { acquiring.await.map(|permit| Counted::new(&world, permit)) })
        }
        Wait::Event => Box::pin(async move {
            world.event.wait().await?;
            Ok(Held::Nothing)
        }),
        Wait::Get => Box::pin(async move {
            let item = world.queue.get().await?;
            world.got.borrow_mut().push(item);
            Ok(Held::Nothing)
        }),
        Wait::Put => Box::pin(async move {
            let item = world.items.replace(world.items.get() + 1);
            world.queue.put(item).await?;
            world.put.borrow_mut().push(item);
            Ok(Held::Nothing)
        }),
        Wait::Condition => Box::pin(async move {
            let mut guard = world.condition.acquire().await?;
            let outcome = guard.wait().await;
            assert!(asyncio::ConditionGuard::is_held(&guard), "a wait ended without the lock");
            outcome.map(|_| Held::Nothing)
        }),
        Wait::Task(number) => Box::pin(async move {
            if let Some(task) = world.task(number) {
                let is_own = current_task().is_some_and(|current| current == task.any());
                // A cycle of tasks that wait for each other is an error of the program.
                if !is_own && task.done() {
                    task.await?;
                }
            }
            Ok(Held::Nothing)
        }),
        Wait::Sleep(milliseconds) => Box::pin(async move {
            sleep(Duration::from_millis(milliseconds as u64)).await?;
            Ok(Held::Nothing)
        }),
    }
}

/// Waits, and records meanwhile for what.
async fn awaited<F: Future>(world: &World, task: usize, what: Vec<Wait>, waiting: F) -> F::Output {
    world.waits.borrow_mut()[task] = what;
    let outcome = waiting.await;
    world.waits.borrow_mut()[task] = Vec::new();
    outcome
}

async fn act(world: &Rc<World>, task: usize, act: Act) -> Result<Held> {
    match act {
        Act::Wait(what) => return awaited(world, task, vec![what], wait(world, what)).await,
        Act::Within(milliseconds, what) => {
            let limited = wait_for(wait(world, what), Duration::from_millis(milliseconds as u64));
            return match awaited(world, task, vec![what], limited).await {
                Err(Error::Timeout(_)) => Ok(Held::Nothing),
                outcome => outcome,
            };
        }
        Act::Race(one, other) => {
            let (mut first, mut second) = (wait(world, one), wait(world, other));
            let race = poll_fn(|cx| match first.as_mut().poll(cx) {
                Poll::Ready(outcome) => Poll::Ready(outcome),
                Poll::Pending => second.as_mut().poll(cx),
            });
            return awaited(world, task, vec![one, other], race).await;
        }
        Act::Begin(place, what) => {
            let mut waiting = wait(world, what);
            if let Some(outcome) = poll_here(waiting.as_mut()).await {
                return outcome;
            }
            let former = world.places.borrow_mut()[place].replace(waiting);
            drop(former);
        }
        Act::Finish(place) => {
            if let Some(waiting) = world.take(place) {
                return awaited(world, task, Vec::new(), waiting).await;
            }
        }
        Act::PollElsewhere(place) => {
            if let Some(mut waiting) = world.take(place) {
                match poll(waiting.as_mut()) {
                    Some(outcome) => return outcome,
                    None => drop(world.places.borrow_mut()[place].replace(waiting)),
                }
            }
        }
        Act::Drop(place) => drop(world.take(place)),
        Act::Release => {}
        Act::Cancel(other) => _ = world.task(other).is_some_and(|task| task.cancel()),
        Act::Set => world.event.set(),
        Act::SetOnThread => {
            let event = world.event.clone();
            thread::spawn(move || event.set()).join().expect("it does not panic");
        }
        Act::Clear => world.event.clear(),
        Act::Notify | Act::NotifyAll => {
            if let Some(guard) = world.condition.try_acquire() {
                guard.notify(if matches!(act, Act::Notify) { 1 } else { usize::MAX });
            }
        }
    }
    Ok(Held::Nothing)
}

async fn perform(world: Rc<World>, task: usize, acts: Vec<Act>, gives_up: bool) -> Result<()> {
    let mut held = Vec::new();
    for what in acts {
        match act(&world, task, what).await {
            Ok(Held::Nothing) if matches!(what, Act::Release) => drop(held.pop()),
            Ok(Held::Nothing) => {}
            Ok(got) => held.push(got),
            Err(error) => {
                world.waits.borrow_mut()[task] = Vec::new();
                assert!(error.is_cancelled(), "{error}");
                if gives_up {
                    return Err(error);
                }
            }
        }
    }
    Ok(())
}

fn choose_wait(input: &mut Input<'_>) -> Wait {
    match input.below(8) {
        0 => Wait::Lock,
        1 => Wait::Permit,
        2 => Wait::Event,
        3 => Wait::Get,
        4 => Wait::Put,
        5 => Wait::Condition,
        6 => Wait::Task(input.below(TASKS)),
        _ => Wait::Sleep(input.below(4)),
    }
}

fn choose_act(input: &mut Input<'_>) -> Act {
    match input.below(20) {
        0 => Act::Within(input.below(5), choose_wait(input)),
        1 => Act::Race(choose_wait(input), choose_wait(input)),
        2 | 3 => Act::Begin(input.below(PLACES), choose_wait(input)),
        4 | 5 => Act::Finish(input.below(PLACES)),
        6 => Act::PollElsewhere(input.below(PLACES)),
        7 => Act::Drop(input.below(PLACES)),
        8 | 9 => Act::Release,
        10 | 11 => Act::Cancel(input.below(TASKS)),
        12 => Act::Set,
        13 => Act::SetOnThread,
        14 => Act::Clear,
        15 => Act::Notify,
        16 => Act::NotifyAll,
        _ => Act::Wait(choose_wait(input)),
    }
}

/// Asserts that no task waits for something that is available.
fn check_waits(world: &World) {
    for (task, waits) in world.waits.borrow().iter().enumerate() {
        for wait in waits {
            let is_there = match wait {
                Wait::Lock => !world.lock.locked(),
                Wait::Permit => world.semaphore.value() > 0,
                Wait::Event => world.event.is_set(),
                Wait::Get => !world.queue.empty(),
                Wait::Put => !world.queue.full(),
                // It waits for the notification, or for the lock, whose holder waits for something else.
                Wait::Condition => false,
                Wait::Task(_) | Wait::Sleep(_) => true,
            };
            assert!(!is_there, "task {task} waits for what is there: {wait:?}");
        }
    }
}

async fn play(data: Vec<u8>) -> Result<()> {
    let mut input = Input::new(&data);
    let world = World::new();
    let mut scripts: [Vec<Act>; TASKS] = Default::default();
    let mut own = Vec::new();
    let (gives_up, mut count) = (input.below(256), 0);
    while !input.is_over() && count < 200 {
        count += 1;
        let whose = input.below(TASKS + 1);
        let chosen = choose_act(&mut input);
        scripts.get_mut(whose).unwrap_or(&mut own).push(chosen);
    }
    for (number, acts) in scripts.into_iter().enumerate() {
        let gives_up = gives_up >> number & 1 == 1;
        let task = create_task(perform(world.clone(), number, acts, gives_up));
        world.tasks.borrow_mut().push(task);
    }
    for chosen in own {
        match chosen {
            // This task does not wait for long, and holds nothing.
            Act::Wait(_) | Act::Within(..) | Act::Race(..) | Act::Finish(_) => {
                iterations(1).await?
            }
            chosen => drop(act(&world, 0, chosen).await),
        }
    }
    // A stored wait, which belongs to no task, may have been woken.
    let places = world.places.take();
    drop(places);
    sleep(HOUR).await?;
    let places = world.places.take();
    drop(places);
    sleep(HOUR).await?;
    check_waits(&world);
    let tasks = world.tasks.borrow().clone();
    let is_over = || tasks.iter().all(|task| task.done());
    for _ in 0..=count {
        if !is_over() {
            tasks.iter().for_each(|task| _ = task.cancel());
            sleep(HOUR).await?;
        }
    }
    assert!(is_over(), "a task outlives its cancellations");
    world.tasks.take();
    let places = world.places.take();
    drop((tasks, places));
    check_end(&world)
}

/// Asserts that everything was given back, and still works.
fn check_end(world: &World) -> Result<()> {
    assert!(world.lock.try_acquire().is_some_and(|guard| !*guard));
    assert!(world.condition.try_acquire().is_some());
    assert_eq!((world.semaphore.value(), world.permits.get()), (PERMITS, 0));
    let mut there = world.got.take();
    while let Ok(item) = world.queue.get_nowait() {
        there.push(item);
    }
    let mut put = world.put.take();
    there.sort_unstable();
    put.sort_unstable();
    assert_eq!(put, there, "what was put was got, once");
    for item in 0..ITEMS_MAX {
        world.queue.put_nowait(item).map_err(Error::from)?;
    }
    assert!(world.queue.full() && world.queue.get_nowait()? == 0);
    Ok(())
}

libfuzzer_sys::fuzz_target!(|data: &[u8]| run(play(data.to_vec())));
