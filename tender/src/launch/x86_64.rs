//! x86-64: the last host code of a guest's process.
//!
//! The code is copied to [`LAUNCH_CODE`] and runs there, so that it can unmap everything else of
//! the tender. It uses no stack until the guest's exists and finds what it needs at
//! [`LAUNCH_PARAMETERS`], whose addresses below are fixed. Both pages are read-only by then.
//!
//! | step | system call | if it fails |
//! |---|---|---|
//! | unmap all above guest memory | munmap | a line on descriptor 2, status 1 |
//! | forget thread-local storage | arch_prctl twice | cannot fail for address 0 |
//! | close standard error | close | nothing was there |
//! | load the filter | seccomp | a line on descriptor 1, status 1 |
//!
//! | register | on entry to the guest |
//! |---|---|
//! | rip | the image's entry |
//! | rdi | address of the boot information |
//! | rsp | end of memory - 8; the eight bytes there are zero, as if called from nowhere |
//! | rflags | clear |
//! | fs base, gs base | 0 |
//! | others: general, x87, SSE, AVX and later | 0, or as after power-up; mxcsr 0x1f80 |

use core::arch::{asm, global_asm};
use std::arch::x86_64::__cpuid;

use solo5_sys::layout::BOOT_INFO;

use super::Parameters;
use crate::memory::{FILTER, LAUNCH_CODE, LAUNCH_PARAMETERS, TASK_END};

/// Size of the parameters in bytes.
pub(super) const PARAMETERS_BYTES: usize = STATE + STATE_BYTES;

// Offsets in the parameters. The first 16 bytes are a `struct sock_fprog`.
const PROGRAM_LENGTH: usize = 0;
const PROGRAM_ADDRESS: usize = 8;
const UNMAP_START: usize = 16;
const UNMAP_BYTES: usize = 24;
const ENTRY: usize = 32;
const STACK_POINTER: usize = 40;
const HAS_XSAVE: usize = 48;
/// An XSAVE area: 512 bytes of x87 and SSE state and a header of 64 that names no component, so
/// that all of them take their initial state. It must be 64-aligned.
const STATE: usize = 64;
const STATE_BYTES: usize = 512 + 64;
/// x87 control word after power-up, for processors without XSAVE.
const FCW: (usize, u16) = (STATE, 0x037f);
/// SSE control and status after power-up; XRSTOR takes it from here always.
const MXCSR: (usize, u32) = (STATE + 24, 0x1f80);

const _: () = assert!((LAUNCH_PARAMETERS + STATE as u64).is_multiple_of(64));

global_asm!(
    ".pushsection .rodata.tender_launch, \"a\", @progbits",
    ".globl tender_launch_begin",
    ".hidden tender_launch_begin",
    ".globl tender_launch_end",
    ".hidden tender_launch_end",
    "tender_launch_begin:",
    "mov eax, {munmap}",
    "mov rdi, [{parameters} + {unmap_start}]",
    "mov rsi, [{parameters} + {unmap_bytes}]",
    "syscall",
    "mov edi, 2",
    "lea rsi, [rip + 7f]",
    "lea rdx, [rip + 8f]",
    "sub edx, esi",
    "test rax, rax",
    "jnz 6f",
    // arch_prctl(ARCH_SET_FS, 0), arch_prctl(ARCH_SET_GS, 0)
    "mov eax, {arch_prctl}",
    "mov edi, 0x1002",
    "xor esi, esi",
    "syscall",
    "mov eax, {arch_prctl}",
    "mov edi, 0x1001",
    "xor esi, esi",
    "syscall",
    "mov eax, {close}",
    "mov edi, 2",
    "syscall",
    // seccomp(SECCOMP_SET_MODE_FILTER, 0, program)
    "mov eax, {seccomp}",
    "mov edi, 1",
    "xor esi, esi",
    "mov edx, {parameters} + {program}",
    "syscall",
    "mov edi, 1",
    "lea rsi, [rip + 8f]",
    "lea rdx, [rip + 9f]",
    "sub edx, esi",
    "test rax, rax",
    "jnz 6f",
    // Every component that the processor has to its initial state.
    "cmp qword ptr [{parameters} + {has_xsave}], 0",
    "je 2f",
    "mov eax, -1",
    "mov edx, -1",
    "xrstor64 [{parameters} + {state}]",
    "jmp 3f",
    "2: fxrstor64 [{parameters} + {state}]",
    "3: mov rsp, [{parameters} + {stack_pointer}]",
    "xor eax, eax",
    "xor ecx, ecx",
    "xor edx, edx",
    "xor ebx, ebx",
    "xor ebp, ebp",
    "xor esi, esi",
    "xor r8d, r8d",
    "xor r9d, r9d",
    "xor r10d, r10d",
    "xor r11d, r11d",
    "xor r12d, r12d",
    "xor r13d, r13d",
    "xor r14d, r14d",
    "xor r15d, r15d",
    "push 0",
    "popfq",
    // From here on nothing that changes flags.
    "mov edi, {boot_info}",
    "jmp qword ptr [{parameters} + {entry}]",
    // write(edi, rsi, edx), exit_group(1)
    "6: mov eax, {write}",
    "syscall",
    "mov eax, {exit_group}",
    "mov edi, 1",
    "syscall",
    "ud2",
    "7: .ascii \"tender: the kernel refused to unmap the tender\\n\"",
    "8: .ascii \"tender: the kernel refused the system call policy\\n\"",
    "9:",
    "tender_launch_end:",
    ".popsection",
    parameters = const LAUNCH_PARAMETERS,
    program = const PROGRAM_LENGTH,
    unmap_start = const UNMAP_START,
    unmap_bytes = const UNMAP_BYTES,
    entry = const ENTRY,
    stack_pointer = const STACK_POINTER,
    has_xsave = const HAS_XSAVE,
    state = const STATE,
    boot_info = const BOOT_INFO,
    munmap = const libc::SYS_munmap,
    arch_prctl = const libc::SYS_arch_prctl,
    close = const libc::SYS_close,
    seccomp = const libc::SYS_seccomp,
    write = const libc::SYS_write,
    exit_group = const libc::SYS_exit_group,
);

unsafe extern "C" {
    static tender_launch_begin: u8;
    static tender_launch_end: u8;
}

/// The launch code, to be copied to [`LAUNCH_CODE`].
pub(super) fn code() -> &'static [u8] {
    let begin = &raw const tender_launch_begin;
    let bytes = (&raw const tender_launch_end).addr() - begin.addr();
    // SAFETY: the two labels enclose one constant piece of read-only data.
    unsafe { std::slice::from_raw_parts(begin, bytes) }
}

/// The parameters, to be copied to [`LAUNCH_PARAMETERS`].
pub(super) fn parameters(parameters: &Parameters) -> [u8; PARAMETERS_BYTES] {
    let mut out = [0; PARAMETERS_BYTES];
    let mut put = |offset: usize, value: &[u8]| {
        out[offset..offset + value.len()].copy_from_slice(value);
    };
    put(PROGRAM_LENGTH, &parameters.filter_instructions.to_le_bytes());
    put(PROGRAM_ADDRESS, &FILTER.to_le_bytes());
    put(UNMAP_START, &parameters.memory_end.to_le_bytes());
    put(UNMAP_BYTES, &(TASK_END - parameters.memory_end).to_le_bytes());
    put(ENTRY, &parameters.entry.to_le_bytes());
    put(STACK_POINTER, &(parameters.memory_end - 8).to_le_bytes());
    put(HAS_XSAVE, &u64::from(has_xsave()).to_le_bytes());
    put(FCW.0, &FCW.1.to_le_bytes());
    put(MXCSR.0, &MXCSR.1.to_le_bytes());
    out
}

/// Whether the kernel has enabled XSAVE.
fn has_xsave() -> bool {
    const OSXSAVE: u32 = 1 << 27;
    __cpuid(1).ecx & OSXSAVE != 0
}

/// The address that `fs` points at: the thread's own structure of the C library.
pub(super) fn thread_pointer() -> usize {
    let pointer;
    // SAFETY: the ABI keeps the thread pointer's own address at its start; reads only.
    unsafe {
        asm!("mov {}, fs:[0]", out(reg) pointer, options(nostack, readonly, preserves_flags))
    };
    pointer
}

/// Where glibc's `__rseq_offset` and `__rseq_size` lie, in a program with that library in it; null
/// in any other. The references are weak, which Rust cannot say yet: without the symbols the
/// linker puts zero in their place.
pub(super) fn rseq_constants() -> (*const isize, *const u32) {
    let (offset, size);
    // SAFETY: reads an entry of the global offset table, which the linker makes.
    unsafe {
        asm!(
            ".weak __rseq_offset",
            "mov {}, qword ptr [rip + __rseq_offset@GOTPCREL]",
            out(reg) offset,
            options(nostack, readonly, preserves_flags)
        )
    };
    // SAFETY: reads an entry of the global offset table, which the linker makes.
    unsafe {
        asm!(
            ".weak __rseq_size",
            "mov {}, qword ptr [rip + __rseq_size@GOTPCREL]",
            out(reg) size,
            options(nostack, readonly, preserves_flags)
        )
    };
    (offset, size)
}

/// Jumps to the launch code and never comes back.
///
/// # Safety
/// Code and parameters lie, protected, at their addresses; nothing that still exists in this
/// process is needed any more.
pub(super) unsafe fn jump() -> ! {
    // SAFETY: as promised by the caller.
    unsafe { asm!("jmp {}", in(reg) LAUNCH_CODE, options(noreturn)) }
}
