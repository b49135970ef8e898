//! What the HTTP client is told, and what it tells.

use anyhow::{Context, Result, ensure};
use lexopt::{Arg, Parser, ValueExt};
use serde_json::{Value, json};

use super::histogram::Histogram;
use super::window::Window;
use crate::bench::meter::Reading;
use crate::bench::number;
use crate::unexpected;

/// What to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Plan {
    /// Whom to ask, and for how long.
    pub(crate) window: Window,
    /// What to ask for.
    pub(crate) path: String,
    /// Connections at a time.
    pub(crate) connections: usize,
    /// Whether each request has a connection of its own.
    pub(crate) is_short: bool,
    /// Requests a second, all connections together; as many as possible if there is none.
    pub(crate) rate: Option<u64>,
}

impl Plan {
    /// The words of a worker.
    pub(crate) fn words(&self) -> Vec<String> {
        let mut words = vec!["http".to_owned()];
        words.extend(self.window.words());
        words.extend(["--path".to_owned(), self.path.clone()]);
        words.extend(["--connections".to_owned(), self.connections.to_string()]);
        words.extend(self.rate.iter().flat_map(|rate| ["--rate".to_owned(), rate.to_string()]));
        words.extend(self.is_short.then(|| "--short".to_owned()));
        words
    }

    /// Reads them, behind the first.
    pub(super) fn parse(words: &mut Parser) -> Result<Self> {
        let mut plan = Self {
            window: Window::empty(),
            path: "/".into(),
            connections: 1,
            is_short: false,
            rate: None,
        };
        while let Some(word) = words.next()? {
            match word {
                Arg::Long("path") => plan.path = words.value()?.string()?,
                Arg::Long("connections") => plan.connections = number(words, "--connections")?,
                Arg::Long("rate") => plan.rate = Some(number(words, "--rate")?),
                Arg::Long("short") => plan.is_short = true,
                Arg::Long(name) => {
                    let name = name.to_owned();
                    ensure!(plan.window.take(&name, words)?, "a client has no --{name}");
                }
                other => return Err(unexpected(other, "bench")),
            }
        }
        plan.window.check()?;
        ensure!(plan.connections > 0, "a client without connections");
        Ok(plan)
    }
}

/// What came out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Outcome {
    /// Connections that were open when it began.
    pub(crate) opened: usize,
    /// Answers that were counted.
    pub(crate) answers: u64,
    /// For how long they were counted.
    pub(crate) elapsed_ns: u64,
    /// Answers from the first to the last, counted or not.
    pub(crate) answers_in_all: u64,
    /// How long the counted ones took, in nanoseconds.
    pub(crate) latency: Histogram,
    /// What went wrong how often, all the time.
    pub(crate) errors: Errors,
    /// Who ran for how long while it was counted.
    pub(crate) clocks: Reading,
}

/// What can go wrong, and how often it did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Errors {
    /// Connections that could not be opened.
    pub(crate) connect: u64,
    /// Connections that broke with a request on its way.
    pub(crate) broken: u64,
    /// Connections that were to stay and were closed, between two requests.
    pub(crate) closed: u64,
    /// Answers other than 200.
    pub(crate) status: u64,
    /// Requests without an answer at the end, long after the last one was made.
    pub(crate) silent: u64,
    /// Requests that were due and not made, as no connection was free.
    pub(crate) late: u64,
}

impl Errors {
    /// All of them.
    pub(crate) fn sum(&self) -> u64 {
        self.connect + self.broken + self.closed + self.status + self.silent + self.late
    }
}

impl Outcome {
    /// What a worker says.
    pub(super) fn to_json(&self) -> Value {
        json!({
            "opened": self.opened,
            "answers": self.answers,
            "elapsed_ns": self.elapsed_ns,
            "answers_in_all": self.answers_in_all,
            "latency_ns": self.latency.to_json(),
            "errors": {
                "connect": self.errors.connect,
                "broken": self.errors.broken,
                "closed": self.errors.closed,
                "status": self.errors.status,
                "silent": self.errors.silent,
                "late": self.errors.late,
            },
            "clocks": self.clocks.to_json(),
        })
    }

    /// Reads what a worker says.
    ///
    /// # Errors
    /// If it is something else.
    pub(crate) fn from_json(value: &Value) -> Result<Self> {
        let of = |value: &Value, name: &str| {
            value[name].as_u64().with_context(|| format!("a client says no {name}"))
        };
        let error = |name| of(&value["errors"], name);
        Ok(Self {
            opened: usize::try_from(of(value, "opened")?)?,
            answers: of(value, "answers")?,
            elapsed_ns: of(value, "elapsed_ns")?,
            answers_in_all: of(value, "answers_in_all")?,
            latency: Histogram::from_json(&value["latency_ns"])?,
            errors: Errors {
                connect: error("connect")?,
                broken: error("broken")?,
                closed: error("closed")?,
                status: error("status")?,
                silent: error("silent")?,
                late: error("late")?,
            },
            clocks: Reading::from_json(&value["clocks"])?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn plans_and_outcomes_are_read_as_written() {
        let plan = Plan {
            window: Window {
                address: "10.0.0.1:80".parse().unwrap(),
                warm_up: Duration::from_millis(500),
                time: Duration::from_secs(5),
                watched: vec![7],
            },
            path: "/page".into(),
            connections: 64,
            is_short: true,
            rate: Some(1000),
        };
        let mut words = Parser::from_args(plan.words());
        words.next().unwrap();
        assert_eq!(Plan::parse(&mut words).unwrap(), plan);

        let mut outcome = Outcome {
            opened: 1,
            answers: 2,
            elapsed_ns: 3,
            answers_in_all: 4,
            latency: Histogram::default(),
            errors: Errors { connect: 1, broken: 2, closed: 3, status: 4, silent: 5, late: 6 },
            clocks: Reading { watched_ns: 1, own_ns: 2, busy_ns: 3 },
        };
        outcome.latency.add(7);
        assert_eq!(Outcome::from_json(&outcome.to_json()).unwrap(), outcome);
        assert_eq!(outcome.errors.sum(), 21);
    }
}
