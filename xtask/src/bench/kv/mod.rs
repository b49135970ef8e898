//! `cargo xtask bench kv`: our key-value store beside Redis, under the same load from the same client.
//!
//! A row is a kind of load, all in memory or with a log that is on the disk before there is an answer. Memory and
//! starts are measured beside the rows, one store at a time.

mod ask;
mod client;
mod memory;
mod redis;
mod redis_benchmark;
mod report;
mod row;
mod server;
mod start;

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
use client::{Client, Keys};
use memory::Memory;
pub(super) use redis::{program as redis_program, words_on_loopback as redis_words};
use report::Report;
use row::{Pace, Row};
use server::{Builds, Candidate, Server, Storage};
use start::Starts;

const USAGE: &str = "\
Usage: cargo xtask bench kv [OPTION...]

Our key-value store and Redis, a process each, under the same load from the same client, in turns.
It makes network namespaces of its own, for which it needs root, and leaves none.

  --candidates LIST  which stores, of tap, ring, user, redis, runc, runsc: kv on a TAP interface, on
                     a TAP interface behind the gateway's ring, behind the user-mode gateway, Redis,
                     and Redis in a container of runc or gVisor, which keeps nothing on a disk.
                     tap,redis if nothing is said
  --rows LIST        which loads: [rate-|sync-]COMMAND-N[-pDEPTH][-kKEYS], where COMMAND is get, set,
                     incr, lpush, or mixed (one set for nine gets); N connections, each with DEPTH
                     commands on their way; rate: half of what the slower store does; sync: on the
                     disk before there is an answer. Besides: size, the cost of get and set among
                     more and more keys; memory, what --fill keys take; start, how long a store
                     with --fill keys on the disk takes to its first answer. All of the usual ones
                     if nothing is said
  --keys N           keys that are there, 100000 if nothing is said
  --bytes N          bytes of a value, 3 if nothing is said
  --sizes LIST       keys of size, 10000,100000,1000000,10000000 if nothing is said
  --fill N           keys of memory and start, 1000000 if nothing is said
  --seconds N        how long a load goes on, 5 if nothing is said
  --rounds N         how often each store has each load, 5 if nothing is said
  --rate N           commands a second of rate
  --client redis-benchmark  another client, to compare; neither rate nor mixed
  --mem MB           memory of our store, 4096 if nothing is said
  --json FILE        where the samples go, target/bench/kv.json if nothing is said";

/// What a Linux that nobody has set up uses.
const CONGESTION: &str = "cubic";
const ROUNDS: u64 = 5;
const ROUNDS_MAX: u64 = 1000;
const SECONDS: u64 = 5;
const SECONDS_MAX: u64 = 3600;
/// Ten million small keys fit into it.
const MEMORY_MB: u64 = 4096;
const KEYS: Keys = Keys { count: 100_000, value_bytes: 3 };
const VALUE_BYTES_MAX: usize = 1 << 20;
const FILL: u64 = 1_000_000;
const SIZES: [u64; 4] = [10_000, 100_000, 1_000_000, 10_000_000];

/// What can be asked for by `--rows`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Item {
    Load(Row),
    Size,
    Memory,
    Start,
}

impl Item {
    fn parse(name: &str) -> Result<Self> {
        match name {
            "size" => Ok(Self::Size),
            "memory" => Ok(Self::Memory),
            "start" => Ok(Self::Start),
            name => Row::parse(name).map(Self::Load),
        }
    }
}

/// What is measured how.
#[derive(Debug)]
struct Options {
    candidates: Vec<Candidate>,
    items: Vec<Item>,
    keys: Keys,
    sizes: Vec<u64>,
    fill: u64,
    time: Duration,
    rounds: u64,
    rate: Option<u64>,
    client: Client,
    memory_mb: u64,
    json: Option<PathBuf>,
}

impl Options {
    fn parse(words: &mut Parser) -> Result<Option<Self>> {
        let usual = Row::USUAL.iter().map(|name| Item::parse(name));
        let mut options = Self {
            candidates: vec![Candidate::Kv(Wire::Tap), Candidate::Redis],
            items: usual
                .chain([Item::Size, Item::Memory, Item::Start].map(Ok))
                .collect::<Result<_>>()?,
            keys: KEYS,
            sizes: SIZES.into(),
            fill: FILL,
            time: Duration::from_secs(SECONDS),
            rounds: ROUNDS,
            rate: None,
            client: Client::Ours,
            memory_mb: MEMORY_MB,
            json: None,
        };
        let mut names_rows = false;
        while let Some(word) = words.next()? {
            match word {
                Arg::Long("help") | Arg::Short('h') => return Ok(None),
                Arg::Long("candidates") => options.candidates = list(words, Candidate::parse)?,
                Arg::Long("rows") => {
                    options.items = list(words, Item::parse)?;
                    names_rows = true;
                }
                Arg::Long("keys") => options.keys.count = number(words, "--keys")?,
                Arg::Long("bytes") => options.keys.value_bytes = number(words, "--bytes")?,
                Arg::Long("sizes") => options.sizes = list(words, size)?,
                Arg::Long("fill") => options.fill = number(words, "--fill")?,
                Arg::Long("seconds") => {
                    options.time = Duration::from_secs(number(words, "--seconds")?);
                }
                Arg::Long("rounds") => options.rounds = number(words, "--rounds")?,
                Arg::Long("rate") => options.rate = Some(number(words, "--rate")?),
                Arg::Long("client") => options.client = Client::parse(&words.value()?.string()?)?,
                Arg::Long("mem") => options.memory_mb = number(words, "--mem")?,
                Arg::Long("json") => options.json = Some(words.value()?.into()),
                other => return Err(unexpected(other, "bench kv")),
            }
        }
        options.check(names_rows)?;
        Ok(Some(options))
    }

    /// Refuses what cannot be. What another client cannot is only a mistake if it was asked for by name.
    fn check(&mut self, names_rows: bool) -> Result<()> {
        let (rounds, seconds) = (self.rounds, self.time.as_secs());
        ensure!((1..=ROUNDS_MAX).contains(&rounds), "--rounds is from 1 to {ROUNDS_MAX}");
        ensure!((1..=SECONDS_MAX).contains(&seconds), "--seconds is from 1 to {SECONDS_MAX}");
        ensure!(self.rate != Some(0), "--rate is at least 1");
        ensure!(self.keys.count > 0 && self.fill > 0, "--keys and --fill are at least 1");
        let bytes = self.keys.value_bytes;
        ensure!(bytes <= VALUE_BYTES_MAX, "--bytes is at most {VALUE_BYTES_MAX}");
        let client = self.client;
        let can = |item: &Item| !matches!(item, Item::Load(row) if !client.can(*row));
        ensure!(
            !names_rows || self.items.iter().all(can),
            "redis-benchmark has neither a fixed rate nor mixed commands"
        );
        self.items.retain(can);
        Ok(())
    }

    /// The loads, in order.
    fn rows(&self) -> Vec<Row> {
        let loads = self.items.iter().flat_map(|item| match item {
            Item::Load(row) => vec![*row],
            Item::Size => self.sizes.iter().flat_map(|&keys| Row::of_size(keys)).collect(),
            Item::Memory | Item::Start => Vec::new(),
        });
        loads.collect()
    }

    /// The keys of a load.
    fn keys(&self, row: Row) -> Keys {
        Keys { count: row.keys.unwrap_or(self.keys.count), ..self.keys }
    }

    /// The keys of what is no load.
    fn filling(&self) -> Keys {
        Keys { count: self.fill, ..self.keys }
    }

    /// How long the loads take, but for starts and keys that are set before.
    fn estimate(&self) -> Duration {
        let runs = self.rounds as u32 * self.candidates.len() as u32 * self.rows().len() as u32;
        (self.time + contest::warm_up(self.time)) * runs
    }
}

fn size(text: &str) -> Result<u64> {
    let size = text.parse().ok().filter(|size| *size > 0);
    size.with_context(|| format!("--sizes: '{text}' is no number of keys"))
}

/// The bench.
///
/// # Errors
/// If something does not build, there is no store, or the namespaces cannot be made.
pub(super) fn main(words: &mut Parser) -> Result<ExitCode> {
    let Some(options) = Options::parse(words)? else { return Ok(explain(USAGE)) };
    let ours = Workspace::ours()?;
    let folder = folder(&ours)?;
    let bench = Bench::prepare(options, &ours, &folder)?;
    let (candidates, left_out) = contest::choose(&bench, &bench.options.candidates)?;

    eprintln!("the loads take about {} s", bench.options.estimate().as_secs());
    let has = |item| bench.options.items.contains(&item);
    let filling = bench.options.filling();
    let chosen = (candidates.clone(), left_out);
    let results = contest::hold(&bench, &ours, &bench.options.rows(), chosen, CallCounter::find());
    let report = Report {
        bench: &bench,
        results: &results,
        memory: has(Item::Memory).then(|| Memory::measure(&bench, &candidates, filling)),
        starts: has(Item::Start).then(|| Starts::measure(&bench, &candidates, filling)),
    };
    print!("{}", report.in_words());
    let path = bench.options.json.clone().unwrap_or_else(|| folder.join("kv.json"));
    save(&report.to_json(), &path)?;
    bench.builds.clean_up();
    Ok(ExitCode::SUCCESS)
}

/// The loads with these words, for a report; system calls are not counted.
///
/// # Errors
/// As [`main`].
pub(crate) fn trials(words: &[&str]) -> Result<Trials> {
    let options = Options::parse(&mut Parser::from_args(words))?.context("help")?;
    let ours = Workspace::ours()?;
    let bench = Bench::prepare(options, &ours, &folder(&ours)?)?;
    let candidates = contest::choose(&bench, &bench.options.candidates)?;
    let results = contest::hold(&bench, &ours, &bench.options.rows(), candidates, None);
    bench.builds.clean_up();
    Ok(results.into_trials())
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

    fn start(&self, row: Row, candidate: Candidate) -> Result<Server> {
        let storage = if row.is_synchronous { Storage::Synchronous } else { Storage::None };
        let server = self.builds.start(&self.lab, candidate, storage)?;
        if row.command.needs_keys() {
            let keys = self.options.keys(row);
            eprintln!("{row}: {} gets {} keys", candidate.name(), keys.count);
            client::fill(&self.lab, server.address, keys, Vec::new())?;
        }
        Ok(server)
    }

    fn attempt(&self, candidate: Candidate) -> Result<()> {
        self.builds.start(&self.lab, candidate, Storage::None).map(drop)
    }

    fn rate(&self, row: Row, known: &[Cell<Self>], servers: &mut [Option<Server>]) -> Option<u64> {
        if row.pace != Pace::Rate {
            return None;
        }
        let full = Row { pace: Pace::Full, ..row };
        self.options.rate.or_else(|| contest::half_of_the_slower(self, full, known, servers))
    }

    fn run(
        &self,
        turn: &Turn<Row>,
        server: &mut Server,
        behind: Option<&[OsString]>,
    ) -> Result<Sample> {
        let plan = client::plan(turn, server.address, self.options.keys(turn.row));
        self.options.client.run(&self.lab, &plan, behind)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(line: &str) -> Result<Options> {
        let words = line.split_whitespace().map(OsString::from);
        Ok(Options::parse(&mut Parser::from_args(words))?.expect("no help was asked for"))
    }

    #[test]
    fn sizes_are_loads_of_their_own() {
        let options = parse("--rows size,get-1,memory --sizes 10,20 --keys 7").unwrap();
        let names: Vec<_> = options.rows().iter().map(Row::to_string).collect();
        let expected =
            ["get-50-p16-k10", "set-50-p16-k10", "get-50-p16-k20", "set-50-p16-k20", "get-1"];
        assert_eq!(names, expected);
        let counts: Vec<_> = options.rows().iter().map(|row| options.keys(*row).count).collect();
        assert_eq!(counts, [10, 10, 20, 20, 7]);
        assert_eq!(options.filling().count, FILL);
    }

    #[test]
    fn another_client_does_what_it_can() {
        let options = parse("--client redis-benchmark").unwrap();
        assert!(options.rows().iter().all(|row| options.client.can(*row)));
        assert!(options.rows().len() > SIZES.len());
        for line in [
            "--client redis-benchmark --rows rate-get-1",
            "--rows del-1",
            "--sizes x",
            "--keys 0",
            "--rounds 0",
            "--seconds 0",
            "--bytes 9999999",
            "--client wrk",
            "--rate 0",
        ] {
            assert!(parse(line).is_err(), "{line}");
        }
    }
}
