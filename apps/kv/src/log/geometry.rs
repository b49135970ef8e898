//! Where on the device things lie: arithmetic only.
//!
//! ```text
//! 0        4 KiB    8 KiB                       -8 KiB   -4 KiB
//! | pair 0 | pair 1 | ring of whole blocks ...  | pair 0 | pair 1 |
//! ```
//!
//! The copies at the end may be missing, on a device that was cut while the ring's last blocks
//! were in use.

use super::frame::HEADER_BYTES;

/// The size of a superblock's place.
pub(super) const SLOT_BYTES: u64 = 4096;
/// Where the ring begins.
pub(super) const RING_START: u64 = 2 * SLOT_BYTES;
/// The smallest and the largest block of a device.
pub(super) const BLOCK_BYTES: core::ops::RangeInclusive<u64> = 512..=SLOT_BYTES;
/// The longest frame, a multiple of every block. Small in tests, where rings are small.
pub(super) const FRAME_BYTES_MAX: u64 = if cfg!(test) { 8 * 1024 } else { 256 * 1024 };
/// The shortest ring.
const RING_BLOCKS_MIN: u64 = 16;

/// Where things lie on one device.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Geometry {
    /// The unit of frames, a power of two.
    pub(super) block_bytes: u64,
    /// The part of the device that is used, a multiple of the block.
    pub(super) device_bytes: u64,
    /// The end of the ring, at a whole number of blocks from its start.
    pub(super) ring_end: u64,
}

impl Geometry {
    /// For a device of this size. The other result is the least size that would do.
    pub(super) fn new(capacity_bytes: u64, block_bytes: u64) -> Result<Self, u64> {
        let min_bytes = 2 * RING_START + RING_BLOCKS_MIN * block_bytes;
        let device_bytes = round_down(capacity_bytes, block_bytes);
        if device_bytes < min_bytes {
            return Err(min_bytes);
        }
        Ok(Self { block_bytes, device_bytes, ring_end: device_bytes - RING_START })
    }

    /// What was read from a device makes sense.
    pub(super) fn is_valid(&self) -> bool {
        self.block_bytes.is_power_of_two()
            && BLOCK_BYTES.contains(&self.block_bytes)
            && self.device_bytes.is_multiple_of(self.block_bytes)
            && self.device_bytes < 1 << 62
            && self.ring_end.is_multiple_of(self.block_bytes)
            && self.ring_end <= self.device_bytes
            && self.ring_end >= RING_START + RING_BLOCKS_MIN * self.block_bytes
    }

    /// The bytes of the ring.
    pub(super) fn ring_bytes(&self) -> u64 {
        self.ring_end - RING_START
    }

    /// Where the superblock's copies at the end of the device begin.
    pub(super) fn end_slots(&self) -> Option<u64> {
        let start = self.device_bytes - RING_START;
        (start >= self.ring_end).then_some(start)
    }

    /// The place `bytes` behind `offset` in the ring. `offset` may be the ring's end.
    pub(super) fn advance(&self, offset: u64, bytes: u64) -> u64 {
        let distance = offset - RING_START + bytes;
        let ring_bytes = self.ring_bytes();
        // This is asked for each append, and a division takes longer than all the rest.
        RING_START + if distance < ring_bytes { distance } else { distance % ring_bytes }
    }

    /// The longest frame that can begin at `offset`: none reaches over the ring's end.
    pub(super) fn limit_at(&self, offset: u64) -> u64 {
        (self.ring_end - offset).min(FRAME_BYTES_MAX)
    }

    /// What `payload_bytes` take of the ring at most, committed in `commits` steps.
    pub(super) fn cost_of(&self, payload_bytes: u64, commits: u64) -> u64 {
        // A full frame is closed at the last boundary in it, and what moves on from there makes
        // the next one. So it takes at most two to get rid of one frame's worth of payload. Two
        // more are for the ring's end and for a record that is cut by a commit.
        let full = payload_bytes / (FRAME_BYTES_MAX - HEADER_BYTES as u64) + 1;
        let frames = full.saturating_mul(2).saturating_add(commits).saturating_add(2);
        let overhead = frames.saturating_mul(HEADER_BYTES as u64 + self.block_bytes);
        payload_bytes.saturating_add(overhead)
    }

    /// A number of bytes in whole blocks.
    pub(super) fn round_up(&self, bytes: u64) -> u64 {
        round_down(bytes + self.block_bytes - 1, self.block_bytes)
    }
}

/// The last multiple of a power of two up to `bytes`.
pub(super) fn round_down(bytes: u64, power: u64) -> u64 {
    bytes & !(power - 1)
}
