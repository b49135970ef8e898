//! A program as a process like any other: no filter, no container, the user that the virtual machine
//! begins with.

use std::fs::File;
use std::io;
use std::net::{Ipv4Addr, SocketAddrV4, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use nix::sched::{CloneFlags, setns};

use crate::program::Program;

/// How long anything may take before it counts as hung, in the virtual machine's time.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);
/// How often something is looked at that tells nobody when it is there.
const PAUSE: Duration = Duration::from_millis(20);
/// How much of what a program said is repeated in an error.
const SAID_MAX: usize = 2000;

/// A process and those that it has made.
#[derive(Debug)]
pub(crate) struct Native {
    words: Vec<String>,
    child: Child,
    output: PathBuf,
}

impl Native {
    /// Starts a program in a network namespace, or in that of the caller. What it says goes to the file
    /// `output`; `input` is what it reads.
    ///
    /// # Errors
    /// If it cannot be started.
    pub(crate) fn start(
        program: &Program,
        network: Option<&Path>,
        input: Stdio,
        output: &Path,
    ) -> Result<Self> {
        let words = program.words();
        let mut command = Command::new(&words[0]);
        command.args(&words[1..]).env_clear().current_dir("/").stdin(input);
        write_to(&mut command, output)?;
        let child = within(network, || command.spawn())?;
        let child = child.with_context(|| format!("cannot start {}", words[0]))?;
        Ok(Self { words, child, output: output.to_owned() })
    }

    /// Waits until it answers at that address.
    ///
    /// # Errors
    /// If it ends before, or takes longer than [`PATIENCE`]; with what it has said.
    pub(crate) fn wait_ready(&mut self, address: SocketAddrV4) -> Result<()> {
        let child = &mut self.child;
        let ready = wait_for_port(address, || Ok(child.try_wait()?.is_none()));
        ready.with_context(|| format!("{}{}", self.words[0], said(&self.output)))
    }

    /// Its processes: the first one and all that descend from it.
    ///
    /// # Errors
    /// If `/proc` cannot be read.
    pub(crate) fn processes(&self) -> Result<Vec<i32>> {
        descendants(self.child.id().try_into().context("a process's number")?)
    }

    /// Waits until it ends by itself.
    ///
    /// # Errors
    /// If it takes longer than [`PATIENCE`].
    pub(crate) fn wait(&mut self) -> Result<ExitStatus> {
        let child = &mut self.child;
        until(PATIENCE, || Ok(child.try_wait()?))
            .with_context(|| format!("{}: wait", self.words[0]))
    }

    /// Ends it by SIGKILL, and with it those that it has made.
    ///
    /// # Errors
    /// If that is refused.
    pub(crate) fn kill(mut self) -> Result<()> {
        let processes = self.processes()?;
        self.child.kill().with_context(|| format!("cannot end {}", self.words[0]))?;
        self.child.wait().with_context(|| format!("cannot wait for {}", self.words[0]))?;
        kill(processes.into_iter().skip(1))
    }

    /// What it has said.
    ///
    /// # Errors
    /// If that cannot be read.
    pub(crate) fn output(&self) -> Result<String> {
        std::fs::read_to_string(&self.output).with_context(|| self.output.display().to_string())
    }
}

/// Runs something on a thread that has entered a network namespace. Processes that it starts are in
/// there, and this one stays where it is.
///
/// # Errors
/// If there is no such namespace.
pub(crate) fn within<T: Send>(
    network: Option<&Path>,
    what: impl FnOnce() -> T + Send,
) -> Result<T> {
    let Some(network) = network else { return Ok(what()) };
    let file = File::open(network).with_context(|| network.display().to_string())?;
    thread::scope(|scope| {
        let inside = scope.spawn(|| {
            setns(file, CloneFlags::CLONE_NEWNET).with_context(|| network.display().to_string())?;
            Ok(what())
        });
        inside.join().unwrap_or_else(|_| bail!("{}: a thread panicked", network.display()))
    })
}

/// Waits until a TCP connection is accepted; `lives` tells whether that can still come.
///
/// # Errors
/// If it takes longer than [`PATIENCE`], or the server is gone.
pub(crate) fn wait_for_port(
    address: SocketAddrV4,
    mut lives: impl FnMut() -> Result<bool>,
) -> Result<()> {
    let mut last = None;
    let connected = until(PATIENCE, || {
        match TcpStream::connect_timeout(&address.into(), Duration::from_secs(1)) {
            Ok(_) => return Ok(Some(())),
            Err(error) => last = Some(error),
        }
        ensure!(lives()?, "ended before it listened at {address}");
        Ok(None)
    });
    connected.with_context(|| match last {
        Some(error) => format!("connect to {address}: {error}"),
        None => format!("connect to {address}"),
    })
}

/// Asks again and again until there is an answer.
///
/// # Errors
/// The question's, or that it takes too long.
pub(crate) fn until<T>(
    patience: Duration,
    mut answer: impl FnMut() -> Result<Option<T>>,
) -> Result<T> {
    let deadline = Instant::now() + patience;
    loop {
        if let Some(answer) = answer()? {
            return Ok(answer);
        }
        ensure!(Instant::now() < deadline, "nothing within {} s", patience.as_secs());
        thread::sleep(PAUSE);
    }
}

/// Sends what a command says to a file.
pub(crate) fn write_to(command: &mut Command, file: &Path) -> Result<()> {
    let name = || file.display().to_string();
    let output = File::create(file).with_context(name)?;
    command.stderr(output.try_clone().with_context(name)?).stdout(output);
    Ok(())
}

/// For the end of an error's line: what a program said, its last words if it is much.
pub(crate) fn said(file: &Path) -> String {
    let Ok(text) = std::fs::read(file) else { return String::new() };
    let text = &text[text.len().saturating_sub(SAID_MAX)..];
    let text = String::from_utf8_lossy(text);
    if text.trim().is_empty() { String::new() } else { format!(" said: {:?}", text.trim()) }
}

/// Ends processes by SIGKILL; those that are gone are no error.
///
/// # Errors
/// If one may not be ended.
pub(crate) fn kill(processes: impl IntoIterator<Item = i32>) -> Result<()> {
    use nix::errno::Errno;
    use nix::sys::signal::{Signal, kill};
    use nix::unistd::Pid;
    for process in processes {
        match kill(Pid::from_raw(process), Signal::SIGKILL) {
            Ok(()) | Err(Errno::ESRCH) => {}
            Err(error) => bail!("cannot end process {process}: {error}"),
        }
    }
    Ok(())
}

/// A process and all that descend from it, each after its parent.
fn descendants(first: i32) -> Result<Vec<i32>> {
    let mut parents = Vec::new();
    for entry in std::fs::read_dir("/proc").context("/proc")? {
        let name = entry.context("/proc")?.file_name();
        let Some(process) = name.to_str().and_then(|name| name.parse().ok()) else { continue };
        // It may be gone meanwhile.
        if let Ok(stat) = std::fs::read_to_string(format!("/proc/{process}/stat")) {
            parents.extend(parent(&stat).map(|parent| (process, parent)));
        }
    }
    parents.sort_unstable();
    let mut found = vec![first];
    let mut next = 0;
    while let Some(&process) = found.get(next) {
        found.extend(
            parents.iter().filter(|(_, parent)| *parent == process).map(|(child, _)| child),
        );
        next += 1;
    }
    Ok(found)
}

/// The parent in a line of `/proc/PID/stat` (proc(5)). The name before it may hold anything.
fn parent(stat: &str) -> Option<i32> {
    let (_, rest) = stat.rsplit_once(')')?;
    rest.split_ascii_whitespace().nth(1)?.parse().ok()
}

/// An address of a server.
pub(crate) fn at(address: Ipv4Addr, program: &Program) -> io::Result<SocketAddrV4> {
    let none = || io::Error::other(format!("{program:?} listens at no port"));
    Ok(SocketAddrV4::new(address, program.port().ok_or_else(none)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_parent_is_found_behind_any_name() {
        assert_eq!(parent("7 (a) b) (c) S 3 7 7 0"), Some(3));
        assert_eq!(parent("7 (a"), None);
        assert_eq!(parent("7 (a)"), None);
    }

    #[test]
    fn a_process_ends_with_its_children() {
        let folder = tempfile::tempdir().unwrap();
        let output = folder.path().join("output");
        let mut command = Command::new("/bin/sh");
        command.args(["-c", "sleep 60 & echo said; wait"]).stdin(Stdio::null());
        write_to(&mut command, &output).unwrap();
        let child = command.spawn().unwrap();
        let native = Native { words: vec!["sh".into()], child, output: output.clone() };
        let all = until(PATIENCE, || {
            Ok(Some(native.processes()?)
                .filter(|all| all.len() == 2 && said(&output).contains("said")))
        });
        let sleep = all.unwrap()[1];
        assert_eq!(native.output().unwrap(), "said\n");
        native.kill().unwrap();
        let gone =
            || parent(&std::fs::read_to_string(format!("/proc/{sleep}/stat")).unwrap_or_default());
        until(PATIENCE, || Ok(Some(()).filter(|()| gone() != Some(std::process::id() as i32))))
            .unwrap();
    }

    #[test]
    fn a_server_that_is_gone_is_told_at_once() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let std::net::SocketAddr::V4(address) = listener.local_addr().unwrap() else { panic!() };
        wait_for_port(address, || Ok(false)).unwrap();
        drop(listener);
        let error = wait_for_port(address, || Ok(false)).unwrap_err();
        assert!(format!("{error:#}").contains("refused"), "{error:#}");
    }
}
