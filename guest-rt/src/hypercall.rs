//! The hypercalls with checked arguments: slices in, results out. Which of them a guest may make
//! is decided by its manifest and features; a call outside of that ends the guest.

use core::time::Duration;

use crate::arch::{number, syscall};

/// A negative result of the kernel, as a positive error number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Errno(pub(crate) i32);

impl Errno {
    pub(crate) const AGAIN: Self = Self(11);
    pub(crate) const INTERRUPTED: Self = Self(4);
}

/// `struct timespec` and, twice, `struct itimerspec`.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default)]
struct Timespec {
    seconds: i64,
    nanoseconds: i64,
}

impl From<Duration> for Timespec {
    fn from(duration: Duration) -> Self {
        Self {
            seconds: i64::try_from(duration.as_secs()).unwrap_or(i64::MAX),
            nanoseconds: i64::from(duration.subsec_nanos()),
        }
    }
}

/// `struct pollfd`.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub(crate) struct PollFd {
    pub(crate) fd: i32,
    pub(crate) events: i16,
    pub(crate) returned: i16,
}

impl PollFd {
    /// There is something to read.
    pub(crate) const IN: i16 = 1;
    /// There is room to write.
    pub(crate) const OUT: i16 = 4;
}

/// Any call, with any arguments; for guests that test what they may not do.
///
/// # Safety
/// Memory that the call reads or writes is valid for that.
pub unsafe fn raw(number: usize, arguments: [usize; 6]) -> isize {
    // SAFETY: as promised by the caller.
    unsafe { syscall(number, arguments) }
}

fn check(result: isize) -> Result<usize, Errno> {
    usize::try_from(result).map_err(|_| Errno(-result as i32))
}

pub(crate) fn write(fd: i32, bytes: &[u8]) -> Result<usize, Errno> {
    let arguments = [fd as usize, bytes.as_ptr().expose_provenance(), bytes.len(), 0, 0, 0];
    // SAFETY: the kernel only reads the slice.
    check(unsafe { syscall(number::WRITE, arguments) })
}

pub(crate) fn read(fd: i32, bytes: &mut [u8]) -> Result<usize, Errno> {
    let arguments = [fd as usize, bytes.as_mut_ptr().expose_provenance(), bytes.len(), 0, 0, 0];
    // SAFETY: the kernel writes within the slice.
    check(unsafe { syscall(number::READ, arguments) })
}

pub(crate) fn pread(fd: i32, bytes: &mut [u8], offset: u64) -> Result<usize, Errno> {
    let address = bytes.as_mut_ptr().expose_provenance();
    let arguments = [fd as usize, address, bytes.len(), offset as usize, 0, 0];
    // SAFETY: the kernel writes within the slice.
    check(unsafe { syscall(number::PREAD64, arguments) })
}

pub(crate) fn pwrite(fd: i32, bytes: &[u8], offset: u64) -> Result<usize, Errno> {
    let arguments =
        [fd as usize, bytes.as_ptr().expose_provenance(), bytes.len(), offset as usize, 0, 0];
    // SAFETY: the kernel only reads the slice.
    check(unsafe { syscall(number::PWRITE64, arguments) })
}

/// Time of a clock since its epoch.
pub(crate) fn clock(clock_id: i32) -> Duration {
    let mut time = Timespec::default();
    let arguments = [clock_id as usize, (&raw mut time).expose_provenance(), 0, 0, 0, 0];
    // SAFETY: the kernel writes one timespec. Both clocks exist on every Linux.
    let _ = unsafe { syscall(number::CLOCK_GETTIME, arguments) };
    Duration::new(time.seconds as u64, time.nanoseconds as u32)
}

pub(crate) fn exit_group(status: i32) -> ! {
    loop {
        // SAFETY: takes no memory.
        unsafe { syscall(number::EXIT_GROUP, [status as usize, 0, 0, 0, 0, 0]) };
    }
}

/// Waits until one of `fds` is ready or `timeout` has passed; `None` waits without end.
pub(crate) fn ppoll(fds: &mut [PollFd], timeout: Option<Duration>) -> Result<usize, Errno> {
    let mut limit = timeout.map(Timespec::from);
    let limit_address = limit.as_mut().map_or(0, |t| (&raw mut *t).expose_provenance());
    let fds_address = fds.as_mut_ptr().expose_provenance();
    // SAFETY: the kernel reads and writes the slice and the time within their bounds.
    check(unsafe { syscall(number::PPOLL, [fds_address, fds.len(), limit_address, 0, 0, 0]) })
}

/// Solo5's own way to wait: arms `timer_fd` for the monotonic time `deadline` (`None` disarms it)
/// and waits on `epoll_fd`, which the tender made.
pub(crate) fn epoll_yield(
    epoll_fd: i32,
    timer_fd: i32,
    deadline: Option<Duration>,
) -> Result<usize, Errno> {
    const TIMER_ABSOLUTE: usize = 1;
    const EVENT_WORDS: usize = 3;
    const EVENTS: usize = 8;
    // A time of zero would disarm the timer; the clock has long passed one nanosecond.
    let expiry = deadline.map(|d| d.max(Duration::from_nanos(1))).unwrap_or_default();
    let setting = [Timespec::default(), Timespec::from(expiry)];
    let address = setting.as_ptr().expose_provenance();
    // SAFETY: the kernel only reads the two times.
    check(unsafe {
        syscall(number::TIMERFD_SETTIME, [timer_fd as usize, TIMER_ABSOLUTE, address, 0, 0, 0])
    })?;
    // struct epoll_event is packed: u32 events, u64 data.
    let mut events = [0u32; EVENT_WORDS * EVENTS];
    let address = events.as_mut_ptr().expose_provenance();
    // SAFETY: the kernel writes at most EVENTS packed events of 12 bytes.
    check(unsafe {
        syscall(number::EPOLL_PWAIT, [epoll_fd as usize, address, EVENTS, usize::MAX, 0, 0])
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_are_the_kernels_numbers() {
        assert_eq!(write(-1, b"x"), Err(Errno(9)));
        assert_eq!(read(-1, &mut [0]), Err(Errno(9)));
    }

    #[test]
    fn waiting_for_nothing_ends_with_the_time_out() {
        assert_eq!(ppoll(&mut [], Some(Duration::ZERO)), Ok(0));
    }

    #[test]
    fn the_monotonic_clock_does_not_go_back() {
        let first = clock(solo5_sys::hypercall::CLOCK_MONOTONIC);
        assert!(clock(solo5_sys::hypercall::CLOCK_MONOTONIC) >= first);
    }
}
