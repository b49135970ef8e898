//! The stack's own address, its network and its router, given by the owner or by DHCP.

use core::net::Ipv4Addr;
use core::task::Waker;

use smoltcp::wire::{IpCidr, Ipv4Cidr};

use crate::agenda::Task;
use crate::config::ConfigError;
use crate::stack::Stack;
use crate::wire::demux::is_host;

#[derive(Default)]
pub(crate) struct Addresses {
    own: Option<Ipv4Cidr>,
    gateway: Option<Ipv4Addr>,
    waker: Option<Waker>,
}

impl Addresses {
    pub(crate) fn is_own(&self, address: Ipv4Addr) -> bool {
        self.own.is_some_and(|own| own.address() == address)
    }

    pub(crate) fn own(&self) -> Option<Ipv4Addr> {
        self.own.map(|own| own.address())
    }

    /// Whether a host with this address would be on the wire.
    pub(crate) fn is_on_link(&self, address: Ipv4Addr) -> bool {
        self.own.is_some_and(|own| own.contains_addr(&address))
    }

    /// The host on the wire that packets for this destination go to.
    pub(crate) fn next_hop(&self, destination: Ipv4Addr) -> Option<Ipv4Addr> {
        let own = self.own?;
        if own.contains_addr(&destination) { Some(destination) } else { self.gateway }
    }

    /// Whether everybody on the wire is meant.
    pub(crate) fn is_broadcast(&self, destination: Ipv4Addr) -> bool {
        destination.is_broadcast()
            || self.own.and_then(|own| own.broadcast()).is_some_and(|all| all == destination)
    }

    fn changed(&mut self) {
        if let Some(waker) = self.waker.take() {
            waker.wake();
        }
    }
}

impl Stack {
    /// Gives the stack its address, and ends DHCP. Connections of another address are closed.
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
            return Err(ConfigError::GatewayNotOnLink(gateway));
        }
        self.dhcp = None;
        self.agenda.set_deadline(Task::Dhcp, None);
        self.apply_address(Some((cidr, gateway)));
        Ok(())
    }

    /// The stack's address and the length of its network's prefix.
    pub fn ipv4(&self) -> Option<(Ipv4Addr, u8)> {
        self.addresses.own.map(|own| (own.address(), own.prefix_len()))
    }

    /// The router for everything outside of the own network.
    pub fn gateway(&self) -> Option<Ipv4Addr> {
        self.addresses.gateway
    }

    /// Wakes once when the address changes: given, leased or lost.
    pub fn register_address_waker(&mut self, waker: &Waker) {
        self.addresses.waker = Some(waker.clone());
    }

    /// Applies a checked address and router, or takes both away.
    pub(crate) fn apply_address(&mut self, address: Option<(Ipv4Cidr, Option<Ipv4Addr>)>) {
        let own = address.map(|(cidr, _)| cidr);
        let gateway = address.and_then(|(_, gateway)| gateway);
        if (own, gateway) == (self.addresses.own, self.addresses.gateway) {
            return;
        }
        self.interface.update_ip_addrs(|addresses| {
            addresses.clear();
            // There is room for one, and the list is empty.
            addresses.extend(own.map(IpCidr::Ipv4));
        });
        let routes = self.interface.routes_mut();
        routes.remove_default_ipv4_route();
        if let Some(gateway) = gateway {
            // There is room for one, and there is none.
            let _ = routes.add_default_ipv4_route(gateway);
        }
        (self.addresses.own, self.addresses.gateway) = (own, gateway);
        // smoltcp closes connections whose address is gone when they have their turn.
        for slot in self.table.slots() {
            self.agenda.make_ready(Task::Tcp(slot));
        }
        self.addresses.changed();
    }
}

/// The address with its network, if a host can have it.
pub(crate) fn checked_cidr(address: Ipv4Addr, prefix_len: u8) -> Result<Ipv4Cidr, ConfigError> {
    let refused = ConfigError::AddressNotUsable(address, prefix_len);
    if !(1..=32).contains(&prefix_len) || !is_host(address) {
        return Err(refused);
    }
    let cidr = Ipv4Cidr::new(address, prefix_len);
    let is_broadcast = cidr.broadcast() == Some(address);
    let is_network = prefix_len < 31 && cidr.network().address() == address;
    if is_broadcast || is_network { Err(refused) } else { Ok(cidr) }
}

/// Whether this can be the router of a host with this address.
pub(crate) fn is_gateway(own: &Ipv4Cidr, gateway: Ipv4Addr) -> bool {
    is_host(gateway)
        && own.contains_addr(&gateway)
        && own.address() != gateway
        && own.broadcast() != Some(gateway)
}
