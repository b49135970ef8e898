//! What is told at the end.

use serde_json::{Value, json};

use super::row::Load;
use super::sample::{Client, Sample};
use super::{Bench, Cell, Counted};
use crate::bench::stats::Summary;
use crate::bench::{machine, meter, table};

/// The table and the samples.
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

const HEADS: [&str; 12] = [
    "",
    "requests/s",
    "+-",
    "p50 us",
    "p99 us",
    "server us",
    "per server s",
    "machine us",
    "calls",
    "client %",
    "errors",
    "drops",
];

impl Report<'_> {
    /// For people.
    pub(super) fn in_words(&self) -> String {
        let bench = self.bench;
        let mut rows = vec![HEADS.map(str::to_owned).to_vec()];
        rows.extend(bench.cells.iter().map(row));
        let mut lines = vec![
            format!("\n{}", machine::in_words(&self.about)),
            format!("{}; a page of 1 KiB\n", bench.lab.in_words()),
            table::format(&rows),
        ];
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
                "rate": cell.rate,
                "counted": cell.calls.as_ref().map(Counted::to_json),
                "failure": cell.failure,
                "samples": cell.samples.iter().map(Sample::to_json).collect::<Vec<_>>(),
            })
        };
        json!({
            "bench": "http",
            "about": self.about,
            "place": bench.lab.in_words(),
            "rounds": bench.options.rounds,
            "seconds": bench.options.time.as_secs(),
            "client": if bench.options.client == Client::Wrk { "wrk" } else { "ours" },
            "memory_mb": bench.options.memory_mb,
            "call_counter": bench.counter.as_ref().map(|counter| counter.name()),
            "left_out": self.left_out,
            "cells": bench.cells.iter().map(cell).collect::<Vec<_>>(),
        })
    }
}

fn row(cell: &Cell) -> Vec<String> {
    let rate = match (cell.row.load, cell.rate) {
        (Load::Rate, Some(rate)) => format!(" at {rate}/s"),
        _ => String::new(),
    };
    let name = format!("{}{rate}: {}", cell.row, cell.candidate.name());
    let summary = |value: fn(&Sample) -> u64| {
        Summary::of(&cell.samples.iter().map(value).collect::<Vec<_>>())
    };
    let Some(rates) = summary(Sample::rate) else { return vec![name, "-".into()] };
    let median = |value| summary(value).map_or(0, |summary| summary.median);
    let sum = |value: fn(&Sample) -> u64| cell.samples.iter().map(value).sum::<u64>();
    let server_ns = median(Sample::server_ns);
    let per_second = 1_000_000_000u64.checked_div(server_ns).map_or("-".into(), |n| n.to_string());
    let client_percent =
        median(|sample| sample.clocks.own_ns * 100 / sample.elapsed_ns.max(1)).to_string();
    vec![
        name,
        rates.median.to_string(),
        rates.deviation.to_string(),
        (median(|sample| sample.p50_ns) / 1000).to_string(),
        (median(|sample| sample.p99_ns) / 1000).to_string(),
        table::microseconds(server_ns),
        per_second,
        table::microseconds(median(Sample::machine_ns)),
        cell.calls.as_ref().map_or("-".into(), |calls| format!("{:.2}", calls.each())),
        client_percent,
        sum(|sample| sample.errors).to_string(),
        sum(|sample| sample.drops).to_string(),
    ]
}
