//! [`Buffered`]: an open file with its buffers for reading ahead and for writing.
//!
//! The loop takes data out of the buffer and puts data into it; a thread does everything that may
//! block. The position of the descriptor is after the data that was read ahead, and before the data
//! that is to be written.

use crate::remote::{failed, report};
use asyncio_core::{
    log::{Level, log},
    raw::{LoopRef, is_debug, running_loop},
};
use asyncio_sockets::on_thread;
use bytes::Bytes;
use std::{
    fmt,
    fs::File,
    io::{self, ErrorKind, Read, Seek, SeekFrom, Write},
    mem,
    ops::Range,
    path::Path,
    sync::Arc,
};

/// The number of bytes that are buffered before they are written: Python 3.14's `io.DEFAULT_BUFFER_SIZE`.
/// A larger read uses memory of its own.
pub(crate) const BUFFER_SIZE: usize = 128 * 1024;

/// The number of bytes that are read ahead at first. It doubles as long as the file is read in
/// order, up to `BUFFER_SIZE`.
const LEAST_AHEAD: usize = 32 * 1024;
const MOST_AHEAD: usize = 1 << 20;

/// The largest amount of memory that is reserved for one read before data arrives.
const RESERVED: usize = 16 << 20;

pub(crate) struct Buffered {
    file: Arc<File>,
    path: Arc<Path>,
    /// The loop whose exception handler gets the errors of writes.
    home: Option<LoopRef>,
    /// The part `unread` of this was read ahead.
    data: Vec<u8>,
    unread: Range<usize>,
    /// The number of bytes to read ahead next.
    ahead: usize,
    /// The number of unread bytes that are known to contain no newline.
    scanned: usize,
    /// Whether the last read found the end of the file.
    ended: bool,
    unwritten: Vec<u8>,
    /// The result of the last job: the position or the size.
    pub(crate) found: u64,
    /// The number of bytes of the last large write that were taken or, if it failed, that have
    /// reached the file.
    pub(crate) written: usize,
    is_closed: bool,
}

/// The operations of the loop.
impl Buffered {
    pub(crate) fn new(file: Arc<File>, path: Arc<Path>) -> Buffered {
        Buffered {
            file,
            path,
            home: running_loop(),
            data: Vec::new(),
            unread: 0..0,
            ahead: LEAST_AHEAD,
            scanned: 0,
            ended: false,
            unwritten: Vec::new(),
            found: 0,
            written: 0,
            is_closed: false,
        }
    }

    /// The available bytes, unless something has to be written first.
    fn available(&self) -> Option<&[u8]> {
        self.unwritten.is_empty().then(|| &self.data[self.unread.clone()])
    }

    /// Takes `n` bytes; fewer only at the end of the file.
    pub(crate) fn take(&mut self, n: usize) -> Option<Bytes> {
        let length = self.available()?.len();
        (length >= n || mem::take(&mut self.ended)).then(|| self.split(n.min(length)))
    }

    /// Takes a line with its newline, or the rest at the end of the file.
    pub(crate) fn take_line(&mut self) -> Option<Bytes> {
        let scanned = self.scanned;
        let available = self.available()?;
        let length = available.len();
        match memchr::memchr(b'\n', &available[scanned..]) {
            Some(newline) => Some(self.split(scanned + newline + 1)),
            None if mem::take(&mut self.ended) => Some(self.split(length)),
            None => {
                self.scanned = length;
                None
            }
        }
    }

    /// Copies the available bytes into `buffer`; none at the end of the file.
    pub(crate) fn take_into(&mut self, buffer: &mut [u8]) -> Option<usize> {
        let available = self.available()?;
        let n = available.len().min(buffer.len());
        buffer[..n].copy_from_slice(&available[..n]);
        if n == 0 && !buffer.is_empty() && !mem::take(&mut self.ended) {
            return None;
        }
        self.advance(n);
        Some(n)
    }

    fn advance(&mut self, n: usize) {
        self.unread.start += n;
        self.scanned = 0;
    }

    /// Takes `n` bytes out: the memory itself if they are all of its contents, else a copy.
    fn split(&mut self, n: usize) -> Bytes {
        let is_whole = self.unread == (0..n) && n == self.data.len();
        if is_whole && n >= BUFFER_SIZE && n >= self.data.capacity() / 2 {
            (self.unread, self.scanned) = (0..0, 0);
            return Bytes::from(mem::take(&mut self.data));
        }
        let start = self.unread.start;
        let taken = Bytes::copy_from_slice(&self.data[start..start + n]);
        self.advance(n);
        taken
    }

    /// Takes `data` if the buffer has room for it.
    pub(crate) fn put(&mut self, data: &[u8]) -> bool {
        let fits = self.unwritten.len() + data.len() < BUFFER_SIZE;
        if fits {
            self.unwritten.extend_from_slice(data);
        }
        fits
    }

    /// Takes `data` of any length, which has to be written immediately. Returns the number of bytes
    /// that were buffered before.
    pub(crate) fn put_all(&mut self, data: &[u8]) -> usize {
        let before = self.unwritten.len();
        self.unwritten.extend_from_slice(data);
        self.written = data.len();
        before
    }

    /// Discards buffered writes, because the file is about to be removed.
    pub(crate) fn forget(&mut self) {
        self.is_closed = true;
        self.unwritten.clear();
    }

    /// Whether nothing is to be written.
    pub(crate) fn is_written(&self) -> bool {
        self.unwritten.is_empty()
    }

    /// Whether nothing is buffered in either direction.
    pub(crate) fn is_empty(&self) -> bool {
        self.unwritten.is_empty() && self.unread.is_empty()
    }
}

/// The operations of a thread.
impl Buffered {
    /// Reads until there are `n` bytes, or the file ends.
    pub(crate) fn fill(&mut self, n: usize) -> io::Result<()> {
        self.write_out()?;
        if n >= BUFFER_SIZE {
            return self.fill_exactly(n);
        }
        self.make_room(n);
        while self.unread.len() < n && self.read_some()? {}
        Ok(())
    }

    /// Reads until there is a newline, or the file ends.
    pub(crate) fn fill_line(&mut self) -> io::Result<()> {
        self.write_out()?;
        loop {
            let unread = &self.data[self.unread.clone()];
            if memchr::memchr(b'\n', &unread[self.scanned..]).is_some() {
                return Ok(());
            }
            self.scanned = unread.len();
            self.make_room(self.scanned * 2);
            if !self.read_some()? {
                return Ok(());
            }
        }
    }

    /// Reads until the file ends.
    pub(crate) fn fill_all(&mut self) -> io::Result<()> {
        self.write_out()?;
        let mut data = self.data[self.unread.clone()].to_vec();
        let outcome = (&*self.file).read_to_end(&mut data);
        self.replace(data);
        self.ended = outcome.is_ok();
        outcome.map(drop)
    }

    /// Reads `n` bytes into memory of their own, which is handed out without a copy.
    fn fill_exactly(&mut self, n: usize) -> io::Result<()> {
        let mut data = Vec::with_capacity(n.min(RESERVED));
        data.extend_from_slice(&self.data[self.unread.clone()]);
        let left = n.saturating_sub(data.len());
        let outcome = (&*self.file).take(left as u64).read_to_end(&mut data);
        self.ended = outcome.is_ok() && data.len() < n;
        self.replace(data);
        outcome.map(drop)
    }

    fn replace(&mut self, data: Vec<u8>) {
        self.unread = 0..data.len();
        self.data = data;
    }

    /// Moves unread bytes to the front of a buffer of at least `size` bytes, with room to read ahead.
    fn make_room(&mut self, size: usize) {
        let size = size.max(self.ahead);
        if self.data.len() < size {
            let mut data = vec![0; size];
            let unread = &self.data[self.unread.clone()];
            data[..unread.len()].copy_from_slice(unread);
            self.data = data;
        } else {
            self.data.copy_within(self.unread.clone(), 0);
        }
        self.unread = 0..self.unread.len();
    }

    /// Reads once, after the unread bytes; returns false at the end of the file.
    fn read_some(&mut self) -> io::Result<bool> {
        loop {
            match (&*self.file).read(&mut self.data[self.unread.end..]) {
                Ok(n) => {
                    self.unread.end += n;
                    self.ended = n == 0;
                    if self.unread.end == self.data.len() {
                        self.ahead = (self.ahead * 2).min(MOST_AHEAD);
                    }
                    return Ok(n > 0);
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
    }

    /// Moves the position of the descriptor back to before the data that was read ahead. A file
    /// without a position keeps that data.
    fn give_back(&mut self) -> io::Result<()> {
        self.ended = false;
        if !self.unread.is_empty() {
            match (&*self.file).seek(SeekFrom::Current(-(self.unread.len() as i64))) {
                Err(error) if error.kind() == ErrorKind::NotSeekable => return Ok(()),
                outcome => _ = outcome?,
            }
            self.advance(self.unread.len());
        }
        Ok(())
    }

    /// Writes the buffer. Data that cannot be written stays in it.
    pub(crate) fn write_out(&mut self) -> io::Result<()> {
        self.write_out_but(self.unwritten.len())
    }

    /// Writes the buffer. If that fails, unwritten bytes among the first `kept` stay in the buffer, and
    /// the bytes after those are discarded.
    pub(crate) fn write_out_but(&mut self, kept: usize) -> io::Result<()> {
        if self.unwritten.is_empty() {
            return Ok(());
        }
        self.written = 0;
        let (mut done, outcome) = (0, self.give_back());
        let outcome = outcome.and_then(|()| write_all(&self.file, &self.unwritten, &mut done));
        match &outcome {
            Ok(()) => self.unwritten.clear(),
            Err(_) => {
                self.written = done.saturating_sub(kept);
                self.unwritten.truncate(kept.max(done));
                self.unwritten.drain(..done);
            }
        }
        outcome
    }

    /// Writes the buffer, and gives back the data that was read ahead: the descriptor then has the
    /// position of the file.
    pub(crate) fn flush(&mut self) -> io::Result<()> {
        self.write_out()?;
        self.give_back()
    }

    pub(crate) fn sync(&mut self) -> io::Result<()> {
        self.flush()?;
        self.file.sync_all()
    }

    pub(crate) fn seek(&mut self, to: SeekFrom) -> io::Result<()> {
        self.write_out()?;
        let to = match to {
            SeekFrom::Current(n) => {
                SeekFrom::Current(n.checked_sub_unsigned(self.unread.len() as u64).ok_or(
                    io::Error::new(ErrorKind::InvalidInput, "a position before the beginning"),
                )?)
            }
            to => to,
        };
        self.found = (&*self.file).seek(to)?;
        self.advance(self.unread.len());
        (self.ahead, self.ended) = (LEAST_AHEAD, false);
        Ok(())
    }

    pub(crate) fn tell(&mut self) -> io::Result<()> {
        self.write_out()?;
        self.found = (&*self.file).stream_position()?.saturating_sub(self.unread.len() as u64);
        Ok(())
    }

    pub(crate) fn truncate(&mut self, size: Option<u64>) -> io::Result<()> {
        self.flush()?;
        self.found = match size {
            Some(size) => size,
            None => (&*self.file).stream_position()?,
        };
        self.file.set_len(self.found)
    }

    pub(crate) fn close(&mut self) -> io::Result<()> {
        self.is_closed = true;
        let outcome = self.write_out();
        // The error was reported, so nothing is left to be written when this is dropped.
        self.unwritten.clear();
        outcome
    }
}

fn write_all(mut file: &File, data: &[u8], done: &mut usize) -> io::Result<()> {
    while *done < data.len() {
        match file.write(&data[*done..]) {
            Ok(0) => return Err(ErrorKind::WriteZero.into()),
            Ok(n) => *done += n,
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// The buffer is written even if the file was not closed: on a thread, if a loop runs here.
impl Drop for Buffered {
    fn drop(&mut self) {
        if !self.is_closed && is_debug() {
            log(Level::Warning, &format!("unclosed <File {:?}>", self.path));
        }
        if !self.unwritten.is_empty() {
            // Written at the position of the file, and not where reading ahead has moved the
            // descriptor.
            let given_back = self.give_back();
            let unwritten = mem::take(&mut self.unwritten);
            let (file, path, home) = (self.file.clone(), self.path.clone(), self.home);
            let rest = Rest { file, unwritten, path, home, before: given_back };
            // Without a loop, it is dropped here, and therefore written here.
            let _ = on_thread(move || drop(rest));
        }
    }
}

/// The rest of a buffer, which is written when this is dropped.
struct Rest {
    file: Arc<File>,
    unwritten: Vec<u8>,
    path: Arc<Path>,
    home: Option<LoopRef>,
    /// The result of finding the position at which to write.
    before: io::Result<()>,
}

impl Drop for Rest {
    fn drop(&mut self) {
        let before = mem::replace(&mut self.before, Ok(()));
        let outcome = before.and_then(|()| write_all(&self.file, &self.unwritten, &mut 0));
        if let Err(error) = outcome {
            let error = failed("File.drop", &self.path, error);
            report("a file was dropped before it was flushed", error, self.home);
        }
    }
}

/// `5 bytes read ahead, 3 to write`
impl fmt::Debug for Buffered {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} bytes read ahead, {} to write", self.unread.len(), self.unwritten.len())
    }
}
