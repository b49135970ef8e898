//! Walking a sorted set by rank, from either end.

use core::slice;

use super::member::Entry;
use super::order::Order;
use super::packed::Pairs;

/// Members with their scores in ascending order; `rev` for the other direction.
#[derive(Debug, Clone)]
pub struct Iter<'a>(pub(super) Walk<'a>);

#[derive(Debug, Clone)]
pub(super) enum Walk<'a> {
    Packed(Pairs<'a>),
    Order(Ranks<'a>),
}

impl<'a> Iterator for Iter<'a> {
    type Item = (&'a [u8], f64);

    fn next(&mut self) -> Option<Self::Item> {
        match &mut self.0 {
            Walk::Packed(pairs) => pairs.next(),
            Walk::Order(ranks) => ranks.next().map(Entry::pair),
        }
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        match &self.0 {
            Walk::Packed(pairs) => pairs.size_hint(),
            Walk::Order(ranks) => (ranks.end - ranks.start, Some(ranks.end - ranks.start)),
        }
    }
}

impl DoubleEndedIterator for Iter<'_> {
    fn next_back(&mut self) -> Option<Self::Item> {
        match &mut self.0 {
            Walk::Packed(pairs) => pairs.next_back(),
            Walk::Order(ranks) => ranks.next_back().map(Entry::pair),
        }
    }
}

impl ExactSizeIterator for Iter<'_> {}

/// Entries of an order. Each leaf is found anew from the root: that is rare, and needs no
/// path to be kept.
#[derive(Debug, Clone)]
pub(super) struct Ranks<'a> {
    order: &'a Order,
    /// The ranks that are left.
    start: usize,
    end: usize,
    /// Entries that begin at `start`, and some that end before `end`. They may go further than the
    /// ranks do.
    front: slice::Iter<'a, Entry>,
    back: slice::Iter<'a, Entry>,
}

impl<'a> Ranks<'a> {
    /// The ranks from `start` to before `end`, which is at most the order's length.
    pub(super) fn new(order: &'a Order, start: usize, end: usize) -> Self {
        Self { order, start, end, front: [].iter(), back: [].iter() }
    }

    fn next(&mut self) -> Option<&'a Entry> {
        if self.start >= self.end {
            return None;
        }
        let entry = match self.front.next() {
            Some(entry) => entry,
            None => {
                self.front = self.order.some_from(self.start).iter();
                self.front.next()?
            }
        };
        self.start += 1;
        Some(entry)
    }

    fn next_back(&mut self) -> Option<&'a Entry> {
        if self.start >= self.end {
            return None;
        }
        let entry = match self.back.next_back() {
            Some(entry) => entry,
            None => {
                self.back = self.order.some_up_to(self.end - 1).iter();
                self.back.next_back()?
            }
        };
        self.end -= 1;
        Some(entry)
    }
}
