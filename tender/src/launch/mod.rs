//! From a prepared process to a running guest, with no way back.
//!
//! [`write`] leaves the launch code, its parameters and the filter in guest memory. [`enter`]
//! takes from the process what the C library, the shell and root gave it: signal handlers,
//! capabilities, descriptors, registrations with the kernel. Then it jumps to the launch code
//! ([`x86_64`]), which unmaps the rest. Nothing here knows devices or files.

mod x86_64;

use std::convert::Infallible;
use std::mem::MaybeUninit;
use std::os::fd::RawFd;
use std::ptr;

use nix::errno::Errno;
use nix::libc::{self, c_int, c_long, c_ulong};
use nix::sys::prctl;
use nix::sys::resource::{Resource, setrlimit};
use nix::sys::signal::{SigSet, Signal};

use crate::memory::{FILTER, LAUNCH_CODE, LAUNCH_PARAMETERS, LOW_END, Memory, Protected};
use crate::policy::filter::{Filter, INSTRUCTION_BYTES, INSTRUCTIONS_MAX};

const _: () = assert!((INSTRUCTIONS_MAX * INSTRUCTION_BYTES) as u64 <= LOW_END - FILTER);
const _: () = assert!(x86_64::PARAMETERS_BYTES as u64 <= FILTER - LAUNCH_PARAMETERS);

/// Why a guest cannot be launched.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A kernel without what confines the guest.
    #[error(
        "this kernel cannot kill a process by seccomp: Linux 4.14 or later with CONFIG_SECCOMP_FILTER is needed"
    )]
    NoSeccomp,
    /// A kernel without `close_range`.
    #[error("this kernel cannot close descriptors by range: Linux 5.9 or later is needed")]
    NoCloseRange,
    /// Another failure.
    #[error("cannot confine the guest: {call}: {error}")]
    Call {
        /// The system call.
        call: &'static str,
        /// Its error.
        error: Errno,
    },
}

fn failed(call: &'static str) -> impl Fn(Errno) -> Error {
    move |error| Error::Call { call, error }
}

/// What the launch code must know.
struct Parameters {
    filter_instructions: u16,
    memory_end: u64,
    entry: u64,
}

/// Leaves everything in guest memory that the launch code needs, before that is protected.
pub(crate) fn write(memory: &mut Memory, entry: u64, filter: &Filter) {
    let parameters = Parameters {
        filter_instructions: filter.instructions().len() as u16,
        memory_end: memory.end(),
        entry,
    };
    memory.write_low(LAUNCH_CODE, x86_64::code());
    memory.write_low(LAUNCH_PARAMETERS, &x86_64::parameters(&parameters));
    memory.write_low(FILTER, &filter.to_bytes());
}

/// Has the kernel end this process, and with it the guest that it becomes or supervises, when its
/// parent ends.
///
/// # Errors
/// If the kernel refuses.
pub(crate) fn die_with_parent() -> Result<(), Error> {
    prctl::set_pdeathsig(Signal::SIGTERM).map_err(failed("prctl(PR_SET_PDEATHSIG)"))
}

/// Refuses kernels that could not kill the guest.
///
/// # Errors
/// [`Error::NoSeccomp`].
pub(crate) fn check_kernel() -> Result<(), Error> {
    let action = libc::SECCOMP_RET_KILL_PROCESS;
    let get = libc::SECCOMP_GET_ACTION_AVAIL;
    // SAFETY: the call reads four bytes at the pointer.
    let result = unsafe { libc::syscall(libc::SYS_seccomp, get, 0, &raw const action) };
    if result == 0 { Ok(()) } else { Err(Error::NoSeccomp) }
}

/// Becomes the guest in memory, with the descriptors `keep` and standard output.
///
/// # Errors
/// If the process cannot be confined; it can still report that.
///
/// # Safety
/// Memory holds an image, boot information and what [`write`] leaves there, and the process has
/// one thread.
pub(crate) unsafe fn enter(_memory: Protected, keep: &[RawFd]) -> Result<Infallible, Error> {
    prctl::set_no_new_privs().map_err(failed("prctl(PR_SET_NO_NEW_PRIVS)"))?;
    prctl::set_dumpable(false).map_err(failed("prctl(PR_SET_DUMPABLE)"))?;
    setrlimit(Resource::RLIMIT_CORE, 0, 0).map_err(failed("setrlimit(RLIMIT_CORE)"))?;
    drop_capabilities()?;
    reset_signals()?;
    unregister_rseq()?;
    forget_thread()?;
    let mut keep = keep.to_vec();
    // Standard error is closed by the launch code, which may have something to say.
    keep.extend([libc::STDOUT_FILENO, libc::STDERR_FILENO]);
    close_others(keep)?;
    // SAFETY: the caller vouches for the contents of memory.
    unsafe { x86_64::jump() }
}

/// Closes every descriptor that is not in `keep`.
///
/// # Errors
/// If the kernel cannot.
pub(crate) fn close_others(mut keep: Vec<RawFd>) -> Result<(), Error> {
    keep.sort_unstable();
    keep.dedup();
    let mut next = 0;
    for fd in keep {
        let fd = fd.unsigned_abs();
        if fd > next {
            close_range(next, fd - 1)?;
        }
        next = fd + 1;
    }
    close_range(next, u32::MAX)
}

fn close_range(first: u32, last: u32) -> Result<(), Error> {
    // SAFETY: the caller keeps the descriptors that are still used; others refer to nothing.
    match unsafe { libc::syscall(libc::SYS_close_range, first, last, 0) } {
        0 => Ok(()),
        _ if Errno::last() == Errno::ENOSYS => Err(Error::NoCloseRange),
        _ => Err(failed("close_range")(Errno::last())),
    }
}

/// Gives up all capabilities; the bounding set as far as that is permitted.
fn drop_capabilities() -> Result<(), Error> {
    for capability in 0..c_ulong::from(u64::BITS) {
        // SAFETY: takes no pointer. It fails beyond the last capability or without the right to.
        if unsafe { libc::prctl(libc::PR_CAPBSET_DROP, capability, 0, 0, 0) } != 0 {
            break;
        }
    }
    let clear = libc::PR_CAP_AMBIENT_CLEAR_ALL as c_ulong;
    // SAFETY: takes no pointer. Kernels that have no ambient set have nothing to clear.
    unsafe { libc::prctl(libc::PR_CAP_AMBIENT, clear, 0, 0, 0) };
    // `struct __user_cap_header_struct` of version 3, and two empty `__user_cap_data_struct`.
    let header: [u32; 2] = [0x2008_0522, 0];
    let data = [0u32; 6];
    // SAFETY: the call reads 8 and 24 bytes at the pointers.
    let result = unsafe { libc::syscall(libc::SYS_capset, header.as_ptr(), data.as_ptr()) };
    Errno::result(result).map_err(failed("capset"))?;
    Ok(())
}

/// Gives every signal that has a handler its default action again, SIGPIPE too, and blocks none.
/// What the shell made this process ignore (SIGHUP under `nohup`) the guest ignores as well.
pub(crate) fn reset_signals() -> Result<(), Error> {
    for signal in 1..=libc::SIGRTMAX() {
        let action = action_of(signal);
        let ignored = action == Some(libc::SIG_IGN);
        let inherited = [libc::SIGHUP, libc::SIGINT, libc::SIGQUIT].contains(&signal);
        let keep = action.is_none() || action == Some(libc::SIG_DFL) || ignored && inherited;
        if !keep {
            // SAFETY: the default action is no pointer to code.
            unsafe { libc::signal(signal, libc::SIG_DFL) };
        }
    }
    let none = libc::stack_t { ss_sp: ptr::null_mut(), ss_flags: libc::SS_DISABLE, ss_size: 0 };
    // SAFETY: `none` is valid; nothing runs on the alternate stack now.
    Errno::result(unsafe { libc::sigaltstack(&raw const none, ptr::null_mut()) })
        .map_err(failed("sigaltstack"))?;
    SigSet::empty().thread_set_mask().map_err(failed("sigprocmask"))
}

/// The action of a signal; `None` if it has none that could be set.
fn action_of(signal: c_int) -> Option<libc::sighandler_t> {
    if signal == libc::SIGKILL || signal == libc::SIGSTOP {
        return None;
    }
    let mut action = MaybeUninit::<libc::sigaction>::zeroed();
    // SAFETY: a null pointer changes nothing, `action` is writable.
    if unsafe { libc::sigaction(signal, ptr::null(), action.as_mut_ptr()) } != 0 {
        return None;
    }
    // SAFETY: zero is a valid action, and the call has filled it in.
    Some(unsafe { action.assume_init() }.sa_sigaction)
}

/// Withdraws the area that the C library has registered for restartable sequences. The kernel
/// writes there when it reschedules the thread, and kills it if nothing is mapped.
fn unregister_rseq() -> Result<(), Error> {
    const SIGNATURE: u32 = 0x5305_3053;
    const UNREGISTER: c_int = 1;
    const AT_RSEQ_FEATURE_SIZE: c_ulong = 27;
    // C libraries before glibc 2.35 neither have the symbols nor register anything.
    let Some((offset, size)) = rseq_constants() else {
        return Ok(());
    };
    // SAFETY: glibc declares this symbol as a constant of this type.
    let offset = unsafe { *offset };
    // SAFETY: glibc declares this symbol as a constant of this type.
    let size = unsafe { *size };
    if size == 0 {
        return Ok(());
    }
    let area = x86_64::thread_pointer().wrapping_add_signed(offset);
    // The registered size is at least 32; `__rseq_size` may count only the bytes in use, and
    // newer kernels have more features than 32 bytes hold.
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

/// The symbols `__rseq_offset` and `__rseq_size`, if the C library has them: in a static program as
/// the linker found them, where nothing can be asked for by name, in another by name.
fn rseq_constants() -> Option<(*const isize, *const u32)> {
    let linked = x86_64::rseq_constants();
    if !linked.0.is_null() && !linked.1.is_null() {
        return Some(linked);
    }
    Some((symbol(c"__rseq_offset")?.cast(), symbol(c"__rseq_size")?.cast()))
}

fn symbol(name: &std::ffi::CStr) -> Option<*const libc::c_void> {
    // SAFETY: the name is terminated.
    let address = unsafe { libc::dlsym(libc::RTLD_DEFAULT, name.as_ptr()) };
    (!address.is_null()).then_some(address.cast_const())
}

/// Withdraws the two addresses at which the kernel would look when this thread ends.
fn forget_thread() -> Result<(), Error> {
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
