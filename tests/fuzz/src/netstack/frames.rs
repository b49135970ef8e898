//! Frames by hand: making right ones, making changed ones right again, and checking those of the
//! stack. Written apart from the stack's own code and from smoltcp, so that both can be wrong.

use std::net::IpAddr;

pub(super) const OWN_MAC: [u8; 6] = [2, 0, 0, 0, 0, 1];
pub(super) const PEER_MAC: [u8; 6] = [2, 0, 0, 0, 0, 2];

const ETHERNET_BYTES: usize = 14;
const VNET_BYTES: usize = 10;
pub(super) const ICMP: u8 = 1;
pub(super) const TCP: u8 = 6;
pub(super) const UDP: u8 = 17;
pub(super) const ICMPV6: u8 = 58;

/// A packet to the stack, in a frame; its checksums are filled in by [`fix`].
pub(super) fn packet(from: IpAddr, to: IpAddr, protocol: u8, payload: &[u8]) -> Vec<u8> {
    let mut frame = [OWN_MAC, PEER_MAC].concat();
    match (from, to) {
        (IpAddr::V4(from), IpAddr::V4(to)) => {
            frame.extend([8, 0, 0x45, 0, 0, 0, 0, 0, 0x40, 0, 64, protocol, 0, 0]);
            frame.extend([from.octets(), to.octets()].concat());
        }
        (from, to) => {
            frame.extend([0x86, 0xdd, 0x60, 0, 0, 0, 0, 0, protocol, 255]);
            for address in [from, to] {
                match address {
                    IpAddr::V4(address) => frame.extend(address.to_ipv6_mapped().octets()),
                    IpAddr::V6(address) => frame.extend(address.octets()),
                }
            }
        }
    }
    frame.extend(payload);
    fix(&mut frame);
    frame
}

/// A datagram to the stack.
pub(super) fn datagram(from: (IpAddr, u16), to: (IpAddr, u16), payload: &[u8]) -> Vec<u8> {
    let mut udp = [from.1.to_be_bytes(), to.1.to_be_bytes()].concat();
    udp.extend((payload.len() as u16 + 8).to_be_bytes());
    udp.extend([0; 2]);
    udp.extend(payload);
    packet(from.0, to.0, UDP, &udp)
}

/// An ARP packet of the peer's.
pub(super) fn arp(operation: u8, from: [u8; 4], target: [u8; 4]) -> Vec<u8> {
    let mut frame = [OWN_MAC, PEER_MAC].concat();
    frame.extend([8, 6, 0, 1, 8, 0, 6, 4, 0, operation]);
    frame.extend(PEER_MAC);
    frame.extend(from);
    frame.extend(OWN_MAC);
    frame.extend(target);
    frame
}

/// Makes lengths and checksums right, as far as there is a place for them.
pub(super) fn fix(frame: &mut [u8]) {
    let bytes = frame.len().saturating_sub(ETHERNET_BYTES);
    match frame.get(12..14) {
        Some([8, 0]) if bytes >= 20 => {
            frame[16..18].copy_from_slice(&(bytes as u16).to_be_bytes());
            let header = (usize::from(frame[14] & 0xf) * 4).clamp(20, bytes);
            frame[24..26].fill(0);
            let sum = finish(sum(&frame[14..14 + header]));
            frame[24..26].copy_from_slice(&sum);
            let pseudo = sum_of_ends(&frame[26..34], frame[23], bytes - header);
            let protocol = frame[23];
            fix_upper(&mut frame[14 + header..], protocol, pseudo);
        }
        Some([0x86, 0xdd]) if bytes >= 40 => {
            frame[18..20].copy_from_slice(&((bytes - 40) as u16).to_be_bytes());
            let pseudo = sum_of_ends(&frame[22..54], frame[20], bytes - 40);
            let protocol = frame[20];
            fix_upper(&mut frame[54..], protocol, pseudo);
        }
        _ => {}
    }
}

fn fix_upper(upper: &mut [u8], protocol: u8, pseudo: u64) {
    let Some(at) = checksum_at(protocol) else { return };
    if protocol == UDP && upper.len() >= 6 {
        let bytes = upper.len() as u16;
        upper[4..6].copy_from_slice(&bytes.to_be_bytes());
    }
    if upper.len() >= at + 2 {
        upper[at..at + 2].fill(0);
        let pseudo = if protocol == ICMP { 0 } else { pseudo };
        let sum = finish(pseudo + sum(upper));
        upper[at..at + 2].copy_from_slice(&sum);
    }
}

fn checksum_at(protocol: u8) -> Option<usize> {
    match protocol {
        TCP => Some(16),
        UDP => Some(6),
        ICMP | ICMPV6 => Some(2),
        _ => None,
    }
}

fn sum_of_ends(addresses: &[u8], protocol: u8, bytes: usize) -> u64 {
    sum(addresses) + u64::from(protocol) + bytes as u64
}

fn sum(bytes: &[u8]) -> u64 {
    let words = bytes.chunks(2).map(|w| u64::from(w[0]) << 8 | u64::from(*w.get(1).unwrap_or(&0)));
    words.sum()
}

fn folded(mut sum: u64) -> u16 {
    while sum > 0xffff {
        sum = (sum >> 16) + (sum & 0xffff);
    }
    sum as u16
}

fn finish(sum: u64) -> [u8; 2] {
    (!folded(sum)).to_be_bytes()
}

/// A packet of the stack's.
pub(super) struct Sent<'a> {
    pub(super) from: IpAddr,
    pub(super) to: IpAddr,
    pub(super) protocol: u8,
    pub(super) upper: &'a [u8],
    pub(super) whole: &'a [u8],
}

/// Checks a frame of the stack's, without virtio-net header, and tells what is in it unless it is ARP.
///
/// # Panics
/// If it is not whole.
pub(super) fn check(frame: &[u8]) -> Option<Sent<'_>> {
    assert!(frame.len() >= ETHERNET_BYTES, "no header");
    assert_eq!(frame[6..12], OWN_MAC, "somebody else's");
    let packet = &frame[ETHERNET_BYTES..];
    let (from, to, protocol, upper) = match frame[12..14] {
        [8, 6] => {
            assert_eq!(packet.len(), 28, "the length of an ARP packet");
            return None;
        }
        [8, 0] => {
            assert_eq!(packet[0], 0x45);
            assert_eq!(usize::from(u16::from_be_bytes([packet[2], packet[3]])), packet.len());
            assert_eq!(folded(sum(&packet[..20])), 0xffff, "the checksum of an IPv4 header");
            let address = |at: usize| <[u8; 4]>::try_from(&packet[at..at + 4]).unwrap_or_default();
            (IpAddr::from(address(12)), IpAddr::from(address(16)), packet[9], &packet[20..])
        }
        [0x86, 0xdd] => {
            assert_eq!(packet[0] >> 4, 6);
            assert_eq!(usize::from(u16::from_be_bytes([packet[4], packet[5]])), packet.len() - 40);
            let address =
                |at: usize| <[u8; 16]>::try_from(&packet[at..at + 16]).unwrap_or_default();
            (IpAddr::from(address(8)), IpAddr::from(address(24)), packet[6], &packet[40..])
        }
        _ => panic!("a frame of type {:02x?}", &frame[12..14]),
    };
    assert!(!to.is_unspecified(), "to nobody");
    let addresses = if from.is_ipv4() { &packet[12..20] } else { &packet[8..40] };
    let pseudo = match protocol {
        ICMP => 0,
        TCP | UDP | ICMPV6 => sum_of_ends(addresses, protocol, upper.len()),
        other => panic!("protocol {other}"),
    };
    assert_eq!(folded(pseudo + sum(upper)), 0xffff, "the checksum of protocol {protocol}");
    Some(Sent { from, to, protocol, upper, whole: packet })
}

/// Takes the virtio-net header off a frame and does what it asks for, but cuts nothing.
///
/// # Panics
/// If it asks for what no wire can do.
pub(super) fn complete(frame: &[u8]) -> Vec<u8> {
    let (header, rest) = frame.split_at(VNET_BYTES);
    let field = |at: usize| usize::from(u16::from_le_bytes([header[at], header[at + 1]]));
    let mut frame = rest.to_vec();
    let needs_checksum = header[0] == 1;
    if needs_checksum {
        let (start, offset) = (field(6), field(8));
        let sum = match finish(sum(&frame[start..])) {
            [0, 0] => [0xff, 0xff],
            sum => sum,
        };
        frame[start + offset..start + offset + 2].copy_from_slice(&sum);
    }
    if header[1] != 0 {
        assert!(needs_checksum, "segments without checksums");
        assert_eq!(header[1], if frame[12] == 8 { 1 } else { 4 });
        assert!(field(4) > 0 && frame.len() > field(2) + field(4), "nothing to cut");
    }
    frame
}
