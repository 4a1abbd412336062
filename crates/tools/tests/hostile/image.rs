//! The memory of a real program, with other bytes in it. The fuzz target `inspect` is built on it as well.

use asyncio::AsyncContextManager;
use asyncio_tools::{
    Failure, Memory, Process, Reader, Snapshot, Thread, Unreadable, build_async_tree,
    display_awaited_by_tasks_table, get_all_awaited_by, to_json, top::Model,
};
use std::{
    cell::{Cell, RefCell},
    collections::{BTreeMap, btree_map::Entry},
    sync::mpsc,
    thread,
    time::Duration,
};

pub(crate) const PAGE: u64 = 4096;

pub(crate) type Pages = BTreeMap<u64, Vec<u8>>;

/// Reads from pages, and gets those that are missing by `page`.
fn read_pages(
    pages: &RefCell<Pages>,
    address: u64,
    buffer: &mut [u8],
    page: impl Fn(u64) -> Option<Vec<u8>>,
) -> Result<(), Unreadable> {
    let mut pages = pages.borrow_mut();
    let mut done = 0;
    while done < buffer.len() {
        let address = address.checked_add(done as u64).ok_or(Unreadable)?;
        let start = address / PAGE * PAGE;
        let page = match pages.entry(start) {
            Entry::Occupied(known) => known.into_mut(),
            Entry::Vacant(vacant) => vacant.insert(page(start).ok_or(Unreadable)?),
        };
        let found = &page[(address - start) as usize..];
        let count = found.len().min(buffer.len() - done);
        buffer[done..done + count].copy_from_slice(&found[..count]);
        done += count;
    }
    Ok(())
}

/// Keeps a copy of every page that is looked at.
struct Recorder {
    process: Process,
    pages: RefCell<Pages>,
    image: Cell<u64>,
}

impl Memory for Recorder {
    fn read(&self, address: u64, buffer: &mut [u8]) -> Result<(), Unreadable> {
        read_pages(&self.pages, address, buffer, |start| {
            let mut page = vec![0; PAGE as usize];
            self.process.read(start, &mut page).ok().map(|()| page)
        })
    }

    fn images(&self) -> Result<Vec<u64>, Failure> {
        let images = self.process.images()?;
        self.image.set(images[0]);
        Ok(vec![images[0]])
    }

    fn thread(&self, number: u64) -> Option<Thread> {
        self.process.thread(number)
    }

    fn name(&self) -> String {
        "the recorded process".to_owned()
    }
}

/// Pages of a program, of which some bytes are others; `everywhere`: there is something at every address.
pub(crate) struct Image {
    pub(crate) pages: RefCell<Pages>,
    pub(crate) image: u64,
    pub(crate) everywhere: Option<u64>,
}

impl Memory for Image {
    fn read(&self, address: u64, buffer: &mut [u8]) -> Result<(), Unreadable> {
        read_pages(&self.pages, address, buffer, |start| {
            let mut random = Random(self.everywhere? ^ start | 1);
            Some((0..PAGE).map(|_| random.next() as u8).collect())
        })
    }

    fn images(&self) -> Result<Vec<u64>, Failure> {
        Ok(vec![self.image])
    }

    fn thread(&self, _number: u64) -> Option<Thread> {
        None
    }

    fn name(&self) -> String {
        "the image".to_owned()
    }
}

/// The same numbers in every run.
pub(crate) struct Random(pub(crate) u64);

impl Random {
    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_mul(0x5851_F42D_4C95_7F2D).wrapping_add(0x1405_7B7E_F767_814F);
        self.0 >> 33
    }

    pub(crate) fn below(&mut self, bound: usize) -> usize {
        self.next() as usize % bound
    }
}

/// Reads, and shows what was read in every way.
pub(crate) fn show(memory: &dyn Memory) -> Option<Snapshot> {
    let mut reader = Reader::new(memory).ok()?;
    let snapshot = reader.snapshot().ok()?;
    let result = get_all_awaited_by(&snapshot);
    let table = display_awaited_by_tasks_table(&result);
    assert!(!table.chars().any(|c| c.is_control() && c != '\n'), "{table:?}");
    let _ = (build_async_tree(&result), to_json(&snapshot).to_string());
    let queues: String = snapshot.queues.iter().map(ToString::to_string).collect();
    assert!(!queues.chars().any(char::is_control), "{queues:?}");
    let mut model = Model::default();
    for time in [0, 100_000_000_000] {
        model.update(snapshot.clone(), time);
        for task in snapshot.loops.iter().flat_map(|l| &l.tasks).take(10) {
            model.chain(task.id);
        }
    }
    Some(snapshot)
}

/// This process, with a loop of some tasks in it.
pub(crate) fn record() -> (Pages, u64) {
    let (sender, receiver) = mpsc::channel();
    thread::spawn(move || {
        asyncio::run(async move {
            for number in 0..10 {
                let sleeper = asyncio::create_task(asyncio::sleep(Duration::from_secs(3600)));
                sleeper.set_name(format!("sleeper \u{1b}[31m{number}"));
                drop(asyncio::create_task(sleeper));
            }
            let hour = Duration::from_secs(3600);
            let queues = ["one", "two \u{1b}[31m"].map(|name| {
                let queue = std::rc::Rc::new(asyncio::Queue::<u32>::new(2));
                queue.set_name(name);
                queue
            });
            queues[1].put_nowait(1)?;
            // Scopes, several waits at once, and operations that have lists of what they wait for.
            let limited = asyncio::create_task(async move {
                let sleeper = asyncio::create_task(asyncio::sleep(hour));
                let inner = asyncio::timeout(hour).with(async |_| sleeper.await);
                let (one, two) = asyncio::join!(inner, asyncio::sleep(hour));
                one.and(two)
            });
            let grouped = asyncio::create_task(asyncio::TaskGroup::new().with(async |group| {
                drop(group.create_task(asyncio::shield(limited)));
                Ok(())
            }));
            drop(asyncio::create_task(async move { asyncio::wait([grouped]).await.map(drop) }));
            asyncio::sleep(Duration::ZERO).await?;
            asyncio::sleep(Duration::ZERO).await?;
            asyncio::sleep(Duration::ZERO).await?;
            asyncio::get_running_loop()?.call_soon(move || _ = sender.send(()))?;
            asyncio::sleep(Duration::from_secs(3600)).await?;
            drop(queues);
            Ok(())
        })
    });
    receiver.recv().expect("the loop runs");
    let process = Process::new(std::process::id() as i32);
    let recorder = Recorder { process, pages: RefCell::default(), image: Cell::new(0) };
    let snapshot = show(&recorder).expect("it reads itself");
    let tasks = &snapshot.loops[0].tasks;
    assert_eq!(tasks.len(), 26);
    assert_eq!(tasks.iter().filter(|task| !task.awaits.is_empty()).count(), 14);
    assert!(tasks.iter().any(|task| task.waits.len() == 2 && !task.waits[0].scopes.is_empty()));
    let names =
        snapshot.loops[0].tasks.iter().filter(|task| &*task.name == "sleeper \u{fffd}[31m3");
    assert_eq!(names.count(), 1);
    let queues: Vec<String> = snapshot.queues.iter().map(ToString::to_string).collect();
    assert!(queues.iter().any(|queue| queue == "\"one\" 0/2"), "{queues:?}");
    assert!(queues.iter().any(|queue| queue == "\"two \u{fffd}[31m\" 1/2"), "{queues:?}");
    (recorder.pages.take(), recorder.image.get())
}
