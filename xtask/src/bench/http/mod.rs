//! `cargo xtask bench http`: our web server beside nginx, under the same load from the same
//! client.
//!
//! A row is a kind of load.

mod client;
mod nginx;
mod report;
mod row;
mod server;
mod wrk;

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use lexopt::{Arg, Parser, ValueExt};

use super::contest::{self, Cell, Contest, Sample, Trials, Turn};
use super::guest::Wire;
use super::lab::{CallCounter, Lab};
use super::{folder, list, number, save};
use crate::packages::Workspace;
use crate::{explain, unexpected};
use client::Client;
pub(super) use nginx::{prepare_at as nginx_words, program as nginx_program};
use row::{Load, Row};
pub(crate) use server::page;
use server::{Builds, Candidate, Server};

const USAGE: &str = "\
Usage: cargo xtask bench http [OPTION...]

Our web server and nginx, each with a page of 1 KiB, under the same load from the same client, in
turns. It makes network namespaces of its own, for which it needs root, and leaves none.

  --candidates LIST  which servers, of tap, ring, user, nginx, runc, runsc: httpd on a TAP
                     interface, on a TAP interface behind the gateway's ring, behind the user-mode
                     gateway, nginx, and nginx in a container of runc or gVisor. tap,nginx if
                     nothing is said; --server ours and --server nginx are short for tap and nginx
                     alone
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
pub(super) const CONGESTION: &str = "cubic";
const ROUNDS: u64 = 5;
const ROUNDS_MAX: u64 = 1000;
const SECONDS: u64 = 5;
const SECONDS_MAX: u64 = 3600;
/// Ten thousand connections fit into it.
const MEMORY_MB: u64 = 1536;

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
        (self.time + contest::warm_up(self.time)) * runs
    }
}

/// The bench.
///
/// # Errors
/// If something does not build, there is no server, or the namespaces cannot be made.
pub(super) fn main(words: &mut Parser) -> Result<ExitCode> {
    let Some(options) = Options::parse(words)? else { return Ok(explain(USAGE)) };
    let ours = Workspace::ours()?;
    let folder = folder(&ours)?;
    let bench = Bench::prepare(options, &ours, &folder)?;
    let candidates = contest::choose(&bench, &bench.options.candidates)?;

    eprintln!("about {} s", bench.options.estimate().as_secs());
    let results =
        contest::hold(&bench, &ours, &bench.options.rows, candidates, CallCounter::find());
    print!("{}", report::in_words(&bench, &results));
    let path = bench.options.json.clone().unwrap_or_else(|| folder.join("http.json"));
    save(&report::to_json(&bench, &results), &path)?;
    Ok(ExitCode::SUCCESS)
}

/// The same with these words, for a report; system calls are not counted.
///
/// # Errors
/// As [`main`].
pub(crate) fn trials(words: &[&str]) -> Result<Trials> {
    let options = Options::parse(&mut Parser::from_args(words))?.context("help")?;
    let ours = Workspace::ours()?;
    let bench = Bench::prepare(options, &ours, &folder(&ours)?)?;
    let candidates = contest::choose(&bench, &bench.options.candidates)?;
    Ok(contest::hold(&bench, &ours, &bench.options.rows, candidates, None).into_trials())
}

/// A bench on its way.
#[derive(Debug)]
struct Bench {
    options: Options,
    lab: Lab,
    builds: Builds,
}

impl Bench {
    fn prepare(options: Options, ours: &Workspace, folder: &Path) -> Result<Self> {
        let lab = Lab::new(ours, CONGESTION)?;
        let builds = Builds::make(ours, &lab, folder, (&options.candidates, options.memory_mb))?;
        Ok(Self { options, lab, builds })
    }
}

impl Contest for Bench {
    type Row = Row;
    type Candidate = Candidate;
    type Server = Server;

    fn lab(&self) -> &Lab {
        &self.lab
    }

    fn folder(&self) -> &Path {
        &self.builds.folder
    }

    fn name(candidate: Candidate) -> String {
        candidate.name()
    }

    fn rounds(&self, _: Row) -> u64 {
        self.options.rounds
    }

    fn time(&self, _: Row) -> Duration {
        self.options.time
    }

    fn start(&self, _: Row, candidate: Candidate) -> Result<Server> {
        self.builds.start(&self.lab, candidate)
    }

    fn attempt(&self, candidate: Candidate) -> Result<()> {
        self.builds.start(&self.lab, candidate).map(drop)
    }

    fn rate(&self, row: Row, known: &[Cell<Self>], servers: &mut [Option<Server>]) -> Option<u64> {
        if row.load != Load::Rate {
            return None;
        }
        let keep = Row { load: Load::Keep, ..row };
        self.options.rate.or_else(|| contest::half_of_the_slower(self, keep, known, servers))
    }

    fn run(
        &self,
        turn: &Turn<Row>,
        server: &mut Server,
        behind: Option<&[OsString]>,
    ) -> Result<Sample> {
        self.options.client.run(&self.lab, &client::plan(turn, server.address), behind)
    }
}
