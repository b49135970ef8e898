//! Frames as bytes: what an incoming one is for, and the few that the gateway writes itself. Every
//! incoming byte is hostile: lengths and checksums are checked before anything is believed, and what
//! does not come from the guest's own address is refused. It holds no state.

use std::net::{Ipv4Addr, SocketAddrV4};

use smoltcp::phy::ChecksumCapabilities;
use smoltcp::wire::{
    ArpOperation, ArpPacket, ArpRepr, EthernetAddress, EthernetFrame, EthernetProtocol,
    EthernetRepr, Icmpv4DstUnreachable, Icmpv4Packet, Icmpv4Repr, IpProtocol, Ipv4Packet, Ipv4Repr,
    UdpPacket, UdpRepr,
};

use crate::address::{DNS, DNS_PORT, GATEWAY, GATEWAY_MAC, GUEST};

pub(crate) const ETHERNET_HEADER_BYTES: usize = 14;
const IPV4_HEADER_BYTES: usize = 20;
const UDP_HEADER_BYTES: usize = 8;
/// What stands before a datagram's payload.
pub(crate) const DATAGRAM_HEADERS_BYTES: usize =
    ETHERNET_HEADER_BYTES + IPV4_HEADER_BYTES + UDP_HEADER_BYTES;
/// What an ICMP error quotes at most of the payload it is about: the whole error stays within 576
/// bytes (RFC 1812, 4.3.2.3).
const QUOTED_BYTES_MAX: usize = 576 - 2 * IPV4_HEADER_BYTES - 8;
const HOP_LIMIT: u8 = 64;
pub(crate) const DHCP_SERVER_PORT: u16 = 67;
pub(crate) const DHCP_CLIENT_PORT: u16 = 68;

/// Where a datagram of the guest comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Sender {
    pub(crate) mac: [u8; 6],
    pub(crate) port: u16,
}

/// What an incoming frame is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Parcel<'a> {
    /// The TCP/IP stack.
    Stack,
    /// The DHCP server.
    Dhcp { mac: [u8; 6], message: &'a [u8] },
    /// The resolver.
    Dns { sender: Sender, query: &'a [u8] },
    /// Somebody in the host's network.
    Datagram(Datagram<'a>),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Datagram<'a> {
    pub(crate) sender: Sender,
    pub(crate) destination: SocketAddrV4,
    pub(crate) payload: &'a [u8],
    /// The whole IPv4 packet, for [`unreachable`].
    pub(crate) packet: &'a [u8],
}

/// Why a frame is dropped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Refusal {
    Malformed,
    /// It claims to come from another host than the guest.
    Spoofed,
    /// It is for a host that is not on this wire.
    NotForUs,
    /// IPv4 fragments are not put together.
    Fragment,
    Unsupported,
}

impl From<smoltcp::wire::Error> for Refusal {
    fn from(_: smoltcp::wire::Error) -> Self {
        Self::Malformed
    }
}

/// Reads a frame of the guest. With `guest_mac`, frames of other Ethernet addresses are spoofed.
pub(crate) fn classify(frame: &[u8], guest_mac: Option<[u8; 6]>) -> Result<Parcel<'_>, Refusal> {
    let ethernet = EthernetFrame::new_checked(frame)?;
    let mac = ethernet.src_addr();
    if !mac.is_unicast() || guest_mac.is_some_and(|guest| guest != mac.0) {
        return Err(Refusal::Spoofed);
    }
    let to_us = ethernet.dst_addr() == EthernetAddress(GATEWAY_MAC);
    if !to_us && !ethernet.dst_addr().is_broadcast() {
        return Err(Refusal::NotForUs);
    }
    match ethernet.ethertype() {
        EthernetProtocol::Arp => classify_arp(ethernet.payload(), mac),
        EthernetProtocol::Ipv4 => classify_ipv4(ethernet.payload(), mac.0, to_us),
        _ => Err(Refusal::Unsupported),
    }
}

/// The stack answers ARP for every address, so it may only see questions for the gateway's own.
fn classify_arp(payload: &[u8], mac: EthernetAddress) -> Result<Parcel<'_>, Refusal> {
    let ArpRepr::EthernetIpv4 {
        operation,
        source_hardware_addr,
        source_protocol_addr,
        target_protocol_addr,
        ..
    } = ArpRepr::parse(&ArpPacket::new_checked(payload)?)?
    else {
        return Err(Refusal::Unsupported);
    };
    if source_protocol_addr != GUEST || source_hardware_addr != mac {
        return Err(Refusal::Spoofed);
    }
    match (operation, target_protocol_addr) {
        (ArpOperation::Request, GATEWAY | DNS) | (ArpOperation::Reply, GATEWAY) => {
            Ok(Parcel::Stack)
        }
        _ => Err(Refusal::NotForUs),
    }
}

fn classify_ipv4(packet: &[u8], mac: [u8; 6], to_us: bool) -> Result<Parcel<'_>, Refusal> {
    let ip = Ipv4Packet::new_checked(packet)?;
    if ip.version() != 4 {
        return Err(Refusal::Malformed);
    }
    if ip.more_frags() || ip.frag_offset() != 0 {
        return Err(Refusal::Fragment);
    }
    if ip.next_header() == IpProtocol::Udp {
        return classify_udp(packet, &ip, mac);
    }
    if ip.src_addr() != GUEST {
        return Err(Refusal::Spoofed);
    }
    match ip.next_header() {
        IpProtocol::Tcp if to_us && ip.dst_addr() != GUEST => Ok(Parcel::Stack),
        IpProtocol::Icmp if to_us && ip.dst_addr() == GATEWAY => Ok(Parcel::Stack),
        IpProtocol::Tcp | IpProtocol::Icmp => Err(Refusal::NotForUs),
        _ => Err(Refusal::Unsupported),
    }
}

fn classify_udp<'a>(
    packet: &'a [u8],
    ip: &Ipv4Packet<&'a [u8]>,
    mac: [u8; 6],
) -> Result<Parcel<'a>, Refusal> {
    let checksums = ChecksumCapabilities::default();
    let (source, destination) = (ip.src_addr(), ip.dst_addr());
    Ipv4Repr::parse(ip, &checksums)?;
    let udp = UdpPacket::new_checked(ip.payload())?;
    let ports = UdpRepr::parse(&udp, &source.into(), &destination.into(), &checksums)?;

    let is_dhcp = ports.src_port == DHCP_CLIENT_PORT
        && ports.dst_port == DHCP_SERVER_PORT
        && (destination.is_broadcast() || destination == GATEWAY);
    if is_dhcp && (source.is_unspecified() || source == GUEST) {
        let message = udp.payload();
        return Ok(Parcel::Dhcp { mac, message });
    }
    if source != GUEST || ports.src_port == 0 {
        return Err(Refusal::Spoofed);
    }
    let sender = Sender { mac, port: ports.src_port };
    if destination == DNS && ports.dst_port == DNS_PORT {
        let query = udp.payload();
        return Ok(Parcel::Dns { sender, query });
    }
    Ok(Parcel::Datagram(Datagram {
        sender,
        destination: SocketAddrV4::new(destination, ports.dst_port),
        payload: udp.payload(),
        packet,
    }))
}

/// A datagram to a host on the wire.
pub(crate) fn datagram(
    mac: [u8; 6],
    source: SocketAddrV4,
    destination: SocketAddrV4,
    payload: &[u8],
) -> Vec<u8> {
    let mut frame = vec![0; DATAGRAM_HEADERS_BYTES + payload.len()];
    frame[DATAGRAM_HEADERS_BYTES..].copy_from_slice(payload);
    write_datagram_headers(&mut frame, mac, source, destination);
    frame
}

/// Completes a frame that holds a payload after [`DATAGRAM_HEADERS_BYTES`] of room. The caller sees
/// to it that the frame is not longer than the MTU allows.
pub(crate) fn write_datagram_headers(
    frame: &mut [u8],
    mac: [u8; 6],
    source: SocketAddrV4,
    destination: SocketAddrV4,
) {
    let payload_bytes = frame.len() - DATAGRAM_HEADERS_BYTES;
    let udp = UdpRepr { src_port: source.port(), dst_port: destination.port() };
    let (from, to) = (*source.ip(), *destination.ip());
    let segment = write_ipv4(
        frame,
        mac,
        Ipv4Repr {
            src_addr: from,
            dst_addr: to,
            next_header: IpProtocol::Udp,
            payload_len: UDP_HEADER_BYTES + payload_bytes,
            hop_limit: HOP_LIMIT,
        },
    );
    udp.emit(
        &mut UdpPacket::new_unchecked(segment),
        &from.into(),
        &to.into(),
        payload_bytes,
        |_| {},
        &ChecksumCapabilities::default(),
    );
}

/// Tells the guest that this packet of its own reached nobody (RFC 792). There is no such answer
/// to a packet for many (RFC 1122, 3.2.2).
pub(crate) fn unreachable(
    mac: [u8; 6],
    reason: Icmpv4DstUnreachable,
    packet: &[u8],
) -> Option<Vec<u8>> {
    let ip = Ipv4Packet::new_checked(packet).ok()?;
    let header = Ipv4Repr::parse(&ip, &ChecksumCapabilities::ignored()).ok()?;
    let destination = header.dst_addr;
    if destination.is_broadcast() || destination.is_multicast() || header.src_addr != GUEST {
        return None;
    }
    let quoted = &ip.payload()[..ip.payload().len().min(QUOTED_BYTES_MAX)];
    Some(icmp_error(mac, reason, header, quoted))
}

/// The same for a packet that is gone already: a datagram between these two.
pub(crate) fn unreachable_datagram(
    mac: [u8; 6],
    guest_port: u16,
    destination: SocketAddrV4,
) -> Vec<u8> {
    let header = Ipv4Repr {
        src_addr: GUEST,
        dst_addr: *destination.ip(),
        next_header: IpProtocol::Udp,
        payload_len: UDP_HEADER_BYTES,
        hop_limit: HOP_LIMIT,
    };
    let mut quoted = [0; UDP_HEADER_BYTES];
    let mut udp = UdpPacket::new_unchecked(&mut quoted);
    udp.set_src_port(guest_port);
    udp.set_dst_port(destination.port());
    udp.set_len(UDP_HEADER_BYTES as u16);
    icmp_error(mac, Icmpv4DstUnreachable::PortUnreachable, header, &quoted)
}

fn icmp_error(
    mac: [u8; 6],
    reason: Icmpv4DstUnreachable,
    header: Ipv4Repr,
    data: &[u8],
) -> Vec<u8> {
    let icmp = Icmpv4Repr::DstUnreachable { reason, header, data };
    let mut frame = vec![0; ETHERNET_HEADER_BYTES + IPV4_HEADER_BYTES + icmp.buffer_len()];
    let message = write_ipv4(
        &mut frame,
        mac,
        Ipv4Repr {
            src_addr: GATEWAY,
            dst_addr: GUEST,
            next_header: IpProtocol::Icmp,
            payload_len: icmp.buffer_len(),
            hop_limit: HOP_LIMIT,
        },
    );
    icmp.emit(&mut Icmpv4Packet::new_unchecked(message), &ChecksumCapabilities::default());
    frame
}

/// Writes both headers of a frame from the gateway, and gives the room after them.
fn write_ipv4(frame: &mut [u8], mac: [u8; 6], ip: Ipv4Repr) -> &mut [u8] {
    let ethernet = EthernetRepr {
        src_addr: EthernetAddress(GATEWAY_MAC),
        dst_addr: EthernetAddress(mac),
        ethertype: EthernetProtocol::Ipv4,
    };
    let (ethernet_header, packet) = frame.split_at_mut(ETHERNET_HEADER_BYTES);
    ethernet.emit(&mut EthernetFrame::new_unchecked(ethernet_header));
    ip.emit(&mut Ipv4Packet::new_unchecked(&mut *packet), &ChecksumCapabilities::default());
    &mut packet[IPV4_HEADER_BYTES..]
}

/// The guest's end of a flow.
pub(crate) fn guest(port: u16) -> SocketAddrV4 {
    SocketAddrV4::new(GUEST, port)
}

/// The DHCP server's end of a message.
pub(crate) fn dhcp_server() -> SocketAddrV4 {
    SocketAddrV4::new(GATEWAY, DHCP_SERVER_PORT)
}

/// The DHCP client's end of a message.
pub(crate) fn dhcp_client(address: Ipv4Addr) -> SocketAddrV4 {
    SocketAddrV4::new(address, DHCP_CLIENT_PORT)
}

#[cfg(test)]
mod tests;
