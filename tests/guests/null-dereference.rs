//! Reads address 8, which is never mapped.
#![no_std]
#![no_main]

guest_rt::manifest! {}

#[guest_rt::main]
fn main() {
    let address = core::hint::black_box(core::ptr::without_provenance::<u64>(8));
    // SAFETY: none; the fault is the test.
    let value = unsafe { address.read_volatile() };
    guest_rt::println!("read {value}");
}
