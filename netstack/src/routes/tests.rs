//! Choices by example and against a plain search; what is refused.

use super::*;
use proptest::prelude::*;

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

fn prefix(text: &str) -> Prefix {
    let (address, len) = text.split_once('/').unwrap();
    Prefix::new(ip(address), len.parse().unwrap()).unwrap()
}

fn on_link(destination: &str) -> Route {
    Route { destination: prefix(destination), gateway: None }
}

fn via(destination: &str, gateway: &str) -> Route {
    Route { destination: prefix(destination), gateway: Some(ip(gateway)) }
}

fn own(text: &str) -> OwnAddress {
    let (address, len) = text.split_once('/').unwrap();
    OwnAddress { address: ip(address), prefix_len: len.parse().unwrap(), deprecated: false }
}

fn routes(addresses: &[&str], routes: &[Route]) -> Routes {
    let mut made = Routes::new().unwrap();
    addresses.iter().for_each(|address| made.add_address(own(address)).unwrap());
    routes.iter().for_each(|route| made.add_route(*route).unwrap());
    made
}

#[test]
fn the_longest_prefix_wins() {
    let list = [
        on_link("10.0.0.0/24"),
        via("0.0.0.0/0", "10.0.0.1"),
        via("192.168.0.0/16", "10.0.0.2"),
        via("192.168.7.0/24", "10.0.0.3"),
        on_link("2001:db8::/64"),
        via("::/0", "fe80::1"),
    ];
    let routes = routes(&["10.0.0.9/24", "2001:db8::9/64", "fe80::9/64"], &list);
    for (destination, hop) in [
        ("10.0.0.77", Some("10.0.0.77")),
        ("10.0.1.77", Some("10.0.0.1")),
        ("192.168.1.1", Some("10.0.0.2")),
        ("192.168.7.1", Some("10.0.0.3")),
        ("255.255.255.255", Some("255.255.255.255")),
        ("224.0.0.251", Some("224.0.0.251")),
        ("2001:db8::5", Some("2001:db8::5")),
        ("2001:db8:1::5", Some("fe80::1")),
        ("fe80::77", Some("fe80::77")),
        ("ff02::1", Some("ff02::1")),
        ("::", None),
        ("::1", None),
        ("0.0.0.0", None),
        ("127.0.0.1", None),
    ] {
        assert_eq!(routes.next_hop(ip(destination)), hop.map(ip), "{destination}");
    }
    assert!(routes.is_broadcast(Ipv4Addr::new(10, 0, 0, 255)));
    assert!(!routes.is_broadcast(Ipv4Addr::new(10, 0, 1, 255)));
}

#[test]
fn without_a_route_there_is_no_hop() {
    let routes = routes(&["10.0.0.9/24"], &[on_link("10.0.0.0/24")]);
    assert_eq!(routes.next_hop(ip("9.9.9.9")), None);
    assert_eq!(routes.next_hop(ip("2001:db8::1")), None);
}

#[test]
fn a_gateway_that_is_silent_gives_way_to_another() {
    let (first, second) = (via("::/0", "fe80::1"), via("::/0", "fe80::2"));
    let mut routes = routes(&["fe80::9/64"], &[first, second, via("2001:db8::/32", "fe80::1")]);
    let far = ip("2600::1");
    assert_eq!(routes.next_hop(far), first.gateway);
    routes.demote_gateway(ip("fe80::1"));
    assert_eq!(routes.next_hop(far), second.gateway);
    routes.demote_gateway(ip("fe80::2"));
    assert_eq!(routes.next_hop(far), first.gateway);
    routes.retain_routes(|route| *route != first);
    assert_eq!(routes.next_hop(far), second.gateway);
    assert_eq!(routes.next_hop(ip("2001:db8::1")), first.gateway, "the only one for it");
}

#[test]
fn the_source_has_the_scope_and_the_longest_match() {
    let mut routes = routes(
        &["fe80::9/64", "2001:db8:1::9/64", "2001:db8:2::9/64", "fd00::9/64", "10.0.0.9/24"],
        &[],
    );
    for (destination, source) in [
        ("fe80::1", "fe80::9"),
        ("ff02::1", "fe80::9"),
        ("ff0e::1", "2001:db8:1::9"),
        ("2001:db8:1::1", "2001:db8:1::9"),
        ("2001:db8:2::1", "2001:db8:2::9"),
        ("2600::1", "2001:db8:1::9"),
        ("fd00::1", "fd00::9"),
        ("fd00::9", "fd00::9"),
        ("9.9.9.9", "10.0.0.9"),
        ("224.0.0.251", "10.0.0.9"),
    ] {
        assert_eq!(routes.source_for(ip(destination)), Some(ip(source)), "{destination}");
    }
    let old = OwnAddress { deprecated: true, ..own("2001:db8:2::9/64") };
    routes.add_address(old).unwrap();
    assert_eq!(routes.source_for(ip("2001:db8:2::1")), Some(ip("2001:db8:1::9")));
    routes.retain_addresses(|own| own.deprecated || own.address == ip("fe80::9"));
    assert_eq!(routes.source_for(ip("2600::1")), Some(old.address), "better than none");
    routes.retain_addresses(|own| !own.deprecated);
    assert_eq!(routes.source_for(ip("2600::1")), None, "no answer would find back");
    assert_eq!(routes.source_for(ip("9.9.9.9")), None);
}

#[test]
fn addresses_that_no_host_can_have_are_refused() {
    let mut routes = routes(&[], &[]);
    for (address, prefix_len) in [
        ("10.0.0.1", 0),
        ("10.0.0.1", 33),
        ("10.0.0.0", 24),
        ("10.0.0.255", 24),
        ("127.0.0.1", 8),
        ("224.0.0.1", 24),
        ("0.0.0.1", 24),
        ("::", 64),
        ("::1", 128),
        ("ff02::1", 64),
        ("::ffff:10.0.0.1", 96),
        ("2001:db8::1", 129),
        ("2001:db8::1", 0),
    ] {
        let address = OwnAddress { address: ip(address), prefix_len, deprecated: false };
        let refused = RouteError::AddressNotUsable(address.address, prefix_len);
        assert_eq!(routes.add_address(address), Err(refused));
    }
    for address in ["10.0.0.0/31", "10.0.0.1/31", "10.0.0.1/32", "2001:db8::1/128"] {
        routes.add_address(own(address)).unwrap();
    }
}

#[test]
fn gateways_are_other_hosts_on_the_wire() {
    let mut routes = routes(&["10.0.0.9/24"], &[on_link("10.0.0.0/24")]);
    for gateway in ["10.0.0.9", "10.0.0.255", "10.0.1.1", "224.0.0.1", "fe80::1", "127.0.0.1"] {
        let refused = RouteError::GatewayNotOnLink(ip(gateway));
        assert_eq!(routes.add_route(via("0.0.0.0/0", gateway)), Err(refused));
    }
    for gateway in ["::1", "ff02::1", "2001:db8::1", "10.0.0.1"] {
        let refused = RouteError::GatewayNotOnLink(ip(gateway));
        assert_eq!(routes.add_route(via("::/0", gateway)), Err(refused));
    }
}

#[test]
fn the_lists_are_bounded() {
    let mut routes = routes(&[], &[]);
    for n in 0..ROUTES_MAX {
        routes.add_route(on_link(&std::format!("10.{n}.0.0/16"))).unwrap();
    }
    assert_eq!(routes.add_route(on_link("10.99.0.0/16")), Err(RouteError::TooManyRoutes));
    assert_eq!(routes.add_route(on_link("10.3.0.0/16")), Ok(()), "it is there already");
    for n in 0..ADDRESSES_MAX {
        routes.add_address(own(&std::format!("10.0.0.{}/24", n + 1))).unwrap();
    }
    assert_eq!(routes.add_address(own("10.0.0.99/24")), Err(RouteError::TooManyAddresses));
    routes.add_address(own("10.0.0.1/16")).unwrap();
    assert_eq!(routes.addresses().len(), ADDRESSES_MAX);
}

fn any_ip() -> impl Strategy<Value = IpAddr> {
    // Few different bits, so that prefixes match.
    let bits = any::<(u8, u8, u8)>();
    (bits, any::<bool>()).prop_map(|((first, middle, last), is_ipv4)| match is_ipv4 {
        true => Ipv4Addr::new(first | 8, middle & 3, 0, last & 7).into(),
        false => Ipv6Addr::new(
            u16::from(first) << 8,
            u16::from(middle & 3),
            0,
            0,
            0,
            0,
            0,
            u16::from(last & 7),
        )
        .into(),
    })
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]
    /// The hop is what a walk over all routes that match would choose, and the source is one of
    /// the own addresses.
    #[test]
    fn equals_a_plain_search(
        list in prop::collection::vec((any_ip(), 0_u8..=130, prop::option::of(any_ip())), 0..30),
        addresses in prop::collection::vec((any_ip(), 0_u8..=130, any::<bool>()), 0..12),
        destinations in prop::collection::vec(any_ip(), 1..20),
    ) {
        let mut routes = Routes::new().unwrap();
        for (address, prefix_len, deprecated) in addresses {
            let _ = routes.add_address(OwnAddress { address, prefix_len, deprecated });
        }
        let mut taken: std::vec::Vec<Route> = std::vec::Vec::new();
        for (network, len, gateway) in list {
            let Some(destination) = Prefix::new(network, len) else { continue };
            prop_assert!(destination.contains(network));
            let route = Route { destination, gateway };
            if routes.add_route(route).is_ok() && !taken.contains(&route) {
                taken.push(route);
            }
        }
        prop_assert!(taken.len() <= ROUTES_MAX && routes.routes().len() == taken.len());
        for to in destinations {
            let matching = taken.iter().rev().filter(|route| route.destination.contains(to));
            let best = matching.max_by_key(|route| route.destination.len());
            let is_local = matches!(to, IpAddr::V6(to) if to.is_unicast_link_local());
            if !to.is_multicast() && !to.is_loopback() && !to.is_unspecified() && !is_local {
                prop_assert_eq!(routes.next_hop(to), best.map(|it| it.gateway.unwrap_or(to)));
            }
            prop_assert!(routes.source_for(to).is_none_or(|source| routes.is_own(source)));
        }
    }
}
