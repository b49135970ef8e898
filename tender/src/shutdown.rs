//! How a guest is asked to end in order: by a pipe whose write end the supervisor holds. To close it makes
//! the read end ready in the guest's next `ppoll`, for good; nobody writes to it, and nothing is read.
//!
//! A signal asks, and another one ends. Where that is known to be no second thought, both are one.

use std::os::fd::OwnedFd;
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::fcntl::OFlag;
use nix::sys::signal::Signal;
use nix::unistd::{Pid, getppid, pipe2};

/// The signals that ask. SIGQUIT, the other one that the supervisor passes on, ends at once.
const ASKING: [Signal; 3] = [Signal::SIGINT, Signal::SIGTERM, Signal::SIGHUP];
/// Signals that come so soon after the first are the same wish: timeout(1) signals its child and then the group
/// in which that is, and a terminal the whole group, of which one may pass it on.
const SAME_WISH: Duration = Duration::from_millis(200);

/// The supervisor's end.
#[derive(Debug)]
pub(crate) struct Shutdown {
    write_end: Option<OwnedFd>,
    asked_at: Option<Instant>,
    /// The process with which all is to end.
    parent: Option<Pid>,
}

/// What a signal means for the guest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Meaning {
    /// It is asked, now or a moment ago.
    Ask,
    /// Its time is over.
    End,
}

impl Shutdown {
    /// The guest's end and the supervisor's. With `die_with_parent`, a guest is given no time once the process
    /// that started this one is gone.
    ///
    /// # Errors
    /// If the kernel refuses.
    pub(crate) fn pipe(die_with_parent: bool) -> Result<(OwnedFd, Self), Errno> {
        let (read_end, write_end) = pipe2(OFlag::O_CLOEXEC)?;
        let parent = die_with_parent.then(getppid);
        Ok((read_end, Self { write_end: Some(write_end), asked_at: None, parent }))
    }

    /// Asks the guest, if that is what the signal means.
    pub(crate) fn take(&mut self, signal: Signal) -> Meaning {
        self.take_at(signal, Instant::now())
    }

    fn take_at(&mut self, signal: Signal, now: Instant) -> Meaning {
        let is_orphan = self.parent.is_some_and(|parent| parent != getppid());
        if !ASKING.contains(&signal) || is_orphan {
            return Meaning::End;
        }
        self.write_end = None;
        let first = *self.asked_at.get_or_insert(now);
        if now < first + SAME_WISH { Meaning::Ask } else { Meaning::End }
    }
}

/// In the guest's process: a signal that reaches its whole group, or all processes of a control group, is
/// for the supervisor.
pub(crate) fn ignore_signals() -> Result<(), Errno> {
    ASKING.into_iter().try_for_each(crate::signals::ignore)
}

#[cfg(test)]
mod tests {
    use std::os::fd::AsFd;

    use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

    use super::*;

    fn is_ready(read_end: &OwnedFd) -> bool {
        let mut ends = [PollFd::new(read_end.as_fd(), PollFlags::empty())];
        poll(&mut ends, PollTimeout::ZERO).unwrap() == 1
    }

    #[test]
    fn a_signal_asks_and_a_later_one_ends() {
        let (read_end, mut shutdown) = Shutdown::pipe(true).unwrap();
        assert!(!is_ready(&read_end));
        let start = Instant::now();
        assert_eq!(shutdown.take_at(Signal::SIGTERM, start), Meaning::Ask);
        assert!(is_ready(&read_end));
        let soon = start + Duration::from_millis(10);
        assert_eq!(shutdown.take_at(Signal::SIGINT, soon), Meaning::Ask);
        let later = start + SAME_WISH;
        assert_eq!(shutdown.take_at(Signal::SIGHUP, later), Meaning::End);
    }

    #[test]
    fn some_signals_end_at_once() {
        let (read_end, mut shutdown) = Shutdown::pipe(false).unwrap();
        assert_eq!(shutdown.take(Signal::SIGQUIT), Meaning::End);
        assert_eq!(shutdown.take(Signal::SIGPIPE), Meaning::End);
        assert!(!is_ready(&read_end));
    }

    #[test]
    fn an_orphan_has_no_time() {
        let (_, mut shutdown) = Shutdown::pipe(true).unwrap();
        shutdown.parent = Some(Pid::from_raw(i32::MAX));
        assert_eq!(shutdown.take(Signal::SIGTERM), Meaning::End);
    }
}
