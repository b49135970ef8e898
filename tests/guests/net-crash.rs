//! Gets an address, then dereferences null.
#![no_std]
#![no_main]

guest_rt::manifest! {
    net "service",
}

#[guest_rt::main]
async fn main() -> Result<(), guest_rt::net::Error> {
    guest_rt::net::open("service")?.address().await;
    let address = core::hint::black_box(core::ptr::without_provenance::<u64>(8));
    // SAFETY: none; the fault is the test.
    let value = unsafe { address.read_volatile() };
    guest_rt::println!("read {value}");
    Ok(())
}
