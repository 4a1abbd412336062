//! [`Linger`]: the end of a connection whose client is still sending.
//!
//! A system that closes a socket with unread data resets the connection, and the client may lose the response
//! that it has not read yet. So the sending direction is ended first, and what the client sends is discarded
//! until it closes the connection too, or for a limited time. With TLS, the transport does this.

use crate::runtime::LoopTimer;
use asyncio_streams::Duplex;
use hyper::rt::{Read, ReadBuf, Sleep, Timer};
use std::{
    mem,
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

/// The time for which data is discarded, as in aiohttp.
const LIMIT: Duration = Duration::from_secs(10);
/// The largest number of bytes that are discarded at once.
const BLOCK: usize = 4096;

/// The end of one connection.
#[derive(Default)]
pub(crate) struct Linger {
    has_begun: bool,
    limit: Option<Pin<Box<dyn Sleep>>>,
}

impl Linger {
    /// Discards what arrives, until the client closes the connection or the time is over. If nothing has arrived at
    /// first, and nothing `may_arrive`, it is ready at once.
    pub(crate) fn poll(
        &mut self,
        both: &mut Duplex,
        cx: &mut Context<'_>,
        may_arrive: impl FnOnce() -> bool,
    ) -> Poll<()> {
        if !mem::replace(&mut self.has_begun, true) && may_arrive() {
            self.begin();
        }
        loop {
            let mut block = [0; BLOCK];
            let mut buffer = ReadBuf::new(&mut block);
            match Read::poll_read(Pin::new(both), cx, buffer.unfilled()) {
                Poll::Ready(Ok(())) if !buffer.filled().is_empty() => self.begin(),
                Poll::Ready(_) => return Poll::Ready(()),
                Poll::Pending => break,
            }
        }
        self.limit.as_mut().map_or(Poll::Ready(()), |limit| limit.as_mut().poll(cx))
    }

    fn begin(&mut self) {
        self.limit.get_or_insert_with(|| LoopTimer.sleep(LIMIT));
    }
}
