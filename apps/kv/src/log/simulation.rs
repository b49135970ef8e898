//! A device that fails and stops as real ones do, and a random number generator to drive it.
//!
//! A device that is synchronous keeps every write that returned; of the one in flight when the
//! machine stops, any blocks may be on it. One that is not keeps of all writes since the last
//! write-back any blocks, applied in any order.

use std::vec;
use std::vec::Vec;

use crate::world::{Disk, DiskError};

/// SplitMix64.
#[derive(Debug, Clone)]
pub(crate) struct Random(pub(crate) u64);

impl Random {
    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let number = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let number = (number ^ (number >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        number ^ (number >> 31)
    }

    pub(crate) fn below(&mut self, limit: u64) -> u64 {
        self.next() % limit
    }

    pub(crate) fn one_in(&mut self, count: u64) -> bool {
        self.below(count) == 0
    }
}

/// What becomes of a write that does not return, or fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Tear {
    Nothing,
    Everything,
    /// The first blocks.
    Head(usize),
    /// All but the first blocks.
    Tail(usize),
    /// Each block or not.
    Some,
    /// Each block or not, and one with garbage from somewhere in it on.
    Garbage,
}

pub(crate) const TEARS: [Tear; 9] = [
    Tear::Nothing,
    Tear::Everything,
    Tear::Head(1),
    Tear::Head(2),
    Tear::Tail(1),
    Tear::Tail(2),
    Tear::Some,
    Tear::Some,
    Tear::Garbage,
];

#[derive(Debug, Clone)]
pub(crate) struct Simulated {
    /// What would be there after a stop.
    durable: Vec<u8>,
    /// What reads see.
    pub(crate) image: Vec<u8>,
    unsynced: Vec<(usize, Vec<u8>)>,
    block: usize,
    is_synchronous: bool,
    /// How many writes there were.
    pub(crate) writes: u64,
    /// The machine stops within the write with this number.
    pub(crate) stop_at: Option<(u64, Tear)>,
    /// The write with this number fails.
    pub(crate) fail_at: Option<(u64, Tear)>,
    pub(crate) is_stopped: bool,
    /// Reads that touch this byte fail.
    pub(crate) unreadable: Option<usize>,
    pub(crate) random: Random,
}

impl Simulated {
    pub(crate) fn new(bytes: usize, block: usize, is_synchronous: bool, seed: u64) -> Self {
        Self::with_image(vec![0; bytes], block, is_synchronous, seed)
    }

    pub(crate) fn with_image(
        image: Vec<u8>,
        block: usize,
        is_synchronous: bool,
        seed: u64,
    ) -> Self {
        Self {
            durable: image.clone(),
            image,
            unsynced: Vec::new(),
            block,
            is_synchronous,
            writes: 0,
            stop_at: None,
            fail_at: None,
            is_stopped: false,
            unreadable: None,
            random: Random(seed),
        }
    }

    /// The host writes back what it has.
    pub(crate) fn write_back(&mut self) {
        if !self.is_stopped {
            self.durable.clone_from(&self.image);
            self.unsynced.clear();
        }
    }

    /// The machine stops, if it did not yet, and starts again.
    pub(crate) fn restart(&mut self) {
        let mut blocks = Vec::new();
        for (offset, data) in core::mem::take(&mut self.unsynced) {
            for (at, block) in data.chunks(self.block).enumerate() {
                blocks.push((offset + at * self.block, block.to_vec()));
            }
        }
        let odds = 1 + self.random.below(4);
        if self.random.one_in(2) {
            for at in (1..blocks.len()).rev() {
                blocks.swap(at, self.random.below(at as u64 + 1) as usize);
            }
        }
        for (offset, block) in blocks {
            if !self.random.one_in(odds) {
                self.durable[offset..offset + block.len()].copy_from_slice(&block);
            }
        }
        self.image.clone_from(&self.durable);
        self.is_stopped = false;
        self.stop_at = None;
        self.fail_at = None;
    }

    /// The device is cut, or gets larger.
    pub(crate) fn resize(&mut self, bytes: usize) {
        self.write_back();
        self.image.resize(bytes, 0);
        self.durable.clone_from(&self.image);
    }

    fn store(&mut self, offset: usize, data: &[u8]) {
        self.image[offset..offset + data.len()].copy_from_slice(data);
        if self.is_synchronous {
            self.durable[offset..offset + data.len()].copy_from_slice(data);
        } else {
            self.unsynced.push((offset, data.to_vec()));
        }
    }

    fn tear(&mut self, offset: usize, data: &[u8], tear: Tear) {
        let garbage = match tear {
            Tear::Garbage => self.random.below((data.len() / self.block) as u64) as usize,
            _ => usize::MAX,
        };
        for (at, block) in data.chunks(self.block).enumerate() {
            let is_stored = match tear {
                Tear::Nothing => false,
                Tear::Everything => true,
                Tear::Head(blocks) => at < blocks,
                Tear::Tail(blocks) => at >= blocks,
                Tear::Some | Tear::Garbage => self.random.one_in(2),
            };
            let place = offset + at * self.block;
            if at == garbage {
                let mut block = block.to_vec();
                let from = self.random.below(self.block as u64) as usize;
                block[from..].fill_with(|| self.random.next() as u8);
                self.store(place, &block);
            } else if is_stored {
                self.store(place, block);
            }
        }
    }
}

impl Disk for Simulated {
    fn capacity_bytes(&self) -> u64 {
        self.image.len() as u64
    }

    fn block_bytes(&self) -> usize {
        self.block
    }

    fn read(&mut self, offset: u64, buffer: &mut [u8]) -> Result<(), DiskError> {
        let offset = offset as usize;
        assert!(offset.is_multiple_of(self.block) && buffer.len().is_multiple_of(self.block));
        let end = offset + buffer.len();
        if self.unreadable.is_some_and(|at| (offset..end).contains(&at)) {
            buffer.fill(0xee);
            return Err(DiskError { code: 5 });
        }
        buffer.copy_from_slice(&self.image[offset..offset + buffer.len()]);
        Ok(())
    }

    fn write(&mut self, offset: u64, data: &[u8]) -> Result<(), DiskError> {
        let offset = offset as usize;
        assert!(offset.is_multiple_of(self.block) && data.len().is_multiple_of(self.block));
        assert!(!data.is_empty() && offset + data.len() <= self.image.len());
        if self.is_stopped {
            return Err(DiskError { code: 5 });
        }
        let number = self.writes;
        self.writes += 1;
        for (fault, is_stop) in [(self.stop_at, true), (self.fail_at, false)] {
            if let Some((at, tear)) = fault
                && at == number
            {
                self.tear(offset, data, tear);
                self.is_stopped |= is_stop;
                return Err(DiskError { code: 5 });
            }
        }
        self.store(offset, data);
        Ok(())
    }
}
