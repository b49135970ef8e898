//! Says which of its optional devices are there, writes to the one that it may write to, and sees whether
//! its network works beside them.
#![no_std]
#![no_main]

use core::time::Duration;

use guest_rt::block::{self, Error};
use guest_rt::{net, time};

guest_rt::manifest! {
    block "cache" read_only optional,
    net "service",
    block "storage" optional,
}

fn tell(name: &str) -> Result<(), Error> {
    let disk = match block::open(name) {
        Ok(disk) => disk,
        Err(Error::NotAttached) => {
            guest_rt::println!("{name}: {}", Error::NotAttached);
            return Ok(());
        }
        Err(other) => return Err(other),
    };
    let (mut block, bytes) = ([0; 512], disk.capacity_bytes());
    disk.read(0, &mut block)?;
    let synchronous = disk.is_synchronous();
    guest_rt::println!("{name}: {bytes} bytes of {}, synchronous {synchronous}", block[0]);
    if !disk.is_read_only() {
        disk.write(bytes - 512, &[7; 512])?;
    }
    Ok(())
}

#[guest_rt::main]
async fn main() -> Result<(), Error> {
    assert_eq!(block::open("service").err(), Some(Error::NoDevice));
    tell("cache")?;
    tell("storage")?;
    let net = net::open("service").expect("a network");
    let address = time::timeout(Duration::from_secs(20), net.address()).await;
    guest_rt::println!("address {}", address.expect("an address").0);
    Ok(())
}
