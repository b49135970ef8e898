//! Says what it was told, after checking that memory ends where the stack begins.
#![no_std]
#![no_main]

use solo5_guests::{Guest, guest, println};

guest!(main, []);

fn main(guest: &Guest) -> i32 {
    let memory_bytes = guest.info.memory_bytes;
    assert!(guest.stack_pointer == memory_bytes - 8, "{:#x}", guest.stack_pointer);
    assert!(guest.info.kernel_end > 0x10_0000 && guest.info.kernel_end < memory_bytes);
    assert!(guest.manifest().devices().count() == 0);
    println!("hello from a plain guest with {} MB", memory_bytes >> 20);
    println!("command line: <{}>", guest.command_line());
    0
}
