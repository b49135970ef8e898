//! A sorted set: members, each with a score, in the order of score and then of bytes.
//!
//! A small set is packed into one allocation. A big one is a hash table from members to scores and
//! beside it a tree that knows the rank of each entry. Ranges by score and by member are asked for
//! as ranks: how many members come before a bound. So counting, walking and removing are the same
//! for all three, and none looks at what it skips.
//!
//! A set that has become big stays so. No score is NaN, which is for the caller to see to.

mod big;
mod iter;
mod member;
mod order;
mod packed;
#[cfg(test)]
mod tests;

use alloc::boxed::Box;
use alloc::vec::Vec;
use core::fmt;
use core::mem;
use core::ops::Range;

use crate::db::dict::Hasher;
use big::Big;
pub use iter::Iter;
use iter::Walk;
use packed::Packed;

/// What the log needs for a member beside its bytes.
const ENCODED_MEMBER_BYTES: u64 = 9 + 9 + 24;

/// One end of a range of scores.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ScoreBound {
    /// The score, which may be infinite.
    pub value: f64,
    /// Whether the score itself is outside.
    pub exclusive: bool,
}

/// One end of a range of members that have equal scores.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LexBound<'a> {
    /// Before all members.
    NegInf,
    /// Behind all members.
    PosInf,
    /// At this member.
    Inclusive(&'a [u8]),
    /// At this member, which itself is outside.
    Exclusive(&'a [u8]),
}

/// Members with scores, in order.
pub struct SortedSet {
    members: Members,
    hasher: Hasher,
    payload_bytes: u64,
}

enum Members {
    Small(Packed),
    Big(Box<Big>),
}

impl SortedSet {
    /// An empty set, which uses that hasher when it gets big.
    #[must_use]
    pub fn new(hasher: Hasher) -> Self {
        Self { members: Members::Small(Packed::default()), hasher, payload_bytes: 0 }
    }

    /// The number of members.
    #[must_use]
    pub fn len(&self) -> usize {
        match &self.members {
            Members::Small(packed) => packed.len(),
            Members::Big(big) => big.len(),
        }
    }

    /// Whether there are no members.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The name that `OBJECT ENCODING` gives this representation.
    #[must_use]
    pub fn encoding(&self) -> &'static str {
        match &self.members {
            Members::Small(_) => "listpack",
            Members::Big(_) => "skiplist",
        }
    }

    /// An upper bound of what the set takes in the log.
    #[must_use]
    pub fn encoded_bytes(&self) -> u64 {
        self.payload_bytes + self.len() as u64 * ENCODED_MEMBER_BYTES
    }

    /// An estimate of the memory that the set takes, which doesn't look at all of a big one.
    #[must_use]
    pub fn memory_bytes(&self) -> usize {
        let rest = match &self.members {
            Members::Small(packed) => packed.memory_bytes(),
            Members::Big(big) => big.memory_bytes(),
        };
        size_of::<Self>() + rest
    }

    /// The member's score.
    #[must_use]
    pub fn score(&self, member: &[u8]) -> Option<f64> {
        match &self.members {
            Members::Small(packed) => packed.find(member).map(|(_, score)| score),
            Members::Big(big) => big.score(member),
        }
    }

    /// Gives a member this score, which is not NaN, and adds it if it isn't there. Returns the
    /// score that it had. A score that equals the old one isn't stored: the two zeros are equal.
    pub fn insert(&mut self, member: &[u8], score: f64) -> Option<f64> {
        debug_assert!(!score.is_nan());
        if let Members::Small(packed) = &self.members
            && !packed.takes(member)
            && packed.find(member).is_none()
        {
            self.grow_up();
        }
        let old = match &mut self.members {
            Members::Small(packed) => packed.put(member, score),
            Members::Big(big) => big.put(member, score),
        };
        if old.is_none() {
            self.payload_bytes += member.len() as u64;
        }
        old
    }

    /// Makes a big set of a small one.
    fn grow_up(&mut self) {
        let Members::Small(packed) = &mut self.members else { return };
        let mut big = Big::new(self.hasher);
        for (member, score) in mem::take(packed).iter() {
            big.put(member, score);
        }
        self.members = Members::Big(Box::new(big));
    }

    /// Takes a member out. Returns its score.
    pub fn remove(&mut self, member: &[u8]) -> Option<f64> {
        let score = match &mut self.members {
            Members::Small(packed) => {
                let (place, score) = packed.find(member)?;
                packed.remove(place);
                score
            }
            Members::Big(big) => big.remove(member)?,
        };
        self.payload_bytes -= member.len() as u64;
        Some(score)
    }

    /// Takes the member with that rank out.
    pub fn remove_at(&mut self, rank: usize) -> Option<(Vec<u8>, f64)> {
        let (member, score) = match &mut self.members {
            Members::Small(packed) => {
                let place = packed.place(rank);
                packed.remove(place)?
            }
            Members::Big(big) => big.remove_at(rank)?,
        };
        self.payload_bytes -= member.len() as u64;
        Some((member, score))
    }

    /// Takes the members with these ranks out, as far as they exist, and shows each. Returns how
    /// many have gone.
    pub fn remove_range(&mut self, ranks: Range<usize>, mut show: impl FnMut(&[u8], f64)) -> usize {
        let mut removed = 0;
        for _ in ranks.clone() {
            let Some((member, score)) = self.remove_at(ranks.start) else { break };
            show(&member, score);
            removed += 1;
        }
        removed
    }

    /// How many members come before this one.
    #[must_use]
    pub fn rank(&self, member: &[u8]) -> Option<usize> {
        match &self.members {
            Members::Small(packed) => packed.find(member).map(|(place, _)| place.rank),
            Members::Big(big) => big.rank(member),
        }
    }

    /// The member with that rank.
    #[must_use]
    pub fn get(&self, rank: usize) -> Option<(&[u8], f64)> {
        match &self.members {
            Members::Small(_) => self.range_by_rank(rank, 1).next(),
            Members::Big(big) => big.get(rank),
        }
    }

    /// All members in ascending order; `rev` for the other direction.
    #[must_use]
    pub fn iter(&self) -> Iter<'_> {
        self.range_by_rank(0, self.len())
    }

    /// The members with the ranks from `start` on, `len` of them or as many as there are.
    #[must_use]
    pub fn range_by_rank(&self, start: usize, len: usize) -> Iter<'_> {
        let start = start.min(self.len());
        let len = len.min(self.len() - start);
        Iter(match &self.members {
            Members::Small(packed) => Walk::Packed(packed.range(start, len)),
            Members::Big(big) => Walk::Order(big.ranks(start, start + len)),
        })
    }

    /// How many members lie below a range of scores that begins there.
    #[must_use]
    pub fn rank_of_score_min(&self, min: ScoreBound) -> usize {
        self.partition_point(
            |_, score| {
                if min.exclusive { score <= min.value } else { score < min.value }
            },
        )
    }

    /// How many members lie below the end of a range of scores that ends there.
    #[must_use]
    pub fn rank_of_score_max(&self, max: ScoreBound) -> usize {
        self.partition_point(
            |_, score| {
                if max.exclusive { score < max.value } else { score <= max.value }
            },
        )
    }

    /// The ranks of the members with a score in that range. Empty if the bounds are in disorder.
    #[must_use]
    pub fn ranks_by_score(&self, min: ScoreBound, max: ScoreBound) -> Range<usize> {
        let start = self.rank_of_score_min(min);
        start..self.rank_of_score_max(max).max(start)
    }

    /// How many members lie below a range of members that begins there. Unspecified, as all about
    /// such ranges, if not all scores are equal.
    #[must_use]
    pub fn rank_of_lex_min(&self, min: LexBound<'_>) -> usize {
        match min {
            LexBound::NegInf => 0,
            LexBound::PosInf => self.len(),
            LexBound::Inclusive(bound) => self.partition_point(|member, _| member < bound),
            LexBound::Exclusive(bound) => self.partition_point(|member, _| member <= bound),
        }
    }

    /// How many members lie below the end of a range of members that ends there.
    #[must_use]
    pub fn rank_of_lex_max(&self, max: LexBound<'_>) -> usize {
        match max {
            LexBound::NegInf => 0,
            LexBound::PosInf => self.len(),
            LexBound::Inclusive(bound) => self.partition_point(|member, _| member <= bound),
            LexBound::Exclusive(bound) => self.partition_point(|member, _| member < bound),
        }
    }

    /// The ranks of the members in that range. Empty if the bounds are in disorder.
    #[must_use]
    pub fn ranks_by_lex(&self, min: LexBound<'_>, max: LexBound<'_>) -> Range<usize> {
        let start = self.rank_of_lex_min(min);
        start..self.rank_of_lex_max(max).max(start)
    }

    fn partition_point(&self, is_before: impl Fn(&[u8], f64) -> bool) -> usize {
        match &self.members {
            Members::Small(packed) => packed.partition_point(is_before).rank,
            Members::Big(big) => big.partition_point(is_before),
        }
    }

    /// Visits about `count` members and returns the cursor for the next call, 0 at the end. Each
    /// member that is there from the first call to the last is visited. A small set is visited at
    /// once.
    pub fn scan(&self, cursor: u64, count: usize, mut visit: impl FnMut(&[u8], f64)) -> u64 {
        match &self.members {
            Members::Small(packed) => {
                packed.iter().for_each(|(member, score)| visit(member, score));
                0
            }
            Members::Big(big) => big.scan(cursor, count, visit),
        }
    }

    /// The member that a random number chooses, each one as likely as the others.
    #[must_use]
    pub fn random(&self, random: u64) -> Option<(&[u8], f64)> {
        // The high half of the product: no division, and no bias that could be seen.
        let rank = (u128::from(random) * self.len() as u128) >> 64;
        self.get(usize::try_from(rank).ok()?)
    }

    /// Drops about `count` members, at least one if there is one. Returns how many, 0 when nothing
    /// is left. So a big set can be freed in pieces; after the first, only by further ones.
    pub fn drain_some(&mut self, count: usize) -> usize {
        match &mut self.members {
            Members::Small(packed) => {
                self.payload_bytes = 0;
                mem::take(packed).len()
            }
            Members::Big(big) => big.drain_some(count, &mut self.payload_bytes),
        }
    }
}

impl fmt::Debug for SortedSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(self.iter()).finish()
    }
}
