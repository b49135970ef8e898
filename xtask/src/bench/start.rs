//! `cargo xtask bench start`: how long it takes from the start of a program to its end.
//!
//! All candidates run in one loop, a run each in a round, in an order that changes: what slows the
//! machine down slows all of them. Programs are warm: their files are in the page cache.

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Instant;

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};

use super::apart::apart;
use super::candidate::{Candidate, Runner};
use super::peak::{self, Peak};
use super::programs::{self, HELLO, HELLO_ALONE, SOLO5_SPT, STATIC};
use super::stats::Summary;
use super::sweep::{Line, Lines};
use super::{containers, folder, machine, rounds, save, table};
use crate::cargo::{self, Profile};
use crate::packages::Workspace;
use crate::{app, size};

/// Rounds if nothing is said.
pub(super) const ROUNDS: u64 = 500;
/// The most rounds: some hours.
const ROUNDS_MAX: u64 = 1_000_000;
/// A round of these for each ten that count is thrown away first; at least two.
const WARM_UP_SHARE: u64 = 10;

/// What the start of a unikernel may cost, in hundredths of the other's median.
const TARGETS: [(&str, &str, u64); 3] =
    [(HELLO, STATIC, 115), (HELLO_ALONE, STATIC, 115), (HELLO, SOLO5_SPT, 70)];
/// What the guest may hold at most.
const MEMORY_TARGET_BYTES: u64 = 600 << 10;

/// A candidate and its runs, in nanoseconds.
struct Measured {
    candidate: Candidate,
    samples: Vec<u64>,
}

impl Measured {
    fn name(&self) -> &str {
        &self.candidate.name
    }

    fn summary(&self) -> Option<Summary> {
        Summary::of(&self.samples)
    }
}

/// A candidate that does not take part.
struct LeftOut {
    name: String,
    reason: String,
}

impl LeftOut {
    fn new(name: &str, reason: &anyhow::Error) -> Self {
        Self { name: name.into(), reason: format!("{reason:#}") }
    }
}

/// A start of a unikernel: its processes and what they held, or why that is not known.
struct Memory {
    name: String,
    peaks: Result<Vec<Peak>, String>,
}

impl Memory {
    /// The process that became the guest: the one so named, or else the first to end, as a
    /// supervisor ends later.
    fn guest(&self) -> Option<&Peak> {
        let peaks = self.peaks.as_ref().ok()?;
        peaks.iter().find(|peak| peak.name == "tender-guest").or(peaks.first())
    }
}

/// How long single starts take, in seconds, of each candidate; and who was left out.
///
/// # Errors
/// As [`run`].
pub(crate) fn samples(count: u64) -> Result<Lines> {
    let ours = Workspace::ours()?;
    let tender = app::build_tender(&ours)?;
    cargo::build(&ours.root, ["guests"], Profile::Release)?;
    let hello = ours.binaries(Profile::Release).join("guest-hello");
    let folder = folder(&ours)?;
    let (measured, left_out) = apart(|| {
        let mut runner = Runner::new(&folder)?;
        let (mut measured, left_out) = choose(&mut runner, &folder, &tender, &hello);
        rounds(&mut runner, &mut measured, count)?;
        Ok((measured, left_out))
    })?;
    let lines = measured.into_iter().map(|one| {
        let seconds = one.samples.iter().map(|&ns| vec![ns as f64 / 1e9]).collect();
        Line::new(one.candidate.name, vec![(1, seconds)])
    });
    let remarks = left_out.iter().map(|one| format!("{} is left out: {}", one.name, one.reason));
    Ok(Lines { lines: lines.collect(), remarks: remarks.collect() })
}

/// The bench.
///
/// # Errors
/// If something does not build, or a candidate fails after it has worked once.
pub(super) fn run(count: u64, json: Option<PathBuf>) -> Result<ExitCode> {
    ensure!((1..=ROUNDS_MAX).contains(&count), "--runs is a number from 1 to {ROUNDS_MAX}");
    let ours = Workspace::ours()?;
    let tender = app::build_tender(&ours)?;
    cargo::build(&ours.root, ["guests"], Profile::Release)?;
    let hello = ours.binaries(Profile::Release).join("guest-hello");
    let folder = folder(&ours)?;

    let about = machine::describe(&ours.root);
    let mut runner = Runner::new(&folder)?;
    let (mut measured, left_out) = choose(&mut runner, &folder, &tender, &hello);
    let memory = memory(&measured);
    rounds(&mut runner, &mut measured, count)?;

    let targets = targets(&measured, &memory);
    print!("\n{}\n\n{}", machine::in_words(&about), times(&measured));
    left_out.iter().for_each(|one| println!("{} is left out: {}", one.name, one.reason));
    print!("\n{}\n", memory_table(&memory));
    targets.iter().for_each(|target| println!("{target}"));
    let path = json.unwrap_or_else(|| folder.join("start.json"));
    save(&report(about, count, &measured, &left_out, &memory, &targets), &path)?;
    Ok(ExitCode::SUCCESS)
}

/// The candidates that work here, and those that do not.
fn choose(
    runner: &mut Runner,
    folder: &Path,
    tender: &Path,
    hello: &Path,
) -> (Vec<Measured>, Vec<LeftOut>) {
    let (mut measured, mut left_out) = (Vec::new(), Vec::new());
    for found in programs::all(folder, tender, hello).into_iter().chain(containers::all(folder)) {
        match found {
            Ok(candidate) => match runner.attempt(&candidate) {
                Ok(()) => measured.push(Measured { candidate, samples: Vec::new() }),
                Err(reason) => left_out.push(LeftOut::new(&candidate.name, &reason)),
            },
            Err((name, reason)) => left_out.push(LeftOut::new(name, &reason)),
        }
    }
    (measured, left_out)
}

/// Runs all in rounds, the first of which do not count.
fn rounds(runner: &mut Runner, measured: &mut [Measured], count: u64) -> Result<()> {
    let warm_up = (count / WARM_UP_SHARE).max(2);
    let start = Instant::now();
    for round in 0..warm_up + count {
        for at in rounds::order(measured.len(), round) {
            let one = &mut measured[at];
            if !round.is_multiple_of(one.candidate.every) {
                continue;
            }
            let elapsed = runner.time(&one.candidate)?;
            if round >= warm_up {
                one.samples.push(u64::try_from(elapsed.as_nanos()).context("a run of centuries")?);
            }
        }
        if round.is_multiple_of(50) {
            eprintln!("round {round} of {}, {} s", warm_up + count, start.elapsed().as_secs());
        }
    }
    Ok(())
}

/// The memory of those that run the unikernel under our tender.
fn memory(measured: &[Measured]) -> Vec<Memory> {
    let ours = |one: &&Measured| [HELLO, HELLO_ALONE].contains(&one.name());
    let observe = |one: &Measured| Memory {
        name: one.name().into(),
        peaks: peak::observe(&one.candidate).map_err(|reason| format!("{reason:#}")),
    };
    measured.iter().filter(ours).map(observe).collect()
}

fn times(measured: &[Measured]) -> String {
    let heads = ["start to end, us", "median", "p10", "p90", "deviation", "n", "x static"];
    let reference = median(measured, STATIC).unwrap_or_default();
    let mut rows = vec![heads.map(str::to_owned).to_vec()];
    for one in measured {
        let Some(summary) = one.summary() else { continue };
        rows.push(vec![
            one.name().to_owned(),
            table::microseconds(summary.median),
            table::microseconds(summary.p10),
            table::microseconds(summary.p90),
            table::microseconds(summary.deviation),
            summary.count.to_string(),
            table::ratio(summary.median, reference),
        ]);
    }
    table::format(&rows)
}

fn memory_table(memory: &[Memory]) -> String {
    let heads = ["memory of a process", "most", "at its end"];
    let mut rows = vec![heads.map(str::to_owned).to_vec()];
    for start in memory {
        let name = &start.name;
        match &start.peaks {
            Err(reason) => rows.push(vec![format!("{name}: not known: {reason}")]),
            Ok(peaks) => rows.extend(peaks.iter().map(|peak| {
                let (most, last) = (size::format(peak.most_bytes), size::format(peak.last_bytes));
                vec![format!("{name}: {}", peak.name), most, last]
            })),
        }
    }
    table::format(&rows)
}

fn median(measured: &[Measured], name: &str) -> Option<u64> {
    measured.iter().find(|one| one.name() == name)?.summary().map(|summary| summary.median)
}

/// What was aimed at and what came out, a line each.
fn targets(measured: &[Measured], memory: &[Memory]) -> Vec<String> {
    let times = TARGETS.iter().map(|&(name, reference, hundredths)| {
        let aim = format!("{name}: at most {} x {reference}", table::ratio(hundredths, 100));
        match (median(measured, name), median(measured, reference)) {
            (Some(ours), Some(theirs)) => {
                let is_met = u128::from(ours) * 100 <= u128::from(theirs) * u128::from(hundredths);
                format!("{aim}: {}, {}", table::ratio(ours, theirs), verdict(is_met))
            }
            _ => format!("{aim}: not measured"),
        }
    });
    let sizes = memory.iter().map(|start| {
        let aim = format!("{}: guest below {}", start.name, size::format(MEMORY_TARGET_BYTES));
        match start.guest() {
            Some(peak) => {
                let is_met = peak.most_bytes < MEMORY_TARGET_BYTES;
                format!("{aim}: {}, {}", size::format(peak.most_bytes), verdict(is_met))
            }
            None => format!("{aim}: not measured"),
        }
    });
    times.chain(sizes).collect()
}

fn verdict(is_met: bool) -> &'static str {
    if is_met { "met" } else { "missed" }
}

fn report(
    about: Value,
    rounds: u64,
    measured: &[Measured],
    left_out: &[LeftOut],
    memory: &[Memory],
    targets: &[String],
) -> Value {
    let candidate = |one: &Measured| {
        let arguments = one.candidate.arguments.iter().map(|word| word.to_string_lossy());
        json!({
            "name": one.name(),
            "program": one.candidate.program,
            "arguments": arguments.collect::<Vec<_>>(),
            "version": machine::version(&one.candidate),
            "every": one.candidate.every,
            "samples_ns": one.samples,
        })
    };
    let peak = |peak: &Peak| {
        json!({
            "process": peak.name,
            "most_bytes": peak.most_bytes,
            "last_bytes": peak.last_bytes,
        })
    };
    let start = |start: &Memory| {
        let peaks = start.peaks.as_ref().map(|peaks| peaks.iter().map(peak).collect::<Vec<_>>());
        json!({ "name": start.name, "processes": peaks.ok() })
    };
    json!({
        "bench": "start",
        "about": about,
        "rounds": rounds,
        "candidates": measured.iter().map(candidate).collect::<Vec<_>>(),
        "left_out": left_out
            .iter()
            .map(|one| json!({ "name": one.name, "reason": one.reason }))
            .collect::<Vec<_>>(),
        "memory": memory.iter().map(start).collect::<Vec<_>>(),
        "targets": targets,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn measured(name: &str, samples: &[u64]) -> Measured {
        let candidate = Candidate::new(name, Path::new("/x"), [""; 0]);
        Measured { candidate, samples: samples.into() }
    }

    #[test]
    fn targets_are_judged_by_medians_up_to_the_last_part() {
        let all = [measured(STATIC, &[100]), measured(HELLO, &[1, 115, 999])];
        assert_eq!(targets(&all, &[])[0], "tender hello: at most 1.15 x static: 1.15, met");
        let all = [measured(STATIC, &[1000]), measured(HELLO, &[1151])];
        let lines = targets(&all, &[]);
        assert!(lines[0].ends_with("1.15, missed"), "{}", lines[0]);
        assert!(lines[2].ends_with("not measured"), "{}", lines[2]);
    }

    #[test]
    fn the_guest_is_told_from_its_supervisor() {
        let peak = |name: &str, most_bytes| Peak { name: name.into(), most_bytes, last_bytes: 0 };
        let start = |peaks| Memory { name: HELLO.into(), peaks: Ok(peaks) };
        let both = start(vec![peak("tender-guest", 5 << 10), peak("tender", 900 << 10)]);
        let lines = targets(&[], &[both, start(vec![peak("tender", 600 << 10)])]);
        assert!(lines[3].ends_with("5.0 KiB, met"), "{}", lines[3]);
        assert!(lines[4].ends_with("600.0 KiB, missed"), "{}", lines[4]);
    }

    #[test]
    fn a_table_without_a_reference_has_no_ratio() {
        let text = times(&[measured("runc", &[70_000_000]), measured("crun", &[])]);
        let cells: Vec<_> = text.lines().nth(1).unwrap().split_whitespace().collect();
        assert_eq!(cells, ["runc", "70000.0", "70000.0", "70000.0", "0.0", "1", "-"]);
        assert_eq!(text.lines().count(), 2);
    }
}
