//! What is known of a container between two calls of this program, and what it is doing now.
//!
//! Each container has a folder below the root:
//!
//! | file | what |
//! |---|---|
//! | `record.json` | what `create` was told; complete or not there at all |
//! | `lock` | held by the one call that works on the container |
//! | `start.sock` | where the container waits for its `start` |
//! | `pending` | there until it was started |
//! | `paused` | there while it is frozen |
//! | `birth` | open in all processes that `create` has started, until they become something else |
//! | `config.json` | the configuration that libcontainer was given, if it is not the bundle's |
//! | `libcontainer/` | its own state |
//!
//! A change of state removes a file or makes an empty one, so that a full disk keeps nothing from being
//! deleted, and what is true is asked from the process itself.

use std::collections::HashMap;
use std::fs::{self, File};
use std::io::ErrorKind;
use std::os::fd::AsRawFd;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow, bail, ensure};
use chrono::{DateTime, SecondsFormat, Utc};
use libcontainer::oci_spec::runtime::Hooks;
use nix::errno::Errno;
use nix::fcntl::{FcntlArg, fcntl};
use nix::unistd::geteuid;
use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::process::Process;

/// How long a call waits for another one that works on the same container.
const PATIENCE: Duration = Duration::from_secs(10);
/// The version of the runtime specification that states are written by.
pub(crate) const OCI_VERSION: &str = "1.2.0";

/// What a container is doing, by the runtime specification's names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Status {
    Creating,
    Created,
    Running,
    Paused,
    Stopped,
}

impl Status {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Creating => "creating",
            Self::Created => "created",
            Self::Running => "running",
            Self::Paused => "paused",
            Self::Stopped => "stopped",
        }
    }
}

/// What `create` was told, and what it made.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Record {
    pub(crate) id: String,
    pub(crate) bundle: PathBuf,
    pub(crate) rootfs: PathBuf,
    pub(crate) created: String,
    pub(crate) owner: u32,
    pub(crate) annotations: HashMap<String, String>,
    pub(crate) cgroup_path: PathBuf,
    pub(crate) systemd: bool,
    /// The network namespace that others made for it.
    pub(crate) netns: Option<PathBuf>,
    pub(crate) hooks: Option<Hooks>,
    /// Its first process, once there is one.
    pub(crate) init: Option<Process>,
}

pub(crate) fn read_record(dir: &Path) -> Result<Option<Record>> {
    let path = dir.join(RECORD);
    match fs::read(&path) {
        Ok(bytes) => {
            let record = serde_json::from_slice(&bytes);
            Ok(Some(record.with_context(|| format!("{} is damaged", path.display()))?))
        }
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(anyhow!(error).context(format!("cannot read {}", path.display()))),
    }
}

const LOCK: &str = "lock";
const BIRTH: &str = "birth";
const RECORD: &str = "record.json";
const PENDING: &str = "pending";
const PAUSED: &str = "paused";

/// A container.
#[derive(Debug)]
pub(crate) struct Container {
    id: String,
    dir: PathBuf,
    record: Option<Record>,
    lock: Option<File>,
}

impl Container {
    /// The one in this folder.
    pub(crate) fn at(id: &str, dir: PathBuf, record: Option<Record>) -> Self {
        Self { id: id.to_owned(), dir, record, lock: None }
    }

    pub(crate) fn id(&self) -> &str {
        &self.id
    }

    /// Its folder.
    pub(crate) fn dir(&self) -> &Path {
        &self.dir
    }

    /// Where libcontainer keeps what it knows.
    pub(crate) fn libcontainer(&self) -> PathBuf {
        self.dir.join("libcontainer")
    }

    /// What `create` has noted, unless it was interrupted before.
    pub(crate) fn known(&self) -> Option<&Record> {
        self.record.as_ref()
    }

    /// What `create` has noted.
    ///
    /// # Errors
    /// If it was interrupted before.
    pub(crate) fn record(&self) -> Result<&Record> {
        self.record.as_ref().with_context(|| {
            format!("container {} is not complete; delete --force removes it", self.id)
        })
    }

    /// Where the container waits for its `start`, by a path that is short enough for a socket, which has 107 bytes
    /// at most; it holds as long as the descriptor is open.
    ///
    /// # Errors
    /// If the container's folder cannot be opened.
    pub(crate) fn socket(&self) -> Result<(File, PathBuf)> {
        let cannot = || format!("cannot open {}", self.dir.display());
        let dir = File::open(&self.dir).with_context(cannot)?;
        let path = PathBuf::from(format!("/proc/self/fd/{}/start.sock", dir.as_raw_fd()));
        Ok((dir, path))
    }

    /// What it is doing now.
    pub(crate) fn status(&self) -> Status {
        let init = self.known().and_then(|record| record.init);
        match init {
            None if self.lock.is_none() && self.is_locked() => Status::Creating,
            None => Status::Stopped,
            Some(init) if !init.is_alive() => Status::Stopped,
            Some(_) if self.dir.join(PENDING).exists() => Status::Created,
            Some(_) if self.dir.join(PAUSED).exists() => Status::Paused,
            Some(_) => Status::Running,
        }
    }

    /// Takes over what is known now.
    pub(crate) fn update(&mut self, found: Self) {
        self.record = found.record;
    }

    /// Its first process, if that lives.
    pub(crate) fn init(&self) -> Option<Process> {
        self.known()?.init.filter(|init| init.is_alive())
    }

    /// The state as the runtime specification has it, and as runc adds to it.
    ///
    /// # Errors
    /// If the container is not complete.
    pub(crate) fn state(&self) -> Result<serde_json::Value> {
        let status = self.status();
        let Some(record) = self.known() else {
            return Ok(json!({
                "ociVersion": OCI_VERSION,
                "id": self.id,
                "status": status.name(),
                "pid": 0,
                "bundle": "",
                "annotations": {},
            }));
        };
        Ok(json!({
            "ociVersion": OCI_VERSION,
            "id": record.id,
            "status": status.name(),
            "pid": self.init().map_or(0, |init| init.pid),
            "bundle": record.bundle,
            "rootfs": record.rootfs,
            "created": record.created,
            "annotations": record.annotations,
            "owner": owner_name(record.owner),
        }))
    }

    /// Notes what is known. What was noted before stays if that fails.
    ///
    /// # Errors
    /// If it cannot be written.
    pub(crate) fn save(&mut self, record: Record) -> Result<()> {
        let place = self.dir.join(RECORD);
        let unfinished = self.dir.join(".record.json");
        let written = fs::write(&unfinished, serde_json::to_vec(&record)?)
            .and_then(|()| fs::rename(&unfinished, &place));
        written.with_context(|| format!("cannot write {}", place.display()))?;
        self.record = Some(record);
        Ok(())
    }

    /// Marks the container as one that waits for its start.
    ///
    /// # Errors
    /// If that cannot be noted.
    pub(crate) fn set_pending(&self) -> Result<()> {
        self.make(PENDING)
    }

    /// It was started.
    ///
    /// # Errors
    /// If that cannot be noted.
    pub(crate) fn set_started(&self) -> Result<()> {
        self.unmake(PENDING)
    }

    /// It was frozen, or goes on.
    ///
    /// # Errors
    /// If that cannot be noted.
    pub(crate) fn set_paused(&self, is_paused: bool) -> Result<()> {
        if is_paused { self.make(PAUSED) } else { self.unmake(PAUSED) }
    }

    fn make(&self, name: &str) -> Result<()> {
        let path = self.dir.join(name);
        File::create(&path).with_context(|| format!("cannot write {}", path.display()))?;
        Ok(())
    }

    fn unmake(&self, name: &str) -> Result<()> {
        let path = self.dir.join(name);
        match fs::remove_file(&path) {
            Err(error) if error.kind() != ErrorKind::NotFound => {
                Err(anyhow!(error).context(format!("cannot remove {}", path.display())))
            }
            _ => Ok(()),
        }
    }

    /// Removes all that is known of it.
    ///
    /// # Errors
    /// If it cannot be removed.
    pub(crate) fn forget(&self) -> Result<()> {
        match fs::remove_dir_all(&self.dir) {
            Err(error) if error.kind() != ErrorKind::NotFound => {
                Err(anyhow!(error).context(format!("cannot remove {}", self.dir.display())))
            }
            _ => Ok(()),
        }
    }

    /// Opens what tells the processes that `create` starts from all others.
    ///
    /// # Errors
    /// If it cannot be made.
    pub(crate) fn birth(&self) -> Result<File> {
        let path = self.dir.join(BIRTH);
        File::create(&path).with_context(|| format!("cannot write {}", path.display()))
    }

    /// The processes that an interrupted `create` has left.
    pub(crate) fn remains(&self) -> Vec<i32> {
        let Ok(birth) = fs::metadata(self.dir.join(BIRTH)) else { return Vec::new() };
        let is_birth = |path: PathBuf| {
            // Its name first: to look at a file may take for ever, on a file system that is gone.
            fs::read_link(&path).is_ok_and(|it| it.ends_with(BIRTH))
                && fs::metadata(path)
                    .is_ok_and(|it| (it.dev(), it.ino()) == (birth.dev(), birth.ino()))
        };
        let holds = |pid: &i32| {
            let descriptors = fs::read_dir(format!("/proc/{pid}/fd"));
            descriptors.is_ok_and(|all| all.flatten().any(|one| is_birth(one.path())))
        };
        let processes = fs::read_dir("/proc").into_iter().flatten().flatten();
        let numbers = processes.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
        numbers.filter(|&pid| pid != std::process::id() as i32).filter(holds).collect()
    }

    /// Waits until no other call works on the container. The lock is this process's alone: what it forks
    /// does not hold it.
    pub(crate) fn lock(&mut self, is_new: bool) -> Result<()> {
        let path = self.dir.join(LOCK);
        let cannot = || format!("cannot open {}", path.display());
        let deadline = Instant::now() + PATIENCE;
        loop {
            let file = match File::options().create_new(is_new).write(true).open(&path) {
                Err(error) if error.kind() == ErrorKind::NotFound && !is_new => {
                    bail!("container does not exist: {}", self.id)
                }
                file => file.with_context(cannot)?,
            };
            match fcntl(&file, FcntlArg::F_SETLK(&whole(libc::F_WRLCK))) {
                // It may be the file of one that was removed meanwhile.
                Ok(_) if is_at(&file, &path) => {
                    self.lock = Some(file);
                    return Ok(());
                }
                Ok(_) | Err(Errno::EAGAIN | Errno::EACCES) => {}
                Err(error) => return Err(error).with_context(cannot),
            }
            ensure!(
                Instant::now() < deadline,
                "another runnc works on container {} and does not end",
                self.id
            );
            thread::sleep(Duration::from_millis(2));
        }
    }

    /// Lets others work on it.
    pub(crate) fn unlock(&mut self) {
        self.lock = None;
    }

    /// The same as [`Store::take`], of a container that may be incomplete.
    ///
    /// # Errors
    /// If another call works on it and does not end.
    pub(crate) fn take_remains(&mut self) -> Result<()> {
        match self.dir.join(LOCK).exists() {
            true => self.lock(false),
            // Nobody can be working on it.
            false => Ok(()),
        }
    }

    fn is_locked(&self) -> bool {
        let Ok(file) = File::options().write(true).open(self.dir.join(LOCK)) else {
            return false;
        };
        let mut question = whole(libc::F_WRLCK);
        let answered = fcntl(&file, FcntlArg::F_GETLK(&mut question));
        answered.is_ok() && question.l_type != libc::F_UNLCK as libc::c_short
    }
}

/// Whether an open file is the one of that name.
fn is_at(file: &File, path: &Path) -> bool {
    let identity = |it: fs::Metadata| (it.dev(), it.ino());
    let there = fs::metadata(path).map(identity).ok();
    there.is_some() && file.metadata().map(identity).ok() == there
}

fn whole(kind: libc::c_int) -> libc::flock {
    libc::flock {
        l_type: kind as libc::c_short,
        l_whence: libc::SEEK_SET as libc::c_short,
        l_start: 0,
        l_len: 0,
        l_pid: 0,
    }
}

/// Whether this is not the host's root: another user, or root of a user namespace.
pub(crate) fn is_rootless() -> bool {
    // All numbers there are, as they are, is what the first namespace has.
    let map = fs::read_to_string("/proc/self/uid_map").unwrap_or_default();
    let is_first = map.split_ascii_whitespace().eq(["0", "0", "4294967295"]);
    !geteuid().is_root() || !is_first
}

fn owner_name(uid: u32) -> String {
    let user = nix::unistd::User::from_uid(nix::unistd::Uid::from_raw(uid)).ok().flatten();
    user.map(|user| user.name).unwrap_or_default()
}

/// A moment since 1970 as RFC 3339 writes it.
pub(crate) fn rfc3339(since_epoch: Duration) -> String {
    let time = DateTime::<Utc>::from_timestamp(
        i64::try_from(since_epoch.as_secs()).unwrap_or_default(),
        since_epoch.subsec_nanos(),
    );
    time.unwrap_or_default().to_rfc3339_opts(SecondsFormat::Nanos, true)
}
