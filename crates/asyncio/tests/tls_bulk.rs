//! Much goes both ways over TLS at once, with little memory. In a process of its own, since it measures the
//! memory of the process.
#![cfg(all(feature = "tls", target_os = "linux"))]

mod tls_contexts;

use asyncio::{
    Result, StreamReader, StreamWriter, create_task, open_connection, ssl, start_server,
};
use tls_contexts::contexts;

/// Each way. `cargo xtask ci` runs this in a release build as well.
const MUCH: usize = if cfg!(debug_assertions) { 48 << 20 } else { 1 << 30 };
const CHUNK: usize = 1 << 18;
/// Four directions, in each of which 512 KiB may be written, 256 KiB received, and as much be under way in
/// rustls and in the reader; and what the allocator keeps.
const GROWTH_MAX: usize = 24 << 20;

/// The most that the process has had in memory at once, in bytes.
fn memory_max() -> usize {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    line.trim().trim_end_matches(" kB").parse::<usize>().unwrap() * 1024
}

/// The bytes from `place` on, of a sequence that is no multiple of a record long.
fn pattern(place: usize, length: usize) -> Vec<u8> {
    (place..place + length).map(|place| (place % 251) as u8).collect()
}

/// Sends and receives, and looks at what it receives.
async fn exchange(mut reader: StreamReader, writer: StreamWriter) -> Result<()> {
    let sending = create_task(async move {
        // Chunk after chunk from one of 251 places.
        let repeated = pattern(0, CHUNK + 251);
        for place in (0..MUCH).step_by(CHUNK) {
            writer.write(&repeated[place % 251..][..CHUNK]);
            writer.drain().await?;
        }
        Ok(writer)
    });
    let (repeated, mut received) = (pattern(0, CHUNK + 251), 0);
    while received < MUCH {
        let data = reader.read(CHUNK).await?;
        assert!(!data.is_empty(), "the end after {received} bytes");
        assert!(data == repeated[received % 251..][..data.len()], "other bytes at {received}");
        received += data.len();
    }
    let writer = sending.await?;
    writer.close();
    writer.wait_closed().await
}

#[test]
fn much_goes_both_ways_with_little_memory() {
    asyncio::run(async {
        let (theirs, ours) = contexts();
        let ended = asyncio::Future::new();
        let ending = ended.clone();
        let serve = async move |reader, writer| {
            let outcome = exchange(reader, writer).await;
            let _ = ending.set_result(outcome.is_ok());
            outcome
        };
        let server = start_server(serve, ("127.0.0.1", 0)).ssl(theirs).await?;
        let opening = open_connection(server.local_addr()).ssl(ours);
        let (reader, writer) = opening.server_hostname("localhost").await?;
        let before = memory_max();
        exchange(reader, writer).await?;
        assert!(ended.await?, "the server has failed");
        let growth = memory_max() - before;
        assert!(growth < GROWTH_MAX, "{growth} bytes");
        server.close();
        server.wait_closed().await
    })
    .unwrap();
}
