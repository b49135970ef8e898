//! The machine's networks: a TAP interface for guests, and a namespace behind a pair of interfaces for
//! programs that have the kernel's network.

use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4};

use anyhow::Result;

use crate::boot::run;

/// The guests' interface.
pub(crate) const TAP: &str = "tap0";
const TAP_ROUTER: &str = "10.0.0.1";
const TAP_GUEST: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 2);
/// The namespace of servers.
pub(crate) const NAMESPACE: &str = "/run/netns/server";
const SERVER: Ipv4Addr = Ipv4Addr::new(10, 1, 0, 2);

const IP: &str = "/sbin/ip";

/// Makes the TAP interface.
///
/// # Errors
/// If the kernel refuses.
pub(crate) fn make_tap() -> Result<()> {
    ip("tuntap add tap0 mode tap")?;
    ip("address add 10.0.0.1/24 dev tap0")?;
    ip("link set tap0 up")
}

/// What a guest on the TAP interface is told.
pub(crate) fn guest_words() -> [String; 2] {
    [format!("--ipv4={TAP_GUEST}/24"), format!("--ipv4-gateway={TAP_ROUTER}")]
}

/// Where a guest on the TAP interface is found.
pub(crate) fn guest_address(port: u16) -> SocketAddr {
    SocketAddrV4::new(TAP_GUEST, port).into()
}

/// Makes the servers' namespace and the way to it.
///
/// # Errors
/// If the kernel refuses.
pub(crate) fn make_namespace() -> Result<()> {
    ip("netns add server")?;
    ip("link add veth0 type veth peer name eth0 netns server")?;
    ip("address add 10.1.0.1/24 dev veth0")?;
    ip("link set veth0 up")?;
    for inside in [
        "address add 10.1.0.2/24 dev eth0",
        "link set lo up",
        "link set eth0 up",
        "route add default via 10.1.0.1",
    ] {
        ip(&format!("-n server {inside}"))?;
    }
    Ok(())
}

/// Where a server in the namespace is found.
pub(crate) fn server_address(port: u16) -> SocketAddr {
    SocketAddrV4::new(SERVER, port).into()
}

fn ip(words: &str) -> Result<()> {
    run(IP, &words.split_whitespace().collect::<Vec<_>>())
}
