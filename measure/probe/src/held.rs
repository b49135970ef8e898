//! A process that waits, without a system call, for the word to become another program: so that
//! whoever traces it sees its start and nothing of the waiting.

use std::ffi::CString;
use std::fs::{self, File, OpenOptions};
use std::num::NonZeroUsize;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::FileExt as _;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};

use anyhow::{Context, Result, ensure};
use nix::sched::{CloneFlags, setns};
use nix::sys::mman::{MapFlags, ProtFlags, mmap};
use nix::unistd::execv;

/// The first word of a command line for one that waits.
pub(crate) const WORD: &str = "held";
const FLAG: &str = "/run/go";
/// Instead of a network namespace: the one that it is in.
const OWN: &str = "-";
const WAITS: u32 = 1;
const GO: u32 = 2;

/// One that waits.
#[derive(Debug)]
pub(crate) struct Held {
    child: Child,
    flag: File,
}

impl Held {
    /// Starts one that will run this command, in a network namespace if one is named, and with this
    /// standard output.
    ///
    /// # Errors
    /// If it cannot be started.
    pub(crate) fn start(words: &[String], namespace: Option<&str>, stdout: Stdio) -> Result<Self> {
        let _ = fs::remove_file(FLAG);
        let mut options = OpenOptions::new();
        let flag = options.read(true).write(true).create(true).truncate(true).open(FLAG);
        let flag = flag.context(FLAG)?;
        flag.write_all_at(&[0; 4], 0).context(FLAG)?;
        let mut command = Command::new("/proc/self/exe");
        command
            .arg(WORD)
            .arg(namespace.unwrap_or(OWN))
            .args(words)
            .stdin(Stdio::null())
            .stdout(stdout);
        let child = command.spawn().context("cannot start a process")?;
        let mut held = Self { child, flag };
        while held.state()? != WAITS {
            ensure!(held.child.try_wait()?.is_none(), "a process has ended before it was let go");
            std::thread::yield_now();
        }
        Ok(held)
    }

    /// Its number, now and as what it becomes.
    pub(crate) fn id(&self) -> i32 {
        self.child.id().cast_signed()
    }

    /// Lets it go.
    ///
    /// # Errors
    /// If it cannot be told.
    pub(crate) fn go(self) -> Result<Child> {
        self.flag.write_all_at(&GO.to_ne_bytes(), 0).context(FLAG)?;
        Ok(self.child)
    }

    fn state(&self) -> Result<u32> {
        let mut bytes = [0; 4];
        self.flag.read_exact_at(&mut bytes, 0).context(FLAG)?;
        Ok(u32::from_ne_bytes(bytes))
    }
}

/// Waits and becomes what the words say.
///
/// # Errors
/// If it cannot.
pub(crate) fn main(mut words: impl Iterator<Item = std::ffi::OsString>) -> Result<()> {
    let namespace = words.next().context("which network namespace?")?;
    if namespace != OWN {
        let file = File::open(&namespace).with_context(|| namespace.display().to_string())?;
        setns(file, CloneFlags::CLONE_NEWNET).context("cannot enter a network namespace")?;
    }
    let words: Vec<CString> =
        words.map(|word| CString::new(word.as_bytes())).collect::<Result<_, _>>()?;
    let program = words.first().context("which program?")?;
    let file = OpenOptions::new().read(true).write(true).open(FLAG).context(FLAG)?;
    let length = NonZeroUsize::new(4).context("no length")?;
    let rights = ProtFlags::PROT_READ | ProtFlags::PROT_WRITE;
    // SAFETY: the kernel chooses the place.
    let map =
        unsafe { mmap(None, length, rights, MapFlags::MAP_SHARED, &file, 0) }.context(FLAG)?;
    drop(file);
    // SAFETY: the mapping is as large, aligned to a page, and stays until the program is another.
    let flag = unsafe { map.cast::<AtomicU32>().as_ref() };
    flag.store(WAITS, Ordering::Release);
    while flag.load(Ordering::Acquire) != GO {
        std::hint::spin_loop();
    }
    match execv(program, &words) {
        Err(error) => Err(error).with_context(|| format!("cannot start {program:?}")),
        Ok(never) => match never {},
    }
}
