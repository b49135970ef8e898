//! The four numbers that name a connection.

use core::net::{IpAddr, SocketAddr};

/// A connection as both ends see it. Both addresses are of one family.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Flow {
    pub(crate) local: SocketAddr,
    pub(crate) remote: SocketAddr,
}

impl Flow {
    /// The flow for the keyed hash.
    pub(crate) fn words(&self) -> [u64; 5] {
        let ports = u64::from(self.local.port()) << 16 | u64::from(self.remote.port());
        match (self.local.ip(), self.remote.ip()) {
            (IpAddr::V4(local), IpAddr::V4(remote)) => {
                [ports, u64::from(local.to_bits()) << 32 | u64::from(remote.to_bits()), 0, 0, 0]
            }
            (local, remote) => {
                let [local_high, local_low] = halves(local);
                let [remote_high, remote_low] = halves(remote);
                [ports, local_high, local_low, remote_high, remote_low]
            }
        }
    }
}

fn halves(address: IpAddr) -> [u64; 2] {
    let bits = match address {
        IpAddr::V4(address) => address.to_ipv6_mapped().to_bits(),
        IpAddr::V6(address) => address.to_bits(),
    };
    [(bits >> 64) as u64, bits as u64]
}
