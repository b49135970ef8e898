//! The record of a guest's death: a page that the guest's process shares with its supervisor, and
//! that the launch code's handler fills when a signal of the guest's own making ends it.
//!
//! The page lies in guest memory. A hostile guest can write anything there, so what is read from
//! it is numbers for people, used for nothing else.

use std::ops::Range;
use std::ptr::NonNull;

use nix::errno::Errno;
use nix::sys::mman::{self, MapFlags, ProtFlags};
use solo5_sys::bytes::{u32_at, u64_at};
use solo5_sys::layout::PAGE_BYTES;

use crate::memory::{self, READ_WRITE, RECORD, SIGNAL_STACK};

const PAGE: Range<u64> = RECORD..RECORD + PAGE_BYTES;

/// The signals that a guest can cause by its own code.
pub(crate) const SIGNALS: [i32; 6] =
    [libc::SIGSEGV, libc::SIGBUS, libc::SIGILL, libc::SIGFPE, libc::SIGTRAP, libc::SIGSYS];

/// Offset of the signal's number, zero if nothing was noted.
pub(crate) const SIGNAL: usize = 0;
/// Offset of the first bytes of `siginfo_t`.
pub(crate) const INFORMATION: usize = 16;
/// Their size in words of 8 bytes.
pub(crate) const INFORMATION_WORDS: usize = 6;
/// Offset of the general registers, as in `mcontext_t`.
pub(crate) const REGISTERS: usize = INFORMATION + 8 * INFORMATION_WORDS;
/// Their number.
pub(crate) const REGISTERS_WORDS: usize = 23;

const BYTES: usize = REGISTERS + 8 * REGISTERS_WORDS;

// Offsets in `siginfo_t` (`asm-generic/siginfo.h`).
const CODE: usize = 8;
const SYSCALL_ADDRESS: usize = 16;
const SYSCALL_NUMBER: usize = 24;
const SYSCALL_ARCHITECTURE: usize = 28;

/// Names and places of the registers that are shown, in this order.
pub(crate) const SHOWN: [(&str, i32); 18] = [
    ("rax", libc::REG_RAX),
    ("rbx", libc::REG_RBX),
    ("rcx", libc::REG_RCX),
    ("rdx", libc::REG_RDX),
    ("rsi", libc::REG_RSI),
    ("rdi", libc::REG_RDI),
    ("rbp", libc::REG_RBP),
    ("rsp", libc::REG_RSP),
    ("r8", libc::REG_R8),
    ("r9", libc::REG_R9),
    ("r10", libc::REG_R10),
    ("r11", libc::REG_R11),
    ("r12", libc::REG_R12),
    ("r13", libc::REG_R13),
    ("r14", libc::REG_R14),
    ("r15", libc::REG_R15),
    ("rip", libc::REG_RIP),
    ("flags", libc::REG_EFL),
];

/// The page, and the stack of the code that fills it, mapped for a guest that is about to be forked.
#[derive(Debug)]
pub(crate) struct Prepared(());

/// The page as the supervisor keeps it: elsewhere and for reading, so that a guest knows no address of
/// the supervisor's with contents of its choice.
#[derive(Debug)]
pub(crate) struct Kept(NonNull<[u8; BYTES]>);

impl Prepared {
    /// Maps both.
    ///
    /// # Errors
    /// If something is in the way.
    pub(crate) fn map() -> Result<Self, memory::Error> {
        let failed = memory::Error::Map;
        memory::map_range(SIGNAL_STACK, READ_WRITE, MapFlags::MAP_PRIVATE).map_err(failed)?;
        memory::map_range(PAGE, READ_WRITE, MapFlags::MAP_SHARED).map_err(failed)?;
        Ok(Self(()))
    }

    /// What the supervisor does with it once the guest is forked.
    ///
    /// # Errors
    /// If the kernel refuses to map the page elsewhere.
    pub(crate) fn keep(self) -> Result<Kept, memory::Error> {
        let old = std::ptr::with_exposed_provenance_mut::<libc::c_void>(PAGE.start as usize);
        let bytes = (PAGE.end - PAGE.start) as usize;
        // SAFETY: a size of zero makes a second mapping of the shared page and leaves the first.
        let moved = unsafe { libc::mremap(old, 0, bytes, libc::MREMAP_MAYMOVE) };
        let page = NonNull::new(moved).filter(|_| moved != libc::MAP_FAILED);
        let page = page.ok_or_else(|| memory::Error::Map(Errno::last()))?;
        // SAFETY: the mapping was just made, and nothing writes to it here.
        unsafe { mman::mprotect(page, bytes, ProtFlags::PROT_READ) }
            .map_err(memory::Error::Protect)?;
        for range in [PAGE, SIGNAL_STACK] {
            let start = std::ptr::with_exposed_provenance_mut(range.start as usize);
            // SAFETY: mapped by `map`, and used by the guest's process only.
            unsafe { libc::munmap(start, (range.end - range.start) as usize) };
        }
        Ok(Kept(page.cast()))
    }
}

impl Kept {
    /// Reads the record of a guest that has ended; `None` if it died without one.
    pub(crate) fn read(&self) -> Option<Record> {
        // SAFETY: the page stays mapped, and the process that wrote to it has ended.
        let record = Record(unsafe { self.0.as_ptr().read_volatile() });
        (record.signal() != 0).then_some(record)
    }
}

/// A copy of the page's contents.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Record([u8; BYTES]);

impl Record {
    /// The signal's number.
    pub(crate) fn signal(&self) -> i32 {
        self.word32(SIGNAL) as i32
    }

    /// `si_code`.
    pub(crate) fn code(&self) -> i32 {
        self.information(CODE) as i32
    }

    /// Whether the process caused the signal itself, rather than somebody who sent it.
    pub(crate) fn is_of_process(&self) -> bool {
        self.code() > 0
    }

    /// A register, by its `REG_` number.
    pub(crate) fn register(&self, number: i32) -> u64 {
        self.word64(REGISTERS + 8 * number as usize)
    }

    /// Of a forbidden call: the address behind it, its number, and its entry point's architecture.
    pub(crate) fn call(&self) -> (u64, u32, u32) {
        (
            self.word64(INFORMATION + SYSCALL_ADDRESS),
            self.information(SYSCALL_NUMBER),
            self.information(SYSCALL_ARCHITECTURE),
        )
    }

    fn information(&self, offset: usize) -> u32 {
        self.word32(INFORMATION + offset)
    }

    // The offsets are constants within the page.

    fn word32(&self, offset: usize) -> u32 {
        u32_at(&self.0, offset).unwrap_or_default()
    }

    fn word64(&self, offset: usize) -> u64 {
        u64_at(&self.0, offset).unwrap_or_default()
    }
}
