//! Looks up the names that it is given and prints their addresses, or why there are none; first of
//! all its own address. An argument that ends in `!` is given up after 50 ms, to ask the next one.
#![no_std]
#![no_main]

use guest_rt::net;
use guest_rt::time::{self, Duration};

guest_rt::manifest! {
    net "service",
}

#[guest_rt::main]
async fn main() -> Result<(), net::Error> {
    let net = net::open("service")?;
    let wants_ipv6 = guest_rt::args::option("--wait").is_some();
    let is_wide = |ip: core::net::IpAddr| {
        ip.is_ipv4() != wants_ipv6
            && !matches!(ip, core::net::IpAddr::V6(ip) if ip.is_unicast_link_local())
    };
    let (address, prefix_len) = net.address_where(is_wide).await;
    guest_rt::println!("at {address}/{prefix_len}");
    for name in guest_rt::args().iter().filter(|argument| !argument.starts_with("--")) {
        let (name, patience) = match name.strip_suffix('!') {
            Some(name) => (name, Duration::from_millis(50)),
            None => (name.as_str(), Duration::from_secs(30)),
        };
        match time::timeout(patience, net.resolve(name)).await {
            Ok(Ok(addresses)) => guest_rt::println!("{name}: {addresses:?}"),
            Ok(Err(error)) => guest_rt::println!("{name}: {error}"),
            Err(elapsed) => guest_rt::println!("{name}: {elapsed}"),
        }
    }
    Ok(())
}
