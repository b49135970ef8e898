//! A thread of its own for a bench that enters networks and blocks signals, so that a program may go on with others.

use std::thread;

use anyhow::{Context, Result, anyhow};
use nix::sys::signal::{SigSet, SigmaskHow, Signal};

/// Does something in a thread of its own. Meanwhile signals that would end this program, and those that tell of a child's
/// end, are for nobody but who reads them: one that another thread does not block may be given to that one,
/// and the kernel throws it away if it has no meaning there.
///
/// # Errors
/// Those of what is done, or if signals cannot be blocked.
pub(super) fn apart<R: Send>(act: impl FnOnce() -> Result<R> + Send) -> Result<R> {
    let signals = [Signal::SIGINT, Signal::SIGTERM, Signal::SIGHUP, Signal::SIGCHLD];
    let set: SigSet = signals.into_iter().collect();
    let before = set.thread_swap_mask(SigmaskHow::SIG_BLOCK).context("cannot block signals")?;
    let done = thread::scope(|scope| scope.spawn(act).join());
    before.thread_set_mask().context("cannot unblock signals")?;
    done.map_err(|_| anyhow!("a thread has panicked"))?
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn signals_are_blocked_there_and_not_later() {
        let is_blocked = || SigSet::thread_get_mask().map(|set| set.contains(Signal::SIGHUP));
        let inside = apart(|| Ok(is_blocked()?)).unwrap();
        assert!(inside && !is_blocked().unwrap());
    }
}
