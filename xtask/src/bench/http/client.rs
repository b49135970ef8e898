//! The clients, and what each is told.

use std::ffi::OsString;
use std::net::SocketAddrV4;

use anyhow::{Result, bail};

use super::row::{Load, Row};
use super::wrk;
use crate::bench::contest::{Sample, Turn, warm_up};
use crate::bench::lab::Lab;
use crate::bench::load::http::Plan;
use crate::bench::load::{self, Window};

/// What the client is told.
pub(super) fn plan(turn: &Turn<Row>, address: SocketAddrV4) -> Plan {
    let Turn { row, rate, time, .. } = *turn;
    let watched = turn.watched.clone();
    Plan {
        load: load::Load {
            window: Window { address, warm_up: warm_up(time), time, watched },
            connections: row.connections,
            is_short: row.load == Load::Short,
            rate: rate.filter(|_| row.load == Load::Rate),
        },
        path: "/".into(),
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

    /// Makes requests, behind the words of a program that watches if there are any.
    ///
    /// # Errors
    /// If it cannot, or takes too long.
    pub(super) fn run(self, lab: &Lab, plan: &Plan, behind: Option<&[OsString]>) -> Result<Sample> {
        let words = match self {
            Self::Ours => plan.words(),
            Self::Wrk => wrk::words(plan),
        };
        let command = lab.client(&words, behind);
        match self {
            Self::Ours => Sample::of_requests(command, &plan.load.window),
            Self::Wrk => wrk::run(plan, command),
        }
    }
}
