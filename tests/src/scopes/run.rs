//! Runs a program under the virtual clock, and records what happens.

use super::{
    foreign::{Sent, library, spins, waked},
    program::{Kind, Program, Tree},
    record::{Life, Moment, Outcome, Record, Request},
};
use crate::support::MS;
use asyncio::{
    AsyncContextManager, Condition, Error, Event, Future, Lock, Queue, Result, Runner, Semaphore,
    Task, TaskGroup, cancellable, create_task, current_task, eager_task_factory, gather,
    get_running_loop, race, shield, sleep, timeout, wait_for,
};
use futures_util::{
    StreamExt,
    future::{Either, join_all, select, select_all, try_join_all},
    stream::{FuturesUnordered, iter},
};
use std::{
    cell::{Cell, RefCell},
    future::{Future as StdFuture, pending},
    pin::Pin,
    rc::Rc,
    task::{Context, Poll},
    time::Duration,
};

/// The number of polls of a task after which a program counts as stuck.
const TOO_MANY_POLLS: u32 = 20_000;

/// The time after the last request at which the remaining tasks are cancelled.
const ALONE: Duration = Duration::from_millis(40);

/// The time that the tasks have to end after each cancellation at the end. Longer than any program of
/// the generator takes.
const ROUND: Duration = Duration::from_millis(1000);

type Part<'a, T = ()> = Pin<Box<dyn StdFuture<Output = Result<T>> + 'a>>;

/// A program that runs.
struct World {
    tree: Tree,
    record: RefCell<Record>,
    lock: Lock<()>,
    semaphore: Semaphore,
    queue: Queue<u32>,
    event: Event,
    condition: Condition<()>,
    /// All tasks that were created, with the numbers of their roots.
    tasks: RefCell<Vec<(usize, Task<()>)>>,
    items: Cell<u32>,
}

/// Runs a program to its end.
pub fn run(program: &Program) -> (Tree, Record) {
    let tree = Tree::of(program);
    let record = Record::new(tree.nodes.len());
    let world = Rc::new(World {
        tree,
        record: RefCell::new(record),
        lock: Lock::new(()),
        semaphore: Semaphore::new(program.permits),
        queue: Queue::new(program.queue),
        event: Event::new(),
        condition: Condition::new(()),
        tasks: RefCell::default(),
        items: Cell::new(0),
    });
    let main = drive(world.clone(), program.clone());
    let outcome = Runner::new().virtual_time(true).with(|runner| {
        let event_loop = runner.get_loop()?;
        event_loop.set_exception_handler(|_, _| {});
        if program.eager {
            event_loop.set_task_factory(eager_task_factory);
        }
        runner.run(main)
    });
    if let Err(error) = outcome {
        world.record.borrow_mut().fault("the run failed", format!("{}: {error}", error.kind()));
    }
    world.tasks.borrow_mut().clear();
    match Rc::try_unwrap(world) {
        Ok(world) => (world.tree, world.record.into_inner()),
        // Something still holds a reference, which must not happen once the loop is closed.
        Err(world) => {
            let mut record = world.record.take();
            record.fault("something outlives the loop", String::new());
            (Tree::of(program), record)
        }
    }
}

/// The main coroutine: starts the tasks, lets them run, cancels the remaining ones until all have ended,
/// and counts what is left.
async fn drive(world: Rc<World>, program: Program) -> Result<()> {
    let event_loop = get_running_loop()?;
    for cancel in &program.cancels {
        let (world, task) = (world.clone(), cancel.task);
        event_loop.call_later(u32::from(cancel.at) * MS, move || {
            if let Some(root) = world.tree.roots.get(task) {
                world.cancel(*root, None);
            }
        })?;
    }
    if let Some(at) = program.set_at {
        let world = world.clone();
        event_loop.call_later(u32::from(at) * MS, move || world.event.set())?;
    }
    for root in &world.tree.roots {
        drop(world.spawn(*root));
    }
    let last = program.cancels.iter().map(|cancel| cancel.at).max().unwrap_or(0);
    sleep(u32::from(last) * MS + ALONE).await?;
    // Each round ends at least one node of a remaining task.
    for round in 0..2 * world.tree.nodes.len() + 4 {
        let tasks = world.tasks.borrow().clone();
        let is_left = |(_, task): &&(usize, Task<()>)| !task.done();
        let left: Vec<usize> = tasks.iter().filter(is_left).map(|(root, _)| *root).collect();
        if left.is_empty() {
            break;
        }
        for root in left {
            // Every other time, only the tasks that nothing else awaits.
            if round % 2 == 1 || world.tree.nodes[root].parent.is_none() {
                world.cancel(root, None);
            }
        }
        sleep(ROUND).await?;
    }
    world.count();
    Ok(())
}

impl World {
    fn now(&self) -> Moment {
        let time = get_running_loop().ok().map(|event_loop| event_loop.time().as_millis() as u32);
        self.record.borrow_mut().now(time)
    }

    fn life<R>(&self, node: usize, f: impl FnOnce(&mut Life) -> R) -> R {
        f(&mut self.record.borrow_mut().lives[node])
    }

    fn fault(&self, kind: &'static str, node: usize) {
        self.record.borrow_mut().fault(kind, format!("node {node}"));
    }

    fn spawn(self: &Rc<World>, body: usize) -> Task<()> {
        self.keep(body, create_task(part(self, body)))
    }

    fn keep(&self, body: usize, task: Task<()>) -> Task<()> {
        self.tasks.borrow_mut().push((body, task.clone()));
        task
    }

    /// Cancels the task of a root.
    fn cancel(&self, root: usize, by: Option<usize>) {
        let task = self.tasks.borrow().iter().find(|(body, _)| *body == root).cloned();
        let Some((_, task)) = task else { return };
        let request = Request { at: self.now(), origin: root, by };
        if task.cancel() {
            self.record.borrow_mut().requests.push(request);
        }
    }

    /// The task that runs now cancels itself.
    fn cancel_self(&self, node: usize) {
        let request = Request { at: self.now(), origin: self.root_of(node), by: Some(node) };
        if current_task().is_some_and(|task| task.cancel()) {
            self.record.borrow_mut().requests.push(request);
        }
    }

    /// The root of the task in which a node runs.
    fn root_of(&self, node: usize) -> usize {
        let is_root = |node: &usize| {
            let is_body = self.tree.nodes[*node].kind == Kind::Body;
            is_body && self.life(*node, |life| life.begun.is_some())
        };
        self.tree.around(node).find(is_root).unwrap_or(node)
    }

    fn put_aside(&self, node: usize) {
        let now = self.now();
        self.life(node, |life| life.aside.push((now, None)));
    }

    fn take_up(&self, node: usize) {
        let now = self.now();
        self.life(node, |life| life.aside.iter_mut().for_each(|(_, to)| *to = to.or(Some(now))));
    }

    /// What is left after the end of all tasks.
    fn count(&self) {
        for (root, task) in &*self.tasks.borrow() {
            if !task.done() {
                self.fault("a task does not end", *root);
                continue;
            }
            let result = task.result();
            if let Err(error @ Error::Panic(_)) = &result {
                self.record.borrow_mut().fault("a panic", format!("task of node {root}: {error}"));
            }
            let outcome = Outcome::of(&result);
            self.life(*root, |life| life.task = Some(outcome));
        }
        let mut record = self.record.borrow_mut();
        if self.lock.try_acquire().is_none() || self.condition.locked() {
            record.fault("the lock is still held", String::new());
        }
        let mut permits = Vec::new();
        permits.extend(std::iter::from_fn(|| self.semaphore.try_acquire()));
        record.items[2].extend(std::iter::from_fn(|| self.queue.get_nowait().ok()));
        record.permits = permits.len();
    }
}

fn cancelling() -> u32 {
    current_task().map_or(0, |task| task.cancelling())
}

/// A node, with a probe around it.
fn part(world: &Rc<World>, node: usize) -> Part<'static> {
    probe(world, node, act(world.clone(), node))
}

fn probe<'a, T: 'a>(
    world: &Rc<World>,
    node: usize,
    body: impl StdFuture<Output = Result<T>> + 'a,
) -> Part<'a, T> {
    Box::pin(Probe { world: world.clone(), node, body: Some(Box::pin(body)) })
}

/// Records the life of a node.
struct Probe<'a, T> {
    world: Rc<World>,
    node: usize,
    body: Option<Part<'a, T>>,
}

impl<T> Probe<'_, T> {
    fn end(&mut self, outcome: Outcome) {
        self.body = None;
        let (now, left) = (self.world.now(), cancelling());
        self.world.life(self.node, |life| {
            life.ended = Some((now, outcome));
            life.cancelling[1] = left;
        });
    }
}

impl<T> StdFuture for Probe<'_, T> {
    type Output = Result<T>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<T>> {
        self.world.record.borrow_mut().begin_poll();
        let polled = self.advance(cx);
        self.world.record.borrow_mut().end_poll();
        polled
    }
}

impl<T> Probe<'_, T> {
    fn advance(&mut self, cx: &mut Context<'_>) -> Poll<Result<T>> {
        let (world, node) = (self.world.clone(), self.node);
        let polls = world.life(node, |life| {
            life.polls += 1;
            life.polls
        });
        if polls == 1 {
            let (now, before) = (world.now(), cancelling());
            world.life(node, |life| (life.begun, life.cancelling[0]) = (Some(now), before));
        }
        if polls > TOO_MANY_POLLS {
            world.fault("a task is woken for ever", node);
            self.end(Outcome::Failed);
            return Poll::Ready(Err(Error::msg("woken for ever")));
        }
        let Some(body) = self.body.as_mut() else {
            world.fault("polled after its end", node);
            return Poll::Pending;
        };
        let polled = body.as_mut().poll(cx);
        if let Poll::Ready(outcome) = &polled {
            self.end(Outcome::of(outcome));
        }
        polled
    }
}

impl<T> Drop for Probe<'_, T> {
    fn drop(&mut self) {
        let is_active = |life: &mut Life| life.begun.is_some() && life.ended.is_none();
        if self.body.is_some() && self.world.life(self.node, is_active) {
            self.end(Outcome::Dropped);
        }
    }
}

/// Nodes one after another, up to the first error.
async fn sequence(world: &Rc<World>, nodes: &[usize]) -> Result<()> {
    for node in nodes {
        part(world, *node).await?;
    }
    Ok(())
}

/// The outcome of several parts: a cancellation takes precedence over other errors, so that none is lost.
fn merge(outcomes: impl IntoIterator<Item = Result<()>>) -> Result<()> {
    let mut merged = Ok(());
    for outcome in outcomes {
        if merged.is_ok() || Outcome::of(&outcome) == Outcome::Cancelled {
            merged = outcome;
        }
    }
    merged
}

async fn act(world: Rc<World>, number: usize) -> Result<()> {
    let world = &world;
    let nodes = &world.tree.nodes[number].parts[..];
    let all = || nodes.iter().map(|node| part(world, *node));
    let ms = |ms: u16| u32::from(ms) * MS;
    match world.tree.nodes[number].kind {
        Kind::Seq | Kind::Body | Kind::Branch => sequence(world, nodes).await,
        Kind::Sleep(time) | Kind::Leave(time) => sleep(ms(time)).await,
        Kind::Get => {
            let item = world.queue.get().await?;
            world.record.borrow_mut().items[1].push(item);
            Ok(())
        }
        Kind::Put => put(world, number).await,
        Kind::Event => world.event.wait().await.map(drop),
        Kind::Future(time) => {
            let future = Future::new();
            let setter = future.clone();
            get_running_loop()?.call_later(ms(time), move || drop(setter.set_result(())))?;
            future.await
        }
        Kind::Notified => {
            let mut guard = world.condition.acquire().await?;
            guard.wait().await
        }
        Kind::Notify => {
            if let Some(guard) = world.condition.try_acquire() {
                guard.notify(1);
            }
            Ok(())
        }
        Kind::Lock => {
            let guard = probe(world, nodes[0], async { world.lock.acquire().await }).await?;
            let outcome = sequence(world, &nodes[1..]).await;
            drop(guard);
            outcome
        }
        Kind::Permit => {
            let permit = probe(world, nodes[0], async { world.semaphore.acquire().await }).await?;
            let outcome = sequence(world, &nodes[1..]).await;
            drop(permit);
            outcome
        }
        Kind::Never => pending().await,
        Kind::Oneshot(time) => Sent::oneshot(ms(time))?.await,
        Kind::Channel(time) => Sent::channel(ms(time))?.await,
        Kind::Waked(time) => waked(ms(time))?.await,
        Kind::Spins(times) => spins(times).await,
        Kind::Library(time) => library(sleep(ms(time))).await,
        Kind::Child => world.spawn(nodes[0]).await,
        Kind::Gather => {
            let tasks: Vec<_> = nodes.iter().map(|body| world.spawn(*body)).collect();
            gather(tasks).await.map(drop)
        }
        Kind::Shield => {
            let task = world.spawn(nodes[1]);
            probe(world, nodes[0], async { shield(task).await }).await
        }
        Kind::WaitFor(_) | Kind::Timeout(_) => limited(world, number).await,
        Kind::Manager(_) => {
            let manager = Manager { world: world.clone(), exit: nodes[0] };
            manager.with(async |()| sequence(world, &nodes[1..]).await).await
        }
        Kind::Group => {
            let body = async |group: &mut asyncio::Group| {
                for task in &nodes[1..] {
                    world.keep(*task, group.create_task(part(world, *task)));
                }
                part(world, nodes[0]).await
            };
            TaskGroup::new().with(body).await
        }
        Kind::Cancellable => cancellable(sequence(world, nodes)).await,
        Kind::Join => merge(join_all(all()).await),
        Kind::TryJoin => try_join_all(all()).await.map(drop),
        Kind::Unordered => merge(all().collect::<FuturesUnordered<_>>().collect::<Vec<_>>().await),
        Kind::Buffered(n) => {
            merge(iter(all()).buffered(usize::from(n).max(1)).collect::<Vec<_>>().await)
        }
        Kind::Select if nodes.is_empty() => Ok(()),
        Kind::Select => select_all(all()).await.0,
        Kind::Joined | Kind::TryJoined => joined(world, number).await,
        Kind::Race if nodes.is_empty() => Ok(()),
        Kind::Race => race(all()).await,
        Kind::Choose => choose(world, nodes).await,
        Kind::Move => moved(world, nodes).await,
        Kind::Lend => lend(world, nodes).await,
        Kind::Borrow(time) => borrow(world, nodes, ms(time)).await,
        Kind::Cleanup(time) => {
            let outcome = sequence(world, &nodes[1..]).await;
            if Outcome::of(&outcome) == Outcome::Cancelled {
                probe(world, nodes[0], async { sleep(ms(time)).await }).await?;
            }
            outcome
        }
        Kind::Swallow | Kind::Handle | Kind::Catch => caught(world, number).await,
        Kind::CancelSelf => {
            world.cancel_self(number);
            Ok(())
        }
        Kind::CancelTask(task) => {
            let root = world.tree.roots[usize::from(task) % world.tree.roots.len()];
            world.cancel(root, Some(number));
            Ok(())
        }
        Kind::Set => {
            world.event.set();
            Ok(())
        }
        Kind::Fail => Err(Error::msg("boom")),
        // The nodes around them create these.
        Kind::Acquire | Kind::Shielded | Kind::Limit(_) => Ok(()),
    }
}

async fn put(world: &Rc<World>, node: usize) -> Result<()> {
    let item = world.items.get();
    world.items.set(item + 1);
    let mut put = world.queue.put(item);
    let outcome = (&mut put).await;
    match &outcome {
        Ok(()) => world.record.borrow_mut().items[0].push(item),
        Err(_) if put.into_item() == Some(item) => {}
        Err(_) => world.fault("a put gives another item back", node),
    }
    outcome
}

async fn limited(world: &Rc<World>, number: usize) -> Result<()> {
    let node = &world.tree.nodes[number];
    let limit = node.kind.limit().unwrap_or(0) * MS;
    // A body that gives way counts as cancelled.
    let ended = Cell::new(Outcome::Cancelled);
    let body = async {
        let outcome = sequence(world, &node.parts).await;
        ended.set(Outcome::of(&outcome));
        outcome
    };
    let (outcome, expired) = match node.kind {
        Kind::Timeout(_) => {
            let (timeout, watch) = timeout(limit).watched();
            let outcome = timeout.with(async |_| body.await).await;
            (outcome, Some(watch.expired()))
        }
        _ => (wait_for(body, limit).await, None),
    };
    world.life(number, |life| life.body = Some((ended.get(), expired)));
    outcome
}

async fn lend(world: &Rc<World>, nodes: &[usize]) -> Result<()> {
    let Some((first, rounds)) = nodes.split_first() else { return Ok(()) };
    let mut lent = part(world, *first);
    for round in rounds.chunks(2) {
        match select(&mut lent, part(world, round[0])).await {
            Either::Left((outcome, _)) => return outcome,
            Either::Right((outcome, _)) => outcome?,
        }
        world.put_aside(*first);
        let handled = sequence(world, &round[1..]).await;
        world.take_up(*first);
        handled?;
    }
    lent.await
}

async fn borrow(world: &Rc<World>, nodes: &[usize], limit: Duration) -> Result<()> {
    let [own, first, rest @ ..] = nodes else { return Ok(()) };
    let mut lent = part(world, *first);
    let limited = probe(world, *own, wait_for(&mut lent, limit));
    if let Some((racer, rest)) = rest.split_first() {
        match select(part(world, *racer), limited).await {
            Either::Left((outcome, limited)) => {
                drop(limited);
                outcome?;
            }
            Either::Right((outcome, _)) => return outcome,
        }
        lent.await?;
        return sequence(world, rest).await;
    }
    limited.await
}

async fn joined(world: &Rc<World>, number: usize) -> Result<()> {
    let node = &world.tree.nodes[number];
    match (node.kind, &node.parts[..]) {
        (_, []) => Ok(()),
        (_, [a]) => asyncio::join!(part(world, *a)).0,
        (Kind::Joined, [a, b]) => {
            merge(<[_; 2]>::from(asyncio::join!(part(world, *a), part(world, *b))))
        }
        (Kind::Joined, [a, b, c, ..]) => {
            merge(<[_; 3]>::from(asyncio::join!(part(world, *a), part(world, *b), part(world, *c))))
        }
        (_, [a, b]) => asyncio::try_join!(part(world, *a), part(world, *b)).map(drop),
        (_, [a, b, c, ..]) => {
            asyncio::try_join!(part(world, *a), part(world, *b), part(world, *c)).map(drop)
        }
    }
}

async fn choose(world: &Rc<World>, nodes: &[usize]) -> Result<()> {
    let Some((first, rounds)) = nodes.split_first() else { return Ok(()) };
    let mut lent = part(world, *first);
    for round in rounds.chunks(2) {
        asyncio::select! {
            outcome = &mut lent => return outcome,
            outcome = part(world, round[0]) => outcome?,
        }
        world.put_aside(*first);
        let handled = sequence(world, &round[1..]).await;
        world.take_up(*first);
        handled?;
    }
    lent.await
}

async fn moved(world: &Rc<World>, nodes: &[usize]) -> Result<()> {
    let [body, racers @ ..] = nodes else { return Ok(()) };
    let Some(first) = world.tree.nodes[*body].parts.first() else { return Ok(()) };
    let mut lent = part(world, *first);
    let racer = async { sequence(world, racers).await };
    match select(&mut lent, Box::pin(racer)).await {
        Either::Left((outcome, _)) => return outcome,
        Either::Right((outcome, _)) => outcome?,
    }
    let task = create_task(probe(world, *body, lent));
    world.keep(*body, task).await
}

/// Swallows errors of one kind.
async fn caught(world: &Rc<World>, number: usize) -> Result<()> {
    let node = &world.tree.nodes[number];
    let outcome = sequence(world, &node.parts).await;
    match (node.kind, Outcome::of(&outcome)) {
        (_, Outcome::Ok | Outcome::Panic) => outcome,
        (Kind::Swallow, Outcome::Cancelled) => Ok(()),
        (Kind::Handle, Outcome::Cancelled) => {
            let now = world.now();
            world.record.borrow_mut().uncancels.push((number, now));
            current_task().map(|task| task.uncancel());
            Ok(())
        }
        (Kind::Catch, Outcome::Timeout | Outcome::Failed) => Ok(()),
        _ => outcome,
    }
}

/// A context manager whose `exit` awaits.
struct Manager {
    world: Rc<World>,
    exit: usize,
}

impl AsyncContextManager for Manager {
    type Target = ();

    async fn enter(&mut self) -> Result<()> {
        Ok(())
    }

    async fn exit(&mut self, (): (), _error: Option<&Error>) -> Result<()> {
        part(&self.world, self.exit).await
    }
}
