//! Who starts children one after the other, ends what they leave, and counts.

use std::fs;
use std::io::{BufRead as _, Write as _};
use std::num::NonZeroUsize;
use std::os::unix::fs::{PermissionsExt as _, chown};
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use nix::errno::Errno;
use nix::libc;
use nix::sys::mman::{MapFlags, ProtFlags, mmap_anonymous};
use nix::sys::resource::{Resource, setrlimit};
use nix::sys::signal::{SigSet, SigmaskHow, Signal, kill, sigprocmask};
use nix::unistd::{Pid, chdir, geteuid, setgroups, setresgid, setresuid};

use super::child::{self, Place};
use super::{Settings, USER, filter};

/// Calls of one child. Few, since what it has done to itself stands in its way later.
const CALLS: u64 = 150;
/// How deep folders are that a child makes.
const DEPTH: usize = 8;
/// How long a child may take, in the machine's time.
const PATIENCE: Duration = Duration::from_secs(2);

/// Runs children until so many calls were made.
///
/// # Errors
/// If something is refused that children need.
pub(super) fn guard(settings: &Settings) -> Result<()> {
    let folder = prepare(settings)?;
    let counter = counter()?;
    let place = Place::map()?;
    // The signal is waited for; a handler would have to be undone in children.
    sigprocmask(SigmaskHow::SIG_BLOCK, Some(&SigSet::from(Signal::SIGCHLD)), None)
        .context("sigprocmask")?;
    stop(0)?;
    let mut seed = settings.seed;
    for part in 1..=settings.stops {
        let until = settings.calls * part / settings.stops;
        while counter.load(Ordering::Relaxed) < until {
            seed = seed.wrapping_add(0x9e37_79b9_7f4a_7c15);
            let before = counter.load(Ordering::Relaxed);
            one(&folder, &place, counter, seed)?;
            // One that died before its first call is a call, too, so that this ends.
            if counter.load(Ordering::Relaxed) == before {
                counter.fetch_add(1, Ordering::Relaxed);
            }
        }
        stop(counter.load(Ordering::Relaxed))?;
    }
    Ok(())
}

/// Says how far it is and waits until it may go on.
fn stop(calls: u64) -> Result<()> {
    let mut out = std::io::stdout();
    writeln!(out, "calls {calls}").and_then(|()| out.flush()).context("standard output")?;
    let mut line = String::new();
    let read = std::io::stdin().lock().read_line(&mut line).context("standard input")?;
    ensure!(read > 0, "standard input has ended");
    Ok(())
}

/// The folder, the limits, the filter, and the user.
fn prepare(settings: &Settings) -> Result<std::path::PathBuf> {
    let folder = settings.folder.clone();
    let name = || folder.display().to_string();
    fs::create_dir_all(&folder).with_context(name)?;
    if geteuid().is_root() {
        chown(&folder, Some(USER), Some(USER)).with_context(name)?;
    }
    let limits = [
        (Resource::RLIMIT_CORE, 0),
        (Resource::RLIMIT_FSIZE, 1 << 20),
        (Resource::RLIMIT_NOFILE, 64),
        (Resource::RLIMIT_NPROC, 64),
        (Resource::RLIMIT_AS, 512 << 20),
    ];
    for (limit, value) in limits {
        setrlimit(limit, value, value).with_context(|| format!("{limit:?}"))?;
    }
    if settings.is_filtered {
        filter::install()?;
    }
    if geteuid().is_root() {
        setgroups(&[]).context("setgroups")?;
        setresgid(USER.into(), USER.into(), USER.into()).context("setresgid")?;
        setresuid(USER.into(), USER.into(), USER.into()).context("setresuid")?;
        // Who changes his user loses that, and with it his own files in /proc.
        // SAFETY: changes a flag of this process.
        let set = unsafe { libc::prctl(libc::PR_SET_DUMPABLE, 1, 0, 0, 0) };
        Errno::result(set).context("prctl")?;
    }
    // What children leave is this process's.
    // SAFETY: changes a flag of this process.
    let set = unsafe { libc::prctl(libc::PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) };
    Errno::result(set).context("prctl")?;
    Ok(folder)
}

/// Calls of all children.
fn counter() -> Result<&'static AtomicU64> {
    let length = NonZeroUsize::new(4096).context("no length")?;
    let rights = ProtFlags::PROT_READ | ProtFlags::PROT_WRITE;
    // SAFETY: the kernel chooses the place.
    let map = unsafe { mmap_anonymous(None, length, rights, MapFlags::MAP_SHARED) };
    // SAFETY: a page of zeros, which stays.
    Ok(unsafe { map.context("mmap")?.cast::<AtomicU64>().as_ref() })
}

/// Starts a child and waits until nothing is left of it.
fn one(folder: &Path, place: &Place, counter: &AtomicU64, seed: u64) -> Result<()> {
    let own = folder.join(format!("{seed:016x}"));
    // Children may have shut it for themselves and everybody.
    let _ = fs::set_permissions(folder, fs::Permissions::from_mode(0o755));
    fs::create_dir(&own).with_context(|| own.display().to_string())?;
    // SAFETY: there is one thread, so that a child may do anything.
    match Errno::result(unsafe { libc::fork() }).context("fork")? {
        0 => {
            if chdir(&own).is_ok() {
                child::run(place, counter, seed, CALLS);
            }
            // SAFETY: ends this process.
            unsafe { libc::_exit(0) }
        }
        id => wait(id)?,
    }
    unlock(&own, DEPTH);
    let _ = fs::remove_dir_all(&own);
    Ok(())
}

/// Opens folders again that a child has shut, so that they can be removed.
fn unlock(folder: &Path, depth: usize) {
    let _ = fs::set_permissions(folder, fs::Permissions::from_mode(0o700));
    let Ok(entries) = fs::read_dir(folder) else { return };
    for entry in entries.flatten() {
        // This does not follow links.
        if depth > 0 && entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            unlock(&entry.path(), depth - 1);
        }
    }
}

/// Waits for a child, not for long, and ends everybody else of this user.
fn wait(child: i32) -> Result<()> {
    let patience = libc::timespec { tv_sec: PATIENCE.as_secs() as i64, tv_nsec: 0 };
    let signals = SigSet::from(Signal::SIGCHLD);
    // SAFETY: asks after a child; how it ended is told nowhere. Real-time signals end children, too, which
    // not every wrapper knows.
    let asks = || unsafe { libc::waitpid(child, std::ptr::null_mut(), libc::WNOHANG) };
    while Errno::result(asks()).context("wait")? == 0 {
        // SAFETY: waits for a signal of the set; nothing is told about it.
        let got = unsafe { libc::sigtimedwait(signals.as_ref(), std::ptr::null_mut(), &patience) };
        if got < 0 && Errno::last() == Errno::EAGAIN {
            break;
        }
    }
    loop {
        // All processes that may be signalled, but this one.
        let _ = kill(Pid::from_raw(-1), Signal::SIGKILL);
        // SAFETY: as above.
        let waited = unsafe { libc::waitpid(-1, std::ptr::null_mut(), libc::__WALL) };
        match Errno::result(waited) {
            Ok(_) | Err(Errno::EINTR) => {}
            Err(Errno::ECHILD) => return Ok(()),
            Err(error) => return Err(error).context("wait"),
        }
    }
}
