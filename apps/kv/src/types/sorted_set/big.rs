//! A big sorted set: the scores in a hash table, and beside it the order.

use alloc::vec::Vec;
use core::mem;

use super::iter::Ranks;
use super::member::{self, Entry};
use super::order::Order;
use crate::db::dict::{Dict, Hasher};

/// Members with scores, found by either.
pub(super) struct Big {
    scores: Dict<Entry>,
    order: Order,
    /// What members take that are too long to stand in the entries.
    shared_bytes: usize,
}

impl Big {
    pub(super) fn new(hasher: Hasher) -> Self {
        Self { scores: Dict::new(hasher), order: Order::new(), shared_bytes: 0 }
    }

    pub(super) fn len(&self) -> usize {
        self.order.len()
    }

    pub(super) fn memory_bytes(&self) -> usize {
        let parts = self.scores.memory_bytes() + self.order.memory_bytes() + self.shared_bytes;
        size_of::<Self>() + parts
    }

    pub(super) fn score(&self, member: &[u8]) -> Option<f64> {
        self.scores.get(member).map(|entry| entry.score)
    }

    /// Gives a member this score, and adds it if it isn't there. Returns the score that it had.
    pub(super) fn put(&mut self, member: &[u8], score: f64) -> Option<f64> {
        let hash = self.scores.hasher().hash(member);
        let Some(present) = self.scores.get_mut_hashed(hash, member) else {
            let entry = Entry::new(member, score);
            self.scores.insert_new_hashed(hash, entry.clone());
            self.order.insert(entry);
            self.shared_bytes += member::shared_bytes(member.len());
            return None;
        };
        if present.score == score {
            return Some(present.score);
        }
        let old = mem::replace(&mut present.score, score);
        if self.order.update(old, member, score) {
            return Some(old);
        }
        let entry = self.order.remove(old, member);
        debug_assert!(entry.is_some());
        if let Some(mut entry) = entry {
            entry.score = score;
            self.order.insert(entry);
        }
        Some(old)
    }

    pub(super) fn remove(&mut self, member: &[u8]) -> Option<f64> {
        let score = self.scores.remove(member)?.score;
        let entry = self.order.remove(score, member);
        debug_assert!(entry.is_some());
        self.shared_bytes -= member::shared_bytes(member.len());
        Some(score)
    }

    pub(super) fn remove_at(&mut self, rank: usize) -> Option<(Vec<u8>, f64)> {
        let entry = self.order.remove_at(rank)?;
        let (member, score) = entry.pair();
        let removed = self.scores.remove(member);
        debug_assert!(removed.is_some());
        self.shared_bytes -= member::shared_bytes(member.len());
        Some((member.to_vec(), score))
    }

    pub(super) fn rank(&self, member: &[u8]) -> Option<usize> {
        Some(self.order.rank(self.score(member)?, member))
    }

    pub(super) fn get(&self, rank: usize) -> Option<(&[u8], f64)> {
        self.order.get(rank).map(Entry::pair)
    }

    /// The entries with the ranks from `start` to before `end`.
    pub(super) fn ranks(&self, start: usize, end: usize) -> Ranks<'_> {
        Ranks::new(&self.order, start, end)
    }

    pub(super) fn partition_point(&self, is_before: impl Fn(&[u8], f64) -> bool) -> usize {
        self.order.partition_point(|entry| is_before(entry.member(), entry.score))
    }

    pub(super) fn scan(&self, cursor: u64, count: usize, mut visit: impl FnMut(&[u8], f64)) -> u64 {
        self.scores.scan(cursor, count, |entry| visit(entry.member(), entry.score))
    }

    /// Drops about `count` members from the order, and as many from the hash table, not the same
    /// ones. From then on the two don't agree.
    pub(super) fn drain_some(&mut self, count: usize, payload_bytes: &mut u64) -> usize {
        let before = self.order.len();
        while self.order.len() > 0 && before - self.order.len() < count.max(1) {
            self.order.drop_last_leaf(|entry| {
                let bytes = entry.member().len();
                *payload_bytes -= bytes as u64;
                self.shared_bytes -= member::shared_bytes(bytes);
            });
        }
        let drained = before - self.order.len();
        while self.scores.len() > self.order.len() {
            self.scores.drain_some(self.scores.len() - self.order.len());
        }
        drained
    }

    /// Fails unless the two parts agree and each is sound.
    #[cfg(test)]
    pub(super) fn check(&self) {
        self.order.check();
        assert_eq!(self.scores.len(), self.order.len());
        let mut shared_bytes = 0;
        for entry in (0..self.order.len()).filter_map(|rank| self.order.get(rank)) {
            assert_eq!(self.score(entry.member()), Some(entry.score));
            shared_bytes += member::shared_bytes(entry.member().len());
        }
        assert_eq!(self.shared_bytes, shared_bytes);
    }
}
