//! One program that is measured: how it is started, and how long it takes from there to its end.

use std::ffi::OsString;
use std::fs::{self, File};
use std::os::fd::AsFd;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::{SigSet, Signal, killpg};
use nix::sys::signalfd::{SfdFlags, SignalFd};
use nix::unistd::Pid;

/// A run that takes longer is a failure. The slowest candidate needs a hundredth of it.
const TIME_OUT: Duration = Duration::from_secs(15);
/// The same for many at once.
const CROWD_TIME_OUT: Duration = Duration::from_secs(60);
/// How often to look after a child without having been told of its end.
const LOOK: Duration = Duration::from_millis(50);

/// What a program is started with.
#[derive(Clone, Debug)]
pub(super) struct Candidate {
    /// Its name in the table.
    pub(super) name: String,
    /// The program's file.
    pub(super) program: PathBuf,
    /// Its arguments.
    pub(super) arguments: Vec<OsString>,
    /// Whether each run needs a last argument that no other has, as containers do.
    pub(super) is_numbered: bool,
    /// It takes part in each round whose number this divides.
    pub(super) every: u64,
}

impl Candidate {
    /// A program that takes part in every round.
    pub(super) fn new<A: Into<OsString>>(
        name: &str,
        program: &Path,
        arguments: impl IntoIterator<Item = A>,
    ) -> Self {
        Self {
            name: name.into(),
            program: program.into(),
            arguments: arguments.into_iter().map(Into::into).collect(),
            is_numbered: false,
            every: 1,
        }
    }

    fn command(&self, run: u64) -> Command {
        let mut command = Command::new(&self.program);
        command.args(&self.arguments);
        if self.is_numbered {
            command.arg(format!("nabla-bench-{}-{run}", std::process::id()));
        }
        // A group of its own, so that a time-out ends what the program has started as well.
        command.process_group(0);
        command
    }
}

/// Starts candidates and waits for their ends.
#[derive(Debug)]
pub(super) struct Runner {
    ends: SignalFd,
    null: File,
    log: PathBuf,
    runs: u64,
}

impl Runner {
    /// From here on, ends of children wake this one and nobody else. What programs say when they
    /// are tried goes to a file in `folder`.
    ///
    /// # Errors
    /// If the system has no descriptors left.
    pub(super) fn new(folder: &Path) -> Result<Self> {
        let set = SigSet::from(Signal::SIGCHLD);
        set.thread_block().context("cannot block SIGCHLD")?;
        let flags = SfdFlags::SFD_CLOEXEC | SfdFlags::SFD_NONBLOCK;
        let ends = SignalFd::with_flags(&set, flags).context("signalfd")?;
        let null = File::options().read(true).write(true).open("/dev/null");
        let log = folder.join("attempt.log");
        Ok(Self { ends, null: null.context("/dev/null")?, log, runs: 0 })
    }

    /// Whether a candidate works here.
    ///
    /// # Errors
    /// If not: why, in a line, as it says itself.
    pub(super) fn attempt(&mut self, candidate: &Candidate) -> Result<()> {
        // A file and no pipe: what a failed program leaves behind may keep a pipe open.
        let log = File::create(&self.log).with_context(|| self.log.display().to_string())?;
        let mut command = self.prepare(candidate)?;
        command.stdout(log.try_clone().context("cannot share a file")?).stderr(log);
        let mut child = command.spawn().with_context(|| candidate.program.display().to_string())?;
        let status = self.wait(&mut child)?;
        if status.success() {
            return Ok(());
        }
        let said = fs::read(&self.log).with_context(|| self.log.display().to_string())?;
        let said = String::from_utf8_lossy(&said);
        let last = said.lines().rev().find(|line| !line.trim().is_empty());
        bail!("it ends with {status}: {}", last.unwrap_or("it does not say why").trim())
    }

    /// How long a candidate takes from before it is started until its end is known.
    ///
    /// The standard library starts a program by `posix_spawn`, thus without a copy of this
    /// process's page tables, as nothing is asked for that needs `fork`.
    ///
    /// # Errors
    /// If it cannot be started, fails, or takes too long.
    pub(super) fn time(&mut self, candidate: &Candidate) -> Result<Duration> {
        let mut command = self.prepare(candidate)?;
        let start = Instant::now();
        let mut child = command.spawn().with_context(|| candidate.program.display().to_string())?;
        let status = self.wait(&mut child)?;
        let elapsed = start.elapsed();
        ensure!(status.success(), "{} ends with {status}", candidate.name);
        Ok(elapsed)
    }

    /// The same for many of it at once: until the last has ended.
    ///
    /// # Errors
    /// If one cannot be started, fails, or takes too long; all are ended then.
    pub(super) fn time_many(&mut self, candidate: &Candidate, count: usize) -> Result<Duration> {
        let commands = (0..count).map(|_| self.prepare(candidate));
        let mut commands = commands.collect::<Result<Vec<_>>>()?;
        let mut children = Vec::new();
        let start = Instant::now();
        let ended = self.end_all(&mut commands, &mut children, start, candidate);
        let elapsed = start.elapsed();
        for child in &mut children {
            // Those that are left are some of a crowd that failed.
            let _ = killpg(Pid::from_raw(child.id().cast_signed()), Signal::SIGKILL);
            let _ = child.wait();
        }
        ended.map(|()| elapsed)
    }

    /// Starts them and waits; who has not ended stays in the list.
    fn end_all(
        &self,
        commands: &mut [Command],
        children: &mut Vec<Child>,
        start: Instant,
        candidate: &Candidate,
    ) -> Result<()> {
        for command in commands {
            let spawned = command.spawn();
            children.push(spawned.with_context(|| candidate.program.display().to_string())?);
        }
        while !children.is_empty() {
            let mut failed = None;
            children.retain_mut(|child| match child.try_wait() {
                Ok(None) => true,
                Ok(Some(status)) if status.success() => false,
                other => {
                    failed = Some(other);
                    false
                }
            });
            if let Some(other) = failed {
                let status = other.context("wait")?.context("wait")?;
                bail!("{} ends with {status}", candidate.name);
            }
            ensure!(start.elapsed() < CROWD_TIME_OUT, "{} takes too long", candidate.name);
            if !children.is_empty() {
                let mut ends = [PollFd::new(self.ends.as_fd(), PollFlags::POLLIN)];
                let timeout = PollTimeout::try_from(LOOK).unwrap_or(PollTimeout::ZERO);
                poll(&mut ends, timeout).context("poll")?;
                self.ends.read_signal().context("signalfd")?;
            }
        }
        Ok(())
    }

    fn prepare(&mut self, candidate: &Candidate) -> Result<Command> {
        self.runs += 1;
        let mut command = candidate.command(self.runs);
        let null = || self.null.try_clone().map(Stdio::from).context("/dev/null");
        command.stdin(null()?).stdout(null()?).stderr(null()?);
        Ok(command)
    }

    fn wait(&self, child: &mut Child) -> Result<ExitStatus> {
        let deadline = Instant::now() + TIME_OUT;
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                killpg(Pid::from_raw(child.id().cast_signed()), Signal::SIGKILL)
                    .context("cannot end a program that takes too long")?;
                child.wait().context("wait")?;
                bail!("it has not ended after {} s", TIME_OUT.as_secs());
            }
            let mut ends = [PollFd::new(self.ends.as_fd(), PollFlags::POLLIN)];
            let timeout = PollTimeout::try_from(left.min(LOOK)).unwrap_or(PollTimeout::ZERO);
            poll(&mut ends, timeout).context("poll")?;
            // The signal may be an earlier child's, so it only says when to look.
            self.ends.read_signal().context("signalfd")?;
            if let Some(status) = child.try_wait().context("wait")? {
                return Ok(status);
            }
        }
    }
}

/// The file of a program on PATH.
pub(super) fn on_path(name: &str) -> Option<PathBuf> {
    let folders = std::env::var_os("PATH")?;
    std::env::split_paths(&folders).map(|folder| folder.join(name)).find(|file| file.is_file())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_that_fails_is_told_in_its_own_words() {
        let folder = tempfile::tempdir().unwrap();
        let mut runner = Runner::new(folder.path()).unwrap();
        let shell = |script| Candidate::new("sh", Path::new("/bin/sh"), ["-c", script]);
        runner.attempt(&shell("exit 0")).unwrap();
        assert!(runner.time(&shell("exit 0")).unwrap() > Duration::ZERO);
        let error = runner.attempt(&shell("echo begins; echo 'no cgroup' >&2; exit 3"));
        let error = error.unwrap_err().to_string();
        assert!(error.contains('3') && error.ends_with("no cgroup"), "{error}");
        assert!(runner.time(&shell("exit 1")).is_err());
    }

    #[test]
    fn many_have_ended_when_the_last_has() {
        let folder = tempfile::tempdir().unwrap();
        let mut runner = Runner::new(folder.path()).unwrap();
        let shell = |script| Candidate::new("sh", Path::new("/bin/sh"), ["-c", script]);
        assert!(runner.time_many(&shell("exit 0"), 5).unwrap() > Duration::ZERO);
        assert!(runner.time_many(&shell("exit 1"), 2).is_err());
    }

    #[test]
    fn numbered_candidates_have_a_word_of_their_own_each_run() {
        let mut candidate = Candidate::new("c", Path::new("/bin/true"), ["run"]);
        candidate.is_numbered = true;
        let last = |run| candidate.command(run).get_args().last().unwrap().to_owned();
        assert_ne!(last(1), last(2));
    }
}
