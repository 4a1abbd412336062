//! The futures of [`StreamReader`]'s methods, and their common wait.

use crate::{
    reader::StreamReader,
    separators::Separators,
    state::{Followup, Search, Shared, State},
};
use asyncio_core::{
    Result,
    wait::{Resume, Wait},
    wait_site::WaitSite,
};
use bytes::Bytes;
use std::{
    future::Future,
    pin::Pin,
    task::{Context, Poll},
};

/// Makes attempts until one succeeds, and waits for more between them. The first one is made only if
/// there is no exception.
pub(crate) fn poll_read<R>(
    shared: &Shared,
    wait: &mut Wait,
    cx: &Context<'_>,
    site: WaitSite,
    attempt: impl FnOnce(&mut State) -> Option<Result<R>>,
) -> Poll<Result<R>> {
    let mut after = Followup::default();
    let mut state = shared.lock();
    if wait.is_armed() {
        let mut moved = false;
        let replace = |waiter| {
            moved = true;
            after.drop_later(state.reading.replace(waiter));
        };
        match wait.poll(cx, site, || None, replace) {
            Resume::Pending if !moved => return Poll::Pending,
            // New data may have woken the task that polled it before.
            Resume::Pending => _ = wait.disarm(),
            Resume::Woken => {}
            Resume::Cancelled { error, .. } => {
                after.drop_later(state.reading.take());
                return Poll::Ready(Err(error));
            }
        }
    } else if let Some(error) = &state.exception {
        return Poll::Ready(Err(error.clone()));
    }
    if let Some(arrival) = state.arrival.take() {
        drop(state);
        let data = arrival.receive();
        state = shared.lock();
        if let Some(data) = data {
            state.feed(data, &mut after);
        }
    }
    if let Some(outcome) = attempt(&mut state) {
        state.maybe_resume(&mut after);
        return Poll::Ready(outcome);
    }
    if let Some(error) = &state.exception {
        return Poll::Ready(Err(error.clone()));
    }
    if let Err(error) = state.check_awaited_here(site) {
        return Poll::Ready(Err(error));
    }
    state.resume(&mut after);
    if let Err(error) = state.ask_file(shared) {
        return Poll::Ready(Err(error));
    }
    after.drop_later(state.reading.take());
    wait.arm_into(cx, site, &mut state.reading);
    Poll::Pending
}

/// The common part of the futures.
#[derive(Debug)]
pub(crate) struct Reading<'a> {
    reader: &'a StreamReader,
    wait: Wait,
    site: WaitSite,
}

impl<'a> Reading<'a> {
    #[inline]
    pub(crate) fn new(reader: &'a mut StreamReader, site: WaitSite) -> Reading<'a> {
        reader.end_poll();
        Reading { reader, wait: Wait::new(), site }
    }

    fn poll(
        &mut self,
        cx: &Context<'_>,
        attempt: impl FnOnce(&mut State) -> Option<Result<Bytes>>,
    ) -> Poll<Result<Bytes>> {
        poll_read(self.reader.shared(), &mut self.wait, cx, self.site, attempt)
    }
}

/// Declares a future: its fields, and its attempt.
macro_rules! reading {
    ($(
        $(#[$doc:meta])*
        $name:ident<$life:lifetime> { $($field:ident: $type:ty),* } => |$state:ident| $attempt:expr;
    )*) => {$(
        $(#[$doc])*
        #[derive(Debug)]
        #[must_use = "futures do nothing unless they are awaited"]
        pub struct $name<$life> {
            pub(crate) reading: Reading<$life>,
            $(pub(crate) $field: $type,)*
        }

        impl Future for $name<'_> {
            type Output = Result<Bytes>;

            fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<Bytes>> {
                let $name { reading, $($field),* } = &mut *self;
                reading.poll(cx, |$state| $attempt)
            }
        }

        impl asyncio_core::wait::Leaf for $name<'_> {}
    )*};
}

reading! {
    /// The future of [`StreamReader::read`].
    Read<'a> { n: usize } => |state| state.try_read(*n);
    /// The future of [`StreamReader::read_to_end`].
    ReadToEnd<'a> {} => |state| state.try_read_to_end();
    /// The future of [`StreamReader::readexactly`].
    ReadExactly<'a> { n: usize } => |state| state.try_readexactly(*n);
    /// The future of [`StreamReader::readline`].
    ReadLine<'a> { search: Search } => |state| state.try_readline(search);
}

impl ReadLine<'_> {
    /// Sets the longest length of this line, in place of the reader's limit. asyncio has no
    /// counterpart.
    ///
    /// ```
    /// #[asyncio::main]
    /// async fn main() -> asyncio::Result<()> {
    ///     let mut reader = asyncio::StreamReader::new(3)?;
    ///     reader.feed_data("a long line\n")?;
    ///     assert_eq!(reader.readline().limit(100).await?, "a long line\n");
    ///     Ok(())
    /// }
    /// ```
    pub fn limit(mut self, limit: usize) -> Self {
        self.search.limit = Some(limit);
        self
    }

    /// Sets the site at which the caller waits, for operations that are built on this one.
    pub(crate) fn at(mut self, site: WaitSite) -> Self {
        self.reading.site = site;
        self
    }
}

impl ReadUntil<'_> {
    /// Sets how many bytes may precede the separator, in place of the reader's limit. asyncio has no
    /// counterpart.
    pub fn limit(mut self, limit: usize) -> Self {
        self.search.limit = Some(limit);
        self
    }
}

impl Read<'_> {
    /// Sets the site at which the caller waits, for operations that are built on this one.
    #[doc(hidden)]
    pub fn at(mut self, site: WaitSite) -> Self {
        self.reading.site = site;
        self
    }
}

/// The future of [`StreamReader::read_chunk`].
#[derive(Debug)]
#[must_use = "futures do nothing unless they are awaited"]
pub struct ReadChunk<'a> {
    pub(crate) read: Read<'a>,
}

impl Future for ReadChunk<'_> {
    type Output = Result<Option<Bytes>>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<Option<Bytes>>> {
        let outcome = Pin::new(&mut self.read).poll(cx);
        outcome.map_ok(|data| (!data.is_empty()).then_some(data))
    }
}

impl asyncio_core::wait::Leaf for ReadChunk<'_> {}

/// The future of [`StreamReader::readuntil`].
#[derive(Debug)]
#[must_use = "futures do nothing unless they are awaited"]
pub struct ReadUntil<'a> {
    pub(crate) reading: Reading<'a>,
    pub(crate) separators: Separators<'a>,
    pub(crate) search: Search,
}

impl Future for ReadUntil<'_> {
    type Output = Result<Bytes>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<Bytes>> {
        let ReadUntil { reading, separators, search } = &mut *self;
        if let Err(error) = separators.check() {
            return Poll::Ready(Err(error));
        }
        reading.poll(cx, |state| state.try_readuntil(separators, search))
    }
}

/// The future of [`StreamReader::next`].
#[derive(Debug)]
#[must_use = "futures do nothing unless they are awaited"]
pub struct NextLine<'a> {
    pub(crate) reader: &'a mut StreamReader,
    pub(crate) site: WaitSite,
}

impl Future for NextLine<'_> {
    type Output = Option<Result<Bytes>>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes>>> {
        let site = self.site;
        self.reader.poll_line(cx, site)
    }
}

impl Drop for NextLine<'_> {
    fn drop(&mut self) {
        self.reader.end_poll();
    }
}

impl asyncio_core::wait::Leaf for ReadUntil<'_> {}
