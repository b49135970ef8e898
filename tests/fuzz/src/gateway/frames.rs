//! Frames by hand: building right ones, making changed ones right again, and checking those of the
//! gateway. Written apart from the gateway's own code and from smoltcp, so that both can be wrong.

use std::net::Ipv4Addr;

use gateway::{DNS, GATEWAY, GATEWAY_MAC, GUEST};

/// The guest's Ethernet address.
pub(super) const GUEST_MAC: [u8; 6] = [2, 0, 0, 0, 0, 1];
const BROADCAST_MAC: [u8; 6] = [0xff; 6];

const ETHERNET_BYTES: usize = 14;
const IPV4_BYTES: usize = 20;
const ARP_BYTES: usize = 28;
const TYPE_ARP: u16 = 0x0806;
const TYPE_IPV4: u16 = 0x0800;
const ICMP: u8 = 1;
pub(super) const TCP: u8 = 6;
const UDP: u8 = 17;

/// Where datagrams and new connections go: hosts, the gateway, the resolver, and what is forbidden.
const DESTINATIONS: [([u8; 4], u16); 14] = [
    ([192, 0, 2, 1], 80),
    ([10, 0, 2, 3], 53),
    ([10, 0, 2, 2], 8000),
    ([198, 51, 100, 7], 443),
    ([203, 0, 113, 9], 7),
    ([127, 0, 0, 1], 22),
    ([169, 254, 169, 254], 80),
    ([10, 0, 2, 15], 80),
    ([10, 0, 2, 3], 80),
    ([255, 255, 255, 255], 67),
    ([224, 0, 0, 251], 5353),
    ([0, 0, 0, 0], 1),
    ([10, 0, 2, 2], 67),
    ([192, 0, 2, 1], 0),
];

/// A destination by its number.
pub(super) fn destination(number: u8) -> (Ipv4Addr, u16) {
    let (address, port) = DESTINATIONS[usize::from(number) % DESTINATIONS.len()];
    (address.into(), port)
}

/// The TCP header of a segment.
pub(super) struct TcpHeader {
    pub(super) ports: (u16, u16),
    pub(super) sequence: u32,
    pub(super) acknowledgement: u32,
    pub(super) flags: u8,
    pub(super) window: u16,
}

/// A segment from the guest.
pub(super) fn segment(to: Ipv4Addr, header: &TcpHeader, payload_bytes: usize) -> Vec<u8> {
    let mut tcp = Vec::new();
    tcp.extend(header.ports.0.to_be_bytes());
    tcp.extend(header.ports.1.to_be_bytes());
    tcp.extend(header.sequence.to_be_bytes());
    tcp.extend(header.acknowledgement.to_be_bytes());
    tcp.extend([5 << 4, header.flags]);
    tcp.extend(header.window.to_be_bytes());
    tcp.extend([0; 4]);
    tcp.resize(tcp.len() + payload_bytes, b'x');
    ipv4(GUEST, to, TCP, &tcp)
}

/// A datagram from the guest, or from nobody yet.
pub(super) fn datagram(from: (Ipv4Addr, u16), to: (Ipv4Addr, u16), payload: &[u8]) -> Vec<u8> {
    let mut udp = Vec::new();
    udp.extend(from.1.to_be_bytes());
    udp.extend(to.1.to_be_bytes());
    udp.extend((payload.len() as u16 + 8).to_be_bytes());
    udp.extend([0; 2]);
    udp.extend(payload);
    ipv4(from.0, to.0, UDP, &udp)
}

/// A right frame of each kind of which the gateway knows something.
pub(super) fn built(kind: u8) -> Vec<u8> {
    match kind % 9 {
        0 => arp(1, GATEWAY),
        1 => arp(2, GATEWAY),
        2 => dhcp(1, &[]),
        3 => dhcp(3, &[50, 4, 10, 0, 2, 15, 54, 4, 10, 0, 2, 2]),
        4 => dhcp(3, &[50, 4, 10, 0, 2, 99, 61, 3, 1, 2, 3]),
        5 => dhcp(8, &[55, 3, 1, 3, 6]),
        6 => datagram((GUEST, 40_000), (DNS, 53), &question(7)),
        7 => ipv4(GUEST, GATEWAY, ICMP, b"\x08\0\0\0\x12\x34\0\x01ping"),
        _ => datagram((GUEST, 40_001), destination(0), b"hello"),
    }
}

/// A question to a resolver: the address of `a.example`.
pub(super) fn question(id: u16) -> Vec<u8> {
    let mut message = Vec::from(id.to_be_bytes());
    message.extend(b"\x01\0\0\x01\0\0\0\0\0\0\x01a\x07example\0\0\x01\0\x01");
    message
}

fn arp(operation: u8, target: Ipv4Addr) -> Vec<u8> {
    let mut packet = vec![0, 1, 8, 0, 6, 4, 0, operation];
    packet.extend(GUEST_MAC);
    packet.extend(GUEST.octets());
    packet.extend(if operation == 1 { [0; 6] } else { GATEWAY_MAC });
    packet.extend(target.octets());
    ethernet(TYPE_ARP, &packet)
}

fn dhcp(kind: u8, options: &[u8]) -> Vec<u8> {
    let mut message = vec![1, 1, 6, 0, 0xaa, 0xbb, 0xcc, 0xdd];
    message.resize(28, 0);
    message.extend(GUEST_MAC);
    message.resize(236, 0);
    message.extend([0x63, 0x82, 0x53, 0x63, 53, 1, kind]);
    message.extend(options);
    message.push(255);
    datagram((Ipv4Addr::UNSPECIFIED, 68), (Ipv4Addr::BROADCAST, 67), &message)
}

fn ipv4(from: Ipv4Addr, to: Ipv4Addr, protocol: u8, payload: &[u8]) -> Vec<u8> {
    let mut packet = vec![0x45, 0];
    packet.extend(((IPV4_BYTES + payload.len()) as u16).to_be_bytes());
    packet.extend([0, 0, 0x40, 0, 64, protocol, 0, 0]);
    packet.extend(from.octets());
    packet.extend(to.octets());
    packet.extend(payload);
    let mut frame = ethernet(TYPE_IPV4, &packet);
    repair(&mut frame);
    frame
}

fn ethernet(kind: u16, payload: &[u8]) -> Vec<u8> {
    let mut frame = Vec::from(GATEWAY_MAC);
    frame.extend(GUEST_MAC);
    frame.extend(kind.to_be_bytes());
    frame.extend(payload);
    frame
}

/// Makes an IPv4 frame's checksums right, as far as its lengths let it have any.
pub(super) fn repair(frame: &mut [u8]) {
    let Some((packet, header_bytes)) = ipv4_of(frame) else { return };
    packet[10..12].fill(0);
    let sum = checksum(&[&packet[..header_bytes]]);
    packet[10..12].copy_from_slice(&sum.to_be_bytes());
    let (protocol, pseudo) = (packet[9], pseudo_header(packet, header_bytes));
    let payload = &mut packet[header_bytes..];
    let at = match protocol {
        ICMP => 2,
        TCP => 16,
        UDP => 6,
        _ => return,
    };
    let Some(field) = payload.get_mut(at..at + 2) else { return };
    field.fill(0);
    let sum = match protocol {
        ICMP => checksum(&[payload]),
        TCP => checksum(&[&pseudo, payload]),
        // Zero would say that there is none (RFC 768).
        _ => Some(checksum(&[&pseudo, payload])).filter(|&sum| sum != 0).unwrap_or(0xffff),
    };
    payload[at..at + 2].copy_from_slice(&sum.to_be_bytes());
}

/// The packet, and how long its header is.
fn ipv4_of(frame: &mut [u8]) -> Option<(&mut [u8], usize)> {
    if word(frame, 12)? != TYPE_IPV4 {
        return None;
    }
    let packet = frame.get_mut(ETHERNET_BYTES..)?;
    let header_bytes = 4 * usize::from(packet.first()? & 0xf);
    let bytes = usize::from(word(packet, 2)?);
    let is_whole = header_bytes >= IPV4_BYTES && bytes >= header_bytes;
    is_whole.then(|| packet.get_mut(..bytes)).flatten().map(|packet| (packet, header_bytes))
}

fn pseudo_header(packet: &[u8], header_bytes: usize) -> [u8; 12] {
    let mut pseudo = [0; 12];
    pseudo[..8].copy_from_slice(&packet[12..20]);
    pseudo[9] = packet[9];
    pseudo[10..].copy_from_slice(&((packet.len() - header_bytes) as u16).to_be_bytes());
    pseudo
}

/// The Internet checksum (RFC 1071). All parts but the last have an even length.
fn checksum(parts: &[&[u8]]) -> u16 {
    let mut sum = 0u32;
    for pair in parts.iter().flat_map(|part| part.chunks(2)) {
        sum += u32::from(pair[0]) << 8 | u32::from(pair.get(1).copied().unwrap_or(0));
    }
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    !(sum as u16)
}

fn word(bytes: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_be_bytes([*bytes.get(at)?, *bytes.get(at + 1)?]))
}

/// A segment of the gateway.
#[derive(Debug)]
pub(super) struct Heard {
    pub(super) from: (Ipv4Addr, u16),
    pub(super) guest_port: u16,
    pub(super) sequence: u32,
    pub(super) acknowledgement: u32,
    pub(super) flags: u8,
    pub(super) payload_bytes: usize,
}

/// Checks a frame of the gateway. Gives what it says, if it is a segment.
///
/// # Panics
/// If the frame is wrong.
pub(super) fn check(frame: &[u8], guest_mac: Option<[u8; 6]>, mtu: u16) -> Option<Heard> {
    assert!(frame.len() <= usize::from(mtu) + ETHERNET_BYTES, "longer than the wire takes");
    assert_eq!(frame[6..12], GATEWAY_MAC, "from somebody else");
    let to = &frame[..6];
    let is_to_guest = guest_mac.map_or(to[0] & 1 == 0, |mac| to == mac);
    assert!(is_to_guest || to == BROADCAST_MAC, "to somebody else: {to:x?}");
    match word(frame, 12) {
        Some(TYPE_ARP) => check_arp(&frame[ETHERNET_BYTES..]),
        Some(TYPE_IPV4) => return check_ipv4(frame),
        other => panic!("a frame of the type {other:x?}"),
    }
    None
}

fn check_arp(packet: &[u8]) {
    assert!(packet.len() >= ARP_BYTES);
    assert_eq!(packet[..6], [0, 1, 8, 0, 6, 4]);
    assert_eq!(packet[8..14], GATEWAY_MAC);
    assert!([GATEWAY, DNS].iter().any(|address| packet[14..18] == address.octets()));
    assert_eq!(packet[24..28], GUEST.octets());
}

fn check_ipv4(frame: &[u8]) -> Option<Heard> {
    let mut right = frame.to_vec();
    repair(&mut right);
    assert_eq!(frame, right, "wrong checksums");
    let (packet, header_bytes) = ipv4_of(&mut right).expect("whole headers");
    assert_eq!((packet[0], packet.len()), (0x45, frame.len() - ETHERNET_BYTES));
    let [from, to] = [12, 16].map(|at| {
        Ipv4Addr::from_octets([packet[at], packet[at + 1], packet[at + 2], packet[at + 3]])
    });
    assert_ne!(from, GUEST);
    assert!(to == GUEST || to.is_broadcast(), "to {to}");
    let (protocol, payload) = (packet[9], &packet[header_bytes..]);
    match protocol {
        ICMP => assert_eq!(from, GATEWAY),
        UDP => assert_eq!(word(payload, 4), Some(payload.len() as u16)),
        TCP => return Some(read_segment(from, payload)),
        _ => panic!("a packet of the protocol {protocol}"),
    }
    None
}

fn read_segment(from: Ipv4Addr, segment: &[u8]) -> Heard {
    let number = |at: usize| {
        let high = u32::from(word(segment, at).expect("a whole header")) << 16;
        high | u32::from(word(segment, at + 2).expect("a whole header"))
    };
    let header_bytes = 4 * usize::from(segment[12] >> 4);
    assert!((20..=segment.len()).contains(&header_bytes));
    Heard {
        from: (from, (number(0) >> 16) as u16),
        guest_port: number(0) as u16,
        sequence: number(4),
        acknowledgement: number(8),
        flags: segment[13],
        payload_bytes: segment.len() - header_bytes,
    }
}
