//! The client of network benches: one thread, so that what it takes is known, and the same for
//! every server. It runs as a worker in a network namespace and tells its results as JSON.

mod connection;
pub(super) mod histogram;
pub(super) mod http;
mod response;
