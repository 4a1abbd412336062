//! Libraries of other projects on our loop and our streams: HTTP, WebSockets, PostgreSQL. No executor
//! but ours runs here.
//!
//! What most of the tests look at is how such a library is ended while it waits: [`support::ends`]. The programs of
//! the guide run here too, because some use these libraries.

mod aside;
mod branches;
mod database;
mod database_server;
mod every_step;
mod guide;
mod http;
mod http1;
mod http2;
mod inner_scopes;
mod mixed;
mod postgres;
mod router;
mod select;
mod support;
mod traits;
mod websocket;
