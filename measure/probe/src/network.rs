//! The machine's networks: a TAP interface for guests, a namespace behind a pair of interfaces for
//! programs that have the kernel's network, and another one for clients. The machine routes between them,
//! so that no server's system calls do the work of its client's end of a connection.

use std::fs::{self, File};
use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4, TcpStream};
use std::time::Duration;

use anyhow::{Context, Result};
use nix::sched::{CloneFlags, setns};

use crate::boot::run;

/// The guests' interface.
pub(crate) const TAP: &str = "tap0";
const TAP_ROUTER: &str = "10.0.0.1";
const TAP_GUEST: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 2);
/// The namespace of servers.
pub(crate) const NAMESPACE: &str = "/run/netns/server";
const SERVER: Ipv4Addr = Ipv4Addr::new(10, 1, 0, 2);
/// The namespace of clients.
const CLIENTS: &str = "/run/netns/client";
/// The machine itself, as clients see it.
const ROUTER: Ipv4Addr = Ipv4Addr::new(10, 2, 0, 1);

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
    connect("server", 1)
}

/// Makes the clients' namespace and the ways from it.
///
/// # Errors
/// If the kernel refuses.
pub(crate) fn make_clients() -> Result<()> {
    connect("client", 2)?;
    fs::write("/proc/sys/net/ipv4/ip_forward", "1").context("cannot route")
}

/// Where clients find what is published by a process of the machine itself.
pub(crate) fn router_address(port: u16) -> SocketAddr {
    SocketAddrV4::new(ROUTER, port).into()
}

/// Connects, from where clients are.
///
/// # Errors
/// If nobody is there, or a namespace cannot be entered.
pub(crate) fn dial(address: SocketAddr, at_most: Duration) -> Result<TcpStream> {
    let (home, away) = (File::open("/proc/self/ns/net"), File::open(CLIENTS));
    let (home, away) = (home.context("/proc/self/ns/net")?, away.context(CLIENTS)?);
    // A socket stays where it was made.
    setns(away, CloneFlags::CLONE_NEWNET).context("cannot enter the clients' network")?;
    let stream = TcpStream::connect_timeout(&address, at_most);
    setns(home, CloneFlags::CLONE_NEWNET).context("cannot leave the clients' network")?;
    stream.with_context(|| format!("cannot connect to {address}"))
}

/// Makes a namespace with the network 10.NUMBER.0.0/24, where the machine is 1 and the namespace 2.
fn connect(name: &str, number: u8) -> Result<()> {
    ip(&format!("netns add {name}"))?;
    ip(&format!("link add veth{number} type veth peer name eth0 netns {name}"))?;
    ip(&format!("address add 10.{number}.0.1/24 dev veth{number}"))?;
    ip(&format!("link set veth{number} up"))?;
    for inside in [
        format!("address add 10.{number}.0.2/24 dev eth0"),
        "link set lo up".into(),
        "link set eth0 up".into(),
        format!("route add default via 10.{number}.0.1"),
    ] {
        ip(&format!("-n {name} {inside}"))?;
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
