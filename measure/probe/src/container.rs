//! The same programs in containers: under runc, and under gVisor with its `ptrace` platform, the only one
//! that works where the processor has no virtualisation to give.
//!
//! An engine's part is played here: an image under an overlay, a bundle, `create` and `start`. The file systems
//! that a runtime needs (`/proc`, `/sys`, a `/sys/fs/cgroup` of version 2, `/dev/pts`) and the network namespace
//! must be there. gVisor takes addresses and routes away from the interfaces of the namespace and answers for them
//! itself, so a namespace serves one of its containers only.

mod config;
mod seccomp;

use std::fs;
use std::net::SocketAddrV4;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail, ensure};
use nix::mount::{MntFlags, MsFlags, mount, umount2};
use nix::sys::utsname::uname;
use nix::sys::wait::{WaitPidFlag, waitpid};
use nix::unistd::Pid;
use serde_json::Value;

use crate::native::{PATIENCE, kill, said, until, wait_for_port, write_to};

/// Where all of a container lies; a tmpfs is mounted there.
const PLACE: &str = "/run/container";
/// The control groups of version 2.
const CGROUPS: &str = "/sys/fs/cgroup";
/// What a container may be limited in, where the kernel has it.
const CONTROLLERS: [&str; 5] = ["cpuset", "cpu", "io", "memory", "pids"];

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
    /// The folder that is the image.
    pub(crate) image: PathBuf,
    /// The program in it and its arguments.
    pub(crate) words: Vec<String>,
    /// Its variables, besides those that each container has.
    pub(crate) environment: Vec<String>,
    /// What it has of the host's folders.
    pub(crate) volumes: Vec<Volume>,
    /// Its network namespace; without one it has a new one with nothing in it.
    pub(crate) network: Option<PathBuf>,
    /// Its user, and its group.
    pub(crate) uid: u32,
    /// A profile of Docker's; without one there is no filter. gVisor, which has filters of its own, is
    /// not given any, as it ignores them.
    pub(crate) seccomp: Option<Value>,
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

/// A process of a container.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Process {
    /// Its number.
    pub(crate) pid: i32,
    /// What it is: `server`, or of gVisor's `sentry`, `gofer` and `stub`.
    pub(crate) role: &'static str,
    /// The numbers of its threads, among them its own.
    pub(crate) threads: Vec<i32>,
}

/// What those of a runtime are that are not in the container.
pub(crate) const RUNTIME: &str = "runtime";

/// A container, of which there is one at a time.
#[derive(Debug)]
pub(crate) struct Container {
    engine: Engine,
    /// Those of its processes that have been seen: without anybody else they are the caller's children,
    /// if that is the system's first process.
    seen: Vec<i32>,
}

impl Engine {
    fn program(self) -> &'static str {
        match self {
            Self::Runc => "/usr/sbin/runc",
            Self::Gvisor => "/usr/bin/runsc",
        }
    }

    /// A command of it.
    fn command(self, words: &[&str]) -> Command {
        let mut command = Command::new(self.program());
        command.arg(format!("--root={PLACE}/state"));
        if self == Self::Gvisor {
            command.args(["--platform=ptrace", "--network=sandbox"]);
        }
        // runsc asks for both.
        command.env_clear().env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin").env("HOME", "/");
        command.args(words).stdin(Stdio::null());
        command
    }

    /// The role of a process by its command line. gVisor names its own there; the address spaces of its
    /// programs have none, or still that of the sentry, from which they were cloned.
    fn role(self, words: &str, is_traced: bool) -> &'static str {
        match self {
            Self::Runc => "server",
            Self::Gvisor if words.starts_with("runsc-gofer") => "gofer",
            Self::Gvisor if words.starts_with("runsc-sandbox") && !is_traced => "sentry",
            Self::Gvisor => "stub",
        }
    }
}

impl Container {
    /// Makes what an engine makes before it calls a runtime: the root file system, an overlay over the
    /// image, and the bundle.
    ///
    /// # Errors
    /// If something of it is refused.
    pub(crate) fn prepare(engine: Engine, bundle: &Bundle) -> Result<Self> {
        enable_controllers()?;
        let place = Path::new(PLACE);
        fs::create_dir_all(place).context(PLACE)?;
        mount(Some("tmpfs"), place, Some("tmpfs"), MsFlags::empty(), Some("mode=755"))
            .with_context(|| format!("mount {PLACE}"))?;
        for folder in ["state", "bundle", "upper", "work", "root"] {
            fs::create_dir(place.join(folder)).with_context(|| format!("{PLACE}/{folder}"))?;
        }
        for volume in &bundle.volumes {
            fs::create_dir_all(&volume.outside)
                .with_context(|| volume.outside.display().to_string())?;
        }
        let image = bundle.image.display();
        let options = format!("lowerdir={image},upperdir={PLACE}/upper,workdir={PLACE}/work");
        let root = place.join("root");
        mount(Some("overlay"), &root, Some("overlay"), MsFlags::empty(), Some(&*options))
            .with_context(|| format!("mount an overlay over {image}; is the module loaded?"))?;
        let seccomp = bundle.seccomp.as_ref().filter(|_| engine == Engine::Runc);
        let seccomp = seccomp.map(|profile| translate(profile)).transpose()?;
        let config = config::config(bundle, &root, seccomp);
        fs::write(place.join("bundle/config.json"), config.to_string())
            .with_context(|| format!("{PLACE}/bundle/config.json"))?;
        Ok(Self { engine, seen: Vec::new() })
    }

    /// The command that makes the container. Its input is the container's; what is said goes to the
    /// container's output.
    ///
    /// # Errors
    /// If the file of the output cannot be made.
    pub(crate) fn create_command(&self) -> Result<Command> {
        let bundle = format!("{PLACE}/bundle");
        let mut command = self.engine.command(&["create", "--bundle", &bundle, config::ID]);
        write_to(&mut command, &output_file())?;
        Ok(command)
    }

    /// The command that lets the container's program begin.
    ///
    /// # Errors
    /// If the file of what is said cannot be made.
    pub(crate) fn start_command(&self) -> Result<Command> {
        self.verb(&["start", config::ID])
    }

    /// Makes the container, with its program waiting.
    ///
    /// # Errors
    /// If the runtime fails; with what it has said.
    pub(crate) fn create(&mut self, input: Stdio) -> Result<()> {
        let mut command = self.create_command()?;
        command.stdin(input);
        self.finish(command, "create", &output_file())
    }

    /// Lets its program begin.
    ///
    /// # Errors
    /// If the runtime fails; with what it has said.
    pub(crate) fn start(&mut self) -> Result<()> {
        let command = self.start_command()?;
        self.finish(command, "start", &messages_file())
    }

    /// Waits until its server answers at that address.
    ///
    /// # Errors
    /// If it ends before, or takes too long; with what it has said.
    pub(crate) fn wait_ready(&mut self, address: SocketAddrV4) -> Result<()> {
        wait_for_port(address, || Ok(!pids()?.is_empty()))
            .with_context(|| format!("{}{}", self.engine.program(), said(&output_file())))
    }

    /// Its processes in the order of their numbers.
    ///
    /// # Errors
    /// If the control group or `/proc` cannot be read.
    pub(crate) fn processes(&mut self) -> Result<Vec<Process>> {
        let mut processes = Vec::new();
        for pid in pids()? {
            // It may be gone meanwhile, or have not begun.
            let Ok(words) = fs::read(format!("/proc/{pid}/cmdline")) else { continue };
            let Ok(threads) = threads(pid) else { continue };
            let words = String::from_utf8_lossy(&words);
            let role = self.engine.role(&words, is_traced(pid));
            processes.push(Process { pid, role, threads });
        }
        self.note(processes.iter().map(|process| process.pid));
        Ok(processes)
    }

    /// Waits until the container has ended by itself.
    ///
    /// # Errors
    /// If it takes too long.
    pub(crate) fn wait(&mut self) -> Result<()> {
        let ended = until(PATIENCE, || {
            self.note(pids()?);
            self.reap();
            Ok(Some(())
                .filter(|()| self.seen.is_empty() && pids().is_ok_and(|pids| pids.is_empty())))
        });
        ended.with_context(|| format!("{}: wait{}", self.engine.program(), said(&output_file())))
    }

    /// Ends all of its processes by SIGKILL.
    ///
    /// # Errors
    /// If the runtime fails; with what it has said.
    pub(crate) fn kill(&mut self) -> Result<()> {
        self.note(pids()?);
        let command = self.verb(&["kill", config::ID, "KILL"])?;
        self.finish(command, "kill", &messages_file())?;
        self.wait()
    }

    /// Removes what is left of it, whatever state it is in.
    ///
    /// # Errors
    /// If the runtime or the kernel refuses.
    pub(crate) fn delete(mut self) -> Result<()> {
        self.note(pids()?);
        let command = self.verb(&["delete", "--force", config::ID])?;
        let deleted = self.finish(command, "delete", &messages_file());
        kill(pids()?)?;
        self.wait()?;
        deleted?;
        for place in [format!("{PLACE}/root"), PLACE.to_owned()] {
            umount2(&*place, MntFlags::MNT_DETACH).with_context(|| format!("unmount {place}"))?;
        }
        Ok(())
    }

    /// What its program has said.
    ///
    /// # Errors
    /// If that cannot be read.
    pub(crate) fn output(&self) -> Result<String> {
        let file = output_file();
        fs::read_to_string(&file).with_context(|| file.display().to_string())
    }

    /// Where it says that, while it still does.
    pub(crate) fn output_file(&self) -> PathBuf {
        output_file()
    }

    fn verb(&self, words: &[&str]) -> Result<Command> {
        let mut command = self.engine.command(words);
        write_to(&mut command, &messages_file())?;
        Ok(command)
    }

    fn finish(&mut self, mut command: Command, verb: &str, messages: &Path) -> Result<()> {
        let program = self.engine.program();
        let status = command.status().with_context(|| format!("cannot start {program}"))?;
        self.note(pids()?);
        ensure!(status.success(), "{program} {verb}: {status}{}", said(messages));
        Ok(())
    }

    fn note(&mut self, pids: impl IntoIterator<Item = i32>) {
        self.seen.extend(pids);
        self.seen.sort_unstable();
        self.seen.dedup();
    }

    /// Forgets those that have ended, and buries them if nobody else does.
    fn reap(&mut self) {
        self.seen.retain(|&pid| {
            // Whose child it is not is its parent's business.
            let _ = waitpid(Pid::from_raw(pid), Some(WaitPidFlag::WNOHANG));
            Path::new(&format!("/proc/{pid}")).exists()
        });
    }
}

fn output_file() -> PathBuf {
    Path::new(PLACE).join("output")
}

fn messages_file() -> PathBuf {
    Path::new(PLACE).join("messages")
}

/// What of the profile holds here.
pub(crate) fn translate(profile: &Value) -> Result<Value> {
    let name = uname().context("uname")?;
    let release = name.release().to_string_lossy();
    let kernel = seccomp::version(&release).with_context(|| format!("kernel '{release}'"))?;
    seccomp::translate(profile, &config::CAPABILITIES, kernel)
}

/// Lets the groups below the first one be limited, as systemd does.
fn enable_controllers() -> Result<()> {
    let list = format!("{CGROUPS}/cgroup.controllers");
    let there = fs::read_to_string(&list)
        .with_context(|| format!("{list}; version 2 of control groups is to be mounted there"))?;
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

fn threads(pid: i32) -> Result<Vec<i32>> {
    let folder = format!("/proc/{pid}/task");
    let mut threads = Vec::new();
    for entry in fs::read_dir(&folder).with_context(|| folder.clone())? {
        let name = entry.with_context(|| folder.clone())?.file_name();
        threads.extend(name.to_str().and_then(|name| name.parse::<i32>().ok()));
    }
    threads.sort_unstable();
    Ok(threads)
}

/// Whether somebody traces a process, as the sentry does with its programs.
fn is_traced(pid: i32) -> bool {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let tracer = status.lines().find_map(|line| line.strip_prefix("TracerPid:"));
    tracer.is_some_and(|tracer| tracer.trim() != "0")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_runtime_is_told_where_its_state_is_and_nothing_of_the_caller() {
        let command = Engine::Gvisor.command(&["kill", "x"]);
        let words: Vec<_> = command.get_args().collect();
        let state = format!("--root={PLACE}/state");
        assert_eq!(words, [&*state, "--platform=ptrace", "--network=sandbox", "kill", "x"]);
        assert_eq!(command.get_envs().count(), 2);
        assert_eq!(Engine::Runc.command(&["list"]).get_args().count(), 2);
    }

    #[test]
    fn gvisors_processes_are_told_apart() {
        let role = |words, is_traced| Engine::Gvisor.role(words, is_traced);
        assert_eq!(role("runsc-gofer\0--root=/x\0gofer\0", false), "gofer");
        assert_eq!(role("runsc-sandbox\0--root=/x\0boot\0", false), "sentry");
        assert_eq!(role("runsc-sandbox\0--root=/x\0boot\0", true), "stub");
        assert_eq!(role("", true), "stub");
        assert_eq!(Engine::Runc.role("nginx: worker process", false), "server");
    }

    #[test]
    fn threads_are_in_order() {
        let own = threads(std::process::id().try_into().unwrap()).unwrap();
        assert!(own.is_sorted() && own.contains(&i32::try_from(std::process::id()).unwrap()));
    }
}
