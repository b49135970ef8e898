//! Makes the system call whose number is its argument, with arguments of zero; with a second argument
//! by the entry point of 32-bit programs.
#![no_std]
#![no_main]

use core::arch::asm;

guest_rt::manifest! {}

#[guest_rt::main]
fn main() {
    let arguments = guest_rt::args();
    let number: usize = arguments.first().and_then(|text| text.parse().ok()).unwrap_or(39);
    let result: isize;
    if arguments.len() > 1 {
        // SAFETY: none; the end of the process is the test.
        unsafe {
            asm!(
                "int 0x80",
                inlateout("rax") number => result,
                in("rcx") 0, in("rdx") 0, in("rsi") 0, in("rdi") 0,
            );
        }
    } else {
        // SAFETY: none; the end of the process is the test.
        unsafe {
            asm!(
                "syscall",
                inlateout("rax") number => result,
                in("rdi") 0, in("rsi") 0, in("rdx") 0, in("r10") 0, in("r8") 0, in("r9") 0,
                lateout("rcx") _, lateout("r11") _,
            );
        }
    }
    guest_rt::println!("returned {result}");
}
