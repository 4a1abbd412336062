//! [`watch`]: the loop learns that a child has ended, and takes its status.
//!
//! A pidfd becomes readable when its process ends, and is one more source of the loop. Where the
//! system has none, or refuses it, a thread waits for the one child, and sends a message to the loop. Nothing here
//! waits for any child but this, or changes what the process does about `SIGCHLD`.

use crate::child::Child;
use asyncio_core::{
    Result,
    exception::{Level, log},
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

/// Has the status of a child taken when it ends, as a step of the loop; should the loop be closed
/// before, by a thread. While it runs a virtual clock stands still.
///
/// # Errors
/// What the system says if it has neither a pidfd nor a thread. The child is watched all the same as
/// well as can be: its status is taken here if it has ended.
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
        // Dropping it is all there is to do, even if the loop is closed meanwhile.
        let tell = move || {
            drop(watch);
            Ok(())
        };
        let _ = home.send(Message::Call(Box::new(tell)));
    })?;
    Ok(())
}

/// The loop's hold on a child that runs.
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
        // The loop was closed, and the child runs on.
        let child = self.child.clone();
        let waiting = wait_in_thread(move || {
            child.block();
            child.look();
        });
        if let Err(error) = waiting {
            let child = &self.child;
            log(Level::Warning, &format!("nobody waits for the child process {child:?}: {error}"));
        }
    }
}

fn wait_in_thread(wait: impl FnOnce() + Send + 'static) -> io::Result<()> {
    static NUMBER: AtomicU64 = AtomicU64::new(0);
    let name = format!("asyncio-waitpid-{}", NUMBER.fetch_add(1, Ordering::Relaxed));
    thread::Builder::new().name(name).spawn(wait).map(drop)
}
