//! What a client that makes requests tells.

use anyhow::{Context, Result};
use serde_json::{Value, json};

use super::histogram::Histogram;
use crate::bench::meter::Reading;

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
    /// A wrong answer, as it came.
    pub(crate) complaint: Option<String>,
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
    /// Answers that are not right, such as other statuses than 200.
    pub(crate) wrong: u64,
    /// Requests without an answer at the end, long after the last one was made.
    pub(crate) silent: u64,
    /// Requests that were due and not made, as no connection was free.
    pub(crate) late: u64,
}

impl Errors {
    /// All of them.
    pub(crate) fn sum(&self) -> u64 {
        self.connect + self.broken + self.closed + self.wrong + self.silent + self.late
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
                "wrong": self.errors.wrong,
                "silent": self.errors.silent,
                "late": self.errors.late,
            },
            "complaint": self.complaint,
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
                wrong: error("wrong")?,
                silent: error("silent")?,
                late: error("late")?,
            },
            complaint: value["complaint"].as_str().map(str::to_owned),
            clocks: Reading::from_json(&value["clocks"])?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn outcomes_are_read_as_written() {
        let mut outcome = Outcome {
            opened: 1,
            answers: 2,
            elapsed_ns: 3,
            answers_in_all: 4,
            latency: Histogram::default(),
            errors: Errors { connect: 1, broken: 2, closed: 3, wrong: 4, silent: 5, late: 6 },
            complaint: Some("-ERR".into()),
            clocks: Reading { watched_ns: 1, own_ns: 2, busy_ns: 3 },
        };
        outcome.latency.add(7);
        assert_eq!(Outcome::from_json(&outcome.to_json()).unwrap(), outcome);
        assert_eq!(outcome.errors.sum(), 21);
    }
}
