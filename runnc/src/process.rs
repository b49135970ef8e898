//! Processes by their numbers, which the kernel uses again: a process is the same only if it started at
//! the same moment.

use std::fs;

use nix::errno::Errno;
use nix::sys::signal::Signal;
use nix::unistd::Pid;
use serde::{Deserialize, Serialize};

/// A process.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Process {
    /// Its number, as seen by this program.
    pub(crate) pid: i32,
    /// When it started, in clock ticks since the machine did (proc_pid_stat(5), field 22).
    start_ticks: u64,
}

impl Process {
    /// The process that has this number now, if one has.
    pub(crate) fn of(pid: i32) -> Option<Self> {
        Some(Self { pid, start_ticks: read(pid)?.1 })
    }

    /// Whether it lives, which a zombie does not.
    pub(crate) fn is_alive(self) -> bool {
        read(self.pid).is_some_and(|(state, start_ticks)| {
            start_ticks == self.start_ticks && !matches!(state, 'Z' | 'X')
        })
    }

    /// Sends it a signal. One that has ended takes none.
    ///
    /// # Errors
    /// If this user may not.
    pub(crate) fn signal(self, number: i32) -> Result<(), Errno> {
        if !self.is_alive() {
            return Ok(());
        }
        // Not by nix, which knows no real-time signals.
        // SAFETY: takes no pointer.
        match Errno::result(unsafe { libc::kill(self.pid, number) }) {
            Ok(_) | Err(Errno::ESRCH) => Ok(()),
            Err(error) => Err(error),
        }
    }
}

/// Kills a process that is one of a container's now.
pub(crate) fn kill(pid: i32) {
    // One that has ended meanwhile needs no signal.
    let _ = nix::sys::signal::kill(Pid::from_raw(pid), Signal::SIGKILL);
}

/// State and start time. The name in front of them may hold anything, blanks and brackets included.
fn read(pid: i32) -> Option<(char, u64)> {
    parse(&fs::read_to_string(format!("/proc/{pid}/stat")).ok()?)
}

fn parse(stat: &str) -> Option<(char, u64)> {
    let mut fields = stat.rsplit_once(')')?.1.split_ascii_whitespace();
    let state = fields.next()?.chars().next()?;
    // The state is field 3.
    let start_ticks = fields.nth(22 - 4)?.parse().ok()?;
    Some((state, start_ticks))
}

/// The signal that a user means by a number or a name, with `SIG` or without.
pub(crate) fn signal_number(text: &str) -> Option<i32> {
    if let Ok(number) = text.parse() {
        return (0..=64).contains(&number).then_some(number);
    }
    let name = text.to_ascii_uppercase();
    let name = name.strip_prefix("SIG").unwrap_or(&name);
    if let Some(offset) = name.strip_prefix("RTMIN+") {
        return offset.parse().ok().map(|n: i32| libc::SIGRTMIN() + n).filter(|&n| n <= 64);
    }
    format!("SIG{name}").parse::<Signal>().ok().map(|signal| signal as i32)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_processes_confuse_nothing() {
        let fields = "R 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 4242 20 21";
        for name in ["init", "a b", "a) S 1 (b", ""] {
            assert_eq!(parse(&format!("17 ({name}) {fields}")), Some(('R', 4242)), "{name}");
        }
        assert_eq!(parse("17 (init) R 1"), None);
        assert_eq!(parse(""), None);
    }

    #[test]
    fn a_process_is_known_by_its_start() {
        let own = Process::of(std::process::id() as i32).unwrap();
        assert!(own.is_alive());
        let other = Process { start_ticks: own.start_ticks + 1, ..own };
        assert!(!other.is_alive());
        // It would be a signal to this test.
        assert_eq!(other.signal(libc::SIGKILL), Ok(()));
    }

    #[test]
    fn signals_have_numbers_and_names() {
        for (text, number) in [("15", 15), ("TERM", 15), ("SIGTERM", 15), ("sigkill", 9), ("0", 0)]
        {
            assert_eq!(signal_number(text), Some(number), "{text}");
        }
        assert_eq!(signal_number("SIGRTMIN+3"), Some(libc::SIGRTMIN() + 3));
        for text in ["", "SIG", "65", "-9", "KILL9", "RTMIN+99"] {
            assert_eq!(signal_number(text), None, "{text}");
        }
    }
}
