//! The logic of a static web server that runs as a unikernel.
//!
//! HTTP/1.1 and 1.0 with keep-alive, pipelining, `GET` and `HEAD`, single byte ranges and
//! conditional requests, over a site that is a plain tar archive on a block device. `/healthz` and
//! `/metrics` are answered by the server itself and hide files of those names.
//!
//! The crate makes no system call and starts no task. The network, the disk and time come in
//! through the three traits of [`world`], so the same code runs in a guest and, with fakes, in
//! tests. It refuses to write, to run programs, to decode request bodies and to list directories.
//!
//! # Map
//! - [`server`]: what connections share; admits or refuses them. The entry point.
//! - `connection`, behind [`Server::serve`]: the loop of one connection, bytes to bytes.
//! - [`request`], [`path`], [`range`], [`conditional`], [`date`], [`mime`]: pure parsers.
//! - [`response`], [`metrics`]: what goes out.
//! - [`site`]: the tar image, its index and its reader.
//! - [`timeout`]: one lazily armed timer a connection.
//!
//! # Use
//! ```
//! # use core::{future::{self, Future, Ready}, time::Duration};
//! # use httpd::{BlockError, BlockRead, Clock, Stream};
//! # struct Disk;
//! # impl BlockRead for Disk {
//! #     fn capacity_bytes(&self) -> u64 { 512 }
//! #     fn block_size(&self) -> usize { 512 }
//! #     fn read(&self, _: u64, buf: &mut [u8]) -> Result<(), BlockError> { buf.fill(0); Ok(()) }
//! # }
//! # struct Time;
//! # impl Clock for Time {
//! #     type Sleep = future::Pending<()>;
//! #     fn now(&self) -> Duration { Duration::ZERO }
//! #     fn wall_unix_seconds(&self) -> u64 { 0 }
//! #     fn sleep(&self, _: Duration) -> Self::Sleep { future::pending() }
//! # }
//! # fn spawn(_: impl Future<Output = ()>) {}
//! # fn connections<S>() -> impl Iterator<Item = S> { core::iter::empty() }
//! # fn example<S: Stream>() -> Result<(), httpd::ScanError> {
//! use httpd::{Config, ScanLimits, Server, Site};
//! use std::rc::Rc;
//!
//! let site = Site::open(Disk, &ScanLimits::default())?;
//! let server = Server::new(Config::default(), site, Time)
//!     .with_extra_metrics(|out| writeln!(out, "heap_used_bytes {}", 42));
//! let server = Rc::new(server);
//! for stream in connections::<S>() {
//!     let server = Rc::clone(&server);
//!     match server.try_admit() {
//!         Some(permit) => spawn(server.serve(permit, stream)),
//!         None => spawn(server.refuse(stream)),
//!     }
//! }
//! # Ok(())
//! # }
//! ```
#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;
#[cfg(test)]
extern crate std;

mod answer;
pub mod conditional;
mod connection;
pub mod date;
mod inbox;
mod journal;
pub mod metrics;
pub mod mime;
mod outbox;
pub mod path;
pub mod range;
pub mod request;
pub mod response;
pub mod server;
pub mod site;
pub mod timeout;
pub mod world;

pub use server::{Config, Permit, Server};
pub use site::{ScanError, ScanLimits, Site};
pub use world::{BlockError, BlockRead, Clock, Stream};
