//! The clients, and what each is told.

use std::ffi::OsString;
use std::net::SocketAddrV4;
use std::time::Duration;

use anyhow::{Context, Result, bail};

use super::redis_benchmark;
use super::row::{Pace, Row};
use crate::bench::contest::{Sample, Turn, warm_up};
use crate::bench::lab::{self, Lab};
use crate::bench::load::resp::{Command, Plan};
use crate::bench::load::{Load, Outcome, Window};

/// Over how many connections keys are set that have to be there, and how many commands of each are on their
/// way.
const FILL_CONNECTIONS: usize = 50;
const FILL_DEPTH: usize = 16;
/// How long that may take.
const FILL_TIME_OUT: Duration = Duration::from_secs(600);

/// Whom the keys belong to, and of what kind they are.
#[derive(Clone, Copy, Debug)]
pub(super) struct Keys {
    pub(super) count: u64,
    /// Of a value.
    pub(super) value_bytes: usize,
}

/// Who sends the commands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Client {
    /// Our own client.
    Ours,
    /// redis-benchmark, with one thread.
    RedisBenchmark,
}

impl Client {
    /// By its name.
    ///
    /// # Errors
    /// If there is none of that name.
    pub(super) fn parse(name: &str) -> Result<Self> {
        match name {
            "ours" => Ok(Self::Ours),
            "redis-benchmark" => Ok(Self::RedisBenchmark),
            _ => bail!("'{name}' is no client; there are ours, redis-benchmark"),
        }
    }

    /// Whether it can do what a row asks for.
    pub(super) fn can(self, row: Row) -> bool {
        let is_plain = row.pace == Pace::Full && row.command != Command::Mixed;
        self == Self::Ours || is_plain
    }

    /// Sends commands, behind the words of a program that watches if there are any.
    ///
    /// # Errors
    /// If it cannot, or takes too long.
    pub(super) fn run(self, lab: &Lab, plan: &Plan, behind: Option<&[OsString]>) -> Result<Sample> {
        match self {
            Self::Ours => Sample::of_requests(lab.client(&plan.words(), behind), &plan.load.window),
            Self::RedisBenchmark => redis_benchmark::run(lab, plan, behind),
        }
    }
}

/// What the client is told.
pub(super) fn plan(turn: &Turn<Row>, address: SocketAddrV4, keys: Keys) -> Plan {
    let Turn { row, rate, time, round, .. } = *turn;
    let watched = turn.watched.clone();
    Plan {
        load: Load {
            window: Window { address, warm_up: warm_up(time), time, watched },
            connections: row.connections,
            is_short: false,
            rate: rate.filter(|_| row.pace == Pace::Rate),
        },
        command: row.command,
        depth: row.depth,
        keys: keys.count,
        value_bytes: keys.value_bytes,
        seed: round,
        fills: false,
    }
}

/// Sets each key once.
///
/// # Errors
/// If not all could be set.
pub(super) fn fill(
    lab: &Lab,
    address: SocketAddrV4,
    keys: Keys,
    watched: Vec<i32>,
) -> Result<Outcome> {
    let window = Window { address, warm_up: Duration::ZERO, time: FILL_TIME_OUT, watched };
    let plan = Plan {
        load: Load { window, connections: FILL_CONNECTIONS, is_short: false, rate: None },
        command: Command::Set,
        depth: FILL_DEPTH,
        keys: keys.count,
        value_bytes: keys.value_bytes,
        seed: 0,
        fills: true,
    };
    let said = lab::ask(lab.client(&plan.words(), None), 2 * FILL_TIME_OUT);
    Outcome::from_json(&said.context("the store is not filled")?)
}
