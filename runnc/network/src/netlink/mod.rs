//! rtnetlink (rtnetlink(7), `linux/netlink.h`): messages as bytes, and a socket that sends one and waits
//! for the answer. What is in the messages is the business of others.

mod message;
mod socket;

pub(crate) use message::{Attributes, Message, u32_at};
pub(crate) use socket::{Answer, Netlink};
