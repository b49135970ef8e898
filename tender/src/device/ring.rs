//! Rings: network devices whose frames lie in memory that the guest shares with a gateway. Here their
//! memory and doorbells are made, and what the guest may do with them is said; the layout is
//! [`solo5_sys::ring`].

use std::ffi::CStr;
use std::fs::File;
use std::os::fd::OwnedFd;
use std::os::unix::fs::FileExt;
use std::time::Duration;

use gateway::Link;
use nix::errno::Errno;
use nix::fcntl::{FcntlArg, OFlag, SealFlag, fcntl};
use nix::sys::eventfd::{EfdFlags, EventFd};
use nix::sys::memfd::{MFdFlags, memfd_create};
use nix::unistd::pipe2;
use solo5_sys::extension::{Features, Request};
use solo5_sys::manifest::Name;
use solo5_sys::ring::{DOORBELL_BYTES, Header, REGION_BYTES};

use crate::policy::{Call, Comparison, Condition, Rule};

/// What the guest gets of a ring, besides its own doorbell, which stands for the device.
#[derive(Debug)]
pub struct Ring {
    /// The shared memory, to be mapped.
    pub memory: OwnedFd,
    /// The gateway's doorbell.
    pub gateway_doorbell: OwnedFd,
}

/// A ring with everything that belongs to it.
pub(super) struct Made {
    pub(super) doorbell: OwnedFd,
    pub(super) ring: Ring,
    /// The gateway's side.
    pub(super) link: Link,
    /// As long as this is open, the gateway takes the guest for alive.
    pub(super) lifeline: OwnedFd,
}

/// Which system call failed, and how.
pub(super) type Failure = (&'static str, Errno);

/// Makes a ring. Both sides look for `spin` before they sleep.
pub(super) fn make(spin: Duration) -> Result<Made, Failure> {
    let memory = make_memory(spin)?;
    let copy = |fd: &OwnedFd| fd.try_clone().map_err(|error| ("fcntl", errno(&error)));
    let (doorbell, gateway_doorbell) = (make_doorbell()?, make_doorbell()?);
    let (reading, lifeline) = pipe2(OFlag::O_CLOEXEC).map_err(|error| ("pipe2", error))?;
    let link = Link {
        memory: copy(&memory)?,
        doorbell: copy(&gateway_doorbell)?,
        guest_doorbell: copy(&doorbell)?,
        lifeline: reading,
        spin,
    };
    Ok(Made { doorbell, ring: Ring { memory, gateway_doorbell }, link, lifeline })
}

/// Memory whose size is fixed for good, so that neither side can take it away from the other.
fn make_memory(spin: Duration) -> Result<OwnedFd, Failure> {
    const NAME: &CStr = c"nabla-ring";
    /// From Linux 6.3: nobody will ever execute it.
    const NOEXEC_SEAL: MFdFlags = MFdFlags::from_bits_retain(8);
    let flags = MFdFlags::MFD_CLOEXEC | MFdFlags::MFD_ALLOW_SEALING;
    let memory = memfd_create(NAME, flags | NOEXEC_SEAL)
        .or_else(|_| memfd_create(NAME, flags))
        .map_err(|error| ("memfd_create", error))?;
    let memory = File::from(memory);
    memory.set_len(REGION_BYTES as u64).map_err(|error| ("ftruncate", errno(&error)))?;
    let spin_ns = (spin.as_nanos() as u64).to_le_bytes();
    let offset = std::mem::offset_of!(Header, spin_ns) as u64;
    memory.write_all_at(&spin_ns, offset).map_err(|error| ("pwrite64", errno(&error)))?;
    let seals = SealFlag::F_SEAL_GROW | SealFlag::F_SEAL_SHRINK | SealFlag::F_SEAL_SEAL;
    fcntl(&memory, FcntlArg::F_ADD_SEALS(seals)).map_err(|error| ("fcntl", error))?;
    Ok(memory.into())
}

fn make_doorbell() -> Result<OwnedFd, Failure> {
    let flags = EfdFlags::EFD_CLOEXEC | EfdFlags::EFD_NONBLOCK;
    let doorbell = EventFd::from_value_and_flags(0, flags).map_err(|error| ("eventfd2", error))?;
    Ok(doorbell.into())
}

fn errno(error: &std::io::Error) -> Errno {
    Errno::from_raw(error.raw_os_error().unwrap_or_default())
}

/// Whether a guest knows rings.
pub(crate) fn is_granted(granted: &Request) -> bool {
    granted.features.contains(Features::RING)
}

/// What a guest may do with a ring: read its own doorbell, and ring the gateway's.
pub(crate) fn rules(name: &Name, doorbell: i32, gateway_doorbell: i32) -> [Rule; 2] {
    let rule = |call, fd, whose: &str| {
        let bytes = DOORBELL_BYTES as u64;
        let length = Condition::long(2, "count", Comparison::Equal, bytes, "");
        Rule::new(call, [Condition::descriptor(fd, format!("net:{name}, {whose}")), length])
    };
    [
        rule(Call::Read, doorbell, "its doorbell"),
        rule(Call::Write, gateway_doorbell, "the gateway's doorbell"),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_memory_has_its_size_for_good() {
        let made = make(Duration::from_micros(20)).unwrap();
        let memory = File::from(made.ring.memory);
        assert_eq!(memory.metadata().unwrap().len(), REGION_BYTES as u64);
        for bytes in [0, 4096, REGION_BYTES as u64 + 1, 1 << 30] {
            assert!(memory.set_len(bytes).is_err(), "{bytes}");
        }
        let more = fcntl(&memory, FcntlArg::F_ADD_SEALS(SealFlag::F_SEAL_WRITE));
        assert_eq!(more, Err(Errno::EPERM));
        let mut word = [0; 16];
        memory.read_exact_at(&mut word, 0).unwrap();
        assert_eq!(word, *b"\x20\x4e\0\0\0\0\0\0\0\0\0\0\0\0\0\0");
    }
}
