//! A segment of a [`Dict`](super::Dict): the items whose hashes begin with the same bits.
//!
//! The items lie in a vector without gaps, and an index finds their positions. A hash table of the
//! items themselves would double all at once when it is full and stand half empty afterwards, in
//! all segments at about the same time, since chance fills them evenly. Here only the index does
//! that, at two bytes a place, while the vector grows by small steps.
//!
//! The index is probed linearly, and where an item's search begins, its home, is the part of its
//! hash that follows the bits which the segment has in common. So items stand in the order of
//! their hashes but for collisions, and a scan looks only at those that it visits and their
//! neighbours. What holds it together: between the home of an item and its place is no place
//! that is [`EMPTY`].

use alloc::boxed::Box;
use alloc::vec;
use alloc::vec::Vec;
use core::mem::size_of;
use core::ops::RangeInclusive;

use super::{Hasher, Keyed};

/// A segment with so many items splits before it takes another. Three quarters of the largest
/// index: with more in it, a search in vain gets long.
///
/// The index holds the positions of the first so many items only. There are more if a segment
/// cannot split, because hashes agree in more bits than chance allows or because there is no
/// memory; the rest is then searched one by one.
pub const SEGMENT_ITEMS: usize = 384;

/// Places of an index, always a power of two.
const PLACES: RangeInclusive<usize> = 4..=512;

/// The low bits of an entry are the lowest of the hash, so that few items are compared in vain;
/// the rest is the item's position.
const TAG_BITS: u32 = 7;

/// An index entry where nothing has been since the index was made, or where no search passes.
const EMPTY: u16 = u16::MAX;

/// An index entry whose item is gone, which does not end a search.
const DELETED: u16 = EMPTY - 1;

// Neither looks like the entry of an item.
const _: () = assert!(SEGMENT_ITEMS <= (DELETED >> TAG_BITS) as usize);

/// The vector of items grows by an eighth, within these bounds.
const GROWTH_ITEMS: RangeInclusive<usize> = 4..=32;

pub(super) struct Segment<T> {
    items: Vec<T>,
    index: Box<[u16]>,
    /// The first 32 bits of the lowest hash that belongs here.
    prefix: u32,
    /// How many bits of the prefix all hashes here begin with.
    depth: u8,
    /// How many places of the index are not [`EMPTY`].
    taken: u16,
}

impl<T: Keyed> Segment<T> {
    pub(super) fn new(prefix: u32, depth: u32) -> Segment<T> {
        Segment { items: Vec::new(), index: Box::default(), prefix, depth: depth as u8, taken: 0 }
    }

    pub(super) const fn len(&self) -> usize {
        self.items.len()
    }

    pub(super) const fn depth(&self) -> u32 {
        self.depth as u32
    }

    /// The lowest hash that belongs here.
    pub(super) const fn start(&self) -> u64 {
        (self.prefix as u64) << 32
    }

    /// The lowest hash above those that belong here.
    fn end(&self) -> Option<u64> {
        self.start().checked_add(1_u64.checked_shl(64 - self.depth())?)
    }

    pub(super) fn items(&self) -> core::slice::Iter<'_, T> {
        self.items.iter()
    }

    pub(super) fn items_mut(&mut self) -> &mut [T] {
        &mut self.items
    }

    pub(super) fn item(&self, position: usize) -> Option<&T> {
        self.items.get(position)
    }

    pub(super) fn find(&self, hash: u64, is_sought: impl Fn(&T) -> bool) -> Option<&T> {
        self.items.get(self.position(hash, is_sought)?)
    }

    pub(super) fn find_mut(&mut self, hash: u64, is_sought: impl Fn(&T) -> bool) -> Option<&mut T> {
        let position = self.position(hash, is_sought)?;
        self.items.get_mut(position)
    }

    fn position(&self, hash: u64, is_sought: impl Fn(&T) -> bool) -> Option<usize> {
        let tag = entry(0, hash);
        for place in self.places(hash) {
            let found = self.index[place];
            if found == EMPTY {
                break;
            }
            let position = usize::from(found >> TAG_BITS);
            if entry(0, found.into()) == tag && self.items.get(position).is_some_and(&is_sought) {
                return Some(position);
            }
        }
        let rest = self.items.get(SEGMENT_ITEMS..)?;
        Some(SEGMENT_ITEMS + rest.iter().position(is_sought)?)
    }

    /// All places of the index in the order in which a hash is searched.
    fn places(&self, hash: u64) -> impl Iterator<Item = usize> + use<T> {
        let (home, places) = (self.home(hash), self.index.len());
        (home..home + places).map(move |place| place & (places - 1))
    }

    /// The place where the search for a hash begins.
    fn home(&self, hash: u64) -> usize {
        // Without an index there is no place, and the result does not matter.
        let bits = self.index.len().max(2).trailing_zeros();
        ((hash << self.depth) >> (64 - bits)) as usize
    }

    /// The lowest hash whose search begins at this place.
    fn home_start(&self, place: usize) -> u64 {
        self.start() + ((place as u64) << (64 - self.depth() - self.index.len().trailing_zeros()))
    }

    /// Adds an item whose key is absent.
    pub(super) fn push(&mut self, hash: u64, item: T, hasher: &Hasher) {
        if self.items.len() == self.items.capacity() {
            self.items.reserve_exact(growth(self.items.len()));
        }
        self.items.push(item);
        self.link(self.items.len() - 1, hash, hasher);
    }

    /// Enters the position of an item into the index, which is made anew if it is too full.
    fn link(&mut self, position: usize, hash: u64, hasher: &Hasher) {
        let (len, places) = (self.items.len().min(SEGMENT_ITEMS), self.index.len());
        if len > places / 4 * 3 || usize::from(self.taken) + 1 >= places - places / 8 {
            self.rebuild(places_for(len), hasher);
        } else {
            self.enter(position, hash);
        }
    }

    fn enter(&mut self, position: usize, hash: u64) {
        if position >= SEGMENT_ITEMS {
            return;
        }
        for place in self.places(hash) {
            if self.index[place] >= DELETED {
                self.taken += u16::from(self.index[place] == EMPTY);
                self.index[place] = entry(position, hash);
                return;
            }
        }
    }

    /// Makes the index anew, with so many places.
    fn rebuild(&mut self, places: usize, hasher: &Hasher) {
        self.index = vec![EMPTY; places].into();
        self.taken = 0;
        for position in 0..self.items.len().min(SEGMENT_ITEMS) {
            self.enter(position, hasher.hash(self.items[position].key()));
        }
    }

    /// The place where the index has this position of an item with this hash.
    fn place(&self, position: usize, hash: u64) -> Option<usize> {
        if position >= SEGMENT_ITEMS {
            return None;
        }
        self.places(hash).find(|&place| self.index[place] == entry(position, hash))
    }

    pub(super) fn remove(
        &mut self,
        hash: u64,
        is_sought: impl Fn(&T) -> bool,
        hasher: &Hasher,
    ) -> Option<T> {
        let position = self.position(hash, is_sought)?;
        self.unlink(position, hash);
        let item = self.items.swap_remove(position);
        let last = self.items.len();
        if position < last {
            let hash = hasher.hash(self.items[position].key());
            match self.place(last, hash) {
                Some(place) => self.index[place] = entry(position, hash),
                None => self.enter(position, hash),
            }
        }
        self.shrink(hasher);
        Some(item)
    }

    /// Takes the position of an item out of the index, if it is there.
    fn unlink(&mut self, position: usize, hash: u64) {
        let Some(mut place) = self.place(position, hash) else { return };
        self.index[place] = DELETED;
        // Before an empty place nothing needs to be marked: no search that passes comes to an end.
        let last = self.index.len() - 1;
        if self.index[(place + 1) & last] == EMPTY {
            while self.index[place] == DELETED {
                self.index[place] = EMPTY;
                self.taken -= 1;
                place = place.wrapping_sub(1) & last;
            }
        }
    }

    /// Gives memory back when far more is held than used.
    fn shrink(&mut self, hasher: &Hasher) {
        let len = self.items.len();
        if len == 0 {
            *self = Segment::new(self.prefix, self.depth());
            return;
        }
        if self.items.capacity() > 2 * len + GROWTH_ITEMS.end() {
            self.items.shrink_to(len + growth(len));
        }
        if self.index.len() > 6 * len + GROWTH_ITEMS.end() {
            self.rebuild(places_for(2 * len), hasher);
        }
    }

    /// Takes `count` items out, or all there are.
    pub(super) fn drain(
        &mut self,
        count: usize,
        hasher: &Hasher,
        take: &mut impl FnMut(T),
    ) -> usize {
        let before = self.items.len();
        if count >= before {
            self.items.drain(..).for_each(&mut *take);
        }
        for _ in 0..count {
            let Some(item) = self.items.pop() else { break };
            self.unlink(self.items.len(), hasher.hash(item.key()));
            take(item);
        }
        self.shrink(hasher);
        before - self.items.len()
    }

    /// Visits the items whose hash is at least `cursor`, which belongs here, or so many of them
    /// that `count` are reached. Returns how many there were and the hash to go on with, which
    /// may be the end of the segment.
    pub(super) fn scan(
        &self,
        cursor: u64,
        count: usize,
        hasher: &Hasher,
        visit: &mut impl FnMut(&T),
    ) -> (usize, Option<u64>) {
        if cursor == self.start() && self.items.len() <= count {
            self.items.iter().for_each(visit);
            return (self.items.len(), self.end());
        }
        let hash_of = |item: &T| hasher.hash(item.key());
        if self.items.len() > SEGMENT_ITEMS {
            let rest: Vec<&T> = self.items.iter().filter(|item| hash_of(item) >= cursor).collect();
            rest.iter().for_each(|item| visit(item));
            return (rest.len(), self.end());
        }
        let mut visited = 0;
        // An item at a place before its home has gone around the end, and its turn comes last.
        for (place, &found) in self.index.iter().enumerate().skip(self.home(cursor)) {
            if found == EMPTY && visited >= count {
                // Whatever has its home before an empty place is before it.
                return (visited, Some(self.home_start(place)));
            }
            let Some(item) = self.items.get(usize::from(found >> TAG_BITS)) else { continue };
            let hash = hash_of(item);
            if hash >= cursor && self.home(hash) <= place {
                visit(item);
                visited += 1;
            }
        }
        for (place, &found) in self.index.iter().enumerate().take_while(|&(_, &e)| e != EMPTY) {
            let Some(item) = self.items.get(usize::from(found >> TAG_BITS)) else { continue };
            let hash = hash_of(item);
            if hash >= cursor && self.home(hash) > place {
                visit(item);
                visited += 1;
            }
        }
        (visited, self.end())
    }

    /// Splits the segment in two and returns the one with the higher hashes.
    pub(super) fn split(&mut self, hasher: &Hasher) -> Segment<T> {
        let bit = 1_u32 << (31 - self.depth);
        let items = core::mem::take(&mut self.items);
        let mut upper = Segment::new(self.prefix | bit, self.depth() + 1);
        *self = Segment::new(self.prefix, self.depth() + 1);
        for half in [&mut *self, &mut upper] {
            half.items = Vec::with_capacity(items.len() / 2 + GROWTH_ITEMS.end());
            // Both halves will fill up, and this much holds that without hashing again.
            half.rebuild(*PLACES.end(), hasher);
        }
        for item in items {
            let hash = hasher.hash(item.key());
            let half = if hash & (u64::from(bit) << 32) == 0 { &mut *self } else { &mut upper };
            half.push(hash, item, hasher);
        }
        upper
    }

    /// Takes in the items of the other half, and its interval of hashes.
    pub(super) fn absorb(&mut self, mut other: Segment<T>, hasher: &Hasher) {
        self.depth -= 1;
        self.prefix &= !(1 << (31 - self.depth));
        self.items.reserve_exact(other.items.len());
        self.items.append(&mut other.items);
        if !self.items.is_empty() {
            self.rebuild(places_for(self.items.len()), hasher);
        }
    }

    /// The memory that the segment has allocated, without what its items own.
    pub(super) fn memory_bytes(&self) -> usize {
        self.items.capacity() * size_of::<T>() + self.index.len() * size_of::<u16>()
    }

    /// Panics if the index is not as it should be.
    #[cfg(test)]
    pub(super) fn check(&self, hasher: &Hasher) {
        let count = |is: fn(&u16) -> bool| self.index.iter().filter(|entry| is(entry)).count();
        assert_eq!(count(|&entry| entry < DELETED), self.items.len().min(SEGMENT_ITEMS));
        assert_eq!(count(|&entry| entry != EMPTY), usize::from(self.taken));
        assert!(self.index.is_empty() || count(|&entry| entry == EMPTY) > 0);
        for (position, item) in self.items.iter().take(SEGMENT_ITEMS).enumerate() {
            let hash = hasher.hash(item.key());
            let place = self.place(position, hash).unwrap();
            let mut before = self.places(hash).take_while(|&other| other != place);
            assert!(before.all(|place| self.index[place] != EMPTY));
        }
    }
}

/// What the index holds for an item.
const fn entry(position: usize, hash: u64) -> u16 {
    ((position as u16) << TAG_BITS) | (hash & ((1 << TAG_BITS) - 1)) as u16
}

/// The places of an index for so many items: at least a quarter stays empty.
fn places_for(len: usize) -> usize {
    (len * 4).div_ceil(3).next_power_of_two().clamp(*PLACES.start(), *PLACES.end())
}

/// How many more items a full vector of `len` items gets room for.
fn growth(len: usize) -> usize {
    (len / 8).clamp(*GROWTH_ITEMS.start(), *GROWTH_ITEMS.end())
}
