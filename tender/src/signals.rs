//! Signals of this process: which are blocked, ignored or taken as events, what of that the guest is to
//! find, and how to end by one. It sends none to others.

use std::mem::MaybeUninit;
use std::ptr;

use nix::errno::Errno;
use nix::sys::resource::{Resource, setrlimit};
use nix::sys::signal::{SigHandler, SigSet, SigmaskHow, Signal};
use nix::sys::signalfd::{SfdFlags, SignalFd};

/// The signals that the starter had blocked, which are the guest's to have.
#[derive(Clone, Copy, Debug)]
pub struct Inherited(SigSet);

impl Inherited {
    /// Makes writing to a pipe that nobody reads an error instead of the end of this process.
    ///
    /// # Errors
    /// If the kernel refuses.
    pub fn take() -> Result<Self, Errno> {
        SigSet::from(Signal::SIGPIPE).thread_swap_mask(SigmaskHow::SIG_BLOCK).map(Self)
    }

    /// Gives them back, but for those in `unblocked`, and takes the alternate stack away. What the
    /// starter had this process ignore stays ignored; handlers there are none.
    ///
    /// # Errors
    /// If the kernel refuses.
    pub(crate) fn restore(self, unblocked: &[i32]) -> Result<(), Errno> {
        let none = libc::stack_t { ss_sp: ptr::null_mut(), ss_flags: libc::SS_DISABLE, ss_size: 0 };
        // SAFETY: `none` is valid; nothing runs on the alternate stack now.
        Errno::result(unsafe { libc::sigaltstack(&raw const none, ptr::null_mut()) })?;
        let Self(mut blocked) = self;
        for signal in unblocked.iter().filter_map(|&number| Signal::try_from(number).ok()) {
            blocked.remove(signal);
        }
        if !blocked.contains(Signal::SIGPIPE) {
            forget_pending(Signal::SIGPIPE);
        }
        blocked.thread_set_mask()
    }
}

/// Takes away a blocked signal that has come already.
fn forget_pending(signal: Signal) {
    let at_once = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    let set = SigSet::from(signal);
    let info = ptr::null_mut();
    // SAFETY: both pointers are valid, and a null pointer asks for no information.
    unsafe { libc::sigtimedwait(set.as_ref(), info, &raw const at_once) };
}

/// Whether the process ignores a signal.
pub(crate) fn is_ignored(signal: Signal) -> bool {
    let mut action = MaybeUninit::<libc::sigaction>::zeroed();
    // SAFETY: a null pointer changes nothing, `action` is writable.
    if unsafe { libc::sigaction(signal as i32, ptr::null(), action.as_mut_ptr()) } != 0 {
        return false;
    }
    // SAFETY: zero is a valid action, and the call has filled it in.
    unsafe { action.assume_init() }.sa_sigaction == libc::SIG_IGN
}

/// Has the process ignore a signal.
///
/// # Errors
/// If the kernel refuses.
pub(crate) fn ignore(signal: Signal) -> Result<(), Errno> {
    // SAFETY: to ignore is no pointer to code.
    unsafe { nix::sys::signal::signal(signal, SigHandler::SigIgn) }.map(drop)
}

/// Blocks those of the signals that are not ignored, and makes them events.
///
/// # Errors
/// If the kernel refuses.
pub(crate) fn as_events(signals: &[Signal]) -> Result<SignalFd, Errno> {
    let set: SigSet = signals.iter().copied().filter(|&signal| !is_ignored(signal)).collect();
    set.thread_block()?;
    SignalFd::with_flags(&set, SfdFlags::SFD_CLOEXEC | SfdFlags::SFD_NONBLOCK)
}

/// Ends this process by the signal with this number, so that a shell sees what ended the guest.
pub fn die_by(number: i32) -> ! {
    // Each of these can only fail for signals without a handler, which need none of them.
    let _ = setrlimit(Resource::RLIMIT_CORE, 0, 0);
    // SAFETY: the default action is no pointer to code.
    unsafe { libc::signal(number, libc::SIG_DFL) };
    // SAFETY: zero is a valid set.
    let mut set: libc::sigset_t = unsafe { std::mem::zeroed() };
    // SAFETY: `set` is one.
    unsafe { libc::sigaddset(&raw mut set, number) };
    // SAFETY: `set` is one, and a null pointer is ignored.
    unsafe { libc::sigprocmask(libc::SIG_UNBLOCK, &raw const set, ptr::null_mut()) };
    // SAFETY: takes no pointer.
    unsafe { libc::raise(number) };
    std::process::exit(128 + number)
}
