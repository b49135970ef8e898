//! Writes to its own code.
#![no_std]
#![no_main]

guest_rt::manifest! {}

#[guest_rt::main]
fn main() {
    let address = core::hint::black_box(main as fn() as *mut u8);
    // SAFETY: none; the fault is the test.
    unsafe { address.write_volatile(0xc3) };
    guest_rt::println!("wrote");
}
