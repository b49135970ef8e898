//! Bundles: a root file system that all containers of a kind share, and for each container a
//! `config.json` as an engine writes it.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};

use crate::bench::http::page;
use crate::bench::programs;

/// Where runtimes mount what they bring.
const MOUNT_POINTS: [&str; 3] = ["proc", "dev", "sys"];
/// What engines leave to a container's root.
const CAPABILITIES: [&str; 11] = [
    "CAP_CHOWN",
    "CAP_DAC_OVERRIDE",
    "CAP_FOWNER",
    "CAP_FSETID",
    "CAP_KILL",
    "CAP_NET_BIND_SERVICE",
    "CAP_SETFCAP",
    "CAP_SETGID",
    "CAP_SETPCAP",
    "CAP_SETUID",
    "CAP_SYS_CHROOT",
];
const MASKED: [&str; 10] = [
    "/proc/acpi",
    "/proc/asound",
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
const PROCESSES_MAX: u64 = 2048;

/// What runs in a container.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::bench) struct Contents {
    /// The folder that is the container's root.
    pub(in crate::bench) root: PathBuf,
    /// The program in it and its arguments.
    pub(in crate::bench) words: Vec<String>,
    /// Its environment.
    pub(in crate::bench) environment: Vec<&'static str>,
    /// The processor it keeps to, if it may not have all.
    pub(in crate::bench) cpu: Option<usize>,
    /// Folders of the host's that it may write to, and where it finds them.
    pub(in crate::bench) shared: Vec<(PathBuf, String)>,
}

impl Contents {
    /// A program in this root, on any processor, with nothing of the host's.
    pub(in crate::bench) fn new<const N: usize>(
        root: PathBuf,
        words: [&str; N],
        environment: Vec<&'static str>,
    ) -> Self {
        let words = words.map(str::to_owned).into();
        Self { root, words, environment, cpu: None, shared: Vec::new() }
    }

    /// The smallest web server in an otherwise empty root.
    ///
    /// # Errors
    /// If it cannot be compiled.
    pub(super) fn server(folder: &Path) -> Result<Self> {
        ensure!(cfg!(target_arch = "x86_64"), "the server in the container is for x86-64");
        let root = empty_root(folder, "server")?;
        let answer = format!("-DANSWER=\"{}\"", in_c(&answer(&page())));
        let options = ["-static", "-nostdlib", "-ffreestanding", "-Os", "-s", &answer];
        let program = programs::compile(folder, "server", include_str!("server.c"), &options)?;
        fs::copy(program, root.join("server")).context("cannot fill a root")?;
        Ok(Self::new(root, ["/server"], vec!["PATH=/"]))
    }

    /// The unikernel with its site image.
    ///
    /// # Errors
    /// If a file cannot be copied.
    pub(super) fn unikernel(folder: &Path, kernel: &Path, site: &Path) -> Result<Self> {
        let root = empty_root(folder, "unikernel")?;
        for (from, name) in [(kernel, "httpd"), (site, "site.img")] {
            fs::copy(from, root.join(name)).with_context(|| from.display().to_string())?;
        }
        // As its image has it.
        let environment = vec!["PATH=/", "NABLA_MEMORY=32M", "NABLA_PUBLISH=80"];
        Ok(Self::new(root, ["/httpd"], environment))
    }
}

/// A root with nothing but mount points: what a container has left behind is removed.
pub(in crate::bench) fn empty_root(folder: &Path, name: &str) -> Result<PathBuf> {
    let root = folder.join("roots").join(name);
    if root.exists() {
        fs::remove_dir_all(&root).with_context(|| root.display().to_string())?;
    }
    for point in MOUNT_POINTS {
        let point = root.join(point);
        fs::create_dir_all(&point).with_context(|| point.display().to_string())?;
    }
    Ok(root)
}

/// A response with this page, as long as the unikernel's.
fn answer(page: &str) -> String {
    format!(
        "HTTP/1.1 200 OK\r\n\
         Date: Thu, 01 Jan 1970 00:00:00 GMT\r\n\
         Server: Small\r\n\
         Connection: close\r\n\
         Content-Type: text/html; charset=utf-8\r\n\
         X-Content-Type-Options: nosniff\r\n\
         Content-Length: {}\r\n\
         Accept-Ranges: bytes\r\n\
         Last-Modified: Thu, 01 Jan 1970 00:00:00 GMT\r\n\
         ETag: \"0123456789abcdef\"\r\n\
         Cache-Control: no-cache\r\n\r\n{page}",
        page.len()
    )
}

/// Text between quotation marks in C.
fn in_c(text: &str) -> String {
    let escape = |letter| match letter {
        '\r' => "\\r".to_owned(),
        '\n' => "\\n".to_owned(),
        '"' => "\\\"".to_owned(),
        '\\' => "\\\\".to_owned(),
        other => other.to_string(),
    };
    text.chars().map(escape).collect()
}

/// Makes a bundle in that folder.
///
/// # Errors
/// If it cannot be written.
pub(in crate::bench) fn write(
    bundle: &Path,
    id: &str,
    contents: &Contents,
    network: &Path,
) -> Result<()> {
    fs::create_dir_all(bundle).with_context(|| bundle.display().to_string())?;
    let file = bundle.join("config.json");
    let config = config(id, contents, network).to_string();
    fs::write(&file, config).with_context(|| file.display().to_string())
}

/// What an engine asks a runtime for: namespaces of the container's own but the network, which is
/// there already, a cgroup, no devices, few capabilities, and no way to the system's settings. There
/// is no filter of system calls: engines have one, but not all candidates could take the same.
fn config(id: &str, contents: &Contents, network: &Path) -> Value {
    let mount = |destination: &str, kind: &str, options: &[&str]| {
        let safe = ["nosuid", "noexec", "nodev"];
        let safe = if destination == "/dev" { &safe[..1] } else { &safe[..] };
        let options: Vec<_> = safe.iter().chain(options).collect();
        json!({ "destination": destination, "type": kind, "source": kind, "options": options })
    };
    let mut mounts = vec![
        mount("/proc", "proc", &[]),
        mount("/dev", "tmpfs", &["strictatime", "mode=755", "size=65536k"]),
        mount("/dev/pts", "devpts", &["newinstance", "ptmxmode=0666", "mode=0620", "gid=5"]),
        mount("/dev/shm", "tmpfs", &["mode=1777", "size=65536k"]),
        mount("/dev/mqueue", "mqueue", &[]),
        mount("/sys", "sysfs", &["ro"]),
    ];
    let shared = contents.shared.iter().map(|(folder, place)| {
        let options = ["rbind", "rw"];
        json!({ "destination": place, "type": "bind", "source": folder, "options": options })
    });
    mounts.extend(shared);
    let mut resources = json!({
        "devices": [{ "allow": false, "access": "rwm" }],
        "pids": { "limit": PROCESSES_MAX },
    });
    if let Some(cpu) = contents.cpu {
        // A cgroup of processors takes back what its members were told before they came.
        resources["cpu"] = json!({ "cpus": cpu.to_string() });
    }
    let own = ["pid", "ipc", "uts", "mount"].map(|kind| json!({ "type": kind }));
    let network = json!({ "type": "network", "path": network });
    json!({
        "ociVersion": "1.0.2",
        "root": { "path": contents.root, "readonly": true },
        "hostname": id,
        "process": {
            "terminal": false,
            "user": { "uid": 0, "gid": 0 },
            "args": contents.words,
            "env": contents.environment,
            "cwd": "/",
            "noNewPrivileges": true,
            "capabilities": {
                "bounding": CAPABILITIES,
                "effective": CAPABILITIES,
                "permitted": CAPABILITIES,
            },
        },
        "mounts": mounts,
        "linux": {
            "cgroupsPath": format!("/{id}"),
            "resources": resources,
            "namespaces": own.into_iter().chain([network]).collect::<Vec<_>>(),
            "maskedPaths": MASKED,
            "readonlyPaths": READ_ONLY,
        },
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_config_names_what_differs() {
        let mut contents = Contents::new("/roots/x".into(), ["/x", "y"], vec!["A=B"]);
        contents.cpu = Some(3);
        contents.shared = vec![("/disks".into(), "/data".into())];
        let config = config("id-7", &contents, Path::new("/proc/1/fd/9"));
        assert_eq!(config["root"], json!({ "path": "/roots/x", "readonly": true }));
        assert_eq!(config["process"]["args"], json!(["/x", "y"]));
        assert_eq!(config["process"]["env"], json!(["A=B"]));
        assert_eq!(config["linux"]["cgroupsPath"], "/id-7");
        let namespaces = config["linux"]["namespaces"].as_array().unwrap();
        let network = json!({ "type": "network", "path": "/proc/1/fd/9" });
        assert_eq!((namespaces.len(), &namespaces[4]), (5, &network));
        assert_eq!(config["linux"]["resources"]["cpu"], json!({ "cpus": "3" }));
        assert_eq!(config["mounts"][6]["source"], "/disks");
        let dev = &config["mounts"][1];
        assert_eq!(dev["options"], json!(["nosuid", "strictatime", "mode=755", "size=65536k"]));
        assert_eq!(config["mounts"][5]["options"], json!(["nosuid", "noexec", "nodev", "ro"]));
    }

    #[test]
    fn an_answer_says_how_long_it_is() {
        let answer = answer("<p>page</p>");
        assert!(answer.starts_with("HTTP/1.1 200 OK\r\n"));
        assert!(
            answer.contains("\r\nContent-Length: 11\r\n")
                && answer.ends_with("\r\n\r\n<p>page</p>")
        );
    }

    #[test]
    fn text_is_quoted_for_c() {
        assert_eq!(in_c("a\r\n\"b\\\""), "a\\r\\n\\\"b\\\\\\\"");
    }
}
