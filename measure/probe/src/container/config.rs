//! A bundle's `config.json` (OCI runtime specification 1.0.2) as Docker writes it for a container that
//! was started without options: namespaces of its own, Docker's capabilities, its masked and read-only
//! paths, its limits of devices, and no new privileges.

use std::path::Path;

use serde_json::{Value, json};
use surface::docker::CAPABILITIES;

use super::Bundle;

/// The container's name, its cgroup's, and its host name: always the same, so that two runs are.
pub(super) const ID: &str = "measured";
/// What Docker hides and protects (moby, `oci/defaults.go`).
const MASKED: [&str; 10] = [
    "/proc/asound",
    "/proc/acpi",
    "/proc/kcore",
    "/proc/keys",
    "/proc/latency_stats",
    "/proc/timer_list",
    "/proc/timer_stats",
    "/proc/sched_debug",
    "/proc/scsi",
    "/sys/firmware",
];
const READ_ONLY: [&str; 5] =
    ["/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"];
/// Character devices that it permits to use, besides all to be made: null, zero, full, random, urandom,
/// tty, console, ptmx, and terminals (major 136, any minor).
const DEVICES: [(u64, Option<u64>); 9] = [
    (1, Some(3)),
    (1, Some(5)),
    (1, Some(7)),
    (1, Some(8)),
    (1, Some(9)),
    (5, Some(0)),
    (5, Some(1)),
    (5, Some(2)),
    (136, None),
];
/// What its service gives to containers.
const FILES_MAX: u64 = 1 << 20;

/// The configuration of a container with that root.
pub(super) fn config(bundle: &Bundle, root: &Path, seccomp: Option<Value>) -> Value {
    let user = bundle.uid;
    // As with any other user, capabilities are lost when root's number is given up.
    let effective: &[&str] = if user == 0 { &CAPABILITIES } else { &[] };
    let mut config = json!({
        "ociVersion": "1.0.2",
        "root": { "path": root },
        "hostname": ID,
        "process": {
            "terminal": false,
            "user": { "uid": user, "gid": user },
            "args": bundle.words,
            "env": ["PATH=/usr/sbin:/usr/bin:/sbin:/bin", format!("HOSTNAME={ID}")],
            "cwd": "/",
            "capabilities": {
                "bounding": CAPABILITIES,
                "effective": effective,
                "permitted": effective,
            },
            "noNewPrivileges": true,
            "oomScoreAdj": 0,
            "rlimits": [{ "type": "RLIMIT_NOFILE", "soft": FILES_MAX, "hard": FILES_MAX }],
        },
        "mounts": mounts(bundle),
        "linux": {
            "cgroupsPath": format!("/{ID}"),
            "resources": { "devices": devices() },
            "namespaces": namespaces(bundle.network.as_deref()),
            "maskedPaths": MASKED,
            "readonlyPaths": READ_ONLY,
        },
    });
    if let Some(seccomp) = seccomp {
        config["linux"]["seccomp"] = seccomp;
    }
    config
}

fn mounts(bundle: &Bundle) -> Vec<Value> {
    let mount = |destination: &str, kind: &str, source: &str, options: &[&str]| json!({ "destination": destination, "type": kind, "source": source, "options": options });
    let safe = ["nosuid", "noexec", "nodev"];
    let with = |more: &[&'static str]| [&safe[..], more].concat();
    let mut mounts = vec![
        mount("/proc", "proc", "proc", &safe),
        mount("/dev", "tmpfs", "tmpfs", &["nosuid", "strictatime", "mode=755", "size=65536k"]),
        mount(
            "/dev/pts",
            "devpts",
            "devpts",
            &["nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620", "gid=5"],
        ),
        mount("/sys", "sysfs", "sysfs", &with(&["ro"])),
        mount("/sys/fs/cgroup", "cgroup", "cgroup", &with(&["ro"])),
        mount("/dev/mqueue", "mqueue", "mqueue", &safe),
        mount("/dev/shm", "tmpfs", "shm", &with(&["mode=1777", "size=67108864"])),
    ];
    mounts.extend(bundle.volumes.iter().map(|volume| {
        let right = if volume.is_read_only { "ro" } else { "rw" };
        json!({
            "destination": volume.inside,
            "type": "bind",
            "source": volume.outside,
            "options": ["rbind", "rprivate", right],
        })
    }));
    mounts
}

fn namespaces(network: Option<&Path>) -> Vec<Value> {
    let own = ["mount", "uts", "pid", "ipc", "cgroup"].map(|kind| json!({ "type": kind }));
    let network = match network {
        Some(path) => json!({ "type": "network", "path": path }),
        None => json!({ "type": "network" }),
    };
    own.into_iter().chain([network]).collect()
}

fn devices() -> Vec<Value> {
    let made = |kind| json!({ "allow": true, "type": kind, "access": "m" });
    let used = |(major, minor)| match minor {
        Some(minor) => {
            json!({ "allow": true, "type": "c", "major": major, "minor": minor, "access": "rwm" })
        }
        None => json!({ "allow": true, "type": "c", "major": major, "access": "rwm" }),
    };
    let none = json!({ "allow": false, "access": "rwm" });
    [none, made("c"), made("b")].into_iter().chain(DEVICES.map(used)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::container::Volume;

    fn bundle() -> Bundle {
        Bundle {
            words: vec!["/x".into(), "y".into()],
            volumes: vec![Volume {
                outside: "/data".into(),
                inside: "/data".into(),
                is_read_only: false,
            }],
            network: Some("/run/netns/server".into()),
            uid: 0,
        }
    }

    #[test]
    fn what_was_asked_for_is_in_it() {
        let config = config(&bundle(), Path::new("/rootfs"), Some(json!({ "defaultAction": "X" })));
        assert_eq!(config["root"]["path"], "/rootfs");
        assert_eq!(config["process"]["args"], json!(["/x", "y"]));
        assert_eq!(config["linux"]["namespaces"][5]["path"], "/run/netns/server");
        assert_eq!(config["linux"]["seccomp"]["defaultAction"], "X");
        let volume = config["mounts"].as_array().unwrap().last().unwrap();
        assert_eq!(volume["options"], json!(["rbind", "rprivate", "rw"]));
        assert_eq!(config["process"]["capabilities"]["effective"].as_array().unwrap().len(), 14);
    }

    #[test]
    fn other_users_have_no_capabilities_and_no_filter_is_none() {
        let bundle = Bundle { uid: 65534, network: None, ..bundle() };
        let config = config(&bundle, Path::new("/rootfs"), None);
        assert_eq!(config["process"]["capabilities"]["effective"], json!([]));
        assert_eq!(config["linux"]["seccomp"], Value::Null);
        assert_eq!(config["linux"]["namespaces"][5], json!({ "type": "network" }));
        let devices = config["linux"]["resources"]["devices"].as_array().unwrap();
        assert_eq!(devices[0], json!({ "allow": false, "access": "rwm" }));
    }
}
