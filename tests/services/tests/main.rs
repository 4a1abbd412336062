//! Libraries of other projects on our loop and our streams: HTTP, gRPC, WebSockets, PostgreSQL, Redis. Only sqlx
//! and reqwest have a tokio runtime, that of `asyncio-tokio`; for the rest no executor but ours runs.
//!
//! What most of the tests look at is how such a library is ended while it waits: [`support::ends`]. The programs of
//! the guide run here too, because some use these libraries.

mod aside;
mod branches;
mod database;
mod database_server;
mod every_step;
mod grpc;
mod guide;
mod http;
mod http1;
mod http2;
mod inner_scopes;
mod mixed;
mod redis;
mod reqwest;
mod router;
mod select;
mod servers;
mod side_by_side;
mod sqlx;
mod support;
mod traits;
mod websocket;
mod websocket_server;
