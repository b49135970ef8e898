//! One run of a client against a server.

use std::ffi::OsString;
use std::net::SocketAddrV4;
use std::process::Command;
use std::time::Duration;

use anyhow::{Result, bail};
use serde_json::{Value, json};

use super::row::{Load, Row};
use super::wrk;
use crate::bench::lab::{self, Lab};
use crate::bench::load::{Outcome, Plan, Window};
use crate::bench::meter::Reading;

/// A tenth, at least half a second: first requests find caches empty and windows small.
pub(super) fn warm_up(time: Duration) -> Duration {
    (time / 10).max(Duration::from_millis(500))
}

/// What the client is told.
pub(super) fn plan(
    row: Row,
    rate: Option<u64>,
    address: SocketAddrV4,
    time: Duration,
    watched: Vec<i32>,
) -> Plan {
    Plan {
        window: Window { address, warm_up: warm_up(time), time, watched },
        path: "/".into(),
        connections: row.connections,
        is_short: row.load == Load::Short,
        rate: rate.filter(|_| row.load == Load::Rate),
    }
}

/// Who makes the requests.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Client {
    /// Our own client.
    Ours,
    /// wrk, with one thread.
    Wrk,
}

impl Client {
    /// By its name.
    ///
    /// # Errors
    /// If there is none of that name.
    pub(super) fn parse(name: &str) -> Result<Self> {
        match name {
            "ours" => Ok(Self::Ours),
            "wrk" => Ok(Self::Wrk),
            _ => bail!("'{name}' is no client; there are ours, wrk"),
        }
    }

    /// Makes requests.
    ///
    /// # Errors
    /// If it cannot, or takes too long.
    pub(super) fn run(self, lab: &Lab, plan: &Plan) -> Result<Sample> {
        self.read(plan, lab.launcher.task(lab.client_place(), self.words(plan)))
    }

    /// The same behind these words, which are a program that watches.
    ///
    /// # Errors
    /// If it cannot, or takes too long.
    pub(super) fn run_behind(self, words: &[OsString], lab: &Lab, plan: &Plan) -> Result<Sample> {
        self.read(plan, lab.launcher.around(words, &lab.client_place(), &self.words(plan)))
    }

    fn words(self, plan: &Plan) -> Vec<OsString> {
        let words = match self {
            Self::Ours => plan.words(),
            Self::Wrk => wrk::words(plan),
        };
        words.into_iter().map(Into::into).collect()
    }

    fn read(self, plan: &Plan, command: Command) -> Result<Sample> {
        match self {
            Self::Ours => ours(plan, command),
            Self::Wrk => wrk::run(plan, command),
        }
    }
}

fn ours(plan: &Plan, command: Command) -> Result<Sample> {
    let at_most = plan.window.duration() + Duration::from_secs(60);
    let detail = lab::ask(command, at_most)?;
    let outcome = Outcome::from_json(&detail)?;
    let rank = |thousandths| outcome.latency.rank(thousandths).unwrap_or_default();
    Ok(Sample {
        opened: outcome.opened,
        answers: outcome.answers,
        answers_in_all: outcome.answers_in_all,
        elapsed_ns: outcome.elapsed_ns,
        p50_ns: rank(500),
        p99_ns: rank(990),
        errors: outcome.errors.sum(),
        drops: 0,
        clocks: outcome.clocks,
        detail,
    })
}

/// What came of it.
#[derive(Clone, Debug)]
pub(super) struct Sample {
    /// Connections that were open when it began.
    pub(super) opened: usize,
    pub(super) answers: u64,
    /// Answers from the first to the last, counted or not.
    pub(super) answers_in_all: u64,
    pub(super) elapsed_ns: u64,
    pub(super) p50_ns: u64,
    pub(super) p99_ns: u64,
    pub(super) errors: u64,
    /// Frames that the wire has dropped meanwhile.
    pub(super) drops: u64,
    pub(super) clocks: Reading,
    /// All that the client has said.
    pub(super) detail: Value,
}

impl Sample {
    /// Answers a second.
    pub(super) fn rate(&self) -> u64 {
        let rate = u128::from(self.answers) * 1_000_000_000 / u128::from(self.elapsed_ns.max(1));
        u64::try_from(rate).unwrap_or(u64::MAX)
    }

    /// Time of the server's processes for an answer.
    pub(super) fn server_ns(&self) -> u64 {
        self.clocks.watched_ns / self.answers.max(1)
    }

    /// Time of all processors for an answer.
    pub(super) fn machine_ns(&self) -> u64 {
        self.clocks.busy_ns / self.answers.max(1)
    }

    /// In a line.
    pub(super) fn in_words(&self) -> String {
        let errors = match self.errors {
            0 => String::new(),
            errors => format!(", {errors} errors"),
        };
        let (p50, p99) = (self.p50_ns / 1000, self.p99_ns / 1000);
        format!("{} requests/s, p50 {p50} us, p99 {p99} us{errors}", self.rate())
    }

    pub(super) fn to_json(&self) -> Value {
        json!({
            "opened": self.opened,
            "answers": self.answers,
            "elapsed_ns": self.elapsed_ns,
            "rate": self.rate(),
            "p50_ns": self.p50_ns,
            "p99_ns": self.p99_ns,
            "errors": self.errors,
            "drops": self.drops,
            "clocks": self.clocks.to_json(),
            "client": self.detail,
        })
    }
}
