//! ARP for IPv4 over Ethernet (RFC 826). It holds no state.

use core::net::Ipv4Addr;

use super::frames::Frames;
use super::ip::ETHERTYPE_ARP;
use super::vnet::VNET_HEADER_BYTES;
use crate::ETHERNET_HEADER_BYTES;

const PACKET_BYTES: usize = 28;
/// Hardware type Ethernet, protocol type IPv4, and the lengths of both addresses.
const KIND: [u8; 6] = [0, 1, 8, 0, 6, 4];
const REQUEST: [u8; 2] = [0, 1];
const REPLY: [u8; 2] = [0, 2];
pub(crate) const BROADCAST: [u8; 6] = [0xff; 6];

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Arp {
    pub(crate) is_request: bool,
    pub(crate) sender: Ipv4Addr,
    pub(crate) sender_mac: [u8; 6],
    pub(crate) target: Ipv4Addr,
    pub(crate) target_mac: [u8; 6],
}

/// Reads a packet; `None` if it is not one of ours.
pub(crate) fn parse(bytes: &[u8]) -> Option<Arp> {
    let (packet, _) = bytes.split_first_chunk::<PACKET_BYTES>()?;
    let (kind, rest) = packet.split_first_chunk::<6>()?;
    let (operation, rest) = rest.split_first_chunk::<2>()?;
    let (sender_mac, rest) = rest.split_first_chunk::<6>()?;
    let (sender, rest) = rest.split_first_chunk::<4>()?;
    let (target_mac, rest) = rest.split_first_chunk::<6>()?;
    let (target, _) = rest.split_first_chunk::<4>()?;
    if *kind != KIND || ![REQUEST, REPLY].contains(operation) {
        return None;
    }
    Some(Arp {
        is_request: *operation == REQUEST,
        sender: Ipv4Addr::from(*sender),
        sender_mac: *sender_mac,
        target: Ipv4Addr::from(*target),
        target_mac: *target_mac,
    })
}

/// Queues a packet to this Ethernet address. False if there is no memory.
pub(crate) fn push(frames: &mut Frames, offload: bool, to: [u8; 6], arp: &Arp) -> bool {
    let bytes = VNET_HEADER_BYTES + ETHERNET_HEADER_BYTES + PACKET_BYTES;
    let Some(mut frame) = frames.take_buffer(bytes) else { return false };
    if offload {
        frame.extend_from_slice(&[0; VNET_HEADER_BYTES]);
    }
    frame.extend_from_slice(&to);
    frame.extend_from_slice(&arp.sender_mac);
    frame.extend_from_slice(&ETHERTYPE_ARP.to_be_bytes());
    frame.extend_from_slice(&KIND);
    frame.extend_from_slice(&if arp.is_request { REQUEST } else { REPLY });
    frame.extend_from_slice(&arp.sender_mac);
    frame.extend_from_slice(&arp.sender.octets());
    frame.extend_from_slice(&arp.target_mac);
    frame.extend_from_slice(&arp.target.octets());
    frames.push(frame);
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read() {
        let (sender, target) = (Ipv4Addr::new(10, 0, 0, 1), Ipv4Addr::new(10, 0, 0, 2));
        let arp = Arp { is_request: true, sender, sender_mac: [1; 6], target, target_mac: [0; 6] };
        for arp in [arp, Arp { is_request: false, target_mac: [2; 6], ..arp }] {
            let mut frames = Frames::new(1, 100).unwrap();
            assert!(push(&mut frames, true, BROADCAST, &arp));
            let frame = frames.front().unwrap();
            assert_eq!(parse(&frame[24..]), Some(arp));
            assert_eq!(parse(&frame[24..frame.len() - 1]), None);
        }
        assert_eq!(parse(&[0; 28]), None);
    }
}
