//! IPv6 addresses, networks and routers without a server: router discovery (RFC 4861, 6.3) and
//! address autoconfiguration (RFC 4862), with name servers as in RFC 8106. It writes no packets:
//! it says what to send and what has changed ([`Step`]), and is told what came.
//!
//! Everybody on the wire can pose as a router; what that can do is bounded, here and by time. It
//! ignores the hop limit, timers and preferences that routers advertise, redirects, and that they
//! want DHCPv6 to be used. It sends no multicast listener reports.

use core::net::Ipv6Addr;

use smoltcp::time::{Duration, Instant};

use crate::siphash::HashKey;
use crate::wire::ip::is_unicast;

pub(crate) mod address;
mod advert;
mod lifetime;
mod prefix;

use advert::{Advert, Info, PrefixInfo};
use lifetime::Until;
use prefix::{Own, Prefix};

const PREFIXES_MAX: usize = 4;
const ROUTERS_MAX: usize = 2;
const DNS_SERVERS_MAX: usize = 3;

/// RFC 4861, 10.
const MAX_RTR_SOLICITATIONS: u8 = 3;
const RTR_SOLICITATION_INTERVAL: Duration = Duration::from_secs(4);
/// The smallest IP packet that every IPv6 link must carry (RFC 8200, 5), and the largest.
const MTU_MIN: u32 = 1280;
const MTU_MAX: u32 = 65_535;
/// Messages that crossed a router have less (RFC 4861, 6.1.2).
const HOP_LIMIT: u8 = 255;

/// What is to be done, or has changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    /// Send a router solicitation to [`address::ALL_ROUTERS`] from this address, or from the unspecified
    /// one, and then without the own Ethernet address in it.
    SolicitRouters { source: Option<Ipv6Addr> },
    /// Listen to the address's [`address::solicited_node`] group, and send a neighbour solicitation there
    /// from the unspecified address.
    Probe { target: Ipv6Addr },
    /// The address is the stack's own; deprecated ones are not for new connections.
    AddressUsable { address: Ipv6Addr, deprecated: bool },
    /// The address must not be used any more.
    AddressGone { address: Ipv6Addr },
    /// Hosts in this network are on the wire.
    OnLink { network: Ipv6Addr, len: u8 },
    /// Or not any more.
    OffLink { network: Ipv6Addr, len: u8 },
    /// A default router, with its Ethernet address if it told.
    RouterFound { router: Ipv6Addr, mac: Option<[u8; 6]> },
    /// It is none any more.
    RouterGone { router: Ipv6Addr },
    /// No larger packets on this link, in bytes.
    Mtu(u32),
    /// See [`Slaac::dns`].
    DnsChanged,
}

pub(crate) struct Slaac {
    mac: [u8; 6],
    key: HashKey,
    link_local: Own,
    prefixes: [Option<Prefix>; PREFIXES_MAX],
    routers: [Option<Router>; ROUTERS_MAX],
    dns: [Option<Dns>; DNS_SERVERS_MAX],
    dns_changed: bool,
    mtu: Option<u32>,
    mtu_told: Option<u32>,
    solicitations: u8,
    solicited_at: Option<Instant>,
    solicit_at: Option<Instant>,
    wake_at: Option<Instant>,
}

struct Router {
    address: Ipv6Addr,
    mac: Option<[u8; 6]>,
    until: Until,
    told: bool,
}

struct Dns {
    address: Ipv6Addr,
    until: Until,
}

impl Slaac {
    /// Starts at once. Addresses other than the link-local one depend on the secret: with the same
    /// one they are the same after a restart.
    pub(crate) fn new(mac: [u8; 6], secret: u64, now: Instant) -> Self {
        let key = HashKey::from_seed(secret);
        Self {
            mac,
            key,
            link_local: Own::link_local(mac, &key),
            prefixes: [const { None }; PREFIXES_MAX],
            routers: [const { None }; ROUTERS_MAX],
            dns: [const { None }; DNS_SERVERS_MAX],
            dns_changed: false,
            mtu: None,
            mtu_told: None,
            solicitations: 0,
            solicited_at: None,
            solicit_at: Some(now),
            wake_at: Some(now),
        }
    }

    /// The next step, one at a time until there is none.
    pub(crate) fn poll(&mut self, now: Instant) -> Option<Step> {
        if self.wake_at.is_none_or(|at| now < at) {
            return None;
        }
        let step = self.step(now);
        if step.is_none() {
            self.wake_at = self.next_deadline();
        }
        step
    }

    /// When [`Self::poll`] has something next.
    pub(crate) fn deadline(&self) -> Option<Instant> {
        self.wake_at
    }

    /// The link-local address, once it is known to be nobody else's.
    pub(crate) fn link_local(&self) -> Option<Ipv6Addr> {
        Some(self.link_local.address).filter(|_| self.link_local.is_usable())
    }

    /// The addresses that others may have, too. Packets to them are not for the stack, except
    /// neighbour discovery's, which [`Self::find_duplicate`] wants to know of.
    #[cfg(test)]
    pub(crate) fn tentative(&self) -> impl Iterator<Item = Ipv6Addr> {
        let tentative = self.own().filter(|own| own.is_tentative());
        tentative.map(|own| own.address)
    }

    /// The name servers that routers told of.
    pub(crate) fn dns(&self) -> impl Iterator<Item = Ipv6Addr> {
        self.dns.iter().flatten().map(|dns| dns.address)
    }

    /// Asks for routers again, as when the wire has come up.
    pub(crate) fn solicit(&mut self, now: Instant) {
        let earliest = self.solicited_at.map(|at| at + RTR_SOLICITATION_INTERVAL);
        self.solicitations = 0;
        self.solicit_at = Some(earliest.map_or(now, |earliest| earliest.max(now)));
        self.wake_at = Some(now);
    }

    /// Another host has, or wants, this address: call it for the target of a neighbour
    /// advertisement, and of a neighbour solicitation from the unspecified address (RFC 4862,
    /// 5.4.3 and 5.4.4). Returns whether the address was tentative, so that this matters.
    pub(crate) fn find_duplicate(&mut self, now: Instant, target: Ipv6Addr) -> bool {
        let prefixes = self.prefixes.iter_mut().flatten().filter_map(Prefix::own_mut);
        let mut own = core::iter::once(&mut self.link_local).chain(prefixes);
        let Some(own) = own.find(|own| own.address == target && own.is_tentative()) else {
            return false;
        };
        own.give_up(self.mac, &self.key);
        self.wake_at = Some(now);
        true
    }

    /// Takes an ICMPv6 message whose checksum was good. Returns whether it was a router
    /// advertisement as it should be.
    pub(crate) fn receive(
        &mut self,
        now: Instant,
        source: Ipv6Addr,
        hop_limit: u8,
        message: &[u8],
    ) -> bool {
        if hop_limit != HOP_LIMIT
            || !source.is_unicast_link_local()
            || source == self.link_local.address
        {
            return false;
        }
        let Some(advert) = Advert::parse(message) else { return false };
        let mut mac = None;
        for info in advert.infos() {
            match info {
                Info::SourceMac(source) => mac = Some(source).filter(|mac| is_unicast(*mac)),
                Info::Prefix(info) => self.note_prefix(now, &info),
                Info::Mtu(mtu) => {
                    let mtu = Some(mtu).filter(|mtu| (MTU_MIN..=MTU_MAX).contains(mtu));
                    self.mtu = mtu.or(self.mtu);
                }
                Info::DnsServers { lifetime, servers } => {
                    let until = Until::after(now, lifetime);
                    servers.iter().for_each(|server| self.note_dns(now, (*server).into(), until));
                }
            }
        }
        self.note_router(now, source, mac, advert.router_lifetime);
        self.wake_at = Some(now);
        true
    }

    fn note_prefix(&mut self, now: Instant, info: &PrefixInfo) {
        let mut known = self.prefixes.iter_mut().flatten();
        if let Some(prefix) = known.find(|prefix| prefix.is_about(info)) {
            prefix.update(now, info, self.mac, &self.key);
        } else if let Some(free) = self.prefixes.iter_mut().find(|slot| slot.is_none()) {
            *free = Prefix::new(now, info, self.mac, &self.key);
        }
    }

    fn note_router(
        &mut self,
        now: Instant,
        address: Ipv6Addr,
        mac: Option<[u8; 6]>,
        lifetime: u16,
    ) {
        let until = Until::after(now, lifetime.into());
        if lifetime > 0 {
            self.solicit_at = None;
        }
        let mut known = self.routers.iter_mut().flatten();
        if let Some(router) = known.find(|router| router.address == address) {
            router.until = until;
        } else if lifetime > 0
            && let Some(free) = self.routers.iter_mut().find(|slot| slot.is_none())
        {
            *free = Some(Router { address, mac, until, told: false });
        }
    }

    fn note_dns(&mut self, now: Instant, address: Ipv6Addr, until: Until) {
        if address.is_multicast() || address.is_unspecified() || address.is_loopback() {
            return;
        }
        let mut known = self.dns.iter_mut().flatten();
        if let Some(dns) = known.find(|dns| dns.address == address) {
            dns.until = until;
        } else if !until.is_over(now)
            && let Some(free) = self.dns.iter_mut().find(|slot| slot.is_none())
        {
            *free = Some(Dns { address, until });
            self.dns_changed = true;
        }
    }

    fn step(&mut self, now: Instant) -> Option<Step> {
        self.link_local
            .step(now)
            .or_else(|| self.step_solicitation(now))
            .or_else(|| self.prefixes.iter_mut().find_map(|slot| step_prefix(slot, now)))
            .or_else(|| self.step_router(now))
            .or_else(|| self.step_dns(now))
            .or_else(|| self.step_mtu())
    }

    fn step_solicitation(&mut self, now: Instant) -> Option<Step> {
        self.solicit_at.filter(|at| *at <= now)?;
        self.solicitations += 1;
        self.solicited_at = Some(now);
        let is_last = self.solicitations >= MAX_RTR_SOLICITATIONS;
        self.solicit_at = Some(now + RTR_SOLICITATION_INTERVAL).filter(|_| !is_last);
        Some(Step::SolicitRouters { source: self.link_local() })
    }

    fn step_router(&mut self, now: Instant) -> Option<Step> {
        for slot in &mut self.routers {
            let Some(router) = slot else { continue };
            let address = router.address;
            if router.until.is_over(now) {
                let was_told = router.told;
                *slot = None;
                if !was_told {
                    continue;
                }
                if self.routers.iter().all(Option::is_none) {
                    self.solicit(now);
                }
                return Some(Step::RouterGone { router: address });
            }
            if !router.told {
                router.told = true;
                return Some(Step::RouterFound { router: address, mac: router.mac });
            }
        }
        None
    }

    fn step_dns(&mut self, now: Instant) -> Option<Step> {
        for slot in &mut self.dns {
            if slot.take_if(|dns| dns.until.is_over(now)).is_some() {
                self.dns_changed = true;
            }
        }
        core::mem::take(&mut self.dns_changed).then_some(Step::DnsChanged)
    }

    fn step_mtu(&mut self) -> Option<Step> {
        let mtu = self.mtu.filter(|_| self.mtu != self.mtu_told)?;
        self.mtu_told = self.mtu;
        Some(Step::Mtu(mtu))
    }

    fn next_deadline(&self) -> Option<Instant> {
        let prefixes = self.prefixes.iter().flatten().filter_map(Prefix::deadline);
        let routers = self.routers.iter().flatten().filter_map(|it| it.until.instant());
        let dns = self.dns.iter().flatten().filter_map(|it| it.until.instant());
        let others = self.link_local.deadline().into_iter().chain(self.solicit_at);
        prefixes.chain(routers).chain(dns).chain(others).min()
    }

    #[cfg(test)]
    fn own(&self) -> impl Iterator<Item = &Own> {
        let prefixes = self.prefixes.iter().flatten().filter_map(Prefix::own);
        core::iter::once(&self.link_local).chain(prefixes)
    }
}

fn step_prefix(slot: &mut Option<Prefix>, now: Instant) -> Option<Step> {
    let step = slot.as_mut()?.step(now);
    slot.take_if(|prefix| prefix.is_void());
    step
}

#[cfg(test)]
mod tests;
