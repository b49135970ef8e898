//! What is told at the end.

use serde_json::{Value, json};

use super::sample::Sample;
use super::{Bench, Cell, Counted};
use crate::bench::lab::{DELAY, LOSS_PERCENT};
use crate::bench::stats::Summary;
use crate::bench::{machine, meter, table};

/// The tables and the samples.
pub(super) struct Report<'a> {
    bench: &'a Bench,
    about: Value,
    left_out: &'a [String],
}

impl Bench {
    /// What is told.
    pub(super) fn report<'a>(&'a self, about: Value, left_out: &'a [String]) -> Report<'a> {
        Report { bench: self, about, left_out }
    }
}

const BULK: [&str; 9] = [
    "bulk TCP",
    "Mbit/s",
    "+-",
    "server s/GB",
    "machine s/GB",
    "calls/MB",
    "server %",
    "client %",
    "drops",
];
const ANSWERS: [&str; 11] = [
    "answers",
    "a second",
    "+-",
    "p50 us",
    "p99 us",
    "server us",
    "machine us",
    "calls",
    "client %",
    "lost",
    "drops",
];

impl Report<'_> {
    /// For people.
    pub(super) fn in_words(&self) -> String {
        let bench = self.bench;
        let mut lines = vec![
            format!("\n{}", machine::in_words(&self.about)),
            format!("{}; {}\n", bench.lab.in_words(), link()),
        ];
        for (is_bulk, heads) in [(true, &BULK[..]), (false, &ANSWERS[..])] {
            let cells = bench.cells.iter().filter(|cell| cell.row.is_bulk() == is_bulk);
            let rows: Vec<_> = cells.filter(|cell| !cell.samples.is_empty()).map(row).collect();
            if !rows.is_empty() {
                let heads = heads.iter().map(|head| (*head).to_owned()).collect();
                let rows: Vec<_> = [heads].into_iter().chain(rows).collect();
                lines.push(table::format(&rows));
            }
        }
        lines.extend(self.left_out.iter().cloned());
        lines.extend(bench.cells.iter().filter_map(|cell| {
            let reason = cell.failure.as_ref()?;
            Some(format!("{}, {}: {reason}", cell.row, cell.candidate.name()))
        }));
        let counter = bench.counter.as_ref().map_or("not counted", |counter| counter.name());
        lines.push(format!("system calls: {counter}"));
        let samples = bench.cells.iter().flat_map(|cell| &cell.samples);
        let others = samples.map(|sample| sample.clocks.others_percent(sample.elapsed_ns));
        lines.extend(meter::unrest(others.collect()));
        lines.join("\n") + "\n"
    }

    /// Everything.
    pub(super) fn to_json(&self) -> Value {
        let bench = self.bench;
        let cell = |cell: &Cell| {
            json!({
                "row": cell.row.to_string(),
                "candidate": cell.candidate.name(),
                "counted": cell.calls.as_ref().map(Counted::to_json),
                "failure": cell.failure,
                "samples": cell.samples.iter().map(Sample::to_json).collect::<Vec<_>>(),
            })
        };
        json!({
            "bench": "net",
            "about": self.about,
            "place": bench.lab.in_words(),
            "link": link(),
            "rounds": bench.options.rounds,
            "seconds": bench.options.time.as_secs(),
            "lossy_seconds": bench.options.lossy_time.as_secs(),
            "outstanding": bench.options.outstanding,
            "memory_mb": bench.options.memory_mb,
            "buffer_kib": bench.options.buffer_kib,
            "call_counter": bench.counter.as_ref().map(|counter| counter.name()),
            "left_out": self.left_out,
            "cells": bench.cells.iter().map(cell).collect::<Vec<_>>(),
        })
    }
}

/// The lossy link in words.
fn link() -> String {
    format!("the lossy link loses {LOSS_PERCENT} % and takes {} ms, each way", DELAY.as_millis())
}

fn row(cell: &Cell) -> Vec<String> {
    let what = cell.row;
    let summary = |value: &dyn Fn(&Sample) -> u64| {
        let values: Vec<u64> = cell.samples.iter().map(value).collect();
        Summary::of(&values).map_or((0, 0), |summary| (summary.median, summary.deviation))
    };
    let median = |value: &dyn Fn(&Sample) -> u64| summary(value).0;
    let sum = |value: fn(&Sample) -> u64| cell.samples.iter().map(value).sum::<u64>().to_string();
    let (rate, deviation) = summary(&|sample| sample.rate(what));
    let server_ns = median(&|sample| sample.share_ns(what, sample.clocks.watched_ns));
    let machine_ns = median(&|sample| sample.share_ns(what, sample.clocks.busy_ns));
    let client = median(&|sample| sample.percent(sample.clocks.own_ns)).to_string();
    let calls = cell.calls.as_ref();
    let calls = |unit| calls.map_or("-".into(), |calls| format!("{:.2}", calls.each() * unit));
    let mut row = vec![format!("{what}: {}", cell.candidate.name())];
    if what.is_bulk() {
        let server = median(&|sample| sample.percent(sample.clocks.watched_ns)).to_string();
        row.extend([thousandths(rate), thousandths(deviation)]);
        row.push(thousandths(server_ns / 1_000_000));
        // Over the lossy link so little comes that what else the machine does would be all of it.
        let machine = thousandths(machine_ns / 1_000_000);
        row.push(if what.is_lossy() { "-".into() } else { machine });
        row.extend([calls(1e6), server, client, sum(|sample| sample.drops)]);
    } else {
        let microseconds = |value: &dyn Fn(&Sample) -> u64| table::microseconds(median(value));
        row.extend([rate.to_string(), deviation.to_string()]);
        row.extend([microseconds(&|sample| sample.p50_ns), microseconds(&|sample| sample.p99_ns)]);
        row.extend([table::microseconds(server_ns), table::microseconds(machine_ns), calls(1.0)]);
        row.extend([client, sum(|sample| sample.lost), sum(|sample| sample.drops)]);
    }
    row
}

/// A number of thousandths: `0.123`, and `17500` for one that is large.
fn thousandths(number: u64) -> String {
    match number {
        0..100_000 => format!("{}.{:03}", number / 1000, number % 1000),
        _ => (number / 1000).to_string(),
    }
}
