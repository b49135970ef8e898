//! The clients of network benches, and what they are compared on: each a worker in a network
//! namespace with one thread that does the work, so that what it takes is known. Clients tell their
//! results as JSON.

pub(super) mod blocks;
pub(super) mod bulk;
mod client;
mod connection;
pub(super) mod echo;
mod histogram;
pub(super) mod http;
pub(super) mod link;
mod outcome;
pub(super) mod resp;
pub(super) mod response;
pub(super) mod services;
mod window;

pub(super) use client::Load;
pub(super) use outcome::Outcome;
pub(super) use window::{Measured, Window};
