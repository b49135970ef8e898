//! Docker's daemon with folders, a socket and a network of its own.

use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use nix::sys::signal::Signal;

use super::{Image, Sandbox, sandbox};
use crate::needs::find;
use crate::run::TIME_OUT;
use crate::{Need, Outcome, Running};

/// What it takes.
pub const NEEDS: [Need; 4] = [
    Need::Program("dockerd", "docker.io"),
    Need::Program("docker", "docker.io"),
    Need::Program("containerd", "containerd"),
    Need::Program("iptables", "iptables"),
];

/// A running daemon. It ends with its sandbox.
#[derive(Debug)]
pub struct Docker<'a> {
    sandbox: &'a Sandbox,
    folder: PathBuf,
    running: Option<Running>,
}

impl<'a> Docker<'a> {
    /// Starts one that knows a runtime as `nabla`; its default stays runc. It starts a containerd
    /// of its own.
    ///
    /// # Errors
    /// If it does not come up.
    pub fn start(sandbox: &'a Sandbox, runtime: &Path) -> Result<Self> {
        let folder = sandbox.folder().join("docker");
        fs::create_dir(&folder)?;
        fs::write(folder.join("daemon.json"), "{}\n")?;
        let mut command = sandbox.command(find("dockerd")?);
        let option = |name: &str, value: &str| format!("--{name}={value}");
        let within = |name: &str, file: &str| option(name, &folder.join(file).to_string_lossy());
        command.args([
            within("config-file", "daemon.json"),
            within("data-root", "data"),
            within("exec-root", "exec"),
            within("pidfile", "pid"),
            option("host", &format!("unix://{}", folder.join("docker.sock").display())),
            option("add-runtime", &format!("nabla={}", runtime.display())),
            option("cgroup-parent", &sandbox.cgroup()),
            option("exec-opt", "native.cgroupdriver=cgroupfs"),
            option("bip", "10.78.0.1/24"),
            option("default-ulimit", "nofile=1000:1000"),
        ]);
        // It looks for containerd, runc and its proxy there.
        command.env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin");
        let running = Running::start(&mut command)?;
        let mut docker = Self { sandbox, folder, running: Some(running) };
        let deadline = Instant::now() + TIME_OUT;
        while docker.succeed(&["version"]).is_err() {
            if Instant::now() > deadline {
                bail!("dockerd does not come up: {:?}", docker.running.take());
            }
            thread::sleep(Duration::from_millis(50));
        }
        Ok(docker)
    }

    /// Runs a command of Docker's to its end.
    ///
    /// # Errors
    /// If it cannot be started or takes too long.
    pub fn run<W: AsRef<OsStr>>(&self, words: &[W]) -> Result<Outcome> {
        let mut command = self.sandbox.command(find("docker")?);
        command.arg("--config").arg(&self.folder);
        command.arg(format!("--host=unix://{}", self.folder.join("docker.sock").display()));
        Running::start(command.args(words))?.wait()
    }

    /// Runs a command of Docker's that must succeed, and returns what it printed.
    ///
    /// # Errors
    /// If it does not.
    pub fn succeed<W: AsRef<OsStr>>(&self, words: &[W]) -> Result<String> {
        let outcome = self.run(words)?;
        let words: Vec<_> = words.iter().map(|word| word.as_ref().to_string_lossy()).collect();
        sandbox::succeeded(outcome).with_context(|| format!("docker {}", words.join(" ")))
    }

    /// Loads an image.
    ///
    /// # Errors
    /// If Docker refuses it.
    pub fn load(&self, image: &Image) -> Result<()> {
        let words = ["load".as_ref(), "--input".as_ref(), image.archive.as_os_str()];
        self.succeed(&words).map(drop)
    }
}

impl Drop for Docker<'_> {
    fn drop(&mut self) {
        if let Some(running) = self.running.take() {
            let _ = sandbox::signal(&running, Signal::SIGTERM);
            let _ = running.wait();
        }
    }
}
