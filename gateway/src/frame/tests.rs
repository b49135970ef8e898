//! Tests of `frame`: golden bytes, refusals, and arbitrary bytes.

use proptest::prelude::*;
use smoltcp::wire::{IpAddress, TcpControl, TcpPacket, TcpRepr, TcpSeqNumber};

use super::*;

const MAC: [u8; 6] = [2, 0, 0, 0, 0, 1];
const SENDER: Sender = Sender { mac: MAC, port: 1024 };

fn ends(text: &str) -> SocketAddrV4 {
    text.parse().unwrap()
}

/// A frame of the gateway's making, turned round so that the guest could have sent it.
fn from_guest(source: &str, destination: &str, payload: &[u8]) -> Vec<u8> {
    let mut frame = datagram(MAC, ends(source), ends(destination), payload);
    frame[..6].copy_from_slice(&GATEWAY_MAC);
    frame[6..12].copy_from_slice(&MAC);
    frame
}

fn segment(source: Ipv4Addr, destination: Ipv4Addr) -> Vec<u8> {
    let tcp = TcpRepr {
        src_port: 1024,
        dst_port: 80,
        control: TcpControl::Syn,
        seq_number: TcpSeqNumber(7),
        ack_number: None,
        window_len: 1000,
        window_scale: None,
        max_seg_size: None,
        sack_permitted: false,
        sack_ranges: [None; 3],
        timestamp: None,
        payload: &[],
    };
    let mut frame = vec![0; ETHERNET_HEADER_BYTES + IPV4_HEADER_BYTES + tcp.buffer_len()];
    let payload = write_ipv4(
        &mut frame,
        GATEWAY_MAC,
        Ipv4Repr {
            src_addr: source,
            dst_addr: destination,
            next_header: IpProtocol::Tcp,
            payload_len: tcp.buffer_len(),
            hop_limit: 64,
        },
    );
    tcp.emit(
        &mut TcpPacket::new_unchecked(payload),
        &IpAddress::Ipv4(source),
        &IpAddress::Ipv4(destination),
        &ChecksumCapabilities::default(),
    );
    frame[6..12].copy_from_slice(&MAC);
    frame
}

fn arp(operation: ArpOperation, sender: Ipv4Addr, target: Ipv4Addr) -> Vec<u8> {
    let mut frame = reply_of_guest(MAC);
    let mut packet = ArpPacket::new_unchecked(&mut frame[ETHERNET_HEADER_BYTES..]);
    packet.set_operation(operation);
    packet.set_source_protocol_addr(&sender.octets());
    packet.set_target_protocol_addr(&target.octets());
    frame
}

#[test]
fn datagrams_find_their_service() {
    let frame = from_guest("10.0.2.15:1024", "1.1.1.1:123", b"time?");
    let Ok(Parcel::Datagram(datagram)) = classify(&frame, Some(MAC)) else {
        panic!("not a datagram");
    };
    assert_eq!(datagram.sender, SENDER);
    assert_eq!(datagram.destination, ends("1.1.1.1:123"));
    assert_eq!(datagram.payload, b"time?");

    let frame = from_guest("10.0.2.15:1024", "10.0.2.3:53", b"who?");
    let dns = Parcel::Dns { sender: SENDER, query: b"who?" };
    assert_eq!(classify(&frame, None), Ok(dns));

    let mut frame = from_guest("0.0.0.0:68", "255.255.255.255:67", b"address?");
    frame[..6].fill(0xff);
    let dhcp = Parcel::Dhcp { mac: MAC, message: b"address?" };
    assert_eq!(classify(&frame, None), Ok(dhcp));
}

#[test]
fn the_stack_sees_what_is_for_it_and_nothing_else() {
    let (peer, request) = (Ipv4Addr::new(1, 1, 1, 1), ArpOperation::Request);
    for (frame, expected) in [
        (segment(GUEST, peer), Ok(Parcel::Stack)),
        (segment(GUEST, GATEWAY), Ok(Parcel::Stack)),
        (segment(GUEST, GUEST), Err(Refusal::NotForUs)),
        (segment(peer, GATEWAY), Err(Refusal::Spoofed)),
        (arp(request, GUEST, GATEWAY), Ok(Parcel::Stack)),
        (arp(request, GUEST, DNS), Ok(Parcel::Stack)),
        (arp(request, GUEST, GUEST), Err(Refusal::NotForUs)),
        (arp(request, GUEST, Ipv4Addr::new(10, 0, 2, 77)), Err(Refusal::NotForUs)),
        (arp(request, GATEWAY, DNS), Err(Refusal::Spoofed)),
        (arp(ArpOperation::Reply, GUEST, GATEWAY), Ok(Parcel::Stack)),
    ] {
        assert_eq!(classify(&frame, Some(MAC)), expected, "{frame:02x?}");
    }
}

#[test]
fn a_false_name_is_no_name() {
    let good = segment(GUEST, GATEWAY);
    assert_eq!(classify(&good, Some([2; 6])), Err(Refusal::Spoofed));
    let mut group = good.clone();
    group[6] |= 1;
    assert_eq!(classify(&group, None), Err(Refusal::Spoofed));
    let mut elsewhere = good;
    elsewhere[5] ^= 1;
    assert_eq!(classify(&elsewhere, None), Err(Refusal::NotForUs));
    let frame = from_guest("10.0.2.16:1024", "1.1.1.1:123", b"");
    assert_eq!(classify(&frame, None), Err(Refusal::Spoofed));
}

#[test]
fn fragments_and_damage_are_dropped() {
    let good = from_guest("10.0.2.15:1024", "1.1.1.1:123", b"time?");
    let mut fragment = good.clone();
    fragment[ETHERNET_HEADER_BYTES + 6] |= 0x20;
    assert_eq!(classify(&fragment, None), Err(Refusal::Fragment));
    let mut damaged = good.clone();
    *damaged.last_mut().unwrap() ^= 1;
    assert_eq!(classify(&damaged, None), Err(Refusal::Malformed));
    for bytes in 0..good.len() {
        assert_eq!(classify(&good[..bytes], None), Err(Refusal::Malformed), "{bytes}");
    }
}

#[test]
fn an_unreachable_answer_quotes_the_packet() {
    let frame = from_guest("10.0.2.15:1024", "1.1.1.1:123", b"time?");
    let packet = &frame[ETHERNET_HEADER_BYTES..];
    let reason = Icmpv4DstUnreachable::PortUnreachable;
    let answers = [
        unreachable(MAC, reason, packet).unwrap(),
        unreachable_datagram(MAC, 1024, ends("1.1.1.1:123")),
    ];
    for answer in answers {
        let ip = Ipv4Packet::new_checked(&answer[ETHERNET_HEADER_BYTES..]).unwrap();
        assert_eq!((ip.src_addr(), ip.dst_addr()), (GATEWAY, GUEST));
        let icmp = Icmpv4Packet::new_checked(ip.payload()).unwrap();
        let Icmpv4Repr::DstUnreachable { header, data, .. } =
            Icmpv4Repr::parse(&icmp, &ChecksumCapabilities::default()).unwrap()
        else {
            panic!("not an error");
        };
        assert_eq!((header.src_addr, header.dst_addr), (GUEST, Ipv4Addr::new(1, 1, 1, 1)));
        assert_eq!(data[..4], [4, 0, 0, 123]);
    }
    let group = from_guest("10.0.2.15:1024", "224.0.0.251:5353", b"");
    assert_eq!(unreachable(MAC, reason, &group[ETHERNET_HEADER_BYTES..]), None);
}

fn mutated() -> impl Strategy<Value = Vec<u8>> {
    let frames = prop::sample::select(vec![
        from_guest("10.0.2.15:1024", "1.1.1.1:123", b"a datagram"),
        from_guest("0.0.0.0:68", "255.255.255.255:67", &[1; 300]),
        segment(GUEST, GATEWAY),
        arp(ArpOperation::Request, GUEST, GATEWAY),
    ]);
    let change = (any::<prop::sample::Index>(), any::<u8>());
    (frames, prop::collection::vec(change, 0..6), any::<prop::sample::Index>()).prop_map(
        |(mut frame, changes, cut)| {
            for (at, value) in changes {
                let at = at.index(frame.len());
                frame[at] = value;
            }
            // Half of the frames stay whole.
            frame.truncate(cut.index(2 * frame.len()));
            frame
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1024))]

    #[test]
    fn any_frame_is_read_or_refused(frame in prop_oneof![
        prop::collection::vec(any::<u8>(), 0..200),
        mutated(),
    ]) {
        if let Ok(Parcel::Datagram(datagram)) = classify(&frame, None) {
            prop_assert!(datagram.sender.port != 0);
            let reason = Icmpv4DstUnreachable::PortUnreachable;
            let answer = unreachable(datagram.sender.mac, reason, datagram.packet);
            prop_assert!(answer.is_none_or(|answer| answer.len() <= 576 + ETHERNET_HEADER_BYTES));
        }
    }

    #[test]
    fn what_is_written_is_read(port in 1u16.., to: u16, payload in prop::collection::vec(any::<u8>(), 0..300)) {
        let destination = SocketAddrV4::new(Ipv4Addr::new(9, 9, 9, 9), to);
        let mut frame = datagram(MAC, guest(port), destination, &payload);
        frame[..6].copy_from_slice(&GATEWAY_MAC);
        frame[6..12].copy_from_slice(&MAC);
        let Ok(Parcel::Datagram(datagram)) = classify(&frame, Some(MAC)) else {
            return Err(TestCaseError::fail("not a datagram"));
        };
        prop_assert_eq!(datagram.payload, &payload[..]);
        prop_assert_eq!((datagram.sender.port, datagram.destination), (port, destination));
    }
}

/// An ARP reply that says where the guest is.
fn reply_of_guest(mac: [u8; 6]) -> Vec<u8> {
    let arp = ArpRepr::EthernetIpv4 {
        operation: ArpOperation::Reply,
        source_hardware_addr: EthernetAddress(mac),
        source_protocol_addr: GUEST,
        target_hardware_addr: EthernetAddress(GATEWAY_MAC),
        target_protocol_addr: GATEWAY,
    };
    let ethernet = EthernetRepr {
        src_addr: EthernetAddress(mac),
        dst_addr: EthernetAddress(GATEWAY_MAC),
        ethertype: EthernetProtocol::Arp,
    };
    let mut frame = vec![0; ETHERNET_HEADER_BYTES + arp.buffer_len()];
    let (header, payload) = frame.split_at_mut(ETHERNET_HEADER_BYTES);
    ethernet.emit(&mut EthernetFrame::new_unchecked(header));
    arp.emit(&mut ArpPacket::new_unchecked(payload));
    frame
}
