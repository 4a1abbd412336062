//! Data that a program keeps after reading it costs memory in proportion to its own length.

use asyncio_core::Result;
use asyncio_streams::{StreamReader, open_connection};
use bytes::Bytes;
use std::{
    alloc::{GlobalAlloc, Layout, System},
    future::poll_fn,
    io::Write,
    net::TcpListener,
    pin::Pin,
    sync::atomic::{AtomicUsize, Ordering},
};

/// The number of allocated bytes.
static ALLOCATED: AtomicUsize = AtomicUsize::new(0);

struct Counting;

// SAFETY: all calls go to the system allocator, and counting does not allocate.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATED.fetch_add(layout.size(), Ordering::Relaxed);
        // SAFETY: the caller upholds the contract of the trait.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, place: *mut u8, layout: Layout) {
        ALLOCATED.fetch_sub(layout.size(), Ordering::Relaxed);
        // SAFETY: the caller upholds the contract of the trait.
        unsafe { System.dealloc(place, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

const LINE: usize = 100;
const LINES: usize = 200_000;

async fn line(reader: &mut StreamReader, way: usize) -> Result<Bytes> {
    match way {
        0 => reader.readline().await,
        1 => reader.readuntil(b"k\n").await,
        2 => reader.readexactly(LINE).await,
        3 => {
            // The buffer may end in the middle of a line.
            let first = reader.read(LINE).await?;
            match first.len() {
                LINE => Ok(first),
                length => reader.readexactly(LINE - length).await,
            }
        }
        _ => {
            use futures_core::Stream;
            let next = poll_fn(|cx| Pin::new(&mut *reader).poll_next(cx)).await;
            next.unwrap_or_else(|| Ok(Bytes::new()))
        }
    }
}

/// The only test of this process, because memory is counted for all threads.
#[test]
fn a_kept_line_does_not_pin_what_was_received_with_it() -> Result<()> {
    for way in 0..5 {
        asyncio_loop::run(async move {
            let listener = TcpListener::bind("127.0.0.1:0")?;
            let address = listener.local_addr()?;
            let peer = std::thread::spawn(move || {
                let (mut peer, _) = listener.accept().unwrap();
                let lines = [&[b'k'; LINE - 1][..], b"\n"].concat().repeat(LINES / 20);
                (0..20).for_each(|_| peer.write_all(&lines).unwrap());
            });
            let (mut reader, writer) = open_connection(address).await?;
            let (mut kept, mut length) = (Vec::with_capacity(LINES / 100), 0);
            let before = ALLOCATED.load(Ordering::Relaxed);
            for number in 0..LINES {
                let line = line(&mut reader, way).await?;
                if number % 100 == 0 {
                    length += line.len();
                    kept.push(line);
                }
            }
            peer.join().unwrap();
            drop((reader, writer));
            let grown = ALLOCATED.load(Ordering::Relaxed).saturating_sub(before);
            // The connection itself needs some memory too.
            assert!(grown < 16 * length + (2 << 20), "way {way}: {grown} bytes for {length}");
            drop(kept);
            Ok(())
        })?;
    }
    Ok(())
}
