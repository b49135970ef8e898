//! podman with storage, networks and configuration of its own, as root or as a user without
//! privileges.

use std::ffi::OsStr;
use std::fs::{self, OpenOptions, Permissions};
use std::io::Write;
use std::os::unix::fs::{PermissionsExt, chown};
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};

use super::{Image, Sandbox, sandbox};
use crate::needs::find;
use crate::{Need, Outcome, Running};

/// What it takes.
pub const NEEDS: [Need; 5] = [
    Need::Program("podman", "podman"),
    Need::Program("conmon", "conmon"),
    Need::Program("iptables", "iptables"),
    Need::Program("nft", "nftables"),
    Need::File("/usr/lib/podman/netavark"),
];

/// What it takes more without privileges.
pub const ROOTLESS_NEEDS: [Need; 3] = [
    Need::Program("setpriv", "util-linux"),
    Need::Program("newuidmap", "uidmap"),
    Need::Program("slirp4netns", "slirp4netns"),
];

/// A user and group that exist in a sandbox only.
const USER: u32 = 64_123;
const USER_NAME: &str = "nabla-suite";
/// The users that containers of that user may have.
const SUBORDINATES: &str = "nabla-suite:200000:65536\n";

/// podman in a sandbox.
#[derive(Debug)]
pub struct Podman<'a> {
    sandbox: &'a Sandbox,
    folder: PathBuf,
    is_rootless: bool,
}

impl<'a> Podman<'a> {
    /// podman as root, whose containers are run by a runtime.
    ///
    /// # Errors
    /// If its configuration cannot be written.
    pub fn new(sandbox: &'a Sandbox, runtime: &Path) -> Result<Self> {
        Self::make(sandbox, runtime, false)
    }

    /// podman as a user without privileges.
    ///
    /// # Errors
    /// If its configuration cannot be written, or the user not be made.
    pub fn rootless(sandbox: &'a Sandbox, runtime: &Path) -> Result<Self> {
        let home = sandbox.folder().join("podman");
        let passwd = format!("{USER_NAME}:x:{USER}:{USER}::{}:/bin/sh\n", home.display());
        let group = format!("{USER_NAME}:x:{USER}:\n");
        // Only the sandbox sees them.
        for (file, line) in [
            ("/etc/passwd", &*passwd),
            ("/etc/group", &*group),
            ("/etc/subuid", SUBORDINATES),
            ("/etc/subgid", SUBORDINATES),
        ] {
            let mut options = OpenOptions::new();
            let file = options.create(true).append(true).open(sandbox.inside(file));
            file?.write_all(line.as_bytes())?;
        }
        Self::make(sandbox, runtime, true)
    }

    fn make(sandbox: &'a Sandbox, runtime: &Path, is_rootless: bool) -> Result<Self> {
        let folder = sandbox.folder().join("podman");
        // The build's folder may be closed to others.
        let copy = sandbox.folder().join("runnc");
        fs::copy(runtime, &copy).with_context(|| runtime.display().to_string())?;
        // More open files than there may be can only be had with CAP_SYS_RESOURCE.
        let configuration = format!(
            "[containers]\n\
             default_ulimits = [\"nofile=1000:1000\", \"nproc=1000:1000\"]\n\
             [network]\n\
             network_backend = \"netavark\"\n\
             [engine]\n\
             cgroup_manager = \"cgroupfs\"\n\
             events_logger = \"file\"\n\
             runtime = \"nabla\"\n\
             [engine.runtimes]\n\
             nabla = [\"{}\"]\n",
            copy.display()
        );
        for name in ["", "storage", "run", "tmp", "networks", "user"] {
            let folder = folder.join(name);
            fs::create_dir(&folder)?;
            fs::set_permissions(&folder, Permissions::from_mode(0o700))?;
            if is_rootless {
                chown(&folder, Some(USER), Some(USER))?;
            }
        }
        fs::write(sandbox.folder().join("containers.conf"), configuration)?;
        Ok(Self { sandbox, folder, is_rootless })
    }

    /// A command of podman's.
    ///
    /// # Errors
    /// If podman is not there.
    pub fn command<W: AsRef<OsStr>>(&self, words: &[W]) -> Result<Command> {
        let podman = find("podman")?;
        let mut command = if self.is_rootless {
            let mut command = self.sandbox.command("setpriv");
            let user = USER.to_string();
            command.args(["--reuid", &user, "--regid", &user, "--clear-groups"]);
            command.arg(podman).current_dir("/");
            command
        } else {
            self.sandbox.command(podman)
        };
        command.env_clear().env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin").env("HOME", &self.folder);
        command.env("CONTAINERS_CONF", self.sandbox.folder().join("containers.conf"));
        command.env("XDG_RUNTIME_DIR", self.folder.join("user"));
        command.arg("--root").arg(self.folder.join("storage"));
        command.arg("--runroot").arg(self.folder.join("run"));
        command.arg("--tmpdir").arg(self.folder.join("tmp"));
        command.arg("--network-config-dir").arg(self.folder.join("networks"));
        command.args(["--storage-driver", "overlay"]).args(words);
        Ok(command)
    }

    /// Runs a command of podman's to its end.
    ///
    /// # Errors
    /// If it cannot be started or takes too long.
    pub fn run<W: AsRef<OsStr>>(&self, words: &[W]) -> Result<Outcome> {
        Running::start(&mut self.command(words)?)?.wait()
    }

    /// Runs a command of podman's that must succeed, and returns what it printed.
    ///
    /// # Errors
    /// If it does not.
    pub fn succeed<W: AsRef<OsStr>>(&self, words: &[W]) -> Result<String> {
        let outcome = self.run(words)?;
        let words: Vec<_> = words.iter().map(|word| word.as_ref().to_string_lossy()).collect();
        sandbox::succeeded(outcome).with_context(|| format!("podman {}", words.join(" ")))
    }

    /// Loads an image.
    ///
    /// # Errors
    /// If podman refuses it.
    pub fn load(&self, image: &Image) -> Result<()> {
        let words = ["load".as_ref(), "--input".as_ref(), image.archive.as_os_str()];
        self.succeed(&words).map(drop)
    }

    /// The words for `podman run` or `create` with options, an image and arguments.
    pub fn container(
        &self,
        verb: &str,
        options: &[&str],
        image: &Image,
        arguments: &[&str],
    ) -> Vec<String> {
        let mut words = vec![verb.to_owned()];
        if !self.is_rootless {
            words.push(format!("--cgroup-parent={}", self.sandbox.cgroup()));
        }
        let rest = [options, &[&*image.reference], arguments].concat();
        words.extend(rest.into_iter().map(str::to_owned));
        words
    }
}
