//! Reads at address zero.
#![no_std]
#![no_main]

use core::arch::asm;

use solo5_guests::{Guest, guest, println};

guest!(main, []);

fn main(_guest: &Guest) -> i32 {
    let value: u64;
    // SAFETY: none; the fault is the test.
    unsafe { asm!("mov {}, qword ptr [{}]", out(reg) value, in(reg) 0u64) };
    println!("read {value}");
    0
}
