//! A rootless user-mode network: the other end of a guest's wire, on host sockets.
//!
//! A guest has an Ethernet wire and a TCP/IP stack of its own. Where there is no TAP device, and no
//! privilege to make one, the other end of the wire is a gateway: a process that answers for the
//! whole network behind it and turns what the guest sends into ordinary sockets of the host.
//!
//! ```no_run
//! # fn serve(wire: std::os::fd::OwnedFd) -> Result<(), gateway::Error> {
//! let config = gateway::Config {
//!     publish: vec!["8080:80".parse().unwrap()],
//!     ..gateway::Config::default()
//! };
//! let gateway = gateway::Gateway::new(config, wire)?; // ports are open, or the error says why not
//! gateway.run()?; // in a process of its own: confines it, and serves until the guest is gone
//! # Ok(())
//! # }
//! ```
//!
//! # The network
//! | Address          | Who                                                                        |
//! |------------------|----------------------------------------------------------------------------|
//! | 10.0.2.2         | the gateway: router, DHCP server; answers pings                            |
//! | 10.0.2.3         | the resolver: UDP and TCP port 53 lead to those of the host                |
//! | 10.0.2.15        | the guest, by DHCP or by its own configuration                             |
//! | everything else  | the host's network, as far as the guest may reach it                       |
//!
//! What it may reach is in `address`: in short, what any machine beside the host could, and nothing
//! that the host keeps on its loopback. Clients of published ports come from 10.0.2.2.
//!
//! # The parts
//! - `config`, `error`: what goes in, and what can go wrong.
//! - `gateway`, `policy`, `service`: what is opened, how the process is confined, and the loop.
//! - `bridge`, `tap`: instead of a network of its own, a TAP interface of the host's behind a ring wire.
//! - `wire`, `memory`, `frame`: frames in a socket or in shared memory, and as bytes.
//! - `dhcp`, `dns`, `udp`: the services that answer datagrams.
//! - `tcp`, `tcp_in`, `tcp_out`, `splice`: connections, by netstack on the guest's side.
//! - `address`: who is who, and who may be reached. `host`: the host's sockets. `poller`, `slab`:
//!   what the loop waits on, and how it remembers what for.
//!
//! # What never happens
//! Nothing the guest or the network sends makes the gateway panic, wait, or hold more than its limits
//! allow: connections, flows, questions, frames and the buffers of each are all bounded. A frame that
//! does not come from the guest's address is dropped. IPv4 fragments are dropped; there is no IPv6
//! on the wire yet.

mod address;
mod bridge;
mod config;
mod counters;
mod dhcp;
mod dns;
mod error;
mod frame;
mod gateway;
mod host;
mod memory;
mod policy;
mod poller;
mod service;
mod slab;
mod splice;
mod tap;
mod tcp;
mod tcp_in;
mod tcp_out;
mod udp;
mod wire;

pub use address::{DNS, GATEWAY, GATEWAY_MAC, GUEST, PREFIX_LEN};
pub use bridge::Bridge;
pub use config::{Config, Publish, PublishError};
pub use counters::Counters;
pub use error::Error;
pub use gateway::{Ended, Gateway};
#[doc(hidden)]
pub use service::fuzzing;
pub use wire::ring::Link;
