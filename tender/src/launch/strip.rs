//! What the C library, the shell and root gave to the process, and what a guest has no use for:
//! privileges, limits, signal handlers, registrations with the kernel. Each function takes one of
//! them away, for good.

use std::mem::MaybeUninit;
use std::ptr;

use nix::errno::Errno;
use nix::libc::{self, c_int, c_long, c_ulong};
use nix::sys::prctl;
use nix::sys::resource::{Resource, setrlimit};
use nix::sys::signal::{SigSet, SigmaskHow, Signal};

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

/// What a supervisor has no use for: all capabilities but the one to signal what runs as another user,
/// and new privileges.
pub(crate) fn supervisor() -> Result<(), Error> {
    const CAP_KILL: u32 = 1 << 5;
    prctl::set_no_new_privs().map_err(failed("prctl(PR_SET_NO_NEW_PRIVS)"))?;
    let mut data = [0u32; 6];
    // SAFETY: the call reads 8 and writes 24 bytes at the pointers.
    let result =
        unsafe { libc::syscall(libc::SYS_capget, CAPABILITY_HEADER.as_ptr(), data.as_mut_ptr()) };
    Errno::result(result).map_err(failed("capget"))?;
    let [_, permitted, ..] = data;
    let kept = permitted & CAP_KILL;
    set_capabilities([kept, kept, 0, 0, 0, 0])
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
    set_capabilities([0; 6])
}

/// `struct __user_cap_header_struct` of version 3 for this process.
const CAPABILITY_HEADER: [u32; 2] = [0x2008_0522, 0];

/// Sets two `__user_cap_data_struct`: effective, permitted, inheritable.
fn set_capabilities(data: [u32; 6]) -> Result<(), Error> {
    // SAFETY: the call reads 8 and 24 bytes at the pointers.
    let result =
        unsafe { libc::syscall(libc::SYS_capset, CAPABILITY_HEADER.as_ptr(), data.as_ptr()) };
    Errno::result(result).map_err(failed("capset"))?;
    Ok(())
}

/// Takes the alternate stack away, and gives back what the starter had blocked. Nothing here has handlers;
/// what the starter made this process ignore, the guest ignores as well.
pub(super) fn signals(inherited: &SigSet) -> Result<(), Error> {
    let none = libc::stack_t { ss_sp: ptr::null_mut(), ss_flags: libc::SS_DISABLE, ss_size: 0 };
    // SAFETY: `none` is valid; nothing runs on the alternate stack now.
    Errno::result(unsafe { libc::sigaltstack(&raw const none, ptr::null_mut()) })
        .map_err(failed("sigaltstack"))?;
    inherited.thread_set_mask().map_err(failed("sigprocmask"))
}

/// Makes writing to a pipe that nobody reads an error instead of the end of this process. Returns what was
/// blocked before, which is the guest's to have.
pub(crate) fn outlive_listeners() -> Result<SigSet, Error> {
    SigSet::from(Signal::SIGPIPE)
        .thread_swap_mask(SigmaskHow::SIG_BLOCK)
        .map_err(failed("sigprocmask"))
}

/// Whether the process ignores a signal.
pub(crate) fn is_ignored(signal: c_int) -> bool {
    let mut action = MaybeUninit::<libc::sigaction>::zeroed();
    // SAFETY: a null pointer changes nothing, `action` is writable.
    if unsafe { libc::sigaction(signal, ptr::null(), action.as_mut_ptr()) } != 0 {
        return false;
    }
    // SAFETY: zero is a valid action, and the call has filled it in.
    unsafe { action.assume_init() }.sa_sigaction == libc::SIG_IGN
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
