//! A server whose program goes to another directory. In a process of its own.

use asyncio_core::Result;
use asyncio_transports::{Protocol, Transport, create_unix_server};
use bytes::Bytes;

struct Discard;

impl Protocol for Discard {
    fn data_received(&mut self, _: &Transport, _: Bytes) {}
}

#[test]
fn a_relative_path_is_removed_from_another_directory() {
    let dir = std::env::temp_dir().join(format!("asyncio-directory-{}", std::process::id()));
    std::fs::create_dir(&dir).unwrap();
    std::env::set_current_dir(&dir).unwrap();
    asyncio_loop::run(async {
        let server = create_unix_server(|| Discard, "socket").await?;
        std::env::set_current_dir("/")?;
        server.close();
        Result::Ok(())
    })
    .unwrap();
    let left = dir.join("socket").exists();
    std::fs::remove_dir_all(&dir).unwrap();
    assert!(!left);
}
