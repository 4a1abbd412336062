//! The memory of ended tasks, which later tasks of the thread use again.
//!
//! A program that starts many tasks and awaits them all frees them together, which a general allocator
//! answers with its slow path for each task. That would be a quarter of the time that a task costs (row
//! `spawn`). Each thread therefore keeps up to [`KEPT`] bytes, in a list for each size, and frees them when
//! it ends. In Miri, under loom, and with `--cfg asyncio_no_free_list`, which is for sanitizers, it keeps
//! nothing.

use std::{
    alloc::{Layout, alloc, dealloc, handle_alloc_error},
    cell::Cell,
    ptr::NonNull,
};

/// The alignment of the blocks that are kept, which is that of most tasks; their sizes are multiples of it.
const ALIGN: usize = 8;
/// The size of the largest blocks that are kept.
const LARGEST: usize = 1024;
/// How many bytes a thread keeps.
const KEPT: usize = 256 << 10;

/// A block that is kept contains the address of the next one of its size.
type Next = Option<NonNull<Block>>;

struct Block {
    next: Next,
}

struct FreeList {
    /// The first block of each size.
    first: [Cell<Next>; LARGEST / ALIGN],
    /// The size of all blocks.
    bytes: Cell<usize>,
}

thread_local! {
    static FREE_LIST: FreeList = const {
        FreeList { first: [const { Cell::new(None) }; LARGEST / ALIGN], bytes: Cell::new(0) }
    };
}

/// Allocates memory for a `T`, which is not initialized.
#[inline(always)]
pub(crate) fn allocate<T>() -> NonNull<T> {
    const { assert!(size_of::<T>() > 0) };
    let layout = const { Layout::new::<T>() };
    let kept = match is_kept(layout) {
        true => FREE_LIST.try_with(|list| list.pop(layout.size())).ok().flatten(),
        false => None,
    };
    kept.unwrap_or_else(|| allocate_anew(layout)).cast()
}

#[cold]
#[inline(never)]
fn allocate_anew(layout: Layout) -> NonNull<u8> {
    // SAFETY: its size is not zero: see `allocate`.
    NonNull::new(unsafe { alloc(layout) }).unwrap_or_else(|| handle_alloc_error(layout))
}

/// Frees memory, on any thread.
///
/// # Safety
/// `place` must be from [`allocate`] for the same type, on any thread, and must not be used any more.
#[inline(always)]
pub(crate) unsafe fn free<T>(place: NonNull<T>) {
    let (layout, block) = (const { Layout::new::<T>() }, place.cast());
    // SAFETY: as the caller promised.
    let push = |list: &FreeList| unsafe { list.push(block, layout.size()) };
    if !is_kept(layout) || !FREE_LIST.try_with(push).unwrap_or(false) {
        // SAFETY: it was allocated with this layout, whichever thread has kept it since.
        unsafe { dealloc(block.as_ptr(), layout) }
    }
}

const fn is_kept(layout: Layout) -> bool {
    let keeps = !cfg!(any(miri, loom, asyncio_no_free_list));
    keeps && layout.size() <= LARGEST && layout.align() == ALIGN
}

impl FreeList {
    #[inline(always)]
    fn pop(&self, size: usize) -> Option<NonNull<u8>> {
        let first = &self.first[size / ALIGN - 1];
        let block = first.get()?;
        // SAFETY: `push` has written it, and nothing has used the memory since.
        first.set(unsafe { block.as_ref() }.next);
        self.bytes.set(self.bytes.get() - size);
        Some(block.cast())
    }

    /// Keeps a block; returns whether there was room for it.
    ///
    /// # Safety
    /// `block` must have been allocated with this size and [`ALIGN`], and must not be used any more.
    #[inline(always)]
    unsafe fn push(&self, block: NonNull<u8>, size: usize) -> bool {
        let bytes = self.bytes.get() + size;
        if bytes > KEPT {
            return false;
        }
        let (first, block) = (&self.first[size / ALIGN - 1], block.cast::<Block>());
        // SAFETY: it is large enough and aligned, by its layout, and unused.
        unsafe { block.write(Block { next: first.get() }) };
        first.set(Some(block));
        self.bytes.set(bytes);
        true
    }
}

impl Drop for FreeList {
    fn drop(&mut self) {
        for size in (ALIGN..=LARGEST).step_by(ALIGN) {
            while let Some(block) = self.pop(size) {
                // SAFETY: it was allocated with this layout, which is valid therefore, and is unused.
                unsafe { dealloc(block.as_ptr(), Layout::from_size_align_unchecked(size, ALIGN)) }
            }
        }
    }
}

#[cfg(all(test, not(any(miri, loom, asyncio_no_free_list))))]
mod tests {
    use super::*;
    use std::thread;

    fn kept() -> usize {
        FREE_LIST.with(|list| list.bytes.get())
    }

    fn in_a_new_thread(test: impl FnOnce() + Send) {
        thread::scope(|scope| scope.spawn(test).join().unwrap());
    }

    #[test]
    fn memory_is_used_again_for_the_same_size_only() {
        in_a_new_thread(|| {
            let (one, two) = (allocate::<[u64; 20]>(), allocate::<[u64; 20]>());
            // SAFETY: neither is used any more.
            unsafe {
                free(one);
                free(two);
            }
            assert_eq!(kept(), 320);
            let other = allocate::<[u64; 22]>();
            assert_eq!(kept(), 320);
            // The block that was freed last is used first.
            let places = [allocate::<[u64; 20]>(), allocate::<[u64; 20]>()];
            assert_eq!((places, kept()), ([two, one], 0));
            // SAFETY: as above.
            unsafe {
                free(other);
                free(places[0]);
                free(places[1]);
            }
            assert_eq!(kept(), 320 + 176);
        });
    }

    #[test]
    fn a_thread_keeps_a_bounded_number_of_bytes() {
        in_a_new_thread(|| {
            let places: Vec<_> = (0..10_000).map(|_| allocate::<[u64; 20]>()).collect();
            // SAFETY: they are not used any more.
            places.into_iter().for_each(|place| unsafe { free(place) });
            assert_eq!(kept(), KEPT / 160 * 160);
        });
    }

    #[test]
    fn large_and_strictly_aligned_memory_is_not_kept() {
        #[repr(align(32))]
        struct Aligned(#[expect(dead_code)] u64);
        in_a_new_thread(|| {
            // SAFETY: nothing is used after its free.
            unsafe {
                free(allocate::<[u64; LARGEST / 8 + 1]>());
                let aligned = allocate::<Aligned>();
                assert!(aligned.is_aligned());
                free(aligned);
            }
            assert_eq!(kept(), 0);
        });
    }

    #[test]
    fn memory_may_be_freed_on_another_thread_and_as_a_thread_ends() {
        /// Frees memory in a destructor that runs after that of the list.
        struct Late(Cell<Option<NonNull<[u64; 20]>>>);
        impl Drop for Late {
            fn drop(&mut self) {
                if let Some(place) = self.0.take() {
                    // SAFETY: it is not used any more.
                    unsafe { free(place) }
                }
            }
        }
        thread_local!(static LATE: Late = const { Late(Cell::new(None)) });
        let place = allocate::<[u64; 20]>().as_ptr() as usize;
        in_a_new_thread(|| {
            LATE.with(|late| late.0.set(Some(allocate())));
            let place = NonNull::new(place as *mut [u64; 20]).unwrap();
            // SAFETY: as above.
            unsafe { free(place) };
            assert_eq!(kept(), 160);
        });
    }
}
