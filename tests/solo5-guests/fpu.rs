//! Floating point: the state on entry is that after power-up, and SSE and x87 compute.
#![no_std]
#![no_main]

use core::arch::asm;
use core::hint::black_box;

use solo5_guests::boot::entry_floating_point;
use solo5_guests::{Guest, guest, println};

guest!(main, []);

fn main(_guest: &Guest) -> i32 {
    let (control, mxcsr, registers_are_zero) = entry_floating_point();
    println!("x87 control {control:#x} mxcsr {mxcsr:#x}");
    assert!(control == 0x37f && mxcsr == 0x1f80 && registers_are_zero);

    let sum: f64 = black_box([0.1f64; 10]).iter().sum();
    assert!(sum.to_bits() == 0.999_999_999_999_999_9f64.to_bits());
    // With exceptions masked these are values and no SIGFPE.
    assert!((black_box(1.0f64) / black_box(0.0)).is_infinite());
    assert!((black_box(0.0f64) / black_box(0.0)).is_nan());
    let mut root = 0f64;
    // SAFETY: leaves the x87 stack as it was.
    unsafe {
        asm!(
            "fld qword ptr [{number}]", "fsqrt", "fstp qword ptr [{root}]",
            number = in(reg) &raw const NUMBER,
            root = in(reg) &raw mut root,
            options(nostack),
        );
    }
    assert!(root.to_bits() == 1.5f64.to_bits());
    println!("computed");
    0
}

static NUMBER: f64 = 2.25;
