//! Real servers for the tests, where they are installed.

use crate::support::alone;
use asyncio::{Error, Result, to_thread};
use asyncio_test_servers::Server;
use std::{ops::Deref, sync::Arc};

/// A server that ends with the test. Descriptors are not counted meanwhile.
pub(crate) struct Started(Option<Arc<Server>>);

/// Starts a server; prints to stderr why it cannot.
pub(crate) fn start(begin: fn() -> std::result::Result<Server, String>) -> Option<Started> {
    let _alone = alone();
    match begin() {
        Ok(server) => Some(Started(Some(Arc::new(server)))),
        Err(why) => {
            eprintln!("SKIPPED: {why}");
            None
        }
    }
}

impl Started {
    /// A handle for tasks: its functions run in a thread, because they block.
    pub(crate) fn handle(&self) -> Handle {
        Handle(self.0.clone().expect("it is taken when it is dropped"))
    }
}

impl Deref for Started {
    type Target = Server;

    fn deref(&self) -> &Server {
        self.0.as_ref().expect("it is taken when it is dropped")
    }
}

impl Drop for Started {
    fn drop(&mut self) {
        let _alone = alone();
        drop(self.0.take());
    }
}

#[derive(Clone)]
pub(crate) struct Handle(Arc<Server>);

impl Handle {
    pub(crate) async fn kill(&self) -> Result<()> {
        let server = self.0.clone();
        to_thread(move || server.kill()).await?.map_err(Error::msg)
    }

    pub(crate) async fn start(&self) -> Result<()> {
        let server = self.0.clone();
        to_thread(move || server.start()).await?.map_err(Error::msg)
    }
}
