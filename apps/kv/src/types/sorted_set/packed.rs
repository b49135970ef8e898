//! A small sorted set: its members in order, one behind the other in a single allocation.
//!
//! Everything here looks at one member after the other, which is fast for as many as there may be.

use alloc::vec::Vec;

use super::member::compare;

/// A set of more members is a big one.
pub(super) const MEMBERS_MAX: usize = 128;

/// A set with a longer member is a big one.
pub(super) const MEMBER_BYTES_MAX: usize = 64;

/// The length of a member is at both ends, its score behind the member.
const OVERHEAD_BYTES: usize = 1 + size_of::<f64>() + 1;

/// Members with their scores, in order.
#[derive(Debug, Default)]
pub(super) struct Packed {
    entries: Vec<u8>,
    len: usize,
}

/// Where an entry stands.
#[derive(Debug, Clone, Copy)]
pub(super) struct Place {
    pub(super) rank: usize,
    offset: usize,
}

impl Packed {
    pub(super) fn len(&self) -> usize {
        self.len
    }

    pub(super) fn memory_bytes(&self) -> usize {
        self.entries.capacity()
    }

    /// Whether a new member may join those that are here.
    pub(super) fn takes(&self, member: &[u8]) -> bool {
        self.len < MEMBERS_MAX && member.len() <= MEMBER_BYTES_MAX
    }

    /// The entries from a rank on, `len` of them.
    pub(super) fn range(&self, start: usize, len: usize) -> Pairs<'_> {
        let (mut entries, mut behind) = (self.entries.as_slice(), self.len);
        for _ in 0..start {
            entries = first(entries).map_or(&[][..], |(_, rest)| rest);
            behind = behind.saturating_sub(1);
        }
        for _ in len..behind {
            entries = last(entries).map_or(&[][..], |(_, rest)| rest);
        }
        Pairs { entries, remaining: len.min(behind) }
    }

    pub(super) fn iter(&self) -> Pairs<'_> {
        Pairs { entries: &self.entries, remaining: self.len }
    }

    /// The member's place and score.
    pub(super) fn find(&self, member: &[u8]) -> Option<(Place, f64)> {
        let mut offset = 0;
        for (rank, (candidate, score)) in self.iter().enumerate() {
            if candidate == member {
                return Some((Place { rank, offset }, score));
            }
            offset += candidate.len() + OVERHEAD_BYTES;
        }
        None
    }

    /// The place of the first entry of which `is_before` is false.
    pub(super) fn partition_point(&self, is_before: impl Fn(&[u8], f64) -> bool) -> Place {
        let mut place = Place { rank: 0, offset: 0 };
        for (member, _) in self.iter().take_while(|&(member, score)| is_before(member, score)) {
            place.rank += 1;
            place.offset += member.len() + OVERHEAD_BYTES;
        }
        place
    }

    /// Gives a member this score, and adds it if it isn't there, when it has to be one that may
    /// join. Returns the score that it had.
    pub(super) fn put(&mut self, member: &[u8], score: f64) -> Option<f64> {
        let old = self.find(member);
        match old {
            Some((_, old)) if old == score => return Some(old),
            Some((place, _)) => {
                self.remove(place);
            }
            None => {}
        }
        self.insert(member, score);
        old.map(|(_, score)| score)
    }

    /// Adds a member that isn't there and that may join.
    fn insert(&mut self, member: &[u8], score: f64) {
        debug_assert!(self.takes(member));
        let at = self
            .partition_point(|other, other_score| {
                compare((other_score, other), (score, member)).is_lt()
            })
            .offset;
        let bytes = member.len() + OVERHEAD_BYTES;
        let old_bytes = self.entries.len();
        if self.entries.capacity() - old_bytes < bytes {
            self.entries.reserve_exact(bytes + old_bytes / 4);
        }
        self.entries.resize(old_bytes + bytes, 0);
        self.entries.copy_within(at..old_bytes, at + bytes);
        let len = member.len() as u8;
        // Redis keeps such a score as an integer, so that a zero here has no sign.
        let score = (score + 0.0).to_le_bytes();
        let parts = [&[len][..], member, &score[..], &[len][..]];
        let slot = self.entries.iter_mut().skip(at);
        slot.zip(parts.into_iter().flatten()).for_each(|(to, from)| *to = *from);
        self.len += 1;
    }

    /// Takes the member at this place out.
    pub(super) fn remove(&mut self, place: Place) -> Option<(Vec<u8>, f64)> {
        let entries = self.entries.get(place.offset..)?;
        let ((member, score), rest) = first(entries)?;
        let removed = (member.to_vec(), score);
        let bytes = entries.len() - rest.len();
        self.entries.copy_within(place.offset + bytes.., place.offset);
        self.entries.truncate(self.entries.len() - bytes);
        if self.entries.len() < self.entries.capacity() / 2 {
            self.entries.shrink_to(self.entries.len() / 4 * 5);
        }
        self.len -= 1;
        Some(removed)
    }

    /// The place with that rank.
    pub(super) fn place(&self, rank: usize) -> Place {
        let before = self.iter().take(rank);
        Place { rank, offset: before.map(|(member, _)| member.len() + OVERHEAD_BYTES).sum() }
    }
}

/// Members of a small set with their scores.
#[derive(Debug, Clone)]
pub(super) struct Pairs<'a> {
    entries: &'a [u8],
    remaining: usize,
}

impl<'a> Iterator for Pairs<'a> {
    type Item = Pair<'a>;

    fn next(&mut self) -> Option<Self::Item> {
        let (pair, rest) = first(self.entries)?;
        self.entries = rest;
        self.remaining = self.remaining.saturating_sub(1);
        Some(pair)
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (self.remaining, Some(self.remaining))
    }
}

impl DoubleEndedIterator for Pairs<'_> {
    fn next_back(&mut self) -> Option<Self::Item> {
        let (pair, rest) = last(self.entries)?;
        self.entries = rest;
        self.remaining = self.remaining.saturating_sub(1);
        Some(pair)
    }
}

/// A member and its score.
type Pair<'a> = (&'a [u8], f64);

/// The first member with its score, and the entries behind it.
fn first(entries: &[u8]) -> Option<(Pair<'_>, &[u8])> {
    let len = usize::from(*entries.first()?);
    let (entry, rest) = entries.split_at_checked(len + OVERHEAD_BYTES)?;
    Some((parse(entry)?, rest))
}

/// The last member with its score, and the entries in front of it.
fn last(entries: &[u8]) -> Option<(Pair<'_>, &[u8])> {
    let len = usize::from(*entries.last()?);
    let at = entries.len().checked_sub(len + OVERHEAD_BYTES)?;
    let (rest, entry) = entries.split_at_checked(at)?;
    Some((parse(entry)?, rest))
}

fn parse(entry: &[u8]) -> Option<Pair<'_>> {
    let (_, entry) = entry.split_first()?;
    let (_, entry) = entry.split_last()?;
    let (member, score) = entry.split_last_chunk()?;
    Some((member, f64::from_le_bytes(*score)))
}
