//! Namespaces around a process that the supervisor starts: of users, mounts, IPC, host names and
//! control groups, for a guest also of processes and networks; an empty root; an unprivileged
//! user. It works without root wherever users may make namespaces.
//!
//! The supervisor clones into the namespaces and says who the process is there; the process then
//! changes what only it can change and tells how that went ([`Ticket`]). See namespaces(7),
//! user_namespaces(7), pivot_root(2).

use std::ffi::CStr;
use std::fs;
use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::ptr;

use libc::c_int;
use nix::errno::Errno;
use nix::mount::{MntFlags, MsFlags, mount, umount2};
use nix::unistd::{
    Gid, Pid, Uid, chdir, getegid, geteuid, pivot_root, setgroups, setresgid, setresuid,
};

/// The user and group inside, and outside if root starts a jail and there are such: nobody's.
const NOBODY: u32 = 65534;

/// What is put into a jail.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Inmate {
    /// A guest.
    Guest,
    /// A gateway, which keeps the host's network. It keeps its process namespace as well, since
    /// the first process of one cannot end by its own SIGABRT.
    Gateway,
}

impl Inmate {
    /// The namespaces, as flags of clone(2).
    pub(crate) fn flags(self) -> c_int {
        let both = libc::CLONE_NEWUSER
            | libc::CLONE_NEWNS
            | libc::CLONE_NEWIPC
            | libc::CLONE_NEWUTS
            | libc::CLONE_NEWCGROUP;
        match self {
            Self::Guest => both | libc::CLONE_NEWPID | libc::CLONE_NEWNET,
            Self::Gateway => both,
        }
    }
}

/// Why there is no jail.
#[derive(Debug, thiserror::Error)]
#[error(
    "cannot make a jail: {step}: {error} (this user needs the right to make namespaces, see \
     user.max_user_namespaces and kernel.apparmor_restrict_unprivileged_userns; --no-jail does without)"
)]
pub struct Error {
    step: String,
    error: std::io::Error,
}

impl Error {
    pub(crate) fn new(step: impl Into<String>, error: impl Into<std::io::Error>) -> Self {
        Self { step: step.into(), error: error.into() }
    }
}

/// A line between the supervisor and a process on its way into a jail.
pub(crate) type Ticket = UnixStream;

/// The supervisor's part: says who the process is, and waits until it is inside.
pub(crate) fn admit(process: Pid, ticket: &mut Ticket) -> Result<(), Error> {
    let write = |file: &str, text: String| {
        let path = format!("/proc/{process}/{file}");
        fs::write(&path, text).map_err(|error| Error::new(path, error))
    };
    let identity = match (geteuid().is_root(), may_map()) {
        (true, false) => Identity::Unmapped,
        (true, true) if has_nobody() => Identity::Nobody,
        _ => Identity::Own,
    };
    match identity {
        Identity::Nobody => {
            write("uid_map", format!("{NOBODY} {NOBODY} 1"))?;
            write("gid_map", format!("{NOBODY} {NOBODY} 1"))?;
        }
        Identity::Own => {
            // Without this, nobody but root may map groups.
            write("setgroups", "deny".to_owned())?;
            write("uid_map", format!("{NOBODY} {} 1", geteuid()))?;
            write("gid_map", format!("{NOBODY} {} 1", getegid()))?;
        }
        Identity::Unmapped => {}
    }
    let failed = |error| Error::new("the jailed process", error);
    ticket.write_all(&[identity as u8]).map_err(failed)?;
    let mut answer = [0; ANSWER_BYTES];
    ticket.read_exact(&mut answer).map_err(failed)?;
    match (answer[0], i32::from_le_bytes([answer[1], answer[2], answer[3], answer[4]])) {
        (_, 0) => Ok(()),
        (step, error) => {
            let step = STEPS.get(usize::from(step)).copied().unwrap_or_default();
            Err(Error::new(step, Errno::from_raw(error)))
        }
    }
}

/// Who an inmate is outside of its jail.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Identity {
    /// The user who started it.
    Own,
    /// Nobody.
    Nobody,
    /// Root, as one that may not map itself; inside there is no user at all.
    Unmapped,
}

/// Whether this process may map root, and users and groups that are not its own, which root of a container
/// may not: it has the capabilities CAP_SETGID, CAP_SETUID and CAP_SETFCAP in force.
fn may_map() -> bool {
    const NEEDED: u64 = 1 << 6 | 1 << 7 | 1 << 31;
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let effective = status.lines().find_map(|line| line.strip_prefix("CapEff:"));
    let effective = effective.and_then(|set| u64::from_str_radix(set.trim(), 16).ok());
    effective.is_some_and(|set| set & NEEDED == NEEDED)
}

/// Whether there is such a user here: root of a user namespace may have none but itself.
fn has_nobody() -> bool {
    let map = fs::read_to_string("/proc/self/uid_map").unwrap_or_default();
    map.lines().any(|line| {
        let mut words = line.split_whitespace().map(|word| word.parse::<u64>().unwrap_or_default());
        let (first, _, count) = (words.next(), words.next(), words.next());
        let offset = u64::from(NOBODY).checked_sub(first.unwrap_or(u64::MAX));
        offset.is_some_and(|offset| offset < count.unwrap_or_default())
    })
}

/// Number of the step that failed, and its error.
const ANSWER_BYTES: usize = 5;
const STEPS: [&str; 6] = ["setgroups", "setresgid", "setresuid", "mount", "pivot_root", "umount2"];

/// The process's part: takes on the user, and leaves all file systems behind. `false` if there is no
/// supervisor any more, or no jail; the supervisor has heard of that.
pub(crate) fn enter(ticket: &mut Ticket) -> bool {
    let mut identity = [0];
    if !matches!(ticket.read(&mut identity), Ok(1)) {
        return false;
    }
    let outcome = take_on(identity[0]).and_then(|()| leave_file_systems());
    let (step, error) = match outcome {
        Ok(()) => (0, 0),
        Err((step, error)) => (step, error as i32),
    };
    let [a, b, c, d] = error.to_le_bytes();
    ticket.write_all(&[step, a, b, c, d]).is_ok() && error == 0
}

/// Whether the supervisor has ended.
pub(crate) fn is_orphan(ticket: &mut Ticket) -> bool {
    let non_blocking = ticket.set_nonblocking(true);
    non_blocking.is_err() || matches!(ticket.read(&mut [0]), Ok(0))
}

type Step = Result<(), (u8, Errno)>;

fn take_on(identity: u8) -> Step {
    if identity == Identity::Unmapped as u8 {
        return Ok(());
    }
    let (user, group) = (Uid::from_raw(NOBODY), Gid::from_raw(NOBODY));
    if identity == Identity::Nobody as u8 {
        setgroups(&[]).map_err(|error| (0, error))?;
    }
    setresgid(group, group, group).map_err(|error| (1, error))?;
    setresuid(user, user, user).map_err(|error| (2, error))
}

fn leave_file_systems() -> Step {
    // Any folder serves as the place of the new root; this one exists, as the maps were written there.
    const PLACE: &CStr = c"/proc";
    let flags = MsFlags::MS_RDONLY | MsFlags::MS_NOSUID | MsFlags::MS_NODEV | MsFlags::MS_NOEXEC;
    mount(Some(c"none"), PLACE, Some(c"tmpfs"), flags, Some(c"mode=555,nr_inodes=1,size=4k"))
        .map_err(|error| (3, error))?;
    chdir(PLACE).map_err(|error| (4, error))?;
    pivot_root(c".", c".").map_err(|error| (4, error))?;
    // The old root lies on top of the new one now.
    umount2(c".", MntFlags::MNT_DETACH).map_err(|error| (5, error))?;
    chdir(c"/").map_err(|error| (5, error))?;
    Ok(())
}

/// fork(2) into new namespaces; `None` in the child.
///
/// # Safety
/// The process has one thread.
pub(crate) unsafe fn fork_into(flags: c_int) -> Result<Option<Pid>, Errno> {
    let flags = i64::from(flags | libc::SIGCHLD);
    let none = ptr::null::<u8>();
    // SAFETY: without a stack of its own and shared memory it is a fork; the process has one
    // thread, as the caller vouches, so nothing in the child waits for another.
    let process = unsafe { libc::syscall(libc::SYS_clone, flags, none, none, none, 0) };
    match Errno::result(process)? {
        0 => Ok(None),
        process => Ok(Some(Pid::from_raw(process as i32))),
    }
}
