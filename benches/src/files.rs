//! Files: reads and lines, compared with async-fs on smol, whose thread reads ahead through a pipe in memory.

use crate::workload::{Contestant, Done, Workload};
use smol::{
    io::{AsyncBufReadExt, AsyncReadExt, BufReader},
    stream::StreamExt,
};
use std::{
    fs::File,
    io::{self, Write},
    os::fd::AsRawFd,
    path::{Path, PathBuf},
    sync::OnceLock,
};

/// The size of the file, and of its lines.
const SIZE: usize = 64 << 20;
const LINE: usize = 64;

pub(crate) fn workloads() -> Vec<Workload> {
    let reads: Vec<(&'static str, Contestant)> =
        vec![("asyncio", |n| asyncio_reads(n)), ("async-fs", |n| async_fs_reads(n))];
    let lines: Vec<(&'static str, Contestant)> =
        vec![("asyncio", |_| asyncio_lines()), ("async-fs", |_| async_fs_lines())];
    let read = |name, size| {
        let what = "a read of {n} B of a file";
        Workload::new(name, what, reads.clone()).size(size).ceiling(1.0)
    };
    let line = Workload::new("fileline", "a line of {n} B of a file", lines);
    vec![read("fileread", 4096), read("filebulk", 1 << 20), line.size(LINE).ceiling(1.0)]
}

/// The file, which the first round creates. It stays in the page cache, and has no name, so that it disappears with the
/// process.
fn file() -> &'static Path {
    static MADE: OnceLock<(File, PathBuf)> = OnceLock::new();
    let make = || -> io::Result<(File, PathBuf)> {
        let name = std::env::temp_dir().join(format!("asyncio-bench-{}", std::process::id()));
        let mut file = File::create(&name)?;
        std::fs::remove_file(name)?;
        let line = [&[b'x'; LINE - 1][..], b"\n"].concat();
        file.write_all(&line.repeat(SIZE / LINE))?;
        let path = format!("/proc/self/fd/{}", file.as_raw_fd());
        Ok((file, path.into()))
    };
    &MADE.get_or_init(|| make().unwrap_or_else(|error| panic!("a file: {error}"))).1
}

fn asyncio_reads(size: usize) -> Done {
    let outcome = asyncio::run(async move {
        let mut file = asyncio::files::open(file()).await?;
        let mut reads = 0;
        while file.read(size).await?.len() == size {
            reads += 1;
        }
        file.close().await?;
        Ok(reads)
    });
    done(outcome.expect("it can be read"), SIZE / size)
}

fn async_fs_reads(size: usize) -> Done {
    let reads = smol::block_on(async {
        let mut file = smol::fs::File::open(file()).await?;
        let (mut buffer, mut reads) = (vec![0; size], 0);
        while file.read_exact(&mut buffer).await.is_ok() {
            reads += 1;
        }
        io::Result::Ok(reads)
    });
    done(reads.expect("it can be read"), SIZE / size)
}

fn asyncio_lines() -> Done {
    let outcome = asyncio::run(async {
        let mut file = asyncio::files::open(file()).await?;
        let mut lines = 0;
        while let Some(line) = file.next().await {
            lines += usize::from(line?.len() == LINE);
        }
        Ok(lines)
    });
    done(outcome.expect("it can be read"), SIZE / LINE)
}

fn async_fs_lines() -> Done {
    let lines = smol::block_on(async {
        let mut lines = BufReader::new(smol::fs::File::open(file()).await?).lines();
        let mut count = 0;
        while let Some(line) = lines.next().await {
            count += usize::from(line?.len() == LINE - 1);
        }
        io::Result::Ok(count)
    });
    done(lines.expect("it can be read"), SIZE / LINE)
}

fn done(operations: usize, expected: usize) -> Done {
    assert_eq!(operations, expected, "the whole file is read");
    operations.into()
}
