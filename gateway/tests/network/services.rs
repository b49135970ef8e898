//! What is served by datagrams: leases, pings, ARP, UDP and DNS.

use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::time::Duration;

use gateway::{DNS, GATEWAY, GATEWAY_MAC, GUEST, PREFIX_LEN};
use netstack::ConnectionState;
use smoltcp::phy::ChecksumCapabilities;
use smoltcp::wire::{
    ArpOperation, ArpPacket, ArpRepr, EthernetAddress, EthernetFrame, EthernetProtocol,
    Icmpv4DstUnreachable, Icmpv4Packet, Icmpv4Repr, IpProtocol, Ipv4Packet, Ipv4Repr,
};

use crate::child::Wishes;
use crate::guest::{Guest, MAC, at_gateway};
use crate::host::{Background, accept, listen};
use crate::outward::answer_one_line;

const ETHERNET_BYTES: usize = 14;

pub(crate) fn a_guest_gets_its_lease() {
    let mut guest = Guest::with_lease(&Wishes::default());
    assert_eq!(guest.stack.ipv4(), Some((GUEST, PREFIX_LEN)));
    assert_eq!(guest.stack.gateway(), Some(GATEWAY));
    let lease = guest.stack.lease().unwrap();
    assert_eq!(lease.router, Some(GATEWAY));
    assert!(format!("{:?}", lease.dns).contains("10.0.2.3"));
    guest.run_until("nothing", |_| true);
    guest.exit_well();
}

/// A frame of the guest with this payload after its Ethernet header.
fn frame(protocol: EthernetProtocol, payload_bytes: usize) -> Vec<u8> {
    let mut frame = vec![0; ETHERNET_BYTES + payload_bytes];
    let mut ethernet = EthernetFrame::new_unchecked(&mut frame[..]);
    ethernet.set_src_addr(EthernetAddress(MAC));
    ethernet.set_dst_addr(EthernetAddress(GATEWAY_MAC));
    ethernet.set_ethertype(protocol);
    frame
}

pub(crate) fn ping(target: Ipv4Addr, seq_no: u16) -> Vec<u8> {
    let echo = Icmpv4Repr::EchoRequest { ident: 7, seq_no, data: b"ping" };
    let ip = Ipv4Repr {
        src_addr: GUEST,
        dst_addr: target,
        next_header: IpProtocol::Icmp,
        payload_len: echo.buffer_len(),
        hop_limit: 64,
    };
    let checksums = ChecksumCapabilities::default();
    let mut frame = frame(EthernetProtocol::Ipv4, ip.buffer_len() + echo.buffer_len());
    let (header, message) = frame[ETHERNET_BYTES..].split_at_mut(ip.buffer_len());
    echo.emit(&mut Icmpv4Packet::new_unchecked(message), &checksums);
    ip.emit(&mut Ipv4Packet::new_unchecked(header), &checksums);
    frame
}

/// Who answered which ping.
pub(crate) fn echo_replies(frames: &[Vec<u8>]) -> Vec<(Ipv4Addr, u16)> {
    frames
        .iter()
        .filter_map(|frame| {
            let ip = Ipv4Packet::new_checked(frame.get(ETHERNET_BYTES..)?).ok()?;
            let icmp = Icmpv4Packet::new_checked(ip.payload()).ok()?;
            match Icmpv4Repr::parse(&icmp, &ChecksumCapabilities::default()).ok()? {
                Icmpv4Repr::EchoReply { seq_no, data: b"ping", .. }
                    if ip.next_header() == IpProtocol::Icmp =>
                {
                    Some((ip.src_addr(), seq_no))
                }
                _ => None,
            }
        })
        .collect()
}

pub(crate) fn the_gateway_answers_pings_for_itself_only() {
    let mut guest = Guest::with_lease(&Wishes::default());
    guest.seen = Some(Vec::new());
    for (seq_no, target) in [(1, Ipv4Addr::new(1, 1, 1, 1)), (2, GUEST), (3, GATEWAY)] {
        guest.inject(&ping(target, seq_no));
    }
    guest.run_until("a pong", |guest| {
        !echo_replies(guest.seen.as_deref().unwrap_or_default()).is_empty()
    });
    // Frames keep their order: had it answered the others, it would have done so before.
    assert_eq!(echo_replies(&guest.seen.take().unwrap()), [(GATEWAY, 3)]);
    guest.exit_well();
}

fn who_has(target: Ipv4Addr) -> Vec<u8> {
    let request = ArpRepr::EthernetIpv4 {
        operation: ArpOperation::Request,
        source_hardware_addr: EthernetAddress(MAC),
        source_protocol_addr: GUEST,
        target_hardware_addr: EthernetAddress([0; 6]),
        target_protocol_addr: target,
    };
    let mut frame = frame(EthernetProtocol::Arp, request.buffer_len());
    request.emit(&mut ArpPacket::new_unchecked(&mut frame[ETHERNET_BYTES..]));
    frame[..6].fill(0xff);
    frame
}

fn arp_answers(frames: &[Vec<u8>]) -> Vec<Ipv4Addr> {
    frames
        .iter()
        .filter_map(|frame| {
            let ethernet = EthernetFrame::new_checked(&frame[..]).ok()?;
            let packet = ArpPacket::new_checked(ethernet.payload()).ok()?;
            match ArpRepr::parse(&packet).ok()? {
                ArpRepr::EthernetIpv4 {
                    operation: ArpOperation::Reply,
                    source_hardware_addr: EthernetAddress(GATEWAY_MAC),
                    source_protocol_addr,
                    ..
                } if ethernet.ethertype() == EthernetProtocol::Arp => Some(source_protocol_addr),
                _ => None,
            }
        })
        .collect()
}

pub(crate) fn the_gateway_answers_arp_for_itself_only() {
    let mut guest = Guest::with_lease(&Wishes::default());
    guest.seen = Some(Vec::new());
    for target in [GUEST, Ipv4Addr::new(10, 0, 2, 77), Ipv4Addr::new(1, 1, 1, 1), DNS, GATEWAY] {
        guest.inject(&who_has(target));
    }
    guest.run_until("two answers", |guest| {
        arp_answers(guest.seen.as_deref().unwrap_or_default()).len() == 2
    });
    assert_eq!(arp_answers(&guest.seen.take().unwrap()), [DNS, GATEWAY]);
    guest.exit_well();
}

fn udp_server() -> (UdpSocket, SocketAddr) {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    socket.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
    let address = socket.local_addr().unwrap();
    (socket, address)
}

/// Answers one datagram.
fn answer_one(socket: &UdpSocket, answer: impl FnOnce(&mut Vec<u8>)) {
    let mut buffer = [0; 2048];
    let (bytes, from) = socket.recv_from(&mut buffer).unwrap();
    let mut message = buffer[..bytes].to_vec();
    answer(&mut message);
    socket.send_to(&message, from).unwrap();
}

/// Sends a datagram and waits for one to come back.
fn ask(guest: &mut Guest, remote: SocketAddr, message: &[u8]) -> (Vec<u8>, SocketAddr) {
    let id = guest.stack.udp_bind(0).unwrap();
    guest.stack.udp_send_to(id, message, remote).unwrap();
    let mut answer = None;
    let mut buffer = [0; 2048];
    guest.run_until("an answer", |guest| {
        answer = guest.stack.udp_recv_from(id, &mut buffer);
        answer.is_some()
    });
    let (bytes, from) = answer.unwrap();
    (buffer[..bytes].to_vec(), from)
}

pub(crate) fn datagrams_go_out_and_come_back() {
    let mut guest = Guest::with_lease(&Wishes { allow_host_loopback: true, ..Wishes::default() });
    let (socket, address) = udp_server();
    let serving = Background::start(move || {
        for _ in 0..2 {
            answer_one(&socket, |message| message.reverse());
        }
    });
    let remote = at_gateway(address);
    assert_eq!(ask(&mut guest, remote, b"abc"), (b"cba".to_vec(), remote));
    // As large as the wire takes.
    let (answer, from) = ask(&mut guest, remote, &[7; 1472]);
    assert_eq!((answer.len(), from), (1472, remote));
    serving.join();
    let counters = guest.exit_well();
    assert!(counters.contains("datagrams_out: 2, datagrams_in: 2"), "{counters}");
}

pub(crate) fn a_refused_datagram_is_answered_by_icmp() {
    let mut guest = Guest::with_lease(&Wishes { allow_host_loopback: true, ..Wishes::default() });
    guest.seen = Some(Vec::new());
    let (socket, address) = udp_server();
    drop(socket);
    let id = guest.stack.udp_bind(0).unwrap();
    let forbidden = SocketAddr::from((DNS, 54));
    for remote in [forbidden, at_gateway(address)] {
        guest.stack.udp_send_to(id, b"anybody?", remote).unwrap();
    }
    let reasons = |frames: &[Vec<u8>]| -> Vec<Icmpv4DstUnreachable> {
        let reason = |frame: &Vec<u8>| {
            let ip = Ipv4Packet::new_checked(frame.get(ETHERNET_BYTES..)?).ok()?;
            let icmp = Icmpv4Packet::new_checked(ip.payload()).ok()?;
            match Icmpv4Repr::parse(&icmp, &ChecksumCapabilities::default()).ok()? {
                Icmpv4Repr::DstUnreachable { reason, .. } => Some(reason),
                _ => None,
            }
        };
        frames.iter().filter_map(reason).collect()
    };
    guest.run_until("two refusals", |guest| {
        reasons(guest.seen.as_deref().unwrap_or_default()).len() == 2
    });
    assert_eq!(
        reasons(&guest.seen.take().unwrap()),
        [Icmpv4DstUnreachable::CommProhibited, Icmpv4DstUnreachable::PortUnreachable]
    );
    guest.exit_well();
}

pub(crate) fn questions_reach_the_resolver() {
    let (listener, address) = listen();
    let socket = UdpSocket::bind(address).unwrap();
    socket.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
    let mut guest = Guest::with_lease(&Wishes { dns: Some(address), ..Wishes::default() });
    let serving = Background::start(move || {
        answer_one(&socket, |message| {
            message[2] |= 0x80;
            message.extend(b"answer");
        });
        answer_one_line(accept(&listener))
    });
    let resolver = SocketAddr::from((DNS, 53));
    let query = [0x12, 0x34, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 2, 0, 1];
    let (answer, from) = ask(&mut guest, resolver, &query);
    assert_eq!(from, resolver);
    assert_eq!(answer[..4], [0x12, 0x34, 0x81, 0]);
    assert!(answer.ends_with(b"answer"));

    let (id, state) = guest.connect(resolver);
    assert_eq!(state, ConnectionState::Established);
    guest.stack.send(id, b"query").unwrap();
    assert_eq!(guest.run_while("TCP to the resolver", serving, |_| {}), b"query");
    guest.run_until("its answer", |guest| guest.stack.recv_queued(id) == 5);
    guest.exit_well();
}
