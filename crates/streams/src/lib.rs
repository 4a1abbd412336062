//! asyncio's streams: `open_connection`, `start_server`, `StreamReader`, `StreamWriter`.

#![forbid(unsafe_code)]
