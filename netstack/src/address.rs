//! The stack's own addresses and its routes, given by the owner, by DHCP or by a router.

use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use core::task::Waker;

use smoltcp::wire::Ipv4Cidr;

use crate::agenda::Task;
use crate::config::ConfigError;
use crate::routes::{OwnAddress, Prefix, ROUTES_MAX, Route, RouteError};
use crate::stack::Stack;
use crate::tcp::connection::CloseReason;
use crate::wire::ip::{is_host, is_ipv4_host};

impl Stack {
    /// Gives the stack its IPv4 address, and ends DHCP. Connections of another one are closed.
    ///
    /// # Errors
    /// If no host can have this address, or the gateway is not in its network.
    pub fn set_ipv4(
        &mut self,
        address: Ipv4Addr,
        prefix_len: u8,
        gateway: Option<Ipv4Addr>,
    ) -> Result<(), ConfigError> {
        let cidr = checked_cidr(address, prefix_len)?;
        if let Some(gateway) = gateway
            && !is_gateway(&cidr, gateway)
        {
            return Err(ConfigError::GatewayNotOnLink(gateway.into()));
        }
        self.dhcp = None;
        self.agenda.set_deadline(Task::Dhcp, None);
        self.apply_ipv4(Some((cidr, gateway)));
        Ok(())
    }

    /// Adds an address to those that the stack has, and its network to those on the wire.
    ///
    /// # Errors
    /// If no host can have this address, or there are too many.
    pub fn add_address(&mut self, address: IpAddr, prefix_len: u8) -> Result<(), ConfigError> {
        self.routes.add_address(OwnAddress { address, prefix_len, deprecated: false })?;
        let Some(destination) = Prefix::new(address, prefix_len) else {
            return Err(RouteError::AddressNotUsable(address, prefix_len).into());
        };
        self.routes.add_route(Route { destination, gateway: None })?;
        self.addresses_changed();
        Ok(())
    }

    /// Adds a route: packets for these destinations go to the gateway, which is on the wire, or
    /// without one straight to their destination. The longest prefix decides. An IPv4 route stays
    /// when DHCP changes the address. While an address of its protocol is still being looked for,
    /// a route to a gateway of a network that is not known yet waits for it.
    ///
    /// # Errors
    /// If the gateway is not another host on the wire, or there are too many routes.
    pub fn add_route(
        &mut self,
        destination: IpAddr,
        prefix_len: u8,
        gateway: Option<IpAddr>,
    ) -> Result<(), ConfigError> {
        let Some(destination) = Prefix::new(destination, prefix_len) else {
            return Err(RouteError::AddressNotUsable(destination, prefix_len).into());
        };
        let route = Route { destination, gateway };
        let may_wait = match destination.network() {
            IpAddr::V4(_) => self.dhcp.is_some(),
            IpAddr::V6(_) => self.slaac.is_some(),
        };
        match self.routes.add_route(route) {
            Err(RouteError::GatewayNotOnLink(_)) if may_wait && is_same_kind(&route) => {}
            outcome => outcome?,
        }
        if may_wait && !self.own_routes.contains(&route) {
            if self.own_routes.len() == ROUTES_MAX || self.own_routes.try_reserve(1).is_err() {
                return Err(ConfigError::TooManyRoutes);
            }
            self.own_routes.push(route);
        }
        Ok(())
    }

    /// The stack's addresses and the lengths of their networks' prefixes: IPv4 ones first, and those
    /// of IPv6 that are only good on the wire last.
    pub fn addresses(&self) -> impl Iterator<Item = (IpAddr, u8)> + '_ {
        let rank = |own: &OwnAddress| match own.address {
            IpAddr::V4(_) => 0,
            IpAddr::V6(address) if !address.is_unicast_link_local() => 1,
            IpAddr::V6(_) => 2,
        };
        let of_rank =
            move |wanted| self.routes.addresses().iter().filter(move |own| rank(own) == wanted);
        (0..3).flat_map(of_rank).map(|own| (own.address, own.prefix_len))
    }

    /// The own address that packets to this destination come from.
    pub fn source_for(&self, destination: IpAddr) -> Option<IpAddr> {
        self.routes.source_for(destination)
    }

    /// The stack's IPv4 address and the length of its network's prefix.
    pub fn ipv4(&self) -> Option<(Ipv4Addr, u8)> {
        self.routes.addresses().iter().find_map(|own| match own.address {
            IpAddr::V4(address) => Some((address, own.prefix_len)),
            IpAddr::V6(_) => None,
        })
    }

    /// The stack's IPv6 addresses and the lengths of their networks' prefixes.
    pub fn ipv6(&self) -> impl Iterator<Item = (Ipv6Addr, u8)> + '_ {
        self.routes.addresses().iter().filter_map(|own| match own.address {
            IpAddr::V4(_) => None,
            IpAddr::V6(address) => Some((address, own.prefix_len)),
        })
    }

    /// The router for everything outside of the own networks.
    pub fn gateway(&self) -> Option<Ipv4Addr> {
        let all = self.routes.routes().iter().find(|route| route.destination == Prefix::ALL_IPV4);
        match all?.gateway {
            Some(IpAddr::V4(gateway)) => Some(gateway),
            _ => None,
        }
    }

    /// Wakes once when the addresses change: given, leased or lost.
    pub fn register_address_waker(&mut self, waker: &Waker) {
        self.address_waker = Some(waker.clone());
    }

    /// Applies a checked address and router, or takes both away.
    pub(crate) fn apply_ipv4(&mut self, address: Option<(Ipv4Cidr, Option<Ipv4Addr>)>) {
        self.routes.retain_addresses(|own| own.address.is_ipv6());
        self.routes.retain_routes(|route| route.destination.network().is_ipv6());
        if let Some((cidr, gateway)) = address {
            let (address, prefix_len) = (IpAddr::V4(cidr.address()), cidr.prefix_len());
            let own = OwnAddress { address, prefix_len, deprecated: false };
            // The address and the gateway are checked, and there is room: at most the half of each
            // list is for IPv6.
            let _ = self.routes.add_address(own);
            let on_link = Prefix::new(address, prefix_len);
            let _ = on_link
                .map(|destination| self.routes.add_route(Route { destination, gateway: None }));
            if let Some(gateway) = gateway {
                let gateway = Some(IpAddr::V4(gateway));
                let _ = self.routes.add_route(Route { destination: Prefix::ALL_IPV4, gateway });
            }
        }
        self.addresses_changed();
    }

    /// The owner's routes whose gateways can be reached now.
    pub(crate) fn renew_own_routes(&mut self) {
        for route in &self.own_routes {
            // The others wait on.
            let _ = self.routes.add_route(*route);
        }
    }

    /// Closes what has lost its address, and lets everybody look again.
    pub(crate) fn addresses_changed(&mut self) {
        self.renew_own_routes();
        for slot in self.table.slots() {
            let Some(connection) = self.table.at_mut(slot) else { continue };
            let local = connection.flow.local.ip();
            let is_served = self.routes.is_own(local) || self.any_ip && local.is_ipv4();
            if !is_served && connection.verdict.is_none() {
                connection.condemn(CloseReason::AddressLost);
                if let Some(tcb) = connection.tcb_mut() {
                    tcb.forget(&mut self.memory);
                }
            }
            self.agenda.make_ready(Task::Tcp(slot));
        }
        if let Some(waker) = self.address_waker.take() {
            waker.wake();
        }
    }
}

/// Whether a gateway can be that of this route, once it is on the wire.
fn is_same_kind(route: &Route) -> bool {
    let network = route.destination.network();
    route.gateway.is_none_or(|gateway| gateway.is_ipv4() == network.is_ipv4() && is_host(gateway))
}

/// The address with its network, if a host can have it.
pub(crate) fn checked_cidr(address: Ipv4Addr, prefix_len: u8) -> Result<Ipv4Cidr, ConfigError> {
    let refused = ConfigError::AddressNotUsable(address.into(), prefix_len);
    if !(1..=32).contains(&prefix_len) || !is_ipv4_host(address) {
        return Err(refused);
    }
    let cidr = Ipv4Cidr::new(address, prefix_len);
    let is_broadcast = cidr.broadcast() == Some(address);
    let is_network = prefix_len < 31 && cidr.network().address() == address;
    if is_broadcast || is_network { Err(refused) } else { Ok(cidr) }
}

/// Whether this can be the router of a host with this address.
pub(crate) fn is_gateway(own: &Ipv4Cidr, gateway: Ipv4Addr) -> bool {
    is_ipv4_host(gateway)
        && own.contains_addr(&gateway)
        && own.address() != gateway
        && own.broadcast() != Some(gateway)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;
    use smoltcp::time::Instant;

    fn stack() -> Stack {
        Stack::new(Config::new([2, 0, 0, 0, 0, 1], 1500, 1), Instant::ZERO).unwrap()
    }

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn an_own_route_waits_for_its_network_and_outlives_a_lease() {
        let mut stack = stack();
        stack.start_dhcp(Instant::ZERO);
        assert_eq!(stack.add_route(ip("10.1.0.0"), 16, Some(ip("10.0.0.9"))), Ok(()));
        assert_eq!(stack.routes.next_hop(ip("10.1.2.3")), None);
        for _ in 0..2 {
            let cidr = checked_cidr([10, 0, 0, 2].into(), 24).unwrap();
            stack.apply_ipv4(Some((cidr, None)));
            assert_eq!(stack.routes.next_hop(ip("10.1.2.3")), Some(ip("10.0.0.9")));
            stack.apply_ipv4(None);
        }
        assert_eq!(stack.routes.next_hop(ip("10.1.2.3")), None);
    }

    /// A node of Calico asks for its pods from an address that is none of their neighbours'.
    #[test]
    fn a_host_of_another_network_is_answered_and_not_remembered() {
        let mut stack = stack();
        stack.set_ipv4([10, 244, 3, 7].into(), 32, None).unwrap();
        let mac = [2, 0, 0, 0, 0, 9];
        let mut request = [&[0xff; 6][..], &mac, &[8, 6, 0, 1, 8, 0, 6, 4, 0, 1], &mac].concat();
        request.extend([192, 168, 0, 1, 0, 0, 0, 0, 0, 0, 10, 244, 3, 7]);
        stack.receive(Instant::ZERO, &request);
        let answer = stack.front_frame().unwrap();
        assert_eq!((&answer[..6], &answer[20..22]), (&mac[..], &[0, 2][..]));
        assert_eq!(answer[22..42], [&[2, 0, 0, 0, 0, 1, 10, 244, 3, 7], &request[22..32]].concat());
        assert_eq!(stack.counters().dropped_arp, 1);
        assert_eq!(stack.routes.next_hop(ip("192.168.0.1")), None);
    }

    #[test]
    fn a_route_that_can_never_be_used_is_refused() {
        let mut stack = stack();
        stack.set_ipv4([10, 0, 0, 2].into(), 24, None).unwrap();
        for gateway in ["10.9.0.1", "10.0.0.2", "10.0.0.255", "fe80::1"] {
            let refused = Err(ConfigError::GatewayNotOnLink(ip(gateway)));
            assert_eq!(stack.add_route(ip("10.1.0.0"), 16, Some(ip(gateway))), refused);
        }
    }

    #[test]
    fn a_static_ipv6_address_comes_with_a_link_local_one() {
        let mut stack = stack();
        stack.start_autoconfiguration(Instant::ZERO, 1);
        let address = "2001:db8::2".parse().unwrap();
        stack.set_ipv6(address, 64, "fe80::1".parse().ok()).unwrap();
        let told: std::vec::Vec<_> = stack.addresses().collect();
        assert_eq!(told, [(ip("2001:db8::2"), 64), (ip("fe80::ff:fe00:1"), 64)]);
        assert_eq!(stack.routes.next_hop(ip("2001:db8:1::1")), Some(ip("fe80::1")));
        stack.poll(Instant::ZERO);
        assert!(stack.slaac.is_none() && stack.front_frame().is_none());
        let far = "2001:db8:9::1".parse().ok();
        assert!(stack.set_ipv6(address, 64, far).is_err());
    }
}
