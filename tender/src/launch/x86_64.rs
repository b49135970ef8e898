//! x86-64: the last host code of a guest's process.
//!
//! The code is copied to [`LAUNCH_CODE`] and runs there, so that it can unmap everything else of
//! the tender. It uses no stack until the guest's exists and finds what it needs at
//! [`LAUNCH_PARAMETERS`], whose addresses below are fixed. Both pages are read-only by then.
//!
//! | step | system call | if it fails |
//! |---|---|---|
//! | unmap all above and between guest memory | munmap, once for each gap | a line on descriptor 2, status 1 |
//! | forget thread-local storage | arch_prctl twice | cannot fail for address 0 |
//! | close standard error | close | nothing was there |
//! | load the filter | seccomp | a line on descriptor 1, status 1 |
//!
//! | register | on entry to the guest |
//! |---|---|
//! | rip | the image's entry |
//! | rdi | address of the boot information |
//! | rsp | end of the stack - 8; the eight bytes there are zero, as if called from nowhere |
//! | rflags | clear |
//! | fs base, gs base | 0 |
//! | others: general, x87, SSE, AVX and later | 0, or as after power-up; mxcsr 0x1f80 |

//!
//! Behind it lies the code that notes how a guest dies, for the supervisor to tell: the handler of
//! [`record::SIGNALS`]. It copies what the kernel says to the record ([`crate::record`]), and causes the
//! signal once more. By then the signal has its default action again, so the process ends as it
//! would have without this code, and no call is needed for it.

use core::arch::{asm, global_asm};
use std::arch::x86_64::__cpuid;
use std::ops::Range;

use nix::errno::Errno;
use solo5_sys::layout::BOOT_INFO;
use solo5_sys::manifest::MAX_DEVICES;

use super::Parameters;
use crate::elf::PROGRAM_HEADERS_MAX;
use crate::memory::{FILTER, LAUNCH_CODE, LAUNCH_PARAMETERS, RECORD};
use crate::record;

/// Size of the parameters in bytes.
pub(super) const PARAMETERS_BYTES: usize = STATE + STATE_BYTES;

// Offsets in the parameters. The first 16 bytes are a `struct sock_fprog`.
const PROGRAM_LENGTH: usize = 0;
const PROGRAM_ADDRESS: usize = 8;
const ENTRY: usize = 16;
const STACK_POINTER: usize = 24;
const HAS_XSAVE: usize = 32;
/// How many ranges are to be unmapped, then start and size of each.
const UNMAP_COUNT: usize = 40;
const UNMAP: usize = 48;
/// A gap before each segment, before heap and stack, before what each device shares, and behind all.
const UNMAP_MAX: usize = PROGRAM_HEADERS_MAX as usize + MAX_DEVICES + 3;
/// An XSAVE area: 512 bytes of x87 and SSE state and a header of 64 that names no component, so
/// that all of them take their initial state. It must be 64-aligned.
const STATE: usize = (UNMAP + UNMAP_MAX * 16).next_multiple_of(64);
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
    "mov ebx, {parameters} + {unmap}",
    "mov r12, [{parameters} + {unmap_count}]",
    "4: mov rdi, [rbx]",
    "mov rsi, [rbx + 8]",
    "mov eax, {munmap}",
    "syscall",
    "test rax, rax",
    "jnz 5f",
    "add rbx, 16",
    "dec r12",
    "jnz 4b",
    "5: mov edi, 2",
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
    // seccomp(SECCOMP_SET_MODE_FILTER, SECCOMP_FILTER_FLAG_LOG, program)
    "mov eax, {seccomp}",
    "mov edi, 1",
    "mov esi, {flag_log}",
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
    // The handler: rdi = signal, rsi = siginfo, rdx = ucontext.
    ".globl tender_launch_note",
    ".hidden tender_launch_note",
    "tender_launch_note:",
    "mov ebx, edi",
    "mov edi, {record} + {record_information}",
    "mov ecx, {information_words}",
    "rep movsq",
    "lea rsi, [rdx + {context_registers}]",
    "mov edi, {record} + {record_registers}",
    "mov ecx, {registers_words}",
    "rep movsq",
    "mov [{record} + {record_signal}], ebx",
    "cmp ebx, {sigsys}",
    "je 4f",
    "cmp ebx, {sigfpe}",
    "je 3f",
    "cmp ebx, {sigtrap}",
    "je 2f",
    "cmp ebx, {sigbus}",
    "je 5f",
    "cmp ebx, {sigill}",
    "je 6f",
    // SIGSEGV: null is never mapped.
    "xor eax, eax",
    "mov [rax], eax",
    "2: int3",
    "3: xor ecx, ecx",
    "div ecx",
    // A call that no policy permits.
    "4: mov eax, {forbidden}",
    "syscall",
    // SIGBUS: what is no canonical address, by the stack.
    "5: mov rsp, 1",
    "shl rsp, 63",
    "push rax",
    "6: ud2",
    "tender_launch_end:",
    ".popsection",
    parameters = const LAUNCH_PARAMETERS,
    program = const PROGRAM_LENGTH,
    unmap_count = const UNMAP_COUNT,
    unmap = const UNMAP,
    entry = const ENTRY,
    stack_pointer = const STACK_POINTER,
    has_xsave = const HAS_XSAVE,
    state = const STATE,
    boot_info = const BOOT_INFO,
    munmap = const libc::SYS_munmap,
    arch_prctl = const libc::SYS_arch_prctl,
    close = const libc::SYS_close,
    seccomp = const libc::SYS_seccomp,
    flag_log = const libc::SECCOMP_FILTER_FLAG_LOG,
    write = const libc::SYS_write,
    exit_group = const libc::SYS_exit_group,
    record = const RECORD,
    record_signal = const record::SIGNAL,
    record_information = const record::INFORMATION,
    information_words = const record::INFORMATION_WORDS,
    record_registers = const record::REGISTERS,
    registers_words = const record::REGISTERS_WORDS,
    context_registers = const std::mem::offset_of!(libc::ucontext_t, uc_mcontext),
    sigsys = const libc::SIGSYS,
    sigfpe = const libc::SIGFPE,
    sigtrap = const libc::SIGTRAP,
    sigbus = const libc::SIGBUS,
    sigill = const libc::SIGILL,
    forbidden = const libc::SYS_getpid,
);

unsafe extern "C" {
    static tender_launch_begin: u8;
    static tender_launch_end: u8;
    static tender_launch_note: u8;
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
    put(ENTRY, &parameters.entry.to_le_bytes());
    put(STACK_POINTER, &(parameters.stack_end - 8).to_le_bytes());
    assert!(parameters.unmap.len() <= UNMAP_MAX);
    put(UNMAP_COUNT, &(parameters.unmap.len() as u64).to_le_bytes());
    for (i, range) in parameters.unmap.iter().enumerate() {
        put(UNMAP + 16 * i, &range.start.to_le_bytes());
        put(UNMAP + 16 * i + 8, &(range.end - range.start).to_le_bytes());
    }
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

/// Where the C library has registered an area for restartable sequences, and its size; `None` if it
/// has not. By weak symbols, as those before glibc 2.35 neither have them nor register anything.
pub(super) fn restartable_sequences() -> Option<(usize, u32)> {
    let (offset, size): (*const isize, *const u32);
    // SAFETY: loads two addresses that the linker has resolved, to zero if there is no such symbol.
    unsafe {
        asm!(
            ".weak __rseq_offset",
            ".weak __rseq_size",
            "mov {offset}, [rip + __rseq_offset@GOTPCREL]",
            "mov {size}, [rip + __rseq_size@GOTPCREL]",
            offset = out(reg) offset,
            size = out(reg) size,
            options(nostack, preserves_flags),
        );
    }
    if offset.is_null() || size.is_null() {
        return None;
    }
    // SAFETY: glibc defines this symbol as a constant of this type.
    let size = unsafe { *size };
    // SAFETY: as above.
    let offset = unsafe { *offset };
    (size != 0).then(|| (thread_pointer().wrapping_add_signed(offset), size))
}

/// The address that `fs` points at: the thread's own structure of the C library.
fn thread_pointer() -> usize {
    let pointer;
    // SAFETY: the ABI keeps the thread pointer's own address at its start; reads only.
    unsafe {
        asm!("mov {}, fs:[0]", out(reg) pointer, options(nostack, readonly, preserves_flags))
    };
    pointer
}

/// `struct sigaction` of the kernel, whose C library counterpart adds a restorer of its own.
#[repr(C)]
struct Action {
    handler: u64,
    flags: u64,
    restorer: u64,
    mask: u64,
}

/// Has [`record::SIGNALS`] noted, once each, by code that runs on `stack`.
///
/// # Safety
/// The stack is mapped, and used by nothing else.
pub(super) unsafe fn note_signals(stack: Range<u64>) -> Result<(), Errno> {
    const SA_RESTORER: u64 = 0x0400_0000;
    const SS_AUTODISARM: i32 = 1 << 31;
    let flags = libc::SA_SIGINFO | libc::SA_ONSTACK | libc::SA_NODEFER | libc::SA_RESETHAND;
    let offset = (&raw const tender_launch_note).addr() - (&raw const tender_launch_begin).addr();
    let handler = LAUNCH_CODE + offset as u64;
    // The kernel delivers no signal without a restorer; the handler never returns to it.
    let flags = u64::from(flags as u32) | SA_RESTORER;
    let action = Action { handler, flags, restorer: 0, mask: 0 };
    let stack = libc::stack_t {
        ss_sp: std::ptr::with_exposed_provenance_mut(stack.start as usize),
        // Whatever the stack pointer is at a fault, the handler starts at the stack's end.
        ss_flags: SS_AUTODISARM,
        ss_size: (stack.end - stack.start) as usize,
    };
    // SAFETY: the stack is as the caller vouches.
    Errno::result(unsafe { libc::sigaltstack(&raw const stack, std::ptr::null_mut()) })?;
    for signal in record::SIGNALS {
        let no_old = std::ptr::null_mut::<Action>();
        // SAFETY: `action` is what the kernel reads for a mask of 8 bytes.
        let result =
            unsafe { libc::syscall(libc::SYS_rt_sigaction, signal, &raw const action, no_old, 8) };
        Errno::result(result)?;
    }
    Ok(())
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
