//! One connection of a server, from its first byte to its end.

use crate::{
    activity::{Activity, Limits, Phase},
    errors::BoxError,
    io::{Io, Side},
    linger::Linger,
    runtime::LoopExecutor,
    service::PerRequest,
    stop::Alive,
};
use asyncio_core::{Error, Result, exception::ExceptionContext};
use asyncio_streams::Duplex;
use asyncio_task::{sleep, wait_for};
use hyper::{
    Request, Response,
    body::{Body, Incoming},
    service::Service,
};
use hyper_util::server::conn::auto;
use std::{
    future::{Future, poll_fn},
    pin::{Pin, pin},
    rc::Rc,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll, Wake, Waker},
    time::Duration,
};

/// The time for which a stopping server keeps a connection without a request: a request in transit
/// is still answered.
const LINGER: Duration = Duration::from_millis(100);
/// The time that the client of an idle connection has to close it.
const FAREWELL: Duration = Duration::from_secs(5);

/// Data that all connections of a server share.
pub(crate) struct Shared<S> {
    pub(crate) service: Rc<S>,
    pub(crate) protocol: auto::Builder<LoopExecutor>,
    pub(crate) limits: Limits,
    pub(crate) alive: Alive,
}

/// The side of the server.
pub(crate) struct ServerSide {
    pub(crate) activity: Arc<Activity>,
    linger: Linger,
}

impl Side for ServerSide {
    fn received(&self) {
        self.activity.received();
    }

    fn poll_end(&mut self, both: &mut Duplex, cx: &mut Context<'_>) -> Poll<()> {
        if self.activity.stop().begun.is_set() {
            return Poll::Ready(());
        }
        self.linger.poll(both, cx, || self.activity.may_receive_a_body())
    }
}

/// The reason to end a connection that could continue.
enum Ending {
    Idle,
    Late,
    Stop,
}

impl<S, B> Shared<S>
where
    S: Service<Request<Incoming>, Response = Response<B>, Error: Into<BoxError>, Future: 'static>
        + 'static,
    B: Body<Error: Into<BoxError>> + 'static,
{
    pub(crate) async fn serve(&self, mut both: Duplex) -> Result<()> {
        let activity = Activity::new(self.alive.clone(), both.reader().feeder());
        let io =
            Io { both, side: ServerSide { activity: activity.clone(), linger: Linger::default() } };
        let service = PerRequest { service: self.service.clone(), activity: activity.clone() };
        let mut connection = pin!(self.protocol.serve_connection_with_upgrades(io, service));

        let ending = self.until_it_is_to_end(&activity);
        let Some(ending) = moved(connection.as_mut(), ending).await? else { return Ok(()) };
        if let Ending::Late = ending {
            return Ok(());
        }
        connection.as_mut().graceful_shutdown();
        let end = async {
            let forced = self.alive.stop().forced.wait();
            match ending {
                Ending::Stop => forced.await,
                _ => in_time(wait_for(forced, FAREWELL).await).map(drop),
            }
        };
        moved(connection, end).await.map(drop)
    }

    async fn until_it_is_to_end(&self, activity: &Arc<Activity>) -> Result<Ending> {
        let stop = self.alive.stop();
        loop {
            let rest = match activity.rest(&self.limits) {
                Ok(rest) => rest,
                Err(Phase::Head) => return Ok(Ending::Late),
                Err(Phase::Idle | Phase::Busy) => return Ok(Ending::Idle),
            };
            let begun = wait_for(stop.begun.wait(), rest).await;
            if in_time(begun)?.is_some() {
                break;
            }
        }
        // HTTP/2 has its own closing procedure, in which nothing is lost.
        if !activity.is_http2() {
            sleep(LINGER).await?;
        }
        Ok(Ending::Stop)
    }
}

/// A passed limit is not an error.
pub(crate) fn in_time<T>(outcome: Result<T>) -> Result<Option<T>> {
    match outcome {
        Err(error) if error.is_timeout() => Ok(None),
        outcome => outcome.map(Some),
    }
}

/// Drives a connection until it has ended (`None`), or `wait` has ended. A connection is polled several times
/// for each request, and `wait` only when something has woken it.
async fn moved<T>(
    mut connection: Pin<&mut impl Future<Output = Result<(), BoxError>>>,
    wait: impl Future<Output = Result<T>>,
) -> Result<Option<T>> {
    let mut wait = pin!(wait);
    let mut woken = None::<(Arc<Woken>, Waker)>;
    poll_fn(|cx| {
        if let Poll::Ready(outcome) = connection.as_mut().poll(cx) {
            if let Err(error) = outcome {
                report(error);
            }
            return Poll::Ready(Ok(None));
        }
        if woken.as_ref().is_some_and(|(woken, _)| !woken.task.will_wake(cx.waker())) {
            woken = None;
        }
        let (woken, waker) = woken.get_or_insert_with(|| Woken::at_first(cx.waker()));
        match woken.take() {
            true => wait.as_mut().poll(&mut Context::from_waker(waker)).map_ok(Some),
            false => Poll::Pending,
        }
    })
    .await
}

/// Wakes a task, and records that.
struct Woken {
    is_woken: AtomicBool,
    task: Waker,
}

impl Woken {
    fn at_first(task: &Waker) -> (Arc<Woken>, Waker) {
        let woken = Arc::new(Woken { is_woken: AtomicBool::new(true), task: task.clone() });
        let waker = woken.clone().into();
        (woken, waker)
    }

    /// Returns whether it was woken since the last call.
    fn take(&self) -> bool {
        self.is_woken.load(Ordering::Relaxed) && self.is_woken.swap(false, Ordering::AcqRel)
    }
}

impl Wake for Woken {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.is_woken.store(true, Ordering::Release);
        self.task.wake_by_ref();
    }
}

/// Errors of the client concern only the client. The only other error is a failed response body.
fn report(error: BoxError) {
    let is_ours = error.downcast_ref::<hyper::Error>().is_some_and(hyper::Error::is_user);
    let error = Error::from_boxed(error);
    if is_ours && !error.is_cancelled() {
        ExceptionContext::new("Unhandled exception in the body of a response")
            .with_exception(error)
            .report(None);
    }
}
