//! asyncio's event loop for Unix: poller, executor, signals, sockets, Runner and run.
