//! The superblock: where the log begins. Reading and writing its copies.
//!
//! Generation g lies in pair g % 2, a copy at the start of the device and one at its end. Writing
//! a generation never touches the pair of the one that is in use, so a write that is torn does no
//! harm. All numbers are little-endian; magic, version and checksum keep their places in every
//! version of the format.
//!
//! | offset | bytes | |
//! |---|---|---|
//! | 0 | 8 | magic |
//! | 8 | 4 | version |
//! | 12 | 4 | block bytes |
//! | 16 | 8 | device bytes |
//! | 24 | 8 | end of the ring |
//! | 32 | 8 | store id |
//! | 40 | 8 | generation |
//! | 48 | 8 | offset of the first frame |
//! | 56 | 8 | sequence of the first frame |
//! | 64 | 8 | checksum of the frame before it |
//! | 72 | 8 | sequence of the frame that must be reached |
//! | 504 | 8 | XXH3-64 of the first 504 bytes |

use xxhash_rust::xxh3::xxh3_64;

use super::frame::{array_at, u64_at};
use super::geometry::{Geometry, RING_START, SLOT_BYTES, round_down};
use crate::world::{Disk, DiskError};

const MAGIC: [u8; 8] = *b"NABLAKV\0";
/// The version that is written, and the latest that is read.
pub(super) const VERSION: u32 = 1;
const CHECKSUM_AT: usize = 504;
/// Generations and sequences beyond this are nonsense, so adding to one never overflows.
const NUMBER_MAX: u64 = 1 << 62;

/// A superblock that makes sense.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Superblock {
    pub(super) geometry: Geometry,
    pub(super) store: u64,
    pub(super) generation: u64,
    pub(super) tail_offset: u64,
    /// The number of the first frame.
    pub(super) tail_sequence: u64,
    /// The checksum of the frame before it.
    pub(super) tail_chain: u64,
    /// The number of the frame that must be reached for this superblock to be usable.
    pub(super) complete_to: u64,
}

/// What lies in a slot.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Slot {
    Blank,
    Valid(Superblock),
    /// Whole, and of a later version.
    Newer(u32),
    /// Ours, and not whole.
    Damaged,
    Foreign,
    Unreadable(DiskError),
    /// There is no such slot on this device.
    Missing,
}

/// The four slots of a device: both pairs at the start, both pairs at the end.
#[derive(Debug, Clone, Copy)]
pub(super) struct Slots {
    pub(super) slots: [Slot; 4],
    offsets: [u64; 4],
}

impl Slots {
    /// Reads all slots of a device of this size and block. It is large enough for a log.
    pub(super) fn read<D: Disk + ?Sized>(disk: &mut D, capacity_bytes: u64, block: u64) -> Self {
        let mut slots = [Slot::Missing; 4];
        let mut offsets = [0, SLOT_BYTES, 0, 0];
        slots[0] = read_slot(disk, 0);
        slots[1] = read_slot(disk, SLOT_BYTES);
        let newest = newest(&slots[..2]);
        let ends = match newest {
            Some(newest) => [newest.geometry.end_slots(), None],
            None => [block, SLOT_BYTES]
                .map(|unit| round_down(capacity_bytes, unit).checked_sub(RING_START)),
        };
        for start in ends.into_iter().flatten() {
            let is_within = (RING_START..=capacity_bytes - RING_START).contains(&start);
            if !is_within || !start.is_multiple_of(block) {
                continue;
            }
            offsets[2..].copy_from_slice(&[start, start + SLOT_BYTES]);
            slots[2] = read_slot(disk, start);
            slots[3] = read_slot(disk, start + SLOT_BYTES);
            if slots[2..].iter().any(|slot| matches!(slot, Slot::Valid(_))) {
                break;
            }
        }
        // The ring may once have lain where the end is now, with any payload in it.
        if let Some(newest) = newest {
            for slot in &mut slots[2..] {
                let is_other = match *slot {
                    Slot::Valid(copy) => copy.store != newest.store,
                    Slot::Newer(_) => true,
                    _ => false,
                };
                *slot = if is_other { Slot::Foreign } else { *slot };
            }
        }
        Self { slots, offsets }
    }

    /// The superblocks, newest first, each once.
    pub(super) fn candidates(&self) -> impl Iterator<Item = Superblock> {
        let mut found = self.slots.map(|slot| match slot {
            Slot::Valid(superblock) => Some(superblock),
            _ => None,
        });
        found.sort_unstable_by_key(|found| {
            core::cmp::Reverse(found.map(|found| (found.generation, found.complete_to)))
        });
        let store = found[0].map(|newest| newest.store);
        for at in 1..4 {
            if found[..at].contains(&found[at]) {
                found[at] = None;
            }
        }
        found.into_iter().flatten().filter(move |found| Some(found.store) == store)
    }

    /// The version of a superblock that is later than ours.
    pub(super) fn newer_version(&self) -> Option<u32> {
        self.slots.iter().find_map(|slot| match slot {
            Slot::Newer(version) => Some(*version),
            _ => None,
        })
    }

    /// How many copies there are of a superblock, or 2 if it has no more than one place.
    pub(super) fn copies(&self, superblock: &Superblock) -> usize {
        let found = self.slots.iter().filter(|slot| **slot == Slot::Valid(*superblock)).count();
        found + usize::from(superblock.geometry.end_slots().is_none())
    }

    /// How many slots do not hold what they should, in the pair of `generation` and in the other.
    pub(super) fn damaged(&self, generation: u64) -> (u32, u32) {
        let own = (generation % 2) as usize;
        let count = |pair: usize| {
            [pair, pair + 2]
                .map(|at| !matches!(self.slots[at], Slot::Valid(_) | Slot::Missing))
                .map(u32::from)
                .iter()
                .sum()
        };
        (count(own), count(1 - own))
    }

    /// Each slot with its place.
    pub(super) fn with_offsets(&self) -> impl Iterator<Item = (Slot, u64)> {
        self.slots.into_iter().zip(self.offsets)
    }
}

fn newest(slots: &[Slot]) -> Option<Superblock> {
    slots
        .iter()
        .filter_map(|slot| match slot {
            Slot::Valid(superblock) => Some(*superblock),
            _ => None,
        })
        .max_by_key(|superblock| superblock.generation)
}

fn read_slot<D: Disk + ?Sized>(disk: &mut D, offset: u64) -> Slot {
    let mut bytes = [0; SLOT_BYTES as usize];
    match disk.read(offset, &mut bytes) {
        Ok(()) => parse(&bytes),
        Err(error) => Slot::Unreadable(error),
    }
}

fn parse(bytes: &[u8; SLOT_BYTES as usize]) -> Slot {
    if bytes.iter().all(|byte| *byte == 0) {
        return Slot::Blank;
    }
    if bytes[..8] != MAGIC {
        return Slot::Foreign;
    }
    if u64_at(bytes, CHECKSUM_AT) != xxh3_64(&bytes[..CHECKSUM_AT]) {
        return Slot::Damaged;
    }
    let version = u32::from_le_bytes(array_at(bytes, 8));
    if version > VERSION {
        return Slot::Newer(version);
    }
    let superblock = Superblock {
        geometry: Geometry {
            block_bytes: u32::from_le_bytes(array_at(bytes, 12)).into(),
            device_bytes: u64_at(bytes, 16),
            ring_end: u64_at(bytes, 24),
        },
        store: u64_at(bytes, 32),
        generation: u64_at(bytes, 40),
        tail_offset: u64_at(bytes, 48),
        tail_sequence: u64_at(bytes, 56),
        tail_chain: u64_at(bytes, 64),
        complete_to: u64_at(bytes, 72),
    };
    if version == VERSION && superblock.is_valid() {
        Slot::Valid(superblock)
    } else {
        Slot::Damaged
    }
}

impl Superblock {
    fn is_valid(&self) -> bool {
        self.geometry.is_valid()
            && (RING_START..self.geometry.ring_end).contains(&self.tail_offset)
            && self.tail_offset.is_multiple_of(self.geometry.block_bytes)
            && (1..NUMBER_MAX).contains(&self.tail_sequence)
            && self.generation < NUMBER_MAX
            && self.complete_to < NUMBER_MAX
            && self.complete_to >= self.tail_sequence - 1
    }

    /// Writes both copies. The other result is where the device failed.
    pub(super) fn write<D: Disk + ?Sized>(&self, disk: &mut D) -> Result<(), (u64, DiskError)> {
        let bytes = self.encode();
        let in_pair = self.generation % 2 * SLOT_BYTES;
        let starts = [Some(0), self.geometry.end_slots()];
        for offset in starts.into_iter().flatten().map(|start| start + in_pair) {
            disk.write(offset, &bytes).map_err(|error| (offset, error))?;
        }
        Ok(())
    }

    fn encode(&self) -> [u8; SLOT_BYTES as usize] {
        let mut bytes = [0; SLOT_BYTES as usize];
        bytes[..8].copy_from_slice(&MAGIC);
        bytes[8..12].copy_from_slice(&VERSION.to_le_bytes());
        // A valid block has at most 13 bits.
        bytes[12..16].copy_from_slice(&(self.geometry.block_bytes as u32).to_le_bytes());
        let numbers = [
            self.geometry.device_bytes,
            self.geometry.ring_end,
            self.store,
            self.generation,
            self.tail_offset,
            self.tail_sequence,
            self.tail_chain,
            self.complete_to,
        ];
        for (field, number) in bytes[16..80].chunks_exact_mut(8).zip(numbers) {
            field.copy_from_slice(&number.to_le_bytes());
        }
        let checksum = xxh3_64(&bytes[..CHECKSUM_AT]);
        bytes[CHECKSUM_AT..CHECKSUM_AT + 8].copy_from_slice(&checksum.to_le_bytes());
        bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample() -> Superblock {
        Superblock {
            geometry: Geometry::new(65536, 512).unwrap(),
            store: 0x1234,
            generation: 3,
            tail_offset: RING_START + 512,
            tail_sequence: 9,
            tail_chain: 77,
            complete_to: 12,
        }
    }

    #[test]
    fn round_trips_and_notices_every_flip() {
        let bytes = sample().encode();
        assert_eq!(parse(&bytes), Slot::Valid(sample()));
        for at in 0..512 {
            let mut flipped = bytes;
            flipped[at] ^= 1 << (at % 8);
            let expected = if at < 8 { Slot::Foreign } else { Slot::Damaged };
            assert_eq!(parse(&flipped), expected, "byte {at}");
        }
        assert_eq!(&bytes[..16], b"NABLAKV\0\x01\0\0\0\0\x02\0\0");
    }

    #[test]
    fn nonsense_with_a_right_checksum_is_damage() {
        let good = sample();
        let mut bad = [good; 7];
        bad[0].tail_offset = good.geometry.ring_end;
        bad[1].tail_offset += 1;
        bad[2].tail_sequence = 0;
        bad[3].complete_to = 7;
        bad[4].geometry.ring_end = !511;
        bad[5].geometry.block_bytes = 0;
        bad[6].generation = u64::MAX;
        for bad in bad {
            assert_eq!(parse(&bad.encode()), Slot::Damaged, "{bad:?}");
        }
        let mut later = good.encode();
        later[8] = 2;
        let checksum = xxh3_64(&later[..CHECKSUM_AT]);
        later[CHECKSUM_AT..CHECKSUM_AT + 8].copy_from_slice(&checksum.to_le_bytes());
        assert_eq!(parse(&later), Slot::Newer(2));
    }
}
