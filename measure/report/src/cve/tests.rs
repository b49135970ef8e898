//! The table that is shipped, and tables that are none.

use surface::model::{KernelId, Permitted};

use super::*;
use crate::profile::with_later;

const TABLE: &str = include_str!("../../../data/cves.json");
const PROFILE: &str = include_str!("../../../data/docker-seccomp.json");
const LATER: &str = include_str!("../../../data/docker-seccomp-later.json");

fn table() -> Table {
    Table::read(TABLE).unwrap()
}

fn policy(names: &[&str]) -> Policy {
    let permitted = |name: &&str| Permitted { name: (*name).to_owned(), conditional: true };
    let calls = names.iter().map(permitted).collect();
    Policy { role: "guest".to_owned(), filters: 1, calls }
}

/// What our guests may do (SPEC.md).
fn guest() -> Policy {
    policy(&["clock_gettime", "exit_group", "ppoll", "pread64", "pwrite64", "read", "write"])
}

fn reached(judge: &dyn Judge, held: &[&str]) -> Vec<String> {
    let (table, held) = (table(), held.iter().copied().collect());
    let subject = Subject { judge, held };
    let entries = table.entries().iter().filter(|entry| table.reaches(entry, &subject));
    entries.map(|entry| entry.id.clone()).collect()
}

#[test]
fn the_table_is_whole() {
    let table = table();
    assert!(table.entries().len() >= 60);
    for entry in table.entries() {
        assert!((2016..=2025).contains(&entry.year), "{}", entry.id);
        assert_eq!(entry.id[4..8], entry.year.to_string(), "{}", entry.id);
        assert!(entry.source.contains('.') && !entry.source.contains(' '), "{}", entry.id);
        let texts = [&entry.title, &entry.part, &entry.versions, &entry.statement];
        assert!(texts.iter().all(|text| !text.trim().is_empty()), "{}", entry.id);
        assert!(entry.statement.ends_with('.'), "{}", entry.id);
    }
    for id in ["CVE-2016-5195", "CVE-2018-14634"] {
        assert!(table.entries().iter().any(|entry| entry.id == id), "{id}");
    }
    let of_tap = table.entries().iter().find(|entry| entry.id == "CVE-2023-3812").unwrap();
    assert!(table.needs(of_tap).starts_with("a descriptor of a TAP interface"));
}

#[test]
fn without_a_filter_all_is_reached_that_needs_no_descriptor() {
    let none = Policy { role: "server".to_owned(), filters: 0, calls: Vec::new() };
    assert_eq!(reached(&none, &[]).len(), table().entries().len());
    assert_eq!(reached(&policy(&[]), &[]), [""; 0]);
}

/// Frames that a guest writes reach what the host does with frames; nothing else of the table is left.
#[test]
fn our_guests_reach_what_frames_reach() {
    assert_eq!(reached(&guest(), &[]), [""; 0]);
    let frames = ["CVE-2021-43267", "CVE-2022-0435", "CVE-2023-3812"];
    assert_eq!(reached(&guest(), &[TAP]), frames);
}

#[test]
fn dockers_profile_is_judged_by_arguments() {
    let old = Profile::read(PROFILE, &[], (6, 1)).unwrap();
    let new = Profile::read(&with_later(PROFILE, LATER).unwrap(), &[], (6, 1)).unwrap();
    let (old, new) = (reached(&old, &[]), reached(&new, &[]));
    let of = |ids: &[String], id: &str| ids.iter().any(|other| other == id);
    for (id, before, now) in [
        ("CVE-2016-5195", true, true),
        ("CVE-2022-0847", true, true),
        ("CVE-2017-7308", true, true),
        // User namespaces, the new calls for mounts, BPF.
        ("CVE-2022-0185", false, false),
        ("CVE-2024-1086", false, false),
        ("CVE-2021-3490", false, false),
        // Changed since.
        ("CVE-2021-41073", true, false),
        ("CVE-2024-26824", true, false),
        ("CVE-2024-50264", true, false),
        ("CVE-2016-0728", false, true),
    ] {
        assert_eq!((of(&old, id), of(&new, id)), (before, now), "{id}");
    }
}

#[test]
fn systems_are_judged_by_their_processes() {
    let (guest, gateway) = (guest(), policy(&["socket", "sendto", "setsockopt", "listen"]));
    let alone = Subject { judge: &guest, held: BTreeSet::new() };
    let other = Subject { judge: &gateway, held: BTreeSet::new() };
    let systems = BTreeMap::from([
        ("both".to_owned(), vec![alone.clone(), other]),
        ("guest".to_owned(), vec![alone]),
    ]);
    let verdicts = table().verdicts(&systems);
    let dccp = verdicts.iter().find(|verdict| verdict.id == "CVE-2017-6074").unwrap();
    let both = BTreeMap::from([("both".to_owned(), true), ("guest".to_owned(), false)]);
    assert_eq!((&dccp.reachable, dccp.year), (&both, 2017));
    assert_eq!(dccp.needs, "socket(AF_INET6), setsockopt, listen");
    let order: Vec<_> = verdicts.iter().map(|verdict| order(&verdict.id)).collect();
    assert!(order.is_sorted());
}

#[test]
fn processes_are_taken_from_what_was_measured() {
    let kernel =
        || KernelId { release: String::new(), version: String::new(), traceable: 0, calls: 0 };
    let run = |system: &str, roles: &[&str]| Run {
        system: system.to_owned(),
        workload: "httpd".to_owned(),
        seed: 1,
        kernel: kernel(),
        phases: Vec::new(),
        policies: roles.iter().map(|role| Policy { role: (*role).to_owned(), ..guest() }).collect(),
    };
    let runs = [
        run("nabla-tap", &["guest", "supervisor"]),
        run("nabla-tap", &["guest"]),
        run("nabla-ring", &["gateway", "guest"]),
        run("native", &[]),
    ];
    let count = |roles: &[&str]| -> Vec<(String, usize, usize)> {
        let held = |of: &[Subject<'_>]| of.iter().filter(|one| one.held.contains(TAP)).count();
        let systems = subjects(&runs, roles);
        systems.iter().map(|(name, of)| (name.clone(), of.len(), held(of))).collect()
    };
    let (ring, tap) = ("nabla-ring".to_owned(), "nabla-tap".to_owned());
    assert_eq!(count(&["guest"]), [(ring.clone(), 1, 0), (tap.clone(), 1, 1)]);
    assert_eq!(count(&["guest", "gateway"]), [(ring, 2, 1), (tap, 1, 1)]);
}

#[test]
fn what_is_no_table_is_refused() {
    let entry = |id: &str, calls: &str, source: &str| {
        format!(
            r#"{{"id":"{id}","title":"t","year":2020,"part":"p","versions":"v","calls":{calls},
            "also":[],"source":"{source}","statement":"s."}}"#
        )
    };
    let table = |entries: &str| {
        format!(r#"{{"with_arguments":{{}},"held":{{"(x)":"an x"}},"entries":[{entries}]}}"#)
    };
    let good = entry("CVE-2020-1", r#"[["read|(x)"]]"#, "https://a.example/");
    assert!(Table::read(&table(&good)).is_ok());
    let many = vec![r#"["read"]"#; 1001].join(",");
    for (text, word) in [
        (String::new(), "EOF"),
        ("[]".to_owned(), "invalid"),
        (table(&[good.as_str(), &good].join(",")), "twice"),
        (table(&entry("CVE-2020-1", r#"[["reed"]]"#, "https://a.example/")), "'reed'"),
        (table(&entry("CVE-2020-1", r#"[["(y)"]]"#, "https://a.example/")), "'(y)'"),
        (table(&entry("CVE-2020-1", "[]", "https://a.example/")), "takes nothing"),
        (table(&entry("CVE-2020-1", "[[]]", "https://a.example/")), "takes nothing"),
        (table(&entry("CVE-2020-1", r#"[["read"]]"#, "nowhere")), "no source"),
        (table(&entry("2020-1", r#"[["read"]]"#, "https://a.example/")), "no number"),
        (table(&entry("CVE-2020-1", &format!("[{many}]"), "https://a.example/")), "more than"),
    ] {
        let error = Table::read(&text).unwrap_err().to_string();
        assert!(error.contains(word), "{error}");
    }
}
