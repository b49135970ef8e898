//! The stack's peers: they remember what it has sent, so that what they say can be right.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::Bytes;
use super::frames::{ICMP, ICMPV6, Sent, TCP, UDP, arp, datagram, packet};

const FLOWS_MAX: usize = 8;
const FIN: u8 = 1;
const SYN: u8 = 2;
const ACK: u8 = 16;

/// An address and a port.
type End = (IpAddr, u16);

/// One TCP connection as the peers see it.
struct Flow {
    own: End,
    peer: End,
    /// The peer's next number and the stack's.
    peer_next: u32,
    own_next: u32,
    own_timestamp: Option<u32>,
}

/// All peers.
pub(super) struct Peer {
    pub(super) own: [IpAddr; 2],
    flows: Vec<Flow>,
    last_tcp: Vec<u8>,
    last_dhcp: Vec<u8>,
    last_query: Option<(End, End, Vec<u8>)>,
    probed: Ipv6Addr,
}

/// The peers' addresses: of two hosts on the wire, and of one behind a router.
pub(super) const PEERS: [IpAddr; 3] = [
    IpAddr::V4(Ipv4Addr::new(10, 0, 0, 2)),
    IpAddr::V6(Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 2)),
    IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1)),
];
pub(super) const ROUTER: Ipv6Addr = Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 2);

impl Peer {
    pub(super) fn new(own: [IpAddr; 2]) -> Self {
        Self {
            own,
            flows: Vec::new(),
            last_tcp: vec![0x45; 60],
            last_dhcp: Vec::new(),
            last_query: None,
            probed: Ipv6Addr::UNSPECIFIED,
        }
    }

    /// Remembers what the stack has sent.
    pub(super) fn note(&mut self, sent: &Sent<'_>) {
        let port = |at: usize| u16::from_be_bytes([sent.upper[at], sent.upper[at + 1]]);
        match sent.protocol {
            TCP => {
                self.last_tcp = sent.whole[..sent.whole.len().min(100)].to_vec();
                self.note_segment((sent.from, port(0)), (sent.to, port(2)), sent.upper);
            }
            UDP if port(2) == 67 => self.last_dhcp = sent.upper[8..].to_vec(),
            UDP if port(2) == 53 => {
                let ends = ((sent.from, port(0)), (sent.to, port(2)));
                self.last_query = Some((ends.0, ends.1, sent.upper[8..].to_vec()));
            }
            ICMPV6 if sent.upper[0] == 135 && sent.upper.len() >= 24 => {
                let target = <[u8; 16]>::try_from(&sent.upper[8..24]).unwrap_or_default();
                self.probed = target.into();
            }
            _ => {}
        }
    }

    fn note_segment(&mut self, own: End, peer: End, tcp: &[u8]) {
        let number =
            |at: usize| u32::from_be_bytes([tcp[at], tcp[at + 1], tcp[at + 2], tcp[at + 3]]);
        let header = usize::from(tcp[12] >> 4) * 4;
        assert!((20..=tcp.len()).contains(&header), "the length of a TCP header");
        let ends = u32::from(tcp[13] & FIN != 0) + u32::from(tcp[13] & SYN != 0);
        let end = number(4).wrapping_add((tcp.len() - header) as u32 + ends);
        let place = self.flows.iter().position(|flow| flow.own == own && flow.peer == peer);
        let place = place.unwrap_or_else(|| {
            if self.flows.len() == FLOWS_MAX {
                self.flows.remove(0);
            }
            let (peer_next, own_next, own_timestamp) = (1000, end, None);
            self.flows.push(Flow { own, peer, peer_next, own_next, own_timestamp });
            self.flows.len() - 1
        });
        let flow = &mut self.flows[place];
        if (end.wrapping_sub(flow.own_next) as i32) > 0 || tcp[13] & SYN != 0 {
            flow.own_next = end;
        }
        if tcp[13] & ACK != 0 {
            flow.peer_next = number(8);
        }
        if header >= 32 && tcp[20..24] == [1, 1, 8, 10] {
            flow.own_timestamp = Some(number(24));
        }
    }

    /// A segment of a flow that goes on, or of a new one: mostly as it should be.
    pub(super) fn segment(&mut self, bytes: &mut Bytes<'_>) -> Vec<u8> {
        let (choice, flags, shape, len) = (bytes.next(), bytes.next(), bytes.next(), bytes.next());
        let place = usize::from(choice & 0x0f);
        let from = PEERS[usize::from(choice >> 4) % 3];
        let own = self.own[usize::from(from.is_ipv6())];
        let fresh = Flow {
            own: (own, 80),
            peer: (from, 5000 + u16::from(choice)),
            peer_next: 1000,
            own_next: 0,
            own_timestamp: None,
        };
        let flow = self.flows.get(place).unwrap_or(&fresh);
        let shift = |by: u8| i32::from(by as i8).wrapping_mul(100) as u32;
        let mut sequence = flow.peer_next;
        let mut acknowledged = flow.own_next;
        if shape & 1 != 0 {
            sequence = sequence.wrapping_add(shift(bytes.next()));
        }
        if shape & 2 != 0 {
            acknowledged = acknowledged.wrapping_add(shift(bytes.next()));
        }
        let window = if shape & 4 != 0 { u16::from(bytes.next()) * 4 } else { 60_000 };
        let mut options = Vec::new();
        if flags & SYN != 0 {
            options.extend([2, 4, 5, 180, 1, 1, 4, 2, 1, 3, 3, 7]);
        }
        if shape & 8 != 0 {
            let echo = flow.own_timestamp.unwrap_or_default();
            options.extend([1, 1, 8, 10]);
            options.extend(u32::from(bytes.next()).wrapping_add(1 << 20).to_be_bytes());
            options.extend(echo.to_be_bytes());
        }
        if shape & 16 != 0 {
            options.extend([1, 1, 5, 18]);
            for _ in 0..4 {
                let place = flow.own_next.wrapping_add(shift(bytes.next()));
                options.extend(place.to_be_bytes());
            }
        }
        let times = if shape & 32 != 0 { 230 } else { 6 };
        let mut tcp = [flow.peer.1.to_be_bytes(), flow.own.1.to_be_bytes()].concat();
        tcp.extend(sequence.to_be_bytes());
        tcp.extend(acknowledged.to_be_bytes());
        tcp.extend([(5 + options.len() as u8 / 4) << 4, flags & 0x3f]);
        tcp.extend(window.to_be_bytes());
        tcp.extend([0; 4]);
        tcp.extend(options);
        tcp.resize(tcp.len() + usize::from(len) * times, b'x');
        packet(flow.peer.0, flow.own.0, TCP, &tcp)
    }

    /// A right frame of some kind that is not TCP.
    pub(super) fn frame(&self, kind: u8) -> Vec<u8> {
        let [own, own6] = self.own;
        let [v4, v6, far] = PEERS;
        let router = IpAddr::V6(ROUTER);
        match kind % 16 {
            0 => arp(1, [10, 0, 0, 9], [10, 0, 0, 1]),
            1 => arp(2, [10, 0, 0, 2], [10, 0, 0, 1]),
            2 => packet(v4, own, ICMP, b"\x08\0\0\0\x12\x34\0\x01ping"),
            3 => packet(v6, own6, ICMPV6, b"\x80\0\0\0\x12\x34\0\x01ping"),
            4 => packet(v6, own6, ICMPV6, &discovery(135, own6, &[1, 1, 2, 0, 0, 0, 0, 2])),
            5 => packet(v6, own6, ICMPV6, &discovery(136, v6, &[2, 1, 2, 0, 0, 0, 0, 2])),
            6 => packet(router, own6, ICMPV6, &advertisement()),
            7 => {
                let mut message = vec![3, 4, 0, 0, 0, 0, 2, 88];
                message.extend(&self.last_tcp);
                packet(far, own, ICMP, &message)
            }
            8 => {
                let mut message = vec![2, 0, 0, 0, 0, 0, 5, 0];
                message.extend(&self.last_tcp);
                packet(v6, own6, ICMPV6, &message)
            }
            9 => datagram((v4, 4000), (own, 7), b"hello"),
            10 => datagram((v6, 4000), (own6, 7), b"hello"),
            11 => self.lease(2),
            12 => self.lease(5),
            13 => self.answer(),
            14 => {
                let probed = IpAddr::V6(self.probed);
                packet(router, own6, ICMPV6, &discovery(136, probed, &[2, 1, 2, 0, 0, 0, 0, 3]))
            }
            _ => datagram((far, 53), (own, 9), b"nobody is there"),
        }
    }

    /// What a DHCP server says to the last request.
    fn lease(&self, kind: u8) -> Vec<u8> {
        let mut message = self.last_dhcp.clone();
        message.resize(240, 0);
        message[0] = 2;
        message[16..20].copy_from_slice(&[10, 0, 0, 1]);
        message[236..240].copy_from_slice(&[0x63, 0x82, 0x53, 0x63]);
        message.extend([53, 1, kind, 54, 4, 10, 0, 0, 2, 1, 4, 255, 255, 255, 0]);
        message
            .extend([3, 4, 10, 0, 0, 2, 6, 4, 10, 0, 0, 2, 26, 2, 5, 0, 51, 4, 0, 0, 0, 60, 255]);
        datagram((PEERS[0], 67), (Ipv4Addr::BROADCAST.into(), 68), &message)
    }

    /// What a name server says to the last question.
    fn answer(&self) -> Vec<u8> {
        let (to, from, mut message) =
            self.last_query.clone().unwrap_or(((self.own[0], 50_000), (PEERS[0], 53), vec![0; 24]));
        if let [_, _, high, low, _, _, _, answers, ..] = &mut message[..] {
            *high |= 0x80;
            *low |= 0x80;
            *answers = 1;
        }
        message.extend([0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 60, 0, 4, 192, 0, 2, 9]);
        datagram(from, to, &message)
    }
}

/// A neighbour solicitation or advertisement.
fn discovery(kind: u8, target: IpAddr, option: &[u8]) -> Vec<u8> {
    let mut message = vec![kind, 0, 0, 0, 0x60, 0, 0, 0];
    if let IpAddr::V6(target) = target {
        message.extend(target.octets());
    }
    message.extend(option);
    message
}

/// A router's: with a network, an MTU and a name server.
fn advertisement() -> Vec<u8> {
    let mut message = vec![134, 0, 0, 0, 64, 0, 7, 8, 0, 0, 0, 0, 0, 0, 0, 0];
    message.extend([1, 1, 2, 0, 0, 0, 0, 2, 5, 1, 0, 0, 0, 0, 5, 120]);
    message.extend([3, 4, 64, 0xc0, 0, 0, 0, 200, 0, 0, 0, 100, 0, 0, 0, 0]);
    message.extend(Ipv6Addr::new(0x2001, 0xdb8, 7, 0, 0, 0, 0, 0).octets());
    message.extend([25, 3, 0, 0, 0, 0, 0, 60]);
    message.extend(Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 2).octets());
    message
}
