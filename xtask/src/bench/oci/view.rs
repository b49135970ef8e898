//! A mount namespace of its own for a runtime that does not understand this system: some of what
//! the system shows is not there. The runtime is started from a thread in it.

use std::fs::File;
use std::os::fd::AsRawFd;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, anyhow};
use nix::mount::{MntFlags, MsFlags, mount, umount2};
use nix::sched::{CloneFlags, setns, unshare};

/// What a view hides.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::bench) enum Hidden {
    /// A mount: what lies below it is seen again.
    Mount(&'static str),
    /// What is in a folder.
    Contents(&'static str),
}

/// A mount namespace. It is gone with this program and what runs in it.
#[derive(Debug)]
pub(in crate::bench) struct View {
    file: File,
    /// What it hides.
    pub(in crate::bench) hidden: Hidden,
}

impl View {
    /// Makes one.
    ///
    /// # Errors
    /// If this user may not.
    pub(in crate::bench) fn without(hidden: Hidden) -> Result<Self> {
        let make = move || {
            unshare(CloneFlags::CLONE_NEWNS).context("cannot make a mount namespace")?;
            // Else the system would lose what is hidden here.
            let flags = MsFlags::MS_REC | MsFlags::MS_PRIVATE;
            let nothing = None::<&Path>;
            mount(nothing, "/", nothing, flags, nothing).context("cannot separate mounts")?;
            match hidden {
                Hidden::Mount(folder) => umount2(folder, MntFlags::MNT_DETACH).context(folder)?,
                Hidden::Contents(folder) => {
                    let (kind, flags) = (Some("tmpfs"), MsFlags::MS_RDONLY);
                    mount(kind, folder, kind, flags, nothing).context(folder)?;
                }
            }
            File::open("/proc/thread-self/ns/mnt").context("/proc/thread-self/ns/mnt")
        };
        let made = std::thread::spawn(make).join();
        let file = made.map_err(|_| anyhow!("a thread has panicked"))??;
        Ok(Self { file, hidden })
    }

    /// A file that stands for it, for children of this process.
    pub(in crate::bench) fn path(&self) -> PathBuf {
        format!("/proc/{}/fd/{}", std::process::id(), self.file.as_raw_fd()).into()
    }

    /// Does something in it, such as starting a program. Paths have to be absolute.
    ///
    /// # Errors
    /// If it cannot be entered.
    pub(in crate::bench) fn within<R: Send>(&self, act: impl FnOnce() -> R + Send) -> Result<R> {
        let enter_and_act = || {
            // A thread that shares its folder with others may not change it for all of them.
            unshare(CloneFlags::CLONE_FS).context("cannot separate a thread")?;
            setns(&self.file, CloneFlags::CLONE_NEWNS).context("cannot enter a view")?;
            Ok(act())
        };
        let done = std::thread::scope(|scope| scope.spawn(enter_and_act).join());
        done.map_err(|_| anyhow!("a thread has panicked"))?
    }
}
