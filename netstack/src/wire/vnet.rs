//! The header before each frame of a wire with offloads: the legacy `struct virtio_net_hdr`,
//! little-endian (virtio 1.2, 5.1.6). With it segments of up to 64 KB cross the wire in one frame,
//! and checksums are left to whoever needs them.

/// Its length.
pub const VNET_HEADER_BYTES: usize = 10;

const NEEDS_CHECKSUM: u8 = 1;
const CHECKSUM_IS_VALID: u8 = 2;
const TCP_IPV4: u8 = 1;
const TCP_IPV6: u8 = 4;

/// What the wire is asked to do with a frame.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Offload {
    /// The sum from `start` on goes to `start + offset`; both count from the frame's first byte.
    pub(crate) checksum: Option<(usize, usize)>,
    /// The payload is cut into segments.
    pub(crate) segment: Option<Segmentation>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Segmentation {
    pub(crate) is_ipv6: bool,
    pub(crate) header_bytes: usize,
    pub(crate) segment_bytes: usize,
}

/// The header as bytes.
pub(crate) fn emit(offload: &Offload) -> [u8; VNET_HEADER_BYTES] {
    let mut header = [0; VNET_HEADER_BYTES];
    let mut put = |at: usize, value: usize| {
        header[at..at + 2].copy_from_slice(&(value as u16).to_le_bytes());
    };
    if let Some(segment) = offload.segment {
        put(2, segment.header_bytes);
        put(4, segment.segment_bytes);
    }
    if let Some((start, offset)) = offload.checksum {
        put(6, start);
        put(8, offset);
        header[0] = NEEDS_CHECKSUM;
    }
    header[1] = match offload.segment {
        None => 0,
        Some(Segmentation { is_ipv6: false, .. }) => TCP_IPV4,
        Some(Segmentation { is_ipv6: true, .. }) => TCP_IPV6,
    };
    header
}

/// Takes the header off a frame that arrived, and tells whether its checksum needs no look: the
/// wire has verified it, or it never left the host and is not even computed. `None` if the frame is
/// too short.
pub(crate) fn split(frame: &[u8]) -> Option<(bool, &[u8])> {
    let (header, frame) = frame.split_first_chunk::<VNET_HEADER_BYTES>()?;
    Some((header[0] & (NEEDS_CHECKSUM | CHECKSUM_IS_VALID) != 0, frame))
}
