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

#[derive(Clone)]
struct Shop {
    queue: Rc<Queue<u32>>,
    done: Rc<RefCell<Vec<u32>>>,
}

async fn worker(shop: Shop) -> asyncio::Result<()> {
    loop {
        let job = shop.queue.get().await?;
        asyncio::sleep(10 * MS).await?;
        shop.done.borrow_mut().push(job);
        shop.queue.task_done()?;
    }
}

pub async fn main() -> asyncio::Result<()> {
    let shop = Shop { queue: Rc::new(Queue::new(2)), done: Rc::default() };
    let workers = [(); 3].map(|()| asyncio::create_task(worker(shop.clone())));
    for job in 0..9 {
        shop.queue.put(job).await?;
    }
    shop.queue.join().await?;
    say!("{} jobs are done", shop.done.borrow().len());
    for worker in &workers {
        worker.cancel();
    }
    let outcomes = asyncio::gather(workers).return_exceptions().await?;
    say!("{} workers have gone home", outcomes.len());

    let mut done = shop.done.take();
    done.sort_unstable();
    expect("the jobs", done, (0..9).collect::<Vec<_>>())?;
    expect_lines(["9 jobs are done", "3 workers have gone home"])
}
