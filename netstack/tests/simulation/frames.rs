//! Frames written by hand, all of them to host 1.

use std::net::Ipv4Addr;

use smoltcp::phy::ChecksumCapabilities;
use smoltcp::wire::{
    ArpOperation, ArpPacket, ArpRepr, EthernetAddress, EthernetFrame, EthernetProtocol,
    Icmpv4Packet, Icmpv4Repr, IpAddress, IpProtocol, Ipv4Packet, Ipv4Repr, TcpControl, TcpPacket,
    TcpRepr, TcpSeqNumber,
};

use crate::sim::{address_of, mac_of};

/// A TCP segment to port 80. The client's host and port are made from its number.
pub fn segment(
    client: u32,
    control: TcpControl,
    sequence: i32,
    ack: Option<i32>,
    payload: &[u8],
) -> Vec<u8> {
    let source = client_address(client);
    let tcp = TcpRepr {
        src_port: (client as u16).max(1),
        dst_port: 80,
        control,
        seq_number: TcpSeqNumber(sequence),
        ack_number: ack.map(TcpSeqNumber),
        window_len: 4096,
        window_scale: (control == TcpControl::Syn).then_some(2),
        max_seg_size: (control == TcpControl::Syn).then_some(1460),
        sack_permitted: control == TcpControl::Syn,
        sack_ranges: [None; 3],
        timestamp: None,
        payload,
    };
    let mut frame = ipv4_frame(source, IpProtocol::Tcp, tcp.buffer_len());
    tcp.emit(
        &mut TcpPacket::new_unchecked(&mut frame[34..]),
        &IpAddress::Ipv4(source),
        &IpAddress::Ipv4(address_of(1)),
        &ChecksumCapabilities::default(),
    );
    frame
}

/// The address of a client of [`segment`]: a host of the own network that does not exist.
pub fn client_address(client: u32) -> Ipv4Addr {
    address_of(100 + (client >> 16) as u8 % 100)
}

/// An echo request of host 0.
pub fn ping(data: &[u8]) -> Vec<u8> {
    let echo = Icmpv4Repr::EchoRequest { ident: 1, seq_no: 2, data };
    let mut frame = ipv4_frame(address_of(0), IpProtocol::Icmp, echo.buffer_len());
    let checksums = ChecksumCapabilities::default();
    echo.emit(&mut Icmpv4Packet::new_unchecked(&mut frame[34..]), &checksums);
    frame
}

fn ipv4_frame(source: Ipv4Addr, next_header: IpProtocol, payload_len: usize) -> Vec<u8> {
    let ip = Ipv4Repr {
        src_addr: source,
        dst_addr: address_of(1),
        next_header,
        payload_len,
        hop_limit: 64,
    };
    let mut frame = ethernet_frame(EthernetAddress(mac_of(1)), mac_of(0), EthernetProtocol::Ipv4);
    frame.resize(34 + payload_len, 0);
    ip.emit(&mut Ipv4Packet::new_unchecked(&mut frame[14..]), &ChecksumCapabilities::default());
    frame
}

/// An ARP packet from a host that may not exist.
pub fn arp(operation: ArpOperation, from: u8, mac: [u8; 6]) -> Vec<u8> {
    let arp = ArpRepr::EthernetIpv4 {
        operation,
        source_hardware_addr: EthernetAddress(mac),
        source_protocol_addr: address_of(from),
        target_hardware_addr: EthernetAddress::default(),
        target_protocol_addr: address_of(1),
    };
    let mut frame = ethernet_frame(EthernetAddress::BROADCAST, mac, EthernetProtocol::Arp);
    frame.resize(14 + arp.buffer_len(), 0);
    arp.emit(&mut ArpPacket::new_unchecked(&mut frame[14..]));
    frame
}

fn ethernet_frame(to: EthernetAddress, from: [u8; 6], protocol: EthernetProtocol) -> Vec<u8> {
    let mut header = vec![0; 14];
    let mut frame = EthernetFrame::new_unchecked(&mut header[..]);
    frame.set_dst_addr(to);
    frame.set_src_addr(EthernetAddress(from));
    frame.set_ethertype(protocol);
    header
}
