//! `cargo xtask bench http`: our web server beside nginx, under the same load from the same
//! client.
//!
//! A row is a kind of load. In each round every server has it once, in an order that changes; all
//! of them run all the time, and those that are not asked are idle.

mod nginx;
mod report;
mod row;
mod sample;
mod server;
mod wrk;

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use lexopt::{Arg, Parser, ValueExt};

use super::guest::Wire;
use super::lab::{CallCounter, Lab};
use super::stats::Summary;
use super::{folder, list, machine, number, rounds, save};
use crate::packages::Workspace;
use crate::{explain, unexpected};
use row::{Load, Row};
use sample::{Client, Sample};
use server::{Builds, Candidate, Server};

const USAGE: &str = "\
Usage: cargo xtask bench http [OPTION...]

Our web server and nginx, each with a page of 1 KiB, under the same load from the same client, in
turns. It makes network namespaces of its own, for which it needs root, and leaves none.

  --candidates LIST  which servers, of tap, ring, user, nginx: httpd on a TAP interface, on a TAP
                     interface behind the gateway's ring, behind the user-mode gateway, and nginx.
                     tap,nginx if nothing is said; --server ours and --server nginx are short for
                     tap and nginx alone
  --rows LIST        which loads: keep-N for N connections that stay, short-N for a connection a
                     request, rate-N for half of what the slower server does with N connections.
                     keep-1,keep-64,keep-1000,keep-10000,short-64,rate-64 if nothing is said
  --connections N    short for --rows keep-N,short-N,rate-N
  --seconds N        how long a load goes on, 5 if nothing is said
  --rounds N         how often each server has each load, 5 if nothing is said
  --rate N           requests a second of rate-N
  --client wrk       another client, to compare: keep-N only
  --mem MB           memory of our server, 1536 if nothing is said
  --json FILE        where the samples go, target/bench/http.json if nothing is said";

/// What a Linux that nobody has set up uses.
const CONGESTION: &str = "cubic";
const ROUNDS: u64 = 5;
const ROUNDS_MAX: u64 = 1000;
const SECONDS: u64 = 5;
const SECONDS_MAX: u64 = 3600;
/// Ten thousand connections fit into it.
const MEMORY_MB: u64 = 1536;
/// How long to count system calls, at most, and to find out how fast a server is.
const SHORT_RUN: Duration = Duration::from_secs(2);

/// What is measured how.
#[derive(Debug)]
struct Options {
    candidates: Vec<Candidate>,
    rows: Vec<Row>,
    time: Duration,
    rounds: u64,
    rate: Option<u64>,
    client: Client,
    memory_mb: u64,
    json: Option<PathBuf>,
}

impl Options {
    fn parse(words: &mut Parser) -> Result<Option<Self>> {
        let mut options = Self {
            candidates: vec![Candidate::Httpd(Wire::Tap), Candidate::Nginx],
            rows: Row::all(),
            time: Duration::from_secs(SECONDS),
            rounds: ROUNDS,
            rate: None,
            client: Client::Ours,
            memory_mb: MEMORY_MB,
            json: None,
        };
        while let Some(word) = words.next()? {
            match word {
                Arg::Long("help") | Arg::Short('h') => return Ok(None),
                Arg::Long("candidates") => {
                    options.candidates = list(words, Candidate::parse)?;
                }
                Arg::Long("server") => {
                    let name = words.value()?.string()?;
                    let name = if name == "ours" { "tap" } else { &name };
                    options.candidates = vec![Candidate::parse(name)?];
                }
                Arg::Long("rows") => options.rows = list(words, Row::parse)?,
                Arg::Long("connections") => {
                    options.rows = Row::with_connections(number(words, "--connections")?)?;
                }
                Arg::Long("seconds") => {
                    options.time = Duration::from_secs(number(words, "--seconds")?);
                }
                Arg::Long("rounds") => options.rounds = number(words, "--rounds")?,
                Arg::Long("rate") => options.rate = Some(number(words, "--rate")?),
                Arg::Long("client") => options.client = Client::parse(&words.value()?.string()?)?,
                Arg::Long("mem") => options.memory_mb = number(words, "--mem")?,
                Arg::Long("json") => options.json = Some(words.value()?.into()),
                other => return Err(unexpected(other, "bench http")),
            }
        }
        options.check()?;
        Ok(Some(options))
    }

    fn check(&self) -> Result<()> {
        let (rounds, seconds) = (self.rounds, self.time.as_secs());
        ensure!((1..=ROUNDS_MAX).contains(&rounds), "--rounds is from 1 to {ROUNDS_MAX}");
        ensure!((1..=SECONDS_MAX).contains(&seconds), "--seconds is from 1 to {SECONDS_MAX}");
        ensure!(self.rate != Some(0), "--rate is at least 1");
        let can = self.rows.iter().all(|row| row.load == Load::Keep || self.client == Client::Ours);
        ensure!(can, "wrk makes neither short connections nor a fixed rate: --rows keep-64");
        Ok(())
    }

    /// How long the whole takes, but for starts and what a client waits for.
    fn estimate(&self) -> Duration {
        let runs = self.rounds as u32 * self.candidates.len() as u32 * self.rows.len() as u32;
        (self.time + sample::warm_up(self.time)) * runs
    }
}

/// What one server did under one load.
#[derive(Debug)]
struct Cell {
    row: Row,
    candidate: Candidate,
    /// Requests a second that were asked for.
    rate: Option<u64>,
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
    /// System calls for each answer.
    fn each(&self) -> f64 {
        self.calls as f64 / self.sample.answers_in_all.max(1) as f64
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
    let folder = folder(&ours)?;
    let builds = Builds::make(&ours, &folder, options.memory_mb)?;
    let about = machine::describe(&ours.root);
    let (candidates, left_out) = builds.choose(&lab, &options.candidates);
    ensure!(!candidates.is_empty(), "no server is left:\n{}", left_out.join("\n"));

    eprintln!("about {} s", options.estimate().as_secs());
    let counter = CallCounter::find();
    let mut bench = Bench { options, lab, builds, counter, cells: Vec::new() };
    for row in bench.options.rows.clone() {
        bench.measure(row, &candidates)?;
    }
    let report = bench.report(about, &left_out);
    print!("{}", report.in_words());
    let path = bench.options.json.clone().unwrap_or_else(|| folder.join("http.json"));
    save(&report.to_json(), &path)?;
    Ok(ExitCode::SUCCESS)
}

/// A bench on its way.
struct Bench {
    options: Options,
    lab: Lab,
    builds: Builds,
    counter: Option<CallCounter>,
    cells: Vec<Cell>,
}

impl Bench {
    /// Measures a load in all rounds with all servers, which are started for it.
    fn measure(&mut self, row: Row, candidates: &[Candidate]) -> Result<()> {
        let start = Instant::now();
        let mut cells = Vec::new();
        let mut servers = Vec::new();
        for &candidate in candidates {
            let server = self.builds.start(&self.lab, candidate);
            let failure = server.as_ref().err().map(|reason| format!("{reason:#}"));
            let (samples, calls) = (Vec::new(), None);
            cells.push(Cell { row, candidate, rate: None, samples, calls, failure });
            servers.push(server.ok());
        }
        let rate = match row.load {
            Load::Rate => self.rate(row, &mut servers),
            _ => None,
        };
        cells.iter_mut().for_each(|cell| cell.rate = rate);
        for round in 0..self.options.rounds {
            eprintln!(
                "{row}: round {} of {}, {} s",
                round + 1,
                self.options.rounds,
                start.elapsed().as_secs()
            );
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
        let sample = self.one(cell.row, cell.rate, running, self.options.time);
        match sample {
            Ok(sample) => {
                eprintln!("  {}: {}", cell.candidate.name(), sample.in_words());
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

    /// One run of the client.
    fn one(
        &self,
        row: Row,
        rate: Option<u64>,
        server: &mut Server,
        time: Duration,
    ) -> Result<Sample> {
        let watched = server.family()?;
        let plan = sample::plan(row, rate, server.address, time, watched);
        let drops = self.lab.drops()?;
        let sample = self.options.client.run(&self.lab, &plan);
        server.check()?;
        Ok(Sample { drops: self.lab.drops()?.saturating_sub(drops), ..sample? })
    }

    /// Half of what the slower server can do.
    fn rate(&self, row: Row, servers: &mut [Option<Server>]) -> Option<u64> {
        let row = Row { load: Load::Keep, ..row };
        if self.options.rate.is_some() {
            return self.options.rate;
        }
        let known = self.cells.iter().filter(|cell| cell.row == row && cell.failure.is_none());
        let known: Vec<u64> = known.filter_map(Cell::rate_median).collect();
        let rates = if known.len() == servers.len() {
            known
        } else {
            let attempt = |server: &mut Server| {
                let sample = self.one(row, None, server, SHORT_RUN.min(self.options.time));
                sample.ok().map(|sample| sample.rate())
            };
            servers.iter_mut().flatten().filter_map(attempt).collect()
        };
        rates.into_iter().min().map(|rate| (rate / 2).max(1))
    }

    /// Counts system calls, in a run of its own.
    fn calls(&self, cell: &Cell, server: &mut Server) -> Option<Counted> {
        let counter = self.counter.as_ref()?;
        let count = || -> Result<Counted> {
            let time = SHORT_RUN.min(self.options.time);
            let plan = sample::plan(cell.row, cell.rate, server.address, time, Vec::new());
            let watched = server.family()?;
            let report = self.builds.folder.join("calls.txt");
            let words = counter.words(&watched, &report);
            let sample = self.options.client.run_behind(&words, &self.lab, &plan)?;
            Ok(Counted { calls: counter.read(&report)?, sample })
        };
        let counted = count().context("system calls are not counted");
        counted.inspect_err(|reason| eprintln!("  {}: {reason:#}", cell.candidate.name())).ok()
    }
}

impl Cell {
    /// The middle of the requests a second of all rounds.
    fn rate_median(&self) -> Option<u64> {
        let rates: Vec<u64> = self.samples.iter().map(Sample::rate).collect();
        Summary::of(&rates).map(|summary| summary.median)
    }
}
