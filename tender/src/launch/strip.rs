//! What the C library, the shell and root gave to the process, and what a guest has no use for:
//! privileges, limits, registrations with the kernel. Each function takes some of them away, for good.

use std::ptr;

use libc::{c_int, c_long, c_ulong};
use nix::errno::Errno;
use nix::sys::prctl;
use nix::sys::resource::{Resource, setrlimit};

use super::{Error, failed, x86_64};

/// No core, no tracing by the user's other processes, no new privileges, and limits that leave a
/// guest what it has: no process, no locked memory, no further descriptor.
pub(super) fn privileges(descriptors: u64) -> Result<(), Error> {
    let limits = [
        (Resource::RLIMIT_CORE, 0),
        (Resource::RLIMIT_NPROC, 0),
        (Resource::RLIMIT_MEMLOCK, 0),
        (Resource::RLIMIT_NOFILE, descriptors),
    ];
    for (resource, limit) in limits {
        setrlimit(resource, limit, limit).map_err(failed("setrlimit"))?;
    }
    prctl::set_no_new_privs().map_err(failed("prctl(PR_SET_NO_NEW_PRIVS)"))?;
    prctl::set_dumpable(false).map_err(failed("prctl(PR_SET_DUMPABLE)"))?;
    deny_write_execute();
    capabilities()
}

/// What a supervisor has no use for: capabilities and new privileges. It may signal what it has started
/// all the same, as the owner of its namespace.
pub(crate) fn supervisor() -> Result<(), Error> {
    prctl::set_no_new_privs().map_err(failed("prctl(PR_SET_NO_NEW_PRIVS)"))?;
    forget_capabilities()
}

/// From now on nothing that can be written can become executable, on kernels that know how
/// (Linux 6.3). The guest has no call to ask for it anyway.
fn deny_write_execute() {
    const PR_SET_MDWE: c_int = 65;
    const REFUSE_EXEC_GAIN: c_ulong = 1;
    // SAFETY: takes no pointer.
    unsafe { libc::prctl(PR_SET_MDWE, REFUSE_EXEC_GAIN, 0, 0, 0) };
}

/// Gives up all capabilities; the bounding set as far as that is permitted.
fn capabilities() -> Result<(), Error> {
    for capability in 0..c_ulong::from(u64::BITS) {
        // SAFETY: takes no pointer. It fails beyond the last capability or without the right to.
        if unsafe { libc::prctl(libc::PR_CAPBSET_DROP, capability, 0, 0, 0) } != 0 {
            break;
        }
    }
    let clear = libc::PR_CAP_AMBIENT_CLEAR_ALL as c_ulong;
    // SAFETY: takes no pointer. Kernels that have no ambient set have nothing to clear.
    unsafe { libc::prctl(libc::PR_CAP_AMBIENT, clear, 0, 0, 0) };
    forget_capabilities()
}

fn forget_capabilities() -> Result<(), Error> {
    // `struct __user_cap_header_struct` of version 3, and two empty `__user_cap_data_struct`.
    let header: [u32; 2] = [0x2008_0522, 0];
    let data = [0u32; 6];
    // SAFETY: the call reads 8 and 24 bytes at the pointers.
    let result = unsafe { libc::syscall(libc::SYS_capset, header.as_ptr(), data.as_ptr()) };
    Errno::result(result).map_err(failed("capset"))?;
    Ok(())
}

/// Withdraws the area that the C library has registered for restartable sequences. The kernel
/// writes there when it reschedules the thread, and kills it if nothing is mapped.
pub(super) fn restartable_sequences() -> Result<(), Error> {
    const SIGNATURE: u32 = 0x5305_3053;
    const UNREGISTER: c_int = 1;
    const AT_RSEQ_FEATURE_SIZE: c_ulong = 27;
    let Some((area, size)) = x86_64::restartable_sequences() else { return Ok(()) };
    // The registered size is at least 32; what the library tells may count only the bytes in use,
    // and newer kernels have more features than 32 bytes hold.
    // SAFETY: takes no pointer.
    let feature_bytes = unsafe { libc::getauxval(AT_RSEQ_FEATURE_SIZE) } as u32;
    let mut result = Err(Errno::EINVAL);
    for bytes in [32, size, feature_bytes.next_multiple_of(32)] {
        let call = libc::SYS_rseq;
        // SAFETY: unregisters the area that the C library registered and does not touch it.
        result = Errno::result(unsafe { libc::syscall(call, area, bytes, UNREGISTER, SIGNATURE) });
        if result.is_ok() {
            break;
        }
    }
    result.map(drop).map_err(failed("rseq"))
}

/// Withdraws the two addresses at which the kernel would look when this thread ends.
pub(super) fn thread() -> Result<(), Error> {
    const ROBUST_LIST_HEAD_BYTES: usize = 24;
    let none = ptr::null::<u8>();
    // SAFETY: a null list is never followed.
    let result: c_long =
        unsafe { libc::syscall(libc::SYS_set_robust_list, none, ROBUST_LIST_HEAD_BYTES) };
    Errno::result(result).map_err(failed("set_robust_list"))?;
    // SAFETY: the kernel ignores a null address.
    unsafe { libc::syscall(libc::SYS_set_tid_address, none) };
    Ok(())
}
