//! A compact sequence of byte strings in one allocation, for small collections.
//!
//! Each string stands behind its length, which takes a byte below 128 and seven bits a byte from
//! there on. The sequence is walked forward only, and whatever is changed in the middle moves all
//! that comes after it: it is meant for some hundred short strings.

#[cfg(test)]
mod tests;

use alloc::vec::Vec;
use core::ops::Range;

/// Up to what a collection is kept as a [`Packed`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// The most members, or pairs of field and value.
    pub entries: usize,
    /// The most bytes of each string.
    pub value_bytes: usize,
}

impl Limits {
    /// What Redis has if it is not told otherwise.
    pub const DEFAULT: Limits = Limits { entries: 128, value_bytes: 64 };
}

/// The most bytes that are held for later growth.
const SPARE_BYTES: usize = 512;

/// A sequence of byte strings.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Packed {
    bytes: Vec<u8>,
    len: usize,
}

impl Packed {
    /// An empty sequence, which takes no memory yet.
    pub const fn new() -> Packed {
        Packed { bytes: Vec::new(), len: 0 }
    }

    /// The number of strings.
    pub const fn len(&self) -> usize {
        self.len
    }

    /// Whether there is no string.
    pub const fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The bytes of all strings and their lengths.
    pub const fn bytes(&self) -> usize {
        self.bytes.len()
    }

    /// The bytes that are allocated.
    pub const fn memory_bytes(&self) -> usize {
        self.bytes.capacity()
    }

    /// The strings in order.
    pub fn iter(&self) -> Iter<'_> {
        Iter { bytes: &self.bytes, len: self.len }
    }

    /// The strings in order, two by two.
    pub fn pairs(&self) -> impl Iterator<Item = (&[u8], &[u8])> {
        let mut items = self.iter();
        core::iter::from_fn(move || Some((items.next()?, items.next()?)))
    }

    /// The string at this position.
    pub fn get(&self, position: usize) -> Option<&[u8]> {
        self.iter().nth(position)
    }

    /// Adds a string at the end.
    pub fn push_back(&mut self, item: &[u8]) {
        let end = self.bytes.len();
        self.splice(end..end, Some(item));
        self.len += 1;
    }

    /// Adds a string at the start.
    pub fn push_front(&mut self, item: &[u8]) {
        self.insert(0, item);
    }

    /// Adds a string so that it has this position, or at the end if there are fewer.
    pub fn insert(&mut self, position: usize, item: &[u8]) {
        let at = self.offset(position);
        self.splice(at..at, Some(item));
        self.len += 1;
    }

    /// Puts another string at this position. `false` if there is none.
    pub fn replace(&mut self, position: usize, item: &[u8]) -> bool {
        if position >= self.len {
            return false;
        }
        let range = self.range(position, 1);
        self.splice(range, Some(item));
        true
    }

    /// Takes `count` strings out from this position on, or as many as there are.
    pub fn remove(&mut self, position: usize, count: usize) {
        let count = count.min(self.len.saturating_sub(position));
        let range = self.range(position, count);
        self.splice(range, None);
        self.len -= count;
    }

    /// Where the string at this position begins.
    fn offset(&self, position: usize) -> usize {
        let mut items = self.iter();
        for _ in 0..position.min(self.len) {
            items.next();
        }
        self.bytes.len() - items.bytes.len()
    }

    /// What `count` strings from this position on take.
    fn range(&self, position: usize, count: usize) -> Range<usize> {
        let start = self.offset(position);
        let rest = Iter { bytes: &self.bytes[start..], len: self.len.saturating_sub(position) };
        let mut after = rest.clone();
        for _ in 0..count {
            after.next();
        }
        start..self.bytes.len() - after.bytes.len()
    }

    /// Replaces a range of bytes by a string with its length, or by nothing.
    fn splice(&mut self, range: Range<usize>, item: Option<&[u8]>) {
        let (head, head_bytes) = item.map_or(([0; HEAD_BYTES], 0), |item| encode(item.len()));
        let item = item.unwrap_or_default();
        let (old_end, new_end) = (self.bytes.len(), range.start + head_bytes + item.len());
        if new_end > range.end {
            self.reserve(new_end - range.end);
            self.bytes.resize(old_end + new_end - range.end, 0);
        }
        self.bytes.copy_within(range.end..old_end, new_end);
        self.bytes.truncate(old_end - range.end + new_end);
        self.bytes[range.start..][..head_bytes].copy_from_slice(&head[..head_bytes]);
        self.bytes[new_end - item.len()..new_end].copy_from_slice(item);
        if self.bytes.capacity() > 2 * self.bytes.len() + 64 {
            self.bytes.shrink_to(self.bytes.len() + spare(self.bytes.len()));
        }
    }

    /// Makes room, and some more in proportion, far less than a vector does on its own.
    fn reserve(&mut self, more: usize) {
        if self.bytes.capacity() - self.bytes.len() < more {
            self.bytes.reserve_exact(more + spare(self.bytes.len()));
        }
    }
}

/// The strings of a [`Packed`] in order.
#[derive(Debug, Clone)]
pub struct Iter<'a> {
    bytes: &'a [u8],
    len: usize,
}

impl<'a> Iterator for Iter<'a> {
    type Item = &'a [u8];

    fn next(&mut self) -> Option<&'a [u8]> {
        let (len, rest) = decode(self.bytes)?;
        let (item, rest) = rest.split_at_checked(len)?;
        self.bytes = rest;
        self.len -= 1;
        Some(item)
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (self.len, Some(self.len))
    }
}

impl ExactSizeIterator for Iter<'_> {}

/// The most bytes that a length takes.
const HEAD_BYTES: usize = 10;

/// A length as it stands in front of a string, and how many bytes that takes.
pub(super) fn encode(len: usize) -> ([u8; HEAD_BYTES], usize) {
    let (mut head, mut bytes, mut rest) = ([0; HEAD_BYTES], 0, len);
    while rest >= 0x80 {
        head[bytes] = rest as u8 | 0x80;
        (bytes, rest) = (bytes + 1, rest >> 7);
    }
    head[bytes] = rest as u8;
    (head, bytes + 1)
}

/// Reads a length and returns it with what follows. `None` if there is nothing.
pub(super) fn decode(bytes: &[u8]) -> Option<(usize, &[u8])> {
    let (&first, mut rest) = bytes.split_first()?;
    let (mut len, mut last, mut shift) = (usize::from(first & 0x7f), first, 7);
    while last >= 0x80 {
        (last, rest) = rest.split_first().map(|(&last, rest)| (last, rest))?;
        len |= usize::from(last & 0x7f).checked_shl(shift)?;
        shift += 7;
    }
    Some((len, rest))
}

/// What a sequence of so many bytes holds for growth.
const fn spare(bytes: usize) -> usize {
    let share = bytes / 8;
    if share < SPARE_BYTES { share } else { SPARE_BYTES }
}
