//! `cargo xtask inspect`: what a unikernel declares and would be permitted, as the tender reports.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

use anyhow::{Context, Result, bail, ensure};
use lexopt::{Arg, Parser, ValueExt};
use serde_json::Value;

use crate::app::{self, App};
use crate::cargo::Profile;
use crate::packages::Workspace;
use crate::{explain, unexpected};

const USAGE: &str = "\
Usage: cargo xtask inspect APP|FILE [--json]

Says what a unikernel is: its segments, its devices, and the system calls that it could make.
An app is built before. Nothing is run.

  --json  for programs";

/// The verb.
pub(crate) fn main(words: &mut Parser) -> Result<ExitCode> {
    let (mut subject, mut form) = (None, "--inspect");
    while let Some(word) = words.next()? {
        match word {
            Arg::Long("help") | Arg::Short('h') => return Ok(explain(USAGE)),
            Arg::Long("json") => form = "--inspect=json",
            Arg::Value(name) if subject.is_none() => subject = Some(name.string()?),
            other => return Err(unexpected(other, "inspect")),
        }
    }
    let subject = subject.context("which unikernel? cargo xtask inspect APP, or a file")?;
    let ours = Workspace::ours()?;
    let kernel = kernel(&subject, &ours)?;
    let tender = app::build_tender(&ours)?;
    let status = Command::new(&tender).arg(form).arg("--").arg(kernel).status();
    let status = status.with_context(|| tender.display().to_string())?;
    Ok(if status.success() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// The file that is meant; an app's after it was built.
fn kernel(subject: &str, ours: &Workspace) -> Result<PathBuf> {
    if Path::new(subject).is_file() {
        return Ok(subject.into());
    }
    let app = App::find(subject, ours, Profile::Release)?;
    app.build()?;
    Ok(app.kernel())
}

/// What the tender tells about a unikernel, as far as it is needed to run it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Unikernel {
    /// The devices that it declares.
    pub(crate) devices: Vec<Device>,
    /// The system calls that it may make.
    pub(crate) calls: Vec<String>,
}

/// A declared device.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Device {
    /// What it is.
    pub(crate) kind: Kind,
    /// Its name.
    pub(crate) name: String,
    /// Whether the unikernel can do without it.
    pub(crate) optional: bool,
}

/// What a device is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// A network.
    Net,
    /// A disk.
    Block,
}

impl Unikernel {
    /// The devices of a kind.
    pub(crate) fn of_kind(&self, kind: Kind) -> impl Iterator<Item = &Device> {
        self.devices.iter().filter(move |device| device.kind == kind)
    }

    /// The names of the devices of a kind.
    pub(crate) fn names(&self, kind: Kind) -> impl Iterator<Item = &str> {
        self.of_kind(kind).map(|device| &*device.name)
    }

    fn parse(report: &Value) -> Result<Self> {
        let list = |key| report[key].as_array().with_context(|| format!("no list of {key}"));
        let calls = list("calls")?.iter().map(|call| text(call).map(str::to_owned));
        Ok(Self {
            devices: list("devices")?.iter().map(Device::parse).collect::<Result<_>>()?,
            calls: calls.collect::<Result<_>>()?,
        })
    }
}

impl Device {
    fn parse(device: &Value) -> Result<Self> {
        let kind = match text(&device["kind"])? {
            "net" => Kind::Net,
            "block" => Kind::Block,
            other => bail!("a device of kind '{other}'"),
        };
        let optional = device["optional"].as_bool().context("a device may be optional")?;
        Ok(Self { kind, name: text(&device["name"])?.to_owned(), optional })
    }
}

fn text(value: &Value) -> Result<&str> {
    value.as_str().with_context(|| format!("{value} is no text"))
}

/// Asks the tender about a unikernel.
///
/// # Errors
/// If the file is none; the error is the tender's.
pub(crate) fn inspect(tender: &Path, kernel: &Path) -> Result<Unikernel> {
    inspect_run(tender, &["--".into(), kernel.into()])
}

/// Asks the tender about a unikernel as these words of its command line would run it.
///
/// # Errors
/// If they would not; the error is the tender's.
pub(crate) fn inspect_run(tender: &Path, words: &[OsString]) -> Result<Unikernel> {
    let output = Command::new(tender)
        .arg("--inspect=json")
        .args(words)
        .output()
        .with_context(|| tender.display().to_string())?;
    let errors = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "{}", errors.trim());
    serde_json::from_slice(&output.stdout)
        .map_err(anyhow::Error::from)
        .and_then(|report| Unikernel::parse(&report))
        .context("the tender's report is not as expected")
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn devices_and_calls_are_read_from_a_report() {
        let unikernel = Unikernel::parse(&json!({
            "target": "spt",
            "devices": [
                { "kind": "net", "name": "service", "read_only": false, "optional": false },
                { "kind": "block", "name": "site", "read_only": true, "optional": true },
            ],
            "calls": ["read", "write"],
        }))
        .unwrap();
        assert_eq!(unikernel.names(Kind::Net).collect::<Vec<_>>(), ["service"]);
        assert_eq!(unikernel.names(Kind::Block).collect::<Vec<_>>(), ["site"]);
        assert_eq!(unikernel.devices.iter().map(|d| d.optional).collect::<Vec<_>>(), [false, true]);
        assert_eq!(unikernel.calls, ["read", "write"]);
    }

    #[test]
    fn other_reports_are_errors() {
        for (report, word) in [
            (json!([]), "calls"),
            (json!({ "calls": [] }), "devices"),
            (json!({ "calls": [1], "devices": [] }), "1"),
            (json!({ "calls": [], "devices": [{ "kind": "gpu", "name": "x" }] }), "gpu"),
            (json!({ "calls": [], "devices": [{ "kind": "net", "name": "x" }] }), "optional"),
        ] {
            let error = Unikernel::parse(&report).unwrap_err().to_string();
            assert!(error.contains(word), "{error}");
        }
    }
}
