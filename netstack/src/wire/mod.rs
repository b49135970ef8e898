//! The wire's side: packets as bytes, both ways, and the queue of outgoing frames.

pub(crate) mod arp;
pub(crate) mod checksum;
pub(crate) mod frames;
pub(crate) mod icmp;
pub(crate) mod ip;
pub(crate) mod segment;
pub(crate) mod vnet;
