//! Latencies, counted in buckets whose width is at most a sixty-fourth of their value: millions of
//! them in a few kilobytes, with ranks that are right to less than two per cent.

use anyhow::{Context, Result};
use serde_json::{Value, json};

/// Buckets for each doubling of the value.
const SHARE: u64 = 1 << SHARE_BITS;
const SHARE_BITS: u32 = 6;
const BUCKETS: usize = ((64 - SHARE_BITS as usize) + 1) << SHARE_BITS;

/// How often which value came.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Histogram {
    buckets: Vec<u64>,
    count: u64,
}

impl Default for Histogram {
    fn default() -> Self {
        Self { buckets: vec![0; BUCKETS], count: 0 }
    }
}

impl Histogram {
    /// Counts a value.
    pub(crate) fn add(&mut self, value: u64) {
        self.add_times(value, 1);
    }

    /// Counts a value so many times.
    pub(crate) fn add_times(&mut self, value: u64, times: u64) {
        self.buckets[bucket(value)] += times;
        self.count += times;
    }

    /// How many values there are.
    pub(crate) fn count(&self) -> u64 {
        self.count
    }

    /// The least value of the bucket that the value of this rank is in, in thousandths; `None` if
    /// there are no values.
    pub(crate) fn rank(&self, thousandths: u64) -> Option<u64> {
        let last = self.count.checked_sub(1)?;
        let wanted = u128::from(last) * u128::from(thousandths) / 1000;
        let mut seen = 0u128;
        let at = self.buckets.iter().position(|&count| {
            seen += u128::from(count);
            seen > wanted
        });
        at.map(least)
    }

    /// The buckets that are not empty: the least value of each, and how many are in it.
    pub(crate) fn to_json(&self) -> Value {
        let filled = self.buckets.iter().enumerate().filter(|(_, count)| **count > 0);
        filled.map(|(at, &count)| json!([least(at), count])).collect()
    }

    /// Reads what [`Self::to_json`] writes.
    ///
    /// # Errors
    /// If it is something else.
    pub(crate) fn from_json(value: &Value) -> Result<Self> {
        let mut histogram = Self::default();
        for pair in value.as_array().context("a histogram is a list of pairs")? {
            let number = |at: usize| pair[at].as_u64().context("a histogram has whole numbers");
            let (value, count) = (number(0)?, number(1)?);
            histogram.buckets[bucket(value)] += count;
            histogram.count += count;
        }
        Ok(histogram)
    }
}

fn bucket(value: u64) -> usize {
    if value < SHARE {
        return value as usize;
    }
    let shift = value.ilog2() - SHARE_BITS;
    let share = (value >> shift) - SHARE;
    (u64::from(shift + 1) * SHARE + share) as usize
}

fn least(bucket: usize) -> u64 {
    let (octave, share) = (bucket as u64 / SHARE, bucket as u64 % SHARE);
    match octave.checked_sub(1) {
        None => share,
        Some(shift) => (SHARE + share) << shift,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buckets_follow_each_other_and_are_narrow() {
        for at in 1..BUCKETS {
            let (before, this) = (least(at - 1), least(at));
            assert!(before < this);
            assert_eq!((bucket(this), bucket(this - 1)), (at, at - 1));
            assert!(this < 128 || (this - before) * SHARE <= this, "{before} {this}");
        }
        assert_eq!(bucket(u64::MAX), BUCKETS - 1);
    }

    #[test]
    fn ranks_are_found() {
        let mut histogram = Histogram::default();
        assert_eq!(histogram.rank(500), None);
        (0..=1000).for_each(|value| histogram.add(value));
        for (thousandths, value) in [(0, 0), (50, 50), (500, 500), (990, 990), (1000, 1000)] {
            let found = histogram.rank(thousandths).unwrap();
            assert!(found <= value && found * 65 >= value * 64, "{thousandths}: {found}");
        }
    }

    #[test]
    fn it_survives_json() {
        let mut histogram = Histogram::default();
        [1, 1, 70, 1 << 40, u64::MAX].into_iter().for_each(|value| histogram.add(value));
        let read = Histogram::from_json(&histogram.to_json()).unwrap();
        assert_eq!(read, histogram);
        assert_eq!((read.count(), read.rank(0)), (5, Some(1)));
        assert!(Histogram::from_json(&json!([[1]])).is_err());
    }
}
