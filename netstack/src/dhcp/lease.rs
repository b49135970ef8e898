//! What a DHCP server gave, once it is checked: a server may give anything, and a lease holds only
//! what a host can have.

use core::net::Ipv4Addr;
use core::ops::Deref;

use crate::address::{checked_cidr, is_gateway};
use crate::config::MTU_MIN;
use crate::wire::ip::is_ipv4_host as is_host;

const DNS_SERVERS_MAX: usize = 3;

/// What a DHCP server gave.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lease {
    /// The own address.
    pub address: Ipv4Addr,
    /// The length of the network's prefix in bits.
    pub prefix_len: u8,
    /// The router, if it is in the own network.
    pub router: Option<Ipv4Addr>,
    /// The servers for name resolution, the preferred one first.
    pub dns: DnsServers,
    /// The largest IP packet in bytes for this network, at least [`MTU_MIN`].
    pub mtu: Option<u16>,
}

impl Lease {
    /// Takes an address that a host can have, the first router that such a host can reach, DNS
    /// servers that are hosts, and an MTU that every host must take anyway. Without the address
    /// there is no lease.
    pub(super) fn checked(
        address: Ipv4Addr,
        prefix_len: u8,
        mut routers: impl Iterator<Item = Ipv4Addr>,
        dns: impl Iterator<Item = Ipv4Addr>,
        mtu: Option<u16>,
    ) -> Option<Self> {
        let cidr = checked_cidr(address, prefix_len).ok()?;
        let router = routers.find(|router| is_gateway(&cidr, *router));
        let dns = dns.filter(|server| is_host(*server)).collect();
        let mtu = mtu.filter(|mtu| usize::from(*mtu) >= MTU_MIN);
        Some(Self { address, prefix_len, router, dns, mtu })
    }
}

/// A few addresses of servers for name resolution: a slice that needs no heap.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DnsServers {
    servers: [Ipv4Addr; DNS_SERVERS_MAX],
    len: usize,
}

impl FromIterator<Ipv4Addr> for DnsServers {
    /// Keeps the first three.
    fn from_iter<I: IntoIterator<Item = Ipv4Addr>>(addresses: I) -> Self {
        let mut servers = [Ipv4Addr::UNSPECIFIED; DNS_SERVERS_MAX];
        let mut len = 0;
        for (place, address) in servers.iter_mut().zip(addresses) {
            *place = address;
            len += 1;
        }
        Self { servers, len }
    }
}

impl Deref for DnsServers {
    type Target = [Ipv4Addr];

    fn deref(&self) -> &[Ipv4Addr] {
        &self.servers[..self.len]
    }
}
