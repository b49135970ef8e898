//! A child in which a container is made, that is in the container's control group from the beginning and sees no
//! control groups, so that libcontainer has nothing to do there.
//!
//! To move a process from outside, or with its threads, makes the kernel hold up all forks and exits until every
//! processor has noticed, some ten milliseconds. One that is born in a group of version 2 (`CLONE_INTO_CGROUP`,
//! clone(2)), or that moves itself alone by writing 0 to `tasks` of one of version 1, does not
//! (`cgroup_procs_write_start` in the kernel's kernel/cgroup/cgroup.c).

use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::os::fd::AsRawFd;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, anyhow, ensure};
use nix::errno::Errno;
use nix::mount::{MntFlags, MsFlags, mount, umount2};
use nix::sys::prctl;
use nix::sys::signal::Signal;
use nix::sys::wait::waitpid;
use nix::unistd::Pid;

use super::{ROOT, own_mounts, version_1};

/// clone(2): the child's control group is that of the descriptor.
const CLONE_INTO_CGROUP: u64 = 1 << 33;
/// Longer answers are cut. A pipe has room for more.
const ANSWER_MAX_BYTES: usize = 4000;
/// What stands before a reason in the child's answer.
const FAILED: u8 = b'!';

/// How the child comes into the group.
pub(super) enum Entry<'a> {
    /// It goes into each of these folders of version 1.
    Walk(&'a [PathBuf]),
    /// It is born in this folder of version 2.
    Birth(&'a Path),
}

/// Runs something in such a child: a number, or the reason why there is none. `None` if the kernel refuses such a
/// birth, and nothing was run.
pub(super) fn run(entry: &Entry<'_>, work: impl FnOnce() -> Result<i32>) -> Result<Option<i32>> {
    let group = match entry {
        Entry::Walk(_) => None,
        Entry::Birth(folder) => {
            let group = File::open(folder);
            Some(group.with_context(|| format!("cannot open {}", folder.display()))?)
        }
    };
    let (mut answers, mut answer) = io::pipe().context("cannot make a pipe")?;
    let parent = Pid::this();
    match fork_into(group.as_ref()) {
        Err(_) if group.is_some() => Ok(None),
        Err(errno) => Err(errno).context("cannot fork"),
        Ok(0) => {
            // What is open here is open in the container until it is started.
            drop((answers, group));
            let come_in = || match entry {
                Entry::Walk(folders) => version_1::come_into(folders),
                Entry::Birth(_) => Ok(()),
            };
            let ready = die_with(parent).and_then(|()| come_in()).and_then(|()| cover());
            let outcome = ready.and_then(|()| work());
            let text = match outcome {
                Ok(number) => number.to_string().into_bytes(),
                Err(error) => [&[FAILED], format!("{error:#}").as_bytes()].concat(),
            };
            // If the parent is gone, nobody asks. It reads when this process has ended, so all must find room.
            let _ = answer.write_all(&text[..text.len().min(ANSWER_MAX_BYTES)]);
            // SAFETY: nothing of the parent's is to be flushed or dropped here.
            unsafe { libc::_exit(0) }
        }
        Ok(child) => {
            waitpid(Pid::from_raw(child), None).context("cannot wait for the child")?;
            // What the child has started holds the pipe open as well, so there may be no end of it; with this
            // process's own writing end behind the answer there is always something to read.
            answer.write_all(b"\n").context("cannot write to a pipe")?;
            let mut text = vec![0; ANSWER_MAX_BYTES + 1];
            let bytes = answers.read(&mut text).context("cannot read what the child says")?;
            let text = &text[..bytes.saturating_sub(1)];
            if let Some(reason) = text.strip_prefix(&[FAILED]) {
                return Err(anyhow!(String::from_utf8_lossy(reason).into_owned()));
            }
            let number = str::from_utf8(text).ok().and_then(|text| text.parse().ok());
            ensure!(number.is_some(), "the child in the control group ended without an answer");
            Ok(number)
        }
    }
}

fn die_with(parent: Pid) -> Result<()> {
    prctl::set_pdeathsig(Signal::SIGKILL).context("cannot ask to end with the parent")?;
    ensure!(nix::unistd::getppid() == parent, "the parent has ended");
    Ok(())
}

/// fork(2), into a control group if there is one; 0 in the child.
fn fork_into(group: Option<&File>) -> Result<i32, Errno> {
    // SAFETY: zero is right for every field that is not set.
    let mut arguments: libc::clone_args = unsafe { std::mem::zeroed() };
    arguments.exit_signal = libc::SIGCHLD as u64;
    if let Some(group) = group {
        arguments.flags = CLONE_INTO_CGROUP;
        arguments.cgroup = group.as_raw_fd() as u64;
    }
    let size = size_of::<libc::clone_args>();
    // SAFETY: the arguments are valid; without a stack of its own and shared memory it is a fork, and this
    // process has one thread, so nothing in the child waits for another.
    let child = unsafe { libc::syscall(libc::SYS_clone3, &raw mut arguments, size) };
    Errno::result(child).map(|child| child as i32)
}

/// Gives this process, and what it forks, mounts of its own with no control groups among them.
fn cover() -> Result<()> {
    own_mounts().context("cannot make a mount namespace")?;
    // Some may lie over others, or be mounted elsewhere as well.
    for place in control_groups()?.iter().rev() {
        match umount2(place, MntFlags::MNT_DETACH) {
            // It went with one that it was mounted on.
            Ok(()) | Err(Errno::EINVAL | Errno::ENOENT) => {}
            Err(errno) => return Err(errno).context("cannot take the control groups away"),
        }
    }
    ensure!(control_groups()?.is_empty(), "cannot take the control groups away");
    mount(Some("tmpfs"), ROOT, Some("tmpfs"), MsFlags::MS_RDONLY, None::<&str>)
        .context("cannot cover the control groups")
}

/// Where control groups are mounted, in the order of mounting (proc_pid_mountinfo(5)).
fn control_groups() -> Result<Vec<PathBuf>> {
    let text =
        fs::read_to_string("/proc/thread-self/mountinfo").context("cannot read the mounts")?;
    let places = text.lines().filter_map(|line| {
        let (mount, source) = line.split_once(" - ")?;
        let is_one = ["cgroup ", "cgroup2 "].iter().any(|kind| source.starts_with(kind));
        // A name with escapes is no name that anybody gives to control groups, and is found to be left.
        is_one.then(|| mount.split(' ').nth(4).map(PathBuf::from))?
    });
    Ok(places.collect())
}
