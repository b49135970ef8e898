//! Control groups: where the container is, and its limits.

use std::path::Path;

use anyhow::{Result, ensure};
use serde_json::{Value, json};
use suite::Binaries;

use super::{Life, Place};
use crate::Case;

/// All cases of this file.
pub(super) fn cases() -> Vec<Case> {
    vec![
        Case::new("oci::spec::cgroups::the path", path),
        Case::new("oci::spec::cgroups::one that others are in is refused", shared),
        Case::new("oci::spec::cgroups::memory", memory),
        Case::new("oci::spec::cgroups::cpu and cpuset", cpu),
        Case::new("oci::spec::cgroups::pids", pids),
        Case::new("oci::spec::cgroups::blockIO", block),
        Case::new("oci::spec::cgroups::devices", devices),
        Case::new("oci::spec::cgroups::version 2 alone", version_2_alone),
        Case::new("oci::spec::cgroups::what this machine does not have is refused", missing),
    ]
}

fn is_version_2() -> bool {
    Path::new("/sys/fs/cgroup/cgroup.controllers").exists()
}

/// A host that has version 2 and nothing else, as far as the runtime can see, on whatever machine this is. What
/// controllers it has depends on the machine.
fn version_2_alone(binaries: &Binaries) -> Result<()> {
    let place = Place::new(binaries)?;
    let root = "/sys/fs/cgroup";
    if !is_version_2() {
        place.sandbox.succeed(&["mount", "-t", "cgroup2", "none", root])?;
    }
    let runtime = place.runtime();
    let life = place.start(|config| config["linux"]["resources"] = json!({}))?;
    let own = format!("{root}{}/{}", place.sandbox.cgroup(), life.bundle.id);
    let read = |file: &str| place.sandbox.succeed(&["cat", &format!("{own}/{file}")]);
    life.guest_process()?;
    let members = read("cgroup.procs")?;
    ensure!(members.lines().count() == 2, "{members}");
    runtime.about(&life.bundle, &["pause"])?;
    ensure!(read("cgroup.events")?.contains("frozen 1"));
    ensure!(runtime.state(&life.bundle)?["status"] == "paused");
    runtime.about(&life.bundle, &["resume"])?;
    ensure!(read("cgroup.events")?.contains("frozen 0"));
    let shown = runtime.about(&life.bundle, &["ps", "--format=json"])?;
    ensure!(serde_json::from_str::<Vec<i64>>(&shown)?.len() == 2, "{shown}");
    life.end()?;
    ensure!(read("cgroup.procs").is_err(), "{own} is still there");
    Ok(())
}

fn limited(place: &Place, resources: Value) -> Result<Life<'_>> {
    place.start(|config| {
        for (key, value) in resources.as_object().into_iter().flatten() {
            config["linux"]["resources"][key] = value.clone();
        }
    })
}

/// The name of a file and what is in it.
type File<'a> = (&'a str, &'a str);

/// Compares files of the container's group, by their name in version 1 and in version 2.
fn compare(life: &Life<'_>, files: &[(File<'_>, File<'_>)]) -> Result<()> {
    for (version_1, version_2) in files {
        let (file, expected) = if is_version_2() { version_2 } else { version_1 };
        if file.is_empty() {
            continue;
        }
        let found = life.cgroup(file)?;
        ensure!(found.trim() == *expected, "{file}: {found:?}, not {expected:?}");
    }
    Ok(())
}

fn path(binaries: &Binaries) -> Result<()> {
    let place = Place::new(binaries)?;
    let life = place.start(|_| {})?;
    let expected = format!("{}/{}", place.sandbox.cgroup(), life.bundle.id);
    let guest = life.guest("cgroup")?;
    ensure!(guest.lines().any(|line| line.ends_with(&expected)), "{guest}");
    ensure!(life.first("cgroup")? == guest);
    let members = life.cgroup("cgroup.procs")?;
    ensure!(members.lines().count() == 2, "{members}");
    life.end()?;
    // A relative one is below where this runtime has them, the root.
    let relative = format!("{}/relative", place.sandbox.cgroup().trim_start_matches('/'));
    let life = place.start(|config| config["linux"]["cgroupsPath"] = json!(relative))?;
    ensure!(life.first("cgroup")?.contains(&relative));
    life.end()?;
    for path in ["/", "", "..", "/a/../.."] {
        place.refused("cgroupsPath", |config| config["linux"]["cgroupsPath"] = json!(path))?;
    }
    Ok(())
}

fn shared(binaries: &Binaries) -> Result<()> {
    let place = Place::new(binaries)?;
    let life = place.start(|_| {})?;
    let path = format!("{}/{}", place.sandbox.cgroup(), life.bundle.id);
    place.refused("belongs to other processes", |config| {
        config["linux"]["cgroupsPath"] = json!(path)
    })?;
    ensure!(place.runtime().state(&life.bundle)?["status"] == "running");
    life.end()
}

fn memory(binaries: &Binaries) -> Result<()> {
    let place = Place::new(binaries)?;
    let life = limited(
        &place,
        json!({ "memory": {
        "limit": 64 << 20, "reservation": 32 << 20, "swap": 128 << 20,
    } }),
    )?;
    compare(
        &life,
        &[
            (("memory.limit_in_bytes", "67108864"), ("memory.max", "67108864")),
            (("memory.soft_limit_in_bytes", "33554432"), ("memory.low", "33554432")),
            (("memory.memsw.limit_in_bytes", "134217728"), ("memory.swap.max", "67108864")),
        ],
    )?;
    life.end()?;
    let life = limited(&place, json!({ "memory": { "limit": 64 << 20, "swappiness": 7 } }))?;
    compare(&life, &[(("memory.swappiness", "7"), ("", ""))])?;
    life.end()?;
    // The guest has what the limit leaves; a limit that leaves nothing is told.
    let bundle = place
        .bundle(|config| config["linux"]["resources"]["memory"] = json!({ "limit": 4 << 20 }))?;
    let runtime = place.runtime();
    let error = match runtime.create(&bundle).and_then(|()| runtime.about(&bundle, &["start"])) {
        Err(error) => format!("{error:#}"),
        Ok(_) => anyhow::bail!("it runs in 4 MB"),
    };
    ensure!(error.contains("memory limit"), "{error}");
    runtime.about(&bundle, &["delete", "--force"])?;
    place.gone(&bundle)
}

fn cpu(binaries: &Binaries) -> Result<()> {
    let place = Place::new(binaries)?;
    let life = limited(
        &place,
        json!({ "cpu": {
        "shares": 333, "quota": 40_000, "period": 50_000, "burst": 10_000, "cpus": "0", "mems": "0",
    } }),
    )?;
    compare(
        &life,
        &[
            (("cpu.shares", "333"), ("", "")),
            (("cpu.cfs_quota_us", "40000"), ("cpu.max", "40000 50000")),
            (("cpu.cfs_period_us", "50000"), ("", "")),
            (("cpu.cfs_burst_us", "10000"), ("cpu.max.burst", "10000")),
            (("cpuset.cpus", "0"), ("cpuset.cpus", "0")),
            (("cpuset.mems", "0"), ("cpuset.mems", "0")),
        ],
    )?;
    let guest = life.guest("status")?;
    ensure!(super::field(&guest, "Cpus_allowed_list") == "0", "{guest}");
    life.end()?;
    let life = limited(&place, json!({ "cpu": { "idle": 1 } }))?;
    compare(&life, &[(("cpu.idle", "1"), ("cpu.idle", "1"))])?;
    life.end()
}

fn pids(binaries: &Binaries) -> Result<()> {
    let place = Place::new(binaries)?;
    let life = limited(&place, json!({ "pids": { "limit": 12 } }))?;
    compare(&life, &[(("pids.max", "12"), ("pids.max", "12"))])?;
    life.end()?;
    for none in [0, -1] {
        let life = limited(&place, json!({ "pids": { "limit": none } }))?;
        compare(&life, &[(("pids.max", "max"), ("pids.max", "max"))])?;
        life.end()?;
    }
    Ok(())
}

fn block(binaries: &Binaries) -> Result<()> {
    // A disk of this machine.
    let Some((major, minor)) = disk() else { return Ok(()) };
    let place = Place::new(binaries)?;
    let rate = |rate: u64| json!([{ "major": major, "minor": minor, "rate": rate }]);
    let life = limited(
        &place,
        json!({ "blockIO": {
        "throttleReadBpsDevice": rate(1 << 20), "throttleWriteIOPSDevice": rate(77),
    } }),
    )?;
    let shown = |value: &str| format!("{major}:{minor} {value}");
    compare(
        &life,
        &[
            (("blkio.throttle.read_bps_device", &shown("1048576")), ("", "")),
            (("blkio.throttle.write_iops_device", &shown("77")), ("", "")),
        ],
    )?;
    life.end()
}

fn disk() -> Option<(u32, u32)> {
    let disks = std::fs::read_dir("/sys/block").ok()?.flatten();
    let whole = disks.filter(|entry| entry.path().join("device").exists());
    let numbers = whole.filter_map(|entry| std::fs::read_to_string(entry.path().join("dev")).ok());
    numbers
        .filter_map(|text| {
            let (major, minor) = text.trim().split_once(':')?;
            Some((major.parse().ok()?, minor.parse().ok()?))
        })
        .next()
}

fn devices(binaries: &Binaries) -> Result<()> {
    if is_version_2() {
        // A program decides there, which shows nothing.
        return Ok(());
    }
    let place = Place::new(binaries)?;
    let life = limited(
        &place,
        json!({ "devices": [
        { "allow": false, "access": "rwm" },
        { "allow": true, "type": "c", "major": 10, "minor": 229, "access": "rw" },
    ] }),
    )?;
    let list = life.cgroup("devices.list")?;
    ensure!(!list.contains("a *:*"), "{list}");
    ensure!(list.lines().any(|line| line == "c 10:229 rw"), "{list}");
    life.end()
}

fn missing(binaries: &Binaries) -> Result<()> {
    let place = Place::new(binaries)?;
    let refused = |words: &str, resources: Value| {
        place.refused(words, |config| config["linux"]["resources"] = resources)
    };
    let has = |controller: &str| Path::new("/sys/fs/cgroup").join(controller).exists();
    if !is_version_2() {
        refused("unified", json!({ "unified": { "pids.max": "5" } }))?;
        if !has("hugetlb") {
            refused(
                "hugetlb",
                json!({ "hugepageLimits": [{ "pageSize": "2MB", "limit": 4096 }] }),
            )?;
        }
        if !has("net_cls") {
            refused("cgroup net_", json!({ "network": { "classID": 5 } }))?;
        }
    }
    Ok(())
}
