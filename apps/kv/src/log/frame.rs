//! One frame: a header of 64 bytes and its payload, padded with zeros to whole blocks.
//!
//! All numbers are little-endian. The checksum is XXH3-64 over what follows it: the rest of the
//! header and the payload. It finds accidents. It is no defence against a writer who means harm,
//! and need not be one: clients cannot write to the device, only payload, which is looked at as a
//! frame only if it names the store, the sequence and the checksum of the frame before it.
//!
//! | offset | bytes | |
//! |---|---|---|
//! | 0 | 8 | checksum |
//! | 8 | 4 | magic |
//! | 12 | 1 | version |
//! | 13 | 1 | flags: 1 = COMMIT |
//! | 14 | 2 | zero |
//! | 16 | 4 | payload bytes, at least 1 |
//! | 20 | 4 | zero |
//! | 24 | 8 | sequence: one more than that of the frame before |
//! | 32 | 8 | store id |
//! | 40 | 8 | life: an epoch (upper half) and a random number |
//! | 48 | 8 | checksum of the frame before |
//! | 56 | 8 | sequence of the last COMMIT frame that the device had confirmed before |

use xxhash_rust::xxh3::xxh3_64;

/// The bytes of a header.
pub(super) const HEADER_BYTES: usize = 64;
const MAGIC: [u8; 4] = *b"nKVf";
const VERSION: u8 = 1;
const FLAG_COMMIT: u8 = 1;

/// A frame's header, with nothing checked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Header {
    pub(super) checksum: u64,
    pub(super) magic: [u8; 4],
    pub(super) version: u8,
    pub(super) flags: u8,
    zero: [u8; 6],
    pub(super) payload_bytes: u32,
    pub(super) sequence: u64,
    pub(super) store: u64,
    pub(super) life: u64,
    pub(super) previous: u64,
    pub(super) confirmed: u64,
}

/// What a frame gets when it is about to be written.
#[derive(Debug, Clone, Copy)]
pub(super) struct Seal {
    pub(super) sequence: u64,
    pub(super) store: u64,
    pub(super) life: u64,
    pub(super) previous: u64,
    pub(super) confirmed: u64,
}

impl Header {
    /// Reads the header at the start of `bytes`, at least [`HEADER_BYTES`].
    pub(super) fn read(bytes: &[u8]) -> Self {
        let mut zero = [0; 6];
        zero[..2].copy_from_slice(&bytes[14..16]);
        zero[2..].copy_from_slice(&bytes[20..24]);
        Self {
            checksum: u64_at(bytes, 0),
            magic: array_at(bytes, 8),
            version: bytes[12],
            flags: bytes[13],
            zero,
            payload_bytes: u32::from_le_bytes(array_at(bytes, 16)),
            sequence: u64_at(bytes, 24),
            store: u64_at(bytes, 32),
            life: u64_at(bytes, 40),
            previous: u64_at(bytes, 48),
            confirmed: u64_at(bytes, 56),
        }
    }

    /// It is a frame's header, and of this store.
    pub(super) fn is_of(&self, store: u64) -> bool {
        self.magic == MAGIC && self.store == store
    }

    /// Version and flags are those that are known.
    pub(super) fn is_known(&self) -> bool {
        self.version == VERSION && self.flags & !FLAG_COMMIT == 0 && self.zero == [0; 6]
    }

    /// The frame ends a batch.
    pub(super) fn is_commit(&self) -> bool {
        self.flags & FLAG_COMMIT != 0
    }

    /// Header and payload, without padding.
    pub(super) fn frame_bytes(&self) -> u64 {
        HEADER_BYTES as u64 + u64::from(self.payload_bytes)
    }

    /// How often the store was opened when the frame was written, about.
    pub(super) fn epoch(&self) -> u32 {
        (self.life >> 32) as u32
    }
}

/// Starts a header in zeros: what is known when a frame is closed.
pub(super) fn close(header: &mut [u8], payload_bytes: u32, is_commit: bool) {
    header[8..12].copy_from_slice(&MAGIC);
    header[12] = VERSION;
    header[13] = if is_commit { FLAG_COMMIT } else { 0 };
    header[16..20].copy_from_slice(&payload_bytes.to_le_bytes());
}

/// Completes the header of a closed frame and returns its checksum. `frame` is header and
/// payload.
pub(super) fn seal(frame: &mut [u8], seal: Seal) -> u64 {
    let numbers = [seal.sequence, seal.store, seal.life, seal.previous, seal.confirmed];
    for (field, number) in frame[24..HEADER_BYTES].chunks_exact_mut(8).zip(numbers) {
        field.copy_from_slice(&number.to_le_bytes());
    }
    let checksum = checksum(frame);
    frame[..8].copy_from_slice(&checksum.to_le_bytes());
    checksum
}

/// The checksum of header and payload.
pub(super) fn checksum(frame: &[u8]) -> u64 {
    xxh3_64(&frame[8..])
}

/// The bytes at `offset`, which must lie within.
pub(super) fn array_at<const N: usize>(bytes: &[u8], offset: usize) -> [u8; N] {
    let mut array = [0; N];
    array.copy_from_slice(&bytes[offset..offset + N]);
    array
}

/// A number in eight bytes.
pub(super) fn u64_at(bytes: &[u8], offset: usize) -> u64 {
    u64::from_le_bytes(array_at(bytes, offset))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn header_has_these_bytes() {
        let mut frame = [0; HEADER_BYTES + 3];
        frame[HEADER_BYTES..].copy_from_slice(b"abc");
        close(&mut frame, 3, true);
        let numbers =
            Seal { sequence: 7, store: 0x1122, life: 5 << 32 | 9, previous: 0x3344, confirmed: 6 };
        let checksum = seal(&mut frame, numbers);
        assert_eq!(u64_at(&frame, 0), checksum);
        assert_eq!(&frame[8..16], b"nKVf\x01\x01\0\0");
        assert_eq!(&frame[16..24], [3, 0, 0, 0, 0, 0, 0, 0]);
        assert_eq!(&frame[24..28], [7, 0, 0, 0]);
        let header = Header::read(&frame);
        assert!(header.is_of(0x1122) && header.is_known() && header.is_commit());
        assert_eq!((header.sequence, header.previous, header.confirmed), (7, 0x3344, 6));
        assert_eq!((header.epoch(), header.payload_bytes, header.frame_bytes()), (5, 3, 67));
        assert_eq!(super::checksum(&frame), header.checksum);
    }
}
