//! The logic of the classic services of the internet, which serve to try a network out: echo
//! (RFC 862), discard (RFC 863) and the character generator (RFC 864), over TCP and UDP.
//!
//! The crate makes no system call and starts no task. Streams come in through the traits of
//! `embedded-io-async`, time as a future, so the same code runs in a guest and in tests. It refuses
//! to answer datagrams that come from a service, as two services would talk to each other for ever.
//!
//! - [`Service`]: which there are; serves one stream. The entry point.
//! - [`Pattern`]: what the character generator sends.
//! - [`datagram`]: what is answered to a datagram.
//! - [`idle`]: ends what does nothing for too long.
#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;
#[cfg(test)]
extern crate std;

pub mod datagram;
pub mod idle;
mod pattern;
mod stream;

pub use pattern::Pattern;
pub use stream::Service;
