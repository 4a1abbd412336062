//! `asyncio.to_thread` with something that cannot leave its thread.

use std::rc::Rc;

fn main() {
    let count = Rc::new(1);
    let _ = asyncio::to_thread(move || *count);
}
