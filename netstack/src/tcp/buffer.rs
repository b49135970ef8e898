//! The bytes of one direction of a connection: a ring that takes memory when bytes come and gives
//! it back when they are gone. [`Memory`] bounds what all rings of a stack take together; it lends
//! the smallest blocks again and again, so that short exchanges allocate nothing.

use alloc::vec::Vec;

/// What a ring takes first. These do not come out of what large rings share.
pub(crate) const BLOCK_BYTES: usize = 4096;
/// Blocks that are kept for the next one who needs one.
const SPARE_BLOCKS: usize = 64;

/// The memory of all rings.
pub(crate) struct Memory {
    /// Bytes in rings larger than a block.
    large_bytes: usize,
    large_bytes_max: usize,
    blocks_lent: usize,
    blocks_max: usize,
    spare: Vec<Vec<u8>>,
}

/// Memory, or the limit, is short. Nothing has changed; later there may be more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Short;

impl Memory {
    /// Rings larger than a block share `large_bytes_max`, and the others `small_bytes_max`.
    pub(crate) const fn new(large_bytes_max: usize, small_bytes_max: usize) -> Self {
        let blocks_max = small_bytes_max.div_ceil(BLOCK_BYTES);
        Self { large_bytes: 0, large_bytes_max, blocks_lent: 0, blocks_max, spare: Vec::new() }
    }

    /// Bytes that rings hold now.
    pub(crate) fn used_bytes(&self) -> usize {
        self.large_bytes + self.blocks_lent * BLOCK_BYTES
    }

    /// Whether the large rings have taken more than half of their share.
    pub(crate) fn is_tight(&self) -> bool {
        self.large_bytes > self.large_bytes_max / 2
    }

    fn take(&mut self, bytes: usize) -> Result<Vec<u8>, Short> {
        if bytes <= BLOCK_BYTES {
            if self.blocks_lent == self.blocks_max {
                return Err(Short);
            }
            let block = match self.spare.pop() {
                Some(block) => block,
                None => zeroed(BLOCK_BYTES)?,
            };
            self.blocks_lent += 1;
            return Ok(block);
        }
        if self.large_bytes + bytes > self.large_bytes_max {
            return Err(Short);
        }
        let data = zeroed(bytes)?;
        self.large_bytes += bytes;
        Ok(data)
    }

    fn give(&mut self, data: Vec<u8>) {
        if data.is_empty() {
            return;
        }
        if data.len() > BLOCK_BYTES {
            self.large_bytes -= data.len();
            return;
        }
        self.blocks_lent -= 1;
        if self.spare.len() < SPARE_BLOCKS && self.spare.try_reserve(1).is_ok() {
            self.spare.push(data);
        }
    }
}

fn zeroed(bytes: usize) -> Result<Vec<u8>, Short> {
    let mut data = Vec::new();
    data.try_reserve_exact(bytes).map_err(|_| Short)?;
    data.resize(bytes, 0);
    Ok(data)
}

/// A queue of bytes. Positions count from its front. It must be [`Ring::clear`]ed before it is
/// dropped, or its memory stays booked.
#[derive(Default)]
pub(crate) struct Ring {
    /// Empty, or as long as a power of two.
    data: Vec<u8>,
    head: usize,
    len: usize,
}

impl Ring {
    pub(crate) const fn new() -> Self {
        Self { data: Vec::new(), head: 0, len: 0 }
    }

    pub(crate) const fn len(&self) -> usize {
        self.len
    }

    pub(crate) const fn is_empty(&self) -> bool {
        self.len == 0
    }

    pub(crate) const fn capacity(&self) -> usize {
        self.data.len()
    }

    /// Makes room for so many bytes altogether, what is there included.
    pub(crate) fn reserve(&mut self, memory: &mut Memory, bytes: usize) -> Result<(), Short> {
        if bytes <= self.data.len() {
            return Ok(());
        }
        let bytes = bytes.checked_next_power_of_two().ok_or(Short)?;
        let mut data = memory.take(bytes)?;
        // What lies behind the end may be data that came out of order.
        let first = self.data.len() - self.head;
        data[..first].copy_from_slice(&self.data[self.head..]);
        data[first..self.data.len()].copy_from_slice(&self.data[..self.head]);
        memory.give(core::mem::replace(&mut self.data, data));
        self.head = 0;
        Ok(())
    }

    /// Appends what fits without more memory than `reserve` made.
    pub(crate) fn write(&mut self, bytes: &[u8]) -> usize {
        let count = bytes.len().min(self.data.len() - self.len);
        self.write_at(self.len, &bytes[..count]);
        self.len += count;
        count
    }

    /// Writes at a position that may be behind the end, within what was reserved. The length stays.
    pub(crate) fn write_at(&mut self, position: usize, bytes: &[u8]) {
        debug_assert!(position + bytes.len() <= self.data.len());
        if bytes.is_empty() {
            return;
        }
        let start = self.index(position);
        let first = bytes.len().min(self.data.len() - start);
        self.data[start..start + first].copy_from_slice(&bytes[..first]);
        self.data[..bytes.len() - first].copy_from_slice(&bytes[first..]);
    }

    /// The longest run of room behind the end, at most so long; [`Self::extend`] makes it part of the queue.
    pub(crate) fn room(&mut self, bytes_max: usize) -> &mut [u8] {
        let room = bytes_max.min(self.data.len() - self.len);
        if room == 0 {
            return &mut [];
        }
        let start = self.index(self.len);
        let end = (start + room).min(self.data.len());
        &mut self.data[start..end]
    }

    /// The next bytes behind the end are written: they belong to the queue.
    pub(crate) fn extend(&mut self, bytes: usize) {
        debug_assert!(self.len + bytes <= self.data.len());
        self.len += bytes;
    }

    /// Bytes from a position on, in two parts.
    pub(crate) fn slices(&self, position: usize, bytes: usize) -> (&[u8], &[u8]) {
        debug_assert!(position + bytes <= self.len);
        if bytes == 0 {
            return (&[], &[]);
        }
        let start = self.index(position);
        let first = bytes.min(self.data.len() - start);
        (&self.data[start..start + first], &self.data[..bytes - first])
    }

    /// The first bytes, up to where the ring wraps.
    pub(crate) fn front(&self) -> &[u8] {
        let end = (self.head + self.len).min(self.data.len());
        &self.data[self.head..end]
    }

    /// Takes bytes off the front. A block that is empty goes back at once; more memory than that is
    /// kept, see [`Self::shrink`].
    pub(crate) fn consume(&mut self, memory: &mut Memory, bytes: usize, keep: bool) {
        debug_assert!(bytes <= self.len);
        self.len -= bytes;
        if !self.data.is_empty() {
            self.head = self.index(bytes);
        }
        if self.len == 0 && !keep {
            if self.data.len() <= BLOCK_BYTES {
                self.clear(memory);
            } else {
                // From the start of its memory, what comes lies in one piece for longer.
                self.head = 0;
            }
        }
    }

    /// Gives back the memory of an empty queue.
    pub(crate) fn shrink(&mut self, memory: &mut Memory) {
        if self.len == 0 {
            self.clear(memory);
        }
    }

    /// Drops the bytes and gives back the memory.
    pub(crate) fn clear(&mut self, memory: &mut Memory) {
        memory.give(core::mem::take(&mut self.data));
        (self.head, self.len) = (0, 0);
    }

    fn index(&self, position: usize) -> usize {
        (self.head + position) & (self.data.len() - 1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::VecDeque;

    proptest! {
        #![proptest_config(ProptestConfig { cases: 200, failure_persistence: None, ..ProptestConfig::default() })]

        /// A ring gives what a queue of bytes would, and all memory comes back.
        #[test]
        fn behaves_like_a_queue(steps in prop::collection::vec((0usize..9000, any::<bool>()), 1..60)) {
            let mut memory = Memory::new(1 << 16, 1 << 16);
            let (mut ring, mut model) = (Ring::new(), VecDeque::new());
            let mut next = 0u8;
            for (bytes, write) in steps {
                if write {
                    let data: Vec<u8> = (0..bytes).map(|_| { next = next.wrapping_add(1); next }).collect();
                    let wanted = (ring.len() + bytes).min(1 << 15);
                    if ring.reserve(&mut memory, wanted).is_ok() {
                        let written = ring.write(&data);
                        prop_assert!(written == bytes || ring.len() == ring.capacity());
                        model.extend(&data[..written]);
                    }
                } else {
                    let bytes = bytes.min(ring.len());
                    let (first, second) = ring.slices(0, bytes);
                    let taken: Vec<u8> = model.drain(..bytes).collect();
                    prop_assert_eq!([first, second].concat(), taken);
                    ring.consume(&mut memory, bytes, false);
                }
                prop_assert_eq!(ring.len(), model.len());
                prop_assert!(memory.used_bytes() >= ring.capacity());
            }
            ring.clear(&mut memory);
            prop_assert_eq!(memory.used_bytes(), 0);
        }
    }

    #[test]
    fn bytes_behind_the_end_survive_growing() {
        let mut memory = Memory::new(1 << 20, 1 << 20);
        let mut ring = Ring::new();
        ring.reserve(&mut memory, BLOCK_BYTES).unwrap();
        assert_eq!(ring.write(&[0; 3000]), 3000);
        ring.consume(&mut memory, 2999, false);
        ring.write_at(10, &[7; 3000]);
        ring.reserve(&mut memory, 10_000).unwrap();
        ring.write_at(1, &[1; 9]);
        ring.extend(3009);
        let (first, second) = ring.slices(0, 3010);
        let expected = [&[0][..], &[1; 9], &[7; 3000]].concat();
        assert_eq!([first, second].concat(), expected);
    }

    #[test]
    fn large_rings_share_a_limit_and_blocks_do_not_count() {
        let mut memory = Memory::new(20_000, 3 * BLOCK_BYTES);
        let (mut one, mut two) = (Ring::new(), Ring::new());
        assert_eq!(one.reserve(&mut memory, 16_000), Ok(()));
        assert_eq!(two.reserve(&mut memory, 8000), Err(Short));
        assert_eq!(two.reserve(&mut memory, 4000), Ok(()));
        one.clear(&mut memory);
        assert_eq!(two.reserve(&mut memory, 8000), Ok(()));
        assert_eq!(memory.used_bytes(), 8192);
        let mut small = [const { Ring::new() }; 4];
        let outcomes = small.each_mut().map(|ring| ring.reserve(&mut memory, 1));
        assert_eq!(outcomes, [Ok(()), Ok(()), Ok(()), Err(Short)]);
    }
}
