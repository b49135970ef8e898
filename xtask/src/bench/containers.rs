//! Container runtimes, each with the least that it can run: a bundle of one static program that
//! does nothing, in namespaces of its own, without a network.

use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use serde_json::json;

use super::candidate::{Candidate, on_path};
use super::programs::{Found, compile_static};

/// The runtimes and what each is told in front of `run`.
const RUNTIMES: [(&str, &[&str]); 3] = [
    ("runc", &[]),
    ("crun", &[]),
    // A network stack of its own would be set up as well; cgroups it cannot make everywhere.
    ("runsc", &["--network=none", "--ignore-cgroups"]),
];
/// Every how many rounds they take part: each run takes as long as a hundred of the others.
const EVERY: u64 = 5;

/// All of them.
pub(super) fn all(folder: &Path) -> Vec<Found> {
    let find = |name, options| {
        let program = on_path(name).with_context(|| format!("{name} is not on PATH"))?;
        candidate(name, &program, options, folder)
    };
    RUNTIMES.map(|(name, options)| find(name, options).map_err(|reason| (name, reason))).into()
}

fn candidate(name: &str, program: &Path, options: &[&str], folder: &Path) -> Result<Candidate> {
    let bundle = bundle(folder)?;
    let state = folder.join("state").join(name);
    fs::create_dir_all(&state).with_context(|| state.display().to_string())?;
    let mut arguments: Vec<OsString> = options.iter().map(OsString::from).collect();
    arguments.extend(["--root".into(), state.into(), "run".into()]);
    arguments.extend(["--bundle".into(), bundle.into()]);
    Ok(Candidate { is_numbered: true, every: EVERY, ..Candidate::new(name, program, arguments) })
}

/// Our own runtime with the unikernel of the tender's candidates.
///
/// # Errors
/// If the bundle cannot be made.
pub(super) fn ours(program: &Path, hello: &Path, folder: &Path) -> Result<Candidate> {
    let bundle = fill(&folder.join("bundle-runnc"), hello, "hello", &["NABLA_MEMORY=16M"])?;
    let state = folder.join("state").join("runnc");
    fs::create_dir_all(&state).with_context(|| state.display().to_string())?;
    let words: [OsString; 5] =
        ["--root".into(), state.into(), "run".into(), "--bundle".into(), bundle.into()];
    Ok(Candidate {
        is_numbered: true,
        every: EVERY,
        ..Candidate::new("runnc hello", program, words)
    })
}

/// Makes the bundle and returns its folder.
fn bundle(folder: &Path) -> Result<PathBuf> {
    fill(&folder.join("bundle"), &compile_static(folder)?, "nothing", &[])
}

/// Makes a bundle of one program.
fn fill(bundle: &Path, program: &Path, name: &str, environment: &[&str]) -> Result<PathBuf> {
    let root = bundle.join("rootfs");
    for point in ["proc", "dev", "sys"] {
        let point = root.join(point);
        fs::create_dir_all(&point).with_context(|| point.display().to_string())?;
    }
    fs::copy(program, root.join(name)).context("cannot fill the bundle")?;
    let file = bundle.join("config.json");
    fs::write(&file, config(name, environment).to_string())
        .with_context(|| file.display().to_string())?;
    Ok(bundle.to_owned())
}

fn config(name: &str, environment: &[&str]) -> serde_json::Value {
    let namespaces = ["pid", "ipc", "uts", "mount", "network"];
    json!({
        "ociVersion": "1.0.2",
        "root": { "path": "rootfs", "readonly": true },
        "process": {
            "terminal": false,
            "user": { "uid": 0, "gid": 0 },
            "args": [format!("/{name}")],
            "env": environment,
            "cwd": "/",
            "noNewPrivileges": true,
        },
        // Many containers share the root, where runc would else make devices.
        "mounts": [
            { "destination": "/proc", "type": "proc", "source": "proc" },
            { "destination": "/dev", "type": "tmpfs", "source": "tmpfs" },
        ],
        "linux": { "namespaces": namespaces.map(|kind| json!({ "type": kind })) },
    })
}
