//! The kernel's functions that our guests may reach, as lists in the repository: what is reached
//! besides is an error, so that nobody widens the surface without saying so.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::fs;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::atomic::{AtomicBool, Ordering};

use ::surface::model::Run;
use ::surface::scenario::{System, Workload};
use anyhow::{Context, Result, bail, ensure};

use super::machines::Machines;
use super::{Options, Place, surface};
use crate::packages::our_root;

/// Whose lists there are.
const GUESTS: [(Workload, System); 5] = [
    (Workload::Hello, System::NablaTap),
    (Workload::Httpd, System::NablaTap),
    (Workload::Httpd, System::NablaRing),
    (Workload::Kv, System::NablaTap),
    (Workload::Kv, System::NablaRing),
];
/// How often the steady state is looked at when a list is made: what comes seldom is to be in it.
const ACCEPT_REPEATS: u32 = 20;
const CHECK_REPEATS: u32 = 2;
/// Functions that any process reaches by waiting, by being scheduled, or by a page fault: whether one is
/// seen is chance. No function of a device, a file system or a network is among them.
const ANYTIME: &str = "anytime";
const EXIT: &str = "exit_group";
const ROLE: &str = "guest";
/// What stands before the kernel's release in a list.
const KERNEL: &str = "# kernel ";

/// What is done with lists.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Gate {
    /// Guests are held against them.
    Check,
    /// They are made anew.
    Accept,
}

/// Measures our guests, and checks or makes their lists.
///
/// # Errors
/// If they cannot be measured, or a list is not there.
pub(crate) fn run(place: &Place, options: &Options, gate: Gate) -> Result<ExitCode> {
    let repeats = if gate == Gate::Accept { ACCEPT_REPEATS } else { CHECK_REPEATS };
    let guests = GUESTS.into_iter().filter(|&(workload, system)| options.wants(system, workload));
    let scenarios: Vec<_> =
        guests.map(|(workload, system)| surface::scenario(system, workload, repeats)).collect();
    ensure!(!scenarios.is_empty(), "none of the guests that have a list was asked for");
    let is_shut = AtomicBool::new(false);
    let mut machines = Machines::make(place)?;
    machines.run(scenarios, options.jobs(), |_, told| {
        let run = serde_json::from_slice(told).context("a run is not as it should be")?;
        match gate {
            Gate::Accept => accept(&run)?,
            Gate::Check if !check(&run)? => is_shut.store(true, Ordering::Relaxed),
            Gate::Check => {}
        }
        Ok(())
    })?;
    if is_shut.into_inner() {
        println!(
            "\nOur guests reach more of the kernel than measure/data/gate permits. If that is meant, \
             `cargo xtask measure surface --accept` makes it the list, for the change's reviewers to see."
        );
        return Ok(ExitCode::FAILURE);
    }
    Ok(ExitCode::SUCCESS)
}

/// What a guest may reach.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Permitted {
    /// The kernel that it is known from.
    kernel: String,
    /// By system call, or by another reason to be in the kernel.
    calls: BTreeMap<String, BTreeSet<String>>,
}

/// What was reached and is not permitted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct News {
    /// System calls.
    calls: BTreeSet<String>,
    /// Functions, with the call in which each was reached.
    functions: BTreeMap<String, String>,
    /// Whether it was another kernel than the list's.
    is_other_kernel: bool,
}

impl Permitted {
    /// All that the guest itself reached in a run, until its end: how a process ends is the kernel's alone.
    fn of(run: &Run) -> Self {
        let mut calls = BTreeMap::<String, BTreeSet<String>>::new();
        let phases = run.phases.iter().filter(|phase| phase.name != "exit");
        for role in phases.filter_map(|phase| phase.roles.get(ROLE)) {
            for (name, call) in role.calls.iter().filter(|(name, _)| *name != EXIT) {
                calls.entry(name.clone()).or_default().extend(call.functions.iter().cloned());
            }
        }
        Self { kernel: run.kernel.release.clone(), calls }
    }

    /// Reads a list.
    ///
    /// # Errors
    /// If a line is not as it should be.
    fn parse(text: &str) -> Result<Self> {
        let mut permitted = Self::default();
        let mut call = None;
        for (line, number) in text.lines().map(str::trim).zip(1..) {
            if let Some(kernel) = line.strip_prefix(KERNEL) {
                permitted.kernel = kernel.to_owned();
            } else if let Some(name) =
                line.strip_prefix('[').and_then(|line| line.strip_suffix(']'))
            {
                call = Some(permitted.calls.entry(name.to_owned()).or_default());
            } else if !line.is_empty() && !line.starts_with('#') {
                let functions = call.as_mut();
                let functions = functions.with_context(|| {
                    format!("line {number}: '{line}' stands before the first [call]")
                })?;
                functions.insert(line.to_owned());
            }
        }
        Ok(permitted)
    }

    fn text(&self, what: &str) -> String {
        let mut text = format!(
            "# Kernel functions that the guest reaches: {what}.\n\
             # Made by `cargo xtask measure surface --accept`; checked by `--check`.\n\
             {KERNEL}{}\n",
            self.kernel
        );
        for (call, functions) in &self.calls {
            // Writing to a text does not fail.
            let _ = write!(text, "\n[{call}]\n");
            for function in functions {
                let _ = writeln!(text, "{function}");
            }
        }
        text
    }

    /// What the other reached beyond this. A function is known in all calls or in none: which of them
    /// runs into a slow path depends on the moment.
    fn news(&self, anytime: &Self, reached: &Self) -> News {
        let known: BTreeSet<_> =
            self.calls.values().chain(anytime.calls.values()).flatten().collect();
        let calls = reached.calls.keys().filter(|call| !self.calls.contains_key(*call));
        let functions = reached.calls.iter().flat_map(|(call, functions)| {
            functions
                .iter()
                .filter(|function| !known.contains(function))
                .map(|function| (function.clone(), call.clone()))
        });
        News {
            calls: calls.cloned().collect(),
            functions: functions.collect(),
            is_other_kernel: self.kernel != reached.kernel,
        }
    }
}

impl News {
    /// Whether the gate stays shut. Another kernel has other functions, so with one it is the calls alone
    /// that decide.
    fn is_failure(&self) -> bool {
        !self.calls.is_empty() || !self.functions.is_empty() && !self.is_other_kernel
    }
}

/// Holds a run against its list, and prints what is new.
///
/// # Errors
/// If there is no list, or it is damaged.
fn check(run: &Run) -> Result<bool> {
    let read = |file: PathBuf| {
        let text = fs::read_to_string(&file).with_context(|| file.display().to_string())?;
        Permitted::parse(&text).with_context(|| file.display().to_string())
    };
    let (permitted, anytime) = (read(file(run))?, read(list(ANYTIME))?);
    let reached = Permitted::of(run);
    let news = permitted.news(&anytime, &reached);
    let count = reached.calls.values().flatten().collect::<BTreeSet<_>>().len();
    println!("{} on {}: {count} functions", run.workload, run.system);
    for call in &news.calls {
        println!("  new system call: {call}");
    }
    for (function, call) in &news.functions {
        println!("  new function: {function} in {call}");
    }
    if news.is_other_kernel {
        println!(
            "  this is kernel {}, the list is of {}: its functions are not judged",
            reached.kernel, permitted.kernel
        );
    }
    Ok(!news.is_failure())
}

/// Makes what a run reached the list.
///
/// # Errors
/// If it cannot be written.
fn accept(run: &Run) -> Result<()> {
    let (file, permitted) = (file(run), Permitted::of(run));
    if permitted.calls.is_empty() {
        bail!("{} on {}: the guest did nothing", run.workload, run.system);
    }
    let text = permitted.text(&format!("{} on {}", run.workload, run.system));
    fs::create_dir_all(folder()).with_context(|| folder().display().to_string())?;
    fs::write(&file, text).with_context(|| file.display().to_string())?;
    println!("{} is written", file.display());
    Ok(())
}

fn folder() -> PathBuf {
    our_root().join("measure/data/gate")
}

fn file(run: &Run) -> PathBuf {
    list(&format!("{}-{}", run.workload, run.system))
}

fn list(name: &str) -> PathBuf {
    folder().join(format!("{name}.txt"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn permitted(kernel: &str, calls: &[(&str, &[&str])]) -> Permitted {
        let calls = calls.iter().map(|(call, functions)| {
            ((*call).to_owned(), functions.iter().map(|&name| name.to_owned()).collect())
        });
        Permitted { kernel: kernel.into(), calls: calls.collect() }
    }

    #[test]
    fn a_list_is_read_as_it_is_written() {
        let list = permitted("6.1", &[("read", &["a", "b"]), ("(page fault)", &["c"]), ("x", &[])]);
        assert_eq!(Permitted::parse(&list.text("httpd")).unwrap(), list);
        assert!(Permitted::parse("function\n[read]").is_err());
    }

    #[test]
    fn new_functions_and_calls_keep_the_gate_shut() {
        let none = Permitted::default();
        let list = permitted("6.1", &[("read", &["a", "b"]), ("write", &["c"])]);
        assert!(!list.news(&none, &list).is_failure());
        // One that is gone is none, nor is one in another call.
        assert!(!list.news(&none, &permitted("6.1", &[("read", &["a", "c"])])).is_failure());
        let news = list.news(&none, &permitted("6.1", &[("read", &["a", "d"])]));
        assert!(news.is_failure());
        assert_eq!(news.functions["d"], "read");
        // What comes at any time is no news, but a system call is none of that.
        let anytime = permitted("6.1", &[("anytime", &["d"])]);
        assert!(!list.news(&anytime, &permitted("6.1", &[("read", &["d"])])).is_failure());
        assert!(list.news(&anytime, &permitted("6.1", &[("anytime", &["d"])])).is_failure());
        assert!(list.news(&none, &permitted("6.1", &[("mmap", &[])])).is_failure());
    }

    #[test]
    fn on_another_kernel_the_calls_decide() {
        let none = Permitted::default();
        let list = permitted("6.1", &[("read", &["a"])]);
        let news = list.news(&none, &permitted("6.2", &[("read", &["d"])]));
        assert!(news.is_other_kernel && !news.is_failure());
        assert!(list.news(&none, &permitted("6.2", &[("mmap", &["a"])])).is_failure());
    }
}
