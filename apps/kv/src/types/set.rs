//! A set of byte strings.
//!
//! A set of nothing but integers is a sorted array of them; a small one of other strings lies in
//! one allocation and is searched member by member; the rest are tables. A set that has left one
//! form never goes back to it. Operations on several sets are not here.

mod item;
#[cfg(test)]
mod tests;

use alloc::boxed::Box;
use alloc::vec::Vec;
use core::fmt;
use core::mem::size_of;

pub use self::item::Item;
use super::packed::{self, Packed};
use crate::db::dict::{Dict, Hasher, Keyed, scale};
use crate::number;

/// What a member adds to [`Set::encoded_bytes`] beside its bytes.
const MEMBER_HEAD_BYTES: u64 = 9;

/// What an allocator takes for an allocation beside its bytes, roughly.
const ALLOCATION_BYTES: usize = 12;

/// Up to what a set is kept in a compact form.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// The most members of a set of integers.
    pub integers: usize,
    /// What a set of other strings may have.
    pub packed: packed::Limits,
}

impl Limits {
    /// What Redis has if it is not told otherwise.
    pub const DEFAULT: Limits = Limits { integers: 512, packed: packed::Limits::DEFAULT };
}

/// A set of byte strings.
pub struct Set {
    members: Members,
    encoded_bytes: u64,
}

enum Members {
    /// In ascending order.
    Integers(Vec<i64>),
    Packed(Packed),
    Table(Box<Dict<Member>>),
}

struct Member(Box<[u8]>);

impl Keyed for Member {
    fn key(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Debug for Set {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Set").field("len", &self.len()).finish_non_exhaustive()
    }
}

impl Set {
    /// An empty set, which takes no memory yet.
    pub const fn new() -> Set {
        Set { members: Members::Integers(Vec::new()), encoded_bytes: 0 }
    }

    /// The number of members.
    pub const fn len(&self) -> usize {
        match &self.members {
            Members::Integers(integers) => integers.len(),
            Members::Packed(packed) => packed.len(),
            Members::Table(table) => table.len(),
        }
    }

    /// Whether there is no member.
    pub const fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// What Redis calls the way the set is kept.
    pub const fn encoding(&self) -> &'static str {
        match &self.members {
            Members::Integers(_) => "intset",
            Members::Packed(_) => "listpack",
            Members::Table(_) => "hashtable",
        }
    }

    /// An upper bound of what the set takes in a log record: members, and 9 bytes for the length
    /// of each.
    pub const fn encoded_bytes(&self) -> u64 {
        self.encoded_bytes
    }

    /// An estimate of the memory that the set has allocated.
    pub fn memory_bytes(&self) -> usize {
        match &self.members {
            Members::Integers(integers) => integers.capacity() * size_of::<i64>(),
            Members::Packed(packed) => packed.memory_bytes(),
            Members::Table(table) => {
                let strings =
                    self.encoded_bytes as usize - MEMBER_HEAD_BYTES as usize * table.len();
                let heads = ALLOCATION_BYTES * table.len();
                size_of::<Dict<Member>>() + table.memory_bytes() + strings + heads
            }
        }
    }

    /// Whether this is a member.
    pub fn contains(&self, member: &[u8]) -> bool {
        match &self.members {
            Members::Integers(integers) => number::integer(member)
                .is_some_and(|integer| integers.binary_search(&integer).is_ok()),
            Members::Packed(packed) => packed.iter().any(|other| other == member),
            Members::Table(table) => table.get(member).is_some(),
        }
    }

    /// Puts a member in. `false` if it is there already. The hasher is for the case that the set
    /// outgrows the limits.
    pub fn insert(&mut self, member: &[u8], hasher: &Hasher, limits: &Limits) -> bool {
        let is_new = match &mut self.members {
            Members::Integers(integers) => match insert_integer(integers, member, limits) {
                Ok(is_new) => is_new,
                Err(Unfit) => {
                    self.widen(member, hasher, limits);
                    return self.insert(member, hasher, limits);
                }
            },
            Members::Packed(packed) => match insert_packed(packed, member, &limits.packed) {
                Ok(is_new) => is_new,
                Err(Unfit) => {
                    self.members = table_of(self.iter(), hasher);
                    return self.insert(member, hasher, limits);
                }
            },
            Members::Table(table) => insert_in_table(table, member),
        };
        if is_new {
            self.encoded_bytes += member.len() as u64 + MEMBER_HEAD_BYTES;
        }
        is_new
    }

    /// Turns a set of integers into what can take this member.
    fn widen(&mut self, member: &[u8], hasher: &Hasher, limits: &Limits) {
        let longest = self.iter().map(|item| item.len()).fold(member.len(), usize::max);
        if self.len() < limits.packed.entries && longest <= limits.packed.value_bytes {
            let mut packed = Packed::new();
            self.for_each(|member| packed.push_back(member));
            self.members = Members::Packed(packed);
        } else {
            self.members = table_of(self.iter(), hasher);
        }
    }

    /// Takes a member out. `false` if it is none.
    pub fn remove(&mut self, member: &[u8]) -> bool {
        let was_there = match &mut self.members {
            Members::Integers(integers) => remove_integer(integers, member),
            Members::Packed(packed) => {
                let place = packed.iter().position(|other| other == member);
                place.inspect(|&place| packed.remove(place, 1)).is_some()
            }
            Members::Table(table) => table.remove(member).is_some(),
        };
        if was_there {
            self.encoded_bytes -= member.len() as u64 + MEMBER_HEAD_BYTES;
        }
        was_there
    }

    /// The members: integers in ascending order, others in no particular one.
    pub fn iter(&self) -> impl Iterator<Item = Item<'_>> {
        let (integers, packed, table): (&[i64], _, _) = match &self.members {
            Members::Integers(integers) => (integers, None, None),
            Members::Packed(packed) => (&[], Some(packed), None),
            Members::Table(table) => (&[], None, Some(table)),
        };
        let packed = packed.into_iter().flat_map(Packed::iter);
        let table = table.into_iter().flat_map(|table| table.iter()).map(Keyed::key);
        integers.iter().map(|&integer| integer.into()).chain(packed.chain(table).map(Item::from))
    }

    /// Calls a function with each member.
    pub fn for_each(&self, mut visit: impl FnMut(&[u8])) {
        self.iter().for_each(|item| visit(&item));
    }

    /// Visits at least `count` members, and returns the cursor to go on with, or 0 at the end, as
    /// [`Dict::scan`]. A set in a compact form is visited as a whole.
    pub fn scan(&self, cursor: u64, count: usize, mut visit: impl FnMut(&[u8])) -> u64 {
        match &self.members {
            Members::Table(table) => table.scan(cursor, count, |member| visit(&member.0)),
            Members::Integers(_) | Members::Packed(_) => {
                self.for_each(visit);
                0
            }
        }
    }

    /// A member chosen by a random number.
    pub fn random(&self, random: u64) -> Option<Item<'_>> {
        let place = scale(random, self.len());
        match &self.members {
            Members::Integers(integers) => integers.get(place).map(|&integer| integer.into()),
            Members::Packed(packed) => packed.get(place).map(Item::from),
            Members::Table(table) => table.random(random).map(|member| member.key().into()),
        }
    }

    /// Drops about `count` members and returns how many: to free a huge set bit by bit. A set in
    /// a compact form goes as a whole.
    pub fn drain_some(&mut self, count: usize) -> usize {
        if let Members::Table(table) = &mut self.members {
            let bytes = &mut self.encoded_bytes;
            return table.drain_some_with(count, |member| {
                *bytes -= member.0.len() as u64 + MEMBER_HEAD_BYTES;
            });
        }
        let drained = self.len();
        match &mut self.members {
            Members::Integers(integers) => *integers = Vec::new(),
            Members::Packed(packed) => *packed = Packed::new(),
            Members::Table(_) => {}
        }
        self.encoded_bytes = 0;
        drained
    }
}

impl Default for Set {
    fn default() -> Set {
        Set::new()
    }
}

/// A member that a set cannot take in its present form.
struct Unfit;

fn insert_integer(integers: &mut Vec<i64>, member: &[u8], limits: &Limits) -> Result<bool, Unfit> {
    let integer = number::integer(member).ok_or(Unfit)?;
    let Err(place) = integers.binary_search(&integer) else { return Ok(false) };
    if integers.len() >= limits.integers {
        return Err(Unfit);
    }
    if integers.len() == integers.capacity() {
        integers.reserve_exact((integers.len() / 8).clamp(2, 64));
    }
    integers.insert(place, integer);
    Ok(true)
}

fn remove_integer(integers: &mut Vec<i64>, member: &[u8]) -> bool {
    let place = number::integer(member).map(|integer| integers.binary_search(&integer));
    let Some(Ok(place)) = place else { return false };
    integers.remove(place);
    if integers.capacity() > 2 * integers.len() + 8 {
        integers.shrink_to(integers.len() + 2);
    }
    true
}

fn insert_packed(
    packed: &mut Packed,
    member: &[u8],
    limits: &packed::Limits,
) -> Result<bool, Unfit> {
    if packed.iter().any(|other| other == member) {
        return Ok(false);
    }
    if packed.len() >= limits.entries || member.len() > limits.value_bytes {
        return Err(Unfit);
    }
    packed.push_back(member);
    Ok(true)
}

fn insert_in_table(table: &mut Dict<Member>, member: &[u8]) -> bool {
    let hash = table.hasher().hash(member);
    let is_new = table.get_hashed(hash, member).is_none();
    if is_new {
        table.insert_new_hashed(hash, Member(member.into()));
    }
    is_new
}

fn table_of<'a>(items: impl Iterator<Item = Item<'a>>, hasher: &Hasher) -> Members {
    let mut table = Dict::new(*hasher);
    for item in items {
        table.insert_new_hashed(hasher.hash(&item), Member((*item).into()));
    }
    Members::Table(Box::new(table))
}
