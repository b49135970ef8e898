//! Where packets go first, and which own address they come from: a few routes and addresses of
//! both protocols. The longest prefix wins, and among equals the first that was added. There are
//! no metrics, no zones and no loopback; who is on the wire is told by routes, not by addresses.

use alloc::collections::TryReserveError;
use alloc::vec::Vec;
use core::cmp::Reverse;
use core::fmt;
use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use crate::wire::ip::is_host;

pub(crate) const ROUTES_MAX: usize = 16;
pub(crate) const ADDRESSES_MAX: usize = 8;

/// Scopes of RFC 4291, 2.7, which RFC 6724, 3.1 and 3.2 compare others with.
const LINK_LOCAL: u8 = 2;
const GLOBAL: u8 = 14;

/// The addresses that begin with the same bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Prefix {
    network: IpAddr,
    len: u8,
}

impl Prefix {
    pub(crate) const ALL_IPV4: Self = Self { network: IpAddr::V4(Ipv4Addr::UNSPECIFIED), len: 0 };
    pub(crate) const ALL_IPV6: Self = Self { network: IpAddr::V6(Ipv6Addr::UNSPECIFIED), len: 0 };

    /// The network that a host with this address is in; `None` if there are not that many bits.
    pub(crate) fn new(address: IpAddr, len: u8) -> Option<Self> {
        let network = match address {
            IpAddr::V4(address) if len <= 32 => {
                Ipv4Addr::from_bits(address.to_bits() & !u32::MAX.unbounded_shr(len.into())).into()
            }
            IpAddr::V6(address) if len <= 128 => {
                Ipv6Addr::from_bits(address.to_bits() & !u128::MAX.unbounded_shr(len.into())).into()
            }
            _ => return None,
        };
        Some(Self { network, len })
    }

    pub(crate) fn network(&self) -> IpAddr {
        self.network
    }

    /// In bits.
    #[cfg(test)]
    pub(crate) fn len(&self) -> u8 {
        self.len
    }

    pub(crate) fn contains(&self, address: IpAddr) -> bool {
        common_prefix_len(self.network, address).is_some_and(|len| len >= self.len)
    }

    /// IPv4's address for everybody in the network, if it has one.
    fn broadcast(&self) -> Option<Ipv4Addr> {
        match self.network {
            IpAddr::V4(network) if self.len < 31 => {
                Some(Ipv4Addr::from_bits(network.to_bits() | u32::MAX >> self.len))
            }
            _ => None,
        }
    }
}

/// Where packets for some addresses go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Route {
    pub(crate) destination: Prefix,
    /// The host on the wire that passes them on; without one they are for hosts on the wire.
    pub(crate) gateway: Option<IpAddr>,
}

/// One of the stack's own addresses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct OwnAddress {
    pub(crate) address: IpAddr,
    pub(crate) prefix_len: u8,
    /// Not for new connections if there is another (RFC 4862, 5.5.4).
    pub(crate) deprecated: bool,
}

/// Why a route or an address is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum RouteError {
    TooManyRoutes,
    TooManyAddresses,
    /// No host can have this address in a network of this prefix length.
    AddressNotUsable(IpAddr, u8),
    /// The gateway is not another host on the wire.
    GatewayNotOnLink(IpAddr),
}

impl fmt::Display for RouteError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooManyRoutes => write!(f, "there are {ROUTES_MAX} routes already"),
            Self::TooManyAddresses => write!(f, "there are {ADDRESSES_MAX} addresses already"),
            Self::AddressNotUsable(address, prefix_len) => {
                write!(f, "{address}/{prefix_len} is not an address that a host can have")
            }
            Self::GatewayNotOnLink(gateway) => {
                write!(f, "the gateway {gateway} is not another host of an own network")
            }
        }
    }
}

impl core::error::Error for RouteError {}

pub(crate) struct Routes {
    /// The longest prefixes first.
    routes: Vec<Route>,
    addresses: Vec<OwnAddress>,
}

impl Routes {
    pub(crate) fn new() -> Result<Self, TryReserveError> {
        let (mut routes, mut addresses) = (Vec::new(), Vec::new());
        routes.try_reserve_exact(ROUTES_MAX)?;
        addresses.try_reserve_exact(ADDRESSES_MAX)?;
        Ok(Self { routes, addresses })
    }

    /// The host on the wire that a packet is handed to: its destination, if that is on the wire or
    /// a group; or a gateway. `None` if there is no route.
    pub(crate) fn next_hop(&self, destination: IpAddr) -> Option<IpAddr> {
        if destination.is_unspecified() || destination.is_loopback() {
            return None;
        }
        if destination.is_multicast() || self.is_on_link(destination) {
            return Some(destination);
        }
        self.find(destination)?.gateway
    }

    /// The own address to talk to this destination from, after RFC 6724, 5, without the rules for
    /// what this stack does not have (home addresses, several interfaces, temporary addresses);
    /// of the labels only that of unique local addresses matters. One whose packets cannot come back
    /// from there is not an answer.
    pub(crate) fn source_for(&self, destination: IpAddr) -> Option<IpAddr> {
        let scope = scope_of(destination);
        let usable = self.addresses.iter().filter_map(|own| {
            let common = common_prefix_len(own.address, destination)?;
            let own_scope = scope_of(own.address);
            let key = (
                own.address == destination,
                Reverse(own_scope),
                !own.deprecated,
                is_unique_local(own.address) == is_unique_local(destination),
                common.min(own.prefix_len),
            );
            (own_scope >= scope).then_some((key, own.address))
        });
        // The last of equals would win, and the first shall.
        let best = usable.reduce(|best, other| if other.0 > best.0 { other } else { best });
        best.map(|(_, address)| address)
    }

    /// Whether a host with this address is on the wire. Link-local ones always are.
    pub(crate) fn is_on_link(&self, address: IpAddr) -> bool {
        match address {
            IpAddr::V4(address) if address.is_broadcast() => true,
            IpAddr::V6(address) if address.is_unicast_link_local() => true,
            _ => self.find(address).is_some_and(|route| route.gateway.is_none()),
        }
    }

    pub(crate) fn is_own(&self, address: IpAddr) -> bool {
        self.addresses.iter().any(|own| own.address == address)
    }

    /// Whether everybody on the wire is meant.
    pub(crate) fn is_broadcast(&self, destination: Ipv4Addr) -> bool {
        let mut own = self.addresses.iter().filter_map(|own| own.network()?.broadcast());
        destination.is_broadcast() || own.any(|all| all == destination)
    }

    pub(crate) fn addresses(&self) -> &[OwnAddress] {
        &self.addresses
    }

    pub(crate) fn routes(&self) -> &[Route] {
        &self.routes
    }

    /// Adds an address, or changes what is known of it. It brings no route.
    pub(crate) fn add_address(&mut self, own: OwnAddress) -> Result<(), RouteError> {
        if !own.is_usable() {
            return Err(RouteError::AddressNotUsable(own.address, own.prefix_len));
        }
        if let Some(known) = self.addresses.iter_mut().find(|known| known.address == own.address) {
            *known = own;
            return Ok(());
        }
        if self.addresses.len() == ADDRESSES_MAX {
            return Err(RouteError::TooManyAddresses);
        }
        self.addresses.push(own);
        Ok(())
    }

    /// Keeps only these addresses.
    pub(crate) fn retain_addresses(&mut self, keep: impl FnMut(&OwnAddress) -> bool) {
        self.addresses.retain(keep);
    }

    /// Adds a route behind those of the same length, if it is not there already.
    pub(crate) fn add_route(&mut self, route: Route) -> Result<(), RouteError> {
        if let Some(gateway) = route.gateway {
            let is_same_family = gateway.is_ipv4() == route.destination.network.is_ipv4();
            let is_host = is_host(gateway) && !self.is_own(gateway);
            let is_everybody = matches!(gateway, IpAddr::V4(it) if self.is_broadcast(it));
            if !is_same_family || !is_host || is_everybody || !self.is_on_link(gateway) {
                return Err(RouteError::GatewayNotOnLink(gateway));
            }
        }
        if self.routes.contains(&route) {
            return Ok(());
        }
        if self.routes.len() == ROUTES_MAX {
            return Err(RouteError::TooManyRoutes);
        }
        self.insert(route);
        Ok(())
    }

    /// Keeps only these routes.
    pub(crate) fn retain_routes(&mut self, keep: impl FnMut(&Route) -> bool) {
        self.routes.retain(keep);
    }

    /// A gateway does not answer: prefers others for the same destinations, if there are any.
    pub(crate) fn demote_gateway(&mut self, gateway: IpAddr) {
        let is_its = |route: &Route| route.gateway == Some(gateway);
        // Each comes behind its equals, so that none before it in the list is looked at twice.
        for position in (0..self.routes.len()).rev() {
            if is_its(&self.routes[position]) {
                let route = self.routes.remove(position);
                self.insert(route);
            }
        }
    }

    /// There is room.
    fn insert(&mut self, route: Route) {
        let len = route.destination.len;
        let position = self.routes.partition_point(|other| other.destination.len >= len);
        self.routes.insert(position, route);
    }

    fn find(&self, destination: IpAddr) -> Option<&Route> {
        self.routes.iter().find(|route| route.destination.contains(destination))
    }
}

impl OwnAddress {
    fn network(&self) -> Option<Prefix> {
        Prefix::new(self.address, self.prefix_len)
    }

    fn is_usable(&self) -> bool {
        let Some(network) = self.network() else { return false };
        let IpAddr::V4(address) = self.address else {
            return self.prefix_len > 0 && is_host(self.address);
        };
        let is_network = self.prefix_len < 31 && network.network == self.address;
        let is_special = is_network || network.broadcast() == Some(address);
        self.prefix_len > 0 && is_host(self.address) && !is_special
    }
}

fn scope_of(address: IpAddr) -> u8 {
    match address {
        IpAddr::V4(address) => {
            let is_local_group = address.octets()[..3] == [224, 0, 0];
            let is_local = address.is_link_local() || address.is_loopback();
            if is_local || is_local_group || address.is_broadcast() { LINK_LOCAL } else { GLOBAL }
        }
        IpAddr::V6(address) if address.is_multicast() => address.octets()[1] & 0x0f,
        IpAddr::V6(address) if address.is_unicast_link_local() || address.is_loopback() => {
            LINK_LOCAL
        }
        IpAddr::V6(_) => GLOBAL,
    }
}

/// RFC 4193.
fn is_unique_local(address: IpAddr) -> bool {
    matches!(address, IpAddr::V6(address) if address.is_unique_local())
}

/// `None` if they are of different protocols.
fn common_prefix_len(one: IpAddr, other: IpAddr) -> Option<u8> {
    let len = match (one, other) {
        (IpAddr::V4(one), IpAddr::V4(other)) => (one.to_bits() ^ other.to_bits()).leading_zeros(),
        (IpAddr::V6(one), IpAddr::V6(other)) => (one.to_bits() ^ other.to_bits()).leading_zeros(),
        _ => return None,
    };
    Some(len as u8)
}

#[cfg(test)]
mod tests;
