//! An inner scope beside a wait of a library: when the task is cancelled, the scope cleans up.

use crate::{
    http::{client1, get, text},
    support::{Around, Joined, Left, ends, is_cancelled, iterations, pair, run},
};
use asyncio::{AsyncContextManager, Error, Event, Result, create_task};
use futures_util::future::poll_fn;
use hyper::{server::conn::http1, service::service_fn};
use hyper_util::rt::TokioIo;
use std::{
    cell::Cell,
    future::{Future, pending},
    pin::pin,
    rc::Rc,
    task::Poll,
};
use tokio::io::AsyncReadExt;

/// The body of an inner scope, beside a read that is put aside.
async fn beside(mut io: Joined, left: Left) -> Result<()> {
    let mut read = pin!(io.read_u8());
    let waits = poll_fn(|cx| Poll::Ready(read.as_mut().poll(cx).is_pending())).await;
    assert!(waits);
    left.with(async |()| pending().await).await
}

#[test]
fn a_read_put_aside_leaves_the_clean_up_of_an_inner_scope_alone() {
    ends(async |around| {
        let (ours, theirs) = pair().await?;
        around.keep(theirs);
        around.reached();
        Ok(beside(ours, Left(Rc::default())))
    });
    run(async {
        let (ours, theirs) = pair().await?;
        let left = Rc::new(Cell::new(0));
        let task = create_task(beside(ours, Left(left.clone())));
        iterations(5).await?;
        task.cancel();
        is_cancelled(task.await);
        assert_eq!(left.get(), 1, "its exit did not run");
        drop(theirs);
        Ok(())
    });
}

#[test]
fn a_handler_cleans_up_when_its_connection_is_cancelled() {
    run(async {
        let around = Around::default();
        let (ours, theirs) = pair().await?;
        let left = Rc::new(Cell::new(0));
        let (told, reached) = (left.clone(), Rc::new(Event::new()));
        let handling = reached.clone();
        let server = create_task(async move {
            let service = service_fn(|_| async {
                handling.set();
                Left(told.clone()).with(async |()| pending::<Result<()>>().await).await?;
                Ok::<_, Error>(text("never"))
            });
            Ok(http1::Builder::new().serve_connection(TokioIo::new(ours), service).await?)
        });
        let mut requests = client1(TokioIo::new(theirs), &around).await?;
        around.task(async move { Ok(requests.send_request(get("/")).await?) });
        reached.wait().await?;
        iterations(5).await?;
        server.cancel();
        is_cancelled(server.await);
        assert_eq!(left.get(), 1, "its exit did not run");
        around.end().await
    });
}
