//! What a bench runs inside of a network namespace: this program once more, as a client, as a
//! server to compare with, or as the starter of another program. It is no verb for users.
//!
//! A worker first takes its place (namespace, processor, limits) and then does its task. It ends
//! with the bench that has started it.

use std::ffi::OsString;
use std::fs::File;
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Command, ExitCode};

use anyhow::{Context, Result, bail, ensure};
use lexopt::{Arg, Parser, ValueExt};
use nix::sched::{CloneFlags, CpuSet, sched_setaffinity, setns};
use nix::sys::prctl::set_pdeathsig;
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use nix::sys::signal::Signal;
use nix::unistd::{Pid, getppid};

use super::load;
use super::number;
use crate::unexpected;

/// The word that makes `cargo xtask bench` a worker.
pub(super) const WORD: &str = "worker";

/// Where a worker runs.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Place {
    /// A file that stands for the network namespace; the starter's if there is none.
    pub(super) network: Option<PathBuf>,
    /// A file that stands for the mount namespace; the starter's if there is none.
    pub(super) mounts: Option<PathBuf>,
    /// The processor; any if there is none.
    pub(super) cpu: Option<usize>,
    /// How many files it may have open, if the system lets it; as its starter if there is none.
    pub(super) files: Option<u64>,
    /// Who has to be alive for it to be.
    pub(super) parent: Option<i32>,
}

impl Place {
    /// The words for [`main`].
    pub(super) fn words(&self) -> Vec<OsString> {
        let mut words: Vec<OsString> = vec!["bench".into(), WORD.into()];
        let mut add = |name: &str, value: Option<OsString>| {
            words.extend(value.into_iter().flat_map(|value| [name.into(), value]));
        };
        add("--network", self.network.clone().map(Into::into));
        add("--mounts", self.mounts.clone().map(Into::into));
        add("--cpu", self.cpu.map(|cpu| cpu.to_string().into()));
        add("--files", self.files.map(|files| files.to_string().into()));
        add("--parent", self.parent.map(|parent| parent.to_string().into()));
        words
    }

    fn take(&self) -> Result<()> {
        if let Some(parent) = self.parent {
            // A kill cannot be missed, and a tender or a server takes its own children along.
            set_pdeathsig(Signal::SIGTERM).context("cannot follow the bench")?;
            ensure!(getppid() == Pid::from_raw(parent), "the bench has ended");
        }
        if let Some(file) = &self.network {
            let name = || file.display().to_string();
            let file = File::open(file).with_context(name)?;
            setns(file, CloneFlags::CLONE_NEWNET).context("cannot enter the network namespace")?;
        }
        if let Some(file) = &self.mounts {
            let name = || file.display().to_string();
            let file = File::open(file).with_context(name)?;
            setns(file, CloneFlags::CLONE_NEWNS).context("cannot enter the mount namespace")?;
        }
        if let Some(cpu) = self.cpu {
            let mut set = CpuSet::new();
            set.set(cpu).context("there is no such processor")?;
            sched_setaffinity(Pid::from_raw(0), &set).context("cannot stay on a processor")?;
        }
        if let Some(files) = self.files {
            let (_, most) = getrlimit(Resource::RLIMIT_NOFILE).context("getrlimit")?;
            // More than its starter's only root may have, and not everywhere.
            if setrlimit(Resource::RLIMIT_NOFILE, files, most.max(files)).is_err() {
                setrlimit(Resource::RLIMIT_NOFILE, most, most).context("setrlimit")?;
            }
        }
        Ok(())
    }
}

/// Takes the place and does the task that the words name.
pub(super) fn main(words: &mut Parser) -> Result<ExitCode> {
    let mut place = Place::default();
    loop {
        match words.next()?.context("a worker needs a task")? {
            Arg::Long("network") => place.network = Some(words.value()?.into()),
            Arg::Long("mounts") => place.mounts = Some(words.value()?.into()),
            Arg::Long("cpu") => place.cpu = Some(number(words, "--cpu")?),
            Arg::Long("files") => place.files = Some(number(words, "--files")?),
            Arg::Long("parent") => place.parent = Some(number(words, "--parent")?),
            Arg::Value(task) => {
                place.take()?;
                return perform(&task.string()?, words);
            }
            other => return Err(unexpected(other, "bench")),
        }
    }
}

fn perform(task: &str, words: &mut Parser) -> Result<ExitCode> {
    match task {
        "exec" => {
            let program = words.value()?;
            let error = Command::new(&program).args(words.raw_args()?).exec();
            Err(error).with_context(|| program.to_string_lossy().into_owned())
        }
        "http" => load::http::main(words),
        "resp" => load::resp::main(words),
        "blocks" => load::blocks::main(words),
        "bulk" => load::bulk::main(words),
        "byte" => load::echo::byte(words),
        "datagrams" => load::echo::datagrams(words),
        "services" => load::services::main(words),
        "link" => load::link::main(words),
        other => bail!("a worker has no task '{other}'"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_is_said_in_words() {
        let place = Place {
            network: Some("/proc/self/ns/net".into()),
            mounts: None,
            cpu: Some(1),
            files: None,
            parent: Some(7),
        };
        let expected =
            ["bench", "worker", "--network", "/proc/self/ns/net", "--cpu", "1", "--parent", "7"];
        assert_eq!(place.words(), expected);
    }
}
