//! A contest: several servers do the same for the same client, in turns. All of them run all the time, in
//! each round every one has its turn, in an order that changes, and those that are not asked are idle.
//!
//! What is asked for in a row, who the servers are, and how a client is run is the bench's own matter.

mod report;
mod sample;

use std::ffi::OsString;
use std::fmt;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use serde_json::Value;

pub(super) use report::{answer_heads, answer_row, machine_line};
pub(crate) use sample::Sample;
pub(super) use sample::warm_up;

use super::lab::{CallCounter, Lab, Program};
use super::stats::Summary;
use super::{machine, rounds};
use crate::packages::Workspace;

/// How long to count system calls, at most, and to find out how fast a server is.
pub(super) const SHORT_RUN: Duration = Duration::from_secs(2);

/// A bench of this kind.
pub(super) trait Contest {
    /// Something to ask for.
    type Row: Copy + fmt::Display;
    /// Something that is asked.
    type Candidate: Copy;
    /// One that runs.
    type Server: AsMut<Program>;

    /// Where it takes place.
    fn lab(&self) -> &Lab;

    /// Where files go.
    fn folder(&self) -> &Path;

    /// A candidate's name in a table.
    fn name(candidate: Self::Candidate) -> String;

    /// How often each has its turn.
    fn rounds(&self, row: Self::Row) -> u64;

    /// How long a turn takes.
    fn time(&self, row: Self::Row) -> Duration;

    /// Starts a server.
    ///
    /// # Errors
    /// If it cannot, or has no such row.
    fn start(&self, row: Self::Row, candidate: Self::Candidate) -> Result<Self::Server>;

    /// Finds out whether a candidate works here at all.
    ///
    /// # Errors
    /// If not: why.
    fn attempt(&self, candidate: Self::Candidate) -> Result<()>;

    /// Requests a second for this row, of these servers; as many as possible if there is no number. What is
    /// known are earlier rows.
    fn rate(
        &self,
        _row: Self::Row,
        _known: &[Cell<Self>],
        _servers: &mut [Option<Self::Server>],
    ) -> Option<u64> {
        None
    }

    /// Runs a client, behind the words of a program that watches if there are any.
    ///
    /// # Errors
    /// If it fails.
    fn run(
        &self,
        turn: &Turn<Self::Row>,
        server: &mut Self::Server,
        behind: Option<&[OsString]>,
    ) -> Result<Sample>;

    /// Whether system calls are counted.
    fn counts_calls(_row: Self::Row) -> bool {
        true
    }

    /// What came of a turn, in a line.
    fn in_words(_row: Self::Row, sample: &Sample) -> String {
        sample.in_words()
    }
}

/// What a client is to do.
#[derive(Clone, Debug)]
pub(super) struct Turn<R> {
    pub(super) row: R,
    /// Requests a second that are asked for.
    pub(super) rate: Option<u64>,
    pub(super) time: Duration,
    pub(super) round: u64,
    /// The server's processes.
    pub(super) watched: Vec<i32>,
}

/// What one server did in one row.
#[derive(Debug)]
pub(super) struct Cell<C: Contest + ?Sized> {
    pub(super) row: C::Row,
    pub(super) candidate: C::Candidate,
    /// Requests a second that were asked for.
    pub(super) rate: Option<u64>,
    pub(super) samples: Vec<Sample>,
    /// System calls, counted.
    pub(super) calls: Option<Counted>,
    /// Why there is nothing more.
    pub(super) failure: Option<String>,
}

impl<C: Contest + ?Sized> Cell<C> {
    /// The middle of the answers a second of all rounds.
    pub(super) fn rate_median(&self) -> Option<u64> {
        let rates: Vec<u64> = self.samples.iter().map(Sample::rate).collect();
        Summary::of(&rates).map(|summary| summary.median)
    }
}

/// How many system calls a server made in a run of its own, and what came of that run.
#[derive(Debug)]
pub(super) struct Counted {
    calls: u64,
    sample: Sample,
}

impl Counted {
    /// System calls for each byte or answer.
    pub(super) fn each(&self) -> f64 {
        self.calls as f64 / self.sample.amount_in_all.max(1) as f64
    }
}

/// What came of a contest.
pub(super) struct Results<C: Contest> {
    pub(super) cells: Vec<Cell<C>>,
    about: Value,
    left_out: Vec<String>,
    counter: Option<CallCounter>,
}

/// What a contest has come to, in words and numbers that mean the same in all of them.
pub(crate) struct Trials {
    /// Row by row.
    pub(crate) trials: Vec<Trial>,
    /// Who was left out or failed, and whether the machine was quiet.
    pub(crate) remarks: Vec<String>,
}

/// What one server did in one row.
pub(crate) struct Trial {
    /// The row's name.
    pub(crate) row: String,
    /// The server's name.
    pub(crate) candidate: String,
    /// Each round.
    pub(crate) samples: Vec<Sample>,
}

impl<C: Contest> Results<C> {
    /// Without what is particular to this contest.
    pub(super) fn into_trials(self) -> Trials {
        let remarks = self.troubles();
        let trial = |cell: Cell<C>| Trial {
            row: cell.row.to_string(),
            candidate: C::name(cell.candidate),
            samples: cell.samples,
        };
        Trials { trials: self.cells.into_iter().map(trial).collect(), remarks }
    }
}

/// Those of the candidates that work here, and in words why others do not.
///
/// # Errors
/// If none does.
pub(super) fn choose<C: Contest>(
    contest: &C,
    candidates: &[C::Candidate],
) -> Result<(Vec<C::Candidate>, Vec<String>)> {
    let (mut chosen, mut left_out) = (Vec::new(), Vec::new());
    for &candidate in candidates {
        match contest.attempt(candidate) {
            Ok(()) => chosen.push(candidate),
            Err(reason) => left_out.push(format!("{} is left out: {reason:#}", C::name(candidate))),
        }
    }
    ensure!(!chosen.is_empty(), "no server is left:\n{}", left_out.join("\n"));
    Ok((chosen, left_out))
}

/// Holds it: all rows with all candidates that work here. System calls are counted if there is a way.
pub(super) fn hold<C: Contest>(
    contest: &C,
    ours: &Workspace,
    rows: &[C::Row],
    (candidates, left_out): (Vec<C::Candidate>, Vec<String>),
    counter: Option<CallCounter>,
) -> Results<C> {
    let about = machine::describe(&ours.root);
    let mut results = Results { cells: Vec::new(), about, left_out, counter };
    for &row in rows {
        let cells = measure(contest, row, &candidates, &results);
        results.cells.extend(cells);
    }
    results
}

/// Measures a row in all rounds with all servers, which are started for it.
fn measure<C: Contest>(
    contest: &C,
    row: C::Row,
    candidates: &[C::Candidate],
    results: &Results<C>,
) -> Vec<Cell<C>> {
    let start = Instant::now();
    let (mut cells, mut servers) = (Vec::new(), Vec::new());
    for &candidate in candidates {
        let server = contest.start(row, candidate);
        let failure = server.as_ref().err().map(|reason| format!("{reason:#}"));
        let (samples, calls) = (Vec::new(), None);
        cells.push(Cell { row, candidate, rate: None, samples, calls, failure });
        servers.push(server.ok());
    }
    let rate = contest.rate(row, &results.cells, &mut servers);
    cells.iter_mut().for_each(|cell: &mut Cell<C>| cell.rate = rate);
    let rounds = contest.rounds(row);
    for round in 0..rounds {
        eprintln!("{row}: round {} of {rounds}, {} s", round + 1, start.elapsed().as_secs());
        for at in rounds::order(cells.len(), round) {
            sample(contest, &mut cells[at], &mut servers[at], round);
        }
    }
    for (cell, server) in cells.iter_mut().zip(&mut servers) {
        if let (None, Some(server), Some(counter)) = (&cell.failure, server, &results.counter) {
            cell.calls = count_calls(contest, cell, server, counter);
        }
    }
    cells
}

fn sample<C: Contest>(contest: &C, cell: &mut Cell<C>, server: &mut Option<C::Server>, round: u64) {
    let Some(running) = server else { return };
    let name = C::name(cell.candidate);
    match one(contest, (cell.row, cell.rate), running, (contest.time(cell.row), round)) {
        Ok(sample) => {
            eprintln!("  {name}: {}", C::in_words(cell.row, &sample));
            cell.samples.push(sample);
        }
        Err(reason) => {
            let reason = format!("round {}: {reason:#}", round + 1);
            eprintln!("  {name}: {reason}");
            cell.failure = Some(reason);
            *server = None;
        }
    }
}

/// One run of the client.
///
/// # Errors
/// If it fails, or the server has ended.
pub(super) fn one<C: Contest>(
    contest: &C,
    (row, rate): (C::Row, Option<u64>),
    server: &mut C::Server,
    (time, round): (Duration, u64),
) -> Result<Sample> {
    let watched = server.as_mut().family()?;
    let drops = contest.lab().drops()?;
    let sample = contest.run(&Turn { row, rate, time, round, watched }, server, None);
    server.as_mut().check()?;
    Ok(Sample { drops: contest.lab().drops()?.saturating_sub(drops), ..sample? })
}

/// Counts system calls, in a run of its own.
fn count_calls<C: Contest>(
    contest: &C,
    cell: &Cell<C>,
    server: &mut C::Server,
    counter: &CallCounter,
) -> Option<Counted> {
    let (row, rate) = (cell.row, cell.rate);
    if !C::counts_calls(row) {
        return None;
    }
    let mut count = || -> Result<Counted> {
        let report = contest.folder().join("calls.txt");
        let words = counter.words(&server.as_mut().family()?, &report);
        let time = SHORT_RUN.min(contest.time(row));
        let turn = Turn { row, rate, time, round: 0, watched: Vec::new() };
        let sample = contest.run(&turn, server, Some(&words))?;
        Ok(Counted { calls: counter.read(&report)?, sample })
    };
    let counted = count().context("system calls are not counted");
    counted.inspect_err(|reason| eprintln!("  {}: {reason:#}", C::name(cell.candidate))).ok()
}

/// Half of what the slower server can do: in the row with as many requests as possible if it was measured, or
/// else in a short run.
pub(super) fn half_of_the_slower<C: Contest>(
    contest: &C,
    row: C::Row,
    known: &[Cell<C>],
    servers: &mut [Option<C::Server>],
) -> Option<u64>
where
    C::Row: PartialEq,
{
    let known = known.iter().filter(|cell| cell.row == row && cell.failure.is_none());
    let known: Vec<u64> = known.filter_map(Cell::rate_median).collect();
    let rates = if known.len() == servers.len() {
        known
    } else {
        let attempt = |server: &mut C::Server| {
            let time = SHORT_RUN.min(contest.time(row));
            one(contest, (row, None), server, (time, 0)).ok().map(|sample| sample.rate())
        };
        servers.iter_mut().flatten().filter_map(attempt).collect()
    };
    rates.into_iter().min().map(|rate| (rate / 2).max(1))
}
