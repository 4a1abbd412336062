//! `asyncio ps` and similar commands over the memory of a program with changed words. Whatever the reader finds, it
//! ends, and shows no control characters.
#![no_main]

use asyncio_fuzz::Input;
use std::{cell::RefCell, sync::OnceLock};

#[allow(dead_code, reason = "the tests need more of it")]
#[path = "../../crates/tools/tests/hostile/image.rs"]
mod image;
use image::{Image, PAGE, Pages, record, show};

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    static RECORDED: OnceLock<(Pages, u64)> = OnceLock::new();
    let (recorded, image) = RECORDED.get_or_init(record);
    let starts: Vec<u64> = recorded.keys().copied().collect();
    let mut input = Input::new(data);
    let everywhere = input.flag().then(|| input.number() as u64);
    let mut pages = recorded.clone();
    while !input.is_over() {
        let start = starts[input.number() % starts.len()];
        let place = input.number() % (PAGE as usize / 8) * 8;
        // A small number, one that is near the old one, an address of the program, or anything.
        let page = pages.get_mut(&start).expect("it was recorded");
        let word = &mut page[place..][..8];
        let old = u64::from_ne_bytes(word.try_into().expect("eight bytes"));
        let new = match input.below(4) {
            0 => input.number() as u64,
            1 => old.wrapping_add(input.number() as u64).wrapping_sub(1 << 8),
            2 => starts[input.number() % starts.len()] + input.number() as u64 % PAGE,
            _ => (0..4).fold(0, |word, _| word << 16 | input.number() as u64),
        };
        word.copy_from_slice(&new.to_ne_bytes());
    }
    show(&Image { pages: RefCell::new(pages), image: *image, everywhere });
});
