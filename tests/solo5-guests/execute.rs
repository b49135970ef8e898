//! Jumps to a `ret` on the heap, the stack or among read-only data, as its command line says. Solo5's
//! layout has read-only data in the executable segment.
#![no_std]
#![no_main]

use solo5_guests::{Guest, guest, println};

guest!(main, []);

const RET: u8 = 0xc3;
static READ_ONLY: [u8; 1] = [RET];

fn main(guest: &Guest) -> i32 {
    let stack = core::hint::black_box([RET]);
    let address = match guest.command_line() {
        "heap" => {
            let start = core::ptr::with_exposed_provenance_mut(guest.info.kernel_end as usize);
            // SAFETY: the heap is mapped, writable, and used by nobody else.
            unsafe { core::ptr::write(start, RET) };
            start.cast_const()
        }
        "stack" => stack.as_ptr(),
        _ => READ_ONLY.as_ptr(),
    };
    // SAFETY: none; the fault is the test.
    let function: extern "C" fn() = unsafe { core::mem::transmute(address) };
    function();
    println!("executed");
    0
}
