//! Reads a device that it declares read-only; writing to it is refused.
#![no_std]
#![no_main]

use guest_rt::block::{self, Error};

guest_rt::manifest! {
    block "storage" read_only,
}

#[guest_rt::main]
fn main() -> Result<(), Error> {
    let disk = block::open("storage")?;
    let mut first = [0; 512];
    disk.read(0, &mut first)?;
    assert_eq!(disk.write(0, &first), Err(Error::ReadOnly));
    guest_rt::println!("first byte {}", first[0]);
    Ok(())
}
