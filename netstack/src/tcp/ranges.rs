//! A few ranges of sequence numbers, sorted and apart: what came out of order, and what the peer
//! has acknowledged selectively (RFC 2018). Bounded, and without memory as long as it is empty.

use alloc::vec::Vec;

use super::seq::Seq;

/// From `start` up to but without `end`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Range {
    pub(crate) start: Seq,
    pub(crate) end: Seq,
}

impl Range {
    pub(crate) const fn len(&self) -> u32 {
        self.end.since(self.start)
    }
}

/// The most that are kept. What would make one more is not taken.
const RANGES_MAX: usize = 32;

#[derive(Default)]
pub(crate) struct Ranges(Vec<Range>);

impl Ranges {
    pub(crate) const fn new() -> Self {
        Self(Vec::new())
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(crate) fn iter(&self) -> impl DoubleEndedIterator<Item = Range> + '_ {
        self.0.iter().copied()
    }

    pub(crate) fn first(&self) -> Option<Range> {
        self.0.first().copied()
    }

    pub(crate) fn last(&self) -> Option<Range> {
        self.0.last().copied()
    }

    /// Bytes in all ranges.
    pub(crate) fn bytes(&self) -> u32 {
        self.0.iter().map(Range::len).sum()
    }

    /// Adds a range and joins those that touch. False if there is no room, and nothing is added.
    pub(crate) fn insert(&mut self, range: Range) -> bool {
        if range.len() == 0 {
            return true;
        }
        // Those that overlap or touch the new one.
        let from = self.0.partition_point(|other| other.end.before(range.start));
        let to = self.0.partition_point(|other| !other.start.after(range.end));
        if from < to {
            let start = self.0[from].start.min(range.start);
            let end = self.0[to - 1].end.max(range.end);
            self.0[from] = Range { start, end };
            self.0.drain(from + 1..to);
            return true;
        }
        if self.0.len() >= RANGES_MAX || self.0.try_reserve(1).is_err() {
            return false;
        }
        self.0.insert(from, range);
        true
    }

    /// Forgets everything before a number.
    pub(crate) fn trim(&mut self, start: Seq) {
        let gone = self.0.partition_point(|range| !range.end.after(start));
        self.0.drain(..gone);
        if let Some(first) = self.0.first_mut() {
            first.start = first.start.max(start);
        }
        if self.0.is_empty() {
            self.clear();
        }
    }

    pub(crate) fn clear(&mut self) {
        self.0 = Vec::new();
    }

    /// The first number at or after `from` that is in no range.
    pub(crate) fn first_gap(&self, from: Seq) -> Seq {
        match self.0.iter().find(|range| range.end.after(from)) {
            Some(range) if !range.start.after(from) => range.end,
            _ => from,
        }
    }

    /// Where the next range begins after a number that is in none.
    pub(crate) fn next_start(&self, from: Seq) -> Option<Seq> {
        self.0.iter().find(|range| range.start.after(from)).map(|range| range.start)
    }

    /// Bytes in ranges from one number up to another.
    pub(crate) fn bytes_within(&self, start: Seq, end: Seq) -> u32 {
        self.0.iter().map(|range| range.end.min(end).since(range.start.max(start))).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeSet;

    proptest! {
        #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() })]

        /// Ranges answer as a set of numbers would, also over the end of the circle.
        #[test]
        fn behaves_like_a_set(
            base in prop::sample::select(std::vec![0u32, u32::MAX - 50]),
            steps in prop::collection::vec((0u32..100, 0u32..10, 0u8..8), 1..60),
        ) {
            let at = |offset: u32| Seq(base) + offset;
            let (mut ranges, mut model) = (Ranges::new(), BTreeSet::new());
            let mut low = 0;
            for (start, len, action) in steps {
                let start = start.max(low);
                if action == 0 {
                    low = start;
                    ranges.trim(at(low));
                    model.retain(|n| *n >= low);
                } else if ranges.insert(Range { start: at(start), end: at(start + len) }) {
                    model.extend(start..start + len);
                }
                prop_assert_eq!(ranges.bytes() as usize, model.len());
                let gap = (start..).find(|n| !model.contains(n)).unwrap();
                prop_assert_eq!(ranges.first_gap(at(start)), at(gap));
                let next = model.range(gap..).next().map(|n| at(*n));
                prop_assert_eq!(ranges.next_start(at(gap)), next);
                let within = model.range(start..start + 20).count() as u32;
                prop_assert_eq!(ranges.bytes_within(at(start), at(start + 20)), within);
                let apart = ranges.0.windows(2).all(|pair| pair[0].end.before(pair[1].start));
                prop_assert!(apart && ranges.0.len() <= RANGES_MAX);
            }
        }
    }
}
