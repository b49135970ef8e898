//! A network that routers advertise, and the own address in it: whether its hosts are on the wire
//! (RFC 4861, 6.3.4), how long the address is good for (RFC 4862, 5.5), and whether somebody else
//! has it (RFC 4862, 5.4).

use core::net::Ipv6Addr;

use smoltcp::time::{Duration, Instant};

use super::Step;
use super::address::{LINK_LOCAL, own_address};
use super::advert::PrefixInfo;
use super::lifetime::Until;
use crate::siphash::HashKey;

/// RFC 4861, 10: so long an answer is waited for.
const RETRANS_TIMER: Duration = Duration::from_secs(1);
/// RFC 7217, 7: so many other addresses are tried.
const DUPLICATES_MAX: u8 = 3;
/// RFC 4862, 5.5.3: nobody but time can shorten what is left of an address to less.
const TWO_HOURS_S: u32 = 2 * 60 * 60;

/// An advertised network.
pub(super) struct Prefix {
    pub(super) network: Ipv6Addr,
    pub(super) len: u8,
    on_link: Option<Until>,
    on_link_told: bool,
    own: Option<Own>,
}

/// An own address, in use or to be.
pub(super) struct Own {
    /// The address's first 64 bits.
    network: u64,
    pub(super) address: Ipv6Addr,
    duplicates: u8,
    stage: Stage,
    valid: Until,
    preferred: Until,
    /// The owner knows it, as deprecated or not.
    told: Option<bool>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    Unprobed,
    Probing {
        until: Instant,
    },
    Unique,
    /// Others had each address that was tried.
    Duplicate,
}

impl Prefix {
    /// A network that nothing was heard of before; `None` if it is of no use.
    pub(super) fn new(
        now: Instant,
        info: &PrefixInfo,
        mac: [u8; 6],
        key: &HashKey,
    ) -> Option<Self> {
        let mask = !u128::MAX.unbounded_shr(info.len.into());
        let network = Ipv6Addr::from_bits(info.network.to_bits() & mask);
        let has_addresses = !network.is_unicast_link_local() && !network.is_multicast();
        // The first eight bits are zero in what stands for no host, the own host or IPv4.
        if info.len > 128 || info.len == 0 || !has_addresses || network.octets()[0] == 0 {
            return None;
        }
        let mut prefix =
            Self { network, len: info.len, on_link: None, on_link_told: false, own: None };
        prefix.update(now, info, mac, key);
        Some(prefix).filter(|prefix| !prefix.is_void())
    }

    pub(super) fn is_about(&self, info: &PrefixInfo) -> bool {
        let differing = self.network.to_bits() ^ info.network.to_bits();
        self.len == info.len && differing.leading_zeros() >= info.len.into()
    }

    pub(super) fn update(&mut self, now: Instant, info: &PrefixInfo, mac: [u8; 6], key: &HashKey) {
        if info.on_link {
            self.on_link = Some(Until::after(now, info.valid)).filter(|until| !until.is_over(now));
        }
        // An own address is half network, half identifier.
        if !info.autonomous || info.len != 64 || info.preferred > info.valid {
            return;
        }
        match &mut self.own {
            Some(own) => own.prolong(now, info.valid, info.preferred),
            None if info.valid == 0 => {}
            None => {
                let network = (self.network.to_bits() >> 64) as u64;
                let valid = Until::after(now, info.valid);
                let preferred = Until::after(now, info.preferred);
                self.own = Some(Own::new(network, valid, preferred, mac, key));
            }
        }
    }

    /// Whether there is nothing left of it, nor to tell.
    pub(super) fn is_void(&self) -> bool {
        self.on_link.is_none() && !self.on_link_told && self.own.is_none()
    }

    pub(super) fn own_mut(&mut self) -> Option<&mut Own> {
        self.own.as_mut()
    }

    #[cfg(test)]
    pub(super) fn own(&self) -> Option<&Own> {
        self.own.as_ref()
    }

    pub(super) fn step(&mut self, now: Instant) -> Option<Step> {
        self.on_link = self.on_link.filter(|until| !until.is_over(now));
        if self.on_link_told != self.on_link.is_some() {
            self.on_link_told = self.on_link.is_some();
            let (network, len) = (self.network, self.len);
            return Some(match self.on_link_told {
                true => Step::OnLink { network, len },
                false => Step::OffLink { network, len },
            });
        }
        let own = self.own.as_mut()?;
        if own.valid.is_over(now) {
            let gone = Step::AddressGone { address: own.address };
            let was_told = own.told.is_some();
            self.own = None;
            return Some(gone).filter(|_| was_told);
        }
        own.step(now)
    }

    pub(super) fn deadline(&self) -> Option<Instant> {
        let on_link = self.on_link.and_then(Until::instant);
        on_link.into_iter().chain(self.own.as_ref().and_then(Own::deadline)).min()
    }
}

impl Own {
    pub(super) fn link_local(mac: [u8; 6], key: &HashKey) -> Self {
        Self::new(LINK_LOCAL, Until::Forever, Until::Forever, mac, key)
    }

    fn new(network: u64, valid: Until, preferred: Until, mac: [u8; 6], key: &HashKey) -> Self {
        Self {
            network,
            address: own_address(network, mac, 0, key),
            duplicates: 0,
            stage: Stage::Unprobed,
            valid,
            preferred,
            told: None,
        }
    }

    pub(super) fn is_usable(&self) -> bool {
        self.stage == Stage::Unique
    }

    /// Whether it is still being found out if somebody else has it.
    pub(super) fn is_tentative(&self) -> bool {
        matches!(self.stage, Stage::Unprobed | Stage::Probing { .. })
    }

    /// Somebody else has it: tries another one, a few times.
    pub(super) fn give_up(&mut self, mac: [u8; 6], key: &HashKey) {
        if self.duplicates == DUPLICATES_MAX {
            self.stage = Stage::Duplicate;
            return;
        }
        self.duplicates += 1;
        self.address = own_address(self.network, mac, self.duplicates, key);
        self.stage = Stage::Unprobed;
    }

    /// RFC 4862, 5.5.3 e.
    fn prolong(&mut self, now: Instant, valid: u32, preferred: u32) {
        self.preferred = Until::after(now, preferred);
        let (said, two_hours) = (Until::after(now, valid), Until::after(now, TWO_HOURS_S));
        if said > two_hours || said > self.valid {
            self.valid = said;
        } else if self.valid > two_hours {
            self.valid = two_hours;
        }
    }

    pub(super) fn step(&mut self, now: Instant) -> Option<Step> {
        match self.stage {
            Stage::Unprobed => {
                self.stage = Stage::Probing { until: now + RETRANS_TIMER };
                return Some(Step::Probe { target: self.address });
            }
            Stage::Probing { until } if until <= now => self.stage = Stage::Unique,
            Stage::Probing { .. } | Stage::Duplicate => return None,
            Stage::Unique => {}
        }
        let deprecated = self.preferred.is_over(now);
        if self.told == Some(deprecated) {
            return None;
        }
        self.told = Some(deprecated);
        Some(Step::AddressUsable { address: self.address, deprecated })
    }

    pub(super) fn deadline(&self) -> Option<Instant> {
        let next = match self.stage {
            Stage::Probing { until } => Some(until),
            Stage::Unique if self.told == Some(false) => self.preferred.instant(),
            _ => None,
        };
        next.into_iter().chain(self.valid.instant()).min()
    }
}
