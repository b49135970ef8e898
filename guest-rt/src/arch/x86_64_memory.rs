//! x86-64: the functions that the compiler calls for copies, fills and comparisons. Nobody else
//! supplies them, as no C library is linked.
//!
//! Copies and fills are in assembly, because the compiler may turn any loop over memory, and without
//! optimisation any move of a large value, into a call of the very function that it implements.
//! Up to 128 bytes a copy's loads all come before its stores, so that overlap does not matter;
//! more goes by `rep movsb` and `rep stosb`, which processors of the last ten years do in steps of a
//! cache line.
//!
//! | register | contents (System V) |
//! |---|---|
//! | rdi | destination, also the result in rax |
//! | rsi | source, or the byte to fill with |
//! | rdx | length in bytes |

core::arch::global_asm!(
    ".pushsection .text.memory, \"ax\", @progbits",
    ".globl memcpy, memmove, memset",
    ".p2align 5",
    "memcpy:",
    "memmove:",
    "mov rax, rdi",
    "cmp rdx, 16",
    "jb 20f",
    "cmp rdx, 32",
    "ja 10f",
    // 16 to 32 bytes: two blocks that may overlap, as in all that follow.
    "movups xmm0, [rsi]",
    "movups xmm1, [rsi + rdx - 16]",
    "movups [rdi], xmm0",
    "movups [rdi + rdx - 16], xmm1",
    "ret",
    "10:",
    "cmp rdx, 64",
    "ja 11f",
    "movups xmm0, [rsi]",
    "movups xmm1, [rsi + 16]",
    "movups xmm2, [rsi + rdx - 32]",
    "movups xmm3, [rsi + rdx - 16]",
    "movups [rdi], xmm0",
    "movups [rdi + 16], xmm1",
    "movups [rdi + rdx - 32], xmm2",
    "movups [rdi + rdx - 16], xmm3",
    "ret",
    "11:",
    "cmp rdx, 128",
    "ja 12f",
    "movups xmm0, [rsi]",
    "movups xmm1, [rsi + 16]",
    "movups xmm2, [rsi + 32]",
    "movups xmm3, [rsi + 48]",
    "movups xmm4, [rsi + rdx - 64]",
    "movups xmm5, [rsi + rdx - 48]",
    "movups xmm6, [rsi + rdx - 32]",
    "movups xmm7, [rsi + rdx - 16]",
    "movups [rdi], xmm0",
    "movups [rdi + 16], xmm1",
    "movups [rdi + 32], xmm2",
    "movups [rdi + 48], xmm3",
    "movups [rdi + rdx - 64], xmm4",
    "movups [rdi + rdx - 48], xmm5",
    "movups [rdi + rdx - 32], xmm6",
    "movups [rdi + rdx - 16], xmm7",
    "ret",
    // More: ascending, unless the destination begins inside of the source.
    "12:",
    "mov r8, rdi",
    "sub r8, rsi",
    "cmp r8, rdx",
    "jb 13f",
    "mov rcx, rdx",
    "rep movsb",
    "ret",
    // Descending; the first 16 bytes are loaded before a store can reach them.
    "13:",
    "movups xmm1, [rsi]",
    "14:",
    "movups xmm0, [rsi + rdx - 16]",
    "movups [rdi + rdx - 16], xmm0",
    "sub rdx, 16",
    "cmp rdx, 16",
    "ja 14b",
    "movups [rdi], xmm1",
    "ret",
    // Fewer than 16 bytes.
    "20:",
    "cmp rdx, 8",
    "jb 21f",
    "mov rcx, [rsi]",
    "mov r8, [rsi + rdx - 8]",
    "mov [rdi], rcx",
    "mov [rdi + rdx - 8], r8",
    "ret",
    "21:",
    "cmp rdx, 4",
    "jb 22f",
    "mov ecx, [rsi]",
    "mov r8d, [rsi + rdx - 4]",
    "mov [rdi], ecx",
    "mov [rdi + rdx - 4], r8d",
    "ret",
    "22:",
    "cmp rdx, 2",
    "jb 23f",
    "movzx ecx, word ptr [rsi]",
    "movzx r8d, word ptr [rsi + rdx - 2]",
    "mov [rdi], cx",
    "mov [rdi + rdx - 2], r8w",
    "ret",
    "23:",
    "test rdx, rdx",
    "jz 24f",
    "movzx ecx, byte ptr [rsi]",
    "mov [rdi], cl",
    "24:",
    "ret",
    ".p2align 5",
    "memset:",
    "mov r9, rdi",
    "movzx eax, sil",
    "cmp rdx, 64",
    "ja 31f",
    "cmp rdx, 16",
    "jb 31f",
    // 16 to 64 bytes.
    "mov rcx, 0x0101010101010101",
    "imul rcx, rax",
    "movq xmm0, rcx",
    "punpcklqdq xmm0, xmm0",
    "movups [rdi], xmm0",
    "movups [rdi + rdx - 16], xmm0",
    "cmp rdx, 32",
    "jbe 30f",
    "movups [rdi + 16], xmm0",
    "movups [rdi + rdx - 32], xmm0",
    "30:",
    "mov rax, r9",
    "ret",
    "31:",
    "mov rcx, rdx",
    "rep stosb",
    "mov rax, r9",
    "ret",
    ".popsection",
);

/// C's `memcmp`.
///
/// # Safety
/// Both ranges are valid for `bytes`.
#[unsafe(no_mangle)]
unsafe extern "C" fn memcmp(left: *const u8, right: *const u8, bytes: usize) -> i32 {
    let mut at = 0;
    while at + 8 <= bytes {
        // SAFETY: at + 8 <= bytes.
        let a = u64::from_be(unsafe { load(left, at) });
        // SAFETY: at + 8 <= bytes.
        let b = u64::from_be(unsafe { load(right, at) });
        if a != b {
            return if a < b { -1 } else { 1 };
        }
        at += 8;
    }
    while at < bytes {
        // SAFETY: at < bytes.
        let a: u8 = unsafe { load(left, at) };
        // SAFETY: at < bytes.
        let b: u8 = unsafe { load(right, at) };
        if a != b {
            return i32::from(a) - i32::from(b);
        }
        at += 1;
    }
    0
}

/// # Safety
/// `at + size_of::<T>()` bytes are valid behind `base`, and any bytes are a `T`.
#[inline(always)]
unsafe fn load<T: Copy>(base: *const u8, at: usize) -> T {
    // SAFETY: as promised by the caller.
    let address = unsafe { base.add(at) };
    // SAFETY: as promised by the caller.
    unsafe { address.cast::<T>().read_unaligned() }
}

/// C's old `bcmp`: zero if equal.
///
/// # Safety
/// Both ranges are valid for `bytes`.
#[unsafe(no_mangle)]
unsafe extern "C" fn bcmp(left: *const u8, right: *const u8, bytes: usize) -> i32 {
    // SAFETY: as promised by the caller.
    unsafe { memcmp(left, right, bytes) }
}

#[cfg(test)]
mod tests {
    use super::memcmp;

    extern crate std;
    use std::vec::Vec;

    unsafe extern "C" {
        fn memcpy(dst: *mut u8, src: *const u8, bytes: usize) -> *mut u8;
        fn memmove(dst: *mut u8, src: *const u8, bytes: usize) -> *mut u8;
        fn memset(dst: *mut u8, value: i32, bytes: usize) -> *mut u8;
    }

    fn ramp(bytes: usize) -> Vec<u8> {
        (0..bytes).map(|i| (i * 7 + i / 251) as u8).collect()
    }

    #[test]
    fn copies_of_every_length_are_exact_and_touch_nothing_else() {
        for bytes in (0..300).chain([4095, 4096, 4097, 70_000]) {
            let source = ramp(bytes);
            let mut target = std::vec![0xee; bytes + 2];
            // SAFETY: both ranges have `bytes` bytes.
            unsafe { memcpy(target[1..].as_mut_ptr(), source.as_ptr(), bytes) };
            assert_eq!((target[0], target[bytes + 1]), (0xee, 0xee));
            assert!(target[1..=bytes].iter().eq(&source), "{bytes} bytes");
        }
    }

    #[test]
    fn overlapping_moves_of_every_length_and_distance_are_exact() {
        for bytes in (0..180).chain([255, 256, 257, 1000]) {
            for (from, to) in (0..40).map(|d| (0, d)).chain((0..40).map(|d| (d, 0))) {
                let mut memory = ramp(bytes + 40);
                let expected = memory[from..from + bytes].to_vec();
                let base = memory.as_mut_ptr();
                // SAFETY: from and to are at most 40.
                let source = unsafe { base.add(from) };
                // SAFETY: as above.
                let target = unsafe { base.add(to) };
                // SAFETY: both ranges end within the memory.
                unsafe { memmove(target, source, bytes) };
                assert!(memory[to..to + bytes].iter().eq(&expected), "{bytes} {from} {to}");
            }
        }
    }

    #[test]
    fn fills_and_comparisons_agree_with_slices() {
        for bytes in 0..200 {
            let mut memory = ramp(bytes + 2);
            let before = memory.clone();
            // SAFETY: the range has `bytes` bytes.
            unsafe { memset(memory[1..].as_mut_ptr(), 0x1a5, bytes) };
            assert!(memory[1..=bytes].iter().all(|&byte| byte == 0xa5));
            assert_eq!((memory[0], memory[bytes + 1]), (before[0], before[bytes + 1]));

            for at in 0..bytes {
                let (left, mut right) = (ramp(bytes), ramp(bytes));
                right[at] = right[at].wrapping_add(1);
                // SAFETY: both have `bytes` bytes.
                let order = unsafe { memcmp(left.as_ptr(), right.as_ptr(), bytes) };
                assert_eq!(order.signum(), left.cmp(&right) as i32);
            }
        }
    }
}
