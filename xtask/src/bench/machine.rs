//! What a measurement was made on and of: without it numbers cannot be compared.

use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result};
use serde_json::{Value, json};

use super::candidate::Candidate;

/// The machine, the source and the date.
pub(crate) fn describe(source: &Path) -> Value {
    json!({
        "date": said(Command::new("date").args(["-u", "+%Y-%m-%dT%H:%M:%SZ"])),
        "machine": {
            "cpu": cpu_model(),
            "cores": std::thread::available_parallelism().map(usize::from).ok(),
            "kernel": read("/proc/sys/kernel/osrelease"),
            "memory_bytes": memory_bytes("MemTotal").ok(),
            "load": read("/proc/loadavg"),
        },
        "git": {
            "commit": said(git(source).args(["rev-parse", "HEAD"])),
            "dirty": said(git(source).args(["status", "--porcelain"])).map(|list| !list.is_empty()),
        },
        "rustc": said(Command::new("rustc").arg("--version")),
    })
}

/// The same in a line.
pub(super) fn in_words(description: &Value) -> String {
    let text = |value: &Value| value.as_str().unwrap_or("unknown").to_owned();
    let (machine, git) = (&description["machine"], &description["git"]);
    let commit: String = text(&git["commit"]).chars().take(12).collect();
    let changed = if git["dirty"] == true { " with changes" } else { "" };
    format!(
        "{}, {} cores, Linux {}, {} MiB; {commit}{changed}",
        text(&machine["cpu"]),
        machine["cores"],
        text(&machine["kernel"]),
        machine["memory_bytes"].as_u64().unwrap_or_default() >> 20,
    )
}

/// What the program of a candidate says of its version; the line is empty if it has none.
pub(super) fn version(candidate: &Candidate) -> Option<String> {
    let text = said(Command::new(&candidate.program).arg("--version"))?;
    text.lines().next().map(str::to_owned)
}

/// A line of `/proc/meminfo`, in bytes.
///
/// # Errors
/// If there is none of that name.
pub(super) fn memory_bytes(name: &str) -> Result<u64> {
    let text = fs::read_to_string("/proc/meminfo").context("/proc/meminfo")?;
    super::process::field_bytes(&text, name).with_context(|| format!("/proc/meminfo: no {name}"))
}

fn cpu_model() -> Option<String> {
    let text = fs::read_to_string("/proc/cpuinfo").ok()?;
    let line = text.lines().find(|line| line.starts_with("model name"))?;
    Some(line.split_once(':')?.1.trim().to_owned())
}

fn git(source: &Path) -> Command {
    let mut command = Command::new("git");
    command.arg("-C").arg(source);
    command
}

fn read(file: &str) -> Option<String> {
    Some(fs::read_to_string(file).ok()?.trim().to_owned())
}

fn said(command: &mut Command) -> Option<String> {
    let output = command.output().ok().filter(|output| output.status.success())?;
    Some(String::from_utf8_lossy(&output.stdout).trim().to_owned())
}
