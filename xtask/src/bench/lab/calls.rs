//! How many system calls processes make: counted by the kernel's tracepoint, which slows a call
//! down by a small part of its time, or by strace, which slows it down twentyfold and is told apart.

use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};

use crate::bench::candidate::on_path;

const EVENT: &str = "raw_syscalls:sys_enter";
/// strace cannot watch some processes while another runs, so a shell ends it.
const STRACE: &str = "strace=$1 watched=$2 report=$3; shift 3; \
    \"$strace\" -q -c -f -p \"$watched\" -o \"$report\" & sleep 1; \
    \"$@\"; status=$?; kill -INT $!; wait $!; exit $status";

/// A way to count.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum CallCounter {
    /// `perf stat` on the tracepoint of all system calls.
    Perf(PathBuf),
    /// `strace -c`.
    Strace(PathBuf),
}

impl CallCounter {
    /// The best way that works here.
    pub(crate) fn find() -> Option<Self> {
        let perf = on_path("perf").filter(|perf| {
            let mut attempt = Command::new(perf);
            attempt.args(["stat", "-e", EVENT, "true"]);
            attempt.output().is_ok_and(|output| output.status.success())
        });
        perf.map(Self::Perf).or_else(|| on_path("strace").map(Self::Strace))
    }

    /// Its name in a table.
    pub(crate) fn name(&self) -> &'static str {
        match self {
            Self::Perf(_) => "counted by perf in runs of their own",
            Self::Strace(_) => "counted by strace, which slows servers down, in runs of their own",
        }
    }

    /// The words in front of a command that make a command which counts what these processes call
    /// for as long as that one runs.
    pub(crate) fn words(&self, watched: &[i32], report: &Path) -> Vec<OsString> {
        let watched = watched.iter().map(i32::to_string).collect::<Vec<_>>().join(",");
        let (program, report) = (|file: &Path| file.as_os_str().to_owned(), report.as_os_str());
        match self {
            Self::Perf(file) => {
                let stat = ["stat", "-x", ",", "-e", EVENT, "-p", &watched, "-o"];
                let stat = stat.iter().map(OsString::from);
                let rest = [report.to_owned(), "--".into()];
                std::iter::once(program(file)).chain(stat).chain(rest).collect()
            }
            Self::Strace(file) => {
                let rest = [watched.into(), report.to_owned()];
                let shell = ["sh", "-c", STRACE, "sh"].map(OsString::from);
                shell.into_iter().chain([program(file)]).chain(rest).collect()
            }
        }
    }

    /// Reads the report.
    ///
    /// # Errors
    /// If there is none.
    pub(crate) fn read(&self, report: &Path) -> Result<u64> {
        let text = fs::read_to_string(report).context("no report of system calls")?;
        let count = match self {
            Self::Perf(_) => perf_count(&text),
            Self::Strace(_) => strace_count(&text),
        };
        count.context("a report of system calls that has no number")
    }
}

fn perf_count(report: &str) -> Option<u64> {
    let line = report.lines().find(|line| line.contains(EVENT))?;
    line.split(',').next()?.trim().parse().ok()
}

fn strace_count(report: &str) -> Option<u64> {
    let line = report.lines().find(|line| line.trim_end().ends_with("total"))?;
    line.split_whitespace().nth(3)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reports_are_read() {
        let perf = "# started on Mon\n\n81234,,raw_syscalls:sys_enter,200000,100.00,,\n";
        assert_eq!(perf_count(perf), Some(81234));
        assert_eq!(perf_count("<not counted>,,raw_syscalls:sys_enter,0,100.00,,\n"), None);
        let strace = "% time     seconds  usecs/call     calls    errors syscall\n\
             ------ ----------- ----------- --------- --------- ----------------\n\
             100.00    0.000181          12        15         2 total\n";
        assert_eq!(strace_count(strace), Some(15));
    }
}
