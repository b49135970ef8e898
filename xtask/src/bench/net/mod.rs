//! `cargo xtask bench net`: a guest's network beside the kernel's own.
//!
//! A row is something to do with a server.

mod iperf3;
mod report;
mod row;
mod server;
mod task;
mod unit;

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use lexopt::{Arg, Parser};

use super::contest::{self, Contest, Sample, Trials, Turn};
use super::guest::Wire;
use super::lab::{CallCounter, Lab, Lossy};
use super::{folder, list, number, save};
use crate::packages::Workspace;
use crate::{explain, unexpected};
use row::Row;
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
            (self.time(row) + contest::warm_up(self.time(row))) * runs
        };
        self.rows.iter().map(row).sum()
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
    let path = bench.options.json.clone().unwrap_or_else(|| folder.join("net.json"));
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
    lossy: Lossy,
    builds: Builds,
}

impl Bench {
    fn prepare(options: Options, ours: &Workspace, folder: &Path) -> Result<Self> {
        let lab = Lab::new(ours, CONGESTION)?;
        let lossy = Lossy::new(&lab)?;
        let builds = Builds::make(ours, folder, options.memory_mb, options.buffer_kib)?;
        Ok(Self { options, lab, lossy, builds })
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

    fn rounds(&self, row: Row) -> u64 {
        self.options.rounds(row)
    }

    fn time(&self, row: Row) -> Duration {
        self.options.time(row)
    }

    fn start(&self, row: Row, candidate: Candidate) -> Result<Server> {
        candidate.can(row)?;
        let segment =
            if row.is_lossy() { self.lossy.segment(&self.lab) } else { self.lab.segment() };
        self.builds.start(&self.lab, &segment, candidate)
    }

    fn attempt(&self, candidate: Candidate) -> Result<()> {
        self.builds.start(&self.lab, &self.lab.segment(), candidate).map(drop)
    }

    /// Whoever comes over the lossy link loses what others in the round lose.
    fn run(
        &self,
        turn: &Turn<Row>,
        server: &mut Server,
        behind: Option<&[OsString]>,
    ) -> Result<Sample> {
        let _link = match turn.row.is_lossy() {
            true => {
                let log = self.builds.folder.join("link.log");
                Some(self.lossy.start(&self.lab, turn.round, &log)?)
            }
            false => None,
        };
        server.task(turn, self.options.outstanding).run(&self.lab, behind)
    }

    fn counts_calls(row: Row) -> bool {
        !row.is_lossy()
    }

    fn in_words(row: Row, sample: &Sample) -> String {
        unit::in_words(row, sample)
    }
}
