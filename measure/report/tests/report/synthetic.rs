//! Made-up measurements, which nobody measured: to try every part of the report. Names of functions are
//! invented where they are many.

use std::collections::{BTreeMap, BTreeSet};

use measure_report::{About, Better, Figure, Measurement, Point, Reference, Series, Verdict};
use surface::model::{
    Call, Code, KernelCode, KernelId, Permitted, Phase, Policy, Progress, Role, Run,
};

/// Everything there is.
pub(crate) fn measurement() -> Measurement {
    let mut runs = Vec::new();
    for workload in ["hello", "httpd", "kv", "block"] {
        for (system, size) in SYSTEMS {
            if workload == "hello" && system == "nabla-ring"
                || (workload, system) == ("kv", "gvisor")
            {
                continue;
            }
            runs.push(run(system, workload, size));
        }
    }
    let fuzz =
        [("native", 2350), ("docker", 1900), ("runc", 1912), ("nabla-tap", 41), ("nabla-ring", 60)];
    let mut measurement = Measurement {
        about: about(),
        code: Some(code(&runs)),
        runs,
        fuzz: fuzz.map(|(system, size)| fuzzed(system, size)).into(),
        figures: vec![http(), starts(), memory()],
        references: vec![Reference {
            system: "docker".into(),
            source: "https://github.com/moby/moby/blob/v0/profiles/seccomp/default.json".into(),
            calls: (0..340).map(|at| permitted(&format!("call_{at:03}"), at % 40 == 0)).collect(),
        }],
        verdicts: verdicts(),
    };
    measurement
        .about
        .missing
        .insert("kv-gvisor".into(), "runsc is not a package of this release".into());
    measurement.about.missing.insert("gvisor".into(), "gVisor was not there".into());
    measurement
}

const SYSTEMS: [(&str, u32); 8] = [
    ("nabla-tap", 287),
    ("nabla-plain", 180),
    ("nabla-ring", 96),
    ("nabla-user", 98),
    ("solo5-tap", 301),
    ("native", 512),
    ("runc", 521),
    ("gvisor", 745),
];

fn kernel() -> KernelId {
    KernelId {
        release: "6.1.0-0-synthetic".into(),
        version: "#1 made up".into(),
        traceable: 35_609,
        calls: 362,
    }
}

fn about() -> About {
    About {
        machine: "Synthetic CPU @ 0 GHz <not measured>".into(),
        processors: 2,
        memory_bytes: 8 << 30,
        host_kernel: "6.1.0-0-synthetic".into(),
        commit: "0000000".into(),
        seed: 1,
        date: "a day that never was".into(),
        quick: true,
        versions: BTreeMap::from([
            ("runc".into(), "0.0.0".into()),
            ("nginx".into(), "0.0 & more".into()),
        ]),
        missing: BTreeMap::new(),
        remarks: BTreeMap::from([(
            "summary".into(),
            vec!["A remark of people, with <angles>.".into()],
        )]),
    }
}

fn names(first: u32, count: u32) -> BTreeSet<String> {
    const KINDS: [&str; 6] =
        ["tcp_rcv", "skb_copy", "vfs_write", "fget_light", "sched_in", "mm_walk"];
    (first..first + count).map(|at| format!("{}_{at:03}", KINDS[at as usize % 6])).collect()
}

/// Functions of calls: shares of the size, with some in common.
fn role(size: u32, seed: u32, calls: &[(&str, u32, u64)]) -> Role {
    let mut first = 0;
    let calls = calls.iter().map(|(name, part, count)| {
        let own = size * part / 100;
        let mut functions = names(first + seed, own);
        functions.extend(names(2000, 18));
        first += own;
        let interrupts = names(3000, size / 9);
        ((*name).to_string(), Call { count: *count, functions, interrupts })
    });
    Role { processes: 1, calls: calls.collect() }
}

fn run(system: &str, workload: &str, size: u32) -> Run {
    let nabla = system.starts_with("nabla") || system.starts_with("solo5");
    let size = match workload {
        "kv" => size * 9 / 10,
        "block" => size / 3,
        _ => size,
    };
    let own: &[(&str, u32, u64)] = if nabla {
        &[("write", 46, 212), ("read", 24, 240), ("ppoll", 17, 130), ("(page fault)", 9, 3)]
    } else {
        &[
            ("epoll_wait", 9, 120),
            ("accept4", 18, 10),
            ("recvfrom", 12, 100),
            ("writev", 25, 100),
            ("openat", 12, 100),
            ("close", 8, 110),
            ("sendfile", 6, 100),
            ("fstat", 2, 100),
            ("setsockopt", 3, 10),
            ("epoll_ctl", 1, 10),
        ]
    };
    let roles = |repeat: u32| {
        let seed = repeat % 2 + if system == "nabla-tap" { 260 } else { 0 };
        let name = match (nabla, system) {
            (true, _) => "guest",
            (_, "gvisor") => "sentry",
            _ => "server",
        };
        let mut roles = BTreeMap::from([(name.to_string(), role(size, seed, own))]);
        if matches!(system, "nabla-ring" | "nabla-user" | "nabla-plain") {
            roles.insert("gateway".into(), role(size * 2, 40, own));
        }
        roles
    };
    let phase = |name: &str, repeat: u32| Phase {
        name: name.into(),
        repeat,
        requests: if name == "steady" { 100 } else { 0 },
        events: 12_345,
        roles: roles(repeat),
        progress: Vec::new(),
    };
    let mut phases = vec![phase("start", 0)];
    if workload != "hello" {
        phases.extend((0..5).map(|repeat| phase("steady", repeat)));
    }
    phases.push(phase("exit", 0));
    let (role, filters, calls) = match (nabla, system) {
        (true, _) => ("guest", 1, guest_calls()),
        (_, "gvisor") => {
            ("sentry", 1, (0..67).map(|at| permitted(&format!("call_{at:03}"), at < 20)).collect())
        }
        (_, "runc") => {
            ("server", 1, (0..340).map(|at| permitted(&format!("call_{at:03}"), at < 9)).collect())
        }
        _ => ("server", 0, Vec::new()),
    };
    Run {
        system: system.into(),
        workload: workload.into(),
        seed: 1,
        kernel: kernel(),
        phases,
        policies: vec![Policy { role: role.into(), filters, calls }],
    }
}

fn permitted(name: &str, conditional: bool) -> Permitted {
    Permitted { name: name.into(), conditional }
}

fn guest_calls() -> Vec<Permitted> {
    ["clock_gettime", "exit_group", "ppoll", "pread64", "pwrite64", "read", "write"]
        .map(|name| permitted(name, true))
        .into()
}

fn fuzzed(system: &str, size: u32) -> Run {
    let progress = (0..=20).map(|at| Progress {
        calls: 4u64.pow(at / 2) * (1 + u64::from(at % 2)),
        functions: (f64::from(size) * (1.0 - (-f64::from(at) / 6.0).exp())) as u32,
    });
    let phase = Phase {
        name: "fuzz".into(),
        repeat: 0,
        requests: 0,
        events: 9,
        roles: BTreeMap::from([(
            "fuzzer".into(),
            role(size, 0, &[("read", 50, 9), ("bpf", 49, 9)]),
        )]),
        progress: progress.collect(),
    };
    Run {
        system: system.into(),
        workload: "fuzz".into(),
        seed: 1,
        kernel: kernel(),
        phases: vec![phase],
        policies: Vec::new(),
    }
}

fn code(runs: &[Run]) -> KernelCode {
    let mut functions = BTreeMap::new();
    let calls = runs.iter().flat_map(|run| &run.phases).flat_map(|phase| phase.roles.values());
    for function in calls.flat_map(|role| role.calls.values()).flat_map(|call| &call.functions) {
        let sum: u32 = function.bytes().map(u32::from).sum();
        let mixed = sum.wrapping_mul(2_654_435_761) >> 22;
        functions
            .insert(function.clone(), Code { bytes: 40 + mixed * 3, complexity: 1 + mixed / 25 });
    }
    KernelCode { release: "6.1.0-0-synthetic".into(), functions }
}

fn samples(middle: f64, count: u32) -> Vec<f64> {
    (0..count)
        .map(|at| middle * (0.94 + f64::from(at * 7 % count) * 0.12 / f64::from(count)))
        .collect()
}

fn http() -> Figure {
    let rivals = [
        ("httpd on TAP", 0.91),
        ("httpd on a ring", 1.1),
        ("nginx", 1.0),
        ("nginx in runc", 0.97),
        ("nginx in gVisor", 0.11),
    ];
    let series = rivals.map(|(name, share)| Series {
        name: name.into(),
        points: [("requests/s", 48_000.0), ("requests/s for each CPU second", 31_000.0)]
            .map(|(label, middle)| Point {
                x: None,
                label: Some(label.into()),
                samples: samples(middle * share, 9),
            })
            .into(),
    });
    Figure {
        id: "http".into(),
        title: "HTTP, a page of 1 KiB".into(),
        unit: "requests".into(),
        command: "cargo xtask measure throughput".into(),
        better: Better::Higher,
        x: None,
        series: series.into(),
        targets: vec!["as fast as nginx".into()],
        notes: vec!["Synthetic <b>data</b>.".into()],
    }
}

fn over_x(
    id: &str,
    title: &str,
    unit: &str,
    x: &str,
    rivals: &[(&str, f64, f64)],
    places: &[f64],
) -> Figure {
    let series = rivals.iter().map(|(name, base, each)| Series {
        name: (*name).into(),
        points: places
            .iter()
            .map(|place| Point {
                x: Some(*place),
                label: None,
                samples: samples(base + each * place, 7),
            })
            .collect(),
    });
    Figure {
        id: id.into(),
        title: title.into(),
        unit: unit.into(),
        command: format!("cargo xtask measure {id}"),
        better: Better::Lower,
        x: Some(x.into()),
        series: series.collect(),
        targets: Vec::new(),
        notes: Vec::new(),
    }
}

fn starts() -> Figure {
    let rivals = [
        ("tender", 2.0, 1.1),
        ("runnc", 20.0, 14.0),
        ("runc", 24.0, 19.0),
        ("gVisor", 190.0, 120.0),
    ];
    over_x(
        "start",
        "Instances started at once, until all have answered",
        "ms",
        "instances",
        &rivals,
        &[1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0],
    )
}

fn memory() -> Figure {
    let rivals = [
        ("httpd, ours", 3.0, 0.0),
        ("httpd in runnc", 4.1, 0.0),
        ("nginx in runc", 4.3, 0.0),
        ("nginx in gVisor", 41.0, 0.0),
    ];
    over_x(
        "memory",
        "Memory for each instance",
        "MB (PSS)",
        "instances",
        &rivals,
        &[1.0, 100.0, 1000.0],
    )
}

fn verdicts() -> Vec<Verdict> {
    (0..48u16)
        .map(|at| Verdict {
            id: format!("CVE-{}-{}", 2016 + at / 5, 1000 + at),
            title: format!("made-up bug {at} & <more>"),
            year: 2016 + at / 5,
            source: format!("https://example.org/{at}?a=1&b=2"),
            part: ["io_uring", "netfilter", "mm", "bpf"][usize::from(at % 4)].into(),
            needs: "unshare, socket(AF_NETLINK)".into(),
            reachable: BTreeMap::from([
                ("none".into(), true),
                ("native".into(), true),
                ("docker".into(), at % 3 == 0),
                ("runc".into(), at % 3 == 0),
                ("gvisor".into(), at % 7 == 0),
                ("nabla-tap".into(), at == 14),
                ("nabla-ring".into(), false),
            ]),
        })
        .collect()
}
