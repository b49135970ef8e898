//! Which addresses and routes the kernel has for an interface, as far as a guest needs them told. Of routes those
//! of the main table count; what `ip rule` adds is the kernel's alone.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use crate::Error;
use crate::netlink::{Answer, Attributes, Message, Netlink, u32_at};

/// `struct ifaddrmsg`.
const ADDRESS_BYTES: usize = 8;
/// `struct rtmsg`.
const ROUTE_BYTES: usize = 12;
/// `struct rtnexthop`.
const NEXT_HOP_BYTES: usize = 8;
const IFA_FLAGS: u16 = 8;
/// `linux/if_addr.h`.
const IFA_F_TEMPORARY: u32 = 0x01;
const IFA_F_DADFAILED: u32 = 0x08;
const IFA_F_NOPREFIXROUTE: u32 = 0x200;
/// More of them than an engine ever sets are not taken over.
const ROUTES_MAX: usize = 256;
const ADDRESSES_MAX: usize = 64;

/// A route of an interface.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Route {
    /// The destinations: a network and the bits of its prefix.
    pub destination: (IpAddr, u8),
    /// The router on the link; without one the destinations are on the link themselves.
    pub gateway: Option<IpAddr>,
}

/// The addresses of an interface with the bits of their networks' prefixes, in the kernel's order. Without
/// link-local ones of IPv6, which a guest makes by itself, and those that somebody else has.
pub(crate) fn addresses(netlink: &mut Netlink, interface: u32) -> Result<Vec<(IpAddr, u8)>, Error> {
    let request = || Message::new(libc::RTM_GETADDR, 0, &[0; ADDRESS_BYTES]);
    let answers = netlink.dump(request, "list the addresses of the network interfaces")?;
    let found = answers.iter().filter_map(|answer| parse_address(answer, interface));
    Ok(found.take(ADDRESSES_MAX).collect())
}

fn parse_address(answer: &Answer, interface: u32) -> Option<(IpAddr, u8)> {
    let body = &answer.body;
    if answer.kind != libc::RTM_NEWADDR || u32_at(body, 4)? != interface {
        return None;
    }
    let attributes = Attributes::behind(body, ADDRESS_BYTES);
    let flags = attributes.find_u32(IFA_FLAGS).unwrap_or(u32::from(body[2]));
    let far = attributes.find(libc::IFA_ADDRESS).and_then(to_address);
    let own = attributes.find(libc::IFA_LOCAL).and_then(to_address).or(far)?;
    let is_link_local = matches!(own, IpAddr::V6(own) if own.is_unicast_link_local());
    if is_link_local || flags & (IFA_F_TEMPORARY | IFA_F_DADFAILED) != 0 {
        return None;
    }
    // The network of an address with a peer is the peer's, and has a route like any other.
    let is_alone = far != Some(own) || flags & IFA_F_NOPREFIXROUTE != 0;
    Some((own, if is_alone { bits(own) } else { body[1].min(bits(own)) }))
}

/// The routes over an interface, the best first, without those that its addresses imply.
pub(crate) fn routes(
    netlink: &mut Netlink,
    interface: u32,
    addresses: &[(IpAddr, u8)],
) -> Result<Vec<Route>, Error> {
    let request = || Message::new(libc::RTM_GETROUTE, 0, &[0; ROUTE_BYTES]);
    let answers = netlink.dump(request, "list the routes")?;
    Ok(select(answers.iter().filter_map(|answer| parse_route(answer, interface)), addresses))
}

fn select(found: impl Iterator<Item = (u32, Route)>, addresses: &[(IpAddr, u8)]) -> Vec<Route> {
    let mut found: Vec<_> = found.take(ROUTES_MAX).collect();
    found.sort_by_key(|(metric, _)| *metric);
    let is_implied = |route: &Route| {
        let is_own = |(address, len): &(IpAddr, u8)| {
            (network(*address, *len), *len) == (route.destination.0, route.destination.1)
        };
        route.gateway.is_none() && addresses.iter().any(is_own)
    };
    let mut best: Vec<(u32, Route)> = Vec::new();
    for (metric, route) in found {
        let is_worse = |(other, chosen): &(u32, Route)| {
            chosen.destination == route.destination && *other < metric
        };
        let is_known = best.iter().any(|(_, chosen)| *chosen == route);
        if !is_known && !is_implied(&route) && !best.iter().any(is_worse) {
            best.push((metric, route));
        }
    }
    best.into_iter().map(|(_, route)| route).collect()
}

fn parse_route(answer: &Answer, interface: u32) -> Option<(u32, Route)> {
    let body = &answer.body;
    let attributes = Attributes::behind(body, ROUTE_BYTES);
    let [family, len, source_len, _, table, _, _, kind] = *body.first_chunk()?;
    let table = attributes.find_u32(libc::RTA_TABLE).unwrap_or(u32::from(table));
    let is_plain = answer.kind == libc::RTM_NEWROUTE
        && table == u32::from(libc::RT_TABLE_MAIN)
        && kind == libc::RTN_UNICAST
        && source_len == 0
        && u32_at(body, 8)? & libc::RTM_F_CLONED == 0;
    if !is_plain {
        return None;
    }
    let any: IpAddr = match i32::from(family) {
        libc::AF_INET => Ipv4Addr::UNSPECIFIED.into(),
        libc::AF_INET6 => Ipv6Addr::UNSPECIFIED.into(),
        _ => return None,
    };
    let destination = attributes.find(libc::RTA_DST).map_or(Some(any), to_address)?;
    // What is link-local is on the link for everybody, and groups are.
    let is_given = match destination {
        IpAddr::V4(it) => it.is_multicast(),
        IpAddr::V6(it) => it.is_multicast() || it.is_unicast_link_local(),
    };
    if is_given || len > bits(destination) {
        return None;
    }
    let hop = next_hop(attributes, interface)?;
    if hop.find(libc::RTA_VIA).is_some() {
        return None;
    }
    let gateway = hop.find(libc::RTA_GATEWAY).map(to_address);
    let gateway = match gateway {
        Some(gateway) => Some(gateway?).filter(|gateway| !gateway.is_unspecified()),
        None => None,
    };
    let metric = attributes.find_u32(libc::RTA_PRIORITY).unwrap_or(0);
    Some((metric, Route { destination: (destination, len), gateway }))
}

/// The attributes with the router, if the route leads over the interface; the first of several such ways.
fn next_hop(attributes: Attributes<'_>, interface: u32) -> Option<Attributes<'_>> {
    let Some(mut hops) = attributes.find(libc::RTA_MULTIPATH) else {
        return (attributes.find_u32(libc::RTA_OIF)? == interface).then_some(attributes);
    };
    loop {
        let len = usize::from(u16::from_ne_bytes(*hops.first_chunk()?));
        let hop = hops.get(..len).filter(|hop| hop.len() >= NEXT_HOP_BYTES)?;
        if u32_at(hop, 4)? == interface {
            return Some(Attributes::behind(hop, NEXT_HOP_BYTES));
        }
        hops = hops.get(len.next_multiple_of(4)..)?;
    }
}

fn to_address(bytes: &[u8]) -> Option<IpAddr> {
    if let Ok(bytes) = <[u8; 4]>::try_from(bytes) {
        return Some(bytes.into());
    }
    Some(<[u8; 16]>::try_from(bytes).ok()?.into())
}

/// The bits of an address of this family.
pub(crate) fn bits(address: IpAddr) -> u8 {
    if address.is_ipv4() { 32 } else { 128 }
}

/// The network that an address is in.
pub(crate) fn network(address: IpAddr, len: u8) -> IpAddr {
    let len = u32::from(len);
    match address {
        IpAddr::V4(it) => Ipv4Addr::from_bits(it.to_bits() & !u32::MAX.unbounded_shr(len)).into(),
        IpAddr::V6(it) => Ipv6Addr::from_bits(it.to_bits() & !u128::MAX.unbounded_shr(len)).into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    fn route(destination: &str, len: u8, gateway: Option<&str>) -> Route {
        Route { destination: (ip(destination), len), gateway: gateway.map(ip) }
    }

    #[test]
    fn implied_and_worse_routes_are_left_out() {
        let found = [
            (0, route("10.0.0.0", 24, None)),
            (200, route("0.0.0.0", 0, Some("10.0.0.9"))),
            (100, route("0.0.0.0", 0, Some("10.0.0.1"))),
            (0, route("169.254.1.1", 32, None)),
            (1024, route("::", 0, Some("fe80::1"))),
            (1024, route("::", 0, Some("fe80::2"))),
        ];
        let selected = select(found.into_iter(), &[(ip("10.0.0.2"), 24)]);
        let expected = [
            route("169.254.1.1", 32, None),
            route("0.0.0.0", 0, Some("10.0.0.1")),
            route("::", 0, Some("fe80::1")),
            route("::", 0, Some("fe80::2")),
        ];
        assert_eq!(selected, expected);
    }

    #[test]
    fn a_network_is_the_first_bits() {
        assert_eq!(network(ip("10.1.2.3"), 16), ip("10.1.0.0"));
        assert_eq!(network(ip("10.1.2.3"), 0), ip("0.0.0.0"));
        assert_eq!(network(ip("2001:db8::7"), 128), ip("2001:db8::7"));
    }

    proptest! {
        #[test]
        fn any_answer_is_no_panic(body in proptest::collection::vec(any::<u8>(), 0..100)) {
            for kind in [libc::RTM_NEWADDR, libc::RTM_NEWROUTE] {
                let answer = Answer { kind, body: body.clone() };
                let _ = parse_address(&answer, 2);
                let _ = parse_route(&answer, 2);
            }
            let _ = next_hop(Attributes(&body), 2);
        }
    }
}
