//! Namespaces, and what is set in them: names, kernel parameters, users, clocks.

use std::path::Path;

use anyhow::{Result, ensure};
use serde_json::{Value, json};
use suite::Binaries;

use super::{Place, field, namespace};
use crate::Case;

/// Kinds by the specification's name and by the kernel's.
const KINDS: [(&str, &str); 7] = [
    ("pid", "pid"),
    ("network", "net"),
    ("ipc", "ipc"),
    ("uts", "uts"),
    ("mount", "mnt"),
    ("cgroup", "cgroup"),
    ("time", "time"),
];

/// All cases of this file.
pub(super) fn cases() -> Vec<Case> {
    vec![
        Case::new("oci::spec::isolation::new namespaces", new),
        Case::new("oci::spec::isolation::no namespaces", without),
        Case::new("oci::spec::isolation::namespaces by path", by_path),
        Case::new("oci::spec::isolation::paths that are no namespaces", wrong_paths),
        Case::new("oci::spec::isolation::hostname and domainname", names),
        Case::new("oci::spec::isolation::sysctl", sysctl),
        Case::new("oci::spec::isolation::netDevices", net_devices),
        Case::new("oci::spec::isolation::users and their mappings", users),
        Case::new("oci::spec::isolation::clocks with offsets", clocks),
    ]
}

fn set_namespaces(config: &mut Value, change: impl FnOnce(&mut Vec<Value>)) {
    if let Some(all) = config["linux"]["namespaces"].as_array_mut() {
        change(all);
    }
}

fn new(binaries: &Binaries) -> Result<()> {
    let place = Place::new(binaries)?;
    let life = place.start(|config| {
        set_namespaces(config, |all| {
            all.extend([json!({ "type": "cgroup" }), json!({ "type": "time" })]);
        });
    })?;
    let guest = life.guest_process()?;
    for (kind, file) in KINDS {
        let host =
            namespace(Path::new(&format!("/proc/{}/ns/{file}", place.sandbox.first_process())))?;
        ensure!(life.namespace(file)? != host, "{kind} is the host's");
        let of_guest = namespace(&place.proc(guest, &format!("ns/{file}")))?;
        // Its own inside of the container's, but for the clocks.
        ensure!(of_guest != host, "the guest's {kind} is the host's");
        ensure!((of_guest == life.namespace(file)?) == (kind == "time"), "the guest's {kind}");
    }
    life.end()
}

fn without(binaries: &Binaries) -> Result<()> {
    let place = Place::new(binaries)?;
    for (kind, file) in KINDS.into_iter().filter(|(kind, _)| *kind != "time") {
        let life = place.start(|config| {
            set_namespaces(config, |all| all.retain(|one| one["type"] != kind));
            if kind == "uts" {
                config["hostname"] = Value::Null;
            }
            if kind == "mount" {
                (config["linux"]["maskedPaths"], config["linux"]["readonlyPaths"]) =
                    (json!([]), json!([]));
            }
        })?;
        let host =
            namespace(Path::new(&format!("/proc/{}/ns/{file}", place.sandbox.first_process())))?;
        ensure!(life.namespace(file)? == host, "{kind} is not the host's");
        life.end()?;
        if kind == "mount" {
            // What the container's mounts are in is the sandbox's.
            place.sandbox.run(&[
                "umount",
                "--recursive",
                place.root.to_str().unwrap_or_default(),
            ])?;
        }
    }
    Ok(())
}

fn by_path(binaries: &Binaries) -> Result<()> {
    let place = Place::new(binaries)?;
    let other = place.start(|config| {
        set_namespaces(config, |all| {
            all.extend([json!({ "type": "cgroup" }), json!({ "type": "time" })]);
        });
    })?;
    // As engines share a pod's, and all others as well.
    for (kind, file) in KINDS.into_iter().filter(|(kind, _)| *kind != "mount") {
        let path = format!("/proc/{}/ns/{file}", other.first);
        let life = place.start(|config| {
            set_namespaces(config, |all| {
                all.retain(|one| one["type"] != kind);
                all.push(json!({ "type": kind, "path": path }));
            });
        })?;
        ensure!(life.namespace(file)? == other.namespace(file)?, "{kind}");
        life.end()?;
    }
    // It has lost nothing by that.
    ensure!(place.runtime().state(&other.bundle)?["status"] == "running");
    other.end()
}

fn wrong_paths(binaries: &Binaries) -> Result<()> {
    let place = Place::new(binaries)?;
    for (kind, path) in [
        ("network", "/no/such"),
        ("network", "/proc/self/ns/uts"),
        ("network", "/etc/passwd"),
        ("ipc", "/proc/self/ns/uts"),
        ("pid", "/no/such"),
    ] {
        place.refused("", |config| {
            set_namespaces(config, |all| {
                all.retain(|one| one["type"] != kind);
                all.push(json!({ "type": kind, "path": path }));
            });
        })?;
    }
    // Each kind once.
    place.refused("twice", |config| {
        set_namespaces(config, |all| all.push(json!({ "type": "network" })));
    })
}

fn names(binaries: &Binaries) -> Result<()> {
    let place = Place::new(binaries)?;
    let before = place.sandbox.succeed(&["hostname"])?;
    let life = place.start(|config| {
        (config["hostname"], config["domainname"]) = (json!("one"), json!("two"));
    })?;
    let pid = life.first.to_string();
    let inside = place.sandbox.succeed(&[
        "nsenter",
        "--target",
        &pid,
        "--uts",
        "cat",
        "/proc/sys/kernel/hostname",
        "/proc/sys/kernel/domainname",
    ])?;
    ensure!(inside == "one\ntwo\n", "{inside}");
    ensure!(place.sandbox.succeed(&["hostname"])? == before);
    life.end()?;
    for key in ["hostname", "domainname"] {
        place.refused(key, |config| {
            set_namespaces(config, |all| all.retain(|one| one["type"] != "uts"));
            (config["hostname"], config["domainname"]) = (Value::Null, Value::Null);
            config[key] = json!("one");
        })?;
    }
    place.refused("hostname", |config| config["hostname"] = json!("x".repeat(65)))
}

fn sysctl(binaries: &Binaries) -> Result<()> {
    let place = Place::new(binaries)?;
    let life = place.start(|config| {
        config["linux"]["sysctl"] = json!({
            "net.ipv4.ip_forward": "1", "kernel.shm_rmid_forced": "1", "fs.mqueue.msg_max": "33",
        });
    })?;
    let pid = life.first.to_string();
    let inside = place.sandbox.succeed(&[
        "nsenter",
        "--target",
        &pid,
        "--net",
        "--ipc",
        "cat",
        "/proc/sys/net/ipv4/ip_forward",
        "/proc/sys/kernel/shm_rmid_forced",
        "/proc/sys/fs/mqueue/msg_max",
    ])?;
    ensure!(inside == "1\n1\n33\n", "{inside}");
    life.end()?;
    // Those of the whole host are refused.
    place.refused("vm.swappiness", |config| {
        config["linux"]["sysctl"] = json!({ "vm.swappiness": "1" })
    })?;
    place.refused("net.ipv4.ip_forward", |config| {
        set_namespaces(config, |all| all.retain(|one| one["type"] != "network"));
        config["linux"]["sysctl"] = json!({ "net.ipv4.ip_forward": "1" });
    })
}

fn net_devices(binaries: &Binaries) -> Result<()> {
    let place = Place::new(binaries)?;
    place.sandbox.ip("link add given type veth peer name other\n")?;
    let life = place.start(|config| {
        config["linux"]["netDevices"] = json!({ "given": { "name": "taken" } });
    })?;
    let inside = life.first("net/dev")?;
    ensure!(inside.contains("taken:"), "{inside}");
    ensure!(!place.sandbox.succeed(&["ip", "-oneline", "link"])?.contains("given"));
    life.end()
}

fn users(binaries: &Binaries) -> Result<()> {
    let place = Place::new(binaries)?;
    // As engines hand it over: the container's root owns it.
    std::os::unix::fs::chown(&place.root, Some(100_000), Some(200_000))?;
    let map = |host: u32| json!([{ "containerID": 0, "hostID": host, "size": 1000 }]);
    let life = place.start(|config| {
        set_namespaces(config, |all| all.push(json!({ "type": "user" })));
        config["linux"]["uidMappings"] = map(100_000);
        config["linux"]["gidMappings"] = map(200_000);
        config["process"]["user"] = json!({ "uid": 5, "gid": 6 });
    })?;
    for (file, host) in [("uid_map", "100000"), ("gid_map", "200000")] {
        let shown = life.first(file)?;
        ensure!(shown.split_whitespace().eq(["0", host, "1000"]), "{shown}");
    }
    for status in [life.first("status")?, life.guest("status")?] {
        ensure!(field(&status, "Uid").starts_with("100005 "), "{status}");
        ensure!(field(&status, "Gid").starts_with("200006 "), "{status}");
    }
    life.end()?;
    place.refused("user namespace", |config| config["linux"]["uidMappings"] = map(100_000))
}

fn clocks(binaries: &Binaries) -> Result<()> {
    let place = Place::new(binaries)?;
    let offsets = json!({ "monotonic": { "secs": 1_000_000, "nanosecs": 5 }, "boottime": { "secs": 2_000_000 } });
    let life = place.start(|config| {
        set_namespaces(config, |all| all.push(json!({ "type": "time" })));
        config["linux"]["timeOffsets"] = offsets.clone();
    })?;
    let shown = life.first("timens_offsets")?;
    let words: Vec<&str> = shown.split_whitespace().collect();
    ensure!(words == ["monotonic", "1000000", "5", "boottime", "2000000", "0"], "{shown}");
    ensure!(life.namespace("time")? == namespace(&place.proc(life.guest_process()?, "ns/time"))?);
    life.end()?;
    place.refused("time namespace", |config| config["linux"]["timeOffsets"] = offsets)
}
