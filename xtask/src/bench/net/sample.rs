//! One run of a client against a server.

use std::ffi::OsString;
use std::process::Command;
use std::time::Duration;

use anyhow::Result;
use serde_json::{Value, json};

use super::iperf3;
use super::row::Row;
use crate::bench::lab::{self, Lab};
use crate::bench::load::{Measured, Window};
use crate::bench::meter::Reading;

/// A tenth, at least half a second: windows are small at first.
pub(super) fn warm_up(time: Duration) -> Duration {
    (time / 10).max(Duration::from_millis(500))
}

/// What a client does.
#[derive(Clone, Debug)]
pub(super) struct Task {
    /// Whom to ask, and for how long.
    pub(super) window: Window,
    /// What to do.
    pub(super) row: Row,
    /// Datagrams on their way at a time.
    pub(super) outstanding: usize,
    /// Whether iperf3 does it.
    pub(super) is_iperf3: bool,
}

impl Task {
    /// Does it.
    ///
    /// # Errors
    /// If the client fails, or takes too long.
    pub(super) fn run(&self, lab: &Lab) -> Result<Sample> {
        self.read(lab.launcher.task(lab.client_place(), self.words()))
    }

    /// The same behind these words, which are a program that watches.
    ///
    /// # Errors
    /// If the client fails, or takes too long.
    pub(super) fn run_behind(&self, words: &[OsString], lab: &Lab) -> Result<Sample> {
        self.read(lab.launcher.around(words, &lab.client_place(), &self.words()))
    }

    fn words(&self) -> Vec<OsString> {
        let own: Vec<String> = match self.row {
            _ if self.is_iperf3 => iperf3::client_words(&self.window, self.row.is_in()),
            Row::Rtt => vec!["byte".into()],
            Row::Udp => {
                vec!["datagrams".into(), "--outstanding".into(), self.outstanding.to_string()]
            }
            row if row.is_in() => vec!["bulk".into(), "--send".into()],
            _ => vec!["bulk".into()],
        };
        let window = if self.is_iperf3 { Vec::new() } else { self.window.words() };
        own.into_iter().chain(window).map(Into::into).collect()
    }

    fn read(&self, command: Command) -> Result<Sample> {
        let at_most = self.window.duration() + Duration::from_secs(60);
        if self.is_iperf3 {
            return iperf3::run(&self.window, command, at_most);
        }
        let detail = lab::ask(command, at_most)?;
        let measured = Measured::from_json(&detail)?;
        let rank = |thousandths| measured.latency.rank(thousandths).unwrap_or_default();
        Ok(Sample {
            amount: measured.amount,
            amount_in_all: measured.amount_in_all,
            elapsed_ns: measured.elapsed_ns,
            p50_ns: rank(500),
            p99_ns: rank(990),
            lost: measured.lost,
            drops: 0,
            clocks: measured.clocks,
            detail,
        })
    }
}

/// What came of it.
#[derive(Clone, Debug)]
pub(super) struct Sample {
    /// Bytes, or answers.
    pub(super) amount: u64,
    /// The same from the first to the last, counted or not.
    pub(super) amount_in_all: u64,
    pub(super) elapsed_ns: u64,
    pub(super) p50_ns: u64,
    pub(super) p99_ns: u64,
    /// Datagrams without an answer.
    pub(super) lost: u64,
    /// Frames that interfaces have dropped meanwhile.
    pub(super) drops: u64,
    pub(super) clocks: Reading,
    /// All that the client has said.
    pub(super) detail: Value,
}

impl Sample {
    /// Bits a second in thousands, or answers a second.
    pub(super) fn rate(&self, row: Row) -> u64 {
        let (numerator, unit) = if row.is_bulk() { (8, 1000) } else { (1, 1) };
        let amount = u128::from(self.amount) * numerator * 1_000_000_000;
        u64::try_from(amount / u128::from(self.elapsed_ns.max(1)) / unit).unwrap_or(u64::MAX)
    }

    /// What a time comes to for a gigabyte (10^9), or for an answer, in nanoseconds.
    pub(super) fn share_ns(&self, row: Row, time_ns: u64) -> u64 {
        let unit = if row.is_bulk() { 1_000_000_000 } else { 1 };
        let share = u128::from(time_ns) * unit / u128::from(self.amount.max(1));
        u64::try_from(share).unwrap_or(u64::MAX)
    }

    /// A time as a share of the whole, in per cent.
    pub(super) fn percent(&self, time_ns: u64) -> u64 {
        time_ns.saturating_mul(100) / self.elapsed_ns.max(1)
    }

    /// In a line.
    pub(super) fn in_words(&self, row: Row) -> String {
        let rate = self.rate(row);
        if row.is_bulk() {
            return format!("{}.{} Mbit/s", rate / 1000, rate % 1000 / 100);
        }
        let (p50, p99) = (self.p50_ns / 1000, self.p99_ns / 1000);
        format!("{rate} a second, p50 {p50} us, p99 {p99} us, {} lost", self.lost)
    }

    pub(super) fn to_json(&self) -> Value {
        json!({
            "amount": self.amount,
            "elapsed_ns": self.elapsed_ns,
            "p50_ns": self.p50_ns,
            "p99_ns": self.p99_ns,
            "lost": self.lost,
            "drops": self.drops,
            "clocks": self.clocks.to_json(),
            "client": self.detail,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn amounts_become_rates_and_shares() {
        let sample = Sample {
            amount: 2_500_000_000,
            amount_in_all: 0,
            elapsed_ns: 2_000_000_000,
            p50_ns: 0,
            p99_ns: 0,
            lost: 0,
            drops: 0,
            clocks: Reading::default(),
            detail: Value::Null,
        };
        assert_eq!(sample.in_words(Row::Out), "10000.0 Mbit/s");
        assert_eq!(sample.share_ns(Row::In, 1_000_000_000), 400_000_000);
        assert_eq!(sample.percent(500_000_000), 25);
        let answers = Sample { amount: 100, ..sample };
        assert_eq!((answers.rate(Row::Udp), answers.share_ns(Row::Udp, 700)), (50, 7));
    }
}
