//! Entries in order, each of which knows its rank: a B+tree that counts.
//!
//! Entries stand in the leaves. An inner node knows for each child how many entries are below it,
//! so that a rank is a sum over the path, and for each child but the first a lower bound of it,
//! which need not be an entry any more. Leaves are exactly sized, give or take a few entries.
//!
//! The order doesn't know a member's score; that is the hash table's part.

mod inner;
mod leaf;

use alloc::boxed::Box;
use alloc::vec::Vec;
use core::cmp::Ordering;
use core::mem;

use super::member::Entry;
use inner::Inner;

/// The entries of a leaf. Wider leaves take less memory beside the entries, and longer to shift.
const LEAF_MAX: usize = 64;
const LEAF_MIN: usize = LEAF_MAX / 4;

/// The children of an inner node.
const INNER_MAX: usize = 64;
const INNER_MIN: usize = INNER_MAX / 4;

/// A subtree.
#[derive(Debug)]
enum Node {
    Leaf(Vec<Entry>),
    Inner(Box<Inner>),
}

/// What is split off from a full node: the new node behind it, with how many entries and from
/// where on.
struct Split {
    lower: Entry,
    count: usize,
    node: Node,
}

/// An entry, by what it is or by where it stands.
#[derive(Clone, Copy)]
enum Position<'a> {
    Key(f64, &'a [u8]),
    Rank(usize),
}

/// Entries by score and member.
#[derive(Debug)]
pub(super) struct Order {
    root: Node,
    len: usize,
}

impl Order {
    pub(super) fn new() -> Self {
        Self { root: Node::Leaf(Vec::new()), len: 0 }
    }

    /// How many entries there are.
    pub(super) fn len(&self) -> usize {
        self.len
    }

    /// Adds an entry that isn't there.
    pub(super) fn insert(&mut self, entry: Entry) {
        self.len += 1;
        let Some(split) = self.root.insert(entry) else { return };
        let first = mem::replace(&mut self.root, Node::Leaf(Vec::new()));
        let first_count = self.len - split.count;
        self.root = Node::Inner(Box::new(Inner::of_two(first, first_count, split)));
    }

    /// Gives the entry of a member another score, if it stays where it is and there is a neighbour
    /// close by that shows it. Otherwise it has to be taken out and put in again.
    #[must_use = "an entry that would move was not changed"]
    pub(super) fn update(&mut self, old: f64, member: &[u8], new: f64) -> bool {
        let mut node = &mut self.root;
        loop {
            match node {
                Node::Leaf(entries) => return leaf::update(entries, old, member, new),
                Node::Inner(inner) => {
                    let Some(child) = inner.child_of_mut(old, member) else { return false };
                    node = child;
                }
            }
        }
    }

    /// Takes an entry out.
    pub(super) fn remove(&mut self, score: f64, member: &[u8]) -> Option<Entry> {
        self.remove_position(Position::Key(score, member))
    }

    /// Takes out the entry that has `rank` entries before it.
    pub(super) fn remove_at(&mut self, rank: usize) -> Option<Entry> {
        self.remove_position(Position::Rank(rank))
    }

    fn remove_position(&mut self, position: Position<'_>) -> Option<Entry> {
        let entry = self.root.remove(position)?;
        self.len -= 1;
        self.lower_root();
        Some(entry)
    }

    /// A root with a single child isn't needed.
    fn lower_root(&mut self) {
        if self.len == 0 {
            self.root = Node::Leaf(Vec::new());
        }
        while let Node::Inner(inner) = &mut self.root
            && let Some(only) = inner.only_child()
        {
            self.root = only;
        }
    }

    /// How many entries come before those of which `is_before` is false, which has to be true of
    /// the first so many entries and of no other.
    pub(super) fn partition_point(&self, is_before: impl Fn(&Entry) -> bool) -> usize {
        let mut before = 0;
        let mut node = &self.root;
        loop {
            match node {
                Node::Leaf(entries) => return before + entries.partition_point(is_before),
                Node::Inner(inner) => {
                    let (count, child) = inner.partition_point(&is_before);
                    before += count;
                    let Some(child) = child else { return before };
                    node = child;
                }
            }
        }
    }

    /// How many entries come before this one, or would.
    pub(super) fn rank(&self, score: f64, member: &[u8]) -> usize {
        self.partition_point(|entry| entry.compare(score, member) == Ordering::Less)
    }

    /// The leaf with the entry that has `rank` entries before it, and its index in the leaf.
    fn leaf_at(&self, rank: usize) -> Option<(&Vec<Entry>, usize)> {
        let mut rank = rank;
        let mut node = &self.root;
        loop {
            match node {
                Node::Leaf(entries) if rank < entries.len() => return Some((entries, rank)),
                Node::Leaf(_) => return None,
                Node::Inner(inner) => {
                    let (at, in_child) = inner.child_with(rank)?;
                    rank = in_child;
                    node = inner.child(at)?;
                }
            }
        }
    }

    /// The entry that has `rank` entries before it.
    pub(super) fn get(&self, rank: usize) -> Option<&Entry> {
        let (entries, index) = self.leaf_at(rank)?;
        entries.get(index)
    }

    /// The entries behind the one with that rank, itself included, that are close by: at least one,
    /// if there is one.
    pub(super) fn some_from(&self, rank: usize) -> &[Entry] {
        self.leaf_at(rank).and_then(|(entries, index)| entries.get(index..)).unwrap_or_default()
    }

    /// The entries before the one with that rank, itself included, that are close by.
    pub(super) fn some_up_to(&self, rank: usize) -> &[Entry] {
        self.leaf_at(rank).and_then(|(entries, index)| entries.get(..=index)).unwrap_or_default()
    }

    /// Drops the last entries, of about a leaf; each is shown before. What is left is less well
    /// filled than usual.
    pub(super) fn drop_last_leaf(&mut self, mut show: impl FnMut(&Entry)) {
        let entries = self.root.take_last_leaf();
        self.len -= entries.len();
        entries.iter().for_each(&mut show);
        self.lower_root();
    }

    /// An estimate of the memory that the entries and nodes take, without long members. Looks at a
    /// few leaves only.
    pub(super) fn memory_bytes(&self) -> usize {
        const SAMPLES: usize = 16;
        // A leaf's handle in its parent, its count there, and its lower bound.
        let leaf_bytes = size_of::<Node>() + size_of::<usize>() + size_of::<Entry>();
        let step = self.len.div_ceil(SAMPLES).max(1);
        let mut entries = 0;
        let mut bytes = 0;
        for rank in (0..self.len).step_by(step) {
            let Some((leaf, _)) = self.leaf_at(rank) else { continue };
            entries += leaf.len();
            bytes += leaf.capacity() * size_of::<Entry>() + leaf_bytes;
        }
        let scaled = bytes as u128 * self.len as u128 / entries.max(1) as u128;
        usize::try_from(scaled).unwrap_or(usize::MAX)
    }

    /// Fails unless the tree is what the others make of it.
    #[cfg(test)]
    pub(super) fn check(&self) {
        assert_eq!(self.root.check(None, None, true).1, self.len);
    }
}

impl Node {
    fn insert(&mut self, entry: Entry) -> Option<Split> {
        match self {
            Self::Leaf(entries) => leaf::insert(entries, entry),
            Self::Inner(inner) => inner.insert(entry),
        }
    }

    fn remove(&mut self, position: Position<'_>) -> Option<Entry> {
        match self {
            Self::Leaf(entries) => leaf::remove(entries, position),
            Self::Inner(inner) => inner.remove(position),
        }
    }

    fn is_underfull(&self) -> bool {
        match self {
            Self::Leaf(entries) => entries.len() < LEAF_MIN,
            Self::Inner(inner) => inner.len() < INNER_MIN,
        }
    }

    /// Evens two neighbours out, with the lower bound of the second: whether the second was
    /// emptied into the first, and how many entries the first has more than before.
    fn even_out(&mut self, lower: &mut Entry, next: &mut Self) -> (bool, isize) {
        match (self, next) {
            (Self::Leaf(entries), Self::Leaf(next)) => leaf::even_out(entries, lower, next),
            (Self::Inner(inner), Self::Inner(next)) => inner.even_out(lower, next),
            // All leaves are equally deep.
            _ => (false, 0),
        }
    }

    fn take_last_leaf(&mut self) -> Vec<Entry> {
        match self {
            Self::Leaf(entries) => mem::take(entries),
            Self::Inner(inner) => inner.take_last_leaf(),
        }
    }

    /// Fails unless all entries are between the bounds. Returns the depth and the entries.
    #[cfg(test)]
    fn check(&self, lower: Option<&Entry>, upper: Option<&Entry>, is_root: bool) -> (usize, usize) {
        match self {
            Self::Leaf(entries) => {
                leaf::check(entries, lower, upper, is_root);
                (0, entries.len())
            }
            Self::Inner(inner) => inner.check(lower, upper, is_root),
        }
    }
}
