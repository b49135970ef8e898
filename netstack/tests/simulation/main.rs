//! Stacks on a simulated wire, in virtual time, each run told by its seed.

#![allow(unreachable_pub)]

mod closing;
mod frames;
mod gateway;
mod hostile;
mod limits;
mod sim;
mod transfer;
mod udp;
