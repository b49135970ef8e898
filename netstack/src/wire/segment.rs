//! The few TCP segments that the stack writes without a socket, and what it reads from those that
//! smoltcp wrote. It holds no state.

use smoltcp::phy::ChecksumCapabilities;
use smoltcp::wire::{
    EthernetAddress, EthernetFrame, EthernetProtocol, EthernetRepr, IpAddress, IpProtocol,
    Ipv4Packet, Ipv4Repr, TcpControl, TcpPacket, TcpRepr, TcpSeqNumber,
};

use super::frames::Frames;
use crate::flow::Flow;

const HOP_LIMIT: u8 = 64;

/// Where the segments that were sent on a connection left both directions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Mark {
    /// The next sequence number of ours, never one that was sent already.
    pub(crate) next_sequence: u32,
    /// What we acknowledged last.
    pub(crate) acknowledged: u32,
    pub(crate) window: u16,
    pub(crate) syn: bool,
}

/// Reads the mark of a frame that a socket has just queued, and mends the frame if need be.
///
/// When smoltcp retransmits it takes its next sequence number back to the first lost segment, and
/// its bare acknowledgements and resets carry that old number. A peer that has those segments drops
/// them as out of the window, and with them what they acknowledge; two such peers that both
/// retransmit never come out of it. RFC 9293, 3.10.7.4, has them carry the highest number.
pub(crate) fn mend_and_mark(
    frame: &mut [u8],
    flow: &Flow,
    before: Option<Mark>,
    is_answer: bool,
) -> Option<Mark> {
    let mut frame = EthernetFrame::new_checked(frame).ok()?;
    if frame.ethertype() != EthernetProtocol::Ipv4 {
        return None;
    }
    let mut packet = Ipv4Packet::new_checked(frame.payload_mut()).ok()?;
    if packet.next_header() != IpProtocol::Tcp || packet.dst_addr() != *flow.remote.ip() {
        return None;
    }
    let (source, destination) = (packet.src_addr(), packet.dst_addr());
    let mut tcp = TcpPacket::new_checked(packet.payload_mut()).ok()?;
    if tcp.dst_port() != flow.remote.port() || tcp.src_port() != flow.local.port() {
        return None;
    }
    let own_end = (tcp.seq_number() + tcp.segment_len()).0 as u32;
    let next_sequence = match before {
        Some(mark) if (mark.next_sequence.wrapping_sub(own_end) as i32) > 0 => mark.next_sequence,
        _ => own_end,
    };
    // A RST that answers a segment takes its number from that segment.
    let is_mendable = tcp.segment_len() == 0 && !(tcp.rst() && is_answer);
    if is_mendable && next_sequence != own_end {
        tcp.set_seq_number(TcpSeqNumber(next_sequence as i32));
        tcp.fill_checksum(&IpAddress::Ipv4(source), &IpAddress::Ipv4(destination));
    }
    if tcp.rst() {
        return None;
    }
    Some(Mark {
        next_sequence,
        acknowledged: tcp.ack_number().0 as u32,
        window: tcp.window_len(),
        syn: tcp.syn(),
    })
}

/// A segment without data.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Bare {
    pub(crate) sequence: u32,
    pub(crate) acknowledged: u32,
    pub(crate) window: u16,
    pub(crate) fin: bool,
}

impl From<Mark> for Bare {
    /// The acknowledgement that says where both directions are.
    fn from(mark: Mark) -> Self {
        Self {
            sequence: mark.next_sequence,
            acknowledged: mark.acknowledged,
            window: mark.window,
            fin: false,
        }
    }
}

/// Queues a segment without data, straight back to where the peer's last one came from. Returns
/// false if there is no room.
pub(crate) fn emit_bare(
    frames: &mut Frames,
    own_mac: [u8; 6],
    peer_mac: [u8; 6],
    flow: &Flow,
    bare: Bare,
) -> bool {
    let tcp = TcpRepr {
        src_port: flow.local.port(),
        dst_port: flow.remote.port(),
        control: if bare.fin { TcpControl::Fin } else { TcpControl::None },
        seq_number: TcpSeqNumber(bare.sequence as i32),
        ack_number: Some(TcpSeqNumber(bare.acknowledged as i32)),
        window_len: bare.window,
        window_scale: None,
        max_seg_size: None,
        sack_permitted: false,
        sack_ranges: [None; 3],
        timestamp: None,
        payload: &[],
    };
    let ip = Ipv4Repr {
        src_addr: *flow.local.ip(),
        dst_addr: *flow.remote.ip(),
        next_header: IpProtocol::Tcp,
        payload_len: tcp.buffer_len(),
        hop_limit: HOP_LIMIT,
    };
    let ethernet = EthernetRepr {
        src_addr: EthernetAddress(own_mac),
        dst_addr: EthernetAddress(peer_mac),
        ethertype: EthernetProtocol::Ipv4,
    };
    if !frames.has_room_for_answer() {
        return false;
    }
    let Some(mut frame) = frames.take_buffer() else { return false };
    frame.clear();
    frame.resize(ethernet.buffer_len() + ip.buffer_len() + tcp.buffer_len(), 0);

    let checksums = ChecksumCapabilities::default();
    let (source, destination) = (IpAddress::Ipv4(ip.src_addr), IpAddress::Ipv4(ip.dst_addr));
    let (ethernet_header, packet) = frame.split_at_mut(ethernet.buffer_len());
    let (ip_header, segment) = packet.split_at_mut(ip.buffer_len());
    ethernet.emit(&mut EthernetFrame::new_unchecked(ethernet_header));
    tcp.emit(&mut TcpPacket::new_unchecked(segment), &source, &destination, &checksums);
    ip.emit(&mut Ipv4Packet::new_unchecked(ip_header), &checksums);
    frames.push(frame);
    true
}
