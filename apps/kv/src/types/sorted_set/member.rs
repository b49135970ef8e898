//! A member with its score, as a big sorted set keeps it: once in its hash table and once in its
//! order.
//!
//! A short member is simply there twice. That takes no more room than two references to a single
//! one, and no access to memory that is elsewhere. A long one is there once, and referred to.

use alloc::rc::Rc;
use core::cmp::Ordering;

use crate::db::dict::Keyed;

/// As many bytes as leave room for the variant and the length in 24 bytes, which is what a
/// reference takes in any case.
const INLINE_BYTES: usize = 22;

#[derive(Debug, Clone)]
enum Member {
    Inline { len: u8, bytes: [u8; INLINE_BYTES] },
    Shared(Rc<[u8]>),
}

/// A member and its score.
#[derive(Debug, Clone)]
pub(super) struct Entry {
    member: Member,
    pub(super) score: f64,
}

// The memory that a set takes follows from this.
const _: () = assert!(size_of::<Entry>() == 32 || size_of::<usize>() != 8);

impl Entry {
    pub(super) fn new(member: &[u8], score: f64) -> Self {
        let mut bytes = [0; INLINE_BYTES];
        let member = match bytes.get_mut(..member.len()) {
            Some(slot) => {
                slot.copy_from_slice(member);
                Member::Inline { len: member.len() as u8, bytes }
            }
            None => Member::Shared(Rc::from(member)),
        };
        Self { member, score }
    }

    pub(super) fn member(&self) -> &[u8] {
        match &self.member {
            Member::Inline { len, bytes } => bytes.get(..usize::from(*len)).unwrap_or_default(),
            Member::Shared(bytes) => bytes,
        }
    }

    /// As the iterators show it.
    pub(super) fn pair(&self) -> (&[u8], f64) {
        (self.member(), self.score)
    }

    /// Where it stands relative to a score and a member.
    pub(super) fn compare(&self, score: f64, member: &[u8]) -> Ordering {
        compare((self.score, self.member()), (score, member))
    }
}

impl Keyed for Entry {
    fn key(&self) -> &[u8] {
        self.member()
    }
}

/// The order of a sorted set: by score, where the two zeros are equal, then by the members' bytes.
pub(super) fn compare(one: (f64, &[u8]), other: (f64, &[u8])) -> Ordering {
    // No score is NaN.
    let by_score = one.0.partial_cmp(&other.0).unwrap_or(Ordering::Equal);
    by_score.then_with(|| one.1.cmp(other.1))
}

/// What a member takes on the heap, once, beside its entries.
pub(super) fn shared_bytes(member_bytes: usize) -> usize {
    if member_bytes > INLINE_BYTES { member_bytes + 2 * size_of::<usize>() } else { 0 }
}
