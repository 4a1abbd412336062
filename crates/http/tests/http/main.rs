//! Servers and clients over real sockets.

mod client;
mod credentials;
mod curl;
mod endings;
mod limits;
mod many;
mod proxies;
mod redirects;
mod serving;
mod stopping;
mod support;
#[cfg(feature = "tls")]
mod tls;
mod upgrades;
