//! The numbers of tables and pictures are those of the data.

use std::collections::{BTreeMap, BTreeSet};

use measure_report::{Measurement, Target, Verdict, render, targets};
use surface::model::{
    Call, Code, KernelCode, KernelId, Permitted, Phase, Policy, Progress, Role, Run,
};

fn names(names: &[&str]) -> BTreeSet<String> {
    names.iter().map(|name| (*name).to_string()).collect()
}

fn call(count: u64, functions: &[&str], interrupts: &[&str]) -> Call {
    Call { count, functions: names(functions), interrupts: names(interrupts) }
}

fn phase(name: &str, repeat: u32, role: &str, calls: &[(&str, Call)]) -> Phase {
    let calls = calls.iter().map(|(name, call)| ((*name).to_string(), call.clone()));
    let role = (role.to_string(), Role { processes: 1, calls: calls.collect() });
    let roles = BTreeMap::from([role]);
    Phase { name: name.into(), repeat, requests: 10, events: 1, roles, progress: Vec::new() }
}

fn run(system: &str, phases: Vec<Phase>) -> Run {
    let kernel = KernelId { release: "r".into(), version: "v".into(), traceable: 9, calls: 300 };
    let (workload, policies) = ("httpd".into(), Vec::new());
    Run { system: system.into(), workload, seed: 1, kernel, phases, policies }
}

/// Two repeats of ours, one of theirs.
fn small() -> Measurement {
    let ours = [
        phase(
            "steady",
            0,
            "guest",
            &[("read", call(20, &["a", "b"], &["i"])), ("write", call(10, &["b", "c"], &[]))],
        ),
        phase("steady", 1, "guest", &[("read", call(21, &["a", "d"], &[]))]),
    ];
    let calls = ["read", "write"].map(|name| Permitted { name: name.into(), conditional: true });
    let mut ours = run("nabla-tap", ours.into());
    ours.policies = vec![Policy { role: "guest".into(), filters: 1, calls: calls.into() }];
    let theirs: Vec<String> = (0..15).map(|at| format!("t{at}")).chain(["a".into()]).collect();
    let theirs: Vec<&str> = theirs.iter().map(String::as_str).collect();
    let theirs =
        run("runc", vec![phase("steady", 0, "server", &[("recv", call(5, &theirs, &[]))])]);
    let weights = [("a", 10, 2), ("b", 20, 3), ("c", 30, 4), ("d", 1040, 50)];
    let weights =
        weights.map(|(name, bytes, complexity)| (name.into(), Code { bytes, complexity }));
    Measurement {
        runs: vec![theirs, ours],
        code: Some(KernelCode { release: "6.1-x".into(), functions: weights.into() }),
        ..Measurement::default()
    }
}

/// The cells of the first row of a text's table that begins so.
fn row(markdown: &str, start: &[&str]) -> Vec<String> {
    let rows = markdown.lines().filter_map(|line| line.strip_prefix("| "));
    let cells = rows.map(|row| {
        row.trim_end_matches(" |").split(" | ").map(str::to_owned).collect::<Vec<String>>()
    });
    let found = cells.into_iter().find(|cells| {
        cells.len() > start.len() && cells.iter().zip(start).all(|(cell, start)| cell == start)
    });
    found.unwrap_or_else(|| panic!("no row begins with {start:?}"))
}

#[test]
fn functions_are_counted_over_repeats() {
    let report = render(&small(), "");
    // Any repeat: a b c d. Every repeat: a. With interrupts: i as well.
    let cells = row(&report.markdown, &["`httpd`", "Nabla, TAP", "4"]);
    assert_eq!(cells[2..], ["4", "1", "5", "2", "guest 4"]);
    // Of read alone: a d; of write alone: c; b is of both.
    assert_eq!(row(&report.markdown, &["Nabla, TAP", "`read`"])[2..], ["2", "3"]);
    assert_eq!(row(&report.markdown, &["Nabla, TAP", "`write`"])[2..], ["1", "2"]);
    assert_eq!(row(&report.markdown, &["Nabla, TAP", "several calls"])[2], "1");
    assert!(report.pictures["steady.svg"].contains("<title>Nabla, TAP: 4</title>"));
}

#[test]
fn pairs_have_what_is_common_and_what_is_not() {
    let report = render(&small(), "");
    let cells = row(&report.markdown, &["`httpd`", "Nabla, TAP", "runc"]);
    assert_eq!(cells[3..], ["3", "1", "15"]);
    assert!(report.markdown.contains("- Ours alone, 3: `b c d`"));
}

#[test]
fn calls_are_counted_for_each_request() {
    let report = render(&small(), "");
    // 41 reads and 10 writes in 20 requests, 5 calls in 10.
    assert_eq!(row(&report.markdown, &["`read`"]), ["`read`", "2.05", "–"]);
    assert_eq!(row(&report.markdown, &["`write`"]), ["`write`", "0.5", "–"]);
    assert_eq!(row(&report.markdown, &["`recv`"]), ["`recv`", "–", "0.5"]);
    let cells = row(&report.markdown, &["`httpd`", "Nabla, TAP", "guest"]);
    assert_eq!(cells[3..], ["1", "2", "2", "2"]);
}

#[test]
fn weights_are_sums() {
    let report = render(&small(), "");
    let bytes = report.markdown.find("Bytes of machine code").unwrap();
    let cells = row(&report.markdown[..bytes], &["`httpd`", "Nabla, TAP", "4", "59"]);
    assert_eq!(cells[4], "0");
    let cells = row(&report.markdown[bytes..], &["`httpd`", "Nabla, TAP", "4"]);
    assert_eq!(cells[3], "1\u{202f}100");
    // Fifteen of theirs have no known code.
    let cells = row(&report.markdown[bytes..], &["`httpd`", "runc", "16"]);
    assert_eq!(cells[3..], ["10", "15"]);
    assert_eq!(row(&report.markdown, &["`d`"])[1..], ["50", "1\u{202f}040", "yes", "–"]);
}

fn target(measurement: &Measurement, title: &str) -> Target {
    let mut targets = targets(measurement).into_iter();
    targets.find(|target| target.title.starts_with(title)).unwrap()
}

#[test]
fn a_target_is_met_at_its_limit() {
    let mut measurement = small();
    let share = target(&measurement, "httpd on TAP: at most 20");
    assert_eq!((share.measured.clone(), share.is_met()), (Ok(0.25), Some(false)));
    let calls: Vec<&str> = share.way.iter().map(|way| way.call.as_str()).collect();
    assert_eq!(calls, ["read", "write"]);
    assert_eq!(share.way[0].functions, ["a", "b", "d"]);

    let server = measurement.runs[0].phases[0].roles.get_mut("server").unwrap();
    let recv = server.calls.get_mut("recv").unwrap();
    recv.functions.extend(["u1", "u2", "u3", "u4"].map(String::from));
    assert_eq!(target(&measurement, "httpd on TAP: at most 20").measured, Ok(0.2));
    assert_eq!(target(&measurement, "httpd on TAP: at most 20").is_met(), Some(true));
    assert!(target(&measurement, "httpd on TAP: at most 20").way.is_empty());
    assert_eq!(target(&measurement, "httpd on TAP: at most 250").measured, Ok(4.0));
    assert_eq!(target(&measurement, "Guests of httpd and kv: at most 7").measured, Ok(2.0));
    assert_eq!(target(&measurement, "Any guest in service: at most 4").measured, Ok(2.0));
}

#[test]
fn a_target_without_data_is_neither_met_nor_missed() {
    let mut measurement = small();
    measurement.about.missing.insert("gvisor".into(), "it was not there".into());
    let ring = target(&measurement, "httpd on a ring, guest alone: at most 110");
    assert_eq!(ring.is_met(), None);
    let gvisor = targets(&measurement).into_iter().find(|target| target.title.contains("gVisor"));
    let why = gvisor.unwrap().measured.unwrap_err();
    assert_eq!(why, "not measured: httpd on gVisor: it was not there");
    // A guest without a filter is permitted everything, which no number of calls says.
    measurement.runs[1].policies[0].filters = 0;
    assert!(target(&measurement, "Guests of httpd and kv: at most 7").measured.is_err());
}

#[test]
fn fewer_is_told_against_no_filter() {
    let fuzzed = |system: &str, count: usize| {
        let functions: Vec<String> = (0..count).map(|at| format!("f{at:04}")).collect();
        let functions: Vec<&str> = functions.iter().map(String::as_str).collect();
        let role = if system.starts_with("nabla") { "guest" } else { "fuzzer" };
        let mut phase = phase("fuzz", 0, role, &[("bpf", call(9, &functions, &[]))]);
        phase.progress = vec![Progress { calls: 5000, functions: count as u32 }];
        Run { workload: "fuzz".into(), ..run(system, vec![phase]) }
    };
    let fuzz = vec![fuzzed("nabla-tap", 20), fuzzed("native", 1000), fuzzed("docker", 800)];
    let measurement = Measurement { fuzz, ..Measurement::default() };
    let report = render(&measurement, "");
    let cells = row(&report.markdown, &["Nabla, TAP, guest alone", "5\u{202f}000", "20", "20"]);
    assert_eq!(cells[5], "98.0\u{a0}%");
    assert_eq!(
        row(&report.markdown, &["Docker's profile", "5\u{202f}000", "800", "800"])[5],
        "20.0\u{a0}%"
    );
    assert_eq!(target(&measurement, "Fuzzer, Nabla, TAP").is_met(), Some(true));
    assert_eq!(target(&measurement, "Fuzzer, Nabla, ring").is_met(), None);
}

#[test]
fn vulnerabilities_are_counted_by_system() {
    let verdict = |id: &str, runc: bool| Verdict {
        id: id.into(),
        title: "t".into(),
        year: 2022,
        source: "https://example.org/(x)".into(),
        part: "mm".into(),
        needs: String::new(),
        reachable: [
            ("runc".into(), runc),
            ("nabla-tap".into(), false),
            ("nabla-ring".into(), false),
        ]
        .into(),
    };
    let verdicts = vec![verdict("CVE-2022-10000", false), verdict("CVE-2022-9999", true)];
    let report = render(&Measurement { verdicts, ..Measurement::default() }, "");
    // Ours stand the same, so they share a row.
    assert_eq!(row(&report.markdown, &["Nabla, ring; Nabla, TAP"])[1..], ["0", "2"]);
    assert_eq!(row(&report.markdown, &["runc"])[1..], ["1", "2"]);
    let place =
        |id: &str| report.markdown.find(&format!("[{id}](https://example.org/%28x%29)")).unwrap();
    assert!(place("CVE-2022-9999") < place("CVE-2022-10000"));
}

#[test]
fn a_launch_is_a_part_of_a_start_alone() {
    let mut measurement = small();
    for name in ["start", "steady"] {
        let phase = phase(name, 2, "launch", &[("execve", call(1, &["x", "y"], &[]))]);
        measurement.runs[1].phases.push(phase);
    }
    let report = render(&measurement, "");
    assert_eq!(row(&report.markdown, &["`httpd`", "Nabla, TAP", "2"])[6], "launch 2");
    assert_eq!(row(&report.markdown, &["`httpd`", "Nabla, TAP", "4"])[2..4], ["4", "0"]);
    assert_eq!(target(&measurement, "httpd on TAP: at most 250").measured, Ok(4.0));
}

#[test]
fn no_number_is_made_of_silence() {
    let mut measurement = small();
    let silent = measurement.runs[1].phases.iter_mut().flat_map(|phase| phase.roles.values_mut());
    silent.for_each(|role| role.calls.clear());
    let why = target(&measurement, "httpd on TAP: at most 250").measured.unwrap_err();
    assert_eq!(why, "nothing was recorded of Nabla, TAP at work");
}
