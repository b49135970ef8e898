//! What the programs beside our guests need in the virtual machine: Debian's packages, and out of these the
//! files that one system needs for one workload, with their shared libraries. Of containers both lie
//! in an image.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use measure_report::profile;
use surface::scenario::{System, Workload};

use super::initramfs::Initramfs;
use super::libraries;

/// The image of a container: see `measure/probe/src/container.rs`.
const IMAGE: &str = "image/";
/// Folders that images have: what runtimes mount on, and what programs write in.
const FOLDERS: [&str; 7] = ["data", "dev", "etc", "proc", "run", "sys", "tmp"];
/// Users and groups that programs look for.
const PASSWD: &str = "root:x:0:0:root:/:/bin/sh\nnobody:x:65534:65534:nobody:/:/bin/false\n";
const GROUP: &str = "root:x:0:\nnogroup:x:65534:\n";

/// What parts are made from.
#[derive(Clone, Copy, Debug)]
pub(super) struct Sources<'a> {
    /// The folder in which packages were unpacked.
    pub(super) unpacked: &'a Path,
    /// The probe's binary.
    pub(super) probe: &'a Path,
    /// `measure/data`.
    pub(super) data: &'a Path,
}

/// Debian's packages that the others need for a workload, with those of their libraries. Ours need none.
pub(super) fn packages(system: System, workload: Workload) -> Vec<&'static str> {
    let runtime: &[_] = match system {
        System::Runc => &["runc", "libseccomp2", "libc6"],
        System::Gvisor => &["runsc"],
        System::Native => &[],
        _ => return Vec::new(),
    };
    let program: &[_] = match workload {
        Workload::Httpd => &["nginx", "libc6", "libcrypt1", "libpcre2-8-0", "libssl3", "zlib1g"],
        Workload::Kv => &[
            "redis-tools",
            "libatomic1",
            "libc6",
            "libcap2",
            "libgcc-s1",
            "libgcrypt20",
            "libgpg-error0",
            "libjemalloc2",
            "liblz4-1",
            "liblzf1",
            "liblzma5",
            "libssl3",
            "libstdc++6",
            "libsystemd0",
            "libzstd1",
        ],
        Workload::Hello | Workload::Block | Workload::Fuzz | Workload::Code => &[],
    };
    [runtime, program].concat()
}

/// Adds what a system that is not ours needs for a workload.
///
/// # Errors
/// If a file is in none of the packages, or cannot be read.
pub(super) fn add(
    files: &mut Initramfs,
    system: System,
    workload: Workload,
    sources: &Sources<'_>,
) -> Result<()> {
    let image = match system {
        System::Native => "",
        System::Runc | System::Gvisor => IMAGE,
        System::Docker => "",
        _ => return Ok(()),
    };
    if matches!(system, System::Runc | System::Docker) {
        files.add("measure/docker-seccomp.json", 0o644, docker_profile(sources.data)?);
    }
    match system {
        System::Docker => return Ok(()),
        System::Runc => add_program(files, sources, "", "usr/sbin/runc", "usr/sbin/runc")?,
        System::Gvisor => add_program(files, sources, "", "usr/bin/runsc", "usr/bin/runsc")?,
        _ => {}
    }
    if image == IMAGE {
        for folder in FOLDERS {
            files.folder(&format!("{image}{folder}"));
        }
        files.copy(&format!("{image}bin/probe"), sources.probe)?;
    }
    files.add(&format!("{image}etc/passwd"), 0o644, PASSWD);
    files.add(&format!("{image}etc/group"), 0o644, GROUP);
    let mut config =
        |name: &str| files.copy(&format!("{image}etc/measure/{name}"), &sources.data.join(name));
    match workload {
        Workload::Httpd => {
            config("nginx.conf")?;
            add_program(files, sources, image, "usr/sbin/nginx", "usr/sbin/nginx")
        }
        Workload::Kv => {
            config("redis.conf")?;
            // One program that goes by its name: the server's own package has only a link to it.
            add_program(files, sources, image, "usr/bin/redis-server", "usr/bin/redis-check-rdb")
        }
        Workload::Hello | Workload::Block | Workload::Fuzz | Workload::Code => Ok(()),
    }
}

/// Docker's default profile: the pinned one with what later versions changed.
///
/// # Errors
/// If one of its files cannot be read or understood.
pub(super) fn docker_profile(data: &Path) -> Result<String> {
    let read = |name: &str| {
        let path = data.join(name);
        fs::read_to_string(&path).with_context(|| path.display().to_string())
    };
    let (pinned, later) = (read("docker-seccomp.json")?, read("docker-seccomp-later.json")?);
    Ok(profile::with_later(&pinned, &later)?)
}

/// Adds a program of the packages below a root, with its loader and its libraries.
fn add_program(
    files: &mut Initramfs,
    sources: &Sources<'_>,
    root: &str,
    path: &str,
    source: &str,
) -> Result<()> {
    let source: PathBuf = sources.unpacked.join(source);
    files.copy(&format!("{root}{path}"), &source)?;
    for (path, source) in libraries::closure(sources.unpacked, &[source])? {
        files.copy(&format!("{root}{path}"), &source)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ours_need_nothing_of_it() {
        let nowhere = Path::new("/nonexistent");
        let data = crate::packages::our_root().join("measure/data");
        let sources = Sources { unpacked: nowhere, probe: nowhere, data: &data };
        for system in System::ALL.into_iter().filter(|system| system.is_ours()) {
            assert!(packages(system, Workload::Kv).is_empty());
            add(&mut Initramfs::new(), system, Workload::Kv, &sources).unwrap();
        }
        let error = add(&mut Initramfs::new(), System::Runc, Workload::Kv, &sources).unwrap_err();
        assert!(format!("{error:#}").contains("usr/sbin/runc"), "{error:#}");
    }
}
