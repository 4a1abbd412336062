//! Hostile memory: the image of a real program with changed bytes, and one in which every address is
//! valid. A reader ends, takes a bounded time, and shows what it found.

mod image;

use asyncio_tools::Reader;
use image::{Image, PAGE, Random, record, show};
use std::cell::RefCell;

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
    // Otherwise, this test has read nothing.
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
