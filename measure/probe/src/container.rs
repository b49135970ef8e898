//! The same programs in containers: under runc, and under gVisor with its `ptrace` platform, the only one
//! that works where the processor has no virtualisation to give.
//!
//! An engine's part is played here: an image under an overlay, a bundle, and `run`. The network namespace must be
//! there. gVisor takes addresses and routes away from the interfaces of the namespace and answers for them itself, so
//! a namespace serves one of its containers only, and it must be there before.

mod config;
mod seccomp;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use nix::errno::Errno;
use nix::mount::{MsFlags, mount};
use nix::sys::signal::{Signal, kill};
use nix::sys::utsname::uname;
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::Pid;
use serde_json::Value;

use crate::processes::is_traced;

/// Where an image lies.
const IMAGE: &str = "/image";
/// Where all of a container lies.
const PLACE: &str = "/run/container";
/// The control groups of version 2.
const CGROUPS: &str = "/sys/fs/cgroup";
/// What a container may be limited in, where the kernel has it.
const CONTROLLERS: [&str; 5] = ["cpuset", "cpu", "io", "memory", "pids"];
/// Docker's seccomp profile, in its own format.
const PROFILE: &str = "/measure/docker-seccomp.json";
/// How long an end may take before it counts as hung, in the virtual machine's time: programs rest before theirs.
const PATIENCE: Duration = Duration::from_secs(180);
const PAUSE: Duration = Duration::from_millis(20);

/// What those processes of a runtime are that are not in the container.
pub(crate) const RUNTIME: &str = "runtime";

/// A runtime.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Engine {
    /// Containers of the kernel's making.
    Runc,
    /// A kernel that is a program.
    Gvisor,
}

/// What runs in a container.
#[derive(Clone, Debug)]
pub(crate) struct Bundle {
    /// The program in the image and its arguments.
    pub(crate) words: Vec<String>,
    /// What it has of the host's folders.
    pub(crate) volumes: Vec<Volume>,
    /// Its network namespace; without one it has a new one with nothing in it.
    pub(crate) network: Option<PathBuf>,
    /// Its user, and its group.
    pub(crate) uid: u32,
}

/// A folder of the host in a container.
#[derive(Clone, Debug)]
pub(crate) struct Volume {
    /// Where it is.
    pub(crate) outside: PathBuf,
    /// Where the container has it.
    pub(crate) inside: PathBuf,
    /// Whether it may only be read.
    pub(crate) is_read_only: bool,
}

impl Engine {
    /// Makes what an engine makes before it calls a runtime: the root file system, an overlay over the
    /// image, and the bundle. For runc there is Docker's filter in it; gVisor, which has filters of its
    /// own, ignores such.
    ///
    /// # Errors
    /// If something of it is refused.
    pub(crate) fn prepare(self, bundle: &Bundle) -> Result<()> {
        mount_cgroups()?;
        fs::create_dir_all("/tmp").context("/tmp")?;
        let place = Path::new(PLACE);
        for folder in ["state", "bundle", "upper", "work", "root"] {
            fs::create_dir_all(place.join(folder)).with_context(|| format!("{PLACE}/{folder}"))?;
        }
        let options = format!("lowerdir={IMAGE},upperdir={PLACE}/upper,workdir={PLACE}/work");
        let root = place.join("root");
        mount(Some("overlay"), &root, Some("overlay"), MsFlags::empty(), Some(&*options))
            .with_context(|| format!("cannot mount an overlay over {IMAGE}"))?;
        let seccomp = match self {
            Self::Runc => Some(profile()?),
            Self::Gvisor => None,
        };
        let config = config::config(bundle, &root, seccomp);
        fs::write(place.join("bundle/config.json"), config.to_string())
            .with_context(|| format!("{PLACE}/bundle/config.json"))
    }

    /// The command line that makes the container and starts its program. It ends when that runs,
    /// or else with the program.
    pub(crate) fn run_words(self, is_detached: bool) -> Vec<String> {
        let bundle = format!("--bundle={PLACE}/bundle");
        let detach = is_detached.then_some("--detach");
        let words = ["run"].into_iter().chain(detach).chain([&*bundle, config::ID]);
        self.words(words)
    }

    /// The container's processes in the order of their numbers, and what each is: `server`, or of gVisor's
    /// `sentry`, `gofer` and `stub`.
    ///
    /// # Errors
    /// If there are none, or the control group cannot be read.
    pub(crate) fn processes(self) -> Result<Vec<(i32, &'static str)>> {
        let pids = pids()?;
        ensure!(!pids.is_empty(), "the container has ended");
        let processes = pids.into_iter().filter_map(|pid| {
            // It may be gone meanwhile.
            let words = fs::read(format!("/proc/{pid}/cmdline")).ok()?;
            Some((pid, self.role(&String::from_utf8_lossy(&words), is_traced(pid))?))
        });
        Ok(processes.collect())
    }

    /// Asks its program to end, and waits until all of it has ended.
    ///
    /// # Errors
    /// If it does not end.
    pub(crate) fn end(self) -> Result<()> {
        match self {
            // As the runtime itself does.
            Self::Runc => {
                let first = pids()?.into_iter().next().context("the container has ended")?;
                kill(Pid::from_raw(first), Signal::SIGTERM).context("kill")?;
            }
            Self::Gvisor => {
                let words = self.words(["kill", config::ID, "TERM"]);
                let status = Command::new(&words[0]).args(&words[1..]).status();
                let status = status.with_context(|| format!("cannot start {}", words[0]))?;
                ensure!(status.success(), "{} kill: {status}", words[0]);
            }
        }
        self.wait()
    }

    /// Waits until all of the container has ended. Its processes are the children of nobody else than
    /// the system's first process, which this one is.
    ///
    /// # Errors
    /// If it takes too long.
    pub(crate) fn wait(self) -> Result<()> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let children = waitpid(None, Some(WaitPidFlag::WNOHANG));
            match children {
                Err(Errno::ECHILD) if pids()?.is_empty() => return Ok(()),
                Ok(WaitStatus::StillAlive) | Err(Errno::ECHILD) => {}
                // Perhaps another has ended as well.
                _ => continue,
            }
            ensure!(
                Instant::now() < deadline,
                "a container of {} has not ended after {} s",
                self.program(),
                PATIENCE.as_secs()
            );
            std::thread::sleep(PAUSE);
        }
    }

    fn program(self) -> &'static str {
        match self {
            Self::Runc => "/usr/sbin/runc",
            Self::Gvisor => "/usr/bin/runsc",
        }
    }

    fn words<'a>(self, words: impl IntoIterator<Item = &'a str>) -> Vec<String> {
        let options: &[&str] = match self {
            Self::Runc => &[],
            Self::Gvisor => &["--platform=ptrace", "--network=sandbox"],
        };
        let mut all = vec![self.program().to_owned(), format!("--root={PLACE}/state")];
        all.extend(options.iter().copied().chain(words).map(str::to_owned));
        all
    }

    /// The role of a process by its command line. gVisor names its own there; the address spaces of its
    /// programs have none, or still that of the sentry, from which they were cloned. The runtime itself
    /// is in the container's group for a while.
    fn role(self, words: &str, is_traced: bool) -> Option<&'static str> {
        match self {
            Self::Runc => Some("server"),
            Self::Gvisor if is_traced => Some("stub"),
            Self::Gvisor if words.starts_with("runsc-gofer") => Some("gofer"),
            Self::Gvisor if words.starts_with("runsc-sandbox") => Some("sentry"),
            Self::Gvisor => words.is_empty().then_some("stub"),
        }
    }
}

/// What of Docker's profile holds here.
fn profile() -> Result<Value> {
    let text = fs::read(PROFILE).context(PROFILE)?;
    applicable(&serde_json::from_slice(&text).context(PROFILE)?)
}

/// What of a profile in Docker's format holds on this kernel for a container as Docker makes them.
///
/// # Errors
/// If it is not such a profile.
pub(crate) fn applicable(profile: &Value) -> Result<Value> {
    let name = uname().context("uname")?;
    let release = name.release().to_string_lossy();
    let kernel = seccomp::version(&release).with_context(|| format!("kernel '{release}'"))?;
    seccomp::translate(profile, &surface::docker::CAPABILITIES, kernel)
}

/// Lets groups below the first one be limited, as systemd does.
fn mount_cgroups() -> Result<()> {
    mount(Some("cgroup2"), CGROUPS, Some("cgroup2"), MsFlags::empty(), None::<&str>)
        .with_context(|| format!("cannot mount {CGROUPS}"))?;
    let list = format!("{CGROUPS}/cgroup.controllers");
    let there = fs::read_to_string(&list).with_context(|| list.clone())?;
    for name in CONTROLLERS.iter().filter(|name| there.split_whitespace().any(|it| it == **name)) {
        let file = format!("{CGROUPS}/cgroup.subtree_control");
        fs::write(&file, format!("+{name}")).with_context(|| format!("{file}: {name}"))?;
    }
    Ok(())
}

/// The processes in the container's control group; none if it is gone.
fn pids() -> Result<Vec<i32>> {
    let file = format!("{CGROUPS}/{}/cgroup.procs", config::ID);
    let text = match fs::read_to_string(&file) {
        Ok(text) => text,
        // The latter if it was removed between opening and reading.
        Err(error)
            if matches!(error.raw_os_error(), Some(nix::libc::ENOENT | nix::libc::ENODEV)) =>
        {
            return Ok(Vec::new());
        }
        Err(error) => bail!("{file}: {error}"),
    };
    let pids: Result<Vec<i32>, _> = text.lines().map(str::parse).collect();
    let mut pids = pids.with_context(|| format!("{file}: {text:?}"))?;
    pids.sort_unstable();
    Ok(pids)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_runtime_is_told_where_its_state_is() {
        let words = Engine::Gvisor.run_words(true);
        assert_eq!(
            words[..4],
            [
                "/usr/bin/runsc",
                "--root=/run/container/state",
                "--platform=ptrace",
                "--network=sandbox",
            ]
        );
        assert_eq!(words[4..], ["run", "--detach", "--bundle=/run/container/bundle", config::ID]);
        assert_eq!(Engine::Runc.run_words(false).len(), 5);
    }

    #[test]
    fn gvisors_processes_are_told_apart() {
        let role = |words, is_traced| Engine::Gvisor.role(words, is_traced);
        assert_eq!(role("runsc-gofer\0--root=/x\0gofer\0", false), Some("gofer"));
        assert_eq!(role("runsc-sandbox\0--root=/x\0boot\0", false), Some("sentry"));
        assert_eq!(role("runsc-sandbox\0--root=/x\0boot\0", true), Some("stub"));
        assert_eq!(role("", false), Some("stub"));
        assert_eq!(role("/usr/bin/runsc\0run\0", false), None);
        assert_eq!(Engine::Runc.role("nginx: worker process", false), Some("server"));
    }
}
