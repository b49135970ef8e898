//! IP packets in Ethernet frames: reading their headers, all of them hostile, and writing frames
//! around a payload. RFC 791, RFC 8200. It holds no state.

use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::checksum::{Sum, pseudo_header};
use super::frames::Frames;
use super::vnet::{self, Offload, Segmentation};
use crate::ETHERNET_HEADER_BYTES;

/// Protocol numbers (IANA).
pub(crate) mod protocol {
    pub(crate) const ICMP: u8 = 1;
    pub(crate) const TCP: u8 = 6;
    pub(crate) const UDP: u8 = 17;
    pub(crate) const ICMPV6: u8 = 58;
}

pub(crate) const ETHERTYPE_IPV4: u16 = 0x0800;
pub(crate) const ETHERTYPE_ARP: u16 = 0x0806;
pub(crate) const ETHERTYPE_IPV6: u16 = 0x86dd;

pub(crate) const IPV4_HEADER_BYTES: usize = 20;
pub(crate) const IPV6_HEADER_BYTES: usize = 40;
const HOP_LIMIT: u8 = 64;
const DONT_FRAGMENT: [u8; 2] = [0x40, 0];
/// IPv6 extension headers that are passed over, at most.
const EXTENSIONS_MAX: usize = 4;

/// Why a packet is dropped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Refusal {
    Malformed,
    NotForUs,
    Fragment,
    Unsupported,
}

/// The header of an Ethernet frame.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Link {
    pub(crate) destination: [u8; 6],
    pub(crate) source: [u8; 6],
    pub(crate) ethertype: u16,
}

/// Splits a frame; `None` if it is too short.
pub(crate) fn split_frame(frame: &[u8]) -> Option<(Link, &[u8])> {
    let (header, payload) = frame.split_first_chunk::<ETHERNET_HEADER_BYTES>()?;
    let [d0, d1, d2, d3, d4, d5, s0, s1, s2, s3, s4, s5, high, low] = *header;
    let ethertype = u16::from_be_bytes([high, low]);
    let (destination, source) = ([d0, d1, d2, d3, d4, d5], [s0, s1, s2, s3, s4, s5]);
    Some((Link { destination, source, ethertype }, payload))
}

/// A packet that arrived.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Packet<'a> {
    pub(crate) source: IpAddr,
    pub(crate) destination: IpAddr,
    pub(crate) protocol: u8,
    pub(crate) hop_limit: u8,
    pub(crate) payload: &'a [u8],
    /// The whole packet, for errors that quote it.
    pub(crate) whole: &'a [u8],
}

impl Packet<'_> {
    /// Whether the payload's checksum, which covers the pseudo-header, is right.
    pub(crate) fn has_valid_checksum(&self) -> bool {
        let sum = pseudo_header(self.source, self.destination, self.protocol, self.payload.len());
        sum.add(self.payload).is_valid()
    }
}

/// Reads an IPv4 packet; what the frame has behind it is cut off.
pub(crate) fn parse_ipv4(bytes: &[u8]) -> Result<Packet<'_>, Refusal> {
    let (header, _) = bytes.split_first_chunk::<IPV4_HEADER_BYTES>().ok_or(Refusal::Malformed)?;
    let header_bytes = usize::from(header[0] & 0xf) * 4;
    let total_bytes = usize::from(u16::from_be_bytes([header[2], header[3]]));
    if header[0] >> 4 != 4 || header_bytes < IPV4_HEADER_BYTES {
        return Err(Refusal::Malformed);
    }
    let whole = bytes.get(..total_bytes).ok_or(Refusal::Malformed)?;
    let (head, payload) = whole.split_at_checked(header_bytes).ok_or(Refusal::Malformed)?;
    if !Sum::default().add(head).is_valid() {
        return Err(Refusal::Malformed);
    }
    // Everything but "don't fragment", and the reserved bit.
    if u16::from_be_bytes([header[6], header[7]]) & 0x3fff != 0 {
        return Err(Refusal::Fragment);
    }
    let address = |at: usize| {
        IpAddr::V4(Ipv4Addr::new(header[at], header[at + 1], header[at + 2], header[at + 3]))
    };
    Ok(Packet {
        source: address(12),
        destination: address(16),
        protocol: header[9],
        hop_limit: header[8],
        payload,
        whole,
    })
}

/// Reads an IPv6 packet; hop-by-hop and destination options are passed over.
pub(crate) fn parse_ipv6(bytes: &[u8]) -> Result<Packet<'_>, Refusal> {
    const HOP_BY_HOP: u8 = 0;
    const ROUTING: u8 = 43;
    const FRAGMENT: u8 = 44;
    const NONE: u8 = 59;
    const DESTINATION: u8 = 60;
    let (header, rest) =
        bytes.split_first_chunk::<IPV6_HEADER_BYTES>().ok_or(Refusal::Malformed)?;
    if header[0] >> 4 != 6 {
        return Err(Refusal::Malformed);
    }
    let payload_bytes = usize::from(u16::from_be_bytes([header[4], header[5]]));
    let mut payload = rest.get(..payload_bytes).ok_or(Refusal::Malformed)?;
    let mut protocol = header[6];
    for _ in 0..=EXTENSIONS_MAX {
        match protocol {
            HOP_BY_HOP | DESTINATION => {
                let &[next, len, ..] = payload else { return Err(Refusal::Malformed) };
                let skip = (usize::from(len) + 1) * 8;
                payload = payload.get(skip..).ok_or(Refusal::Malformed)?;
                protocol = next;
            }
            FRAGMENT => return Err(Refusal::Fragment),
            ROUTING | NONE => return Err(Refusal::Unsupported),
            _ => {
                let address = |at: usize| {
                    let mut octets = [0; 16];
                    octets.copy_from_slice(&header[at..at + 16]);
                    IpAddr::V6(Ipv6Addr::from(octets))
                };
                return Ok(Packet {
                    source: address(8),
                    destination: address(24),
                    protocol,
                    hop_limit: header[7],
                    payload,
                    whole: &bytes[..IPV6_HEADER_BYTES + payload_bytes],
                });
            }
        }
    }
    Err(Refusal::Unsupported)
}

/// Reads as much of a packet as an ICMP error quotes: its ends, its protocol, its length, and what
/// there is of its payload.
pub(crate) fn parse_quoted(bytes: &[u8]) -> Option<(IpAddr, IpAddr, u8, usize, &[u8])> {
    match bytes.first()? >> 4 {
        4 => {
            let (header, _) = bytes.split_first_chunk::<IPV4_HEADER_BYTES>()?;
            let upper = bytes.get(usize::from(header[0] & 0xf) * 4..)?;
            let total_bytes = usize::from(u16::from_be_bytes([header[2], header[3]]));
            let [.., s0, s1, s2, s3, d0, d1, d2, d3] = *header;
            let source = IpAddr::from([s0, s1, s2, s3]);
            Some((source, IpAddr::from([d0, d1, d2, d3]), header[9], total_bytes, upper))
        }
        6 => {
            let (header, upper) = bytes.split_first_chunk::<IPV6_HEADER_BYTES>()?;
            let total_bytes =
                IPV6_HEADER_BYTES + usize::from(u16::from_be_bytes([header[4], header[5]]));
            let (source, rest) = header[8..].split_first_chunk::<16>()?;
            let destination = rest.first_chunk::<16>()?;
            Some((IpAddr::from(*source), IpAddr::from(*destination), header[6], total_bytes, upper))
        }
        _ => None,
    }
}

/// Where a frame goes and what kind of packet it holds.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Envelope {
    pub(crate) own_mac: [u8; 6],
    pub(crate) peer_mac: [u8; 6],
    pub(crate) source: IpAddr,
    pub(crate) destination: IpAddr,
    pub(crate) protocol: u8,
    pub(crate) hop_limit: u8,
    /// Routers may cut the packet (IPv4).
    pub(crate) may_fragment: bool,
}

impl Envelope {
    pub(crate) const fn new(
        macs: ([u8; 6], [u8; 6]),
        source: IpAddr,
        destination: IpAddr,
        protocol: u8,
    ) -> Self {
        let (own_mac, peer_mac) = macs;
        let may_fragment = false;
        Self {
            own_mac,
            peer_mac,
            source,
            destination,
            protocol,
            hop_limit: HOP_LIMIT,
            may_fragment,
        }
    }

    const fn ip_header_bytes(&self) -> usize {
        match self.source {
            IpAddr::V4(_) => IPV4_HEADER_BYTES,
            IpAddr::V6(_) => IPV6_HEADER_BYTES,
        }
    }
}

/// What lies in the envelope: a header of the layer above, and a payload in two parts.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Content<'a> {
    pub(crate) header: &'a [u8],
    pub(crate) payload: (&'a [u8], &'a [u8]),
    /// Where in the header the checksum goes, which is zero so far; `None` if it is filled in.
    pub(crate) checksum_at: Option<usize>,
    /// Larger payloads are cut into pieces of this size, if the wire can.
    pub(crate) segment_bytes: Option<usize>,
}

/// Queues a frame. `offload` if the wire computes checksums and cuts segments. False if there is
/// no memory, and the frame is lost.
pub(crate) fn push_packet(
    frames: &mut Frames,
    offload: bool,
    envelope: &Envelope,
    content: &Content<'_>,
) -> bool {
    let ip_header_bytes = envelope.ip_header_bytes();
    let payload_bytes = content.payload.0.len() + content.payload.1.len();
    let upper_bytes = content.header.len() + payload_bytes;
    let vnet_bytes = if offload { vnet::VNET_HEADER_BYTES } else { 0 };
    let upper_at = ETHERNET_HEADER_BYTES + ip_header_bytes;
    let Some(mut frame) = frames.take_buffer(vnet_bytes + upper_at + upper_bytes) else {
        return false;
    };
    if offload {
        let cut = content.segment_bytes.filter(|bytes| payload_bytes > *bytes);
        frame.extend_from_slice(&vnet::emit(&Offload {
            checksum: content.checksum_at.map(|at| (upper_at, at)),
            segment: cut.map(|segment_bytes| Segmentation {
                is_ipv6: envelope.source.is_ipv6(),
                header_bytes: upper_at + content.header.len(),
                segment_bytes,
            }),
        }));
    }
    frame.extend_from_slice(&envelope.peer_mac);
    frame.extend_from_slice(&envelope.own_mac);
    push_ip_header(&mut frame, envelope, upper_bytes);
    let start = frame.len();
    frame.extend_from_slice(content.header);
    frame.extend_from_slice(content.payload.0);
    frame.extend_from_slice(content.payload.1);
    if let Some(at) = content.checksum_at {
        let (source, destination) = (envelope.source, envelope.destination);
        let pseudo = pseudo_header(source, destination, envelope.protocol, upper_bytes);
        let sum = match offload {
            // The wire adds the rest to it.
            true => pseudo.fold(),
            false => match pseudo.add(&frame[start..]).finish() {
                // Zero would say that there is none (RFC 768).
                [0, 0] if envelope.protocol == protocol::UDP => [0xff, 0xff],
                sum => sum,
            },
        };
        frame[start + at..start + at + 2].copy_from_slice(&sum);
    }
    frames.push(frame);
    true
}

fn push_ip_header(frame: &mut alloc::vec::Vec<u8>, envelope: &Envelope, upper_bytes: usize) {
    match (envelope.source, envelope.destination) {
        (IpAddr::V4(source), IpAddr::V4(destination)) => {
            frame.extend_from_slice(&ETHERTYPE_IPV4.to_be_bytes());
            let mut header = [0; IPV4_HEADER_BYTES];
            header[0] = 0x45;
            let total_bytes = (IPV4_HEADER_BYTES + upper_bytes) as u16;
            header[2..4].copy_from_slice(&total_bytes.to_be_bytes());
            if !envelope.may_fragment {
                header[6..8].copy_from_slice(&DONT_FRAGMENT);
            }
            (header[8], header[9]) = (envelope.hop_limit, envelope.protocol);
            header[12..16].copy_from_slice(&source.octets());
            header[16..20].copy_from_slice(&destination.octets());
            let sum = Sum::default().add(&header).finish();
            header[10..12].copy_from_slice(&sum);
            frame.extend_from_slice(&header);
        }
        (source, destination) => {
            frame.extend_from_slice(&ETHERTYPE_IPV6.to_be_bytes());
            let mut header = [0; IPV6_HEADER_BYTES];
            header[0] = 0x60;
            header[4..6].copy_from_slice(&(upper_bytes as u16).to_be_bytes());
            (header[6], header[7]) = (envelope.protocol, envelope.hop_limit);
            for (at, address) in [(8, source), (24, destination)] {
                if let IpAddr::V6(address) = address {
                    header[at..at + 16].copy_from_slice(&address.octets());
                }
            }
            frame.extend_from_slice(&header);
        }
    }
}

/// Whether one host alone can have this Ethernet address.
pub(crate) fn is_unicast(mac: [u8; 6]) -> bool {
    mac[0] & 1 == 0 && mac != [0; 6]
}

/// Whether a host on the network can have this address.
pub(crate) fn is_host(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => is_ipv4_host(address),
        IpAddr::V6(address) => {
            !address.is_unspecified()
                && !address.is_loopback()
                && !address.is_multicast()
                && address.to_ipv4_mapped().is_none()
        }
    }
}

/// Whether a host on the network can have this address.
pub(crate) fn is_ipv4_host(address: Ipv4Addr) -> bool {
    let [first, ..] = address.octets();
    // 0 is "this network", 127 the host itself, 224 and up groups, reserved and broadcast.
    first != 0 && first != 127 && first < 224
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::vec::Vec;

    fn pair() -> impl Strategy<Value = (IpAddr, IpAddr)> {
        prop_oneof![
            any::<(u32, u32)>().prop_map(|(a, b)| (
                IpAddr::V4(Ipv4Addr::from_bits(a)),
                IpAddr::V4(Ipv4Addr::from_bits(b))
            )),
            any::<(u128, u128)>().prop_map(|(a, b)| (
                IpAddr::V6(Ipv6Addr::from_bits(a)),
                IpAddr::V6(Ipv6Addr::from_bits(b))
            )),
        ]
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        /// What is written is read, with a checksum that holds, whatever the frame has behind it.
        #[test]
        fn what_is_written_is_read(
            (source, destination) in pair(),
            first in prop::collection::vec(any::<u8>(), 0..50),
            second in prop::collection::vec(any::<u8>(), 0..50),
            padding in 0usize..20,
        ) {
            let mut frames = Frames::new(1, 2000).unwrap();
            let envelope = Envelope::new(([1; 6], [2; 6]), source, destination, protocol::TCP);
            let content = Content { header: &[0; 20], payload: (&first, &second), checksum_at: Some(16), segment_bytes: None };
            prop_assert!(push_packet(&mut frames, false, &envelope, &content));
            let mut frame = frames.front().unwrap().to_vec();
            frame.resize(frame.len() + padding, 7);
            let (link, bytes) = split_frame(&frame).unwrap();
            prop_assert_eq!((link.source, link.destination), ([1; 6], [2; 6]));
            let packet = if link.ethertype == ETHERTYPE_IPV4 { parse_ipv4(bytes) } else { parse_ipv6(bytes) }.unwrap();
            prop_assert_eq!((packet.source, packet.destination, packet.protocol), (source, destination, protocol::TCP));
            prop_assert_eq!(&packet.payload[20..], [first, second].concat());
            prop_assert!(packet.has_valid_checksum());
        }

        #[test]
        fn any_bytes_are_read_or_refused(mut bytes in prop::collection::vec(any::<u8>(), 0..120), version in 0u8..16) {
            if let Some(first) = bytes.first_mut() {
                *first = version << 4 | *first & 0xf;
            }
            for packet in [parse_ipv4(&bytes), parse_ipv6(&bytes)].into_iter().flatten() {
                prop_assert!(packet.payload.len() <= bytes.len());
            }
        }
    }

    #[test]
    fn extension_headers_are_passed_over_but_not_without_end() {
        let mut packet = Vec::from([0; IPV6_HEADER_BYTES]);
        packet[0] = 0x60;
        for count in 0..8u8 {
            packet[5] = count * 8 + 3;
            let mut bytes = packet.clone();
            for left in (0..count).rev() {
                bytes.extend([if left == 0 { protocol::UDP } else { 60 }, 0, 0, 0, 0, 0, 0, 0]);
            }
            bytes[6] = if count == 0 { protocol::UDP } else { 0 };
            bytes.extend([1, 2, 3]);
            match parse_ipv6(&bytes) {
                Ok(packet) => {
                    assert_eq!((packet.protocol, packet.payload), (protocol::UDP, &[1, 2, 3][..]))
                }
                Err(refusal) => assert!(count > 4 && refusal == Refusal::Unsupported),
            }
        }
        (packet[5], packet[6]) = (0, 44);
        assert_eq!(parse_ipv6(&packet).err(), Some(Refusal::Fragment));
    }

    /// A wire with offloads is told where the checksum goes and how to cut.
    #[test]
    fn offloads_are_asked_for() {
        let mut frames = Frames::new(2, 20_000).unwrap();
        let ends = (IpAddr::from([10, 0, 0, 1]), IpAddr::from([10, 0, 0, 2]));
        let envelope = Envelope::new(([1; 6], [2; 6]), ends.0, ends.1, protocol::TCP);
        let content = Content {
            header: &[0; 32],
            payload: (&[1; 4000], &[]),
            checksum_at: Some(16),
            segment_bytes: Some(1448),
        };
        assert!(push_packet(&mut frames, true, &envelope, &content));
        let frame = frames.front().unwrap();
        assert_eq!(frame[..10], [1, 1, 66, 0, 0xa8, 5, 34, 0, 16, 0]);
        let pseudo = pseudo_header(ends.0, ends.1, protocol::TCP, 4032).fold();
        assert_eq!(frame[10 + 34 + 16..][..2], pseudo);
        assert_eq!(vnet::split(frame), Some((true, &frame[10..])));
    }
}
