//! Writes to read-only data.
#![no_std]
#![no_main]

guest_rt::manifest! {}

static CONSTANT: u64 = 1;

#[guest_rt::main]
fn main() {
    let address = core::hint::black_box((&raw const CONSTANT).cast_mut());
    // SAFETY: none; the fault is the test.
    unsafe { address.write_volatile(2) };
    guest_rt::println!("wrote");
}
