//! Looks up each name that is an argument, and prints its addresses or why there are none.
#![no_std]
#![no_main]

extern crate alloc;

use alloc::string::ToString;
use alloc::vec::Vec;

use guest_rt::{args, net};

guest_rt::manifest! {
    net "service",
}

#[guest_rt::main]
async fn main() -> Result<(), net::Error> {
    let net = net::open("service")?;
    net.address().await;
    for name in args().iter().filter(|argument| !argument.starts_with("--")) {
        match net.resolve(name).await {
            Ok(addresses) => {
                let addresses: Vec<_> = addresses.iter().map(ToString::to_string).collect();
                guest_rt::println!("{name}: {}", addresses.join(" "));
            }
            Err(error) => guest_rt::println!("{name}: {error}"),
        }
    }
    Ok(())
}
