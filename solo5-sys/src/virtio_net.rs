//! The header that begins every frame of a network device with
//! [`Features::VNET`](crate::extension::Features::VNET): `struct virtio_net_hdr` of the legacy
//! interface, always little endian (virtio 1.3, 5.1.6.1; Linux, `linux/virtio_net.h`).
//!
//! A guest that asks for it takes from the wire TCP segments longer than the MTU (IPv4 and IPv6, without
//! ECN's special case) and segments whose checksum is not filled in, and may send the same. UDP is
//! not segmented. Only shapes are said here; what a header means together with its frame is checked by
//! whoever takes it.

use crate::bytes::{array, put};

/// Size of a [`Header`] in bytes.
pub const HEADER_BYTES: usize = 10;

/// Longest frame in bytes with its header: an Ethernet header and the longest IPv4 packet come behind.
pub const FRAME_BYTES_MAX: usize = HEADER_BYTES + 14 + 65_535;

/// A header.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Header {
    /// [`Header::NEEDS_CHECKSUM`], [`Header::CHECKSUM_VALID`].
    pub flags: u8,
    /// [`Header::SEGMENT_NONE`], [`Header::SEGMENT_TCP4`], [`Header::SEGMENT_TCP6`].
    pub segment_kind: u8,
    /// Length of all headers in the frame, a hint.
    pub headers_bytes: u16,
    /// Payload of each segment that the frame stands for, zero without segmentation.
    pub segment_bytes: u16,
    /// Where the part of the frame starts that the checksum covers.
    pub checksum_start: u16,
    /// Where the checksum is, counted from there.
    pub checksum_offset: u16,
}

impl Header {
    /// The checksum is to be completed: the frame holds the pseudo header's sum.
    pub const NEEDS_CHECKSUM: u8 = 1;
    /// The checksum was verified.
    pub const CHECKSUM_VALID: u8 = 2;
    /// The frame is one packet.
    pub const SEGMENT_NONE: u8 = 0;
    /// The frame is a TCP segment over IPv4, of any length.
    pub const SEGMENT_TCP4: u8 = 1;
    /// ... over IPv6.
    pub const SEGMENT_TCP6: u8 = 4;

    /// The header as it stands before a frame.
    pub fn to_bytes(self) -> [u8; HEADER_BYTES] {
        let mut out = [self.flags, self.segment_kind, 0, 0, 0, 0, 0, 0, 0, 0];
        put(&mut out, 2, &self.headers_bytes.to_le_bytes());
        put(&mut out, 4, &self.segment_bytes.to_le_bytes());
        put(&mut out, 6, &self.checksum_start.to_le_bytes());
        put(&mut out, 8, &self.checksum_offset.to_le_bytes());
        out
    }

    /// The header at the beginning of `bytes`, `None` if they are too few.
    pub fn parse(bytes: &[u8]) -> Option<Self> {
        let word = |offset| array(bytes, offset).map(u16::from_le_bytes);
        Some(Self {
            flags: *bytes.first()?,
            segment_kind: *bytes.get(1)?,
            headers_bytes: word(2)?,
            segment_bytes: word(4)?,
            checksum_start: word(6)?,
            checksum_offset: word(8)?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_header_equals_golden_bytes() {
        let header = Header {
            flags: Header::NEEDS_CHECKSUM,
            segment_kind: Header::SEGMENT_TCP4,
            headers_bytes: 66,
            segment_bytes: 1448,
            checksum_start: 34,
            checksum_offset: 16,
        };
        assert_eq!(header.to_bytes(), [1, 1, 66, 0, 0xa8, 5, 34, 0, 16, 0]);
        assert_eq!(Header::parse(&header.to_bytes()), Some(header));
        assert_eq!(Header::parse(&[0; 9]), None);
    }

    proptest! {
        #[test]
        fn headers_round_trip(bytes in any::<[u8; HEADER_BYTES]>()) {
            prop_assert_eq!(Header::parse(&bytes).unwrap().to_bytes(), bytes);
        }
    }
}
