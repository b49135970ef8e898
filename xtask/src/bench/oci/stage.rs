//! Where containers live: their runtimes are called from here, their processes are children of this
//! program, and none is left when it ends, however it does but by a kill.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use nix::errno::Errno;
use nix::sys::prctl::set_child_subreaper;
use nix::sys::signal::{SigSet, Signal, kill};
use nix::sys::signalfd::{SfdFlags, SignalFd};
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::Pid;

use super::network::{Answer, Wire, first_answer};
use super::runtime::Runtime;
use super::{bundle, cgroup};
use crate::bench::candidate::Runner;
use crate::bench::meter;
use crate::bench::process::Process;

/// How long a container's processes may take to end once they are killed.
const PATIENCE: Duration = Duration::from_secs(10);
const PAUSE: Duration = Duration::from_millis(1);
/// What the names of all containers of a bench begin with.
pub(in crate::bench) const ID_PREFIX: &str = "nabla-bench-";

/// Whether a step is tried or timed. What a program says is only read if it is tried.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Manner {
    /// An error tells what the program said.
    Try,
    /// The program's output goes nowhere.
    Time,
}

/// Calls runtimes, one at a time.
#[derive(Debug)]
pub(in crate::bench) struct Stage {
    runner: Runner,
    interrupts: SignalFd,
    is_interrupted: bool,
    folder: PathBuf,
    count: u64,
}

impl Stage {
    /// From here on the orphans of what this program starts are its children, and a signal that
    /// would end it is an error of the next step. Bundles are made in `folder`.
    ///
    /// # Errors
    /// If the system does not permit it.
    pub(in crate::bench) fn new(folder: &Path) -> Result<Self> {
        set_child_subreaper(true).context("cannot adopt containers")?;
        let set: SigSet = [Signal::SIGINT, Signal::SIGTERM, Signal::SIGHUP].into_iter().collect();
        set.thread_block().context("cannot block signals")?;
        let flags = SfdFlags::SFD_CLOEXEC | SfdFlags::SFD_NONBLOCK;
        let interrupts = SignalFd::with_flags(&set, flags).context("signalfd")?;
        remove_bundles(folder)?;
        let runner = Runner::new(folder)?;
        Ok(Self { runner, interrupts, is_interrupted: false, folder: folder.into(), count: 0 })
    }

    /// Makes a container's bundle.
    ///
    /// # Errors
    /// If it cannot be written.
    pub(super) fn container<'a>(
        &mut self,
        runtime: &'a Runtime,
        wire: Wire<'a>,
    ) -> Result<Container<'a>> {
        let (id, bundle) = self.place();
        bundle::write(&bundle, &id, &runtime.contents, &wire.path())?;
        Ok(Container { runtime, wire, id, bundle, is_there: false })
    }

    /// A name that no other container of this program has, and the folder of its bundle.
    pub(super) fn place(&mut self) -> (String, PathBuf) {
        self.count += 1;
        let id = format!("{ID_PREFIX}{}-{}", std::process::id(), self.count);
        let bundle = self.folder.join(&id);
        (id, bundle)
    }

    /// Whether this program may go on.
    ///
    /// # Errors
    /// If somebody wants it to end.
    pub(in crate::bench) fn check(&mut self) -> Result<()> {
        let signal = self.interrupts.read_signal().context("signalfd")?;
        self.is_interrupted |= signal.is_some();
        ensure!(!self.is_interrupted, "it was interrupted");
        Ok(())
    }

    /// Runs a verb of a runtime to its end.
    fn step(&mut self, manner: Manner, runtime: &Runtime, words: &[&str]) -> Result<Duration> {
        self.check()?;
        let command = runtime.command(words);
        let mut act = || match manner {
            Manner::Time => self.runner.time(&command),
            Manner::Try => {
                let start = Instant::now();
                self.runner.attempt(&command).with_context(|| command.name.clone())?;
                Ok(start.elapsed())
            }
        };
        match &runtime.view {
            None => act(),
            Some(view) => view.within(act)?,
        }
    }
}

impl Drop for Stage {
    fn drop(&mut self) {
        // Containers are gone before; this is for what a failed runtime has forgotten.
        for id in family().unwrap_or_default() {
            let _ = kill(Pid::from_raw(id), Signal::SIGKILL);
        }
        let _ = wait_for_all();
        // No other bench is running, so those of one that was killed may go as well.
        cgroup::remove(ID_PREFIX);
    }
}

/// Removes what a bench that was killed has left.
fn remove_bundles(folder: &Path) -> Result<()> {
    let name = || folder.display().to_string();
    for entry in fs::read_dir(folder).with_context(name)? {
        let entry = entry.with_context(name)?;
        if entry.file_name().to_string_lossy().starts_with(ID_PREFIX) {
            fs::remove_dir_all(entry.path()).with_context(|| entry.path().display().to_string())?;
        }
    }
    Ok(())
}

/// A container, from its bundle on. Dropping it removes all of it.
#[derive(Debug)]
pub(super) struct Container<'a> {
    runtime: &'a Runtime,
    wire: Wire<'a>,
    id: String,
    bundle: PathBuf,
    is_there: bool,
}

impl Container<'_> {
    /// Creates it: all is there but the program.
    ///
    /// # Errors
    /// If the runtime fails.
    pub(super) fn create(&mut self, stage: &mut Stage, manner: Manner) -> Result<Duration> {
        // A runtime that fails may leave something.
        self.is_there = true;
        let (bundle, pid) = (self.bundle.to_string_lossy(), self.pid_file());
        let pid = pid.to_string_lossy();
        let words = ["create", "--bundle", &bundle, "--pid-file", &pid, &self.id];
        stage.step(manner, self.runtime, &words)
    }

    /// Starts the program.
    ///
    /// # Errors
    /// If the runtime fails.
    pub(super) fn start(&self, stage: &mut Stage, manner: Manner) -> Result<Duration> {
        stage.step(manner, self.runtime, &["start", &self.id])
    }

    /// Waits for the first answer.
    ///
    /// # Errors
    /// If there is none: it has ended, or is silent.
    pub(super) fn first_answer(&self) -> Result<Answer> {
        first_answer(self.wire.server(), || self.is_running()).context(self.runtime.kind.name())
    }

    fn is_running(&self) -> bool {
        let pid = fs::read_to_string(self.pid_file()).ok().and_then(|pid| pid.trim().parse().ok());
        pid.and_then(Process::find).is_some_and(|process| process.is_running())
    }

    fn pid_file(&self) -> PathBuf {
        self.bundle.join("pid")
    }

    /// What the kernel counts for its cgroup, if that is there.
    pub(super) fn cgroup_bytes(&self) -> Option<u64> {
        cgroup::memory_bytes(&self.id)
    }

    /// Kills the program. [`wait_for_all`] tells when it has ended.
    ///
    /// # Errors
    /// If the runtime fails.
    pub(super) fn kill(&self, stage: &mut Stage, manner: Manner) -> Result<Duration> {
        stage.step(manner, self.runtime, &["kill", &self.id, "KILL"])
    }

    /// Deletes it, which has to have ended.
    ///
    /// # Errors
    /// If the runtime fails.
    pub(super) fn delete(&mut self, stage: &mut Stage, manner: Manner) -> Result<Duration> {
        let elapsed = stage.step(manner, self.runtime, &["delete", &self.id])?;
        self.is_there = false;
        Ok(elapsed)
    }
}

impl Drop for Container<'_> {
    fn drop(&mut self) {
        if self.is_there {
            force(self.runtime, &self.id);
        }
        let _ = fs::remove_dir_all(&self.bundle);
    }
}

/// Removes a container in whatever state it is; what the runtime says does not matter.
pub(in crate::bench) fn force(runtime: &Runtime, id: &str) {
    let delete = || {
        let command = runtime.command(&["delete", "--force", id]);
        std::process::Command::new(command.program).args(command.arguments).output()
    };
    let _ = match &runtime.view {
        None => Ok(delete()),
        Some(view) => view.within(delete),
    };
}

/// The processes of all containers.
///
/// # Errors
/// If there is no /proc.
pub(in crate::bench) fn family() -> Result<Vec<i32>> {
    let own = std::process::id().cast_signed();
    let mut family = meter::family(own)?;
    family.retain(|&id| id != own);
    Ok(family)
}

/// Waits until no container has a process. No runtime may be under way.
///
/// # Errors
/// If that takes too long.
pub(in crate::bench) fn wait_for_all() -> Result<()> {
    let deadline = Instant::now() + PATIENCE;
    loop {
        match waitpid(None, Some(WaitPidFlag::WNOHANG)) {
            Err(Errno::ECHILD) => return Ok(()),
            Ok(WaitStatus::StillAlive) => thread::sleep(PAUSE),
            Ok(_) | Err(Errno::EINTR) => {}
            Err(error) => return Err(error).context("waitpid"),
        }
        ensure!(Instant::now() < deadline, "a container has not ended after {PATIENCE:?}");
    }
}

/// A folder for the runtimes' states that no other bench uses at a time; removed at the end.
#[derive(Debug)]
pub(in crate::bench) struct State {
    /// The folder.
    pub(in crate::bench) folder: PathBuf,
    _lock: File,
}

impl State {
    /// Where engines have it.
    ///
    /// # Errors
    /// If another bench is running, or the folder cannot be made.
    pub(in crate::bench) fn make(folder: &Path) -> Result<Self> {
        let name = || folder.display().to_string();
        fs::create_dir_all(folder).with_context(name)?;
        let lock = File::create(folder.join("lock")).with_context(name)?;
        lock.try_lock().map_err(|_| anyhow::anyhow!("another bench of runtimes is running"))?;
        Ok(Self { folder: folder.into(), _lock: lock })
    }
}

impl Drop for State {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.folder);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bundles_of_a_bench_that_was_killed_are_removed() {
        let folder = tempfile::tempdir().unwrap();
        for name in ["nabla-bench-7-1", "roots"] {
            fs::create_dir_all(folder.path().join(name).join("x")).unwrap();
        }
        remove_bundles(folder.path()).unwrap();
        let left = fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().file_name());
        assert_eq!(left.collect::<Vec<_>>(), ["roots"]);
    }

    #[test]
    fn two_benches_do_not_share_a_state() {
        let folder = tempfile::tempdir().unwrap();
        let place = folder.path().join("state");
        let state = State::make(&place).unwrap();
        assert!(State::make(&place).unwrap_err().to_string().contains("another bench"));
        drop(state);
        assert!(!place.exists());
        State::make(&place).unwrap();
    }
}
