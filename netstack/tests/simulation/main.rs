//! Stacks on a simulated wire, in virtual time, each run told by its seed.

#![allow(unreachable_pub)]

mod autoconfiguration;
mod closing;
mod frames;
mod gateway;
mod hostile;
mod independent;
mod limits;
mod loss;
mod names;
mod offload;
mod packets;
mod path;
mod peer;
mod peers;
mod sim;
mod transfer;
mod udp;
