//! Sending a file through TLS: it is read in blocks on a thread, because the system cannot encrypt
//! them.

use super::protocol::SslProtocol;
use crate::sendfile::{Sendfile, Stage, closed};
use asyncio_core::{Error, Result, raw::LoopLocal};
use std::{
    future::Future,
    pin::Pin,
    task::{Context, Poll, ready},
};

impl Sendfile {
    /// Sends one block after another, each after the previous one is encrypted.
    pub(crate) fn advance_over(
        &mut self,
        cx: &mut Context<'_>,
        place: LoopLocal<SslProtocol>,
    ) -> Poll<Result<u64>> {
        if !self.transfer.fallback {
            return Poll::Ready(Err(Error::runtime(format!(
                "sendfile: fallback is disabled and native sendfile is not supported for transport \
                 {:?}",
                self.transport
            ))));
        }
        loop {
            if let Stage::Waiting(emptied) = &mut self.stage {
                ready!(Pin::new(emptied).poll(cx))?;
                self.stage = Stage::Sending;
            }
            let block = ready!(self.transfer.poll_block(cx))?;
            if block.is_empty() {
                return Poll::Ready(Ok(self.transfer.sent));
            }
            let ssl = place.get().filter(|_| !self.transport.is_closing()).ok_or_else(closed)?;
            self.stage = Stage::Waiting(ssl.send_block(&block, self.site));
        }
    }
}
