//! A TCP/IP stack without a network: frames and time go in, frames come out.
//!
//! The stack reads no clock, makes no system call and starts nothing by itself. Its owner moves
//! Ethernet frames between it and a wire, tells it the time, and asks when it wants to run again:
//!
//! ```
//! # use netstack::{Config, Instant, Stack};
//! # let mac = [2, 0, 0, 0, 0, 1];
//! let mut now = Instant::ZERO;
//! let mut stack = Stack::new(Config::new(mac, 1500, 0x5eed), now)?;
//! stack.set_ipv4("10.0.0.2".parse().unwrap(), 24, None)?;
//! let listener = stack.listen(80, 16).unwrap();
//!
//! # let (arrived, wire): (&[&[u8]], &mut Vec<Vec<u8>>) = (&[], &mut Vec::new());
//! for frame in arrived {
//!     stack.receive(now, frame);
//! }
//! stack.poll(now);
//! while let Some(frame) = stack.front_frame() {
//!     wire.push(frame.to_vec()); // a full wire would stop here and lose nothing
//!     stack.pop_frame();
//! }
//! let sleep_until = stack.deadline(now);
//! # assert!(sleep_until.is_none() && stack.accept(listener).is_none());
//! # Ok::<(), netstack::ConfigError>(())
//! ```
//!
//! # Layers
//! - `wire`: packets as bytes, both ways: IP in Ethernet (`ip`), TCP segments (`segment`), `arp`,
//!   `icmp`, checksums, virtio-net headers (`vnet`), and the queue of outgoing frames (`frames`).
//! - `ingress`, `egress`: a frame finds its protocol; a packet finds its next hop. `routes` and
//!   `neighbour` tell which that is and where.
//! - `tcp`, `udp`: the protocols and what the owner calls of them; `tcp` has a map of its own.
//! - `address`, `dhcp`, `ipv6` with `slaac`, `names` with `resolver`: where addresses come from, and
//!   names go.
//! - `stack`: what holds all of it; `agenda` with `deadlines`: who has something to send, who waits for
//!   a time or a neighbour; `siphash`: a keyed hash, so that no remote can make connections collide.
//!
//! The work for a frame is one look-up and one connection, at ten connections and at ten thousand;
//! [`Counters::turns`] and [`Counters::segments_delivered`] count it. Ids carry a generation, so a
//! stale one finds nothing.
//!
//! # TCP
//! RFC 9293 with window scaling and timestamps (7323), selective acknowledgements in both directions
//! (2018, 6675), NewReno (5681, 6582) with early retransmit (5827) and an initial window of ten
//! segments (6928), zero-window probes, keep-alives, delayed acknowledgements, Nagle's algorithm by
//! choice, path MTU discovery (1191, 8201), protection from blind attacks (5961, 5927, 6528).
//! Buffers take memory when bytes come: an idle connection has none. The receive window and the
//! send buffer grow with what the connection uses, within [`Limits`].
//!
//! It is our own; smoltcp's was used before. That walks all sockets for each packet, has buffers of
//! fixed size, sends everything again after a loss, and needed a dozen repairs from outside.
//! smoltcp's packet formats still read DHCP messages and the options of router advertisements.
//!
//! # Limits
//! Everything is bounded by [`Limits`], and memory that cannot be had means a refused connection or
//! a dropped segment, never a panic. When half-open connections reach their limit the oldest is
//! forgotten, since a flood's are the ones that never complete. TIME-WAIT holds no buffers, lasts
//! ten seconds, and yields early to a newer SYN of the same flow (RFC 6191) or to more of its kind.
//! Fragments are dropped, not put together; urgent data is data; there is no ECN.

#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;
#[cfg(test)]
extern crate std;

mod address;
mod agenda;
mod config;
mod counters;
mod deadlines;
mod dhcp;
mod egress;
mod ingress;
mod ipv6;
mod names;
mod neighbour;
mod resolver;
mod routes;
mod siphash;
mod slaac;
mod stack;
mod tcp;
mod udp;
mod wire;

pub use config::{Config, ConfigError, Limits, MTU_MAX, MTU_MIN};
pub use counters::{Counter, CounterKind, Counters};
pub use dhcp::{DnsServers, Lease};
pub use resolver::{Addresses, Answer, Kind as QueryKind, QueryId, ResolveError};
pub use smoltcp::time::{Duration, Instant};
pub use stack::Stack;
pub use tcp::connect::ConnectError;
pub use tcp::connection::{CloseReason, ConnectionId, ConnectionState};
pub use tcp::listener::{ListenError, ListenerId};
pub use tcp::owner::{Received, RecvError, SendError};
pub use udp::{BindError, Datagram, UdpId, UdpSendError};
pub use wire::vnet::VNET_HEADER_BYTES;

/// An Ethernet header, without VLAN tag and checksum.
pub const ETHERNET_HEADER_BYTES: usize = 14;
