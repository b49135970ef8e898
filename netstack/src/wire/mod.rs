//! The wire's side: what a frame is for, the queue of outgoing frames, smoltcp's view of both, and
//! the few frames that the stack writes itself.

pub(crate) mod arp;
pub(crate) mod demux;
pub(crate) mod frames;
pub(crate) mod lone;
pub(crate) mod neighbours;
pub(crate) mod port;
pub(crate) mod segment;
