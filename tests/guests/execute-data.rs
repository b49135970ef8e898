//! Jumps to bytes on the heap, the stack or in read-only data, as its argument says; all hold a
//! valid `ret`.
#![no_std]
#![no_main]

extern crate alloc;

guest_rt::manifest! {}

static READ_ONLY: [u8; 1] = [0xc3];

#[guest_rt::main]
fn main() {
    let heap = alloc::vec![0xc3u8];
    let stack = core::hint::black_box([0xc3u8]);
    let address = match guest_rt::args().first().map(|text| text.as_str()) {
        Some("heap") => heap.as_ptr(),
        Some("stack") => stack.as_ptr(),
        _ => READ_ONLY.as_ptr(),
    };
    // SAFETY: none; the fault is the test.
    let function: extern "C" fn() = unsafe { core::mem::transmute(address) };
    function();
    guest_rt::println!("executed");
}
