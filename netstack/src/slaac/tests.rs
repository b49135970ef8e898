//! A host on a link with good routers, none, and hostile ones.

use core::net::Ipv6Addr;
use std::vec::Vec;

use proptest::prelude::*;
use smoltcp::time::{Duration, Instant};

use super::{Slaac, Step};

const MAC: [u8; 6] = [2, 0, 0, 0, 0, 1];
const ROUTER_MAC: [u8; 6] = [2, 0, 0, 0, 0, 0xfe];
const LINK_LOCAL: &str = "fe80::ff:fe00:1";

fn ip(text: &str) -> Ipv6Addr {
    text.parse().unwrap()
}

/// A router advertisement, option by option.
#[derive(Clone)]
struct Advert(Vec<u8>);

impl Advert {
    fn new(router_lifetime: u16) -> Self {
        let [high, low] = router_lifetime.to_be_bytes();
        Self(Vec::from([134, 0, 0, 0, 64, 0, high, low, 0, 0, 0, 0, 0, 0, 0, 0]))
    }

    fn prefix(mut self, network: &str, len: u8, flags: u8, valid: u32, preferred: u32) -> Self {
        self.0.extend([3, 4, len, flags]);
        self.0.extend(valid.to_be_bytes());
        self.0.extend(preferred.to_be_bytes());
        self.0.extend([0; 4]);
        self.0.extend(ip(network).octets());
        self
    }

    fn mtu(mut self, mtu: u32) -> Self {
        self.0.extend([5, 1, 0, 0]);
        self.0.extend(mtu.to_be_bytes());
        self
    }

    fn mac(mut self, mac: [u8; 6]) -> Self {
        self.0.extend([1, 1]);
        self.0.extend(mac);
        self
    }

    fn dns(mut self, lifetime: u32, servers: &[&str]) -> Self {
        self.0.extend([25, 1 + 2 * servers.len() as u8, 0, 0]);
        self.0.extend(lifetime.to_be_bytes());
        servers.iter().for_each(|server| self.0.extend(ip(server).octets()));
        self
    }
}

/// On link, and for addresses.
const BOTH: u8 = 0xc0;
const ON_LINK: u8 = 0x80;
const AUTONOMOUS: u8 = 0x40;

struct Host {
    slaac: Slaac,
    now: Instant,
}

impl Host {
    fn new() -> Self {
        let now = Instant::from_secs(1000);
        Self { slaac: Slaac::new(MAC, 7, now), now }
    }

    /// One that has got its link-local address, and no answer from routers.
    fn settled() -> Self {
        let mut host = Self::new();
        (0..20).for_each(|_| drop(host.after(1)));
        assert_eq!(host.slaac.deadline(), None);
        host
    }

    fn steps(&mut self) -> Vec<Step> {
        core::iter::from_fn(|| self.slaac.poll(self.now)).collect()
    }

    fn after(&mut self, seconds: u64) -> Vec<Step> {
        self.now += Duration::from_secs(seconds);
        self.steps()
    }

    fn hear(&mut self, router: &str, advert: &Advert) -> Vec<Step> {
        assert!(self.slaac.receive(self.now, ip(router), 255, &advert.0));
        self.steps()
    }

    /// The address that is tried next.
    fn tentative(&self) -> Option<Ipv6Addr> {
        self.slaac.tentative().next()
    }
}

fn usable(address: Ipv6Addr) -> Step {
    Step::AddressUsable { address, deprecated: false }
}

fn solicit(source: Option<&str>) -> Step {
    Step::SolicitRouters { source: source.map(ip) }
}

#[test]
fn finds_an_address_a_network_and_a_router() {
    let mut host = Host::new();
    assert_eq!(host.steps(), [Step::Probe { target: ip(LINK_LOCAL) }, solicit(None)]);
    let advert = Advert::new(1800).mac(ROUTER_MAC).mtu(1400).dns(600, &["2001:db8::53"]);
    let steps = host.hear("fe80::1", &advert.prefix("2001:db8:1::", 64, BOTH, 7200, 3600));
    let network = ip("2001:db8:1::");
    let target = host.slaac.tentative().nth(1).unwrap();
    assert_eq!(target.segments()[..4], network.segments()[..4]);
    assert_eq!(
        steps,
        [
            Step::OnLink { network, len: 64 },
            Step::Probe { target },
            Step::RouterFound { router: ip("fe80::1"), mac: Some(ROUTER_MAC) },
            Step::DnsChanged,
            Step::Mtu(1400),
        ]
    );
    assert_eq!(host.slaac.dns().collect::<Vec<_>>(), [ip("2001:db8::53")]);
    assert_eq!(host.slaac.link_local(), None);
    assert_eq!(host.slaac.deadline(), Some(host.now + Duration::from_secs(1)));
    assert_eq!(host.after(1), [usable(ip(LINK_LOCAL)), usable(target)]);
    assert_eq!(host.slaac.link_local(), Some(ip(LINK_LOCAL)));
    assert_eq!(host.slaac.tentative().count(), 0);
    assert_eq!(host.after(10), [], "no more solicitations");
}

#[test]
fn asks_for_routers_three_times_and_again_when_the_last_is_gone() {
    let mut host = Host::new();
    let mut asked = Vec::new();
    for second in 0..30 {
        let is_it = |step: &Step| matches!(step, Step::SolicitRouters { .. });
        if host.steps().iter().any(is_it) {
            asked.push(second);
        }
        host.now += Duration::from_secs(1);
    }
    assert_eq!(asked, [0, 4, 8]);
    assert_eq!(host.slaac.deadline(), None);
    host.slaac.solicit(host.now);
    assert_eq!(host.steps(), [solicit(Some(LINK_LOCAL))]);
    assert_eq!(host.hear("fe80::1", &Advert::new(100)).len(), 1);
    assert_eq!(host.after(50), []);
    let gone = Step::RouterGone { router: ip("fe80::1") };
    assert_eq!(host.after(50), [gone, solicit(Some(LINK_LOCAL))]);
    // Not in a loop, though.
    for _ in 0..5 {
        host.hear("fe80::1", &Advert::new(100));
        assert_eq!(host.hear("fe80::1", &Advert::new(0)), [gone]);
    }
    assert_eq!(host.after(4), [solicit(Some(LINK_LOCAL))]);
}

#[test]
fn tries_other_addresses_if_somebody_has_them() {
    let mut host = Host::new();
    host.steps();
    let mut tried = Vec::new();
    while let Some(address) = host.tentative() {
        assert!(address.is_unicast_link_local() && !tried.contains(&address));
        tried.push(address);
        assert!(host.slaac.find_duplicate(host.now, address));
        assert!(!host.slaac.find_duplicate(host.now, address), "it is not tried any more");
        let probe = host.tentative().map(|target| Step::Probe { target });
        assert_eq!(host.steps(), Vec::from_iter(probe));
    }
    assert_eq!((tried.len(), tried[0]), (4, ip(LINK_LOCAL)));
    assert!(host.after(2).is_empty());
    assert_eq!(host.slaac.link_local(), None);
}

#[test]
fn an_address_in_use_stays_whoever_claims_it() {
    let mut host = Host::settled();
    assert!(!host.slaac.find_duplicate(host.now, ip(LINK_LOCAL)));
    assert!(!host.slaac.find_duplicate(host.now, ip("2001:db8::1")));
    assert_eq!(host.steps(), []);
    host.hear("fe80::1", &Advert::new(0).prefix("2001:db8::", 64, BOTH, 9000, 9000));
    let (first, mut second) = (host.tentative().unwrap(), host.tentative().unwrap());
    while second == first {
        host.slaac.find_duplicate(host.now, first);
        second = host.tentative().unwrap();
    }
    host.steps();
    assert_eq!(host.after(1), [usable(second)]);
}

#[test]
fn addresses_grow_old_and_end() {
    let mut host = Host::settled();
    let advert = Advert::new(0).prefix("2001:db8::", 64, BOTH, 9000, 500);
    host.hear("fe80::1", &advert);
    let address = host.tentative().unwrap();
    assert_eq!(host.after(1), [usable(address)]);
    assert_eq!(host.after(498), []);
    assert_eq!(host.after(1), [Step::AddressUsable { address, deprecated: true }]);
    assert_eq!(host.hear("fe80::1", &advert), [usable(address)]);
    assert_eq!(host.after(500).len(), 1);
    assert_eq!(host.after(8499), []);
    let network = ip("2001:db8::");
    let ended = [Step::OffLink { network, len: 64 }, Step::AddressGone { address }];
    assert_eq!(host.after(1), ended);
    assert_eq!(host.slaac.deadline(), None);
    host.hear("fe80::1", &advert);
    assert_eq!(host.tentative().unwrap(), address, "the same in the same network");
}

#[test]
fn two_hours_of_an_address_cannot_be_taken_away() {
    let lasts = |adverts: &[(u32, u32)]| {
        let mut host = Host::settled();
        let started_at = host.now;
        for (wait, valid) in adverts {
            host.after((*wait).into());
            host.hear("fe80::1", &Advert::new(0).prefix("2001:db8::", 64, AUTONOMOUS, *valid, 0));
        }
        loop {
            host.now = host.slaac.deadline().unwrap();
            let is_end = |step: &Step| matches!(step, Step::AddressGone { .. });
            if host.steps().iter().any(is_end) {
                return (host.now - started_at).secs();
            }
        }
    };
    assert_eq!(lasts(&[(0, 100)]), 100);
    assert_eq!(lasts(&[(0, 100), (50, 90)]), 140, "longer than what is left");
    assert_eq!(lasts(&[(0, 100), (50, 10)]), 100);
    assert_eq!(lasts(&[(0, 100), (50, 0)]), 100);
    assert_eq!(lasts(&[(0, 10_000), (100, 0)]), 7300);
    assert_eq!(lasts(&[(0, 10_000), (100, 7201)]), 7301);
    assert_eq!(lasts(&[(0, u32::MAX), (100, 0)]), 7300);
    assert_eq!(lasts(&[(0, 7000), (100, 0)]), 7000);
}

#[test]
fn lifetimes_may_be_without_end() {
    let mut host = Host::settled();
    let advert = Advert::new(0)
        .prefix("2001:db8::", 64, BOTH, u32::MAX, u32::MAX)
        .dns(u32::MAX, &["fe80::53"]);
    host.hear("fe80::1", &advert);
    assert_eq!(host.after(1).len(), 1);
    assert_eq!(host.slaac.deadline(), None);
    assert_eq!(host.after(1 << 40), []);
}

#[test]
fn what_is_on_the_wire_is_told_apart_from_addresses() {
    let mut host = Host::settled();
    let network = ip("2001:db8::");
    let on = Advert::new(0).prefix("2001:db8::77", 56, ON_LINK, 100, 0);
    let (on_link, off_link) =
        (Step::OnLink { network, len: 56 }, Step::OffLink { network, len: 56 });
    assert_eq!(host.hear("fe80::1", &on), [on_link]);
    assert_eq!(host.hear("fe80::1", &on), []);
    let off = Advert::new(0).prefix("2001:db8::", 56, ON_LINK, 0, 0);
    assert_eq!(host.hear("fe80::1", &off), [off_link]);
    assert_eq!(host.hear("fe80::1", &on), [on_link]);
    assert_eq!(host.after(100), [off_link]);
    // Addresses without a network on the wire.
    let steps = host.hear("fe80::1", &Advert::new(0).prefix("fd00::", 64, AUTONOMOUS, 100, 100));
    assert!(matches!(steps[..], [Step::Probe { .. }]), "{steps:?}");
}

#[test]
fn prefixes_of_no_use_are_ignored() {
    let mut host = Host::settled();
    for (network, len, flags, valid, preferred) in [
        ("fe80::", 64, BOTH, 100, 100),
        ("ff02::", 64, BOTH, 100, 100),
        ("::", 0, BOTH, 100, 100),
        ("::ffff:0:0", 96, BOTH, 100, 100),
        ("::1", 128, BOTH, 100, 100),
        ("2001:db8::", 129, BOTH, 100, 100),
        ("2001:db8::", 255, BOTH, 100, 100),
        ("2001:db8::", 64, BOTH, 0, 0),
        ("2001:db8::", 64, 0, 100, 100),
        ("2001:db8::", 64, AUTONOMOUS, 100, 101),
        ("2001:db8::", 63, AUTONOMOUS, 100, 100),
        ("2001:db8::", 65, AUTONOMOUS, 100, 100),
    ] {
        let advert = Advert::new(0).prefix(network, len, flags, valid, preferred);
        assert_eq!(host.hear("fe80::1", &advert), [], "{network}/{len} {flags:x} {valid}");
    }
    assert_eq!(host.slaac.deadline(), None);
}

#[test]
fn routers_networks_and_name_servers_are_few() {
    let mut host = Host::settled();
    let mut steps = Vec::new();
    for n in 1..=20 {
        let advert = Advert::new(100 * n)
            .prefix(&std::format!("2001:db8:{n}::"), 64, BOTH, 100, 100)
            .dns(100, &[&std::format!("2001:db8::{n}"), "::1", "ff02::1", "::"]);
        steps.extend(host.hear(&std::format!("fe80::{n}"), &advert));
    }
    let count = |is_it: fn(&Step) -> bool| steps.iter().filter(|step| is_it(step)).count();
    assert_eq!(count(|step| matches!(step, Step::Probe { .. })), 4);
    assert_eq!(count(|step| matches!(step, Step::OnLink { .. })), 4);
    assert_eq!(count(|step| matches!(step, Step::RouterFound { .. })), 2);
    let dns: Vec<_> = host.slaac.dns().collect();
    assert_eq!(dns, ["2001:db8::1", "2001:db8::2", "2001:db8::3"].map(ip));
    // Those that end make room for others.
    assert_eq!(host.hear("fe80::1", &Advert::new(0).dns(0, &["2001:db8::1"])).len(), 2);
    assert_eq!(host.slaac.dns().count(), 2);
    let steps = host.hear("fe80::9", &Advert::new(100).mtu(1279).mtu(65_536));
    assert_eq!(steps, [Step::RouterFound { router: ip("fe80::9"), mac: None }]);
}

#[test]
fn messages_that_are_not_as_they_should_be_are_refused() {
    let mut host = Host::settled();
    let good = Advert::new(100).mtu(1400).0;
    let mut hear = |source: &str, hop_limit: u8, message: &[u8]| {
        let was_taken = host.slaac.receive(host.now, ip(source), hop_limit, message);
        assert_eq!(was_taken, !host.steps().is_empty());
        was_taken
    };
    assert!(!hear("fe80::1", 254, &good), "it crossed a router");
    for source in ["2001:db8::1", "::", "ff02::1", LINK_LOCAL] {
        assert!(!hear(source, 255, &good), "{source}");
    }
    for (place, value) in [(0, 133), (1, 1), (17, 0), (17, 2), (17, 255)] {
        let mut message = good.clone();
        message[place] = value;
        assert!(!hear("fe80::1", 255, &message), "{place}");
    }
    for len in (0..good.len()).filter(|len| *len != 16) {
        assert!(!hear("fe80::1", 255, &good[..len]), "{len}");
    }
    assert!(hear("fe80::1", 255, &good));
    // Options that are unknown or of an odd length are skipped.
    let odd = [200, 1, 0, 0, 0, 0, 0, 0, 5, 2, 0, 0, 0, 0, 5, 99, 0, 0, 0, 0, 0, 0, 0, 0];
    let mut message = good;
    message.splice(16..16, odd);
    message.extend([25, 1, 0, 0, 0, 0, 0, 9, 3, 1, 64, BOTH, 0, 0, 0, 9]);
    message[7] = 0;
    assert!(hear("fe80::1", 255, &message));
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_bytes_do_no_harm(
        message in prop::collection::vec(any::<u8>(), 0..300),
        options in prop::collection::vec((any::<u8>(), 0_u8..6, any::<[u8; 30]>()), 0..20),
    ) {
        let mut host = Host::settled();
        host.slaac.receive(host.now, ip("fe80::1"), 255, &message);
        let mut advert = Advert::new(9).0;
        for (kind, len, data) in options {
            let known = [1, 3, 5, 25];
            let kind = if kind < 200 { known[usize::from(kind) % 4] } else { kind };
            advert.extend([kind, len]);
            advert.extend(&data[..(usize::from(len) * 8).saturating_sub(2).min(30)]);
        }
        host.slaac.receive(host.now, ip("fe80::1"), 255, &advert);
        host.steps();
        prop_assert!(host.slaac.deadline().is_none_or(|at| at > host.now));
    }

    /// Whatever routers say: steps are consistent (nothing goes that did not come, nothing comes
    /// twice), few, and come to an end; every address was probed first.
    #[test]
    fn any_sequence_is_consistent(
        events in prop::collection::vec(
            (0_u16..6, 0_u32..8, 0_u32..8, 0_u8..4, 0_u8..8, 0_u64..40, any::<bool>()), 0..150),
    ) {
        let mut host = Host::new();
        let (mut addresses, mut networks, mut routers) = (Vec::new(), Vec::new(), Vec::new());
        let mut probed = Vec::new();
        let lifetimes = [0, 1, 2, 30, 100, 7201, 20_000, u32::MAX];
        for (n, valid, preferred, flags, kind, wait, duplicate) in events {
            host.now += Duration::from_secs(if kind == 7 { wait * 300 } else { wait / 10 });
            let (valid, preferred) = (lifetimes[valid as usize], lifetimes[preferred as usize]);
            let network = std::format!("2001:db8:{n}::");
            let advert = Advert::new(if kind < 3 { (valid as u16) & 0xff } else { 0 })
                .prefix(&network, if kind == 6 { 60 } else { 64 }, flags << 6, valid, preferred)
                .dns(valid, &[&std::format!("fd00::{n}")]);
            host.slaac.receive(host.now, ip(&std::format!("fe80::{n}")), 255, &advert.0);
            if duplicate && kind == 4 && let Some(address) = probed.last() {
                host.slaac.find_duplicate(host.now, *address);
            }
            let steps = host.steps();
            prop_assert!(steps.len() < 40);
            for step in steps {
                match step {
                    Step::Probe { target } => probed.push(target),
                    Step::AddressUsable { address, deprecated } => {
                        prop_assert!(probed.contains(&address));
                        prop_assert!(!addresses.contains(&(address, deprecated)));
                        addresses.retain(|(other, _)| *other != address);
                        addresses.push((address, deprecated));
                    }
                    Step::AddressGone { address } => {
                        let count = addresses.len();
                        addresses.retain(|(other, _)| *other != address);
                        prop_assert_eq!(addresses.len() + 1, count);
                    }
                    Step::OnLink { network, len } => {
                        prop_assert!(!networks.contains(&(network, len)));
                        networks.push((network, len));
                    }
                    Step::OffLink { network, len } => {
                        let place = networks.iter().position(|it| *it == (network, len));
                        networks.remove(place.unwrap());
                    }
                    Step::RouterFound { router, .. } => {
                        prop_assert!(!routers.contains(&router));
                        routers.push(router);
                    }
                    Step::RouterGone { router } => {
                        let place = routers.iter().position(|it| *it == router);
                        routers.remove(place.unwrap());
                    }
                    Step::SolicitRouters { .. } | Step::Mtu(_) | Step::DnsChanged => {}
                }
            }
            prop_assert!(addresses.len() <= 5 && networks.len() <= 4 && routers.len() <= 2);
            prop_assert!(host.slaac.deadline().is_none_or(|at| at > host.now));
        }
    }
}
