//! The stack's own addresses and its routes, given by the owner, by DHCP or by a router.

use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use core::task::Waker;

use smoltcp::wire::Ipv4Cidr;

use crate::agenda::Task;
use crate::config::ConfigError;
use crate::routes::{OwnAddress, Prefix, Route, RouteError};
use crate::stack::Stack;
use crate::tcp::connection::CloseReason;
use crate::wire::ip::is_ipv4_host;

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
    /// without one straight to their destination. The longest prefix decides.
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
        self.routes.add_route(Route { destination, gateway })?;
        Ok(())
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

    /// Closes what has lost its address, and lets everybody look again.
    pub(crate) fn addresses_changed(&mut self) {
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
