//! The network that the guest sees, and which destinations it may reach. It decides about
//! addresses only; it opens nothing.
//!
//! The guest may reach what any machine beside the host could: the internet and private networks,
//! the host's own addresses in them included. It may not reach the host's loopback, which holds
//! what the host keeps for itself (unless that is allowed, and then only at the gateway's address);
//! nor link-local addresses, where clouds hand out credentials, nor the other addresses where they
//! do; nor groups and reserved addresses.

use std::net::{IpAddr, Ipv4Addr, SocketAddr, SocketAddrV4};

/// The gateway, and the guest's router.
pub const GATEWAY: Ipv4Addr = Ipv4Addr::new(10, 0, 2, 2);
/// Where questions to the resolver go.
pub const DNS: Ipv4Addr = Ipv4Addr::new(10, 0, 2, 3);
/// The guest.
pub const GUEST: Ipv4Addr = Ipv4Addr::new(10, 0, 2, 15);
/// The length of the network's prefix.
pub const PREFIX_LEN: u8 = 24;
/// The mask of that length.
pub(crate) const NETMASK: Ipv4Addr = Ipv4Addr::new(255, 255, 255, 0);
/// The gateway's Ethernet address, locally administered.
pub const GATEWAY_MAC: [u8; 6] = [0x52, 0x55, 10, 0, 2, 2];

pub(crate) const DNS_PORT: u16 = 53;

/// Where clouds tell a machine who it is, and hand out its credentials, beside 169.254.0.0/16.
const CLOUD_METADATA: [Ipv4Addr; 3] = [
    Ipv4Addr::new(168, 63, 129, 16),   // Azure
    Ipv4Addr::new(100, 100, 100, 200), // Alibaba Cloud
    Ipv4Addr::new(192, 0, 0, 192),     // Oracle Cloud
];

/// What the guest may reach.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct DestinationPolicy {
    allow_host_loopback: bool,
    /// Where all that lies in the host's network is looked for instead. Only the fuzzer sets it: it
    /// must reach nobody.
    instead: Option<SocketAddr>,
}

/// Where something that the guest sends ends up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Destination {
    /// A socket in the host's network.
    Host(SocketAddr),
    /// One of the host's resolvers.
    Resolver,
}

impl DestinationPolicy {
    pub(crate) const fn new(allow_host_loopback: bool) -> Self {
        Self { allow_host_loopback, instead: None }
    }

    /// The same policy, whose every way into the host's network ends at one address.
    pub(crate) const fn leading_to(self, instead: SocketAddr) -> Self {
        Self { instead: Some(instead), ..self }
    }

    /// The way to what the guest wants, or nothing if it may not go there.
    pub(crate) fn resolve(self, wanted: SocketAddrV4) -> Option<Destination> {
        match (self.decide(wanted)?, self.instead) {
            (Destination::Host(_), Some(instead)) => Some(Destination::Host(instead)),
            (destination, _) => Some(destination),
        }
    }

    fn decide(self, wanted: SocketAddrV4) -> Option<Destination> {
        let (address, port) = (*wanted.ip(), wanted.port());
        if port == 0 {
            return None;
        }
        if address == GATEWAY && self.allow_host_loopback {
            let loopback = IpAddr::V4(Ipv4Addr::LOCALHOST);
            return Some(Destination::Host(SocketAddr::new(loopback, port)));
        }
        if address == DNS && port == DNS_PORT {
            return Some(Destination::Resolver);
        }
        (!is_own_network(address) && is_reachable(address))
            .then_some(Destination::Host(wanted.into()))
    }
}

/// The network behind the wire: nobody lives there but the gateway and the guest.
fn is_own_network(address: Ipv4Addr) -> bool {
    address.to_bits() & NETMASK.to_bits() == GATEWAY.to_bits() & NETMASK.to_bits()
}

fn is_reachable(address: Ipv4Addr) -> bool {
    // 0 is "this host" (Linux: loopback), 224 and up groups, reserved and broadcast.
    let [first, ..] = address.octets();
    let is_ordinary = first != 0 && first < 224 && !address.is_loopback();
    is_ordinary && !address.is_link_local() && !CLOUD_METADATA.contains(&address)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const STRICT: DestinationPolicy = DestinationPolicy::new(false);
    const LOOPBACK: DestinationPolicy = DestinationPolicy::new(true);

    fn address(text: &str) -> SocketAddrV4 {
        text.parse().unwrap()
    }

    #[test]
    fn the_world_and_private_networks_are_reached_as_they_are() {
        for text in [
            "1.1.1.1:443",
            "192.168.1.1:80",
            "10.0.3.2:22",
            "172.16.0.1:1",
            // Beside what clouds have for themselves.
            "168.63.129.15:80",
            "100.100.100.100:80",
            "192.0.0.193:80",
        ] {
            let wanted = address(text);
            assert_eq!(STRICT.resolve(wanted), Some(Destination::Host(wanted.into())), "{text}");
        }
    }

    #[test]
    fn what_is_not_for_guests_is_refused() {
        for text in [
            "127.0.0.1:22",
            "127.255.255.254:22",
            "0.0.0.0:22",
            "0.1.2.3:22",
            "169.254.169.254:80",
            "168.63.129.16:80",
            "168.63.129.16:32526",
            "100.100.100.200:80",
            "192.0.0.192:80",
            "224.0.0.251:5353",
            "240.0.0.1:1",
            "255.255.255.255:9",
            "10.0.2.3:80",
            "10.0.2.15:80",
            "10.0.2.99:80",
            "10.0.2.255:80",
            "1.1.1.1:0",
        ] {
            for policy in [STRICT, LOOPBACK] {
                assert_eq!(policy.resolve(address(text)), None, "{text}");
            }
        }
    }

    #[test]
    fn loopback_is_reached_at_the_gateway_only_if_allowed() {
        let wanted = address("10.0.2.2:8000");
        assert_eq!(STRICT.resolve(wanted), None);
        let loopback = Destination::Host("127.0.0.1:8000".parse().unwrap());
        assert_eq!(LOOPBACK.resolve(wanted), Some(loopback));
    }

    #[test]
    fn a_policy_for_the_fuzzer_leads_nowhere_else() {
        let instead = "127.0.0.1:9".parse().unwrap();
        let policy = LOOPBACK.leading_to(instead);
        for wanted in ["1.1.1.1:443", "10.0.2.2:8000"] {
            assert_eq!(policy.resolve(address(wanted)), Some(Destination::Host(instead)));
        }
        assert_eq!(policy.resolve(address("127.0.0.1:22")), None);
        assert_eq!(policy.resolve(address("10.0.2.3:53")), Some(Destination::Resolver));
    }

    #[test]
    fn dns_leads_to_the_resolver() {
        assert_eq!(STRICT.resolve(address("10.0.2.3:53")), Some(Destination::Resolver));
    }

    /// Any address, and often one that is special.
    fn any_address() -> impl Strategy<Value = [u8; 4]> {
        let host = any::<[u8; 2]>();
        let within = |first, second| host.prop_map(move |[c, d]| [first, second, c, d]);
        prop_oneof![any::<[u8; 4]>(), within(127, 0), within(169, 254)]
    }

    proptest! {
        #[test]
        fn the_strict_policy_never_leads_to_the_host_or_its_cloud(ip in any_address(), port: u16) {
            let wanted = SocketAddrV4::new(ip.into(), port);
            if let Some(Destination::Host(host)) = STRICT.resolve(wanted) {
                prop_assert_eq!(host, SocketAddr::V4(wanted));
                prop_assert!(!host.ip().is_loopback() && !host.ip().is_unspecified());
                prop_assert!(!wanted.ip().is_link_local());
            }
        }
    }
}
