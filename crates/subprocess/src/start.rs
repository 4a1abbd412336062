//! The start of a child, and the clean-up if the start fails.

use crate::{
    child::Child,
    child_watcher,
    spawn::{Program, Started},
    wait::ProcessWait,
};
use asyncio_core::{
    Result,
    raw::{Scheduler, with_running},
    wait_site::WaitSite,
};
use nix::libc;
use std::{future::Future, pin::Pin, sync::Arc};

/// Starts a process, and makes the running loop watch it.
pub(crate) fn launch(program: Box<Program>) -> Result<(Arc<Child>, Started)> {
    let what = program.what();
    let home = with_running(what, Scheduler::check_open)?;
    let started = program.start()?;
    let child = Arc::new(Child::new(started.pid, started.leads));
    if let Err(error) = child_watcher::watch(&child, home) {
        // Its end would go unnoticed.
        kill(&child);
        child.block();
        child.look();
        return Err(error);
    }
    Ok((child, started))
}

/// Completes the start of a process. If this fails, is cancelled or dropped, the child is killed;
/// unless it is dropped, it is also waited for. (`rest` is passed by reference, or the future of this
/// function would hold it twice.)
pub(crate) async fn complete<T>(
    child: &Arc<Child>,
    site: WaitSite,
    rest: Pin<&mut impl Future<Output = Result<T>>>,
) -> Result<T> {
    struct Unfinished<'a>(Option<&'a Child>);
    impl Drop for Unfinished<'_> {
        fn drop(&mut self) {
            self.0.into_iter().for_each(kill);
        }
    }
    let mut unfinished = Unfinished(Some(child));
    let outcome = rest.await;
    match outcome {
        Ok(_) => unfinished.0 = None,
        Err(_) => {
            drop(unfinished);
            // The first error is returned, whatever happens to this wait.
            let _ = ProcessWait::new(child.clone(), site).await;
        }
    }
    outcome
}

fn kill(child: &Child) {
    // It may have ended by itself.
    let _ = child.send_signal("kill", libc::SIGKILL);
}
