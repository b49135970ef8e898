//! IPv6 neighbour discovery and autoconfiguration (RFC 4861, 4862): the stack's side of `slaac`, and
//! the messages between neighbours.

use core::net::{IpAddr, Ipv6Addr};

use smoltcp::time::Instant;

use crate::agenda::Task;
use crate::config::ConfigError;
use crate::neighbour::Kind;
use crate::routes::{OwnAddress, Prefix, Route};
use crate::slaac::address::{ALL_NODES, ALL_ROUTERS, link_local, solicited_node};
use crate::slaac::{Slaac, Step};
use crate::stack::Stack;
use crate::wire::icmp;
use crate::wire::ip::{self, Content, Envelope, Link, Packet, Refusal, is_unicast, protocol};

impl Stack {
    /// Begins to find IPv6 addresses by itself: a link-local one, and one in each network that a
    /// router tells of, which also becomes the default router. `secret` chooses the addresses; with
    /// the same one they are the same after a restart (RFC 7217).
    pub fn start_autoconfiguration(&mut self, now: Instant, secret: u64) {
        self.set_now(now);
        self.slaac = Some(Slaac::new(self.mac, secret, self.now));
        self.agenda.make_ready(Task::Autoconfiguration);
    }

    /// Gives the stack an IPv6 address beside its link-local one, and a default router, and ends
    /// autoconfiguration with what it has found. Nobody is asked whether the addresses are free.
    ///
    /// # Errors
    /// If no host can have this address, or the gateway is not another host of its network.
    pub fn set_ipv6(
        &mut self,
        address: Ipv6Addr,
        prefix_len: u8,
        gateway: Option<Ipv6Addr>,
    ) -> Result<(), ConfigError> {
        self.slaac = None;
        self.agenda.set_deadline(Task::Autoconfiguration, None);
        self.routes.retain_addresses(|own| own.address.is_ipv4());
        self.routes.retain_routes(|route| route.destination.network().is_ipv4());
        let outcome = self.add_address(link_local(self.mac).into(), 64);
        outcome.and_then(|()| self.add_address(address.into(), prefix_len))?;
        match gateway {
            Some(gateway) => self.add_route(Ipv6Addr::UNSPECIFIED.into(), 0, Some(gateway.into())),
            None => Ok(()),
        }
    }

    /// The IPv6 servers for name resolution that routers have told of.
    pub fn ipv6_dns_servers(&self) -> impl Iterator<Item = Ipv6Addr> + '_ {
        self.slaac.iter().flat_map(Slaac::dns)
    }

    pub(crate) fn run_autoconfiguration(&mut self) {
        while self.frames.has_room() {
            let Some(step) = self.slaac.as_mut().and_then(|slaac| slaac.poll(self.now)) else {
                break;
            };
            self.take_step(step);
        }
        let deadline = self.slaac.as_ref().and_then(Slaac::deadline);
        self.agenda.set_deadline(Task::Autoconfiguration, deadline);
    }

    /// A step that finds no room in a table is left out: there is room for as much as is found.
    fn take_step(&mut self, step: Step) {
        match step {
            Step::SolicitRouters { source } => {
                let message = icmp::router_solicitation(source, ALL_ROUTERS, self.mac);
                let source = source.unwrap_or(Ipv6Addr::UNSPECIFIED);
                let mac = icmp::group_mac(ALL_ROUTERS.into());
                self.send_discovery(source, ALL_ROUTERS, mac, message.as_slice());
            }
            Step::Probe { target } => {
                let (group, source) = (solicited_node(target), Ipv6Addr::UNSPECIFIED);
                let message = icmp::solicitation(source, group, target, None);
                self.send_discovery(
                    source,
                    group,
                    icmp::group_mac(group.into()),
                    message.as_slice(),
                );
            }
            Step::AddressUsable { address, deprecated } => {
                let own = OwnAddress { address: address.into(), prefix_len: 64, deprecated };
                let _ = self.routes.add_address(own);
                self.addresses_changed();
            }
            Step::AddressGone { address } => {
                self.routes.retain_addresses(|own| own.address != IpAddr::V6(address));
                self.addresses_changed();
            }
            Step::OnLink { network, len } => {
                if let Some(destination) = Prefix::new(network.into(), len) {
                    let _ = self.routes.add_route(Route { destination, gateway: None });
                    self.renew_own_routes();
                }
            }
            Step::OffLink { network, len } => {
                let gone = Prefix::new(network.into(), len);
                self.routes.retain_routes(|route| {
                    Some(route.destination) != gone || route.gateway.is_some()
                });
            }
            Step::RouterFound { router, mac } => {
                if let Some(mac) = mac {
                    self.learn(router.into(), Some(mac), Kind::Request);
                }
                let gateway = Some(IpAddr::V6(router));
                let _ = self.routes.add_route(Route { destination: Prefix::ALL_IPV6, gateway });
            }
            Step::RouterGone { router } => {
                let gone = Route { destination: Prefix::ALL_IPV6, gateway: Some(router.into()) };
                self.routes.retain_routes(|route| *route != gone);
            }
            Step::Mtu(mtu) => self.ipv6_mtu = mtu as usize,
            Step::DnsChanged => {}
        }
    }

    pub(crate) fn process_router_advertisement(
        &mut self,
        packet: &Packet<'_>,
        message: &[u8],
    ) -> Result<(), Refusal> {
        let (Some(slaac), IpAddr::V6(source)) = (&mut self.slaac, packet.source) else {
            return Err(Refusal::Unsupported);
        };
        if !slaac.receive(self.now, source, packet.hop_limit, message) {
            return Err(Refusal::Malformed);
        }
        self.agenda.make_ready(Task::Autoconfiguration);
        Ok(())
    }

    pub(crate) fn process_solicitation(
        &mut self,
        link: &Link,
        packet: &Packet<'_>,
        target: Ipv6Addr,
        source_mac: Option<[u8; 6]>,
    ) -> Result<(), Refusal> {
        // Somebody checks whether the address is free (RFC 4862, 5.4.3).
        let is_probe = packet.source.is_unspecified();
        if is_probe && self.find_duplicate(target) {
            return Ok(());
        }
        if !self.routes.is_own(target.into()) {
            return Err(Refusal::NotForUs);
        }
        let (to, to_mac) = match packet.source {
            IpAddr::V6(source) if !is_probe => (source, source_mac.unwrap_or(link.source)),
            // Everybody hears the answer.
            _ => (ALL_NODES, icmp::group_mac(ALL_NODES.into())),
        };
        if !is_probe {
            if !is_unicast(to_mac) {
                return Err(Refusal::NotForUs);
            }
            // As with ARP, who is no neighbour is answered and not remembered.
            let is_on_link = self.routes.is_on_link(to.into());
            let is_known = is_on_link && self.learn(to.into(), source_mac, Kind::Request);
            self.counters.dropped_arp += u64::from(!is_known);
        }
        if self.may_answer() {
            let message = icmp::advertisement(target, to, !is_probe, self.mac);
            self.send_discovery(target, to, to_mac, message.as_slice());
        }
        Ok(())
    }

    /// Another host has, or wants, an address that the stack is about to take.
    fn find_duplicate(&mut self, target: Ipv6Addr) -> bool {
        let now = self.now;
        let is_found = self.slaac.as_mut().is_some_and(|slaac| slaac.find_duplicate(now, target));
        if is_found {
            self.counters.addresses_duplicate += 1;
            self.agenda.make_ready(Task::Autoconfiguration);
        }
        is_found
    }

    pub(crate) fn process_advertisement(
        &mut self,
        target: Ipv6Addr,
        mac: Option<[u8; 6]>,
        kind: Kind,
    ) -> Result<(), Refusal> {
        if self.find_duplicate(target) {
            return Ok(());
        }
        if !mac.is_none_or(is_unicast) || !self.routes.is_on_link(target.into()) {
            return Err(Refusal::NotForUs);
        }
        let is_known = self.learn(target.into(), mac, kind);
        self.counters.dropped_arp += u64::from(!is_known);
        Ok(())
    }

    /// Sends a message of neighbour discovery: such may not have come over a router.
    pub(crate) fn send_discovery(
        &mut self,
        source: Ipv6Addr,
        destination: Ipv6Addr,
        mac: [u8; 6],
        message: &[u8],
    ) {
        let (source, destination) = (IpAddr::V6(source), IpAddr::V6(destination));
        let mut envelope = Envelope::new((self.mac, mac), source, destination, protocol::ICMPV6);
        envelope.hop_limit = u8::MAX;
        let content = Content {
            header: message,
            payload: (&[], &[]),
            checksum_at: None,
            segment_bytes: None,
        };
        let is_queued = self.frames.has_room_for_answer()
            && ip::push_packet(&mut self.frames, self.offload, &envelope, &content);
        self.counters.dropped_answers += u64::from(!is_queued);
    }
}
