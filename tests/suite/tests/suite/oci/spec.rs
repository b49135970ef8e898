//! The runtime specification's behaviours, each seen from outside: what the runtime says, what the kernel says of the
//! container's first process and of the guest, control groups, and what hooks have written.
//! `docs/oci-runtime-spec.md` has the same as a table.

mod cgroups;
mod commands;
mod hooks;
mod isolation;
mod lifecycle;
mod mounts;
mod process;

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use serde_json::{Value, json};
use suite::Binaries;
use suite::oci::bundle::Description;
use suite::oci::{Bundle, Contents, Runtime, Sandbox};
use suite::run::TIME_OUT;

use crate::Case;

/// All cases of these files.
pub(super) fn cases() -> Vec<Case> {
    let files = [
        lifecycle::cases(),
        commands::cases(),
        process::cases(),
        isolation::cases(),
        mounts::cases(),
        cgroups::cases(),
        hooks::cases(),
    ];
    files.into_iter().flatten().collect()
}

/// A sandbox with a root folder that has guests in it.
struct Place {
    sandbox: Sandbox,
    root: PathBuf,
    program: PathBuf,
}

/// A container that was started.
struct Life<'a> {
    place: &'a Place,
    bundle: Bundle,
    /// Its first process, as the sandbox sees it.
    first: i64,
}

/// A guest that goes on until it is ended.
const STAYS: [&str; 2] = ["/shutdown", "deaf"];

impl Place {
    fn new(binaries: &Binaries) -> Result<Self> {
        let sandbox = Sandbox::new()?;
        // Not in the folder of bundles: the root need not be in it.
        let root = sandbox.folder().join("root");
        let guests = ["shutdown", "exit-status", "arguments", "environment", "clocks"];
        let paths = guests.map(|name| binaries.guest(name));
        let files: Vec<(&str, &Path)> =
            guests.iter().zip(&paths).map(|(name, path)| (*name, path.as_path())).collect();
        Contents { files: &files, entrypoint: &[], environment: &[] }.lay(&root)?;
        Ok(Self { sandbox, root, program: binaries.runtime() })
    }

    fn runtime(&self) -> Runtime<'_> {
        Runtime::new(&self.sandbox, &self.program)
    }

    /// A bundle of a guest that stays, changed.
    fn bundle(&self, change: impl FnOnce(&mut Value)) -> Result<Bundle> {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let id = format!("spec{}", COUNT.fetch_add(1, Ordering::Relaxed));
        let description =
            Description { root: &self.root, words: &STAYS, environment: &[], network: None };
        let bundle = self.runtime().bundle(&id, description)?;
        bundle.change(change)?;
        Ok(bundle)
    }

    /// A container of it, started.
    fn start(&self, change: impl FnOnce(&mut Value)) -> Result<Life<'_>> {
        let bundle = self.bundle(change)?;
        self.runtime().create(&bundle)?;
        self.runtime().about(&bundle, &["start"])?;
        let first = self.runtime().state(&bundle)?["pid"].as_i64().context("no pid")?;
        Ok(Life { place: self, bundle, first })
    }

    /// What the guest printed until its end by itself.
    fn output(&self, words: &[&str], change: impl FnOnce(&mut Value)) -> Result<String> {
        let life = self.start(|config| {
            config["process"]["args"] = json!(words);
            change(config);
        })?;
        self.runtime().wait_for(&life.bundle, "stopped")?;
        let console = life.bundle.console();
        life.end()?;
        Ok(console)
    }

    /// Has a container refused by `create`, with a reason that holds `words`, and nothing of it left.
    fn refused(&self, words: &str, change: impl FnOnce(&mut Value)) -> Result<()> {
        let bundle = self.bundle(change)?;
        let Err(error) = self.runtime().create(&bundle) else { bail!("created, not: {words}") };
        let error = format!("{error:#}");
        ensure!(error.contains(words), "not {words:?}: {error}");
        self.gone(&bundle)
    }

    /// Makes sure that nothing of a container is left.
    fn gone(&self, bundle: &Bundle) -> Result<()> {
        ensure!(self.runtime().state(bundle).is_err(), "{} is still known", bundle.id);
        let groups = self.sandbox.cgroups();
        ensure!(!groups.iter().any(|group| group.ends_with(&bundle.id)), "{groups:?}");
        Ok(())
    }

    /// A file of the kernel about a process of the sandbox.
    fn proc(&self, process: i64, file: &str) -> PathBuf {
        self.sandbox.inside(format!("/proc/{process}/{file}"))
    }
}

impl Life<'_> {
    /// A file of the kernel about the first process.
    fn first(&self, file: &str) -> Result<String> {
        read(&self.place.proc(self.first, file))
    }

    /// The same about the guest's process, once it is confined.
    fn guest(&self, file: &str) -> Result<String> {
        read(&self.place.proc(self.guest_process()?, file))
    }

    fn guest_process(&self) -> Result<i64> {
        let deadline = Instant::now() + TIME_OUT;
        loop {
            let children = self.first(&format!("task/{}/children", self.first))?;
            for child in children.split_whitespace() {
                let child = child.parse()?;
                let status = read(&self.place.proc(child, "status")).unwrap_or_default();
                if field(&status, "Seccomp") == "2" {
                    return Ok(child);
                }
            }
            ensure!(Instant::now() < deadline, "no guest: {}", self.bundle.console());
            thread::sleep(Duration::from_millis(2));
        }
    }

    /// The first process's namespace of a kind, by its identity.
    fn namespace(&self, kind: &str) -> Result<u64> {
        namespace(&self.place.proc(self.first, &format!("ns/{kind}")))
    }

    /// A line of `mountinfo`: the mount at this place of the container.
    fn mount(&self, place: &str) -> Result<Mount> {
        let all = self.first("mountinfo")?;
        let found = all.lines().filter_map(Mount::parse).rfind(|mount| mount.place == place);
        found.with_context(|| format!("nothing is mounted at {place}: {all}"))
    }

    /// A file of the container's control group, from whichever hierarchy has it.
    fn cgroup(&self, file: &str) -> Result<String> {
        let groups = self.place.sandbox.cgroups().into_iter();
        let mut own = groups.filter(|group| group.ends_with(&self.bundle.id));
        let path = own.find_map(|group| Some(group.join(file)).filter(|path| path.exists()));
        read(&path.with_context(|| format!("no control group has {file}"))?)
    }

    /// Deletes it, and makes sure that nothing is left.
    fn end(self) -> Result<()> {
        self.place.runtime().about(&self.bundle, &["delete", "--force"])?;
        self.place.gone(&self.bundle)
    }
}

/// A mount as the kernel tells it (proc_pid_mountinfo(5)).
struct Mount {
    place: String,
    options: Vec<String>,
    /// `shared:N` and the like.
    propagation: String,
    kind: String,
    super_options: String,
}

impl Mount {
    fn parse(line: &str) -> Option<Self> {
        let (own, of_file_system) = line.split_once(" - ")?;
        let words: Vec<&str> = own.split(' ').collect();
        let mut other = of_file_system.split(' ');
        Some(Self {
            place: (*words.get(4)?).to_owned(),
            options: words.get(5)?.split(',').map(str::to_owned).collect(),
            propagation: words.get(6..)?.join(" "),
            kind: other.next()?.to_owned(),
            super_options: other.nth(1)?.to_owned(),
        })
    }

    fn has(&self, option: &str) -> bool {
        self.options.iter().any(|it| it == option)
    }
}

fn namespace(path: &Path) -> Result<u64> {
    Ok(fs::metadata(path).with_context(|| path.display().to_string())?.ino())
}

fn read(path: &Path) -> Result<String> {
    fs::read_to_string(path).with_context(|| path.display().to_string())
}

/// A field of `status`, its words one blank apart.
fn field(status: &str, name: &str) -> String {
    let of_name =
        |line: &str| line.split_once(':').filter(|(key, _)| *key == name).map(|it| it.1.to_owned());
    let text = status.lines().find_map(of_name).unwrap_or_default();
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}
