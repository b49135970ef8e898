//! What the programs beside our guests need in the virtual machine: Debian's packages, and out of these the
//! files that one system needs for one workload, with the shared libraries that their programs name. Nothing is
//! downloaded and nothing is written here.

mod needed;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use surface::scenario::{System, Workload};

/// The image of a container, a folder in the virtual machine: see `measure/probe/src/container.rs`.
const IMAGE: &str = "image";
/// Folders that images have: what runtimes mount on, and what programs write in.
const FOLDERS: [&str; 8] = ["data", "dev", "etc", "proc", "run", "srv", "sys", "tmp"];
/// Where programs look for libraries (ld.so(8)); all of one kind of processor.
const LIBRARIES: [&str; 2] = ["lib/x86_64-linux-gnu", "usr/lib/x86_64-linux-gnu"];
/// Symbolic links that are followed in a row.
const LINKS_MAX: usize = 8;
/// Users and groups that programs look for.
const PASSWD: &str = "root:x:0:0:root:/:/bin/sh\nnobody:x:65534:65534:nobody:/:/bin/false\n";
const GROUP: &str = "root:x:0:\nnogroup:x:65534:\n";

/// Something in the virtual machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Part {
    /// A folder.
    Folder,
    /// A file with the bytes of one here, which may be executed.
    File(PathBuf),
    /// A file with this text.
    Text(String),
}

/// Parts by their paths, without a `/` in front. A folder comes before what is in it.
pub(crate) type Parts = BTreeMap<String, Part>;

/// What parts are made from.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Sources<'a> {
    /// The folder in which packages were unpacked.
    pub(crate) unpacked: &'a Path,
    /// The probe's binary.
    pub(crate) probe: &'a Path,
    /// `measure/data`.
    pub(crate) data: &'a Path,
    /// The page that web servers serve.
    pub(crate) page: &'a str,
}

/// Debian's packages that the others need for a workload. Ours need none.
pub(crate) fn packages(system: System, workload: Workload) -> Vec<&'static str> {
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
        Workload::Hello | Workload::Block | Workload::Fuzz => &[],
    };
    let mut packages = [runtime, program].concat();
    packages.sort_unstable();
    packages.dedup();
    packages
}

/// Modules of the kernel that it needs besides those of the network, in the order in which they are loaded.
pub(crate) fn modules(system: System) -> &'static [&'static str] {
    match system {
        System::Runc | System::Gvisor => &["overlay"],
        _ => &[],
    }
}

/// What a system that is not ours needs for a workload.
///
/// # Errors
/// If a file is in none of the packages, or cannot be read.
pub(crate) fn parts(system: System, workload: Workload, sources: &Sources<'_>) -> Result<Parts> {
    let mut parts = Parts::new();
    let root = match system {
        System::Native => "",
        System::Runc | System::Gvisor => IMAGE,
        _ => return Ok(parts),
    };
    match system {
        System::Runc => {
            put_program(&mut parts, sources, "", "usr/sbin/runc", "usr/sbin/runc")?;
            let profile = sources.data.join("docker-seccomp.json");
            put(&mut parts, "measure/docker-seccomp.json", Part::File(profile));
        }
        System::Gvisor => put_program(&mut parts, sources, "", "usr/bin/runsc", "usr/bin/runsc")?,
        _ => {}
    }
    for folder in FOLDERS {
        put(&mut parts, &within(root, folder), Part::Folder);
    }
    put(&mut parts, &within(root, "etc/passwd"), Part::Text(PASSWD.to_owned()));
    put(&mut parts, &within(root, "etc/group"), Part::Text(GROUP.to_owned()));
    put_workload(&mut parts, root, workload, sources)?;
    Ok(parts)
}

fn put_workload(
    parts: &mut Parts,
    root: &str,
    workload: Workload,
    sources: &Sources<'_>,
) -> Result<()> {
    let mut config = |parts: &mut Parts, name: &str| {
        let file = Part::File(sources.data.join(name));
        put(parts, &within(root, &format!("etc/measure/{name}")), file);
    };
    match workload {
        Workload::Httpd => {
            put_program(parts, sources, root, "usr/sbin/nginx", "usr/sbin/nginx")?;
            config(parts, "nginx.conf");
            put(parts, &within(root, "srv/index.html"), Part::Text(sources.page.to_owned()));
        }
        Workload::Kv => {
            // One program that goes by its name: the server's own package has only a link to it.
            put_program(parts, sources, root, "usr/bin/redis-server", "usr/bin/redis-check-rdb")?;
            config(parts, "redis.conf");
        }
        Workload::Hello | Workload::Block | Workload::Fuzz => {
            put(parts, &within(root, "probe"), Part::File(sources.probe.to_owned()));
        }
    }
    Ok(())
}

/// Puts a program of the packages into a root file system, with its loader and its libraries.
fn put_program(
    parts: &mut Parts,
    sources: &Sources<'_>,
    root: &str,
    path: &str,
    source: &str,
) -> Result<()> {
    let mut pending = vec![(path.to_owned(), resolve(sources.unpacked, source)?)];
    while let Some((path, file)) = pending.pop() {
        let place = within(root, &path);
        if parts.contains_key(&place) {
            continue;
        }
        let bytes = fs::read(&file).with_context(|| file.display().to_string())?;
        let needed = needed::read(&bytes).with_context(|| file.display().to_string())?;
        put(parts, &place, Part::File(file));
        if let Some(loader) = needed.loader {
            let loader = loader.trim_start_matches('/').to_owned();
            let file = resolve(sources.unpacked, &loader)?;
            pending.push((loader, file));
        }
        for library in needed.libraries {
            let file = find_library(sources.unpacked, &library)
                .with_context(|| format!("{path} needs {library}"))?;
            pending.push((format!("{}/{library}", LIBRARIES[0]), file));
        }
    }
    Ok(())
}

/// Puts something at a path, and the folders that lead there.
fn put(parts: &mut Parts, path: &str, part: Part) {
    for (at, _) in path.match_indices('/') {
        parts.entry(path[..at].to_owned()).or_insert(Part::Folder);
    }
    parts.insert(path.to_owned(), part);
}

fn within(root: &str, path: &str) -> String {
    if root.is_empty() { path.to_owned() } else { format!("{root}/{path}") }
}

fn find_library(unpacked: &Path, name: &str) -> Result<PathBuf> {
    let found =
        LIBRARIES.iter().find_map(|folder| resolve(unpacked, &format!("{folder}/{name}")).ok());
    found.with_context(|| format!("{name} is in none of the packages"))
}

/// A file of the packages. A link that begins with `/` means a file of the packages as well.
fn resolve(unpacked: &Path, path: &str) -> Result<PathBuf> {
    let mut file = unpacked.join(path);
    for _ in 0..LINKS_MAX {
        let kind = fs::symlink_metadata(&file)
            .with_context(|| format!("{path} is in none of the packages: {}", file.display()))?;
        if !kind.is_symlink() {
            return Ok(file);
        }
        let target = fs::read_link(&file).with_context(|| file.display().to_string())?;
        file = match target.strip_prefix("/") {
            Ok(inside) => unpacked.join(inside),
            Err(_) => file.parent().unwrap_or(unpacked).join(target),
        };
    }
    bail!("{path}: too many links")
}

#[cfg(test)]
mod tests;
