//! Memory that is shared with a guest: mapped once, never unmapped, and only ever seen as atomics.
//! The only module that maps anything.

use std::num::NonZeroUsize;
use std::os::fd::{AsFd, OwnedFd};

use nix::fcntl::{FcntlArg, SealFlag, fcntl};
use nix::sys::mman::{MapFlags, ProtFlags, mmap};
use nix::sys::stat::fstat;
use ring::{AtomicU64, WORDS};
use solo5_sys::ring::REGION_BYTES;

use crate::error::Error;

/// Maps a region for as long as the process lives.
///
/// # Errors
/// If it is not of the right size for good, or cannot be mapped.
pub(crate) fn map(memory: &OwnedFd) -> Result<&'static [AtomicU64; WORDS], Error> {
    check(memory)?;
    let bytes = NonZeroUsize::new(REGION_BYTES).ok_or(Error::NotARing)?;
    let protection = ProtFlags::PROT_READ | ProtFlags::PROT_WRITE;
    // SAFETY: a new mapping, where the kernel finds room, disturbs nobody.
    let mapped = unsafe { mmap(None, bytes, protection, MapFlags::MAP_SHARED, memory.as_fd(), 0) };
    let start = mapped.map_err(Error::call("mmap"))?.cast::<[AtomicU64; WORDS]>();
    // SAFETY: as many bytes are mapped, page-aligned, readable and writable, until the process ends;
    // the file cannot shrink, so there is memory behind all of them. Every pattern of bits is an
    // integer. Whatever else refers to this memory, in this process or in another, the kernel
    // included, does not concern a reference to atomics.
    Ok(unsafe { start.as_ref() })
}

/// A file that could shrink would be no memory any more, and end this process by SIGBUS.
fn check(memory: &OwnedFd) -> Result<(), Error> {
    let size = fstat(memory).map_err(Error::call("fstat"))?.st_size;
    let seals = fcntl(memory, FcntlArg::F_GET_SEALS).map_err(|_| Error::NotARing)?;
    let is_fixed = SealFlag::from_bits_retain(seals).contains(SealFlag::F_SEAL_SHRINK);
    if is_fixed && size == REGION_BYTES as i64 { Ok(()) } else { Err(Error::NotARing) }
}
