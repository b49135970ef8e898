//! One run of a client against a server.

use std::process::Command;
use std::time::Duration;

use anyhow::Result;
use serde_json::{Value, json};

use crate::bench::lab;
use crate::bench::load::{Measured, Outcome, Window};
use crate::bench::meter::Reading;

/// What a client may take beyond its time.
const CLIENT_PATIENCE: Duration = Duration::from_secs(60);

/// A tenth, at least half a second: first requests find caches empty and windows small.
pub(crate) fn warm_up(time: Duration) -> Duration {
    (time / 10).max(Duration::from_millis(500))
}

/// What came of it.
#[derive(Clone, Debug)]
pub(crate) struct Sample {
    /// Answers, or bytes.
    pub(crate) amount: u64,
    /// The same from the first to the last, counted or not.
    pub(crate) amount_in_all: u64,
    pub(crate) elapsed_ns: u64,
    pub(crate) p50_ns: u64,
    pub(crate) p99_ns: u64,
    pub(crate) max_ns: u64,
    /// Requests that went wrong, or that nobody answered.
    pub(crate) failed: u64,
    /// Frames that the wire has dropped meanwhile.
    pub(crate) drops: u64,
    pub(crate) clocks: Reading,
    /// All that the client has said.
    pub(crate) detail: Value,
}

impl Sample {
    /// Runs a client that makes requests.
    ///
    /// # Errors
    /// If it fails, or takes too long.
    pub(crate) fn of_requests(command: Command, window: &Window) -> Result<Self> {
        let detail = lab::ask(command, window.duration() + CLIENT_PATIENCE)?;
        let outcome = Outcome::from_json(&detail)?;
        let rank = |thousandths| outcome.latency.rank(thousandths).unwrap_or_default();
        Ok(Self {
            amount: outcome.answers,
            amount_in_all: outcome.answers_in_all,
            elapsed_ns: outcome.elapsed_ns,
            p50_ns: rank(500),
            p99_ns: rank(990),
            max_ns: rank(1000),
            failed: outcome.errors.sum(),
            drops: 0,
            clocks: outcome.clocks,
            detail,
        })
    }

    /// Runs a client that moves bytes, or sends them back and forth.
    ///
    /// # Errors
    /// If it fails, or takes too long.
    pub(crate) fn of_transfers(command: Command, window: &Window) -> Result<Self> {
        let detail = lab::ask(command, window.duration() + CLIENT_PATIENCE)?;
        let measured = Measured::from_json(&detail)?;
        let rank = |thousandths| measured.latency.rank(thousandths).unwrap_or_default();
        Ok(Self {
            amount: measured.amount,
            amount_in_all: measured.amount_in_all,
            elapsed_ns: measured.elapsed_ns,
            p50_ns: rank(500),
            p99_ns: rank(990),
            max_ns: rank(1000),
            failed: measured.lost,
            drops: 0,
            clocks: measured.clocks,
            detail,
        })
    }

    /// What was only counted, without a client.
    pub(crate) fn of_counts(amount: u64, elapsed_ns: u64, clocks: Reading) -> Self {
        Self {
            amount,
            amount_in_all: amount,
            elapsed_ns,
            p50_ns: 0,
            p99_ns: 0,
            max_ns: 0,
            failed: 0,
            drops: 0,
            clocks,
            detail: Value::Null,
        }
    }

    /// Answers a second.
    pub(crate) fn rate(&self) -> u64 {
        let rate = u128::from(self.amount) * 1_000_000_000 / u128::from(self.elapsed_ns.max(1));
        u64::try_from(rate).unwrap_or(u64::MAX)
    }

    /// Time of the server's processes for an answer.
    pub(crate) fn server_ns(&self) -> u64 {
        self.clocks.watched_ns / self.amount.max(1)
    }

    /// Time of all processors for an answer.
    pub(crate) fn machine_ns(&self) -> u64 {
        self.clocks.busy_ns / self.amount.max(1)
    }

    /// A time as a share of the whole, in per cent.
    pub(crate) fn percent(&self, time_ns: u64) -> u64 {
        time_ns.saturating_mul(100) / self.elapsed_ns.max(1)
    }

    /// In a line.
    pub(crate) fn in_words(&self) -> String {
        let failed = match self.failed {
            0 => String::new(),
            failed => format!(", {failed} failed"),
        };
        let (p50, p99) = (self.p50_ns / 1000, self.p99_ns / 1000);
        format!("{} answers/s, p50 {p50} us, p99 {p99} us{failed}", self.rate())
    }

    /// As JSON.
    pub(crate) fn to_json(&self) -> Value {
        json!({
            "amount": self.amount,
            "elapsed_ns": self.elapsed_ns,
            "rate": self.rate(),
            "p50_ns": self.p50_ns,
            "p99_ns": self.p99_ns,
            "max_ns": self.max_ns,
            "failed": self.failed,
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
            amount: 100,
            amount_in_all: 0,
            elapsed_ns: 2_000_000_000,
            p50_ns: 1000,
            p99_ns: 2000,
            max_ns: 3000,
            failed: 2,
            drops: 0,
            clocks: Reading { watched_ns: 700, own_ns: 0, busy_ns: 900 },
            detail: Value::Null,
        };
        assert_eq!((sample.rate(), sample.server_ns(), sample.machine_ns()), (50, 7, 9));
        assert_eq!(sample.percent(500_000_000), 25);
        assert_eq!(sample.in_words(), "50 answers/s, p50 1 us, p99 2 us, 2 failed");
    }
}
