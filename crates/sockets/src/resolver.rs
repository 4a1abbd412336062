//! [`Lookup`]: a host name is looked up on a thread of the default executor.

use crate::address::{self, Address};
use asyncio_core::{
    Error, Result,
    home::entered,
    sync::Mutex,
    wait::{Resume, Wait, Waiter, Wakers},
    wait_site::WaitSite,
};
use socket2::Domain;
use std::{
    future::Future,
    io,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

/// A leaf future: the first address that a name has in a socket's family.
///
/// # Cancellation
/// The thread finishes in its own time, and what it found is dropped.
#[derive(Debug)]
#[must_use = "futures do nothing unless they are awaited"]
pub(crate) struct Lookup {
    /// What to look up; taken when it is given to a thread.
    name: Option<(String, u16, Domain)>,
    answer: Arc<Mutex<Answer>>,
    wait: Wait,
    site: WaitSite,
}

#[derive(Debug, Default)]
struct Answer {
    found: Option<io::Result<Address>>,
    waiter: Option<Waiter>,
}

impl Lookup {
    pub(crate) fn new(host: String, port: u16, domain: Domain, site: WaitSite) -> Lookup {
        let name = Some((host, port, domain));
        Lookup { name, answer: Arc::default(), wait: Wait::new(), site }
    }

    fn start(&mut self) -> Result<()> {
        let Some((host, port, domain)) = self.name.take() else { return Ok(()) };
        let event_loop = entered().and_then(|scheduler| scheduler.event_loop());
        let event_loop = event_loop.ok_or_else(|| Error::runtime("no running event loop"))?;
        let answer = self.answer.clone();
        event_loop.submit(Box::new(move || {
            let found = address::look_up(&host, port, domain);
            let mut wakers = Wakers::new();
            let mut answer = answer.lock();
            answer.found = Some(found);
            if let Some(waiter) = answer.waiter.take() {
                waiter.wake(&mut wakers);
            }
        }))
    }
}

impl Future for Lookup {
    type Output = Result<Address>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<Address>> {
        let this = self.get_mut();
        if let Err(error) = this.start() {
            return Poll::Ready(Err(error));
        }
        let mut answer = this.answer.lock();
        if this.wait.is_armed() {
            match this.wait.poll(cx, this.site, || None, |waiter| answer.waiter = Some(waiter)) {
                Resume::Pending => return Poll::Pending,
                Resume::Woken => {}
                Resume::Cancelled { error, .. } => return Poll::Ready(Err(error)),
            }
        }
        match answer.found.take() {
            Some(found) => Poll::Ready(found.map_err(Error::from)),
            None => {
                this.wait.arm(cx, this.site, None);
                answer.waiter = this.wait.waiter();
                Poll::Pending
            }
        }
    }
}
