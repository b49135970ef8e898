//! What a Solo5 guest needs besides its program, written against the ABI alone: nothing here is
//! shared with our SDK but `solo5-sys`, and no guest carries Nabla's note. So these guests stand for
//! all those that others have built.
//!
//! | module | what it holds |
//! |---|---|
//! | [`boot`] | the entry, what the tender told, the notes ([`guest!`]) |
//! | [`sys`] | the system calls of Solo5's spt ABI |
//! | [`console`] | [`println!`] |
//! | `memory` | the string functions that the compiler calls |
#![no_std]

pub mod boot;
pub mod console;
mod memory;
pub mod sys;

pub use boot::Guest;
pub use solo5_sys;

use core::panic::PanicInfo;

use solo5_sys::hypercall::EXIT_ABORT;

/// Ends the guest as Solo5's `solo5_abort` does.
pub fn abort() -> ! {
    sys::exit(EXIT_ABORT)
}

#[panic_handler]
fn panic(info: &PanicInfo<'_>) -> ! {
    println!("{info}");
    abort()
}

// Two names of the unwinder that the precompiled core mentions; neither is ever called.

#[unsafe(no_mangle)]
extern "C" fn rust_eh_personality() {}

#[unsafe(no_mangle)]
extern "C" fn _Unwind_Resume() -> ! {
    abort()
}
