//! How much servers do in a second, and in a second of a processor.
//!
//! Servers have one processor and the client another, where there are two. A processor second counts all processes of
//! a server: of ours the guest, its supervisor and its gateway, of a container the runtime's, gVisor's kernel and
//! file server with them. What the kernel does for a server in nobody's name, or in the client's, is in none of them:
//! a veth pair hands what the client sends to the server's kernel in the client's time, a TAP interface leaves that to
//! the guest. So the second kind of figure flatters servers on veth; the third, of all processors, does not, but it counts the
//! client, and whatever else the machine does.

use std::time::Duration;

use anyhow::Result;
use measure_report::figure::{Better, Figure};

use super::{Options, add, bar, empty};
use crate::bench::{self, Sample, Trials};

/// Rounds, and for how long a block device is used in each way.
const ROUNDS: u64 = 5;
const BLOCK_TIME: Duration = Duration::from_millis(250);
const QUICK_BLOCK_TIME: Duration = Duration::from_millis(50);
/// A candidate's turn, in whole seconds as benches have it; a warm-up of half a second is before it.
const SECONDS: &str = "1";

/// What is made of a trial.
struct Kind {
    /// The end of a figure's name.
    id: &'static str,
    /// Of the title.
    what: &'static str,
    better: Better,
    value: fn(&Sample) -> f64,
}

/// All figures of throughput. Servers that are not installed are left out, which notes tell.
///
/// # Errors
/// If something does not build, network namespaces cannot be made (they need root), or no server works.
pub(crate) fn throughput(options: Options) -> Result<Vec<Figure>> {
    let rounds = if options.quick { 1 } else { ROUNDS };
    let text = rounds.to_string();
    let times = ["--seconds", SECONDS, "--rounds", &text];
    let mut figures = Vec::new();

    let candidates =
        if options.quick { "tap,ring,nginx,runc,runsc" } else { "tap,ring,user,nginx,runc,runsc" };
    let rows = if options.quick { "keep-64" } else { "keep-64,short-64" };
    let words = [&["--candidates", candidates, "--rows", rows][..], &times].concat();
    let found = bench::http::trials(&words)?;
    figures.extend(server_figures(options, "http", "HTTP, a page of 1 KiB", "requests", &found));
    note(&mut figures, "http", &words, &found);

    let candidates =
        if options.quick { "tap,ring,redis,runc,runsc" } else { "tap,ring,user,redis,runc,runsc" };
    let rows = if options.quick { "get-50" } else { "get-50,set-50" };
    let words = [&["--candidates", candidates, "--rows", rows][..], &times].concat();
    let found = bench::kv::trials(&words)?;
    let title = "Redis protocol, 50 connections";
    figures.extend(server_figures(options, "kv", title, "commands", &found));
    note(&mut figures, "kv", &words, &found);

    figures.extend(datagrams(options, &times)?);
    figures.extend(blocks(options, rounds)?);
    Ok(figures)
}

/// What a second, a second of the server's processors and a second of all processors come to.
fn server_figures(
    options: Options,
    id: &str,
    title: &str,
    things: &str,
    found: &Trials,
) -> Vec<Figure> {
    let kinds = [
        Kind { id: "", what: "a second", better: Better::Higher, value: rate },
        Kind {
            id: "-cpu",
            what: "a processor second of the server's processes",
            better: Better::Higher,
            value: |sample| per_second(sample.server_ns()),
        },
        Kind {
            id: "-machine",
            what: "a processor second of the whole machine, client included",
            better: Better::Higher,
            value: |sample| per_second(sample.machine_ns()),
        },
    ];
    kinds.map(|kind| figure(options, (id, title, things), &kind, found)).into()
}

fn figure(
    options: Options,
    (id, title, things): (&str, &str, &str),
    kind: &Kind,
    found: &Trials,
) -> Figure {
    let unit = match kind.id {
        "" => format!("{things}/s"),
        _ => format!("{things}/processor second"),
    };
    let title = format!("{title}: {things} {}", kind.what);
    let command = options.command("throughput");
    let mut figure = empty(&format!("{id}{}", kind.id), &title, &unit, kind.better, command);
    for trial in found.trials.iter().filter(|trial| !trial.samples.is_empty()) {
        let samples = trial.samples.iter().map(kind.value).collect();
        add(&mut figure, &trial.candidate, bar(&trial.row, samples));
    }
    figure
}

/// Says how the figures of a bench are repeated alone, and what was wrong.
fn note(figures: &mut [Figure], bench: &str, words: &[&str], found: &Trials) {
    let is_its = |figure: &&mut Figure| figure.id.split('-').next() == Some(bench);
    for figure in figures.iter_mut().filter(is_its) {
        figure.notes.push(format!("alone: cargo xtask bench {bench} {}", words.join(" ")));
        figure.notes.extend(found.remarks.iter().cloned());
    }
}

/// Datagrams of 64 bytes that come back from the guest `inetd`, and from a plain program on the kernel's stack: with 64 of
/// them under way, and one at a time.
fn datagrams(options: Options, times: &[&str]) -> Result<Vec<Figure>> {
    let (candidates, command) = ("tap,ring,kernel", options.command("throughput"));
    let mut many = empty(
        "udp",
        "UDP echo, 64 bytes, 64 datagrams under way: echoes a second",
        "echoes/s",
        Better::Higher,
        command.clone(),
    );
    let mut cpu = empty(
        "udp-cpu",
        "UDP echo, 64 bytes, 64 datagrams under way: echoes a processor second of the server's processes",
        "echoes/processor second",
        Better::Higher,
        command.clone(),
    );
    let mut one = empty(
        "udp-latency",
        "UDP echo, 64 bytes, one datagram at a time: median time until it is back",
        "us",
        Better::Lower,
        command,
    );
    for window in ["64", "1"] {
        let asked = ["--candidates", candidates, "--rows", "udp", "--window", window];
        let words = [&asked[..], times].concat();
        let found = bench::net::trials(&words)?;
        for trial in found.trials.iter().filter(|trial| !trial.samples.is_empty()) {
            let put = |figure: &mut Figure, value: fn(&Sample) -> f64| {
                let samples = trial.samples.iter().map(value).collect();
                add(figure, &trial.candidate, bar(&trial.row, samples));
            };
            match window {
                "1" => put(&mut one, |sample| sample.p50_ns as f64 / 1e3),
                _ => {
                    put(&mut many, rate);
                    put(&mut cpu, |sample| per_second(sample.server_ns()));
                }
            }
        }
        for figure in if window == "1" { vec![&mut one] } else { vec![&mut many, &mut cpu] } {
            figure.notes.push(format!("alone: cargo xtask bench net {}", words.join(" ")));
            figure.notes.extend(found.remarks.iter().cloned());
        }
    }
    Ok(vec![many, cpu, one])
}

/// Transfers of a block device, by size, as 4 KiB and 1 MiB are no bars for one axis.
fn blocks(options: Options, rounds: u64) -> Result<Vec<Figure>> {
    let time = if options.quick { QUICK_BLOCK_TIME } else { BLOCK_TIME };
    let found = bench::block::trials(rounds, time)?;
    let command = options.command("throughput");
    let mut figures = Vec::new();
    for (id, size) in [("block-4k", "4 KiB"), ("block-1m", "1 MiB")] {
        let title = format!("Block device, transfers of {size}: transfers");
        let mut speed =
            empty(id, &format!("{title} a second"), "transfers/s", Better::Higher, command.clone());
        let mut cpu = empty(
            &format!("{id}-cpu"),
            &format!("{title} a processor second of all its processes"),
            "transfers/processor second",
            Better::Higher,
            command.clone(),
        );
        for trial in &found.trials {
            let Some((way, _)) = trial.row.split_once(", ").filter(|(_, its)| *its == size) else {
                continue;
            };
            let put = |figure: &mut Figure, value: fn(&Sample) -> f64| {
                let samples = trial.samples.iter().map(value).collect();
                add(figure, &trial.candidate, bar(way, samples));
            };
            put(&mut speed, rate);
            put(&mut cpu, |sample| per_second(sample.server_ns()));
        }
        for figure in [&mut speed, &mut cpu] {
            figure.notes.push("the file is in memory: no disk is measured".into());
            figure.notes.extend(found.remarks.iter().cloned());
        }
        figures.extend([speed, cpu]);
    }
    Ok(figures)
}

fn rate(sample: &Sample) -> f64 {
    sample.amount as f64 * 1e9 / sample.elapsed_ns.max(1) as f64
}

fn per_second(each_ns: u64) -> f64 {
    1e9 / each_ns.max(1) as f64
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bench::{Reading, Trial};

    #[test]
    fn a_contest_becomes_figures() {
        let clocks = Reading { watched_ns: 500_000, own_ns: 0, busy_ns: 1_000_000 };
        let trial = |candidate: &str, samples: Vec<Sample>| Trial {
            row: "keep-64".into(),
            candidate: candidate.into(),
            samples,
        };
        let sample = Sample::of_counts(100, 1_000_000_000, clocks);
        let found = Trials {
            trials: vec![trial("ours", vec![sample]), trial("theirs", Vec::new())],
            remarks: vec!["theirs is left out".into()],
        };
        let mut figures = server_figures(Options::default(), "http", "HTTP", "requests", &found);
        note(&mut figures, "http", &["--rounds", "1"], &found);
        let values: Vec<_> =
            figures.iter().map(|figure| figure.series[0].points[0].samples[0]).collect();
        assert_eq!(values, [100.0, 200_000.0, 100_000.0]);
        assert!(figures.iter().all(|figure| figure.series.len() == 1));
        assert_eq!(figures[1].id, "http-cpu");
        let notes = ["alone: cargo xtask bench http --rounds 1", "theirs is left out"];
        assert!(figures.iter().all(|figure| figure.notes == notes));
    }
}
