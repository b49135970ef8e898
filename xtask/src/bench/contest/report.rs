//! What is told at the end of a contest, as far as it is the same in all: the columns of a row of answers, what
//! was left out or failed, and the raw samples.

use serde_json::{Map, Value, json};

use super::{Cell, Contest, Counted, Results, Sample};
use crate::bench::lab::CallCounter;
use crate::bench::stats::Summary;
use crate::bench::{machine, meter, table};

/// The heads of [`answer_row`]'s columns: of the first, and of those that failed.
pub(crate) fn answer_heads(first: &str, failed: &str) -> Vec<String> {
    let heads = [
        first,
        "a second",
        "+-",
        "p50 us",
        "p99 us",
        "max us",
        "server us",
        "per server s",
        "machine us",
        "calls",
        "client %",
        failed,
        "drops",
    ];
    heads.map(str::to_owned).into()
}

/// A row about answers: medians of the rounds.
pub(crate) fn answer_row<C: Contest>(cell: &Cell<C>) -> Vec<String> {
    let rate = cell.rate.map(|rate| format!(" at {rate}/s")).unwrap_or_default();
    let name = format!("{}{rate}: {}", cell.row, C::name(cell.candidate));
    let summary = |value: &dyn Fn(&Sample) -> u64| {
        Summary::of(&cell.samples.iter().map(value).collect::<Vec<_>>())
    };
    let Some(rates) = summary(&Sample::rate) else { return vec![name, "-".into()] };
    let median = |value: &dyn Fn(&Sample) -> u64| summary(value).map_or(0, |found| found.median);
    let sum = |value: fn(&Sample) -> u64| cell.samples.iter().map(value).sum::<u64>().to_string();
    let server_ns = median(&Sample::server_ns);
    let per_second = 1_000_000_000u64.checked_div(server_ns).map_or("-".into(), |n| n.to_string());
    vec![
        name,
        rates.median.to_string(),
        rates.deviation.to_string(),
        table::microseconds(median(&|sample| sample.p50_ns)),
        table::microseconds(median(&|sample| sample.p99_ns)),
        table::microseconds(median(&|sample| sample.max_ns)),
        table::fine_microseconds(server_ns),
        per_second,
        table::fine_microseconds(median(&Sample::machine_ns)),
        cell.calls.as_ref().map_or("-".into(), |calls| format!("{:.2}", calls.each())),
        median(&|sample| sample.percent(sample.clocks.own_ns)).to_string(),
        sum(|sample| sample.failed),
        sum(|sample| sample.drops),
    ]
}

/// The machine, in a line.
pub(crate) fn machine_line<C: Contest>(results: &Results<C>) -> String {
    format!("\n{}", machine::in_words(&results.about))
}

impl<C: Contest> Results<C> {
    /// What was left out or failed, how system calls were counted, and whether the machine was quiet.
    pub(crate) fn remarks(&self) -> Vec<String> {
        let mut lines = self.troubles();
        let counter = self.counter.as_ref().map_or("not counted", CallCounter::name);
        lines.push(format!("system calls: {counter}"));
        lines
    }

    /// What was left out or failed, and whether the machine was quiet.
    pub(super) fn troubles(&self) -> Vec<String> {
        let mut lines = self.left_out.clone();
        lines.extend(self.cells.iter().filter_map(|cell| {
            let reason = cell.failure.as_ref()?;
            Some(format!("{}, {}: {reason}", cell.row, C::name(cell.candidate)))
        }));
        let samples = self.cells.iter().flat_map(|cell| &cell.samples);
        let others = samples.map(|sample| sample.clocks.others_percent(sample.elapsed_ns));
        lines.extend(meter::unrest(others.collect()));
        lines
    }

    /// Everything, and what the bench says more.
    pub(crate) fn to_json(&self, contest: &C, name: &str, more: Value) -> Value {
        let cell = |cell: &Cell<C>| {
            json!({
                "row": cell.row.to_string(),
                "candidate": C::name(cell.candidate),
                "rate": cell.rate,
                "counted": cell.calls.as_ref().map(Counted::to_json),
                "failure": cell.failure,
                "samples": cell.samples.iter().map(Sample::to_json).collect::<Vec<_>>(),
            })
        };
        let mut report = Map::new();
        report.insert("bench".into(), name.into());
        report.insert("about".into(), self.about.clone());
        report.insert("place".into(), contest.lab().in_words().into());
        if let Value::Object(more) = more {
            report.extend(more);
        }
        report.insert("call_counter".into(), json!(self.counter.as_ref().map(CallCounter::name)));
        report.insert("left_out".into(), json!(self.left_out));
        report.insert("cells".into(), self.cells.iter().map(cell).collect());
        report.into()
    }
}

impl Counted {
    fn to_json(&self) -> Value {
        json!({ "calls": self.calls, "sample": self.sample.to_json() })
    }
}
