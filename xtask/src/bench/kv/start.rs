//! How long a store with many keys on the disk takes from its start until it tells the last of them.

use std::net::SocketAddrV4;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use serde_json::{Value, json};

use super::Bench;
use super::ask::ask;
use super::client::{self, Keys};
use super::server::{Candidate, Storage};
use crate::bench::load::resp;
use crate::bench::meter::Reading;
use crate::bench::stats::Summary;
use crate::bench::{rounds, table};

/// How long a start may take, and a snapshot.
const TIME_OUT: Duration = Duration::from_secs(120);
/// How long an answer may take before it is asked for again: a question that came too early is lost, and the
/// kernel would repeat it after a second.
const ANSWER_TIME_OUT: Duration = Duration::from_millis(5);
/// Between two questions.
const PAUSE: Duration = Duration::from_millis(1);
/// How long to ask before looking whether the store still runs.
const LOOK: Duration = Duration::from_secs(1);
/// After that a log is on the disk that goes there once a second.
const SETTLING: Duration = Duration::from_secs(2);

/// A start.
#[derive(Clone, Copy, Debug)]
struct Sample {
    elapsed_ns: u64,
    /// For how long its processes ran meanwhile.
    server_ns: u64,
}

/// A store that keeps its keys in some way.
#[derive(Debug)]
struct Variant {
    candidate: Candidate,
    storage: Storage,
    samples: Vec<Sample>,
    failure: Option<String>,
}

/// What came of it.
#[derive(Debug, Default)]
pub(super) struct Starts {
    keys: u64,
    variants: Vec<Variant>,
}

impl Starts {
    /// Fills each store, and starts each anew in each round, one at a time.
    pub(super) fn measure(bench: &Bench, candidates: &[Candidate], keys: Keys) -> Self {
        let mut variants: Vec<Variant> = Vec::new();
        for &candidate in candidates {
            for &storage in candidate.durable() {
                eprintln!("start: {}, {}, {} keys", candidate.name(), storage.name(), keys.count);
                let filled = prepare(bench, candidate, storage, keys);
                let failure = filled.err().map(|reason| format!("{reason:#}"));
                variants.push(Variant { candidate, storage, samples: Vec::new(), failure });
            }
        }
        for round in 0..bench.options.rounds {
            for at in rounds::order(variants.len(), round) {
                let variant = &mut variants[at];
                if variant.failure.is_none() {
                    match one(bench, variant.candidate, variant.storage, keys) {
                        Ok(sample) => variant.samples.push(sample),
                        Err(reason) => variant.failure = Some(format!("{reason:#}")),
                    }
                }
            }
        }
        Self { keys: keys.count, variants }
    }

    /// For people.
    pub(super) fn in_words(&self) -> String {
        let heads = [&*format!("start, {} keys", self.keys), "ms", "+-", "server ms"];
        let mut rows = vec![heads.map(str::to_owned).to_vec()];
        let mut failures = Vec::new();
        for variant in &self.variants {
            let name = format!("{}, {}", variant.candidate.name(), variant.storage.name());
            failures
                .extend(variant.failure.iter().map(|reason| format!("start, {name}: {reason}")));
            let summary = |value: fn(&Sample) -> u64| {
                Summary::of(&variant.samples.iter().map(value).collect::<Vec<_>>())
            };
            let times = summary(|sample| sample.elapsed_ns).zip(summary(|sample| sample.server_ns));
            if let Some((elapsed, server)) = times {
                let milliseconds = |ns: u64| table::microseconds(ns / 1000);
                let numbers = [elapsed.median, elapsed.deviation, server.median].map(milliseconds);
                rows.push([name].into_iter().chain(numbers).collect());
            }
        }
        let mut lines = vec![table::format(&rows)];
        lines.extend(failures);
        lines.join("\n")
    }

    /// Everything.
    pub(super) fn to_json(&self) -> Value {
        let sample = |sample: &Sample| json!({ "elapsed_ns": sample.elapsed_ns, "server_ns": sample.server_ns });
        let variant = |variant: &Variant| {
            json!({
                "candidate": variant.candidate.name(),
                "storage": variant.storage.name(),
                "samples": variant.samples.iter().map(sample).collect::<Vec<_>>(),
                "failure": variant.failure,
            })
        };
        json!({
            "keys": self.keys,
            "variants": self.variants.iter().map(variant).collect::<Vec<_>>(),
        })
    }
}

/// Fills a store and ends it, with all keys on the disk.
fn prepare(bench: &Bench, candidate: Candidate, storage: Storage, keys: Keys) -> Result<()> {
    let server = bench.builds.start(&bench.lab, candidate, storage)?;
    let address = server.address;
    client::fill(&bench.lab, address, keys, Vec::new())?;
    if storage == Storage::Snapshot {
        let saved = bench.lab.client.within(|| ask(address, &["SAVE"], TIME_OUT))??;
        ensure!(saved == "OK", "SAVE: {saved}");
    }
    thread::sleep(SETTLING);
    Ok(())
}

fn one(bench: &Bench, candidate: Candidate, storage: Storage, keys: Keys) -> Result<Sample> {
    // A guest that was not there yet is asked for again soon.
    for tap in bench.lab.segment().taps {
        let name = format!("net.ipv4.neigh.{}.retrans_time_ms", tap.name);
        bench.lab.client.sysctl(&bench.lab.launcher, &name, "10")?;
    }
    let start = Instant::now();
    let mut server = bench.builds.spawn(&bench.lab, candidate, storage)?;
    let elapsed = loop {
        let address = server.address;
        if bench.lab.client.within(|| answers_soon(address, keys))? {
            break start.elapsed();
        }
        server.program.check()?;
        ensure!(start.elapsed() < TIME_OUT, "no answer after {} s", TIME_OUT.as_secs());
    };
    let clocks = Reading::take(&server.program.family()?)?;
    Ok(Sample { elapsed_ns: u64::try_from(elapsed.as_nanos())?, server_ns: clocks.watched_ns })
}

/// Whether the last key is told within a second.
fn answers_soon(address: SocketAddrV4, keys: Keys) -> bool {
    let (key, value) = (resp::key(keys.count - 1), resp::value(keys.value_bytes));
    let value = String::from_utf8_lossy(&value);
    let deadline = Instant::now() + LOOK;
    while Instant::now() < deadline {
        if ask(address, &["GET", &key], ANSWER_TIME_OUT).is_ok_and(|found| found == value) {
            return true;
        }
        thread::sleep(PAUSE);
    }
    false
}
