//! The logic of a key-value store that speaks the Redis protocol and keeps its data on a block device.
//!
//! The crate makes no system call and starts no task. The network, the disk and time come in through the
//! three traits of [`world`], so the same code runs in a guest and, with fakes, in tests. It refuses
//! scripts, replication, the cluster and streams.
//!
//! # Map, from the outside in
//! - [`server`]: what connections share, and what goes on beside them. The entry point.
//! - `connection`, behind [`Server::serve`]: one connection, bytes to bytes; `inbox` is what came and is not carried out yet.
//! - [`frame`], [`reply`], [`number`], [`glob`]: the protocol, pure.
//! - [`command`]: one file per group of commands, and `dispatch`, which admits and carries out.
//! - [`store`]: what clients share beside the data: [`client`], [`blocked`], [`pubsub`], [`config`] with
//!   [`settings`] and [`arguments`], [`slowlog`], [`stats`].
//! - [`db`]: the keyspace; [`types`]: what a value can be.
//! - `journal`: which changes are written when, replaying them, and compaction.
//! - [`log`]: bytes on the device that come back, whatever happened.
//!
//! # The way of a write
//! A connection parses a request in place and has it carried out; the command changes the
//! [`Keyspace`](db::Keyspace) and tells its [`Effects`](db::effect::Effects) what must be repeated. The server moves these into the log, in
//! memory. Before a connection sends its replies it waits at the `gate`, where one
//! for all commits everything with one write of the device.
#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;
#[cfg(test)]
extern crate std;

pub mod arguments;
pub mod blocked;
pub mod client;
pub mod command;
pub mod config;
mod connection;
pub mod db;
pub mod frame;
mod gate;
pub mod glob;
mod inbox;
mod journal;
pub mod log;
pub mod number;
pub mod pubsub;
pub mod reply;
pub mod server;
pub mod settings;
pub mod slowlog;
pub mod stats;
pub mod store;
pub mod types;
pub mod world;

pub use journal::{LoadError, Loaded};
pub use server::{Opened, Server};
