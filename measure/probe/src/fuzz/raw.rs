//! System calls as they are, and what a handler of signals needs.

use std::arch::{asm, global_asm};

/// Makes a call; its result, or an error's number below 0.
///
/// # Safety
/// What the call does to this process's memory leaves everything valid that is used afterwards.
pub(super) unsafe fn call(number: u64, arguments: [u64; 6]) -> i64 {
    let result;
    // SAFETY: as the caller vouches.
    unsafe {
        asm!(
            "syscall",
            inlateout("rax") number => result,
            in("rdi") arguments[0], in("rsi") arguments[1], in("rdx") arguments[2],
            in("r10") arguments[3], in("r8") arguments[4], in("r9") arguments[5],
            lateout("rcx") _, lateout("r11") _,
        );
    }
    result
}

/// Makes a call that may return in a second task with the same memory, which ends at once without touching
/// that memory.
///
/// # Safety
/// As for [`call`].
pub(super) unsafe fn call_sharing(number: u64, arguments: [u64; 6]) -> i64 {
    let result;
    // SAFETY: as the caller vouches; the second task leaves by `exit` with registers only.
    unsafe {
        asm!(
            "syscall",
            "test rax, rax",
            "jnz 2f",
            "mov eax, 60",
            "xor edi, edi",
            "syscall",
            "ud2",
            "2:",
            inlateout("rax") number => result,
            inlateout("rdi") arguments[0] => _, in("rsi") arguments[1], in("rdx") arguments[2],
            in("r10") arguments[3], in("r8") arguments[4], in("r9") arguments[5],
            lateout("rcx") _, lateout("r11") _,
        );
    }
    result
}

global_asm!(
    ".globl probe_fuzz_handler",
    "probe_fuzz_handler: ret",
    ".globl probe_fuzz_restorer",
    // rt_sigreturn
    "probe_fuzz_restorer: mov eax, 15",
    "syscall",
);

unsafe extern "C" {
    fn probe_fuzz_handler();
    fn probe_fuzz_restorer();
}

/// The address of a handler that does nothing.
pub(super) fn handler() -> u64 {
    probe_fuzz_handler as *const () as u64
}

/// The address that a handler returns to.
pub(super) fn restorer() -> u64 {
    probe_fuzz_restorer as *const () as u64
}
