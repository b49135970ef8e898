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
//! | 0x20000 | under a supervisor: how the guest died, shared with it | rw |
//! | 0x22000 | under a supervisor: the stack of the code that notes this, up to 0x30000 | rw |
//! | 0x30000 | the guest's variables, if there are any, up to 0x70000 | r |
//! | 0x100000 | the image's segments | as the image says |
//! | `kernel_end` | heap and stack, to the end of memory | rw |
//!
//! A guest that asks for it ([`Features::PLACEMENT`]) gets heap and stack at random addresses
//! instead, each with nothing around it; its image cannot be moved, as the ABI has fixed addresses.
//! Memory that it shares with gateways ([`Memory::share`]) is always at a random address, and rw.
//! Pages that belong to nothing, such as those between two segments, cannot be accessed. Once
//! protected, memory takes no more writes from here. Nothing is ever unmapped: the process ends as
//! the guest, or soon.
//!
//! [`Features::PLACEMENT`]: solo5_sys::extension::Features::PLACEMENT

use std::fs::File;
use std::io;
use std::num::NonZeroUsize;
use std::ops::Range;
use std::os::fd::OwnedFd;
use std::os::unix::fs::FileExt;
use std::ptr::NonNull;

use libc::c_void;
use nix::errno::Errno;
use nix::sys::mman::{self, MapFlags, ProtFlags};
use solo5_sys::layout::{
    COMMAND_LINE_MAX_BYTES, ENVIRONMENT, ENVIRONMENT_MAX_BYTES, EXTENSION_PAGE, LOAD_BASE,
    MEMORY_BASE, PAGE_BYTES, STACK_BYTES,
};

use crate::elf::{Access, Image, Segment};
use crate::entropy;

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
/// Where the record of a guest's death lies ([`crate::record`]): one page.
pub const RECORD: u64 = LOW_END;
/// Where the stack of the code lies that writes it.
pub const SIGNAL_STACK: Range<u64> = 0x2_2000..0x3_0000;

const _: () = assert!(MANIFEST + solo5_sys::manifest::MAX_BYTES as u64 <= COMMAND_LINE);
const _: () = assert!(COMMAND_LINE + COMMAND_LINE_MAX_BYTES as u64 + 1 == LAUNCH_CODE);
const _: () = assert!(LOW_END <= LOAD_BASE && SIGNAL_STACK.end <= ENVIRONMENT);
const _: () = assert!(ENVIRONMENT + ENVIRONMENT_MAX_BYTES as u64 <= LOAD_BASE);

/// End of what a process can map with four-level page tables; with five levels the kernel maps
/// nothing above it unasked.
pub const TASK_END: u64 = 0x7fff_ffff_f000;

/// Why guest memory could not be set up.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The tender itself, or a library, lies in the way.
    #[error("--mem={memory_mib} reaches into the tender's own mappings{}", say_largest(*largest_mib))]
    Collision {
        /// What was asked for, in MiB.
        memory_mib: u64,
        /// What would fit, in MiB; unknown where there is no `/proc`.
        largest_mib: Option<u64>,
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
    /// Random addresses that are all taken.
    #[error("--mem={memory_mib} is too much to find a free place for heap and stack: use less")]
    NoPlace {
        /// What was asked for, in MiB.
        memory_mib: u64,
    },
    /// No random numbers for them.
    #[error(transparent)]
    Entropy(#[from] entropy::Error),
    /// The file changed or cannot be read.
    #[error("cannot load the unikernel: {0}")]
    Read(#[from] io::Error),
}

fn say_largest(largest_mib: Option<u64>) -> String {
    largest_mib
        .map_or_else(String::new, |mib| format!(": --mem={mib} is the largest possible here"))
}

/// Where a guest's heap and stack are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Placement {
    /// The heap; with the stack at its end where that has no place of its own.
    pub heap: Range<u64>,
    /// The address behind the stack.
    pub stack_end: u64,
}

/// How much memory a guest has, and how it is to be laid out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Plan {
    /// All of it, in bytes.
    pub memory_bytes: u64,
    /// Whether heap and stack lie at random addresses.
    pub scattered: bool,
    /// Whether the heap can be executed.
    pub execute_heap: bool,
}

/// Mapped guest memory, to be filled.
#[derive(Debug)]
pub struct Memory {
    plan: Plan,
    placement: Placement,
    regions: Vec<Region>,
}

/// A mapping.
#[derive(Debug)]
struct Region {
    addresses: Range<u64>,
    start: NonNull<c_void>,
}

/// Guest memory as the guest finds it.
#[derive(Debug)]
pub struct Protected(());

impl Memory {
    /// Maps all of a guest's memory and loads the image's segments from its file. The low region
    /// is still empty and writable; the rest is as the guest is to find it.
    ///
    /// # Errors
    /// If something is in the way, a limit forbids it, or the file ends before its image does.
    pub fn load(image: &Image, file: &File, plan: Plan) -> Result<Self, Error> {
        let placement =
            Placement { heap: image.kernel_end..plan.memory_bytes, stack_end: plan.memory_bytes };
        let mut memory = Self { placement, plan, regions: Vec::new() };
        memory.map(MEMORY_BASE..LOW_END, READ_WRITE)?;
        for segment in &image.segments {
            memory.load_segment(segment, file)?;
        }
        let mut protection = READ_WRITE;
        protection.set(ProtFlags::PROT_EXEC, plan.execute_heap);
        if plan.scattered {
            let heap_bytes = plan.memory_bytes - image.kernel_end - STACK_BYTES;
            let heap = memory.map_somewhere(heap_bytes, protection)?;
            let stack_end = memory.map_somewhere(STACK_BYTES, protection)?.end;
            memory.placement = Placement { heap, stack_end };
        } else {
            memory.map(memory.placement.heap.clone(), protection)?;
        }
        Ok(memory)
    }

    /// Maps what the guest shares with others, each at a distance of `stride_bytes` from the one before.
    /// Tells where the first is.
    ///
    /// # Errors
    /// If there is no place.
    pub fn share(
        &mut self,
        files: &[OwnedFd],
        bytes: u64,
        stride_bytes: u64,
    ) -> Result<u64, Error> {
        let whole = stride_bytes * files.len() as u64;
        if whole == 0 {
            return Ok(0);
        }
        let place = self.map_somewhere(whole, ProtFlags::PROT_NONE)?;
        // What lies between the files is none of the guest's.
        self.regions.pop();
        for (file, start) in files.iter().zip(place.clone().step_by(stride_bytes as usize)) {
            let addresses = start..start + bytes;
            let start = map_file(file, addresses.clone()).map_err(Error::Map)?;
            self.regions.push(Region { addresses, start });
        }
        Ok(place.start)
    }

    /// Where heap and stack are.
    pub fn placement(&self) -> &Placement {
        &self.placement
    }

    /// What must not stay mapped: all that lies above the low region and in none of the guest's.
    pub(crate) fn gaps(&self) -> Vec<Range<u64>> {
        gaps(self.regions.iter().map(|region| region.addresses.clone()).collect())
    }

    /// Copies `contents` to `address` in the low region.
    ///
    /// # Panics
    /// If they do not lie there.
    pub fn write_low(&mut self, address: u64, contents: &[u8]) {
        let end = address + contents.len() as u64;
        assert!(MEMORY_BASE <= address && end <= LOW_END);
        let target = self.pointer(address..end).cast::<u8>().as_ptr();
        // SAFETY: `target` and as many bytes as `contents` has lie in the low region, which is
        // writable until `protect`; nothing else points there.
        unsafe { target.copy_from_nonoverlapping(contents.as_ptr(), contents.len()) };
    }

    /// Maps the guest's variables, for reading, if there are any.
    ///
    /// # Errors
    /// If something is in the way.
    ///
    /// # Panics
    /// If they are too long.
    pub fn load_environment(&mut self, strings: &[u8]) -> Result<(), Error> {
        if strings.is_empty() {
            return Ok(());
        }
        assert!(strings.len() <= ENVIRONMENT_MAX_BYTES);
        let end = ENVIRONMENT + (strings.len() as u64).next_multiple_of(PAGE_BYTES);
        self.map(ENVIRONMENT..end, READ_WRITE)?;
        let target = self.pointer(ENVIRONMENT..end).cast::<u8>().as_ptr();
        // SAFETY: the mapping is new, writable and not shorter than the strings.
        unsafe { target.copy_from_nonoverlapping(strings.as_ptr(), strings.len()) };
        self.set_protection(ENVIRONMENT..end, ProtFlags::PROT_READ)
    }

    /// Seals the low region.
    ///
    /// # Errors
    /// If a protection cannot be set.
    pub fn protect(mut self) -> Result<Protected, Error> {
        let read = ProtFlags::PROT_READ;
        self.set_protection(EXTENSION_PAGE..EXTENSION_PAGE + PAGE_BYTES, read)?;
        let code = LAUNCH_CODE..LAUNCH_CODE + PAGE_BYTES;
        self.set_protection(code, read | ProtFlags::PROT_EXEC)?;
        self.set_protection(LAUNCH_PARAMETERS..LOW_END, read)?;
        Ok(Protected(()))
    }

    fn load_segment(&mut self, segment: &Segment, file: &File) -> Result<(), Error> {
        // Pages that are read into are made at once; a fault for each takes longer.
        let is_filled = segment.memory_bytes - segment.file_bytes < PAGE_BYTES;
        let populate = if is_filled { MapFlags::MAP_POPULATE } else { MapFlags::empty() };
        self.map_as(segment.pages(), READ_WRITE, populate)?;
        if segment.file_bytes > 0 {
            let start = self.pointer(segment.address..segment.address + segment.file_bytes);
            let bytes = segment.file_bytes as usize;
            // SAFETY: the range lies in the mapping, is readable and writable since the line above,
            // zero-filled, and referred to by nothing else.
            let target =
                unsafe { std::slice::from_raw_parts_mut(start.cast::<u8>().as_ptr(), bytes) };
            file.read_exact_at(target, segment.file_offset)?;
        }
        match flags(segment.access) {
            READ_WRITE => Ok(()),
            protection => self.set_protection(segment.pages(), protection),
        }
    }

    fn map(&mut self, addresses: Range<u64>, protection: ProtFlags) -> Result<(), Error> {
        self.map_as(addresses, protection, MapFlags::empty())
    }

    fn map_as(
        &mut self,
        addresses: Range<u64>,
        protection: ProtFlags,
        flags: MapFlags,
    ) -> Result<(), Error> {
        let start = map_range(addresses.clone(), protection, MapFlags::MAP_PRIVATE | flags)
            .map_err(|error| explain(error, &addresses, self.plan.memory_bytes))?;
        self.regions.push(Region { addresses, start });
        Ok(())
    }

    /// Maps `bytes` at a random address, with nothing of the guest's near it.
    fn map_somewhere(&mut self, bytes: u64, protection: ProtFlags) -> Result<Range<u64>, Error> {
        const ATTEMPTS: usize = 64;
        const LOWEST: u64 = 1 << 32;
        const DISTANCE: u64 = 1 << 30;
        let pages = (TASK_END - LOWEST).saturating_sub(bytes) / PAGE_BYTES;
        for _ in 0..ATTEMPTS {
            let random = u64::from_le_bytes(entropy::bytes()?);
            let Some(page) = random.checked_rem(pages) else { break };
            let start = LOWEST + page * PAGE_BYTES;
            let around = start - DISTANCE..start + bytes + DISTANCE;
            let is_near = |region: &Region| {
                region.addresses.start < around.end && around.start < region.addresses.end
            };
            if self.regions.iter().any(is_near) {
                continue;
            }
            match self.map(start..start + bytes, protection) {
                // The tender itself has something there.
                Err(Error::Collision { .. }) => {}
                mapped => return mapped.map(|()| start..start + bytes),
            }
        }
        Err(Error::NoPlace { memory_mib: self.plan.memory_bytes >> 20 })
    }

    fn set_protection(&mut self, range: Range<u64>, flags: ProtFlags) -> Result<(), Error> {
        let bytes = (range.end - range.start) as usize;
        let start = self.pointer(range);
        // SAFETY: the range lies in guest memory, which only this value refers to.
        unsafe { mman::mprotect(start, bytes, flags) }.map_err(Error::Protect)
    }

    /// The pointer to a range of one region.
    fn pointer(&self, range: Range<u64>) -> NonNull<c_void> {
        let holds = |region: &&Region| {
            region.addresses.start <= range.start && range.end <= region.addresses.end
        };
        let region = self.regions.iter().find(holds).expect("a range of guest memory");
        // SAFETY: the range was checked to lie in the region.
        unsafe { region.start.byte_add((range.start - region.addresses.start) as usize) }
    }
}

/// What of the addresses from [`LOAD_BASE`] to [`TASK_END`] lies in none of the ranges.
fn gaps(mut ranges: Vec<Range<u64>>) -> Vec<Range<u64>> {
    ranges.sort_by_key(|range| range.start);
    let ends = [LOAD_BASE].into_iter().chain(ranges.iter().map(|range| range.end));
    let starts = ranges.iter().map(|range| range.start).chain([TASK_END]);
    let gaps = ends.zip(starts).map(|(end, start)| end.max(LOAD_BASE)..start);
    gaps.filter(|gap| !gap.is_empty()).collect()
}

pub(crate) const READ_WRITE: ProtFlags = ProtFlags::PROT_READ.union(ProtFlags::PROT_WRITE);

fn flags(access: Access) -> ProtFlags {
    let mut flags = ProtFlags::PROT_NONE;
    flags.set(ProtFlags::PROT_READ, access.read);
    flags.set(ProtFlags::PROT_WRITE, access.write);
    flags.set(ProtFlags::PROT_EXEC, access.execute);
    flags
}

pub(crate) fn map_range(
    range: Range<u64>,
    protection: ProtFlags,
    kind: MapFlags,
) -> Result<NonNull<c_void>, Errno> {
    let start = NonZeroUsize::new(range.start as usize).ok_or(Errno::EINVAL)?;
    let bytes = NonZeroUsize::new((range.end - range.start) as usize).ok_or(Errno::EINVAL)?;
    let flags = kind | MapFlags::MAP_NORESERVE | MapFlags::MAP_FIXED_NOREPLACE;
    // SAFETY: without replacing anything, a new mapping disturbs nobody.
    let mapped = unsafe { mman::mmap_anonymous(Some(start), bytes, protection, flags) }?;
    // Kernels before 4.17 take the address for a mere hint.
    if mapped.as_ptr().addr() == start.get() { Ok(mapped) } else { Err(Errno::EEXIST) }
}

/// Maps a file, to be shared, over what was mapped for it.
fn map_file(file: &OwnedFd, range: Range<u64>) -> Result<NonNull<c_void>, Errno> {
    let start = NonZeroUsize::new(range.start as usize);
    let bytes = NonZeroUsize::new((range.end - range.start) as usize).ok_or(Errno::EINVAL)?;
    let flags = MapFlags::MAP_SHARED | MapFlags::MAP_FIXED;
    // SAFETY: the range is the caller's, who has mapped it for nothing but this.
    unsafe { mman::mmap(start, bytes, READ_WRITE, flags, file, 0) }
}

fn explain(error: Errno, wanted: &Range<u64>, memory_bytes: u64) -> Error {
    let memory_mib = memory_bytes >> 20;
    match error {
        Errno::EEXIST => {
            let largest_mib = lowest_own_address(wanted.start).map(|address| address >> 20);
            Error::Collision { memory_mib, largest_mib }
        }
        Errno::ENOMEM | Errno::EAGAIN => Error::Limit { memory_mib },
        Errno::EPERM => Error::LowAddress,
        other => Error::Map(other),
    }
}

/// The lowest address from `start` on at which the tender itself has something mapped; `None` where
/// that cannot be found out, as in a jail.
fn lowest_own_address(start: u64) -> Option<u64> {
    let maps = std::fs::read_to_string("/proc/self/maps").ok()?;
    maps.lines()
        .filter_map(|line| u64::from_str_radix(line.split('-').next()?, 16).ok())
        .find(|&mapped| mapped >= start)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_lies_below_a_high_image_is_a_gap() {
        let high = 0x6000_0000_0000..0x6000_0010_0000;
        let gaps = gaps(vec![high.clone(), MEMORY_BASE..LOW_END]);
        assert_eq!(gaps, [LOAD_BASE..high.start, high.end..TASK_END]);
    }

    proptest! {
        #[test]
        fn regions_and_gaps_are_all_there_is(
            sizes in proptest::collection::vec((0u64..1 << 27, 1u64..1 << 27), 1..70),
        ) {
            let mut end = LOAD_BASE;
            let mut ranges = Vec::new();
            for (distance, bytes) in sizes {
                let start = end + distance * PAGE_BYTES;
                end = start + bytes * PAGE_BYTES;
                ranges.push(start..end);
            }
            ranges.push(MEMORY_BASE..LOW_END);
            let mut all = [ranges.clone(), gaps(ranges)].concat();
            all.retain(|range| range.start >= LOAD_BASE);
            all.sort_by_key(|range| range.start);
            prop_assert_eq!(all[0].start, LOAD_BASE);
            prop_assert!(all.windows(2).all(|pair| pair[0].end == pair[1].start));
            prop_assert_eq!(all.last().map(|range| range.end), Some(TASK_END));
        }
    }
}
