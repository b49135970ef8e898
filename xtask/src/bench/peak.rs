//! The most memory that each process of a start has held.
//!
//! `getrusage` cannot tell: what it calls a child's peak begins with the parent's, whose memory a
//! child shares until it becomes another program. So every process is traced, stops at the moment
//! before its memory is given back, and is read there. Tracing starts before the program does: a
//! shell stops itself, is attached to, and becomes the program.

use std::fs;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use nix::libc;
use nix::sys::ptrace::{self, Options};
use nix::sys::signal::{Signal, kill};
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::Pid;

use super::candidate::Candidate;
use super::process::field_bytes;

const TIME_OUT: Duration = Duration::from_secs(15);

/// A process as it was when it ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Peak {
    /// Its name.
    pub(super) name: String,
    /// The most memory that it has held (`VmHWM`).
    pub(super) most_bytes: u64,
    /// What it held at its end (`VmRSS`).
    pub(super) last_bytes: u64,
}

/// Runs a candidate and returns its processes in the order of their ends.
///
/// # Errors
/// If it may not be traced, or fails.
pub(super) fn observe(candidate: &Candidate) -> Result<Vec<Peak>> {
    let mut child = stopped(candidate)?;
    let result = trace(Pid::from_raw(child.id().cast_signed()));
    if result.is_err() {
        let _ = child.kill();
        let _ = child.wait();
    }
    result
}

/// A shell that has stopped itself and becomes the candidate when it goes on.
fn stopped(candidate: &Candidate) -> Result<Child> {
    let child = Command::new("/bin/sh")
        .args(["-c", "kill -STOP $$; exec \"$@\"", "sh"])
        .arg(&candidate.program)
        .args(&candidate.arguments)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .spawn()
        .context("/bin/sh")?;
    Ok(child)
}

fn trace(first: Pid) -> Result<Vec<Peak>> {
    let stopped = waitpid(first, Some(WaitPidFlag::WUNTRACED)).context("waitpid")?;
    ensure!(matches!(stopped, WaitStatus::Stopped(..)), "the shell has not stopped: {stopped:?}");
    let options = Options::PTRACE_O_EXITKILL
        | Options::PTRACE_O_TRACEEXIT
        | Options::PTRACE_O_TRACEFORK
        | Options::PTRACE_O_TRACEVFORK
        | Options::PTRACE_O_TRACECLONE;
    ptrace::seize(first, options).context("this system does not permit tracing")?;
    kill(first, Signal::SIGCONT).context("kill")?;

    let mut peaks = Vec::new();
    let deadline = Instant::now() + TIME_OUT;
    while Instant::now() < deadline {
        let status = waitpid(None, Some(WaitPidFlag::__WALL | WaitPidFlag::WNOHANG));
        match status.context("waitpid")? {
            WaitStatus::StillAlive => thread::sleep(Duration::from_millis(1)),
            WaitStatus::PtraceEvent(id, _, libc::PTRACE_EVENT_EXIT) => {
                peaks.push(read(Path::new(&format!("/proc/{id}/status")))?);
                ptrace::cont(id, None).context("ptrace")?;
            }
            WaitStatus::PtraceEvent(id, ..) => ptrace::cont(id, None).context("ptrace")?,
            WaitStatus::Stopped(id, signal) => ptrace::cont(id, signal).context("ptrace")?,
            WaitStatus::Exited(id, status) if id == first => {
                ensure!(status == 0, "it ends with status {status}");
                return Ok(peaks);
            }
            WaitStatus::Signaled(id, signal, _) if id == first => bail!("it ends by {signal}"),
            _ => {}
        }
    }
    bail!("it has not ended after {} s", TIME_OUT.as_secs())
}

fn read(file: &Path) -> Result<Peak> {
    let text = fs::read_to_string(file).with_context(|| file.display().to_string())?;
    let name = text.lines().find_map(|line| line.strip_prefix("Name:"));
    let field = |name| field_bytes(&text, name).with_context(|| format!("no {name} in status"));
    Ok(Peak {
        name: name.context("no Name in status")?.trim().to_owned(),
        most_bytes: field("VmHWM")?,
        last_bytes: field("VmRSS")?,
    })
}
