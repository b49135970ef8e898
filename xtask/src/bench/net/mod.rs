//! `cargo xtask bench net`: a guest's network beside the kernel's own.
//!
//! A row is something to do with a server. In each round every server has it once, in an order that
//! changes; those that are not asked are idle.

mod iperf3;
mod report;
mod row;
mod sample;
mod server;

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use lexopt::{Arg, Parser};

use super::guest::Wire;
use super::lab::{CallCounter, Lab, Lossy};
use super::{folder, list, machine, number, rounds, save};
use crate::packages::Workspace;
use crate::{explain, unexpected};
use row::Row;
use sample::Sample;
use server::{Builds, Candidate, Server};

const USAGE: &str = "\
Usage: cargo xtask bench net [OPTION...]

The guest inetd, the kernel's own stack, and iperf3, asked for the same by the same client, in
turns. It makes network namespaces of its own, for which it needs root, and leaves none.

  --candidates LIST  which servers, of tap, ring, user, kernel, iperf3: the guest on a TAP interface,
                     on a TAP interface behind the gateway's ring, behind the user-mode gateway; a
                     plain program on the kernel's stack; iperf3, which brings its own client.
                     tap,kernel,iperf3 if nothing is said
  --rows LIST        what is asked for, of out, in (bulk TCP from and to the server), udp (echo of
                     datagrams of 64 bytes), rtt (a byte there and back), lossy-out, lossy-in (bulk
                     TCP over a link that loses 1 % and takes 20 ms there and back); all if nothing
                     is said
  --window N         datagrams on their way at a time, 64 if nothing is said
  --seconds N        how long a row goes on, 5 if nothing is said
  --rounds N         how often each server has each row, 5 if nothing is said
  --lossy-seconds N  the same for the lossy rows, 20 if nothing is said; they have 3 rounds at most
  --mem MB           memory of the guest, 64 if nothing is said
  --buffer KIB       what the guest buffers for a connection, each way, 4096 if nothing is said
  --json FILE        where the samples go, target/bench/net.json if nothing is said";

/// The only one that both ours and every kernel have.
const CONGESTION: &str = "reno";
const ROUNDS: u64 = 5;
const ROUNDS_MAX: u64 = 1000;
/// A lossy row takes long in itself.
const LOSSY_ROUNDS_MAX: u64 = 3;
const SECONDS: u64 = 5;
const LOSSY_SECONDS: u64 = 20;
const SECONDS_MAX: u64 = 3600;
const OUTSTANDING: usize = 64;
const OUTSTANDING_MAX: usize = 10_000;
const MEMORY_MB: u64 = 64;
const BUFFER_KIB: u64 = 4096;
/// How long to count system calls, at most.
const SHORT_RUN: Duration = Duration::from_secs(2);

/// What is measured how.
#[derive(Debug)]
struct Options {
    candidates: Vec<Candidate>,
    rows: Vec<Row>,
    outstanding: usize,
    time: Duration,
    lossy_time: Duration,
    rounds: u64,
    memory_mb: u64,
    buffer_kib: u64,
    json: Option<PathBuf>,
}

impl Options {
    fn parse(words: &mut Parser) -> Result<Option<Self>> {
        let mut options = Self {
            candidates: vec![Candidate::Guest(Wire::Tap), Candidate::Kernel, Candidate::Iperf3],
            rows: Row::ALL.into(),
            outstanding: OUTSTANDING,
            time: Duration::from_secs(SECONDS),
            lossy_time: Duration::from_secs(LOSSY_SECONDS),
            rounds: ROUNDS,
            memory_mb: MEMORY_MB,
            buffer_kib: BUFFER_KIB,
            json: None,
        };
        let seconds = |words: &mut Parser, option| -> Result<Duration> {
            let seconds = number(words, option)?;
            ensure!((1..=SECONDS_MAX).contains(&seconds), "{option} is from 1 to {SECONDS_MAX}");
            Ok(Duration::from_secs(seconds))
        };
        while let Some(word) = words.next()? {
            match word {
                Arg::Long("help") | Arg::Short('h') => return Ok(None),
                Arg::Long("candidates") => options.candidates = list(words, Candidate::parse)?,
                Arg::Long("rows") => options.rows = list(words, Row::parse)?,
                Arg::Long("window") => options.outstanding = number(words, "--window")?,
                Arg::Long("seconds") => options.time = seconds(words, "--seconds")?,
                Arg::Long("lossy-seconds") => {
                    options.lossy_time = seconds(words, "--lossy-seconds")?;
                }
                Arg::Long("rounds") => options.rounds = number(words, "--rounds")?,
                Arg::Long("mem") => options.memory_mb = number(words, "--mem")?,
                Arg::Long("buffer") => options.buffer_kib = number(words, "--buffer")?,
                Arg::Long("json") => options.json = Some(words.value()?.into()),
                other => return Err(unexpected(other, "bench net")),
            }
        }
        let (rounds, window) = (options.rounds, options.outstanding);
        ensure!((1..=ROUNDS_MAX).contains(&rounds), "--rounds is from 1 to {ROUNDS_MAX}");
        ensure!((1..=OUTSTANDING_MAX).contains(&window), "--window is from 1 to {OUTSTANDING_MAX}");
        Ok(Some(options))
    }

    fn time(&self, row: Row) -> Duration {
        if row.is_lossy() { self.lossy_time } else { self.time }
    }

    fn rounds(&self, row: Row) -> u64 {
        if row.is_lossy() { self.rounds.min(LOSSY_ROUNDS_MAX) } else { self.rounds }
    }

    /// How long the whole takes, but for starts.
    fn estimate(&self) -> Duration {
        let row = |&row: &Row| {
            let able = self.candidates.iter().filter(|candidate| candidate.can(row).is_ok());
            let runs = self.rounds(row) as u32 * able.count() as u32;
            (self.time(row) + sample::warm_up(self.time(row))) * runs
        };
        self.rows.iter().map(row).sum()
    }
}

/// What one server did in one row.
#[derive(Debug)]
struct Cell {
    row: Row,
    candidate: Candidate,
    samples: Vec<Sample>,
    /// System calls, counted.
    calls: Option<Counted>,
    /// Why there is nothing more.
    failure: Option<String>,
}

/// How many system calls a server made in a run of its own, and what came of that run.
#[derive(Debug)]
struct Counted {
    calls: u64,
    sample: Sample,
}

impl Counted {
    /// System calls for each byte or answer.
    fn each(&self) -> f64 {
        self.calls as f64 / self.sample.amount_in_all.max(1) as f64
    }

    fn to_json(&self) -> serde_json::Value {
        serde_json::json!({ "calls": self.calls, "sample": self.sample.to_json() })
    }
}

/// The bench.
///
/// # Errors
/// If something does not build, there is no server, or the namespaces cannot be made.
pub(super) fn main(words: &mut Parser) -> Result<ExitCode> {
    let Some(options) = Options::parse(words)? else { return Ok(explain(USAGE)) };
    let ours = Workspace::ours()?;
    let lab = Lab::new(&ours, CONGESTION)?;
    let lossy = Lossy::new(&lab)?;
    let folder = folder(&ours)?;
    let builds = Builds::make(&ours, &folder, options.memory_mb, options.buffer_kib)?;
    let about = machine::describe(&ours.root);
    let (candidates, left_out) = builds.choose(&lab, &options.candidates);
    ensure!(!candidates.is_empty(), "no server is left:\n{}", left_out.join("\n"));

    eprintln!("about {} s", options.estimate().as_secs());
    let counter = CallCounter::find();
    let mut bench = Bench { options, lab, lossy, builds, counter, cells: Vec::new() };
    for row in bench.options.rows.clone() {
        bench.measure(row, &candidates)?;
    }
    let report = bench.report(about, &left_out);
    print!("{}", report.in_words());
    let path = bench.options.json.clone().unwrap_or_else(|| folder.join("net.json"));
    save(&report.to_json(), &path)?;
    Ok(ExitCode::SUCCESS)
}

/// A bench on its way.
struct Bench {
    options: Options,
    lab: Lab,
    lossy: Lossy,
    builds: Builds,
    counter: Option<CallCounter>,
    cells: Vec<Cell>,
}

impl Bench {
    /// Measures a row in all rounds with all servers, which are started for it.
    fn measure(&mut self, row: Row, candidates: &[Candidate]) -> Result<()> {
        let start = Instant::now();
        let segment =
            if row.is_lossy() { self.lossy.segment(&self.lab) } else { self.lab.segment() };
        let mut cells = Vec::new();
        let mut servers = Vec::new();
        for &candidate in candidates {
            let server =
                candidate.can(row).and_then(|()| self.builds.start(&self.lab, &segment, candidate));
            let failure = server.as_ref().err().map(|reason| format!("{reason:#}"));
            cells.push(Cell { row, candidate, samples: Vec::new(), calls: None, failure });
            servers.push(server.ok());
        }
        let rounds = self.options.rounds(row);
        for round in 0..rounds {
            eprintln!("{row}: round {} of {rounds}, {} s", round + 1, start.elapsed().as_secs());
            for at in rounds::order(cells.len(), round) {
                self.sample(&mut cells[at], &mut servers[at], round);
            }
        }
        for (cell, server) in cells.iter_mut().zip(&mut servers) {
            if let (None, Some(server)) = (&cell.failure, server) {
                cell.calls = self.calls(cell, server);
            }
        }
        self.cells.extend(cells);
        Ok(())
    }

    fn sample(&self, cell: &mut Cell, server: &mut Option<Server>, round: u64) {
        let Some(running) = server else { return };
        match self.one(cell.row, running, round) {
            Ok(sample) => {
                eprintln!("  {}: {}", cell.candidate.name(), sample.in_words(cell.row));
                cell.samples.push(sample);
            }
            Err(reason) => {
                let reason = format!("round {}: {reason:#}", round + 1);
                eprintln!("  {}: {reason}", cell.candidate.name());
                cell.failure = Some(reason);
                *server = None;
            }
        }
    }

    /// One run of a client. Whoever comes over the lossy link loses what others in the round lose.
    fn one(&self, row: Row, server: &mut Server, round: u64) -> Result<Sample> {
        let _link = match row.is_lossy() {
            true => {
                Some(self.lossy.start(&self.lab, round, &self.builds.folder.join("link.log"))?)
            }
            false => None,
        };
        let time = self.options.time(row);
        let task = server.task(row, time, self.options.outstanding)?;
        let drops = self.lab.drops()?;
        let sample = task.run(&self.lab);
        server.check()?;
        Ok(Sample { drops: self.lab.drops()?.saturating_sub(drops), ..sample? })
    }

    /// Counts system calls, in a run of its own.
    fn calls(&self, cell: &Cell, server: &mut Server) -> Option<Counted> {
        let counter = self.counter.as_ref().filter(|_| !cell.row.is_lossy())?;
        let count = || -> Result<Counted> {
            let time = SHORT_RUN.min(self.options.time(cell.row));
            let report = self.builds.folder.join("calls.txt");
            let words = counter.words(&server.family()?, &report);
            let task = server.task(cell.row, time, self.options.outstanding)?;
            let sample = task.run_behind(&words, &self.lab)?;
            Ok(Counted { calls: counter.read(&report)?, sample })
        };
        let counted = count().context("system calls are not counted");
        counted.inspect_err(|reason| eprintln!("  {}: {reason:#}", cell.candidate.name())).ok()
    }
}
