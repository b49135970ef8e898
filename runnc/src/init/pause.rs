//! The process of a sandbox: it holds a pod's namespaces, takes what is left of ended processes, and ends
//! when it is told to.

use anyhow::{Context, Result};
use nix::sys::prctl;
use nix::sys::signal::{SigSet, Signal};
use tender::descriptors;

/// Waits for the signal to end; the container's status.
///
/// # Errors
/// If signals cannot be waited for.
pub(super) fn run() -> Result<i32> {
    descriptors::keep_only(None, Vec::new())?;
    prctl::set_name(c"pause").context("cannot take a name")?;
    tender::supervise::renounce_privileges()?;
    let signals: SigSet = [Signal::SIGTERM, Signal::SIGINT, Signal::SIGCHLD].into_iter().collect();
    signals.thread_block().context("cannot block signals")?;
    loop {
        match signals.wait().context("cannot wait for signals")? {
            Signal::SIGCHLD => while reap() {},
            _ => return Ok(0),
        }
    }
}

/// Takes what is left of one ended process; `false` if there is none.
fn reap() -> bool {
    // SAFETY: nobody asks for its status.
    unsafe { libc::waitpid(-1, std::ptr::null_mut(), libc::WNOHANG) > 0 }
}
