//! Who makes the calls.

use std::ffi::c_void;
use std::fs;
use std::num::NonZeroUsize;
use std::ptr::NonNull;
use std::sync::atomic::{AtomicU64, Ordering};

use anyhow::{Context, Result};
use nix::libc;
use nix::sys::mman::{MapFlags, ProtFlags, mmap_anonymous};
use syscall_fuzzer::{Call, Generator, MEMORY_BYTES, Manner, Surroundings};

use super::raw;

/// Where structures lie, with nothing behind them that a length too great could reach. The same in all systems.
const MEMORY: usize = 0x2000_0000_0000;
const BEYOND_BYTES: usize = 1 << 20;
/// Where anything may be mapped.
const ARENA: usize = 0x3000_0000_0000;
const ARENA_BYTES: usize = 4 << 20;
/// How long a call may wait, in microseconds.
const PATIENCE_US: i64 = 20_000;
/// Calls of a child's child, which has none that go on.
const MORE_CALLS: u64 = 12;

/// The memory of the calls.
#[derive(Debug)]
pub(super) struct Place {
    memory: NonNull<c_void>,
}

impl Place {
    /// Maps it.
    ///
    /// # Errors
    /// If something is there already.
    pub(super) fn map() -> Result<Self> {
        let rights = ProtFlags::PROT_READ | ProtFlags::PROT_WRITE;
        map(MEMORY + MEMORY_BYTES, BEYOND_BYTES, ProtFlags::PROT_NONE)?;
        map(ARENA, ARENA_BYTES, rights)?;
        Ok(Self { memory: map(MEMORY, MEMORY_BYTES, rights)? })
    }
}

fn map(address: usize, bytes: usize, rights: ProtFlags) -> Result<NonNull<c_void>> {
    let flags = MapFlags::MAP_PRIVATE | MapFlags::MAP_FIXED_NOREPLACE | MapFlags::MAP_NORESERVE;
    let length = NonZeroUsize::new(bytes).context("no length")?;
    // SAFETY: nothing that is there is replaced.
    unsafe { mmap_anonymous(NonZeroUsize::new(address), length, rights, flags) }
        .with_context(|| format!("mmap at {address:#x}"))
}

/// What makes calls, with its memory.
struct Caller<'a> {
    place: &'a Place,
    counter: &'a AtomicU64,
    generator: Generator,
    is_child: bool,
}

/// Makes so many calls of this seed.
pub(super) fn run(place: &Place, counter: &AtomicU64, seed: u64, calls: u64) {
    furnish();
    let around = Surroundings {
        process: std::process::id().into(),
        guard: std::os::unix::process::parent_id().into(),
        user: nix::unistd::geteuid().as_raw().into(),
        arena: ARENA as u64,
        arena_bytes: ARENA_BYTES as u64,
        handler: raw::handler(),
        restorer: raw::restorer(),
    };
    isolate();
    let generator = Generator::new(seed, around);
    let mut caller = Caller { place, counter, generator, is_child: false };
    let mut left = calls;
    while left > 0 {
        left -= 1;
        if caller.step() {
            left = left.min(MORE_CALLS);
        }
    }
}

/// What calls find in the folder.
fn furnish() {
    // Where one fails, calls find less.
    let _ = fs::create_dir("dir0");
    let _ = fs::create_dir("dir1");
    let _ = fs::write("file0", [b'x'; 5000]);
    let _ = fs::write("dir0/file0", "text\n");
    let _ = std::os::unix::fs::symlink("file0", "link0");
}

/// A session of its own, without the guard's descriptors, with an alarm that ends waiting.
fn isolate() {
    let every = libc::timeval { tv_sec: 0, tv_usec: PATIENCE_US };
    let timer = libc::itimerval { it_interval: every, it_value: every };
    // struct kernel_sigaction: handler, SA_RESTORER, the way back, no mask.
    let action = [raw::handler(), 0x0400_0000, raw::restorer(), 0];
    let words = (&raw const action).expose_provenance() as u64;
    // SAFETY: a session of its own.
    unsafe { libc::setsid() };
    // SAFETY: the name is a string.
    let null = unsafe { libc::open(c"/dev/null".as_ptr(), libc::O_RDWR) };
    for standard in 0..3 {
        // SAFETY: nothing of Rust's is used after this.
        unsafe { libc::dup2(null, standard) };
    }
    // SAFETY: closes what nobody here uses.
    unsafe { libc::syscall(libc::SYS_close_range, 3, u32::MAX, 0) };
    let none = [0u64];
    let signals = (&raw const none).expose_provenance() as u64;
    // The guard has some blocked. SIG_SETMASK.
    // SAFETY: the set is there.
    unsafe { raw::call(libc::SYS_rt_sigprocmask as u64, [2, signals, 0, 8, 0, 0]) };
    // SAFETY: the structure is the kernel's, and the handler returns to where it came from.
    unsafe { raw::call(libc::SYS_rt_sigaction as u64, [libc::SIGALRM as u64, words, 0, 8, 0, 0]) };
    // SAFETY: the structure is there.
    unsafe { libc::setitimer(libc::ITIMER_REAL, &timer, std::ptr::null_mut()) };
}

impl Caller<'_> {
    /// Makes a call. True in a process that came of it.
    fn step(&mut self) -> bool {
        // SAFETY: the mapping is as long; what calls map over its beginning can be read and written as well, or
        // ends this process.
        let bytes = unsafe {
            std::slice::from_raw_parts_mut(self.place.memory.as_ptr().cast::<u8>(), MEMORY_BYTES)
        };
        let call = self.generator.next(bytes, MEMORY as u64);
        self.counter.fetch_add(1, Ordering::Relaxed);
        let result = match call.manner {
            Manner::Plain => make(&call),
            Manner::Ends => apart(&call),
            Manner::Forks if self.is_child || shares(&call, bytes) => {
                // SAFETY: the second task touches nothing.
                unsafe { raw::call_sharing(call.number, call.arguments) }
            }
            Manner::Forks => make(&call),
        };
        if call.manner == Manner::Forks && result == 0 {
            self.is_child = true;
            // SAFETY: asks for a number.
            let own = unsafe { raw::call(libc::SYS_getpid as u64, [0; 6]) };
            self.generator.become_child(own as u64);
            return true;
        }
        self.generator.done(bytes, MEMORY as u64, result);
        false
    }
}

fn make(call: &Call) -> i64 {
    // SAFETY: the generator's calls touch only the memory above and the arena.
    unsafe { raw::call(call.number, call.arguments) }
}

/// Makes a call in a process of its own and waits for its end.
fn apart(call: &Call) -> i64 {
    let bare = |number: i64, arguments: [u64; 6]| {
        // SAFETY: a process, its end, or a wait without a status: no memory is touched.
        unsafe { raw::call(number as u64, arguments) }
    };
    let child = bare(libc::SYS_fork, [0; 6]);
    if child == 0 {
        make(call);
        bare(libc::SYS_exit_group, [0; 6]);
    }
    if child > 0 {
        let waited = bare(libc::SYS_wait4, [child as u64, 0, 0, 0, 0, 0]);
        if waited < 0 {
            // The alarm came first.
            bare(libc::SYS_kill, [child as u64, 9, 0, 0, 0, 0]);
            bare(libc::SYS_wait4, [child as u64, 0, 0, 0, 0, 0]);
        }
    }
    -i64::from(libc::EINTR)
}

/// Whether a call makes a task that shares this one's memory, or cannot be known not to.
fn shares(call: &Call, bytes: &[u8]) -> bool {
    const SHARED: u64 = libc::CLONE_VM as u64;
    let flags = match call.number as i64 {
        libc::SYS_fork => 0,
        libc::SYS_clone => call.arguments[0],
        libc::SYS_clone3 => {
            let place = call.arguments[0].wrapping_sub(MEMORY as u64) as usize;
            let word = place.checked_add(8).and_then(|end| bytes.get(place..end));
            let word = word.and_then(|word| word.try_into().ok());
            word.map_or(SHARED, u64::from_le_bytes)
        }
        _ => SHARED,
    };
    flags & SHARED != 0
}
