//! Descriptors: which number each has in the guest, and how it gets it.
//!
//! | number | what |
//! |---|---|
//! | 0 | /dev/null |
//! | 1 | the console |
//! | 2 | closed |
//! | from 3 | the devices that are attached, in the manifest's order |
//! | behind them | the gateways' doorbells, for guests with rings |
//! | behind them | the epoll set and the timer, for guests that wait by them |
//! | the last | the read end of the pipe that asks to end, for guests that heed it |
//!
//! The numbers follow from the manifest, which of its optional devices are there, and the granted features; and
//! so does the policy that names them.

use std::fs::OpenOptions;
use std::os::fd::{AsRawFd, FromRawFd, IntoRawFd, OwnedFd, RawFd};

use nix::errno::Errno;

/// The first device's number.
const FIRST: RawFd = 3;

/// Why descriptors cannot be arranged.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A kernel without `close_range`.
    #[error("this kernel cannot close descriptors by range: Linux 5.9 or later is needed")]
    NoCloseRange,
    /// No `/dev/null`.
    #[error("cannot open /dev/null: {0}")]
    Null(std::io::Error),
    /// Another failure.
    #[error("cannot arrange the guest's descriptors: {call}: {error}")]
    Call {
        /// The system call.
        call: &'static str,
        /// Its error.
        error: Errno,
    },
}

/// The number of what stands at this position among devices and what is behind them.
pub fn number(position: usize) -> RawFd {
    FIRST + position as RawFd
}

/// Opens `/dev/null` for those of the standard streams that are closed, so that nothing which is
/// opened later takes their numbers.
///
/// # Errors
/// If it cannot be opened.
pub fn fill_standard_streams() -> Result<(), Error> {
    for fd in libc::STDIN_FILENO..=libc::STDERR_FILENO {
        // SAFETY: asks for flags only.
        if unsafe { libc::fcntl(fd, libc::F_GETFD) } < 0 {
            // The lowest free number is this one.
            let _ = open_null()?.into_raw_fd();
        }
    }
    Ok(())
}

/// Opens `/dev/null`.
///
/// # Errors
/// If it cannot be opened.
pub(crate) fn open_null() -> Result<OwnedFd, Error> {
    let null = OpenOptions::new().read(true).write(true).open("/dev/null").map_err(Error::Null)?;
    Ok(null.into())
}

/// Gives each of `descriptors` its [`number`], makes `null` the standard input, and closes all others
/// but standard output and standard error.
///
/// # Errors
/// If the kernel refuses.
pub(crate) fn arrange(null: OwnedFd, mut descriptors: Vec<OwnedFd>) -> Result<(), Error> {
    // Nobody reads the tender's standard input.
    place(&null, libc::STDIN_FILENO)?;
    drop(null);
    let behind = number(descriptors.len());
    for position in 0..descriptors.len() {
        let target = number(position);
        if descriptors[position].as_raw_fd() == target {
            continue;
        }
        let mut later = descriptors[position..].iter_mut();
        if let Some(in_the_way) = later.find(|fd| fd.as_raw_fd() == target) {
            *in_the_way = duplicate_above(in_the_way, behind)?;
        }
        // Whatever has this number is none of the descriptors that are still to be placed.
        place(&descriptors[position], target)?;
    }
    // What remains refers to the originals, which the range below closes.
    for descriptor in descriptors {
        let _ = descriptor.into_raw_fd();
    }
    close_range(behind, RawFd::MAX)
}

/// Makes `null` the standard input, if there is one, and closes all but the standard streams and `keep`.
///
/// # Errors
/// If the kernel refuses.
pub fn keep_only(null: Option<OwnedFd>, mut keep: Vec<RawFd>) -> Result<(), Error> {
    null.map_or(Ok(()), |null| place(&null, libc::STDIN_FILENO))?;
    keep.extend([libc::STDIN_FILENO, libc::STDOUT_FILENO, libc::STDERR_FILENO]);
    keep.sort_unstable();
    keep.dedup();
    let mut next = 0;
    for fd in keep {
        if fd > next {
            close_range(next, fd - 1)?;
        }
        next = fd + 1;
    }
    close_range(next, RawFd::MAX)
}

/// Gives what `fd` refers to another number, too, which the caller vouches nobody uses.
fn place(fd: &OwnedFd, number: RawFd) -> Result<(), Error> {
    // SAFETY: takes no pointer; the number is free for this.
    let placed = unsafe { libc::dup2(fd.as_raw_fd(), number) };
    Errno::result(placed).map_err(|error| Error::Call { call: "dup2", error })?;
    Ok(())
}

fn duplicate_above(fd: &OwnedFd, lowest: RawFd) -> Result<OwnedFd, Error> {
    // SAFETY: takes no pointer.
    let copy = unsafe { libc::fcntl(fd.as_raw_fd(), libc::F_DUPFD, lowest) };
    let copy = Errno::result(copy).map_err(|error| Error::Call { call: "fcntl", error })?;
    // SAFETY: the kernel has just made it for this owner.
    Ok(unsafe { OwnedFd::from_raw_fd(copy) })
}

fn close_range(first: RawFd, last: RawFd) -> Result<(), Error> {
    // SAFETY: the caller keeps the descriptors that are still used; others refer to nothing.
    match unsafe { libc::syscall(libc::SYS_close_range, first, last, 0) } {
        0 => Ok(()),
        _ if Errno::last() == Errno::ENOSYS => Err(Error::NoCloseRange),
        _ => Err(Error::Call { call: "close_range", error: Errno::last() }),
    }
}
