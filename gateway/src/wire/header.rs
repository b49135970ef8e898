//! The header before each frame of a ring wire: `struct virtio_net_hdr`, legacy and little-endian
//! (Virtual I/O Device 1.1, 5.1.6). Its bytes are the guest's.

use netstack::ETHERNET_HEADER_BYTES;
use solo5_sys::ring::VNET_HEADER_BYTES;

/// The checksum is to be completed by whoever gets the frame.
const NEEDS_CHECKSUM: u8 = 1;
const FLAGS: usize = 0;
/// Where the checksummed part begins in the frame, and where in that the checksum is.
const START: usize = 6;
const OFFSET: usize = 8;

/// Where a frame says that it is IPv4, and what is in the packet.
const ETHERTYPE: usize = 12;
const PROTOCOL: usize = ETHERNET_HEADER_BYTES + 9;
const IPV4: [u8; 2] = [8, 0];
const UDP: u8 = 17;

/// Completes the checksum of a datagram behind a header that asks for it: unlike the stack's segments,
/// it may go out into the world.
pub(crate) fn complete_datagram(frame: &mut [u8]) {
    let inner = frame.get(VNET_HEADER_BYTES..).unwrap_or_default();
    let is_ipv4 = inner.get(ETHERTYPE..ETHERTYPE + 2) == Some(&IPV4);
    if is_ipv4 && inner.get(PROTOCOL) == Some(&UDP) {
        complete(frame);
    }
}

/// Completes the checksum of a frame behind its header, if that says so. What is not in the frame is
/// left alone: without its checksum the frame is dropped later.
fn complete(frame: &mut [u8]) {
    let Some((header, frame)) = frame.split_first_chunk_mut::<VNET_HEADER_BYTES>() else { return };
    if header[FLAGS] & NEEDS_CHECKSUM == 0 {
        return;
    }
    let number = |at: usize| usize::from(u16::from_le_bytes([header[at], header[at + 1]]));
    let (start, offset) = (number(START), number(OFFSET));
    header[FLAGS] = 0;
    let Some(part) = frame.get_mut(start..).filter(|part| part.len() >= offset + 2) else { return };
    let sum = !sum(part);
    // RFC 768: zero would mean that there is none. RFC 1071: both are zero for TCP.
    let sum = if sum == 0 { 0xffff } else { sum };
    part[offset..offset + 2].copy_from_slice(&sum.to_be_bytes());
}

/// The sum of RFC 1071, before it is inverted.
fn sum(bytes: &[u8]) -> u16 {
    let (words, rest) = bytes.as_chunks::<2>();
    let whole: u64 = words.iter().map(|word| u64::from(u16::from_be_bytes(*word))).sum();
    let mut sum = whole + rest.first().map_or(0, |last| u64::from(*last) << 8);
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    sum as u16
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_checksum_is_completed_where_the_header_says() {
        let mut frame = vec![1, 0, 0, 0, 0, 0, 2, 0, 4, 0];
        // The field holds the pseudo header's sum, 0x0102.
        frame.extend([9, 9, 0x12, 0x34, 0xff, 0xff, 1, 2, 7]);
        complete(&mut frame);
        // 0x1234 + 0xffff + 0x0102 + 0x0700 = 0x11a35, folded 0x1a36.
        assert_eq!(frame[10..], [9, 9, 0x12, 0x34, 0xff, 0xff, 0xe5, 0xc9, 7]);
        assert_eq!(frame[0], 0);
    }

    #[test]
    fn other_frames_stay_as_they_are() {
        for start in [[0, 0, 0, 0], [18, 0, 0, 0], [2, 0, 6, 0], [255, 255, 255, 255]] {
            let header = [&[u8::from(start != [0; 4]), 0, 0, 0, 0, 0][..], &start].concat();
            let mut frame = [header, vec![3; 9]].concat();
            complete(&mut frame);
            assert_eq!(frame[10..], [3; 9], "{start:?}");
        }
    }

    proptest! {
        #[test]
        fn any_bytes_are_taken(mut frame in proptest::collection::vec(any::<u8>(), 0..80)) {
            complete(&mut frame);
        }
    }
}
