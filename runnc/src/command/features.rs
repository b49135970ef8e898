//! `features`: what this runtime can do, in the form of the runtime specification (features.md).

use serde_json::{Value, json};

use crate::container::OCI_VERSION;

/// The document.
pub(super) fn features() -> Value {
    json!({
        "ociVersionMin": "1.0.0",
        "ociVersionMax": OCI_VERSION,
        "hooks": [
            "prestart", "createRuntime", "createContainer", "startContainer", "poststart", "poststop"
        ],
        "mountOptions": [
            "bind", "rbind", "ro", "rw", "nosuid", "suid", "nodev", "dev", "noexec", "exec", "sync",
            "async", "dirsync", "remount", "noatime", "atime", "nodiratime", "diratime", "relatime",
            "norelatime", "strictatime", "nostrictatime", "rro", "rrw", "rnosuid", "rsuid", "rnodev",
            "rdev", "rnoexec", "rexec", "rnoatime", "ratime", "rnodiratime", "rdiratime", "rrelatime",
            "rnorelatime", "rstrictatime", "rnostrictatime"
            // Those of propagation are accepted, but libcontainer leaves each mount as it is: one that
            // follows the host's.
        ],
        "linux": {
            "namespaces": ["cgroup", "ipc", "mount", "network", "pid", "time", "user", "uts"],
            "capabilities": [],
            "cgroup": {
                "v1": true, "v2": true, "systemd": true, "systemdUser": true, "rdma": false
            },
            // The filter of a guest is made of what it declares; a profile is only held against it.
            "seccomp": { "enabled": false },
            "apparmor": { "enabled": false },
            "selinux": { "enabled": false },
            "intelRdt": { "enabled": false },
            // libcontainer refuses them.
            "mountExtensions": { "idmap": { "enabled": false } }
        },
        "annotations": {
            "io.nabla.abi": "Solo5 spt 2",
            "io.nabla.runnc.version": env!("CARGO_PKG_VERSION"),
        },
        "potentiallyUnsafeConfigAnnotations": []
    })
}
