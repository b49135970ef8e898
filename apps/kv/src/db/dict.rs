//! A hash table that grows without ever moving more than a segment.
//!
//! Extendible hashing on the top bits of a 64-bit hash: a directory of segment numbers, and
//! segments of at most [`SEGMENT_ITEMS`] items. A full segment splits in two, and two half-empty
//! neighbours merge, so that the longest pause is that of one segment, at any size. Only the
//! directory and the list of segments are copied as a whole when they double: some sixty bytes for
//! a few hundred items.
//!
//! Every segment is an interval of hashes, and [`Dict::scan`] walks them in order. Its guarantee
//! that whatever is present throughout is visited holds because an item never changes its hash,
//! whatever splits and merges happen between two calls.
//!
//! The table knows nothing of what its items mean, and asks them only for their key.

mod segment;
#[cfg(test)]
mod tests;

use alloc::vec::Vec;
use core::fmt;
use core::mem::size_of;
use core::ops::Range;

use siphasher::sip::SipHasher13;

pub use self::segment::SEGMENT_ITEMS;
use self::segment::Segment;

/// Two neighbours merge when they hold at most so much together: far enough below the size at
/// which they would split again that no pattern of use makes a segment do both all the time.
const MERGE_ITEMS: usize = SEGMENT_ITEMS / 3;

/// The most bits of a hash that the directory looks at.
const DEPTH_MAX: u32 = 32;

/// The directory may have so many slots for each segment. With a sound hash it has two to four;
/// the bound keeps it small if hashes agree in more bits than chance allows.
const SLOTS_A_SEGMENT: usize = 16;

/// How often [`Dict::random`] draws before it takes whatever comes next.
const DRAWS: u32 = 128;

/// SipHash-1-3 under a key that peers do not know, so that they cannot choose colliding keys.
#[derive(Debug, Clone, Copy)]
pub struct Hasher {
    keys: (u64, u64),
    /// Tests clear bits of the hash to have collisions.
    #[cfg(test)]
    mask: u64,
}

impl Hasher {
    /// A hasher with this key, which should be random.
    pub const fn new(key0: u64, key1: u64) -> Hasher {
        Hasher {
            keys: (key0, key1),
            #[cfg(test)]
            mask: u64::MAX,
        }
    }

    /// The hash of a key.
    pub fn hash(&self, key: &[u8]) -> u64 {
        let hash = SipHasher13::new_with_keys(self.keys.0, self.keys.1).hash(key);
        #[cfg(test)]
        let hash = hash & self.mask;
        hash
    }
}

/// An item of a [`Dict`].
pub trait Keyed {
    /// What the item is found by. It stays the same while the item is in a table.
    fn key(&self) -> &[u8];
}

/// A set of items with distinct keys.
///
/// Methods whose name ends in `_hashed` take the key's hash as well, which must be what
/// [`hasher`](Self::hasher) makes of it, so that a command that needs several of them hashes once.
pub struct Dict<T> {
    hasher: Hasher,
    /// Empty only before the first item comes.
    segments: Vec<Segment<T>>,
    /// For each value of the top `depth` bits of a hash the number of its segment. Empty if the
    /// depth is 0, when there is only one segment.
    slots: Vec<u32>,
    /// How many bits of a hash choose the slot.
    depth: u32,
    /// How many segments are of that very depth, so that the directory halves when none is.
    deepest: usize,
    len: usize,
}

impl<T: Keyed> fmt::Debug for Dict<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Dict").field("len", &self.len()).finish_non_exhaustive()
    }
}

impl<T: Keyed> Dict<T> {
    /// An empty table, which takes no memory yet.
    pub const fn new(hasher: Hasher) -> Dict<T> {
        Dict { hasher, segments: Vec::new(), slots: Vec::new(), depth: 0, deepest: 0, len: 0 }
    }

    /// What hashes the keys.
    pub const fn hasher(&self) -> &Hasher {
        &self.hasher
    }

    /// The number of items.
    pub const fn len(&self) -> usize {
        self.len
    }

    /// Whether there is no item.
    pub const fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The item with this key.
    pub fn get(&self, key: &[u8]) -> Option<&T> {
        self.get_hashed(self.hasher.hash(key), key)
    }

    /// The item with this key.
    pub fn get_hashed(&self, hash: u64, key: &[u8]) -> Option<&T> {
        self.find_by_hash(hash, |item| item.key() == key)
    }

    /// The item with this key. The key itself must stay as it is.
    pub fn get_mut(&mut self, key: &[u8]) -> Option<&mut T> {
        self.get_mut_hashed(self.hasher.hash(key), key)
    }

    /// The item with this key. The key itself must stay as it is.
    pub fn get_mut_hashed(&mut self, hash: u64, key: &[u8]) -> Option<&mut T> {
        self.find_mut_by_hash(hash, |item| item.key() == key)
    }

    /// An item of which `is_sought` is true. It is asked about the items with this hash, and now
    /// and then about one with another.
    pub fn find_by_hash(&self, hash: u64, is_sought: impl Fn(&T) -> bool) -> Option<&T> {
        self.segments.get(self.segment_of(hash))?.find(hash, is_sought)
    }

    /// As [`find_by_hash`](Self::find_by_hash), to change the item, except for its key.
    pub fn find_mut_by_hash(
        &mut self,
        hash: u64,
        is_sought: impl Fn(&T) -> bool,
    ) -> Option<&mut T> {
        let number = self.segment_of(hash);
        self.segments.get_mut(number)?.find_mut(hash, is_sought)
    }

    /// Puts an item in and returns the one with the same key that it replaces.
    pub fn insert(&mut self, item: T) -> Option<T> {
        self.insert_hashed(self.hasher.hash(item.key()), item)
    }

    /// Puts an item in and returns the one with the same key that it replaces.
    pub fn insert_hashed(&mut self, hash: u64, item: T) -> Option<T> {
        if let Some(present) = self.get_mut_hashed(hash, item.key()) {
            return Some(core::mem::replace(present, item));
        }
        self.insert_new_hashed(hash, item);
        None
    }

    /// Puts an item in whose key is known to be absent.
    pub fn insert_new_hashed(&mut self, hash: u64, item: T) {
        if self.segments.is_empty() {
            self.segments.push(Segment::new(0, 0));
        }
        let mut number = self.segment_of(hash);
        if self.segments[number].len() >= SEGMENT_ITEMS && self.split(number) {
            number = self.segment_of(hash);
        }
        self.segments[number].push(hash, item, &self.hasher);
        self.len += 1;
    }

    /// Takes the item with this key out.
    pub fn remove(&mut self, key: &[u8]) -> Option<T> {
        self.remove_hashed(self.hasher.hash(key), key)
    }

    /// Takes the item with this key out.
    pub fn remove_hashed(&mut self, hash: u64, key: &[u8]) -> Option<T> {
        self.remove_by_hash(hash, |item| item.key() == key)
    }

    /// Takes an item out that [`find_by_hash`](Self::find_by_hash) would find.
    pub fn remove_by_hash(&mut self, hash: u64, is_sought: impl Fn(&T) -> bool) -> Option<T> {
        let number = self.segment_of(hash);
        let item = self.segments.get_mut(number)?.remove(hash, is_sought, &self.hasher)?;
        self.len -= 1;
        self.merge_around(number);
        Some(item)
    }

    /// Visits the items whose hash is at least `cursor`, those with lower hashes first, and
    /// returns the cursor to go on with, or 0 at the end.
    ///
    /// At least `count` items are visited, unless the end comes, and items with equal hashes are
    /// visited by the same call. What a call visits lies below the cursor that it returns, and
    /// what it leaves does not; the order within a call is unspecified.
    pub fn scan(&self, cursor: u64, count: usize, mut visit: impl FnMut(&T)) -> u64 {
        let (mut cursor, mut left) = (cursor, count.max(1));
        while left > 0 {
            let Some(segment) = self.segments.get(self.segment_of(cursor)) else { return 0 };
            let (visited, next) = segment.scan(cursor, left, &self.hasher, &mut visit);
            let Some(next) = next else { return 0 };
            (cursor, left) = (next, left.saturating_sub(visited));
        }
        cursor
    }

    /// An item chosen by a random number, each with about the same probability.
    pub fn random(&self, random: u64) -> Option<&T> {
        if self.len == 0 {
            return None;
        }
        let mut state = random;
        for _ in 0..DRAWS {
            let segment = &self.segments[scale(mix(&mut state), self.segments.len())];
            // A position that a full segment has and this one lacks is drawn again: a segment
            // is as probable as its items are many.
            let bound = if self.segments.len() == 1 { 0 } else { SEGMENT_ITEMS };
            if let Some(item) = segment.item(scale(mix(&mut state), bound.max(segment.len()))) {
                return Some(item);
            }
        }
        let start = scale(mix(&mut state), self.segments.len());
        let (before, after) = self.segments.split_at(start);
        after.iter().chain(before).find_map(|segment| segment.item(0))
    }

    /// Every item, in no particular order.
    pub fn iter(&self) -> impl Iterator<Item = &T> {
        self.segments.iter().flat_map(Segment::items)
    }

    /// The items of a segment, to change all but their keys; `None` beyond the last. Segments are
    /// numbered anew as the table grows and shrinks, so this visits each item only about once.
    pub fn segment_mut(&mut self, number: usize) -> Option<&mut [T]> {
        self.segments.get_mut(number).map(Segment::items_mut)
    }

    /// Drops about `count` items, at least one if there is one, and returns how many: to free a
    /// huge table bit by bit, without pauses.
    pub fn drain_some(&mut self, count: usize) -> usize {
        self.drain_some_with(count, drop)
    }

    /// As [`drain_some`](Self::drain_some), but hands the items over.
    pub fn drain_some_with(&mut self, count: usize, mut take: impl FnMut(T)) -> usize {
        let (count, mut drained) = (count.max(1), 0);
        while drained < count && self.len > 0 {
            let mut number = self.last_filled();
            let segment = &mut self.segments[number];
            let some = segment.drain(count - drained, &self.hasher, &mut take);
            drained += some;
            self.len -= some;
            // Two that are empty merge for nothing, and never stay side by side.
            while let Some((merged, _)) = self.merge(number, 0) {
                number = merged;
            }
        }
        drained
    }

    /// An estimate of the memory that the table takes, without what its items own. Looks at a
    /// few segments only.
    pub fn memory_bytes(&self) -> usize {
        const SAMPLES: usize = 16;
        let step = self.segments.len().div_ceil(SAMPLES).max(1);
        let samples = self.segments.iter().step_by(step);
        let sampled: usize = samples.clone().map(Segment::memory_bytes).sum();
        let average = sampled / samples.count().max(1);
        self.segments.len() * average
            + self.segments.capacity() * size_of::<Segment<T>>()
            + self.slots.capacity() * size_of::<u32>()
    }

    /// The number of the segment that this hash belongs to.
    fn segment_of(&self, hash: u64) -> usize {
        match self.depth {
            0 => 0,
            depth => self.slots[(hash >> (64 - depth)) as usize] as usize,
        }
    }

    /// The slots of a segment that begins at this hash and is of this depth.
    fn slots_of(&self, start: u64, depth: u32) -> Range<usize> {
        let first = start.checked_shr(64 - self.depth).unwrap_or(0) as usize;
        first..(first + (1 << (self.depth - depth))).min(self.slots.len())
    }

    /// Makes two segments of one, unless there is no room or too little use for another.
    fn split(&mut self, number: usize) -> bool {
        let depth = self.segments[number].depth();
        if (depth == self.depth && !self.double()) || self.segments.try_reserve(1).is_err() {
            return false;
        }
        let upper = self.segments[number].split(&self.hasher);
        let slots = self.slots_of(upper.start(), upper.depth());
        self.slots[slots].fill(self.segments.len() as u32);
        self.segments.push(upper);
        if depth + 1 == self.depth {
            self.deepest += 2;
        }
        true
    }

    /// Lets the directory look at one more bit.
    fn double(&mut self) -> bool {
        let old = self.slots.len().max(1);
        let more = 2 * old - self.slots.len();
        if self.depth == DEPTH_MAX
            || 2 * old > SLOTS_A_SEGMENT * self.segments.len()
            || self.slots.try_reserve_exact(more).is_err()
        {
            return false;
        }
        self.slots.resize(2 * old, 0);
        for slot in (0..old).rev() {
            let number = self.slots[slot];
            self.slots[2 * slot..][..2].fill(number);
        }
        self.depth += 1;
        self.deepest = 0;
        true
    }

    /// Merges a segment that has lost an item with its neighbours. Once it has moved items, the
    /// rest is left to the next time.
    fn merge_around(&mut self, number: usize) {
        let mut number = number;
        while self.segments[number].len() <= MERGE_ITEMS {
            match self.merge(number, MERGE_ITEMS) {
                Some((merged, 0)) => number = merged,
                _ => return,
            }
        }
    }

    /// Merges a segment with the other half of what they were once split from, if that is not
    /// split further and both have at most `items_max` items together. Returns the number of the
    /// merged segment and how many items were moved.
    fn merge(&mut self, number: usize, items_max: usize) -> Option<(usize, usize)> {
        let depth = self.segments[number].depth();
        let other = self.buddy(number)?;
        let (this, that) = (self.segments[number].len(), self.segments[other].len());
        if self.segments[other].depth() != depth || this.saturating_add(that) > items_max {
            return None;
        }
        let (mut kept, gone) = if this > that { (number, other) } else { (other, number) };
        let absorbed = core::mem::replace(&mut self.segments[gone], Segment::new(0, 0));
        self.segments[kept].absorb(absorbed, &self.hasher);
        self.assign(kept);
        self.segments.swap_remove(gone);
        if gone < self.segments.len() {
            self.assign(gone);
        }
        if kept == self.segments.len() {
            kept = gone;
        }
        if self.segments.capacity() > 4 * self.segments.len() {
            self.segments.shrink_to(2 * self.segments.len());
        }
        if depth == self.depth {
            self.deepest -= 2;
            while self.deepest == 0 && self.depth > 0 {
                self.halve();
            }
        }
        Some((kept, this.min(that)))
    }

    /// The segment at the start of what is left of a segment's parent beside itself.
    fn buddy(&self, number: usize) -> Option<usize> {
        let segment = &self.segments[number];
        let bit = 1 << 64_u32.checked_sub(segment.depth()).filter(|&shift| shift < 64)?;
        Some(self.segment_of(segment.start() ^ bit))
    }

    /// Lets the slots of a segment point at it.
    fn assign(&mut self, number: usize) {
        let segment = &self.segments[number];
        let slots = self.slots_of(segment.start(), segment.depth());
        self.slots[slots].fill(number as u32);
    }

    /// Lets the directory look at one bit less, which no segment needs.
    fn halve(&mut self) {
        let new = self.slots.len() / 2;
        for slot in 0..new {
            self.slots[slot] = self.slots[2 * slot];
        }
        self.slots.truncate(if new == 1 { 0 } else { new });
        self.slots.shrink_to_fit();
        self.depth -= 1;
        // Where the two slots of a pair differ, each is all that its segment has.
        self.deepest = 2 * self.slots.chunks_exact(2).filter(|pair| pair[0] != pair[1]).count();
    }

    /// A segment to be emptied next, so that pairs of empty ones can merge as soon as possible.
    fn last_filled(&self) -> usize {
        let mut number = self.segment_of(u64::MAX);
        // Each step goes to deeper segments, and the deepest have buddies of their own depth.
        while let Some(other) = self.buddy(number)
            && (self.segments[number].len() == 0
                || self.segments[other].depth() > self.segments[number].depth())
        {
            number = other;
        }
        number
    }
}

/// Maps a random number to one below `bound`.
pub(crate) fn scale(random: u64, bound: usize) -> usize {
    ((u128::from(random) * bound as u128) >> 64) as usize
}

/// The next number of a sequence that looks random (SplitMix64).
fn mix(state: &mut u64) -> u64 {
    *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let mut z = *state;
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}
