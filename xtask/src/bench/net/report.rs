//! What is told at the end.

use serde_json::{Value, json};

use super::{Bench, unit};
use crate::bench::contest::{self, Cell, Contest, Results, Sample};
use crate::bench::lab::{DELAY, LOSS_PERCENT};
use crate::bench::stats::Summary;
use crate::bench::table;

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

/// For people.
pub(super) fn in_words(bench: &Bench, results: &Results<Bench>) -> String {
    let mut lines =
        vec![contest::machine_line(results), format!("{}; {}\n", bench.lab().in_words(), link())];
    let measured = || results.cells.iter().filter(|cell| !cell.samples.is_empty());
    let bulk = measured().filter(|cell| cell.row.is_bulk()).map(bulk_row);
    let answers = measured().filter(|cell| !cell.row.is_bulk()).map(contest::answer_row);
    let heads = BULK.map(str::to_owned).into();
    for (heads, rows) in [
        (heads, bulk.collect::<Vec<_>>()),
        (contest::answer_heads("answers", "lost"), answers.collect()),
    ] {
        if !rows.is_empty() {
            let rows: Vec<_> = [heads].into_iter().chain(rows).collect();
            lines.push(table::format(&rows));
        }
    }
    lines.extend(results.remarks());
    lines.join("\n") + "\n"
}

/// Everything.
pub(super) fn to_json(bench: &Bench, results: &Results<Bench>) -> Value {
    let options = &bench.options;
    let more = json!({
        "link": link(),
        "rounds": options.rounds,
        "seconds": options.time.as_secs(),
        "lossy_seconds": options.lossy_time.as_secs(),
        "outstanding": options.outstanding,
        "memory_mb": options.memory_mb,
        "buffer_kib": options.buffer_kib,
    });
    results.to_json(bench, "net", more)
}

/// The lossy link in words.
fn link() -> String {
    format!("the lossy link loses {LOSS_PERCENT} % and takes {} ms, each way", DELAY.as_millis())
}

fn bulk_row(cell: &Cell<Bench>) -> Vec<String> {
    let what = cell.row;
    let summary = |value: &dyn Fn(&Sample) -> u64| {
        let values: Vec<u64> = cell.samples.iter().map(value).collect();
        Summary::of(&values).map_or((0, 0), |summary| (summary.median, summary.deviation))
    };
    let median = |value: &dyn Fn(&Sample) -> u64| summary(value).0;
    let (rate, deviation) = summary(&|sample| unit::rate(what, sample));
    let server_ns = median(&|sample| unit::for_gigabyte_ns(sample, sample.clocks.watched_ns));
    let machine_ns = median(&|sample| unit::for_gigabyte_ns(sample, sample.clocks.busy_ns));
    // Over the lossy link so little comes that what else the machine does would be all of it.
    let machine = thousandths(machine_ns / 1_000_000);
    vec![
        format!("{what}: {}", Bench::name(cell.candidate)),
        thousandths(rate),
        thousandths(deviation),
        thousandths(server_ns / 1_000_000),
        if what.is_lossy() { "-".into() } else { machine },
        cell.calls.as_ref().map_or("-".into(), |calls| format!("{:.2}", calls.each() * 1e6)),
        median(&|sample| sample.percent(sample.clocks.watched_ns)).to_string(),
        median(&|sample| sample.percent(sample.clocks.own_ns)).to_string(),
        cell.samples.iter().map(|sample| sample.drops).sum::<u64>().to_string(),
    ]
}

/// A number of thousandths: `0.123`, and `17500` for one that is large.
fn thousandths(number: u64) -> String {
    match number {
        0..100_000 => format!("{}.{:03}", number / 1000, number % 1000),
        _ => (number / 1000).to_string(),
    }
}
