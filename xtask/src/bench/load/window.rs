//! When a client counts, and what it has counted: the same for all clients.

use std::net::SocketAddrV4;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use lexopt::Parser;
use serde_json::{Value, json};

use super::histogram::Histogram;
use crate::bench::meter::Reading;
use crate::bench::number;

/// Whom a client asks, and for how long.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Window {
    /// The server.
    pub(crate) address: SocketAddrV4,
    /// How long to go on without counting.
    pub(crate) warm_up: Duration,
    /// How long to count.
    pub(crate) time: Duration,
    /// The server's processes.
    pub(crate) watched: Vec<i32>,
}

impl Window {
    /// None, for a client to fill from its words.
    pub(super) fn empty() -> Self {
        Self {
            address: SocketAddrV4::new([0; 4].into(), 0),
            warm_up: Duration::ZERO,
            time: Duration::from_secs(1),
            watched: Vec::new(),
        }
    }

    /// How long a client takes, but for the connections that it opens.
    pub(crate) fn duration(&self) -> Duration {
        self.warm_up + self.time
    }

    /// The words of a worker.
    pub(crate) fn words(&self) -> Vec<String> {
        let mut words = Vec::new();
        let mut add = |name: &str, value: String| words.extend([format!("--{name}"), value]);
        add("address", self.address.to_string());
        add("warm-up", self.warm_up.as_millis().to_string());
        add("time", self.time.as_millis().to_string());
        self.watched.iter().for_each(|id| add("watch", id.to_string()));
        words
    }

    /// Takes an option in; whether it is one of these.
    pub(super) fn take(&mut self, option: &str, words: &mut Parser) -> Result<bool> {
        match option {
            "address" => self.address = number(words, "--address")?,
            "warm-up" => self.warm_up = Duration::from_millis(number(words, "--warm-up")?),
            "time" => self.time = Duration::from_millis(number(words, "--time")?),
            "watch" => self.watched.push(number(words, "--watch")?),
            _ => return Ok(false),
        }
        Ok(true)
    }

    /// Makes sure that there is a server.
    pub(super) fn check(&self) -> Result<()> {
        ensure!(self.address.port() != 0, "a client needs a server");
        Ok(())
    }

    /// Takes steps, each of a part of a second at most, and counts those of the window.
    ///
    /// # Errors
    /// If a step fails.
    pub(super) fn measure(
        &self,
        mut step: impl FnMut(&mut Tally) -> Result<()>,
    ) -> Result<Measured> {
        let mut go_on_until = |end: Instant| -> Result<Tally> {
            let mut tally = Tally::default();
            while Instant::now() < end {
                step(&mut tally)?;
            }
            Ok(tally)
        };
        let warm_up = go_on_until(Instant::now() + self.warm_up)?;
        let clocks = Reading::take(&self.watched)?;
        let start = Instant::now();
        let tally = go_on_until(start + self.time)?;
        let elapsed = start.elapsed();
        let clocks = Reading::take(&self.watched)?.since(&clocks);
        Ok(Measured {
            amount: tally.amount,
            amount_in_all: tally.amount + warm_up.amount,
            elapsed_ns: u64::try_from(elapsed.as_nanos())?,
            latency: tally.latency,
            lost: tally.lost,
            clocks,
        })
    }
}

/// What is being counted.
#[derive(Debug, Default)]
pub(super) struct Tally {
    /// Bytes, or answers.
    pub(super) amount: u64,
    /// What was sent and not answered.
    pub(super) lost: u64,
    /// How long answers took, in nanoseconds.
    pub(super) latency: Histogram,
}

/// What a client has counted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Measured {
    /// Bytes, or answers.
    pub(crate) amount: u64,
    /// The same from the first to the last, counted or not.
    pub(crate) amount_in_all: u64,
    /// For how long it was counted.
    pub(crate) elapsed_ns: u64,
    /// How long answers took, in nanoseconds.
    pub(crate) latency: Histogram,
    /// What was sent and not answered.
    pub(crate) lost: u64,
    /// Who ran for how long meanwhile.
    pub(crate) clocks: Reading,
}

impl Measured {
    /// What a worker says.
    pub(super) fn to_json(&self) -> Value {
        json!({
            "amount": self.amount,
            "amount_in_all": self.amount_in_all,
            "elapsed_ns": self.elapsed_ns,
            "latency_ns": self.latency.to_json(),
            "lost": self.lost,
            "clocks": self.clocks.to_json(),
        })
    }

    /// Reads what a worker says.
    ///
    /// # Errors
    /// If it is something else.
    pub(crate) fn from_json(value: &Value) -> Result<Self> {
        let number =
            |name: &str| value[name].as_u64().with_context(|| format!("a client says no {name}"));
        Ok(Self {
            amount: number("amount")?,
            amount_in_all: number("amount_in_all")?,
            elapsed_ns: number("elapsed_ns")?,
            latency: Histogram::from_json(&value["latency_ns"])?,
            lost: number("lost")?,
            clocks: Reading::from_json(&value["clocks"])?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_read_as_written() {
        let window = Window {
            address: "10.0.0.1:80".parse().unwrap(),
            warm_up: Duration::from_millis(500),
            time: Duration::from_secs(5),
            watched: vec![7, 9],
        };
        let mut parser = Parser::from_args(window.words());
        let mut read = Window::empty();
        while let Some(lexopt::Arg::Long(name)) = parser.next().unwrap() {
            let name = name.to_owned();
            assert!(read.take(&name, &mut parser).unwrap());
        }
        assert_eq!(read, window);
        assert!(read.check().is_ok() && Window::empty().check().is_err());
    }

    #[test]
    fn only_what_is_in_the_window_counts() {
        let window = Window {
            warm_up: Duration::from_millis(5),
            time: Duration::from_millis(5),
            ..Window::empty()
        };
        let mut steps = 0;
        let measured = window.measure(|tally| {
            steps += 1;
            tally.amount += 2;
            tally.latency.add(3);
            Ok(())
        });
        let measured = measured.unwrap();
        assert_eq!(measured.amount_in_all, 2 * steps);
        assert_eq!(measured.amount, 2 * measured.latency.count());
        assert!(measured.amount < measured.amount_in_all);
        assert_eq!(Measured::from_json(&measured.to_json()).unwrap(), measured);
    }
}
