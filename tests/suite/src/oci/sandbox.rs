//! A place on this machine that is a test's own: namespaces for mounts, network and processes, a
//! folder, and a parent for cgroups. Dropping it ends every process in it and removes what it made.

use std::ffi::OsStr;
use std::fs::{self, File, Permissions};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use nix::sched::{CloneFlags, setns};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tempfile::TempDir;

use crate::run::{TIME_OUT, children};
use crate::{Ended, Need, Outcome, Running};

/// What makes a sandbox.
pub const NEEDS: [Need; 4] = [
    Need::Root,
    Need::Program("unshare", "util-linux"),
    Need::Program("ip", "iproute2"),
    Need::File("/dev/net/tun"),
];

/// Its first process.
const SCRIPT: &str = include_str!("sandbox.sh");
/// What the names of all sandboxes begin with, before the process id of their suite.
const PREFIX: &str = "nabla-suite-";
/// How long what was killed may take to leave its cgroup.
const LEAVE_TIME_OUT: Duration = Duration::from_secs(10);

/// A place of a test's own.
#[derive(Debug)]
pub struct Sandbox {
    holder: Child,
    /// The first process of the namespaces, as seen from outside.
    first: i32,
    name: String,
    folder: TempDir,
}

impl Sandbox {
    /// Makes one.
    ///
    /// # Errors
    /// If a namespace or a mount is refused.
    pub fn new() -> Result<Self> {
        sweep();
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        let name = format!("{PREFIX}{}-{count}", std::process::id());
        let folder = TempDir::with_prefix("nabla-oci-")?;
        // Engines of other users look into it.
        fs::set_permissions(&folder, Permissions::from_mode(0o755))?;
        let mut holder = Command::new("unshare")
            .args(["--mount", "--net", "--pid", "--fork", "--mount-proc", "--kill-child"])
            .args(["--propagation", "private", "sh", "-c", SCRIPT])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .context("cannot start unshare")?;
        let stdout = holder.stdout.take().context("no stdout")?;
        let mut sandbox = Self { holder, first: 0, name, folder };
        let mut line = String::new();
        BufReader::new(stdout).read_line(&mut line)?;
        ensure!(line == "ready\n", "the sandbox could not be made, see standard error");
        let first = children(sandbox.holder.id() as i32).first().copied();
        sandbox.first = first.context("the sandbox is gone")?;
        Ok(sandbox)
    }

    /// A folder that everybody in the sandbox sees, under the same path as outside.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// A name that no other sandbox has.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The parent of all cgroups of the sandbox, from the root of each hierarchy.
    pub fn cgroup(&self) -> String {
        format!("/{}", self.name)
    }

    /// The process id of the sandbox's first process, as seen from outside.
    pub fn first_process(&self) -> i32 {
        self.first
    }

    /// A path as those in the sandbox see it, for one who is outside.
    pub fn inside(&self, path: impl AsRef<Path>) -> PathBuf {
        let root = PathBuf::from(format!("/proc/{}/root", self.first));
        root.join(path.as_ref().strip_prefix("/").unwrap_or(path.as_ref()))
    }

    /// A program that is to run in the sandbox.
    pub fn command(&self, program: impl AsRef<OsStr>) -> Command {
        let mut command = Command::new("nsenter");
        command.arg(format!("--target={}", self.first));
        command.args(["--mount", "--net", "--pid", "--"]).arg(program).current_dir("/");
        command
    }

    /// Runs a program to its end.
    ///
    /// # Errors
    /// If it cannot be started or takes too long.
    pub fn run<W: AsRef<OsStr>>(&self, words: &[W]) -> Result<Outcome> {
        let (program, arguments) = words.split_first().context("which program?")?;
        Running::start(self.command(program).args(arguments))?.wait()
    }

    /// Runs a program that must succeed, and returns what it printed.
    ///
    /// # Errors
    /// If it does not.
    pub fn succeed<W: AsRef<OsStr>>(&self, words: &[W]) -> Result<String> {
        let outcome = self.run(words)?;
        let words: Vec<_> = words.iter().map(|word| word.as_ref().to_string_lossy()).collect();
        succeeded(outcome).with_context(|| words.join(" "))
    }

    /// Gives the program `ip` several commands, one a line.
    ///
    /// # Errors
    /// If one of them fails.
    pub fn ip(&self, commands: &str) -> Result<()> {
        let file = self.folder().join("ip-commands");
        fs::write(&file, commands)?;
        self.succeed(&["ip".as_ref(), "-batch".as_ref(), file.as_os_str()]).map(drop)
    }

    /// Connects to an address in the sandbox's network.
    ///
    /// # Errors
    /// If nobody listens there.
    pub fn connect(&self, address: SocketAddr) -> Result<TcpStream> {
        let namespace = File::open(format!("/proc/{}/ns/net", self.first))?;
        // A thread can be in another network namespace than its process; its sockets stay there.
        let there = move || -> Result<TcpStream> {
            setns(namespace, CloneFlags::CLONE_NEWNET)?;
            let stream = TcpStream::connect_timeout(&address, Duration::from_secs(2))?;
            stream.set_read_timeout(Some(TIME_OUT))?;
            stream.set_write_timeout(Some(TIME_OUT))?;
            Ok(stream)
        };
        match thread::spawn(there).join() {
            Ok(result) => result,
            Err(_) => bail!("the connecting thread has panicked"),
        }
    }

    /// The body of the page `/` of a web server in the sandbox's network, which may take a while to
    /// come up.
    ///
    /// # Errors
    /// If it does not answer with status 200 in time.
    pub fn page(&self, address: SocketAddr) -> Result<String> {
        let deadline = Instant::now() + TIME_OUT;
        loop {
            match self.try_page(address) {
                Ok(page) => return Ok(page),
                Err(error) if Instant::now() > deadline => {
                    return Err(error.context(format!("no page from {address}")));
                }
                Err(_) => thread::sleep(Duration::from_millis(20)),
            }
        }
    }

    /// The same, with one attempt.
    ///
    /// # Errors
    /// If it does not answer with status 200.
    pub fn try_page(&self, address: SocketAddr) -> Result<String> {
        let mut stream = self.connect(address)?;
        stream.write_all(b"GET / HTTP/1.1\r\nHost: suite\r\nConnection: close\r\n\r\n")?;
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer)?;
        let answer = String::from_utf8(answer)?;
        let (head, body) = answer.split_once("\r\n\r\n").context("no end of the head")?;
        ensure!(head.starts_with("HTTP/1.1 200 "), "{head}");
        Ok(body.to_owned())
    }

    /// The sandbox's cgroups, over all hierarchies, the deepest first.
    pub fn cgroups(&self) -> Vec<PathBuf> {
        hierarchies().iter().flat_map(|root| below(&root.join(&self.name))).collect()
    }
}

/// Sends a signal to a program that was started in a sandbox by [`Sandbox::command`].
///
/// # Errors
/// If it is gone.
pub fn signal(running: &Running, signal: Signal) -> Result<()> {
    // It is the child of the program that entered the namespaces.
    let program = children(running.id()).first().copied().context("it has ended already")?;
    Ok(kill(Pid::from_raw(program), signal)?)
}

/// What a program printed, if it succeeded.
///
/// # Errors
/// If it did not, with what it said.
pub fn succeeded(outcome: Outcome) -> Result<String> {
    if outcome.ended != Ended::Exit(0) {
        bail!("{:?}: {}{}", outcome.ended, outcome.stderr, outcome.stdout);
    }
    Ok(outcome.stdout)
}

/// Where the hierarchies of cgroups are mounted.
fn hierarchies() -> Vec<PathBuf> {
    let mounts = fs::read_to_string("/proc/self/mounts").unwrap_or_default();
    let points = mounts.lines().filter_map(|line| {
        let mut words = line.split(' ').skip(1);
        let (point, kind) = (words.next()?, words.next()?);
        kind.starts_with("cgroup").then(|| point.into())
    });
    points.collect()
}

/// Removes the cgroups of suites that were killed, whose sandboxes have ended with them.
fn sweep() {
    let entries = hierarchies().into_iter().filter_map(|root| fs::read_dir(root).ok()).flatten();
    for entry in entries.flatten() {
        let name = entry.file_name();
        let suite = name.to_str().and_then(|name| name.strip_prefix(PREFIX));
        let process = suite.and_then(|rest| rest.split_once('-')).map(|(process, _)| process);
        if process.is_some_and(|process| !Path::new("/proc").join(process).exists()) {
            // One that is in use after all is refused.
            below(&entry.path()).iter().for_each(|group| drop(fs::remove_dir(group)));
        }
    }
}

/// A folder and all below it, the deepest first; nothing if it is not there.
fn below(folder: &Path) -> Vec<PathBuf> {
    let Ok(entries) = fs::read_dir(folder) else { return Vec::new() };
    let folders = entries
        .flatten()
        .filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()))
        .flat_map(|entry| below(&entry.path()));
    folders.chain([folder.to_owned()]).collect()
}

impl Drop for Sandbox {
    fn drop(&mut self) {
        // The end of its input ends the first process, and that every other one. The namespaces are
        // then empty, and mounts, interfaces and rules are gone.
        drop(self.holder.stdin.take());
        let deadline = Instant::now() + LEAVE_TIME_OUT;
        while matches!(self.holder.try_wait(), Ok(None)) {
            if Instant::now() > deadline {
                let _ = self.holder.kill();
                let _ = self.holder.wait();
            }
            thread::sleep(Duration::from_millis(2));
        }
        while !self.cgroups().is_empty() && Instant::now() < deadline {
            for group in self.cgroups() {
                let _ = fs::remove_dir(group);
            }
            thread::sleep(Duration::from_millis(2));
        }
    }
}
