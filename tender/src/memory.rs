//! Guest memory: maps it at its own addresses, loads an image into it, protects its pages.
//!
//! | addresses | contents | protection |
//! |---|---|---|
//! | below 0x10000 | never mapped: null pointers fault | |
//! | 0x10000 | extension page | r |
//! | 0x11000 | boot information | rw |
//! | 0x12000 | manifest, two pages | rw |
//! | 0x14000 | command line, two pages | rw |
//! | 0x16000 | the launch code, see [`crate::launch`] | rx |
//! | 0x17000 | what the launch code reads, and the filter, up to 0x20000 | r |
//! | 0x100000 | the image's segments | as the image says |
//! | `kernel_end` | heap and stack, to the end of memory | rw |
//!
//! Pages that belong to nothing, such as those between two segments, cannot be accessed. Once
//! protected, memory takes no more writes from here. Nothing is ever unmapped: the process ends as
//! the guest, or soon.

use std::fs::File;
use std::io;
use std::num::NonZeroUsize;
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::ptr::NonNull;

use nix::errno::Errno;
use nix::libc::c_void;
use nix::sys::mman::{self, MapFlags, ProtFlags};
use solo5_sys::layout::{
    COMMAND_LINE_MAX_BYTES, EXTENSION_PAGE, LOAD_BASE, MEMORY_BASE, PAGE_BYTES,
};

use crate::elf::{Access, Image, Segment};

/// Where the manifest copy lies.
pub const MANIFEST: u64 = 0x1_2000;
/// Where the command line lies.
pub const COMMAND_LINE: u64 = 0x1_4000;
/// Where the launch code lies.
pub const LAUNCH_CODE: u64 = 0x1_6000;
/// Where the launch code's parameters lie.
pub const LAUNCH_PARAMETERS: u64 = 0x1_7000;
/// Where the filter lies.
pub const FILTER: u64 = 0x1_8000;
/// End of the low region.
pub const LOW_END: u64 = 0x2_0000;

const _: () = assert!(MANIFEST + solo5_sys::manifest::MAX_BYTES as u64 <= COMMAND_LINE);
const _: () = assert!(COMMAND_LINE + COMMAND_LINE_MAX_BYTES as u64 + 1 == LAUNCH_CODE);
const _: () = assert!(LOW_END <= LOAD_BASE);

/// End of what a process can map with four-level page tables; with five levels the kernel maps
/// nothing above it unasked.
pub const TASK_END: u64 = 0x7fff_ffff_f000;

/// Why guest memory could not be set up.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The tender itself, or a library, lies in the way.
    #[error(
        "--mem={memory_mib} reaches into the tender's own mappings: \
         --mem={largest_mib} is the largest possible here"
    )]
    Collision {
        /// What was asked for, in MiB.
        memory_mib: u64,
        /// What would fit, in MiB.
        largest_mib: u64,
    },
    /// `vm.mmap_min_addr` is too high.
    #[error(
        "the kernel forbids mapping guest memory at {MEMORY_BASE:#x}: \
         lower it by `sysctl vm.mmap_min_addr={MEMORY_BASE}`"
    )]
    LowAddress,
    /// A limit on memory.
    #[error(
        "--mem={memory_mib} is more than a limit of the host allows (see `ulimit -a` and vm.overcommit_memory)"
    )]
    Limit {
        /// What was asked for, in MiB.
        memory_mib: u64,
    },
    /// Another failure of `mmap`.
    #[error("cannot map guest memory: {0}")]
    Map(Errno),
    /// A failure of `mprotect`.
    #[error("cannot protect guest memory: {0}")]
    Protect(Errno),
    /// The file changed or cannot be read.
    #[error("cannot load the unikernel: {0}")]
    Read(#[from] io::Error),
}

/// Mapped guest memory, to be filled.
#[derive(Debug)]
pub struct Memory {
    low: NonNull<c_void>,
    main: NonNull<c_void>,
    bytes: u64,
}

/// Guest memory as the guest finds it.
#[derive(Debug)]
pub struct Protected(());

impl Memory {
    /// Maps memory that ends at `bytes`: the low region writable, the rest inaccessible.
    ///
    /// # Errors
    /// If something is in the way or a limit forbids it.
    ///
    /// # Panics
    /// If `bytes` is no multiple of the page size or not above the base; the options and the
    /// image have been checked for that.
    pub fn map(bytes: u64) -> Result<Self, Error> {
        assert!(bytes > LOAD_BASE && bytes.is_multiple_of(PAGE_BYTES));
        let writable = ProtFlags::PROT_READ | ProtFlags::PROT_WRITE;
        let low = map_range(MEMORY_BASE..LOW_END, writable).map_err(|e| explain(e, bytes))?;
        let main =
            map_range(LOAD_BASE..bytes, ProtFlags::PROT_NONE).map_err(|e| explain(e, bytes))?;
        Ok(Self { low, main, bytes })
    }

    /// The first address beyond memory.
    pub fn end(&self) -> u64 {
        self.bytes
    }

    /// Copies `contents` to `address` in the low region.
    ///
    /// # Panics
    /// If they do not lie there.
    pub fn write_low(&mut self, address: u64, contents: &[u8]) {
        let end = address + contents.len() as u64;
        assert!(MEMORY_BASE <= address && end <= LOW_END);
        let offset = (address - MEMORY_BASE) as usize;
        // SAFETY: the offset was checked to lie in the mapping.
        let target = unsafe { self.low.byte_add(offset) }.cast::<u8>().as_ptr();
        // SAFETY: `target` and as many bytes as `contents` has lie in the low region, which is
        // writable until `protect`; nothing else points there.
        unsafe { target.copy_from_nonoverlapping(contents.as_ptr(), contents.len()) };
    }

    /// Loads the image's segments from its file and gives all pages their protection.
    ///
    /// # Errors
    /// If the file ends before its image does, or a protection cannot be set.
    pub fn load(&mut self, image: &Image, file: &File) -> Result<(), Error> {
        for segment in &image.segments {
            self.read_segment(segment, file)?;
            self.set_protection(segment.pages(), flags(segment.access))?;
        }
        Ok(())
    }

    /// Opens the heap, from `kernel_end` to the end, and seals the low region.
    ///
    /// # Errors
    /// If a protection cannot be set.
    pub fn protect(mut self, kernel_end: u64, execute_heap: bool) -> Result<Protected, Error> {
        let heap = Access { read: true, write: true, execute: execute_heap };
        self.set_protection(kernel_end..self.bytes, flags(heap))?;
        let read = ProtFlags::PROT_READ;
        self.set_protection(EXTENSION_PAGE..EXTENSION_PAGE + PAGE_BYTES, read)?;
        let code = LAUNCH_CODE..LAUNCH_CODE + PAGE_BYTES;
        self.set_protection(code, read | ProtFlags::PROT_EXEC)?;
        self.set_protection(LAUNCH_PARAMETERS..LOW_END, read)?;
        Ok(Protected(()))
    }

    fn read_segment(&mut self, segment: &Segment, file: &File) -> Result<(), Error> {
        if segment.file_bytes == 0 {
            return Ok(());
        }
        self.set_protection(segment.pages(), ProtFlags::PROT_READ | ProtFlags::PROT_WRITE)?;
        let start = self.pointer(segment.address..segment.address + segment.file_bytes);
        // SAFETY: the range lies in the mapping, is readable and writable since the line above,
        // zero-filled, and referred to by nothing else.
        let target = unsafe {
            std::slice::from_raw_parts_mut(start.cast::<u8>().as_ptr(), segment.file_bytes as usize)
        };
        Ok(file.read_exact_at(target, segment.file_offset)?)
    }

    fn set_protection(&mut self, range: Range<u64>, flags: ProtFlags) -> Result<(), Error> {
        let bytes = (range.end - range.start) as usize;
        let start = self.pointer(range);
        // SAFETY: the range lies in guest memory, which only this value refers to.
        unsafe { mman::mprotect(start, bytes, flags) }.map_err(|error| match error {
            Errno::ENOMEM => Error::Limit { memory_mib: self.bytes >> 20 },
            other => Error::Protect(other),
        })
    }

    /// The pointer to a range of the low or the main region.
    fn pointer(&self, range: Range<u64>) -> NonNull<c_void> {
        let (region, base) = if range.start < LOW_END {
            assert!(MEMORY_BASE <= range.start && range.end <= LOW_END);
            (self.low, MEMORY_BASE)
        } else {
            assert!(LOAD_BASE <= range.start && range.end <= self.bytes);
            (self.main, LOAD_BASE)
        };
        // SAFETY: the range was checked to lie in the region.
        unsafe { region.byte_add((range.start - base) as usize) }
    }
}

fn flags(access: Access) -> ProtFlags {
    let mut flags = ProtFlags::PROT_NONE;
    flags.set(ProtFlags::PROT_READ, access.read);
    flags.set(ProtFlags::PROT_WRITE, access.write);
    flags.set(ProtFlags::PROT_EXEC, access.execute);
    flags
}

fn map_range(range: Range<u64>, protection: ProtFlags) -> Result<NonNull<c_void>, Errno> {
    let start = NonZeroUsize::new(range.start as usize).ok_or(Errno::EINVAL)?;
    let bytes = NonZeroUsize::new((range.end - range.start) as usize).ok_or(Errno::EINVAL)?;
    let flags = MapFlags::MAP_PRIVATE | MapFlags::MAP_NORESERVE | MapFlags::MAP_FIXED_NOREPLACE;
    // SAFETY: without replacing anything, a new mapping disturbs nobody.
    let mapped = unsafe { mman::mmap_anonymous(Some(start), bytes, protection, flags) }?;
    // Kernels before 4.17 take the address for a mere hint.
    if mapped.as_ptr().addr() == start.get() { Ok(mapped) } else { Err(Errno::EEXIST) }
}

fn explain(error: Errno, bytes: u64) -> Error {
    let memory_mib = bytes >> 20;
    let collision = Error::Collision { memory_mib, largest_mib: lowest_own_address() >> 20 };
    match error {
        Errno::EEXIST => collision,
        Errno::ENOMEM | Errno::EINVAL if bytes > TASK_END => collision,
        Errno::ENOMEM | Errno::EAGAIN => Error::Limit { memory_mib },
        Errno::EPERM => Error::LowAddress,
        other => Error::Map(other),
    }
}

/// The lowest address above the guest's base at which the tender itself has something mapped.
fn lowest_own_address() -> u64 {
    let maps = std::fs::read_to_string("/proc/self/maps").unwrap_or_default();
    maps.lines()
        .filter_map(|line| u64::from_str_radix(line.split('-').next()?, 16).ok())
        .find(|&start| start > LOAD_BASE)
        .unwrap_or(TASK_END)
}
