//! From a prepared process to a running guest, with no way back.
//!
//! [`write`] leaves the launch code, its parameters and the filter in guest memory. [`enter`]
//! takes from the process what the C library, the shell and root gave it ([`strip`]). Then it
//! jumps to the launch code ([`x86_64`]), which unmaps the rest. Nothing here knows devices or
//! files.

pub(crate) mod strip;
mod x86_64;

use std::convert::Infallible;
use std::ops::Range;

use nix::errno::Errno;
use nix::sys::prctl;
use nix::sys::signal::Signal;

use crate::memory::{
    FILTER, LAUNCH_CODE, LAUNCH_PARAMETERS, LOW_END, Memory, Protected, SIGNAL_STACK,
};
use crate::policy::bpf::{INSTRUCTION_BYTES, INSTRUCTIONS_MAX, Program};
use crate::record::SIGNALS;
use crate::signals::Inherited;

const _: () = assert!((INSTRUCTIONS_MAX * INSTRUCTION_BYTES) as u64 <= LOW_END - FILTER);
const _: () = assert!(x86_64::PARAMETERS_BYTES as u64 <= FILTER - LAUNCH_PARAMETERS);

/// Why a guest cannot be launched.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A kernel without what confines the guest.
    #[error("this kernel cannot kill a process by seccomp: CONFIG_SECCOMP_FILTER is needed")]
    NoSeccomp,
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
    unmap: Vec<Range<u64>>,
    entry: u64,
    stack_end: u64,
}

/// Leaves everything in guest memory that the launch code needs, before that is protected.
pub(crate) fn write(memory: &mut Memory, entry: u64, filter: &Program) {
    let parameters = Parameters {
        filter_instructions: filter.instructions().len() as u16,
        unmap: memory.gaps(),
        entry,
        stack_end: memory.placement().stack_end,
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

/// Becomes the guest in memory, with the descriptors below `descriptors` and the inherited `signals`. With `record`, a signal that the guest causes is noted in the record before it ends the process.
///
/// # Errors
/// If the process cannot be confined; it can still report that.
///
/// # Safety
/// Memory holds an image, boot information and what [`write`] leaves there, with `record` the record is
/// [`crate::record::Prepared`], and the process has one thread.
pub(crate) unsafe fn enter(
    _memory: Protected,
    descriptors: u64,
    signals: Inherited,
    record: bool,
) -> Result<Infallible, Error> {
    strip::privileges(descriptors)?;
    strip::restartable_sequences()?;
    strip::thread()?;
    let noted = if record { &SIGNALS[..] } else { &[] };
    signals.restore(noted).map_err(failed("sigprocmask"))?;
    if record {
        // SAFETY: the stack was mapped, as the caller vouches.
        unsafe { x86_64::note_signals(SIGNAL_STACK) }.map_err(failed("rt_sigaction"))?;
    }
    // SAFETY: the caller vouches for the contents of memory.
    unsafe { x86_64::jump() }
}
