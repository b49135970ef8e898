//! The system calls of Solo5's spt ABI on x86-64.
//!
//! | register | contents |
//! |---|---|
//! | rax | number, then the result: negative for an error number |
//! | rdi, rsi, rdx, r10, r8, r9 | arguments |
//! | rcx, r11 | lost |

use core::arch::asm;

use solo5_sys::boot::BootInfo;
use solo5_sys::hypercall::{ARCH_SET_FS, TIMER_EVENT};

const READ: usize = 0;
const WRITE: usize = 1;
const PREAD64: usize = 17;
const PWRITE64: usize = 18;
const ARCH_PRCTL: usize = 158;
const CLOCK_GETTIME: usize = 228;
const EXIT_GROUP: usize = 231;
const EPOLL_PWAIT: usize = 281;
const TIMERFD_SETTIME: usize = 286;

const NS_PER_S: u64 = 1_000_000_000;
/// A deadline that never comes.
pub const NEVER_NS: u64 = i64::MAX as u64;

/// Makes any system call.
///
/// # Safety
/// The arguments are right for the call: memory that it reads or writes is valid for that.
pub unsafe fn call(number: usize, arguments: [usize; 6]) -> isize {
    let result;
    // SAFETY: the caller vouches for the arguments; the kernel keeps all registers but rcx and
    // r11, and does not touch the stack.
    unsafe {
        asm!(
            "syscall",
            inlateout("rax") number => result,
            in("rdi") arguments[0],
            in("rsi") arguments[1],
            in("rdx") arguments[2],
            in("r10") arguments[3],
            in("r8") arguments[4],
            in("r9") arguments[5],
            lateout("rcx") _,
            lateout("r11") _,
            options(nostack),
        );
    }
    result
}

/// Ends the guest.
pub fn exit(status: i32) -> ! {
    loop {
        // SAFETY: takes no memory.
        unsafe { call(EXIT_GROUP, [status as usize, 0, 0, 0, 0, 0]) };
    }
}

/// Writes to the console or sends a frame.
pub fn write(fd: i32, bytes: &[u8]) -> isize {
    let arguments = [fd as usize, bytes.as_ptr().expose_provenance(), bytes.len(), 0, 0, 0];
    // SAFETY: the kernel only reads the slice.
    unsafe { call(WRITE, arguments) }
}

/// Receives a frame.
pub fn read(fd: i32, bytes: &mut [u8]) -> isize {
    let arguments = [fd as usize, bytes.as_mut_ptr().expose_provenance(), bytes.len(), 0, 0, 0];
    // SAFETY: the kernel writes within the slice.
    unsafe { call(READ, arguments) }
}

/// Reads from a block device.
pub fn pread(fd: i32, bytes: &mut [u8], offset: u64) -> isize {
    let address = bytes.as_mut_ptr().expose_provenance();
    // SAFETY: the kernel writes within the slice.
    unsafe { call(PREAD64, [fd as usize, address, bytes.len(), offset as usize, 0, 0]) }
}

/// Writes to a block device.
pub fn pwrite(fd: i32, bytes: &[u8], offset: u64) -> isize {
    let address = bytes.as_ptr().expose_provenance();
    // SAFETY: the kernel only reads the slice.
    unsafe { call(PWRITE64, [fd as usize, address, bytes.len(), offset as usize, 0, 0]) }
}

/// The time of a clock in nanoseconds.
pub fn clock_ns(clock: i32) -> u64 {
    let mut time = [0u64; 2];
    let address = time.as_mut_ptr().expose_provenance();
    // SAFETY: the kernel writes a `struct timespec`, which is two words.
    let result = unsafe { call(CLOCK_GETTIME, [clock as usize, address, 0, 0, 0, 0]) };
    assert!(result == 0, "clock_gettime: {result}");
    time[0] * NS_PER_S + time[1]
}

/// Makes `base` the base of thread-local storage.
///
/// # Safety
/// What is read and written through `fs` from now on lies in memory that is the caller's.
pub unsafe fn set_thread_base(base: usize) {
    // SAFETY: as promised by the caller.
    let result = unsafe { call(ARCH_PRCTL, [ARCH_SET_FS as usize, base, 0, 0, 0, 0]) };
    assert!(result == 0, "arch_prctl: {result}");
}

/// Solo5's yield: waits until a network can be read or the monotonic clock shows `deadline_ns`,
/// and returns the networks as bits of their manifest indices.
pub fn wait(info: &BootInfo, deadline_ns: u64) -> u64 {
    const ABSOLUTE: usize = 1;
    const EVENTS: usize = 64;
    // `struct itimerspec`: no interval, then the time.
    let time = [0, 0, deadline_ns / NS_PER_S, deadline_ns % NS_PER_S];
    let address = time.as_ptr().expose_provenance();
    // SAFETY: the kernel only reads the four words.
    let result =
        unsafe { call(TIMERFD_SETTIME, [info.timer_fd as usize, ABSOLUTE, address, 0, 0, 0]) };
    assert!(result == 0, "timerfd_settime: {result}");
    // `struct epoll_event` is packed: u32 events, u64 data.
    let mut events = [[0u32; 3]; EVENTS];
    let address = events.as_mut_ptr().expose_provenance();
    let arguments = [info.epoll_fd as usize, address, EVENTS, usize::MAX, 0, 0];
    // SAFETY: the kernel writes at most EVENTS structures of twelve bytes.
    let count = unsafe { call(EPOLL_PWAIT, arguments) };
    assert!((1..=EVENTS as isize).contains(&count), "epoll_pwait: {count}");
    let data = events[..count as usize].iter().map(|e| u64::from(e[1]) | u64::from(e[2]) << 32);
    data.filter(|&data| data != TIMER_EVENT).fold(0, |ready, index| ready | 1 << index)
}
