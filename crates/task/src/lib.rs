//! asyncio's tasks: create_task, gather, wait, timeouts, task groups.
