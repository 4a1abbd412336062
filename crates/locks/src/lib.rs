//! asyncio's locks under any executor: Lock, Event, Condition, Semaphore, Barrier.
