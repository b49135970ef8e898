//! A node of a list: some elements, one behind the other in a single allocation.
//!
//! An element is its length, its bytes and its length again, both lengths as varints and the
//! second one with its bytes in reverse, so that a node can be walked from either end. The bytes
//! in use are a window of the buffer: there may be room on both sides of it, and a push at either
//! end moves other elements only now and then.
//!
//! A node doesn't know its neighbours, and refuses nothing by itself: whether an element may join
//! it is asked with [`takes`](Node::takes).

use alloc::vec::Vec;
use core::cmp::min;

/// What a node may hold of several elements, lengths included. An element that is larger has a
/// node of its own.
pub(super) const NODE_BYTES_MAX: usize = 8 * 1024;

/// Below this capacity nothing is given back when elements leave.
const SHRINK_BYTES_MIN: usize = 256;

/// One end of a node or of a list.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Side {
    Front,
    Back,
}

/// Elements in one allocation.
#[derive(Debug, Default)]
pub(super) struct Node {
    /// The window in use goes from `start` to the end.
    buffer: Vec<u8>,
    start: usize,
    count: usize,
    /// The bytes of the elements without their lengths.
    payload_bytes: usize,
}

/// A copy has no room to spare.
impl Clone for Node {
    fn clone(&self) -> Self {
        Self { buffer: self.live().to_vec(), start: 0, ..*self }
    }
}

impl Node {
    /// A node of one element, which may be of any size.
    pub(super) fn of(element: &[u8]) -> Self {
        let mut node = Self::default();
        node.buffer.reserve_exact(entry_bytes(element.len()));
        write_entry(&mut node.buffer, element);
        node.count = 1;
        node.payload_bytes = element.len();
        node
    }

    /// How many elements it holds.
    pub(super) fn count(&self) -> usize {
        self.count
    }

    /// The sum of the elements' lengths.
    pub(super) fn payload_bytes(&self) -> usize {
        self.payload_bytes
    }

    /// The entries, for [`first_entry`] and [`last_entry`].
    pub(super) fn live(&self) -> &[u8] {
        self.buffer.get(self.start..).unwrap_or_default()
    }

    /// The size of its entries.
    pub(super) fn live_bytes(&self) -> usize {
        self.buffer.len() - self.start
    }

    /// The size of its allocation.
    pub(super) fn capacity_bytes(&self) -> usize {
        self.buffer.capacity()
    }

    /// Whether an element of that length may join those that are here.
    pub(super) fn takes(&self, element_bytes: usize) -> bool {
        self.live_bytes() + entry_bytes(element_bytes) <= NODE_BYTES_MAX
    }

    /// Adds an element at one end, if it may join and there is room or making room pays.
    #[must_use = "an element that was refused needs a node of its own"]
    pub(super) fn push(&mut self, side: Side, element: &[u8]) -> bool {
        let bytes = entry_bytes(element.len());
        if !self.takes(element.len()) || !self.make_room(side, bytes) {
            return false;
        }
        match side {
            Side::Front => {
                let start = self.start - bytes;
                if let Some(slot) = self.buffer.get_mut(start..self.start) {
                    fill_entry(slot, element);
                }
                self.start = start;
            }
            Side::Back => write_entry(&mut self.buffer, element),
        }
        self.count += 1;
        self.payload_bytes += element.len();
        true
    }

    /// Makes room for `need` bytes at one end. Refuses if much would have to be moved for a little
    /// room: a list whose ends advance in one direction would then move it with every push.
    fn make_room(&mut self, side: Side, need: usize) -> bool {
        let behind = self.buffer.capacity() - self.buffer.len();
        let (here, there) = match side {
            Side::Front => (self.start, behind),
            Side::Back => (behind, self.start),
        };
        if here >= need {
            return true;
        }
        let live = self.live_bytes();
        // An end that nothing was ever pushed to gets no share.
        let share = |capacity: usize| match capacity.saturating_sub(live + need) {
            free if there > 0 => free / 2,
            _ => 0,
        };
        let capacity = self.buffer.capacity();
        let room = capacity.saturating_sub(live + share(capacity));
        if room >= need + live / 8 {
            self.slide(match side {
                Side::Front => capacity - live - share(capacity),
                Side::Back => share(capacity),
            });
            return true;
        }
        let grown = capacity_for(live + need);
        if grown <= capacity {
            return false;
        }
        self.reallocate(
            grown,
            match side {
                Side::Front => grown - live - share(grown),
                Side::Back => share(grown),
            },
        );
        true
    }

    /// Moves the window within the buffer, so that it begins at `start`.
    fn slide(&mut self, start: usize) {
        let end = self.buffer.len();
        let new_end = start + self.live_bytes();
        if new_end > end {
            self.buffer.resize(new_end, 0);
        }
        self.buffer.copy_within(self.start..end, start);
        self.buffer.truncate(new_end);
        self.start = start;
    }

    /// Moves the window into a new buffer, where it begins at `start`.
    fn reallocate(&mut self, capacity: usize, start: usize) {
        let mut buffer = Vec::with_capacity(capacity);
        buffer.resize(start, 0);
        buffer.extend_from_slice(self.live());
        self.buffer = buffer;
        self.start = start;
    }

    /// Gives back what isn't used, if it is much. For a node that is no longer an end of its list.
    pub(super) fn seal(&mut self) {
        let live = self.live_bytes();
        if self.buffer.capacity() - live > live / 8 {
            self.reallocate(live, 0);
        }
    }

    /// Gives back three quarters of the buffer when they are unused.
    fn shrink(&mut self) {
        let capacity = self.buffer.capacity();
        let live = self.live_bytes();
        if capacity > SHRINK_BYTES_MIN && live < capacity / 4 {
            self.reallocate(live + live / 2, 0);
        }
    }

    /// Takes the element at one end away. The element goes to `taken`, if the caller wants it.
    pub(super) fn pop(&mut self, side: Side) -> Option<Vec<u8>> {
        let (element, rest) = match side {
            Side::Front => first_entry(self.live())?,
            Side::Back => last_entry(self.live())?,
        };
        let taken = element.to_vec();
        let rest_bytes = rest.len();
        self.cut_end(side, self.live_bytes() - rest_bytes, 1, taken.len());
        Some(taken)
    }

    /// Takes up to `count` elements at one end away.
    pub(super) fn drop_elements(&mut self, side: Side, count: usize) {
        let (bytes, payload) = self.measure(side, count);
        self.cut_end(side, bytes, min(count, self.count), payload);
    }

    /// The size of the first or last `count` entries, and of their elements.
    fn measure(&self, side: Side, count: usize) -> (usize, usize) {
        let mut rest = self.live();
        let mut payload = 0;
        for _ in 0..count {
            let entry = match side {
                Side::Front => first_entry(rest),
                Side::Back => last_entry(rest),
            };
            let Some((element, remaining)) = entry else { break };
            payload += element.len();
            rest = remaining;
        }
        (self.live_bytes() - rest.len(), payload)
    }

    fn cut_end(&mut self, side: Side, bytes: usize, count: usize, payload_bytes: usize) {
        match side {
            Side::Front => self.start += bytes,
            Side::Back => self.buffer.truncate(self.buffer.len() - bytes),
        }
        self.count -= count;
        self.payload_bytes -= payload_bytes;
        self.shrink();
    }

    /// Puts an element in front of the entry at `offset` of the window. The caller has asked
    /// [`takes`](Self::takes).
    pub(super) fn insert(&mut self, offset: usize, element: &[u8]) {
        let bytes = entry_bytes(element.len());
        let at = self.start + offset;
        let end = self.buffer.len();
        let is_front_shorter = offset < self.live_bytes() / 2;
        if is_front_shorter && self.start >= bytes {
            self.buffer.copy_within(self.start..at, self.start - bytes);
            if let Some(slot) = self.buffer.get_mut(at - bytes..at) {
                fill_entry(slot, element);
            }
            self.start -= bytes;
        } else if self.buffer.capacity() - end >= bytes {
            self.buffer.resize(end + bytes, 0);
            self.buffer.copy_within(at..end, at + bytes);
            if let Some(slot) = self.buffer.get_mut(at..at + bytes) {
                fill_entry(slot, element);
            }
        } else {
            let (front, back) = self.live().split_at(offset);
            let mut buffer = Vec::with_capacity(capacity_for(self.live_bytes() + bytes));
            buffer.extend_from_slice(front);
            write_entry(&mut buffer, element);
            buffer.extend_from_slice(back);
            self.buffer = buffer;
            self.start = 0;
        }
        self.count += 1;
        self.payload_bytes += element.len();
    }

    /// Takes the element at `offset` of the window away.
    pub(super) fn remove(&mut self, offset: usize) {
        let Some((element, rest)) = self.live().get(offset..).and_then(first_entry) else { return };
        let payload = element.len();
        let bytes = self.live_bytes() - offset - rest.len();
        let at = self.start + offset;
        if offset < self.live_bytes() / 2 {
            self.buffer.copy_within(self.start..at, self.start + bytes);
            self.cut_end(Side::Front, bytes, 1, payload);
        } else {
            self.buffer.copy_within(at + bytes.., at);
            self.cut_end(Side::Back, bytes, 1, payload);
        }
    }

    /// Overwrites the element at `offset` of the window with one of the same length. Returns
    /// whether it has that length.
    #[must_use = "an element of another length was not replaced"]
    pub(super) fn overwrite(&mut self, offset: usize, element: &[u8]) -> bool {
        let Some((old, _)) = self.live().get(offset..).and_then(first_entry) else { return false };
        if old.len() != element.len() {
            return false;
        }
        let at = self.start + offset;
        if let Some(slot) = self.buffer.get_mut(at..at + entry_bytes(element.len())) {
            fill_entry(slot, element);
        }
        true
    }

    /// Takes the entries from `offset` of the window on away, into a node of their own.
    pub(super) fn split_off(&mut self, offset: usize) -> Self {
        let buffer = self.live().get(offset..).unwrap_or_default().to_vec();
        let mut right = Self { buffer, start: 0, count: 0, payload_bytes: 0 };
        let mut rest = right.buffer.as_slice();
        while let Some((element, remaining)) = first_entry(rest) {
            right.count += 1;
            right.payload_bytes += element.len();
            rest = remaining;
        }
        self.cut_end(Side::Back, right.buffer.len(), right.count, right.payload_bytes);
        right
    }

    /// Adds the elements of another node at one end.
    pub(super) fn append(&mut self, side: Side, other: &Self) {
        let grown = self.live_bytes() + other.live_bytes();
        match side {
            Side::Front if self.start >= other.live_bytes() => {
                let start = self.start - other.live_bytes();
                if let Some(slot) = self.buffer.get_mut(start..self.start) {
                    slot.copy_from_slice(other.live());
                }
                self.start = start;
            }
            Side::Front => {
                let mut buffer = Vec::with_capacity(grown);
                buffer.extend_from_slice(other.live());
                buffer.extend_from_slice(self.live());
                self.buffer = buffer;
                self.start = 0;
            }
            Side::Back => {
                if self.buffer.capacity() - self.buffer.len() < other.live_bytes() {
                    self.reallocate(grown, 0);
                }
                self.buffer.extend_from_slice(other.live());
            }
        }
        self.count += other.count;
        self.payload_bytes += other.payload_bytes;
    }

    /// How many elements equal this one.
    pub(super) fn count_of(&self, element: &[u8]) -> usize {
        let mut rest = self.live();
        let mut found = 0;
        while let Some((candidate, remaining)) = first_entry(rest) {
            found += usize::from(candidate == element);
            rest = remaining;
        }
        found
    }

    /// Takes elements that equal this one away: `count` of them, after the first `skip`.
    pub(super) fn remove_matches(&mut self, element: &[u8], mut skip: usize, mut count: usize) {
        let bytes = entry_bytes(element.len());
        let end = self.buffer.len();
        let mut read = self.start;
        let mut written = self.start;
        while let Some((candidate, rest)) = self.buffer.get(read..).and_then(first_entry) {
            let next = end - rest.len();
            let is_match = count > 0 && candidate == element;
            if is_match && skip == 0 {
                count -= 1;
                self.count -= 1;
                self.payload_bytes -= element.len();
                debug_assert_eq!(next - read, bytes);
            } else {
                skip -= usize::from(is_match);
                if written != read {
                    self.buffer.copy_within(read..next, written);
                }
                written += next - read;
            }
            read = next;
        }
        self.buffer.truncate(written);
        self.shrink();
    }

    /// The offset in the window of the element with that index.
    pub(super) fn offset_of(&self, index: usize) -> usize {
        if index <= self.count / 2 {
            self.measure(Side::Front, index).0
        } else {
            let behind = self.count.saturating_sub(index);
            self.live_bytes() - self.measure(Side::Back, behind).0
        }
    }

    /// The offset in the window of the first element that equals this one.
    pub(super) fn find(&self, element: &[u8]) -> Option<usize> {
        let mut rest = self.live();
        while let Some((candidate, remaining)) = first_entry(rest) {
            if candidate == element {
                return Some(self.live_bytes() - rest.len());
            }
            rest = remaining;
        }
        None
    }
}

/// The capacity for that many bytes: half as much again, so that growing is cheap on average.
fn capacity_for(bytes: usize) -> usize {
    let roomy = (bytes + bytes / 2).next_multiple_of(16);
    min(roomy, NODE_BYTES_MAX).max(bytes)
}

/// The size of the entry of an element of that length.
pub(super) fn entry_bytes(element_bytes: usize) -> usize {
    element_bytes + 2 * varint_bytes(element_bytes)
}

fn varint_bytes(value: usize) -> usize {
    let bits = (usize::BITS - value.leading_zeros()).max(1);
    bits.div_ceil(7) as usize
}

/// The varint's bytes, lowest seven bits first.
fn varint(value: usize) -> impl DoubleEndedIterator<Item = u8> {
    let last = varint_bytes(value) - 1;
    (0..=last).map(move |i| {
        let seven = (value >> (7 * i)) as u8 & 0x7f;
        if i == last { seven } else { seven | 0x80 }
    })
}

fn read_varint(bytes: impl Iterator<Item = u8>) -> Option<usize> {
    let mut value = 0;
    for (i, byte) in bytes.enumerate() {
        value |= usize::from(byte & 0x7f).checked_shl(7 * i as u32)?;
        if byte < 0x80 {
            return Some(value);
        }
    }
    None
}

/// Appends an entry.
fn write_entry(buffer: &mut Vec<u8>, element: &[u8]) {
    let len = element.len();
    if len < 0x80 {
        buffer.push(len as u8);
        buffer.extend_from_slice(element);
        buffer.push(len as u8);
    } else {
        buffer.extend(varint(len));
        buffer.extend_from_slice(element);
        buffer.extend(varint(len).rev());
    }
}

/// Writes an entry into a slot of its size.
fn fill_entry(slot: &mut [u8], element: &[u8]) {
    let len = element.len();
    let width = varint_bytes(len);
    debug_assert_eq!(slot.len(), entry_bytes(len));
    for (to, from) in slot.iter_mut().zip(varint(len)) {
        *to = from;
    }
    if let Some(to) = slot.get_mut(width..width + len) {
        to.copy_from_slice(element);
    }
    for (to, from) in slot.iter_mut().rev().zip(varint(len)) {
        *to = from;
    }
}

/// The first element, and the entries behind it.
pub(super) fn first_entry(entries: &[u8]) -> Option<(&[u8], &[u8])> {
    let len = match entries.first() {
        Some(&len) if len < 0x80 => usize::from(len),
        _ => read_varint(entries.iter().copied())?,
    };
    let width = varint_bytes(len);
    let element = entries.get(width..width + len)?;
    Some((element, entries.get(len + 2 * width..)?))
}

/// The last element, and the entries in front of it.
pub(super) fn last_entry(entries: &[u8]) -> Option<(&[u8], &[u8])> {
    let len = match entries.last() {
        Some(&len) if len < 0x80 => usize::from(len),
        _ => read_varint(entries.iter().rev().copied())?,
    };
    let width = varint_bytes(len);
    let (rest, entry) = entries.split_at_checked(entries.len().checked_sub(len + 2 * width)?)?;
    Some((entry.get(width..width + len)?, rest))
}
