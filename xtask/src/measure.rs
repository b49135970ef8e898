//! `cargo xtask measure`: how much of a kernel our guests and others reach, what they are permitted,
//! how fast they are, and a report of all that.

mod about;
mod figures;
mod gate;
mod initramfs;
mod kit;
mod libraries;
mod machines;
mod packages;
mod parts;
mod report;
mod surface;
mod syscalls;
mod vm;

use std::fs;
use std::path::PathBuf;
use std::process::ExitCode;
use std::str::FromStr;

use anyhow::{Context, Result, anyhow, bail, ensure};
use lexopt::{Arg, Parser, ValueExt};
use measure_report::Figure;

use ::surface::model::Run;
use ::surface::scenario::{System, Workload};

use self::gate::Gate;
use crate::packages::Workspace;
use crate::{explain, unexpected};

const USAGE: &str = "\
Usage: cargo xtask measure [surface|syscalls|fuzz|code|throughput|start|memory|report|all] [OPTION...]

Measures what this project claims, beside others, and makes a page of it. Without a word it is `all`.

  surface     kernel functions that are reached: in a virtual machine under QEMU's software emulation,
              with Debian's kernel; each system in a machine of its own, one to two minutes each
  syscalls    system calls that are permitted and used; from the runs of `surface`
  fuzz        kernel functions that a program reaches that tries all it can think of
  code        size and complexity of that kernel's functions
  throughput  requests a second, and for a second of processor time, beside others
  start       how long until 1 to N of them have answered
  memory      how much memory each of 1 to 1000 takes
  report      makes the page again from what was measured before

  --quick           less of everything, for a look
  --system LIST     only these, such as nabla-tap,runc,gvisor
  --workload LIST   only these: hello, httpd, kv, block
  --jobs N          virtual machines at once, as many as processors if nothing is said
  --check           with `surface`: only our hello, httpd and kv; fails if they reach a function or make a
                    system call that is not in measure/data/gate
  --accept          with `surface`: the same, and what is reached becomes what may be

Needs QEMU (Debian's package qemu-system-x86), and apt-get to download what is measured, which is
unpacked below target/measure and not installed. Throughput, start and memory need root and what is
compared; what is not there is left out, and that is said. Results: target/measure/report.html,
report.md, and all samples in target/measure/data.";

/// What was asked for.
#[derive(Debug, Default)]
pub(crate) struct Options {
    /// Less of everything.
    pub(crate) quick: bool,
    systems: Vec<System>,
    workloads: Vec<Workload>,
    jobs: usize,
}

impl Options {
    /// Whether something is to be measured.
    fn wants(&self, system: System, workload: Workload) -> bool {
        (self.systems.is_empty() || self.systems.contains(&system))
            && (self.workloads.is_empty() || self.workloads.contains(&workload))
    }

    fn figures(&self) -> figures::Options {
        figures::Options { quick: self.quick }
    }

    fn wants_run(&self, run: &Run) -> bool {
        let wants = |wanted: &[&str], word: &str| wanted.is_empty() || wanted.contains(&word);
        let systems: Vec<_> = self.systems.iter().map(|system| system.word()).collect();
        let workloads: Vec<_> = self.workloads.iter().map(|workload| workload.word()).collect();
        wants(&systems, &run.system) && wants(&workloads, &run.workload)
    }

    /// How many virtual machines run at once.
    fn jobs(&self) -> usize {
        match self.jobs {
            0 => std::thread::available_parallelism().map_or(1, usize::from),
            jobs => jobs,
        }
    }
}

/// Keeps figures for the report.
fn save(place: &Place, figures: Vec<Figure>) -> Result<()> {
    let folder = place.folder("data/figures")?;
    for figure in figures {
        let text = serde_json::to_string_pretty(&figure).context("cannot write JSON")?;
        let file = folder.join(format!("{}.json", figure.id));
        fs::write(&file, text + "\n").with_context(|| file.display().to_string())?;
    }
    Ok(())
}

/// A part of the measurements.
type Part = (&'static str, fn(&Place, &Options) -> Result<()>);

const PARTS: [Part; 8] = [
    ("surface", surface::measure),
    ("syscalls", syscalls::print),
    ("fuzz", surface::fuzz),
    ("code", surface::code),
    ("throughput", |place, options| save(place, figures::throughput(options.figures())?)),
    ("start", |place, options| save(place, figures::start(options.figures())?)),
    ("memory", |place, options| save(place, figures::memory(options.figures())?)),
    ("report", |_, _| Ok(())),
];

/// The verb.
pub(crate) fn main(words: &mut Parser) -> Result<ExitCode> {
    let (mut part, mut gate) = (None, None);
    let mut options = Options::default();
    while let Some(word) = words.next()? {
        match word {
            Arg::Long("help") | Arg::Short('h') => return Ok(explain(USAGE)),
            Arg::Long("quick") => options.quick = true,
            Arg::Long("system") => options.systems = list(words)?,
            Arg::Long("workload") => options.workloads = list(words)?,
            Arg::Long("jobs") => options.jobs = number(words)?,
            Arg::Long("check") if gate.is_none() => gate = Some(Gate::Check),
            Arg::Long("accept") if gate.is_none() => gate = Some(Gate::Accept),
            Arg::Value(name) if part.is_none() => part = Some(name.string()?),
            other => return Err(unexpected(other, "measure")),
        }
    }
    let part = part.as_deref().unwrap_or("all");
    if let Some(gate) = gate {
        ensure!(part == "surface", "--check and --accept are for cargo xtask measure surface");
        return gate::run(&Place::new()?, &options, gate);
    }
    let parts: Vec<_> = PARTS.iter().filter(|(name, _)| part == "all" || *name == part).collect();
    if parts.is_empty() {
        let names = PARTS.map(|(name, _)| name).join(", ");
        bail!("there is no measurement '{part}'; there are {names}, all");
    }
    let place = Place::new()?;
    let mut code = ExitCode::SUCCESS;
    for (name, measure) in parts {
        // What was measured before is worth a report, and what comes may be as well.
        if let Err(error) = measure(&place, &options) {
            eprintln!("xtask: {name}: {error:#}");
            code = ExitCode::FAILURE;
        }
    }
    if part != "report" && part != "syscalls" {
        about::note(&place, &options)?;
    }
    report::write(&place)?;
    Ok(code)
}

fn number(words: &mut Parser) -> Result<usize> {
    let text = words.value()?.string()?;
    let number = text.parse().ok().filter(|&number| number > 0);
    number.with_context(|| format!("--jobs {text}: a whole number from 1 is needed"))
}

fn list<T: FromStr<Err = String>>(words: &mut Parser) -> Result<Vec<T>> {
    let text = words.value()?.string()?;
    text.split(',').map(|word| word.parse().map_err(|error: String| anyhow!(error))).collect()
}

/// Where results are.
#[derive(Debug)]
pub(crate) struct Place {
    /// The workspace.
    ours: Workspace,
    /// All that measurements make.
    folder: PathBuf,
}

impl Place {
    fn new() -> Result<Self> {
        let ours = Workspace::ours()?;
        let folder = ours.target_dir.join("measure");
        Ok(Self { ours, folder })
    }

    /// A folder in it, which is made.
    ///
    /// # Errors
    /// If it cannot be.
    pub(crate) fn folder(&self, name: &str) -> Result<PathBuf> {
        let folder = self.folder.join(name);
        fs::create_dir_all(&folder).with_context(|| folder.display().to_string())?;
        Ok(folder)
    }
}
