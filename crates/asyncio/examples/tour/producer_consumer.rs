//! ```python
//! async def worker(queue, done):
//!     while True:
//!         job = await queue.get()
//!         await asyncio.sleep(0.01)
//!         done.append(job)
//!         queue.task_done()
//!
//! async def main():
//!     queue, done = asyncio.Queue(maxsize=2), []
//!     workers = [asyncio.create_task(worker(queue, done)) for _ in range(3)]
//!     for job in range(9):
//!         await queue.put(job)
//!     await queue.join()
//!     print(f"{len(done)} jobs are done")
//!     for w in workers:
//!         w.cancel()
//!     outcomes = await asyncio.gather(*workers, return_exceptions=True)
//!     print(f"{len(outcomes)} workers have gone home")
//! ```

use crate::stage::{MS, expect, expect_lines};
use asyncio::Queue;
use std::{cell::RefCell, rc::Rc};

pub const TITLE: &str = "Queue: one producer, three workers, and a join";

async fn worker(queue: Rc<Queue<u32>>, done: Rc<RefCell<Vec<u32>>>) -> asyncio::Result<()> {
    loop {
        let job = queue.get().await?;
        asyncio::sleep(10 * MS).await?;
        done.borrow_mut().push(job);
        queue.task_done()?;
    }
}

pub async fn main() -> asyncio::Result<()> {
    let (queue, done) = (Rc::new(Queue::new(2)), Rc::new(RefCell::new(Vec::new())));
    let workers = [(); 3].map(|()| asyncio::create_task(worker(queue.clone(), done.clone())));
    for job in 0..9 {
        queue.put(job).await?;
    }
    queue.join().await?;
    say!("{} jobs are done", done.borrow().len());
    for worker in &workers {
        worker.cancel();
    }
    let outcomes = asyncio::gather(workers).return_exceptions().await?;
    say!("{} workers have gone home", outcomes.len());

    done.borrow_mut().sort_unstable();
    expect("the jobs", done.take(), (0..9).collect::<Vec<_>>())?;
    expect_lines(["9 jobs are done", "3 workers have gone home"])
}
