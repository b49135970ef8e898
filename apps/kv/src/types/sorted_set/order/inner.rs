//! The inner nodes of the order.

use alloc::vec;
use alloc::vec::Vec;
use core::cmp::Ordering;

use super::{Entry, INNER_MAX, INNER_MIN, Node, Position, Split};

/// Two nodes are merged when together they aren't larger than that.
const MERGED_MAX: usize = INNER_MAX / 4 * 3;

/// Subtrees of equal depth, one behind the other.
#[derive(Debug)]
pub(super) struct Inner {
    children: Vec<Node>,
    /// How many entries each child holds.
    counts: Vec<usize>,
    /// For each child but the first a lower bound, above all of the child before.
    lowers: Vec<Entry>,
}

impl Inner {
    pub(super) fn of_two(first: Node, first_count: usize, split: Split) -> Self {
        Self {
            children: vec![first, split.node],
            counts: vec![first_count, split.count],
            lowers: vec![split.lower],
        }
    }

    /// How many children it has.
    pub(super) fn len(&self) -> usize {
        self.children.len()
    }

    pub(super) fn child(&self, at: usize) -> Option<&Node> {
        self.children.get(at)
    }

    /// Takes the child out if it's the only one.
    pub(super) fn only_child(&mut self) -> Option<Node> {
        if self.children.len() == 1 { self.children.pop() } else { None }
    }

    /// How many entries are in the children before the one where `is_before` turns false, and that
    /// child.
    pub(super) fn partition_point(
        &self,
        is_before: impl Fn(&Entry) -> bool,
    ) -> (usize, Option<&Node>) {
        let at = self.lowers.partition_point(is_before);
        let before = self.counts.get(..at).unwrap_or_default().iter().sum();
        (before, self.children.get(at))
    }

    /// The child where an entry is or belongs.
    fn child_of(&self, score: f64, member: &[u8]) -> usize {
        self.lowers.partition_point(|lower| lower.compare(score, member) != Ordering::Greater)
    }

    /// The child where an entry is or belongs.
    pub(super) fn child_of_mut(&mut self, score: f64, member: &[u8]) -> Option<&mut Node> {
        let at = self.child_of(score, member);
        self.children.get_mut(at)
    }

    /// The child with the entry that has `rank` entries before it, and its rank there.
    pub(super) fn child_with(&self, rank: usize) -> Option<(usize, usize)> {
        let mut rank = rank;
        for (at, &count) in self.counts.iter().enumerate() {
            if rank < count {
                return Some((at, rank));
            }
            rank -= count;
        }
        None
    }

    pub(super) fn insert(&mut self, entry: Entry) -> Option<Split> {
        let at = self.child_of(entry.score, entry.member());
        let split = self.children.get_mut(at)?.insert(entry);
        if let Some(count) = self.counts.get_mut(at) {
            *count += 1;
            *count -= split.as_ref().map_or(0, |split| split.count);
        }
        let split = split?;
        self.children.insert(at + 1, split.node);
        self.counts.insert(at + 1, split.count);
        self.lowers.insert(at, split.lower);
        if self.children.len() <= INNER_MAX {
            return None;
        }
        let middle = self.children.len() / 2;
        let right = Self {
            children: self.children.split_off(middle),
            counts: self.counts.split_off(middle),
            lowers: self.lowers.split_off(middle),
        };
        let lower = self.lowers.pop()?;
        let count = right.counts.iter().sum();
        Some(Split { lower, count, node: Node::Inner(right.into()) })
    }

    pub(super) fn remove(&mut self, position: Position<'_>) -> Option<Entry> {
        let (at, position) = match position {
            Position::Key(score, member) => (self.child_of(score, member), position),
            Position::Rank(rank) => {
                let (at, rank) = self.child_with(rank)?;
                (at, Position::Rank(rank))
            }
        };
        let child = self.children.get_mut(at)?;
        let entry = child.remove(position)?;
        let is_underfull = child.is_underfull();
        if let Some(count) = self.counts.get_mut(at) {
            *count -= 1;
        }
        if is_underfull {
            self.even_out_children(at.saturating_sub(1));
        }
        Some(entry)
    }

    /// Evens a child and the next one out.
    fn even_out_children(&mut self, at: usize) {
        let Some([first, second]) = self.children.get_mut(at..at + 2) else { return };
        let Some(lower) = self.lowers.get_mut(at) else { return };
        let (is_merged, gained) = first.even_out(lower, second);
        if let Some([first, second]) = self.counts.get_mut(at..at + 2) {
            *first = first.saturating_add_signed(gained);
            *second = second.saturating_add_signed(-gained);
        }
        if is_merged {
            self.children.remove(at + 1);
            self.counts.remove(at + 1);
            self.lowers.remove(at);
        }
    }

    pub(super) fn even_out(&mut self, lower: &mut Entry, next: &mut Self) -> (bool, isize) {
        let before = self.count();
        let total = self.len() + next.len();
        // All into the first, and the rest out of it again.
        self.lowers.push(lower.clone());
        self.lowers.append(&mut next.lowers);
        self.counts.append(&mut next.counts);
        self.children.append(&mut next.children);
        let is_merged = total <= MERGED_MAX;
        if !is_merged {
            let half = total / 2;
            next.children = self.children.split_off(half);
            next.counts = self.counts.split_off(half);
            next.lowers = self.lowers.split_off(half);
            if let Some(last) = self.lowers.pop() {
                *lower = last;
            }
            debug_assert!(self.len() >= INNER_MIN && next.len() >= INNER_MIN);
        }
        (is_merged, self.count().cast_signed() - before.cast_signed())
    }

    /// How many entries there are below.
    fn count(&self) -> usize {
        self.counts.iter().sum()
    }

    /// Takes the last leaf away, and what is empty without it.
    pub(super) fn take_last_leaf(&mut self) -> Vec<Entry> {
        let Some(last) = self.children.last_mut() else { return Vec::new() };
        let entries = last.take_last_leaf();
        let is_empty = match last {
            Node::Leaf(_) => true,
            Node::Inner(inner) => inner.children.is_empty(),
        };
        if is_empty {
            self.children.pop();
            self.counts.pop();
            self.lowers.pop();
        } else if let Some(count) = self.counts.last_mut() {
            *count -= entries.len();
        }
        entries
    }

    #[cfg(test)]
    pub(super) fn check(
        &self,
        lower: Option<&Entry>,
        upper: Option<&Entry>,
        is_root: bool,
    ) -> (usize, usize) {
        assert!(self.len() >= if is_root { 2 } else { INNER_MIN });
        assert!(self.len() <= INNER_MAX);
        assert_eq!(self.lowers.len() + 1, self.len());
        assert_eq!(self.counts.len(), self.len());
        let mut depths = Vec::new();
        for (at, child) in self.children.iter().enumerate() {
            let lower = at.checked_sub(1).and_then(|at| self.lowers.get(at)).or(lower);
            let upper = self.lowers.get(at).or(upper);
            let (depth, count) = child.check(lower, upper, false);
            assert_eq!(Some(&count), self.counts.get(at));
            depths.push(depth);
        }
        depths.dedup();
        assert_eq!(depths.len(), 1);
        (depths[0] + 1, self.count())
    }
}
