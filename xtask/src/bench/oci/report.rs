//! What is told at the end.

use serde_json::{Value, json};

use super::memory::{self, Memory};
use super::runtime::{Kind, Runtime};
use crate::bench::stats::Summary;
use crate::bench::{machine, table};

/// The life of a container: what its steps took, in nanoseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Life {
    pub(super) create_ns: u64,
    pub(super) start_ns: u64,
    /// From the end of `start` until the first response was there.
    pub(super) answer_ns: u64,
    pub(super) delete_ns: u64,
    /// Of the response.
    pub(super) answer_bytes: usize,
}

impl Life {
    /// From the call of `create` until the first response, without what the bench does in between.
    pub(super) fn total_ns(&self) -> u64 {
        self.create_ns + self.start_ns + self.answer_ns
    }
}

/// A runtime and what its containers took.
#[derive(Debug)]
pub(super) struct Measured {
    pub(super) runtime: Runtime,
    pub(super) lives: Vec<Life>,
}

/// Everything that is known.
#[derive(Debug)]
pub(super) struct Results {
    pub(super) about: Value,
    pub(super) rounds: u64,
    pub(super) measured: Vec<Measured>,
    pub(super) memory: Vec<Memory>,
    /// Who does not take part, or not to the end, and why.
    pub(super) left_out: Vec<(Kind, String)>,
}

/// What our runtime may take, in hundredths of the other's: time until the first response, memory.
const TIME_TARGET: (Kind, u64) = (Kind::Runc, 50);
const MEMORY_TARGET: (Kind, u64) = (Kind::Runsc, 20);

impl Results {
    /// For people.
    pub(super) fn in_words(&self) -> String {
        let lives: Vec<_> =
            self.measured.iter().map(|one| (one.runtime.kind, &*one.lives)).collect();
        let mut lines = vec![machine::in_words(&self.about), String::new(), times(&lives)];
        if !self.memory.is_empty() {
            lines.push(memory::table(&self.memory));
        }
        lines.extend(self.measured.iter().filter_map(|one| one.runtime.remark()));
        let left_out = self.left_out.iter();
        lines.extend(left_out.map(|(kind, why)| format!("{} is left out: {why}", kind.name())));
        lines.extend(unrest(&self.about));
        lines.extend(self.targets());
        lines.join("\n") + "\n"
    }

    fn targets(&self) -> [String; 2] {
        let total = |kind| {
            let of = self.measured.iter().find(|one| one.runtime.kind == kind)?;
            summary(&of.lives, Life::total_ns).map(|summary| summary.median)
        };
        let pss = |kind| self.memory.iter().find(|one| one.kind == kind)?.pss_bytes();
        [
            target("time until the first response", TIME_TARGET, total),
            target("PSS of a container", MEMORY_TARGET, pss),
        ]
    }

    /// Everything.
    pub(super) fn to_json(&self) -> Value {
        let left_out = self.left_out.iter();
        json!({
            "bench": "oci",
            "about": self.about,
            "rounds": self.rounds,
            "candidates": self.measured.iter().map(Measured::to_json).collect::<Vec<_>>(),
            "memory": self.memory.iter().map(Memory::to_json).collect::<Vec<_>>(),
            "left_out": left_out
                .map(|(kind, reason)| json!({ "name": kind.name(), "reason": reason }))
                .collect::<Vec<_>>(),
            "targets": self.targets(),
        })
    }
}

impl Measured {
    fn to_json(&self) -> Value {
        let samples = |value: fn(&Life) -> u64| self.lives.iter().map(value).collect::<Vec<_>>();
        let command = self.runtime.command(&["create"]);
        let contents = &self.runtime.contents;
        json!({
            "name": self.runtime.kind.name(),
            "program": command.program,
            "version": machine::version(&command),
            "words": contents.words,
            "environment": contents.environment,
            "remark": self.runtime.remark(),
            "create_ns": samples(|life| life.create_ns),
            "start_ns": samples(|life| life.start_ns),
            "answer_ns": samples(|life| life.answer_ns),
            "delete_ns": samples(|life| life.delete_ns),
            "answer_bytes": self.lives.last().map(|life| life.answer_bytes),
        })
    }
}

/// A line about a machine on which, before the bench, more programs wanted to run than could.
fn unrest(about: &Value) -> Option<String> {
    let machine = &about["machine"];
    let load = machine["load"].as_str()?.split_whitespace().next()?;
    let is_busy = load.parse::<f64>().ok()? > machine["cores"].as_f64()?;
    is_busy.then(|| format!("the machine was not quiet: a load of {load} before the bench"))
}

fn summary(lives: &[Life], value: fn(&Life) -> u64) -> Option<Summary> {
    Summary::of(&lives.iter().map(value).collect::<Vec<_>>())
}

/// A row for each runtime.
fn times(measured: &[(Kind, &[Life])]) -> String {
    let heads = [
        "until the first response, ms",
        "median",
        "p10",
        "p90",
        "deviation",
        "n",
        "x runc",
        "create",
        "start",
        "response",
        "delete",
    ];
    let milliseconds = |ns: u64| table::fine_microseconds(ns / 1000);
    let reference = measured.iter().find(|(kind, _)| *kind == Kind::Runc);
    let reference = reference.and_then(|(_, lives)| summary(lives, Life::total_ns));
    let reference = reference.map(|summary| summary.median).unwrap_or_default();
    let mut rows = vec![heads.map(str::to_owned).to_vec()];
    for (kind, lives) in measured {
        let Some(total) = summary(lives, Life::total_ns) else { continue };
        let parts: [fn(&Life) -> u64; 4] = [
            |life| life.create_ns,
            |life| life.start_ns,
            |life| life.answer_ns,
            |life| life.delete_ns,
        ];
        let parts = parts.into_iter().filter_map(|part| summary(lives, part));
        let mut row = vec![kind.name().to_owned()];
        row.extend([total.median, total.p10, total.p90, total.deviation].map(milliseconds));
        row.extend([total.count.to_string(), table::ratio(total.median, reference)]);
        row.extend(parts.map(|part| milliseconds(part.median)));
        rows.push(row);
    }
    table::format(&rows)
}

/// What was aimed at and what came out.
fn target(
    what: &str,
    (other, hundredths): (Kind, u64),
    value: impl Fn(Kind) -> Option<u64>,
) -> String {
    let (name, other_name) = (Kind::Runnc.name(), other.name());
    let aim = format!("{what}: {name} at most {} x {other_name}", table::ratio(hundredths, 100));
    match (value(Kind::Runnc), value(other)) {
        (Some(ours), Some(theirs)) => {
            let is_met = u128::from(ours) * 100 <= u128::from(theirs) * u128::from(hundredths);
            let verdict = if is_met { "met" } else { "missed" };
            format!("{aim}: {}, {verdict}", table::ratio(ours, theirs))
        }
        _ => format!("{aim}: not measured"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn life(create_ms: u64, start_ms: u64, answer_ms: u64) -> Life {
        let ns = |ms: u64| ms * 1_000_000;
        Life {
            create_ns: ns(create_ms),
            start_ns: ns(start_ms),
            answer_ns: ns(answer_ms),
            delete_ns: 1_234_567,
            answer_bytes: 1234,
        }
    }

    #[test]
    fn a_row_has_the_sum_and_its_parts() {
        let (runc, runsc) = ([life(20, 5, 1), life(30, 5, 1)], [life(200, 60, 1)]);
        let text = times(&[(Kind::Runc, &runc), (Kind::Runsc, &runsc), (Kind::Crun, &[])]);
        let rows: Vec<Vec<_>> =
            text.lines().skip(1).map(|line| line.split_whitespace().collect()).collect();
        let first =
            ["runc", "31.00", "27.00", "35.00", "5.00", "2", "1.00", "25.00", "5.00", "1.00"];
        assert_eq!(rows[0][..10], first);
        assert_eq!((rows[1][6], rows[1][10], rows.len()), ("8.42", "1.23", 2));
    }

    #[test]
    fn a_target_is_met_at_its_bound() {
        let value = |ours: u64| move |kind| Some(if kind == Kind::Runnc { ours } else { 100 });
        assert!(target("time", (Kind::Runc, 50), value(50)).ends_with("x runc: 0.50, met"));
        assert!(target("time", (Kind::Runc, 50), value(51)).ends_with("0.51, missed"));
        assert!(target("time", (Kind::Runc, 50), |_| None).ends_with("not measured"));
    }

    #[test]
    fn a_machine_that_is_not_quiet_is_told() {
        let about = |load: &str| json!({ "machine": { "cores": 2, "load": load } });
        assert_eq!(unrest(&about("1.90 7.09 4.12 1/150 3")), None);
        assert!(unrest(&about("2.10 0.00 0.00 1/150 3")).unwrap().contains("a load of 2.10"));
        assert_eq!(unrest(&json!({})), None);
    }

    #[test]
    fn results_without_measurements_are_told() {
        let results = Results {
            about: json!({}),
            rounds: 3,
            measured: Vec::new(),
            memory: Vec::new(),
            left_out: vec![(Kind::Crun, "it is not there".into())],
        };
        assert!(results.in_words().contains("crun is left out: it is not there\n"));
        assert_eq!(results.to_json()["left_out"][0]["name"], "crun");
    }
}
