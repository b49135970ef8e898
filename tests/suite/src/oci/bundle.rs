//! The runtime's own command line, as engines use it, on bundles as they write them.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use serde_json::{Value, json};

use super::Sandbox;
use crate::run::TIME_OUT;

/// The runtime, with a folder for its state.
#[derive(Debug)]
pub struct Runtime<'a> {
    sandbox: &'a Sandbox,
    program: PathBuf,
    state: PathBuf,
}

/// A container's description, in a folder.
#[derive(Clone, Debug)]
pub struct Bundle {
    /// The container's id.
    pub id: String,
    folder: PathBuf,
}

/// What a bundle says.
#[derive(Clone, Copy, Debug)]
pub struct Description<'a> {
    /// The root folder, which containers may share.
    pub root: &'a Path,
    /// Program and arguments.
    pub words: &'a [&'a str],
    /// The environment, `NAME=VALUE`.
    pub environment: &'a [&'a str],
    /// The name of a network namespace that is there already; else the container gets one.
    pub network: Option<&'a str>,
}

impl Bundle {
    /// The folder.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Changes the configuration.
    ///
    /// # Errors
    /// If it cannot be read or written.
    pub fn change(&self, change: impl FnOnce(&mut Value)) -> Result<()> {
        let path = self.folder.join("config.json");
        let mut config = serde_json::from_slice(&fs::read(&path)?)?;
        change(&mut config);
        Ok(fs::write(path, serde_json::to_vec(&config)?)?)
    }

    /// What the container has printed, and the runtime while it made it.
    pub fn console(&self) -> String {
        fs::read_to_string(self.folder.join("console")).unwrap_or_default()
    }
}

impl<'a> Runtime<'a> {
    /// The runtime, with its state in a folder of the sandbox's.
    pub fn new(sandbox: &'a Sandbox, program: &Path) -> Self {
        Self::with_state(sandbox, program, "/run/nabla-state".into())
    }

    /// The same, with its state in a folder of one's choice.
    pub fn with_state(sandbox: &'a Sandbox, program: &Path, state: PathBuf) -> Self {
        Self { sandbox, program: program.to_owned(), state }
    }

    /// Writes a bundle.
    ///
    /// # Errors
    /// If it cannot be written.
    pub fn bundle(&self, id: &str, description: Description<'_>) -> Result<Bundle> {
        let folder = self.sandbox.folder().join("bundles").join(id);
        fs::create_dir_all(&folder)?;
        let cgroup = format!("{}/{id}", self.sandbox.cgroup());
        let config = configuration(description, &cgroup);
        fs::write(folder.join("config.json"), serde_json::to_vec(&config)?)?;
        Ok(Bundle { id: id.into(), folder })
    }

    /// A command of the runtime's, with the words that engines put before it.
    pub fn command<W: AsRef<OsStr>>(&self, words: &[W]) -> Command {
        let mut command = self.sandbox.command(&self.program);
        command.arg("--root").arg(&self.state).args(words);
        command
    }

    /// The same, ended by `SIGKILL` if it takes longer than `limit`: the runtime alone, not what it
    /// has started.
    pub fn killed<W: AsRef<OsStr>>(&self, limit: Duration, words: &[W]) -> Command {
        let mut command = self.sandbox.command("timeout");
        command.args(["--foreground", "--signal=KILL", &limit.as_secs_f64().to_string()]);
        command.arg(&self.program).arg("--root").arg(&self.state).args(words);
        command
    }

    /// Creates a container, whose console is a file of the bundle.
    ///
    /// # Errors
    /// If the runtime does not.
    pub fn create(&self, bundle: &Bundle) -> Result<()> {
        self.create_with(bundle, &[])
    }

    /// The same, with options of `create`.
    ///
    /// # Errors
    /// If the runtime does not.
    pub fn create_with(&self, bundle: &Bundle, options: &[&OsStr]) -> Result<()> {
        let words = ["create".as_ref(), "--bundle".as_ref(), bundle.folder.as_os_str()];
        let mut command = self.command(&words);
        command.args(options);
        finish(into_console(command.arg(&bundle.id), bundle)?)
            .with_context(|| format!("create {}: {}", bundle.id, bundle.console()))
    }

    /// The same, with the runtime killed after a while if it is not done; whether it was done.
    ///
    /// # Errors
    /// If it cannot be started.
    pub fn create_killed(&self, bundle: &Bundle, limit: Duration) -> Result<bool> {
        let words = ["create".as_ref(), "--bundle".as_ref(), bundle.folder.as_os_str()];
        let mut command = self.killed(limit, &words);
        Ok(finish(into_console(command.arg(&bundle.id), bundle)?).is_ok())
    }

    /// Deletes a container by force, with the runtime killed after a while if it is not done; whether
    /// it was done.
    ///
    /// # Errors
    /// If it cannot be started.
    pub fn delete_killed(&self, bundle: &Bundle, limit: Duration) -> Result<bool> {
        let mut command = self.killed(limit, &["delete", "--force", &bundle.id]);
        Ok(finish(into_console(&mut command, bundle)?).is_ok())
    }

    /// Starts a container, with the runtime killed after a while if it is not done;
    /// whether it was done.
    ///
    /// # Errors
    /// If it cannot be started.
    pub fn start_killed(&self, bundle: &Bundle, limit: Duration) -> Result<bool> {
        let mut command = self.killed(limit, &["start", &bundle.id]);
        Ok(finish(into_console(&mut command, bundle)?).is_ok())
    }

    /// Runs a command about a container: `start`, `kill`, `delete`, `state` ...
    ///
    /// # Errors
    /// If it fails, with what the runtime says.
    pub fn about(&self, bundle: &Bundle, words: &[&str]) -> Result<String> {
        let (verb, rest) = words.split_first().context("which command?")?;
        // `kill ID SIGNAL`, `delete --force ID`.
        let (options, rest): (Vec<&str>, Vec<&str>) =
            rest.iter().partition(|word| word.starts_with('-'));
        let words: Vec<&str> =
            [*verb].into_iter().chain(options).chain([&*bundle.id]).chain(rest).collect();
        let output = crate::Running::start(&mut self.command(&words))?.wait()?;
        super::sandbox::succeeded(output).with_context(|| words.join(" "))
    }

    /// What the runtime says of a container.
    ///
    /// # Errors
    /// If it knows none.
    pub fn state(&self, bundle: &Bundle) -> Result<Value> {
        Ok(serde_json::from_str(&self.about(bundle, &["state"])?)?)
    }

    /// Waits until a container has a status such as `stopped`.
    ///
    /// # Errors
    /// If it does not get it in time.
    pub fn wait_for(&self, bundle: &Bundle, status: &str) -> Result<()> {
        let deadline = Instant::now() + TIME_OUT;
        loop {
            let state = self.state(bundle)?;
            if state["status"] == status {
                return Ok(());
            }
            ensure!(Instant::now() < deadline, "not {status}: {state} {}", bundle.console());
            thread::sleep(Duration::from_millis(10));
        }
    }
}

/// The container keeps its standard output, so that a pipe would not come to its end.
fn into_console<'c>(command: &'c mut Command, bundle: &Bundle) -> Result<&'c mut Command> {
    let console = File::create(bundle.folder.join("console"))?;
    Ok(command.stdin(Stdio::null()).stdout(console.try_clone()?).stderr(console))
}

fn finish(command: &mut Command) -> Result<()> {
    let mut child = command.spawn()?;
    let deadline = Instant::now() + TIME_OUT;
    let status = loop {
        if let Some(status) = child.try_wait()? {
            break status;
        }
        if Instant::now() > deadline {
            for process in crate::run::descendants(child.id() as i32) {
                let process = nix::unistd::Pid::from_raw(process);
                let _ = nix::sys::signal::kill(process, nix::sys::signal::Signal::SIGKILL);
            }
            let _ = child.wait();
            bail!("takes longer than {TIME_OUT:?}");
        }
        thread::sleep(Duration::from_millis(1));
    };
    ensure!(status.success(), "{status}");
    Ok(())
}

/// Makes a bridge `nabla0` with 10.79.0.1/16 in the sandbox.
///
/// # Errors
/// If it cannot be made.
pub fn make_bridge(sandbox: &Sandbox) -> Result<()> {
    sandbox.ip("link add nabla0 type bridge\n\
                address add 10.79.0.1/16 dev nabla0\n\
                link set nabla0 up\n")
}

/// Makes network namespaces `NAME` as CNI does for containers: each with an interface `eth0` on the
/// bridge, an address and a default route. Returns the addresses.
///
/// # Errors
/// If one cannot be made.
pub fn make_networks(sandbox: &Sandbox, names: &[String]) -> Result<Vec<Ipv4Addr>> {
    let mut outside = String::new();
    let mut addresses = Vec::new();
    for (index, name) in names.iter().enumerate() {
        let index = u16::try_from(index + 2)?;
        let address = Ipv4Addr::from(u32::from(Ipv4Addr::new(10, 79, 0, 0)) + u32::from(index));
        outside.push_str(&format!(
            "netns add {name}\n\
             link add veth{index} type veth peer name eth0 netns {name}\n\
             link set veth{index} master nabla0 up\n"
        ));
        addresses.push(address);
    }
    sandbox.ip(&outside)?;
    // One batch of `ip` works in one namespace.
    let mut script = String::from("set -e\n");
    for (name, address) in names.iter().zip(&addresses) {
        script.push_str(&format!(
            "printf '%s\\n' 'link set lo up' 'address add {address}/16 dev eth0' 'link set eth0 up' \
             'route add default via 10.79.0.1' | ip -netns {name} -batch -\n"
        ));
    }
    let file = sandbox.folder().join("networks.sh");
    fs::write(&file, script)?;
    sandbox.succeed(&["sh".as_ref(), file.as_os_str()])?;
    Ok(addresses)
}

/// As engines write it.
fn configuration(description: Description<'_>, cgroup: &str) -> Value {
    let capabilities = json!([
        "CAP_CHOWN",
        "CAP_DAC_OVERRIDE",
        "CAP_FOWNER",
        "CAP_FSETID",
        "CAP_KILL",
        "CAP_NET_BIND_SERVICE",
        "CAP_SETFCAP",
        "CAP_SETGID",
        "CAP_SETPCAP",
        "CAP_SETUID",
        "CAP_SYS_CHROOT"
    ]);
    let network = match description.network {
        Some(name) => json!({ "type": "network", "path": format!("/run/netns/{name}") }),
        None => json!({ "type": "network" }),
    };
    let mount = |target: &str, kind: &str, source: &str, options: &[&str]| json!({ "destination": target, "type": kind, "source": source, "options": options });
    json!({
        "ociVersion": "1.0.2",
        "process": {
            "user": { "uid": 0, "gid": 0 },
            "args": description.words,
            "env": description.environment,
            "cwd": "/",
            "capabilities": {
                "bounding": capabilities, "effective": capabilities, "permitted": capabilities,
            },
            "rlimits": [{ "type": "RLIMIT_NOFILE", "hard": 1024, "soft": 1024 }],
            "noNewPrivileges": true,
        },
        "root": { "path": description.root, "readonly": true },
        "hostname": "suite",
        "mounts": [
            mount("/proc", "proc", "proc", &["nosuid", "noexec", "nodev"]),
            mount("/dev", "tmpfs", "tmpfs", &["nosuid", "strictatime", "mode=755", "size=65536k"]),
            mount("/dev/pts", "devpts", "devpts",
                &["nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620", "gid=5"]),
            mount("/dev/shm", "tmpfs", "shm",
                &["nosuid", "noexec", "nodev", "mode=1777", "size=65536k"]),
            mount("/dev/mqueue", "mqueue", "mqueue", &["nosuid", "noexec", "nodev"]),
            mount("/sys", "sysfs", "sysfs", &["nosuid", "noexec", "nodev", "ro"]),
        ],
        "linux": {
            "cgroupsPath": cgroup,
            "resources": {
                "devices": [{ "allow": false, "access": "rwm" }],
                "memory": { "limit": 64 << 20 },
            },
            "namespaces": [
                { "type": "pid" }, { "type": "ipc" }, { "type": "uts" }, { "type": "mount" },
                network,
            ],
            "maskedPaths": ["/proc/acpi", "/proc/kcore", "/proc/keys", "/proc/timer_list",
                "/sys/firmware"],
            "readonlyPaths": ["/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys",
                "/proc/sysrq-trigger"],
        },
    })
}
