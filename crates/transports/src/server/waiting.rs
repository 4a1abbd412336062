//! The futures of a [`Server`].

use super::*;
use asyncio_future::Future as Promise;

/// The future that [`Server::start_serving`] returns.
#[must_use = "futures do nothing unless they are awaited"]
pub struct StartServing {
    server: Server,
    site: WaitSite,
    started: bool,
    pause: Yield,
}

impl StartServing {
    pub(super) fn new(server: Server, site: WaitSite) -> StartServing {
        StartServing { server, site, started: false, pause: Yield::default() }
    }
}

impl Future for StartServing {
    type Output = Result<()>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<()>> {
        let this = self.get_mut();
        if !this.started {
            this.server.check_awaited_here(this.site)?;
            this.server.start(this.site.what())?;
            this.started = true;
        }
        this.pause.poll(cx, this.site)
    }
}

impl fmt::Debug for StartServing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "<{} of {:?}>", self.site, self.server)
    }
}

/// The future that [`Server::wait_closed`] returns.
#[must_use = "futures do nothing unless they are awaited"]
pub struct WaitClosed {
    server: Server,
    site: WaitSite,
    waiter: Option<Promise<()>>,
}

impl WaitClosed {
    pub(super) fn new(server: Server, site: WaitSite) -> WaitClosed {
        WaitClosed { server, site, waiter: None }
    }
}

impl Future for WaitClosed {
    type Output = Result<()>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<()>> {
        let WaitClosed { server, site, waiter } = self.get_mut();
        if waiter.is_none() {
            *waiter = server.shared.life.wait(*site);
        }
        let Some(waiter) = waiter else { return Poll::Ready(Ok(())) };
        if !waiter.done() {
            server.check_awaited_here(*site)?;
        }
        Pin::new(waiter).poll(cx)
    }
}

impl Drop for WaitClosed {
    fn drop(&mut self) {
        if let Some(waiter) = &self.waiter {
            waiter.cancel();
        }
    }
}

impl fmt::Debug for WaitClosed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "<{} of {:?}>", self.site, self.server)
    }
}

/// The future that [`Server::serve_forever`] returns.
#[must_use = "futures do nothing unless they are awaited"]
pub struct ServeForever {
    server: Server,
    site: WaitSite,
    stage: Forever,
}

enum Forever {
    New,
    Serving(Promise<()>),
    /// It was cancelled, and waits until the last client is gone.
    Closing(WaitClosed, Option<Error>),
}

impl ServeForever {
    pub(super) fn new(server: Server, site: WaitSite) -> ServeForever {
        ServeForever { server, site, stage: Forever::New }
    }

    fn begin(&self) -> Result<Promise<()>> {
        let what = self.site.what();
        let begun = self.server.shared.life.begin_forever(self.site);
        let forever = begun.map_err(|error| in_call(what, error))?;
        self.server.start(what).inspect_err(|_| self.server.shared.life.end_forever(&forever))?;
        Ok(forever)
    }
}

impl Future for ServeForever {
    type Output = Result<()>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<()>> {
        let this = self.get_mut();
        loop {
            this.stage = match &mut this.stage {
                Forever::New => {
                    this.server.check_awaited_here(this.site)?;
                    Forever::Serving(this.begin()?)
                }
                Forever::Serving(forever) => {
                    if !forever.done() {
                        this.server.check_awaited_here(this.site)?;
                    }
                    // It never gets a result.
                    let error = ready!(Pin::new(forever).poll(cx)).err();
                    this.server.close();
                    Forever::Closing(WaitClosed::new(this.server.clone(), this.site), error)
                }
                Forever::Closing(closed, error) => {
                    let outcome = ready!(Pin::new(closed).poll(cx));
                    return Poll::Ready(error.take().map_or(outcome, Err));
                }
            }
        }
    }
}

impl Drop for ServeForever {
    fn drop(&mut self) {
        if let Forever::Serving(forever) = &self.stage {
            self.server.shared.life.end_forever(forever);
        }
    }
}

impl fmt::Debug for ServeForever {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "<{} of {:?}>", self.site, self.server)
    }
}
