//! Tries what its policy forbids. The arguments say what: a way into the kernel, a number, up to six
//! values; or an address to read or to jump to.
#![no_std]
#![no_main]

extern crate alloc;

use alloc::string::String;
use core::arch::asm;

use guest_rt::internal::raw_hypercall;

guest_rt::manifest! {}

#[guest_rt::main]
fn main() {
    let words = guest_rt::args();
    let way = words.first().map(|word| &**word).unwrap_or_default();
    if way == "probe" {
        guest_rt::println!("returned {}", probe(&words[1..]));
        return;
    }
    let mut values = [0; 7];
    for (value, word) in values.iter_mut().zip(words.iter().skip(1)) {
        *value = number(word);
    }
    let [first, arguments @ ..] = values;
    let result = match way {
        // SAFETY: none; what the kernel makes of it is the test. So it is with all below.
        "stub" => unsafe { raw_hypercall(first, arguments) },
        // SAFETY: as above.
        "syscall" => unsafe { by_syscall(first, arguments) },
        // SAFETY: as above.
        "int80" => unsafe { by_interrupt(first, arguments) },
        // SAFETY: as above.
        "sysenter" => unsafe { by_sysenter(first) },
        // SAFETY: as above.
        "read" => unsafe { read(first) },
        // SAFETY: as above.
        "jump" => unsafe { jump(first) },
        _ => panic!("no such way"),
    };
    guest_rt::println!("returned {result}");
}

fn number(word: &str) -> usize {
    let parsed = match word.strip_prefix("0x") {
        Some(digits) => usize::from_str_radix(digits, 16),
        None => word.parse(),
    };
    parsed.unwrap_or_else(|_| panic!("{word} is no number"))
}

/// # Safety
/// Whatever the call does is done.
#[inline(never)]
unsafe fn by_syscall(number: usize, arguments: [usize; 6]) -> isize {
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

/// # Safety
/// Whatever the call does is done.
unsafe fn by_interrupt(number: usize, arguments: [usize; 6]) -> isize {
    let result;
    // SAFETY: as the caller vouches; rbx is the compiler's own, and gets back what it held.
    unsafe {
        asm!(
            "xchg rbx, {first}",
            "int 0x80",
            "xchg rbx, {first}",
            first = inout(reg) arguments[0] => _,
            inlateout("rax") number => result,
            in("rcx") arguments[1], in("rdx") arguments[2], in("rsi") arguments[3],
            in("rdi") arguments[4],
        );
    }
    result
}

/// # Safety
/// Whatever the call does is done; it does not return here.
unsafe fn by_sysenter(number: usize) -> isize {
    let result;
    // SAFETY: as the caller vouches.
    unsafe { asm!("sysenter", inlateout("rax") number => result) };
    result
}

/// # Safety
/// The address may be anything.
unsafe fn read(address: usize) -> isize {
    let byte: u8;
    // SAFETY: as the caller vouches.
    unsafe { asm!("mov {}, [{}]", out(reg_byte) byte, in(reg) address) };
    byte.into()
}

/// # Safety
/// The address may be anything.
unsafe fn jump(address: usize) -> isize {
    let result;
    // SAFETY: as the caller vouches.
    unsafe { asm!("call {}", in(reg) address, lateout("rax") result, clobber_abi("C")) };
    result
}

/// How many pages of the ranges the kernel can read for a write to the console; each is given as
/// START-END in hexadecimal, without a prefix. What can be read is printed.
fn probe(ranges: &[String]) -> isize {
    const WRITE: usize = 1;
    let mut found = 0;
    for range in ranges {
        let (start, end) = range.split_once('-').expect("a range");
        let parse = |text| usize::from_str_radix(text, 16).expect("an address");
        for address in (parse(start)..parse(end)).step_by(4096) {
            // SAFETY: the kernel reads what it can.
            let written = unsafe { raw_hypercall(WRITE, [1, address, 1, 0, 0, 0]) };
            found += isize::from(written == 1);
        }
    }
    found
}
