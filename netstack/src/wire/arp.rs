//! ARP beside smoltcp: what the stack itself looks at, and an answer that teaches smoltcp nothing.
//! It holds no state.

use core::net::Ipv4Addr;

use smoltcp::wire::{
    ArpOperation, ArpPacket, ArpRepr, EthernetAddress, EthernetFrame, EthernetProtocol,
    EthernetRepr,
};

use super::frames::Frames;

/// The parts of an ARP packet that the stack itself looks at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Arp {
    pub(crate) sender: Ipv4Addr,
    pub(crate) sender_mac: [u8; 6],
    pub(crate) target: Ipv4Addr,
    pub(crate) is_request: bool,
}

/// The host that a queued frame asks for, if it is an ARP request.
pub(crate) fn question_of(frame: &[u8]) -> Option<Ipv4Addr> {
    let frame = EthernetFrame::new_checked(frame).ok()?;
    if frame.ethertype() != EthernetProtocol::Arp {
        return None;
    }
    let packet = ArpPacket::new_checked(frame.payload()).ok()?;
    if packet.operation() != ArpOperation::Request {
        return None;
    }
    Some(Ipv4Addr::from(<[u8; 4]>::try_from(packet.target_protocol_addr()).ok()?))
}

/// Queues the answer to a request for the stack's own address. Returns false if there is no room.
pub(crate) fn emit_answer(frames: &mut Frames, own_mac: [u8; 6], request: &Arp) -> bool {
    let (own_mac, peer_mac) = (EthernetAddress(own_mac), EthernetAddress(request.sender_mac));
    let arp = ArpRepr::EthernetIpv4 {
        operation: ArpOperation::Reply,
        source_hardware_addr: own_mac,
        source_protocol_addr: request.target,
        target_hardware_addr: peer_mac,
        target_protocol_addr: request.sender,
    };
    let ethernet =
        EthernetRepr { src_addr: own_mac, dst_addr: peer_mac, ethertype: EthernetProtocol::Arp };
    if !frames.has_room_for_answer() {
        return false;
    }
    let Some(mut frame) = frames.take_buffer() else { return false };
    frame.clear();
    frame.resize(ethernet.buffer_len() + arp.buffer_len(), 0);
    let (header, packet) = frame.split_at_mut(ethernet.buffer_len());
    ethernet.emit(&mut EthernetFrame::new_unchecked(header));
    arp.emit(&mut ArpPacket::new_unchecked(packet));
    frames.push(frame);
    true
}
