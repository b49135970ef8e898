//! The functions that the compiler calls for copies, fills and comparisons, in assembly, because it
//! could turn a loop into a call of the very function that it implements.
//!
//! | register | contents (System V) |
//! |---|---|
//! | rdi, rsi, rdx | destination or left, source, byte or right, length in bytes |
//! | rax | the destination, or less than, equal to or more than zero |

core::arch::global_asm!(
    ".pushsection .text.memory, \"ax\", @progbits",
    ".globl memcpy, memmove, memset, memcmp, bcmp",
    "memcpy:",
    "memmove:",
    "mov rax, rdi",
    "mov rcx, rdx",
    "mov r8, rdi",
    "sub r8, rsi",
    "cmp r8, rdx",
    "jb 2f",
    "rep movsb",
    "ret",
    // The destination begins inside of the source: from the end.
    "2: lea rdi, [rdi + rcx - 1]",
    "lea rsi, [rsi + rcx - 1]",
    "std",
    "rep movsb",
    "cld",
    "ret",
    "memset:",
    "mov r8, rdi",
    "mov eax, esi",
    "mov rcx, rdx",
    "rep stosb",
    "mov rax, r8",
    "ret",
    "memcmp:",
    "bcmp:",
    "mov rcx, rdx",
    "xor eax, eax",
    "repe cmpsb",
    "je 3f",
    "movzx eax, byte ptr [rdi - 1]",
    "movzx ecx, byte ptr [rsi - 1]",
    "sub eax, ecx",
    "3: ret",
    ".popsection",
);
