//! Memory that lies: the image of a real program with other bytes in it, and one in which every address
//! leads somewhere. A reader ends, takes a bounded time, and shows what it found.

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

const PAGE: u64 = 4096;

type Pages = BTreeMap<u64, Vec<u8>>;

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
struct Image {
    pages: RefCell<Pages>,
    image: u64,
    everywhere: Option<u64>,
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
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_mul(0x5851_F42D_4C95_7F2D).wrapping_add(0x1405_7B7E_F767_814F);
        self.0 >> 33
    }

    fn below(&mut self, bound: usize) -> usize {
        self.next() as usize % bound
    }
}

/// Reads, and shows what was read in every way.
fn show(memory: &dyn Memory) -> Option<Snapshot> {
    let mut reader = Reader::new(memory).ok()?;
    let snapshot = reader.snapshot().ok()?;
    let result = get_all_awaited_by(&snapshot);
    let table = display_awaited_by_tasks_table(&result);
    assert!(!table.chars().any(|c| c.is_control() && c != '\n'), "{table:?}");
    let _ = (build_async_tree(&result), to_json(&snapshot).to_string());
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
fn record() -> (Pages, u64) {
    let (sender, receiver) = mpsc::channel();
    thread::spawn(move || {
        asyncio::run(async move {
            for number in 0..10 {
                let sleeper = asyncio::create_task(asyncio::sleep(Duration::from_secs(3600)));
                sleeper.set_name(format!("sleeper \u{1b}[31m{number}"));
                drop(asyncio::create_task(sleeper));
            }
            let hour = Duration::from_secs(3600);
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
            asyncio::sleep(Duration::from_secs(3600)).await
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
    (recorder.pages.take(), recorder.image.get())
}

#[test]
fn any_bytes_may_be_others() {
    let (pages, image) = record();
    let mut random = Random(1);
    let starts: Vec<u64> = pages.keys().copied().collect();
    let mut shown = 0;
    for round in 0..300 {
        let mut pages = pages.clone();
        for _ in 0..1 + random.below(40) {
            let page = pages.get_mut(&starts[random.below(starts.len())]).unwrap();
            let place = random.below(PAGE as usize / 8) * 8;
            // A small number, an address of the program, or anything.
            let word = match random.below(3) {
                0 => random.below(1 << 20) as u64,
                1 => starts[random.below(starts.len())] + random.below(512) as u64 * 8,
                _ => random.next() << 31 ^ random.next(),
            };
            page[place..][..8].copy_from_slice(&word.to_ne_bytes());
        }
        let everywhere = (round % 2 == 0).then_some(round);
        let image = Image { pages: RefCell::new(pages), image, everywhere };
        shown += usize::from(show(&image).is_some());
    }
    // Else this has looked at nothing.
    assert!(shown > 100, "{shown}");
}

#[test]
fn a_program_that_is_nothing_but_noise_is_none() {
    for seed in 1..200 {
        let image = Image { pages: RefCell::default(), image: seed * PAGE, everywhere: Some(seed) };
        assert!(Reader::new(&image).is_err());
        let nothing = Image { everywhere: None, ..image };
        nothing.pages.borrow_mut().clear();
        assert!(Reader::new(&nothing).is_err());
    }
}

#[test]
fn a_table_that_claims_to_be_endless_is_none() {
    let (pages, image) = record();
    // Whatever in the program says twenty-six, or how many places there are, says as many as there can be.
    for claimed in [1 << 14, 1 << 40, u64::MAX] {
        for page in pages.keys() {
            let mut pages = pages.clone();
            for word in pages.get_mut(page).unwrap().chunks_exact_mut(8) {
                let number = u64::from_ne_bytes(word.try_into().unwrap());
                if (26..=64).contains(&number) {
                    word.copy_from_slice(&claimed.to_ne_bytes());
                }
            }
            let everywhere = (claimed == 1 << 14).then_some(3);
            show(&Image { pages: RefCell::new(pages), image, everywhere });
        }
    }
}

#[test]
fn another_version_says_what_to_install() {
    let (mut pages, image) = record();
    let owner = b"asyncio for Rust\0\0\0\0";
    for page in pages.values_mut() {
        let found = page.windows(owner.len()).position(|bytes| bytes == owner);
        if let Some(version) = found.and_then(|at| page.get_mut(at + owner.len()..)?.first_mut()) {
            *version = 77;
        }
    }
    let image = Image { pages: RefCell::new(pages), image, everywhere: None };
    let error = Reader::new(&image).unwrap_err().to_string();
    let expected = "the image has an asyncio of another version (its layout is 77 of ";
    assert!(error.starts_with(expected), "{error}");
    assert!(error.ends_with("`cargo install asyncio-tools --version VERSION`"), "{error}");
}
