//! What a row is counted in: bits and gigabytes, or answers.

use super::row::Row;
use crate::bench::contest::Sample;

/// Bits a second in thousands, or answers a second.
pub(super) fn rate(row: Row, sample: &Sample) -> u64 {
    let (numerator, unit) = if row.is_bulk() { (8, 1000) } else { (1, 1) };
    let amount = u128::from(sample.amount) * numerator * 1_000_000_000;
    u64::try_from(amount / u128::from(sample.elapsed_ns.max(1)) / unit).unwrap_or(u64::MAX)
}

/// What a time comes to for a gigabyte (10^9), in nanoseconds.
pub(super) fn for_gigabyte_ns(sample: &Sample, time_ns: u64) -> u64 {
    let share = u128::from(time_ns) * 1_000_000_000 / u128::from(sample.amount.max(1));
    u64::try_from(share).unwrap_or(u64::MAX)
}

/// In a line.
pub(super) fn in_words(row: Row, sample: &Sample) -> String {
    match row.is_bulk() {
        true => {
            let rate = rate(row, sample);
            format!("{}.{} Mbit/s", rate / 1000, rate % 1000 / 100)
        }
        false => sample.in_words(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bench::meter::Reading;
    use serde_json::Value;

    #[test]
    fn bytes_become_rates_and_shares() {
        let sample = Sample {
            amount: 2_500_000_000,
            amount_in_all: 0,
            elapsed_ns: 2_000_000_000,
            p50_ns: 0,
            p99_ns: 0,
            max_ns: 0,
            failed: 0,
            drops: 0,
            clocks: Reading::default(),
            detail: Value::Null,
        };
        assert_eq!(in_words(Row::Out, &sample), "10000.0 Mbit/s");
        assert_eq!(for_gigabyte_ns(&sample, 1_000_000_000), 400_000_000);
        assert_eq!(rate(Row::Udp, &Sample { amount: 100, ..sample }), 50);
    }
}
