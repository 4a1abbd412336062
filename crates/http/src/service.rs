//! Serving requests: the services of hyper and of tower, and a task for each request.

use crate::{
    activity::{Activity, InFlight},
    errors::{BoxError, sources},
};
use asyncio_core::{Error, exception::ExceptionContext};
use asyncio_task::Task;
use hyper::{
    Method, Request, Response, StatusCode, Uri, Version,
    body::{Body, Frame, Incoming, SizeHint},
    header::{CONNECTION, HeaderValue},
    service::Service,
    upgrade::OnUpgrade,
};
use hyper_util::service::TowerToHyperService;
use pin_project_lite::pin_project;
use std::{
    fmt,
    future::Future,
    pin::Pin,
    rc::Rc,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll, ready},
};

/// A service that [`serve`](crate::serve()) accepts: a service of hyper (from
/// [`service_fn`](crate::service_fn)), or a cloneable one of tower (a router of axum). The compiler
/// infers which of them it is.
///
/// An error that the service returns, or its panic, goes to the loop's exception handler, and the client
/// gets the status 500. An error that the service gets from the body of a request because the client has
/// disconnected is not reported.
pub trait IntoService<Kind>: 'static {
    /// The body of a response.
    type Body: Body<Error: Into<BoxError>> + 'static;
    /// The same as a service of hyper.
    type Service: Service<
            Request<Incoming>,
            Response = Response<Self::Body>,
            Error: Into<BoxError>,
            Future: 'static,
        > + 'static;

    /// Makes it one.
    fn into_service(self) -> Self::Service;
}

/// The kind of hyper's services.
#[derive(Debug)]
pub enum OfHyper {}

/// The kind of tower's services.
#[derive(Debug)]
pub enum OfTower {}

impl<S, B> IntoService<OfHyper> for S
where
    S: Service<Request<Incoming>, Response = Response<B>, Error: Into<BoxError>, Future: 'static>
        + 'static,
    B: Body<Error: Into<BoxError>> + 'static,
{
    type Body = B;
    type Service = S;

    fn into_service(self) -> S {
        self
    }
}

impl<S, B> IntoService<OfTower> for S
where
    S: tower_service::Service<
            Request<Incoming>,
            Response = Response<B>,
            Error: Into<BoxError>,
            Future: 'static,
        > + Clone
        + 'static,
    B: Body<Error: Into<BoxError>> + 'static,
{
    type Body = B;
    type Service = TowerToHyperService<S>;

    fn into_service(self) -> TowerToHyperService<S> {
        TowerToHyperService::new(self)
    }
}

/// The service of one connection: each request is a task.
pub(crate) struct PerRequest<S> {
    pub(crate) service: Rc<S>,
    pub(crate) activity: Arc<Activity>,
}

impl<S, B> Service<Request<Incoming>> for PerRequest<S>
where
    S: Service<Request<Incoming>, Response = Response<B>, Error: Into<BoxError>> + 'static,
    B: Body + 'static,
{
    type Response = Response<ServerBody<B>>;
    type Error = Error;
    type Future = Serving<B>;

    /// The first step of the task runs here: a handler that answers immediately costs no iteration of
    /// the loop.
    fn call(&self, mut request: Request<Incoming>) -> Serving<B> {
        let asked = Asked {
            method: request.method().clone(),
            uri: request.uri().clone(),
            version: request.version(),
        };
        let has_body = !request.body().is_end_stream();
        let in_flight = Some(self.activity.begin(asked.version, has_body));
        let switched = Switched::of(&mut request);
        let (service, alive) = (self.service.clone(), self.activity.clone());
        let call = Call::Asked { asked: Some((service, request)), alive: Some(alive) };
        let task = Task::builder().eager_start(true).create(call);
        Serving { task, asked, in_flight, switched }
    }
}

pin_project! {
    /// The coroutine of a request's task. An `async` block would have room for the request and for the service's
    /// future, and both are large.
    #[project = Stage]
    enum Call<S: Service<Request<Incoming>>> {
        Asked { asked: Option<(Rc<S>, Request<Incoming>)>, alive: Option<Arc<Activity>> },
        Runs { #[pin] future: S::Future, alive: Option<Arc<Activity>> },
    }
}

impl<S: Service<Request<Incoming>, Error: Into<BoxError>>> Future for Call<S> {
    type Output = asyncio_core::Result<S::Response>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        if let Stage::Asked { asked, alive } = self.as_mut().project() {
            if let Some((service, request)) = asked.take() {
                let (future, alive) = (service.call(request), alive.take());
                self.set(Call::Runs { future, alive });
            }
        }
        match self.project() {
            Stage::Runs { future, .. } => {
                future.poll(cx).map_err(|error| Error::from_boxed(error.into()))
            }
            Stage::Asked { .. } => Poll::Pending,
        }
    }
}

/// In the extensions of a request that asks for another protocol: whether the response has granted it.
/// hyper passes the connection on at its end in either case.
#[derive(Clone, Debug, Default)]
pub(crate) struct Switched(Arc<AtomicBool>);

impl Switched {
    fn of(request: &mut Request<Incoming>) -> Option<Switched> {
        let asks = request.extensions().get::<OnUpgrade>().is_some();
        asks.then(|| request.extensions_mut().get_or_insert_default::<Switched>().clone())
    }

    fn decide(&self, method: &Method, status: StatusCode) {
        let is_tunnel = method == Method::CONNECT && status.is_success();
        self.0.store(is_tunnel || status == StatusCode::SWITCHING_PROTOCOLS, Ordering::Relaxed);
    }

    pub(crate) fn is_granted(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

/// The report of a request whose handler failed.
struct Asked {
    method: Method,
    uri: Uri,
    version: Version,
}

/// The response of a request, which its task creates. If it is dropped, because the client has
/// disconnected, the task is cancelled.
pub(crate) struct Serving<B> {
    task: Task<Response<B>>,
    asked: Asked,
    in_flight: Option<InFlight>,
    switched: Option<Switched>,
}

impl<B: 'static> Future for Serving<B> {
    type Output = Result<Response<ServerBody<B>>, Error>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let outcome = ready!(Pin::new(&mut self.task).poll(cx));
        let in_flight = self.in_flight.take();
        let is_stopping = in_flight.as_ref().is_some_and(|it| it.stop().begun.is_set());
        let mut response = match outcome {
            Ok(response) => response.map(|body| ServerBody { body: Some(body), in_flight }),
            // There is nothing to answer: the connection, or the stream of HTTP/2, is ended.
            Err(error) if error.is_cancelled() => return Poll::Ready(Err(error)),
            Err(error) => {
                let has_left = in_flight.as_ref().is_some_and(InFlight::has_lost_its_client);
                if !(has_left && is_of_a_connection(&error)) {
                    self.asked.report(error);
                }
                let mut response = Response::new(ServerBody { body: None, in_flight });
                *response.status_mut() = StatusCode::INTERNAL_SERVER_ERROR;
                response
            }
        };
        if let Some(switched) = &self.switched {
            switched.decide(&self.asked.method, response.status());
        }
        if is_stopping && self.asked.version < Version::HTTP_2 {
            response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
        }
        Poll::Ready(Ok(response))
    }
}

impl<B> Drop for Serving<B> {
    fn drop(&mut self) {
        self.task.cancel();
    }
}

/// Whether an error is of the body of a request, or of a connection.
fn is_of_a_connection(error: &Error) -> bool {
    sources(error).any(|source| source.is::<hyper::Error>())
}

impl Asked {
    fn report(&self, error: Error) {
        let Asked { method, uri, .. } = self;
        ExceptionContext::new("Unhandled exception in the handler of a request")
            .with_exception(error)
            .with_note("request", format_args!("{method} {uri}"))
            .report(None);
    }
}

pin_project! {
    /// The body of a response, or none if its handler failed.
    pub(crate) struct ServerBody<B> {
        #[pin]
        body: Option<B>,
        in_flight: Option<InFlight>,
    }
}

impl<B: Body> Body for ServerBody<B> {
    type Data = B::Data;
    type Error = B::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<B::Data>, B::Error>>> {
        let body = self.project().body.as_pin_mut();
        body.map_or(Poll::Ready(None), |body| body.poll_frame(cx))
    }

    fn is_end_stream(&self) -> bool {
        self.body.as_ref().is_none_or(Body::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        self.body.as_ref().map_or_else(|| SizeHint::with_exact(0), Body::size_hint)
    }
}

impl<B> fmt::Debug for ServerBody<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ServerBody").field("in_flight", &self.in_flight).finish_non_exhaustive()
    }
}
