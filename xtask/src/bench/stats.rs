//! What samples come to. Medians and ranks only: one slow run in a hundred, for which another
//! program on the machine is to blame, moves a mean but none of these.

/// A summary of samples of any unit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Summary {
    /// How many there are.
    pub(super) count: usize,
    /// The middle one.
    pub(super) median: u64,
    /// A tenth of them are at most this.
    pub(super) p10: u64,
    /// A tenth of them are at least this.
    pub(super) p90: u64,
    /// The largest.
    pub(super) max: u64,
    /// The median absolute deviation from the median.
    pub(super) deviation: u64,
}

impl Summary {
    /// Of samples in any order; `None` if there are none.
    pub(super) fn of(samples: &[u64]) -> Option<Self> {
        let mut sorted = samples.to_vec();
        sorted.sort_unstable();
        let median = percentile(&sorted, 50)?;
        let mut deviations: Vec<u64> =
            sorted.iter().map(|sample| sample.abs_diff(median)).collect();
        deviations.sort_unstable();
        Some(Self {
            count: sorted.len(),
            median,
            p10: percentile(&sorted, 10)?,
            p90: percentile(&sorted, 90)?,
            max: *sorted.last()?,
            deviation: percentile(&deviations, 50)?,
        })
    }
}

/// The value below which `percent` of sorted samples lie, between two samples in proportion.
fn percentile(sorted: &[u64], percent: usize) -> Option<u64> {
    let hundredths = sorted.len().checked_sub(1)? * percent;
    let (at, rest) = (hundredths / 100, (hundredths % 100) as u64);
    let (low, high) = (sorted[at], sorted[(at + 1).min(sorted.len() - 1)]);
    let between = u128::from(high - low) * u128::from(rest) / 100;
    Some(low + u64::try_from(between).unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_samples_have_no_summary() {
        assert_eq!(Summary::of(&[]), None);
    }

    #[test]
    fn one_sample_is_everything() {
        let summary = Summary::of(&[7]).unwrap();
        let expected = Summary { count: 1, median: 7, p10: 7, p90: 7, max: 7, deviation: 0 };
        assert_eq!(summary, expected);
    }

    #[test]
    fn order_does_not_matter_and_ranks_are_interpolated() {
        let samples: Vec<u64> = (0..=10).rev().map(|number| number * 10).collect();
        let summary = Summary::of(&samples).unwrap();
        assert_eq!((summary.p10, summary.median, summary.p90, summary.max), (10, 50, 90, 100));
        assert_eq!(summary.deviation, 30);
        assert_eq!(Summary::of(&[10, 20]).unwrap().median, 15);
        assert_eq!(Summary::of(&[0, 10]).unwrap().p90, 9);
    }

    #[test]
    fn an_outlier_moves_neither_median_nor_deviation() {
        let summary = Summary::of(&[9, 10, 10, 11, u64::MAX]).unwrap();
        assert_eq!((summary.median, summary.deviation), (10, 1));
    }
}
