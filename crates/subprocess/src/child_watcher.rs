//! [`watch`]: the loop notices that a child has ended, and takes its status.
//!
//! A pidfd becomes readable when its process ends, and is a source of the loop. If the system has no pidfds, or
//! refuses them, a thread waits for the child, and sends a message to the loop. Nothing here waits for any other
//! child, or changes the disposition of `SIGCHLD`.

use crate::child::Child;
use asyncio_core::{
    Result,
    log::{Level, log},
    raw::{LoopRef, Message},
    source::Readiness,
};
use std::{
    io,
    rc::Rc,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    thread,
};

/// Arranges that the status of a child is taken when it ends, in a step of the loop, or by a thread
/// if the loop is closed first. While the child runs, a virtual clock stands still.
///
/// # Errors
/// The system's error if it has neither a pidfd nor a thread. Even then, the status of the child is
/// taken here if it has already ended.
pub(crate) fn watch(child: &Arc<Child>, home: LoopRef) -> Result<()> {
    child.set_watched_by(home);
    let watch = || {
        home.with(|scheduler| scheduler.run.add_outstanding());
        Watch { child: child.clone(), home }
    };
    let watched = child.set_handler(|| {
        let watch = watch();
        Rc::new(move |_: Readiness| _ = watch.child.look())
    });
    if watched {
        return Ok(());
    }
    let watch = watch();
    wait_in_thread(move || {
        watch.child.block();
        // Dropping it is enough, even if the loop is closed meanwhile.
        let tell = move || {
            drop(watch);
            Ok(())
        };
        let _ = home.send(Message::Call(Box::new(tell)));
    })?;
    Ok(())
}

/// The loop's handle to a running child.
struct Watch {
    child: Arc<Child>,
    home: LoopRef,
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.home.with(|scheduler| scheduler.run.sub_outstanding());
        if self.child.look() {
            return;
        }
        // The loop was closed, and the child is still running.
        let child = self.child.clone();
        let waiting = wait_in_thread(move || {
            child.block();
            child.look();
        });
        if let Err(error) = waiting {
            let child = &self.child;
            log(Level::Warning, &format!("cannot wait for the child process {child:?}: {error}"));
        }
    }
}

fn wait_in_thread(wait: impl FnOnce() + Send + 'static) -> io::Result<()> {
    static NUMBER: AtomicU64 = AtomicU64::new(0);
    let name = format!("asyncio-waitpid-{}", NUMBER.fetch_add(1, Ordering::Relaxed));
    thread::Builder::new().name(name).spawn(wait).map(drop)
}
