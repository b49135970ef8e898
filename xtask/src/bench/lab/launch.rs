//! Starting programs in their places, and ending them.

use std::ffi::{OsStr, OsString};
use std::fs::{self, File};
use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;

use crate::bench::meter;
use crate::bench::worker::Place;

/// How long a program may take to end before it is killed.
const PATIENCE: Duration = Duration::from_secs(5);
const PAUSE: Duration = Duration::from_millis(5);

/// Starts workers: this program, built with optimisation.
#[derive(Clone, Debug)]
pub(crate) struct Launcher {
    program: PathBuf,
}

impl Launcher {
    /// By this file.
    pub(crate) fn new(program: PathBuf) -> Self {
        Self { program }
    }

    /// A worker with a task. It ends with this process.
    pub(crate) fn task<A: AsRef<OsStr>>(
        &self,
        place: Place,
        task: impl IntoIterator<Item = A>,
    ) -> Command {
        let parent = Some(std::process::id().cast_signed());
        self.command(&Place { parent, ..place }, task)
    }

    /// Another program in a place. It ends with this process.
    pub(crate) fn exec(&self, place: Place, program: &OsStr) -> Command {
        self.task(place, ["exec".as_ref(), program])
    }

    /// Another program, with a command as its last words: one that watches what the command does.
    pub(crate) fn around(&self, words: &[OsString], place: &Place, task: &[OsString]) -> Command {
        let inner = self.command(place, task);
        let mut outer = self.task(Place::default(), ["exec"]);
        outer.args(words).arg(inner.get_program()).args(inner.get_args());
        outer
    }

    fn command<A: AsRef<OsStr>>(
        &self,
        place: &Place,
        task: impl IntoIterator<Item = A>,
    ) -> Command {
        let mut command = Command::new(&self.program);
        command.args(place.words()).args(task).stdin(Stdio::null());
        command
    }
}

/// A program that runs beside the bench. Dropping it ends it.
#[derive(Debug)]
pub(crate) struct Program {
    name: String,
    child: Child,
    log: PathBuf,
}

impl Program {
    /// Starts it. What it says goes to a file.
    ///
    /// # Errors
    /// If it cannot be started.
    pub(crate) fn start(name: &str, mut command: Command, log: &Path) -> Result<Self> {
        let file = File::create(log).with_context(|| log.display().to_string())?;
        command.stdout(file.try_clone().context("cannot share a file")?).stderr(file);
        let child = command.spawn().with_context(|| format!("cannot start {name}"))?;
        Ok(Self { name: name.into(), child, log: log.into() })
    }

    /// Its processes.
    ///
    /// # Errors
    /// If there is no /proc.
    pub(crate) fn family(&self) -> Result<Vec<i32>> {
        meter::family(self.id())
    }

    fn id(&self) -> i32 {
        self.child.id().cast_signed()
    }

    /// Makes sure that it runs.
    ///
    /// # Errors
    /// If it has ended: how, and what it said last.
    pub(crate) fn check(&mut self) -> Result<()> {
        let Some(status) = self.child.try_wait().context("wait")? else { return Ok(()) };
        let said = said(&self.log);
        let last = said.lines().rev().find(|line| !line.trim().is_empty());
        bail!("{} has ended with {status}: {}", self.name, last.unwrap_or("it does not say why"))
    }

    /// Waits until it has said something.
    ///
    /// # Errors
    /// If it ends before or takes too long.
    pub(crate) fn wait_until_it_says(&mut self, text: &str) -> Result<()> {
        let log = self.log.clone();
        self.wait_until(|| said(&log).contains(text))
    }

    /// Waits until it is ready, which `is_ready` tells.
    ///
    /// # Errors
    /// If it ends before or takes too long.
    pub(crate) fn wait_until(&mut self, mut is_ready: impl FnMut() -> bool) -> Result<()> {
        let deadline = Instant::now() + 2 * PATIENCE;
        while !is_ready() {
            self.check()?;
            ensure!(Instant::now() < deadline, "{} does not answer", self.name);
            std::thread::sleep(4 * PAUSE);
        }
        Ok(())
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        let _ = end(&mut self.child);
    }
}

fn said(log: &Path) -> String {
    String::from_utf8_lossy(&fs::read(log).unwrap_or_default()).into_owned()
}

/// Ends a program, first politely.
fn end(child: &mut Child) -> Result<ExitStatus> {
    if let Some(status) = child.try_wait()? {
        return Ok(status);
    }
    kill(Pid::from_raw(child.id().cast_signed()), Signal::SIGTERM)?;
    let deadline = Instant::now() + PATIENCE;
    while Instant::now() < deadline {
        if let Some(status) = child.try_wait()? {
            return Ok(status);
        }
        std::thread::sleep(PAUSE);
    }
    child.kill()?;
    Ok(child.wait()?)
}

/// Runs a worker to its end and reads the JSON that it says.
///
/// # Errors
/// If it fails: what it says last. If it takes longer than it may.
pub(crate) fn ask(mut command: Command, at_most: Duration) -> Result<Value> {
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().context("cannot start a client")?;
    let id = Pid::from_raw(child.id().cast_signed());
    let (sender, ended) = channel::<()>();
    // It may say more than a pipe holds, so it is read while its time is watched.
    let guard = std::thread::spawn(move || {
        let is_late = ended.recv_timeout(at_most) == Err(RecvTimeoutError::Timeout);
        if is_late {
            let _ = kill(id, Signal::SIGKILL);
        }
        is_late
    });
    let output = wait_with_output(&mut child);
    drop(sender);
    let is_late = guard.join().unwrap_or(false);
    let (status, said, complaint) = output?;
    ensure!(!is_late, "a client has not ended after {} s", at_most.as_secs());
    let last = complaint.lines().last().unwrap_or("it does not say why");
    ensure!(status.success(), "{}", last.strip_prefix("xtask: ").unwrap_or(last));
    serde_json::from_str(&said).context("a client's answer is no JSON")
}

fn wait_with_output(child: &mut Child) -> Result<(ExitStatus, String, String)> {
    let (mut said, mut complaint) = (String::new(), String::new());
    let mut stdout = child.stdout.take().context("no pipe")?;
    stdout.read_to_string(&mut said).context("a client's answer")?;
    let mut stderr = child.stderr.take().context("no pipe")?;
    stderr.read_to_string(&mut complaint).context("a client's complaint")?;
    Ok((child.wait().context("wait")?, said, complaint))
}
