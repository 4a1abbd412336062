//! asyncio's queues under any executor: Queue, PriorityQueue, LifoQueue.
