//! Tells what an incoming frame is for, from nothing but its bytes, all of them hostile. It checks
//! every length before it reads, lets nothing pass that smoltcp is not made for, and changes nothing.

use core::net::{Ipv4Addr, SocketAddrV4};

use smoltcp::wire::{
    ArpOperation, ArpPacket, ArpRepr, EthernetAddress, EthernetFrame, EthernetProtocol, IpAddress,
    IpProtocol, Ipv4Packet, TcpOption, TcpPacket, UdpPacket,
};

use super::arp::Arp;
use crate::flow::Flow;

/// The port of DHCP clients (RFC 2131).
pub(crate) const DHCP_CLIENT_PORT: u16 = 68;

/// What a frame is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Parcel {
    Arp(Arp),
    Tcp(Segment),
    Udp { source: SocketAddrV4, destination: SocketAddrV4 },
    Icmp { destination: Ipv4Addr },
}

/// The parts of a TCP segment that the stack itself looks at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Segment {
    pub(crate) flow: Flow,
    pub(crate) source_mac: [u8; 6],
    pub(crate) sequence: u32,
    /// Means something only with `ack`.
    pub(crate) acknowledged: u32,
    pub(crate) payload_bytes: u32,
    pub(crate) syn: bool,
    pub(crate) ack: bool,
    pub(crate) fin: bool,
    pub(crate) rst: bool,
    /// The sender understands scaled windows; only a SYN tells.
    pub(crate) scales_window: bool,
}

impl Segment {
    /// Whether it asks for a new connection.
    pub(crate) fn opens(&self) -> bool {
        self.syn && !self.ack && !self.fin && !self.rst
    }

    /// The sequence number after its payload and FIN.
    pub(crate) fn end(&self) -> u32 {
        self.sequence.wrapping_add(self.payload_bytes).wrapping_add(self.fin.into())
    }
}

/// Why a frame is dropped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Refusal {
    Malformed,
    NotForUs,
    Fragment,
    Unsupported,
}

impl From<smoltcp::wire::Error> for Refusal {
    fn from(_: smoltcp::wire::Error) -> Self {
        Self::Malformed
    }
}

/// Reads a frame that arrived at the host with this Ethernet address.
pub(crate) fn classify(frame: &[u8], own_mac: [u8; 6]) -> Result<Parcel, Refusal> {
    let frame = EthernetFrame::new_checked(frame)?;
    let to_us = frame.dst_addr() == EthernetAddress(own_mac);
    if !to_us && !frame.dst_addr().is_multicast() && !frame.dst_addr().is_broadcast() {
        return Err(Refusal::NotForUs);
    }
    match frame.ethertype() {
        EthernetProtocol::Arp => classify_arp(frame.payload()),
        EthernetProtocol::Ipv4 => classify_ipv4(frame.payload(), to_us, frame.src_addr().0),
        _ => Err(Refusal::Unsupported),
    }
}

fn classify_arp(payload: &[u8]) -> Result<Parcel, Refusal> {
    let packet = ArpPacket::new_checked(payload)?;
    let ArpRepr::EthernetIpv4 {
        operation,
        source_hardware_addr,
        source_protocol_addr,
        target_protocol_addr,
        ..
    } = ArpRepr::parse(&packet)?
    else {
        return Err(Refusal::Unsupported);
    };
    match operation {
        ArpOperation::Request | ArpOperation::Reply => Ok(Parcel::Arp(Arp {
            sender: source_protocol_addr,
            sender_mac: source_hardware_addr.0,
            target: target_protocol_addr,
            is_request: operation == ArpOperation::Request,
        })),
        ArpOperation::Unknown(_) => Err(Refusal::Unsupported),
    }
}

fn classify_ipv4(payload: &[u8], to_us: bool, source_mac: [u8; 6]) -> Result<Parcel, Refusal> {
    let packet = Ipv4Packet::new_checked(payload)?;
    if packet.version() != 4 {
        return Err(Refusal::Malformed);
    }
    if packet.more_frags() || packet.frag_offset() != 0 {
        return Err(Refusal::Fragment);
    }
    let (source, destination) = (packet.src_addr(), packet.dst_addr());
    match packet.next_header() {
        IpProtocol::Tcp => {
            // RFC 9293, 3.9.2.3: TCP is between two hosts only.
            if !to_us || !is_host(source) || !is_host(destination) {
                return Err(Refusal::NotForUs);
            }
            classify_tcp(&packet, source_mac)
        }
        IpProtocol::Udp => classify_udp(&packet),
        IpProtocol::Icmp if is_host(source) => Ok(Parcel::Icmp { destination }),
        IpProtocol::Icmp => Err(Refusal::NotForUs),
        _ => Err(Refusal::Unsupported),
    }
}

fn classify_tcp(packet: &Ipv4Packet<&[u8]>, source_mac: [u8; 6]) -> Result<Parcel, Refusal> {
    let (source, destination) = (packet.src_addr(), packet.dst_addr());
    let tcp = TcpPacket::new_checked(packet.payload())?;
    if tcp.src_port() == 0 || tcp.dst_port() == 0 {
        return Err(Refusal::Malformed);
    }
    let segment = Segment {
        flow: Flow {
            local: SocketAddrV4::new(destination, tcp.dst_port()),
            remote: SocketAddrV4::new(source, tcp.src_port()),
        },
        source_mac,
        sequence: tcp.seq_number().0 as u32,
        acknowledged: tcp.ack_number().0 as u32,
        payload_bytes: (packet.payload().len() - usize::from(tcp.header_len())) as u32,
        syn: tcp.syn(),
        ack: tcp.ack(),
        fin: tcp.fin(),
        rst: tcp.rst(),
        scales_window: tcp.syn() && scales_window(tcp.options()),
    };
    // smoltcp checks every segment, too, but does not tell; and by then a SYN has got its buffers,
    // and any other segment would count as a sign of life.
    let (from, to) = (IpAddress::Ipv4(source), IpAddress::Ipv4(destination));
    if !packet.verify_checksum() || !tcp.verify_checksum(&from, &to) {
        return Err(Refusal::Malformed);
    }
    Ok(Parcel::Tcp(segment))
}

fn scales_window(mut options: &[u8]) -> bool {
    while let Ok((rest, option)) = TcpOption::parse(options) {
        match option {
            TcpOption::WindowScale(_) => return true,
            TcpOption::EndOfList => return false,
            _ => options = rest,
        }
    }
    false
}

fn classify_udp(packet: &Ipv4Packet<&[u8]>) -> Result<Parcel, Refusal> {
    let (source, destination) = (packet.src_addr(), packet.dst_addr());
    let udp = UdpPacket::new_checked(packet.payload())?;
    // A DHCP client has no address yet when it asks its server; nobody else may have none.
    let nameless = source.is_unspecified() && udp.dst_port() != DHCP_CLIENT_PORT;
    if !is_host(source) && !nameless || destination.is_unspecified() || destination.is_loopback() {
        return Err(Refusal::NotForUs);
    }
    if udp.src_port() == 0 || udp.dst_port() == 0 {
        return Err(Refusal::Malformed);
    }
    Ok(Parcel::Udp {
        source: SocketAddrV4::new(source, udp.src_port()),
        destination: SocketAddrV4::new(destination, udp.dst_port()),
    })
}

/// Whether a host on the network can have this address.
pub(crate) fn is_host(address: Ipv4Addr) -> bool {
    let [first, ..] = address.octets();
    // 0 is "this network", 127 the host itself, 224 and up groups, reserved and broadcast.
    first != 0 && first != 127 && first < 224
}
