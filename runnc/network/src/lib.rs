//! Joins the network that a container engine set up in a namespace to TAPs for unikernels.
//!
//! An engine (podman, containerd with CNI plugins, Docker) puts an interface with addresses and routes into
//! the container's network namespace and expects a kernel to speak there. A unikernel has its own stack,
//! so it gets the interface's frames instead, and its Ethernet address, addresses and routes.
//! [`join`] makes a TAP for each network device of a unikernel and links it with an interface:
//!
//! ```text
//!   interface  ── ingress: to the TAP ──►  TAP  ── its descriptor ──►  guest
//!              ◄── ingress: to the interface ──
//! ```
//!
//! Both links are traffic control filters that the kernel carries out by itself; no process carries frames.
//! Segments longer than the MTU and frames without checksums pass, or are made ordinary by the kernel
//! where the guest does not take them.
//!
//! Everything happens in the network namespace of the calling thread, which needs CAP_NET_ADMIN there, and no
//! more (the filters are classic BPF). Calls exclude each other by a lock on the namespace.
//! A TAP goes with its descriptor. The filters on the interface stay until [`leave`], and carry the
//! container in a cookie, so that what a killed runtime left behind is found and goes as well.
//!
//! # Several guests in one namespace
//! Containers of a pod share an address. Each guest gets a copy of all that comes in, and what a stack says to
//! segments that are not its own is dropped: resets and "port unreachable". See `filter::program`.
//!
//! # Layers
//! - `netlink`: messages of rtnetlink as bytes, and the socket.
//! - `interface`, `settings`: what there is, and which addresses and routes it has.
//! - `tap`: the TAPs. `filter`: traffic control. `links`: whose filters stand where, and in which order
//!   they change. `lock`: one at a time.
//! - `arguments`, `names`: what the guest is told.

mod arguments;
mod error;
mod filter;
mod interface;
mod join;
mod links;
mod lock;
mod names;
mod netlink;
mod settings;
mod tap;

pub use arguments::{ExpandError, arguments, expand};
pub use error::Error;
pub use join::{Device, Joined, Request, join, leave};
pub use names::name_servers;
pub use settings::Route;
