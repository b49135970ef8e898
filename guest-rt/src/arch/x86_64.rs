//! x86-64: entry and system calls.
//!
//! On entry, as the tender leaves it (as if called by the System V ABI):
//!
//! | register | contents |
//! |---|---|
//! | rdi | address of the boot information |
//! | rsp | the end of the stack that the tender has placed - 8, if it has; else end of memory - 8, which is not used: the guest has a stack of its own with a guard below |
//! | fs base | 0 |
//! | others | undefined under Solo5's tender, zero under Nabla's |

use core::arch::asm;

use solo5_sys::extension::Features;
#[cfg(not(test))]
use solo5_sys::{extension::Extension, layout::EXTENSION_PAGE};

// The first bits of the features are looked at as a byte.
const _: () = assert!(Features::PLACEMENT.bits() < 1 << 8);

// Tests of this crate are host programs with an entry of their own.
#[cfg(not(test))]
core::arch::global_asm!(
    ".pushsection .text.entry, \"ax\", @progbits",
    ".globl _start",
    ".type _start, @function",
    "_start:",
    // Solo5's tender leaves the page zero.
    "test byte ptr [{features}], {placement}",
    "jnz 2f",
    "lea rsp, [rip + __stack_top]",
    "2: and rsp, -16",
    "xor ebp, ebp",
    "cld",
    "call {start}",
    "ud2",
    ".size _start, . - _start",
    ".popsection",
    start = sym crate::boot::start,
    features = const EXTENSION_PAGE as usize + Extension::FEATURES_OFFSET,
    placement = const Features::PLACEMENT.bits(),
);

// The stub: the only system call instruction of the program, with its number and arguments in the
// kernel's registers. The tender permits calls from here alone.
core::arch::global_asm!(
    ".pushsection .text.stub, \"ax\", @progbits",
    ".globl __guest_stub",
    ".type __guest_stub, @function",
    "__guest_stub:",
    "syscall",
    ".globl __guest_stub_end",
    "__guest_stub_end:",
    "ret",
    ".size __guest_stub, . - __guest_stub",
    ".popsection",
);

unsafe extern "C" {
    /// Where the stub starts.
    pub(crate) fn __guest_stub();
    /// Where its call returns to, which is the address that the kernel sees as the call's.
    pub(crate) fn __guest_stub_end();
}

/// System call numbers (`asm/unistd_64.h`).
pub(crate) mod number {
    pub(crate) const READ: usize = 0;
    pub(crate) const WRITE: usize = 1;
    pub(crate) const PREAD64: usize = 17;
    pub(crate) const PWRITE64: usize = 18;
    pub(crate) const CLOCK_GETTIME: usize = 228;
    pub(crate) const EXIT_GROUP: usize = 231;
    pub(crate) const PPOLL: usize = 271;
    pub(crate) const EPOLL_PWAIT: usize = 281;
    pub(crate) const TIMERFD_SETTIME: usize = 286;
}

/// Makes a system call; the result is the kernel's, negative for an error number.
///
/// # Safety
/// The arguments are right for the call: memory that it reads or writes is valid for that.
#[inline]
pub(crate) unsafe fn syscall(number: usize, arguments: [usize; 6]) -> isize {
    let result;
    // SAFETY: the caller vouches for the arguments; the kernel keeps all registers but rcx and
    // r11, and the stub uses the stack for its return address only.
    unsafe {
        asm!(
            "call {stub}",
            stub = sym __guest_stub,
            inlateout("rax") number => result,
            in("rdi") arguments[0],
            in("rsi") arguments[1],
            in("rdx") arguments[2],
            in("r10") arguments[3],
            in("r8") arguments[4],
            in("r9") arguments[5],
            lateout("rcx") _,
            lateout("r11") _,
        );
    }
    result
}

/// The processor's cycle counter: cheap, not synchronised with any clock.
pub(crate) fn timestamp_counter() -> u64 {
    // SAFETY: rdtsc is available in user mode on Linux, unless somebody has forbidden it for this
    // process, and has no memory effects.
    unsafe { core::arch::x86_64::_rdtsc() }
}

/// 64 bits from the processor's random number generator, `None` where it has none or it is
/// exhausted.
pub(crate) fn hardware_random() -> Option<u64> {
    const CPUID_1_ECX_RDRAND: u32 = 1 << 30;
    if core::arch::x86_64::__cpuid(1).ecx & CPUID_1_ECX_RDRAND == 0 {
        return None;
    }
    (0..10).find_map(|_| {
        let (value, valid): (u64, u8);
        // SAFETY: the processor has rdrand, as checked above.
        unsafe {
            asm!("rdrand {}", "setc {}", out(reg) value, out(reg_byte) valid, options(nomem, nostack));
        }
        (valid == 1).then_some(value)
    })
}
