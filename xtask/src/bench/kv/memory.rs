//! What many small keys take: the memory of a store's processes and what it says itself, before and after they
//! are set.

use std::time::Duration;

use anyhow::{Context, Result};
use serde_json::{Value, json};

use super::Bench;
use super::ask::{ask, field};
use super::client::{self, Keys};
use super::server::{Candidate, Server, Storage};
use crate::bench::load::Outcome;
use crate::bench::process::Process;
use crate::bench::stats::Summary;
use crate::bench::{rounds, table};

const ANSWER_TIME_OUT: Duration = Duration::from_secs(10);
/// Memory is nearly the same in each round.
const ROUNDS_MAX: u64 = 3;

/// Memory at a moment.
#[derive(Clone, Copy, Debug)]
struct Reading {
    /// Pages that its processes have mapped and that are there.
    rss_bytes: u64,
    /// The same, where a shared page counts in part; none if the kernel does not tell.
    pss_bytes: Option<u64>,
    /// What the store says that it uses.
    used_bytes: Option<u64>,
}

/// One store, filled once.
#[derive(Debug)]
struct Sample {
    candidate: Candidate,
    before: Reading,
    after: Reading,
    filled: Outcome,
}

/// What came of it.
#[derive(Debug, Default)]
pub(super) struct Memory {
    keys: u64,
    samples: Vec<Sample>,
    failures: Vec<String>,
}

impl Memory {
    /// Fills each store in each round, one at a time.
    pub(super) fn measure(bench: &Bench, candidates: &[Candidate], keys: Keys) -> Self {
        let mut memory = Self { keys: keys.count, ..Self::default() };
        for round in 0..bench.options.rounds.min(ROUNDS_MAX) {
            for at in rounds::order(candidates.len(), round) {
                let candidate = candidates[at];
                eprintln!("memory: {}, {} keys", candidate.name(), keys.count);
                match one(bench, candidate, keys) {
                    Ok(sample) => memory.samples.push(sample),
                    Err(reason) => {
                        memory.failures.push(format!("memory, {}: {reason:#}", candidate.name()));
                    }
                }
            }
        }
        memory
    }

    /// For people.
    pub(super) fn in_words(&self) -> String {
        let heads = [
            &*format!("{} keys", self.keys),
            "RSS MiB",
            "RSS/key",
            "PSS/key",
            "used/key",
            "keys/s",
            "server us",
        ];
        let mut rows = vec![heads.map(str::to_owned).to_vec()];
        let mut candidates: Vec<Candidate> = Vec::new();
        for sample in &self.samples {
            if !candidates.contains(&sample.candidate) {
                candidates.push(sample.candidate);
            }
        }
        rows.extend(candidates.into_iter().map(|candidate| self.row(candidate)));
        let mut lines = vec![table::format(&rows)];
        lines.extend(self.failures.iter().cloned());
        lines.join("\n")
    }

    fn row(&self, candidate: Candidate) -> Vec<String> {
        let of = self.samples.iter().filter(|sample| sample.candidate == candidate);
        let median = |value: &dyn Fn(&Sample) -> Option<u64>| {
            let values: Vec<u64> = of.clone().filter_map(value).collect();
            Summary::of(&values).map(|summary| summary.median)
        };
        let text = |value: Option<u64>| value.map_or("-".into(), |value| value.to_string());
        let for_key = |value: fn(&Reading) -> Option<u64>| {
            let grown = |sample: &Sample| {
                Some(value(&sample.after)?.saturating_sub(value(&sample.before)?))
            };
            let tenths = median(&grown).map(|bytes| bytes * 10 / self.keys.max(1));
            tenths.map_or("-".into(), |tenths| format!("{}.{}", tenths / 10, tenths % 10))
        };
        let rate = |sample: &Sample| {
            let filled = &sample.filled;
            let rate = u128::from(filled.answers) * 1_000_000_000;
            u64::try_from(rate / u128::from(filled.elapsed_ns.max(1))).ok()
        };
        let server_ns =
            |sample: &Sample| Some(sample.filled.clocks.watched_ns / sample.filled.answers.max(1));
        vec![
            candidate.name(),
            text(median(&|sample| Some(sample.after.rss_bytes >> 20))),
            for_key(|reading| Some(reading.rss_bytes)),
            for_key(|reading| reading.pss_bytes),
            for_key(|reading| reading.used_bytes),
            text(median(&rate)),
            median(&server_ns).map_or("-".into(), table::fine_microseconds),
        ]
    }

    /// Everything.
    pub(super) fn to_json(&self) -> Value {
        let reading = |reading: &Reading| {
            json!({
                "rss_bytes": reading.rss_bytes,
                "pss_bytes": reading.pss_bytes,
                "used_bytes": reading.used_bytes,
            })
        };
        let sample = |sample: &Sample| {
            json!({
                "candidate": sample.candidate.name(),
                "before": reading(&sample.before),
                "after": reading(&sample.after),
                "filled": {
                    "answers": sample.filled.answers,
                    "elapsed_ns": sample.filled.elapsed_ns,
                    "clocks": sample.filled.clocks.to_json(),
                },
            })
        };
        json!({
            "keys": self.keys,
            "samples": self.samples.iter().map(sample).collect::<Vec<_>>(),
            "failures": self.failures,
        })
    }
}

fn one(bench: &Bench, candidate: Candidate, keys: Keys) -> Result<Sample> {
    let lab = &bench.lab;
    let server = bench.builds.start(lab, candidate, Storage::None)?;
    let before = read(bench, &server)?;
    let filled = client::fill(lab, server.address, keys, server.program.family()?)?;
    let after = read(bench, &server)?;
    Ok(Sample { candidate, before, after, filled })
}

fn read(bench: &Bench, server: &Server) -> Result<Reading> {
    let (mut rss_bytes, mut pss_bytes) = (0, Some(0));
    for id in server.program.family()? {
        let memory = Process::find(id).context("a process has ended")?.memory()?;
        rss_bytes += memory.rss_bytes;
        pss_bytes = pss_bytes.zip(memory.pss_bytes).map(|(sum, more)| sum + more);
    }
    let address = server.address;
    let info = bench.lab.client.within(|| ask(address, &["INFO", "memory"], ANSWER_TIME_OUT))?;
    let used_bytes = info.ok().and_then(|info| field(&info, "used_memory"));
    Ok(Reading { rss_bytes, pss_bytes, used_bytes })
}
