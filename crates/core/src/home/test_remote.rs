//! [`TestRemote`]: the remote of every loop in the unit tests of this crate. There is one kind for all,
//! because tests that run in threads of one process reuse each other's homes.

use super::{Message, Remote};
use std::{any::Any, sync::Mutex};

/// Keeps the messages of all loops, with the number of the loop.
#[derive(Debug)]
pub(crate) struct TestRemote;

static MESSAGES: Mutex<Vec<(u64, Message)>> = Mutex::new(Vec::new());

impl TestRemote {
    /// Takes out the messages of one loop.
    pub(crate) fn take(id: u64) -> Vec<Message> {
        let mut all = MESSAGES.lock().unwrap();
        let (ours, others) = all.drain(..).partition(|(of, _)| *of == id);
        *all = others;
        ours.into_iter().map(|(_, message)| message).collect()
    }
}

impl Remote for TestRemote {
    fn push(&self, id: u64, message: Message) -> Result<(), Message> {
        MESSAGES.lock().unwrap().push((id, message));
        Ok(())
    }

    fn close(&self, _: &mut dyn FnMut(Message)) {}

    fn as_any(&self) -> &dyn Any {
        self
    }
}
