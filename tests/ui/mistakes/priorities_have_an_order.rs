//! `PriorityQueue` of floats.

fn main() {
    let queue = asyncio::PriorityQueue::<f64>::new(0);
    let _ = queue.put_nowait(0.5);
}
