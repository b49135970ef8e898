//! `process`: what the first process is given, and what of it the guest has.

use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use nix::libc;
use serde_json::{Value, json};
use suite::Binaries;
use suite::run::TIME_OUT;

use super::{Life, Place, field};
use crate::Case;

/// No capability at all, as the kernel writes it.
const NONE: &str = "0000000000000000";

/// All cases of this file.
pub(super) fn cases() -> Vec<Case> {
    vec![
        Case::new("oci::spec::process::args, env and cwd", words),
        Case::new("oci::spec::process::user, groups and umask", user),
        Case::new("oci::spec::process::capabilities", capabilities),
        Case::new("oci::spec::process::no new privileges, asked for or not", no_new_privileges),
        Case::new("oci::spec::process::rlimits", rlimits),
        Case::new("oci::spec::process::oomScoreAdj", oom_score),
        Case::new("oci::spec::process::scheduler and ioPriority", scheduler),
        Case::new("oci::spec::process::personality", personality),
        Case::new("oci::spec::process::memoryPolicy", memory_policy),
        Case::new("oci::spec::process::seccomp", seccomp),
        Case::new("oci::spec::process::apparmorProfile where there is no AppArmor", apparmor),
        Case::new("oci::spec::process::intelRdt where there is none", intel_rdt),
    ]
}

fn words(binaries: &Binaries) -> Result<()> {
    let place = Place::new(binaries)?;
    let output = place.output(&["/arguments", "one", "--two=2", "three"], |_| {})?;
    ensure!(output == "<one>\n<--two=2>\n<three>\n", "{output}");
    let output = place.output(&["/environment"], |config| {
        config["process"]["env"] = json!(["A=1", "B=b c", "NABLA_MEMORY=16M"]);
    })?;
    ensure!(output.contains("A=<1>\n") && output.contains("B=<b c>\n"), "{output}");
    ensure!(!output.contains("NABLA"), "{output}");
    // A name without a slash is looked for in PATH.
    let output = place.output(&["arguments", "found"], |config| {
        config["process"]["env"] = json!(["PATH=/nowhere:/"]);
    })?;
    ensure!(output == "<found>\n", "{output}");

    let life = place.start(|config| config["process"]["cwd"] = json!("/dev/shm"))?;
    let cwd = std::fs::read_link(place.proc(life.first, "cwd"))?;
    ensure!(cwd == std::path::Path::new("/dev/shm"), "{cwd:?}");
    life.end()?;
    for cwd in ["/no/such", "relative"] {
        place.refused("", |config| config["process"]["cwd"] = json!(cwd))?;
    }
    Ok(())
}

fn user(binaries: &Binaries) -> Result<()> {
    let place = Place::new(binaries)?;
    let life = place.start(|config| {
        config["process"]["user"] =
            json!({ "uid": 1000, "gid": 1001, "additionalGids": [5, 6], "umask": 0o27 });
    })?;
    for status in [life.first("status")?, life.guest("status")?] {
        ensure!(field(&status, "Uid") == "1000 1000 1000 1000", "{status}");
        ensure!(field(&status, "Gid") == "1001 1001 1001 1001", "{status}");
        ensure!(field(&status, "Groups") == "5 6", "{status}");
        ensure!(field(&status, "Umask") == "0027", "{status}");
    }
    life.end()
}

fn capabilities(binaries: &Binaries) -> Result<()> {
    let place = Place::new(binaries)?;
    let some = json!({
        "bounding": ["CAP_CHOWN", "CAP_KILL", "CAP_SETUID"],
        "permitted": ["CAP_CHOWN", "CAP_KILL"],
        "effective": ["CAP_CHOWN"],
        "inheritable": ["CAP_KILL"],
        "ambient": ["CAP_KILL"],
    });
    let bundle = place.bundle(|config| config["process"]["capabilities"] = some)?;
    let runtime = place.runtime();
    runtime.create(&bundle)?;
    let first = runtime.state(&bundle)?["pid"].as_i64().unwrap_or_default();
    let life = Life { place: &place, bundle, first };
    let status = life.first("status")?;
    let of = |name| u64::from_str_radix(&field(&status, name), 16).unwrap_or(u64::MAX);
    ensure!(of("CapBnd") == 1 << 0 | 1 << 5 | 1 << 7, "{status}");
    ensure!(of("CapPrm") == 1 << 0 | 1 << 5, "{status}");
    ensure!(of("CapEff") == 1 << 0, "{status}");
    ensure!(of("CapInh") == 1 << 5 && of("CapAmb") == 1 << 5, "{status}");
    runtime.about(&life.bundle, &["start"])?;
    no_capabilities(&life)?;
    // The supervisor renounces them as well, soon after the guest is confined.
    let deadline = Instant::now() + TIME_OUT;
    loop {
        let status = life.first("status")?;
        if field(&status, "CapPrm") == NONE && field(&status, "CapEff") == NONE {
            break;
        }
        ensure!(Instant::now() < deadline, "{status}");
        thread::sleep(Duration::from_millis(2));
    }
    life.end()?;
    // The guest has none, whatever it may be given.
    let life = place.start(|config| {
        config["process"].as_object_mut().map(|all| all.remove("capabilities"));
    })?;
    no_capabilities(&life)?;
    life.end()?;
    place.refused("CAP_NONSENSE", |config| {
        config["process"]["capabilities"]["bounding"] = json!(["CAP_NONSENSE"]);
    })
}

fn no_capabilities(life: &Life<'_>) -> Result<()> {
    let status = life.guest("status")?;
    for set in ["CapBnd", "CapPrm", "CapEff", "CapInh", "CapAmb"] {
        ensure!(field(&status, set) == NONE, "{status}");
    }
    Ok(())
}

fn no_new_privileges(binaries: &Binaries) -> Result<()> {
    let place = Place::new(binaries)?;
    for asked in [true, false] {
        let life = place.start(|config| config["process"]["noNewPrivileges"] = json!(asked))?;
        ensure!(field(&life.guest("status")?, "NoNewPrivs") == "1");
        ensure!(field(&life.first("status")?, "NoNewPrivs") == "1");
        life.end()?;
    }
    Ok(())
}

fn rlimits(binaries: &Binaries) -> Result<()> {
    let place = Place::new(binaries)?;
    let limit =
        |kind: &str, soft: u64, hard: u64| json!({ "type": kind, "soft": soft, "hard": hard });
    let two = json!([limit("RLIMIT_NOFILE", 300, 400), limit("RLIMIT_CORE", 0, 7)]);
    let life = place.start(|config| config["process"]["rlimits"] = two)?;
    let limits = life.first("limits")?;
    let of = |name: &str| {
        let line = limits.lines().find_map(|line| line.strip_prefix(name));
        line.unwrap_or_default().split_whitespace().take(2).collect::<Vec<_>>().join(" ")
    };
    ensure!(of("Max open files") == "300 400" && of("Max core file size") == "0 7", "{limits}");
    // The guest's are the same or narrower.
    let limits = life.guest("limits")?;
    let narrow = limits.lines().find(|line| line.starts_with("Max open files"));
    let files: u64 =
        narrow.and_then(|line| line.split_whitespace().nth(3)?.parse().ok()).unwrap_or(u64::MAX);
    ensure!(files <= 300, "{limits}");
    life.end()?;
    place.refused("RLIMIT_NONSENSE", |config| {
        config["process"]["rlimits"] = json!([limit("RLIMIT_NONSENSE", 1, 1)]);
    })?;
    place.refused("twice", |config| {
        let one = limit("RLIMIT_NOFILE", 300, 400);
        config["process"]["rlimits"] = json!([one, one]);
    })
}

fn oom_score(binaries: &Binaries) -> Result<()> {
    let place = Place::new(binaries)?;
    let life = place.start(|config| config["process"]["oomScoreAdj"] = json!(321))?;
    ensure!(life.first("oom_score_adj")? == "321\n" && life.guest("oom_score_adj")? == "321\n");
    life.end()?;
    // Unset, it is what the runtime's is.
    let life = place.start(|_| {})?;
    ensure!(life.first("oom_score_adj")? == read_own("oom_score_adj")?);
    life.end()
}

fn read_own(file: &str) -> Result<String> {
    super::read(&std::path::Path::new("/proc/self").join(file))
}

/// The policy and nice value that the kernel has for a process (proc_pid_stat(5), fields 41 and 19).
fn policy(stat: &str) -> (String, String) {
    let fields: Vec<&str> =
        stat.rsplit(')').next().unwrap_or_default().split_whitespace().collect();
    let at = |number: usize| fields.get(number - 3).map_or("", |it| *it).to_owned();
    (at(41), at(19))
}

fn scheduler(binaries: &Binaries) -> Result<()> {
    let place = Place::new(binaries)?;
    let life = place.start(|config| {
        config["process"]["scheduler"] = json!({ "policy": "SCHED_BATCH", "nice": 5 });
        config["process"]["ioPriority"] = json!({ "class": "IOPRIO_CLASS_IDLE", "priority": 3 });
    })?;
    let batch = libc::SCHED_BATCH.to_string();
    for stat in [life.first("stat")?, life.guest("stat")?] {
        ensure!(policy(&stat) == (batch.clone(), "5".into()), "{stat}");
    }
    let guest = life.guest_process()?;
    for process in [life.first, guest] {
        let words = ["ionice", "-p", &*process.to_string()];
        let shown = place.sandbox.succeed(&words)?;
        ensure!(shown.trim() == "idle", "{shown}");
    }
    life.end()?;
    place.refused("nice", |config| {
        config["process"]["scheduler"] = json!({ "policy": "SCHED_OTHER", "nice": 25 });
    })?;
    place.refused("priority", |config| {
        config["process"]["scheduler"] = json!({ "policy": "SCHED_OTHER", "priority": 5 });
    })?;
    place.refused("priority", |config| {
        config["process"]["ioPriority"] = json!({ "class": "IOPRIO_CLASS_BE", "priority": 8 });
    })
}

fn personality(binaries: &Binaries) -> Result<()> {
    let place = Place::new(binaries)?;
    let life =
        place.start(|config| config["linux"]["personality"] = json!({ "domain": "LINUX32" }))?;
    ensure!(life.first("personality")?.trim() == "00000008");
    ensure!(life.guest("personality")?.trim() == "00000008");
    life.end()?;
    place.refused("personality flag", |config| {
        config["linux"]["personality"] =
            json!({ "domain": "LINUX", "flags": ["ADDR_NO_RANDOMIZE"] });
    })
}

fn memory_policy(binaries: &Binaries) -> Result<()> {
    if !std::path::Path::new("/proc/self/numa_maps").exists() {
        return Ok(());
    }
    let place = Place::new(binaries)?;
    let life = place.start(|config| {
        config["linux"]["memoryPolicy"] = json!({ "mode": "MPOL_INTERLEAVE", "nodes": "0" });
    })?;
    for maps in [life.first("numa_maps")?, life.guest("numa_maps")?] {
        // Those that have memory of their own; the kernel's pages are nobody's.
        let mut own = maps.lines().filter(|line| line.contains(" anon=")).peekable();
        ensure!(own.peek().is_some(), "{maps}");
        ensure!(own.all(|line| line.split(' ').nth(1) == Some("interleave:0")), "{maps}");
    }
    life.end()?;
    place.refused("MPOL_NONSENSE", |config| {
        config["linux"]["memoryPolicy"] = json!({ "mode": "MPOL_NONSENSE", "nodes": "0" });
    })
}

/// The guest's own filter stands alone; a profile that forbids what the guest needs keeps it from starting.
fn seccomp(binaries: &Binaries) -> Result<()> {
    let place = Place::new(binaries)?;
    let refuse = json!({ "defaultAction": "SCMP_ACT_ERRNO", "syscalls": [] });
    let permit = json!({
        "defaultAction": "SCMP_ACT_ALLOW",
        "syscalls": [{ "names": ["mount", "bpf"], "action": "SCMP_ACT_ERRNO" }],
    });
    let hooks = json!({ "createRuntime": [{ "path": "/bin/true" }] });
    for hooks in [Value::Null, hooks] {
        let life = place.start(|config| {
            config["linux"]["seccomp"] = permit.clone();
            config["hooks"] = hooks.clone();
        })?;
        let status = life.guest("status")?;
        ensure!(field(&status, "Seccomp") == "2", "{status}");
        ensure!(field(&status, "Seccomp_filters") == "1", "{status}");
        life.end()?;
        let bundle = place.bundle(|config| {
            config["linux"]["seccomp"] = refuse.clone();
            config["hooks"] = hooks.clone();
        })?;
        let runtime = place.runtime();
        runtime.create(&bundle)?;
        let Err(error) = runtime.about(&bundle, &["start"]) else { anyhow::bail!("started") };
        ensure!(format!("{error:#}").contains("seccomp profile does not permit"), "{error:#}");
        runtime.about(&bundle, &["delete", "--force"])?;
        place.gone(&bundle)?;
    }
    Ok(())
}

fn apparmor(binaries: &Binaries) -> Result<()> {
    if std::path::Path::new("/sys/module/apparmor").exists() {
        return Ok(());
    }
    let place = Place::new(binaries)?;
    place.refused("", |config| config["process"]["apparmorProfile"] = json!("some"))
}

fn intel_rdt(binaries: &Binaries) -> Result<()> {
    let place = Place::new(binaries)?;
    place.refused("closID", |config| config["linux"]["intelRdt"] = json!({ "closID": ".." }))?;
    if std::path::Path::new("/sys/fs/resctrl").exists() {
        return Ok(());
    }
    place.refused("resctrl", |config| config["linux"]["intelRdt"] = json!({ "closID": "one" }))
}
