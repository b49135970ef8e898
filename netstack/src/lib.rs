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
//! smoltcp speaks the protocols: it checks, assembles, retransmits and acknowledges. What it does
//! not do is many connections at once, because it walks all sockets for every packet and every
//! poll. This crate puts each socket into a set of its own and does the finding itself:
//!
//! - `wire`: what a frame is for (`demux`), the queue of outgoing frames (`frames`), smoltcp's view
//!   of one call (`port`), what the ARP cache may learn (`neighbours`).
//! - `table`: connections by their flow, through a hash with a secret key (`siphash`), so that no
//!   remote can make them collide. Ids carry a generation, so a stale one finds nothing.
//! - `agenda`, `deadlines`: who has something to send, who waits for a time or a neighbour.
//! - `connection`, `listener`, `udp`, `dhcp`: what there is; `ingress`, `egress`: what happens to it.
//! - `stack`, `tcp`, `connect`, `address`: what the owner calls.
//!
//! The work for a frame is one look-up and one socket, at ten connections and at ten thousand;
//! [`Counters::sockets_polled`] counts it.
//!
//! # What it mends
//! Simulation and hostile frames showed where smoltcp 0.14 alone would hang, lose data or panic.
//! Each has its place here, and all that shows from outside a test that fails without it:
//!
//! - Acknowledgements during retransmission carry an old sequence number, so that two stacks which
//!   both retransmit wait for each other for ever (`wire::segment::mend_and_mark`).
//! - Timers get lost, so that data or a FIN is never sent again (`Connection::probe_at`).
//! - The window of a SYN is taken as scaled, which a peer can use to overfill the receive buffer and
//!   run into an assertion; and a FIN behind data that was cut is taken (`Connection::oversteps`).
//! - A peer that restarts and comes again from the same port gets no answer (`Stack::challenge`).
//! - Idle connections with a time-out end, so time-outs are this crate's own (`Connection::silent_until`).
//! - Initial sequence numbers can be foreseen from a few others (`Stack::new_opener`).
//! - A neighbour that does not answer holds up a UDP socket's whole queue (`Stack::drop_datagram`).
//!
//! # Limits
//! Everything is bounded by [`Limits`], and memory that cannot be had means a refused connection,
//! never a panic. When half-open connections reach their limit the oldest is forgotten, since a
//! flood's are the ones that never complete. TIME-WAIT holds no buffers, lasts ten seconds, and
//! yields early to a newer SYN of the same flow (RFC 9293, 3.10.7.4) or to more of its kind.
//! IPv4 fragments are dropped, not put together. There is no IPv6 yet; addresses in the interface
//! are `SocketAddr`, so that it can come.

#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;
#[cfg(test)]
extern crate std;

mod address;
mod agenda;
mod config;
mod connect;
mod connection;
mod counters;
mod deadlines;
mod dhcp;
mod egress;
mod flow;
mod ingress;
mod listener;
mod siphash;
mod stack;
mod table;
mod tcp;
mod udp;
mod wire;

pub use config::{Config, ConfigError, Limits, MTU_MAX, MTU_MIN, VNET_HEADER_BYTES};
pub use connect::ConnectError;
pub use connection::{CloseReason, ConnectionId, ConnectionState};
pub use counters::Counters;
pub use dhcp::{DnsServers, Lease};
pub use listener::{ListenError, ListenerId};
pub use smoltcp::time::{Duration, Instant};
pub use stack::Stack;
pub use tcp::{Received, RecvError, SendError};
pub use udp::{BindError, Datagram, UdpId, UdpSendError};

/// An Ethernet header, without VLAN tag and checksum.
pub const ETHERNET_HEADER_BYTES: usize = 14;
