//! The four numbers that name a connection. IPv6 will widen the addresses here.

use core::net::SocketAddrV4;

/// A connection as both ends see it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Flow {
    pub(crate) local: SocketAddrV4,
    pub(crate) remote: SocketAddrV4,
}

impl Flow {
    /// The flow for the keyed hash.
    pub(crate) fn words(&self) -> [u64; 2] {
        let addresses =
            u64::from(self.local.ip().to_bits()) << 32 | u64::from(self.remote.ip().to_bits());
        let ports = u64::from(self.local.port()) << 16 | u64::from(self.remote.port());
        [addresses, ports]
    }
}
