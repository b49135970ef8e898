//! ICMP messages as bytes, both ways: echoes and errors (RFC 792, RFC 4443), and who is at an IPv6
//! address (RFC 4861, 4.3 and 4.4). It holds no state.

use core::net::{IpAddr, Ipv6Addr};

use super::checksum::{Sum, pseudo_header};
use super::ip::{IPV4_HEADER_BYTES, IPV6_HEADER_BYTES, Packet, parse_quoted, protocol};
use crate::tcp::seq::Seq;

/// Type, code, checksum, and a word whose meaning depends on them.
const HEADER_BYTES: usize = 8;
/// An error quotes no more than this, so that it fits in the smallest IPv6 MTU.
const QUOTE_BYTES_MAX: usize = 1232;
/// RFC 1812, 4.3.2.3, for IPv4.
const QUOTE_BYTES_MAX_IPV4: usize = 548;

mod kind {
    pub(super) const ECHO_REPLY: u8 = 0;
    pub(super) const UNREACHABLE: u8 = 3;
    pub(super) const ECHO: u8 = 8;
    pub(super) const V6_UNREACHABLE: u8 = 1;
    pub(super) const V6_TOO_BIG: u8 = 2;
    pub(super) const V6_ECHO: u8 = 128;
    pub(super) const V6_ECHO_REPLY: u8 = 129;
    pub(super) const V6_ROUTER_SOLICITATION: u8 = 133;
    pub(super) const V6_ROUTER_ADVERTISEMENT: u8 = 134;
    pub(super) const V6_SOLICITATION: u8 = 135;
    pub(super) const V6_ADVERTISEMENT: u8 = 136;
}

/// Options of neighbour discovery: whose Ethernet address it is.
mod option {
    pub(super) const SOURCE: u8 = 1;
    pub(super) const TARGET: u8 = 2;
}

/// A message that arrived.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Message<'a> {
    /// Everything behind the checksum comes back.
    Echo(&'a [u8]),
    /// A packet of ours did not arrive.
    Error {
        about: Quoted,
        reason: Reason,
    },
    Solicitation {
        target: Ipv6Addr,
        source_mac: Option<[u8; 6]>,
    },
    Advertisement {
        target: Ipv6Addr,
        mac: Option<[u8; 6]>,
        solicited: bool,
        overrides: bool,
    },
    /// The whole message.
    RouterAdvertisement(&'a [u8]),
}

/// Why a packet did not arrive.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reason {
    /// Nobody listens there, or it is forbidden.
    Refused,
    /// It cannot be reached now.
    Unreachable,
    /// It is larger than this many bytes; zero if the router is too old to tell (RFC 1191).
    TooBig(usize),
}

/// What an error tells of the packet that it is about. All of it may be invented.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Quoted {
    pub(crate) source: IpAddr,
    pub(crate) destination: IpAddr,
    pub(crate) protocol: u8,
    pub(crate) source_port: u16,
    pub(crate) destination_port: u16,
    /// Of a TCP segment.
    pub(crate) sequence: Seq,
    pub(crate) packet_bytes: usize,
}

/// Reads a message whose checksum is right. `None` if it is of no use.
pub(crate) fn parse<'a>(packet: &Packet<'a>) -> Option<Message<'a>> {
    let message = packet.payload;
    let (&[kind, code, ..], _) = message.split_first_chunk::<HEADER_BYTES>()?;
    match (packet.protocol, kind) {
        (protocol::ICMP, kind::ECHO) | (protocol::ICMPV6, kind::V6_ECHO) => {
            Some(Message::Echo(&message[4..]))
        }
        (protocol::ICMP, kind::UNREACHABLE) => {
            let about = parse_quote(&message[HEADER_BYTES..])?;
            let mtu = u16::from_be_bytes([message[6], message[7]]);
            let reason = match code {
                4 => Reason::TooBig(mtu.into()),
                2 | 3 | 9 | 10 | 13 => Reason::Refused,
                _ => Reason::Unreachable,
            };
            Some(Message::Error { about, reason })
        }
        (protocol::ICMPV6, kind::V6_UNREACHABLE) => {
            let about = parse_quote(&message[HEADER_BYTES..])?;
            let reason =
                if matches!(code, 1 | 4..=6) { Reason::Refused } else { Reason::Unreachable };
            Some(Message::Error { about, reason })
        }
        (protocol::ICMPV6, kind::V6_TOO_BIG) => {
            let about = parse_quote(&message[HEADER_BYTES..])?;
            let mtu = u32::from_be_bytes([message[4], message[5], message[6], message[7]]);
            Some(Message::Error { about, reason: Reason::TooBig(mtu as usize) })
        }
        // RFC 4861: these come from the own wire only.
        (protocol::ICMPV6, kind::V6_SOLICITATION) if packet.hop_limit == 255 && code == 0 => {
            let (target, options) = parse_target(message)?;
            Some(Message::Solicitation { target, source_mac: option_mac(options, option::SOURCE) })
        }
        (protocol::ICMPV6, kind::V6_ADVERTISEMENT) if packet.hop_limit == 255 && code == 0 => {
            let (target, options) = parse_target(message)?;
            let mac = option_mac(options, option::TARGET);
            let (solicited, overrides) = (message[4] & 0x40 != 0, message[4] & 0x20 != 0);
            Some(Message::Advertisement { target, mac, solicited, overrides })
        }
        (protocol::ICMPV6, kind::V6_ROUTER_ADVERTISEMENT)
            if packet.hop_limit == 255 && code == 0 =>
        {
            Some(Message::RouterAdvertisement(message))
        }
        _ => None,
    }
}

fn parse_quote(quote: &[u8]) -> Option<Quoted> {
    let (source, destination, protocol, packet_bytes, upper) = parse_quoted(quote)?;
    let (ports, _) = upper.split_first_chunk::<8>()?;
    let [s0, s1, d0, d1, q0, q1, q2, q3] = *ports;
    Some(Quoted {
        source,
        destination,
        protocol,
        source_port: u16::from_be_bytes([s0, s1]),
        destination_port: u16::from_be_bytes([d0, d1]),
        sequence: Seq(u32::from_be_bytes([q0, q1, q2, q3])),
        packet_bytes,
    })
}

fn parse_target(message: &[u8]) -> Option<(Ipv6Addr, &[u8])> {
    let (target, options) = message.get(HEADER_BYTES..)?.split_first_chunk::<16>()?;
    let target = Ipv6Addr::from(*target);
    (!target.is_multicast()).then_some((target, options))
}

/// The Ethernet address in the option of this kind.
fn option_mac(mut options: &[u8], wanted: u8) -> Option<[u8; 6]> {
    while let &[kind, len, ..] = options {
        let bytes = usize::from(len) * 8;
        let (option, rest) = options.split_at_checked(bytes).filter(|_| bytes > 0)?;
        if kind == wanted {
            return option[2..].first_chunk::<6>().copied();
        }
        options = rest;
    }
    None
}

/// A short message with its checksum.
pub(crate) struct Written {
    bytes: [u8; 32],
    len: usize,
}

impl Written {
    pub(crate) fn as_slice(&self) -> &[u8] {
        &self.bytes[..self.len]
    }

    fn put(&mut self, bytes: &[u8]) {
        self.bytes[self.len..self.len + bytes.len()].copy_from_slice(bytes);
        self.len += bytes.len();
    }
}

/// The first four bytes of the answer to an echo, of which the rest comes back unchanged.
pub(crate) fn echo_reply(source: IpAddr, destination: IpAddr, rest: &[u8]) -> [u8; 4] {
    let (kind, sum) = match source {
        IpAddr::V4(_) => (kind::ECHO_REPLY, Sum::default()),
        IpAddr::V6(_) => {
            let bytes = 4 + rest.len();
            (kind::V6_ECHO_REPLY, pseudo_header(source, destination, protocol::ICMPV6, bytes))
        }
    };
    let [high, low] = sum.add(&[kind, 0]).add(rest).finish();
    [kind, 0, high, low]
}

/// The header of an error that says that nobody listens on a port, and how much of the packet it
/// quotes in a packet of at most `mtu` bytes.
pub(crate) fn port_unreachable(
    source: IpAddr,
    destination: IpAddr,
    about: &[u8],
    mtu: usize,
) -> ([u8; HEADER_BYTES], &[u8]) {
    let (kind, code, quote_max, ip_header_bytes) = match source {
        IpAddr::V4(_) => (kind::UNREACHABLE, 3, QUOTE_BYTES_MAX_IPV4, IPV4_HEADER_BYTES),
        IpAddr::V6(_) => (kind::V6_UNREACHABLE, 4, QUOTE_BYTES_MAX, IPV6_HEADER_BYTES),
    };
    let quote_max = quote_max.min(mtu.saturating_sub(ip_header_bytes + HEADER_BYTES));
    let quote = &about[..about.len().min(quote_max)];
    let sum = match source {
        IpAddr::V4(_) => Sum::default(),
        IpAddr::V6(_) => {
            pseudo_header(source, destination, protocol::ICMPV6, HEADER_BYTES + quote.len())
        }
    };
    let [high, low] = sum.add(&[kind, code]).add(quote).finish();
    ([kind, code, high, low, 0, 0, 0, 0], quote)
}

/// Asks who is at an address. `own_mac` is `None` as long as the own address is tentative.
pub(crate) fn solicitation(
    source: Ipv6Addr,
    destination: Ipv6Addr,
    target: Ipv6Addr,
    own_mac: Option<[u8; 6]>,
) -> Written {
    let option = own_mac.map(|mac| (option::SOURCE, mac));
    discovery(source, destination, (kind::V6_SOLICITATION, 0), Some(target), option)
}

/// Answers who is at an address: we are.
pub(crate) fn advertisement(
    source: Ipv6Addr,
    destination: Ipv6Addr,
    solicited: bool,
    own_mac: [u8; 6],
) -> Written {
    let flags = 0x20 | if solicited { 0x40 } else { 0 };
    let option = Some((option::TARGET, own_mac));
    discovery(source, destination, (kind::V6_ADVERTISEMENT, flags), Some(source), option)
}

/// Asks for routers. Without a source there is nobody to tell the Ethernet address of.
pub(crate) fn router_solicitation(
    source: Option<Ipv6Addr>,
    destination: Ipv6Addr,
    own_mac: [u8; 6],
) -> Written {
    let option = source.map(|_| (option::SOURCE, own_mac));
    let source = source.unwrap_or(Ipv6Addr::UNSPECIFIED);
    discovery(source, destination, (kind::V6_ROUTER_SOLICITATION, 0), None, option)
}

fn discovery(
    source: Ipv6Addr,
    destination: Ipv6Addr,
    (kind, flags): (u8, u8),
    target: Option<Ipv6Addr>,
    option: Option<(u8, [u8; 6])>,
) -> Written {
    let mut out = Written { bytes: [0; 32], len: HEADER_BYTES };
    (out.bytes[0], out.bytes[4]) = (kind, flags);
    if let Some(target) = target {
        out.put(&target.octets());
    }
    if let Some((option, mac)) = option {
        out.put(&[option, 1]);
        out.put(&mac);
    }
    let (source, destination) = (IpAddr::V6(source), IpAddr::V6(destination));
    let sum = pseudo_header(source, destination, protocol::ICMPV6, out.len).add(out.as_slice());
    out.bytes[2..4].copy_from_slice(&sum.finish());
    out
}

/// The Ethernet address of a group (RFC 2464, 7; RFC 1112, 6.4).
pub(crate) fn group_mac(group: IpAddr) -> [u8; 6] {
    match group {
        IpAddr::V4(group) => {
            let [_, b, c, d] = group.octets();
            [1, 0, 0x5e, b & 0x7f, c, d]
        }
        IpAddr::V6(group) => {
            let [.., a, b, c, d] = group.octets();
            [0x33, 0x33, a, b, c, d]
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn packet(payload: &[u8], protocol: u8, hop_limit: u8) -> Packet<'_> {
        let (source, destination) =
            (IpAddr::V6("fe80::1".parse().unwrap()), IpAddr::V6("fe80::2".parse().unwrap()));
        Packet { source, destination, protocol, hop_limit, payload, whole: payload }
    }

    #[test]
    fn neighbours_are_asked_and_told() {
        let (one, two): (Ipv6Addr, Ipv6Addr) =
            ("fe80::1".parse().unwrap(), "fe80::2".parse().unwrap());
        let asked = solicitation(one, two, two, Some([7; 6]));
        let asked = packet(asked.as_slice(), protocol::ICMPV6, 255);
        assert!(asked.has_valid_checksum());
        assert_eq!(
            parse(&asked),
            Some(Message::Solicitation { target: two, source_mac: Some([7; 6]) })
        );
        let told = advertisement(one, two, true, [8; 6]);
        let told = packet(told.as_slice(), protocol::ICMPV6, 255);
        assert!(told.has_valid_checksum());
        let expected = Message::Advertisement {
            target: one,
            mac: Some([8; 6]),
            solicited: true,
            overrides: true,
        };
        assert_eq!(parse(&told), Some(expected));
        assert_eq!(
            parse(&packet(told.payload, protocol::ICMPV6, 254)),
            None,
            "it came over a router"
        );
        let group = crate::slaac::address::solicited_node(two);
        assert_eq!(group_mac(IpAddr::V6(group)), [0x33, 0x33, 0xff, 0, 0, 2]);
    }

    /// Not even where IPv6 should not be, on a wire below its smallest MTU.
    #[test]
    fn a_quote_is_no_longer_than_the_wire_takes() {
        let (v4, v6) = (IpAddr::from([10, 0, 0, 1]), IpAddr::V6("fe80::1".parse().unwrap()));
        let about = [1; 3000];
        for (end, mtu, expected) in
            [(v4, 1500, 548), (v4, 576, 548), (v6, 1500, 1232), (v6, 576, 528)]
        {
            assert_eq!(port_unreachable(end, end, &about, mtu).1.len(), expected);
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn any_bytes_are_read_or_refused(
            mut bytes in prop::collection::vec(any::<u8>(), 0..120),
            kind in prop::sample::select(std::vec![1, 2, 3, 8, 128, 134, 135, 136]),
            is_v6 in any::<bool>(),
        ) {
            if let Some(first) = bytes.first_mut() {
                *first = kind;
            }
            let protocol = if is_v6 { protocol::ICMPV6 } else { protocol::ICMP };
            let _ = parse(&packet(&bytes, protocol, 255));
        }
    }
}
