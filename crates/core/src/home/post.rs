//! [`Post`]: the remote of every loop in the unit tests of this crate. It is one kind for all, since
//! tests that run in threads of one process leave each other their homes.

use super::{Mail, Remote};
use std::{any::Any, sync::Mutex};

/// Keeps the messages of all loops, with the number of the loop.
#[derive(Debug)]
pub(crate) struct Post;

static MAIL: Mutex<Vec<(u64, Mail)>> = Mutex::new(Vec::new());

impl Post {
    /// Takes out the messages of one loop.
    pub(crate) fn take(id: u64) -> Vec<Mail> {
        let mut all = MAIL.lock().unwrap();
        let (ours, others) = all.drain(..).partition(|(of, _)| *of == id);
        *all = others;
        ours.into_iter().map(|(_, mail)| mail).collect()
    }
}

impl Remote for Post {
    fn push(&self, id: u64, mail: Mail) -> Result<(), Mail> {
        MAIL.lock().unwrap().push((id, mail));
        Ok(())
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}
