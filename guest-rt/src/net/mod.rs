//! Network devices: TCP and UDP over `netstack`, one stack per device.
//!
//! [`open`] brings a device up as the command line says. With several devices, an option is for one of
//! them and has its name, as in `--ipv4:NAME=10.0.0.2/24`; for the only one it may be left out.
//!
//! | option | what it says |
//! |---|---|
//! | `--ipv4=ADDRESS/LENGTH[,...]`, `dhcp` or `off` | the IPv4 addresses; `dhcp` if nothing is said |
//! | `--ipv4-gateway=ADDRESS` | the router, with a static address |
//! | `--ipv6=ADDRESS/LENGTH[,...]`, `auto` or `off` | the IPv6 addresses beside the link-local one; `auto` if nothing is said |
//! | `--ipv6-gateway=ADDRESS` | the router, often a link-local address |
//! | `--route=NETWORK/LENGTH[,ROUTER]` | a route; without a router its hosts are on the wire; may be repeated |
//! | `--dns=ADDRESS` | a name server, asked before those of the network; may be repeated |
//! | `--spin=MICROSECONDS` or `off` | how long the guest looks for frames before it sleeps |
//!
//! A router outside of the own networks needs a route that says that it is on the wire, as in
//! `--ipv4=10.0.0.2/32 --route=169.254.1.1/32 --ipv4-gateway=169.254.1.1`.
//!
//! `auto` makes a link-local address, and one in each network that a router tells of, as Linux does.
//! They are the same at each start as long as the device has the same Ethernet address and name.
//!
//! [`Net`] listens, connects, resolves names; clones share the device. With several devices the
//! program chooses one by the `Net` that it asks: there is no table of routes between them. Streams speak
//! [`embedded_io_async`], and `Net` is [`embedded_nal_async`]'s `TcpConnect`, `UdpStack` and `Dns`.
//!
//! Every future here is cancel-safe: one that is dropped has moved nothing, so each can stand in a
//! [`time::timeout`](crate::time::timeout).

mod config;
mod device;
pub(crate) mod devices;
mod error;
mod nal;
mod names;
mod pace;
mod ring;
mod tcp;
#[cfg(test)]
mod tests;
mod udp;

pub use error::Error;
pub use nal::{BoundUdpSocket, ConnectedUdpSocket};
pub use netstack::{Counter, CounterKind, Counters, Datagram, Limits, ResolveError};
pub use tcp::{ReadHalf, TcpListener, TcpStream, WriteHalf};
pub use udp::UdpSocket;

use alloc::format;
use alloc::rc::Rc;
use alloc::string::ToString;
use alloc::vec::Vec;
use core::future::poll_fn;
use core::net::{IpAddr, SocketAddr};
use core::task::Poll;

use netstack::{ConfigError, Stack};
use solo5_sys::manifest::{Attachment, DeviceKind};

use crate::{boot, entropy, heap, time};
use config::{Settings, Source, Static};
use device::Device;

/// A network device with its stack. Clones share it.
#[derive(Clone)]
pub struct Net(Rc<Device>);

/// Brings up the device of that name with the limits that [`limits`] tells.
///
/// # Errors
/// If the manifest does not declare it, it is open already, or its settings are wrong.
pub fn open(name: &str) -> Result<Net, Error> {
    open_with(name, limits())
}

/// Limits that fit the guest's memory: a quarter of the heap is for the buffers of all network
/// devices, and a sixteenth for the connections themselves. What a program knows better it changes,
/// as in `Limits { connections: 20, ..net::limits() }`.
pub fn limits() -> Limits {
    let manifest = boot::with(|boot| boot.manifest);
    let devices = manifest.devices().filter(|(_, device)| device.kind == DeviceKind::Net).count();
    limits_for(heap::heap_usage().1, devices.max(1))
}

fn limits_for(heap_bytes: usize, devices: usize) -> Limits {
    /// A connection without its buffers, with a task that serves it.
    const CONNECTION_BYTES: usize = 1 << 10;
    let share_bytes = heap_bytes / 16 / devices;
    let connections = (share_bytes / CONNECTION_BYTES).clamp(8, 1024);
    Limits {
        connections,
        half_open: connections,
        time_wait: connections,
        buffers_bytes: (3 * share_bytes).clamp(64 << 10, 1 << 30),
        small_buffers_bytes: share_bytes.clamp(64 << 10, 1 << 30),
        ..Limits::default()
    }
}

/// Brings up the device of that name; `limits` bound what the stack holds.
///
/// # Errors
/// As for [`open`].
pub fn open_with(name: &str, limits: Limits) -> Result<Net, Error> {
    let manifest = boot::with(|boot| boot.manifest);
    let (index, device) = manifest.find(name, DeviceKind::Net).ok_or(Error::NoDevice)?;
    let Some(Attachment::Net { mac, mtu_bytes, fd }) = device.attachment else {
        return Err(Error::NoDevice);
    };
    let is_only = manifest.devices().filter(|(_, d)| d.kind == DeviceKind::Net).count() == 1;
    devices::check_free(fd)?;
    let patience = config::patience()?;
    let settings = boot::with(|boot| Settings::parse(&boot.command_line, name, is_only))?;
    let mut stack_config =
        netstack::Config::new(mac, usize::from(mtu_bytes), entropy::random_u64());
    stack_config.limits = limits;
    stack_config.offload = boot::with(|boot| boot.extension.has_virtio_net(index));
    let frame_bytes_max = stack_config.frame_bytes_max();
    let now = time::now().to_netstack();
    let mut stack = Stack::new(stack_config, now).map_err(refused)?;
    let secret = config::address_secret(mac, name);
    apply(&mut stack, &settings, now, secret).map_err(refused)?;
    let expects_ipv4 = settings.ipv4 != Source::Off;
    let ring = ring::Ring::open(index, fd);
    let patience = ring.as_ref().map_or(patience, |ring| patience.min(ring.patience()));
    let device = Rc::new(Device::new(name, fd, ring, frame_bytes_max, stack, expects_ipv4));
    devices::add(&device, patience);
    Ok(Net(device))
}

fn refused(error: ConfigError) -> Error {
    Error::Config(match error {
        ConfigError::GatewayNotOnLink(gateway) => {
            let len = if gateway.is_ipv4() { 32 } else { 128 };
            format!("{error}; if it is on the wire all the same, say so by --route={gateway}/{len}")
        }
        _ => error.to_string(),
    })
}

fn apply(
    stack: &mut Stack,
    settings: &Settings,
    now: netstack::Instant,
    secret: u64,
) -> Result<(), ConfigError> {
    let mut gateways: Vec<IpAddr> = Vec::new();
    match &settings.ipv4 {
        Source::Off => {}
        Source::Network { .. } => stack.start_dhcp(now),
        Source::Static(Static { addresses, gateway }) => {
            for (position, (address, prefix_len)) in addresses.iter().enumerate() {
                match position {
                    0 => stack.set_ipv4(*address, *prefix_len, None)?,
                    _ => stack.add_address((*address).into(), *prefix_len)?,
                }
            }
            gateways.extend(gateway.map(IpAddr::from));
        }
    }
    match &settings.ipv6 {
        Source::Off => {}
        Source::Network { gateway } => {
            stack.start_autoconfiguration(now, secret);
            gateways.extend(gateway.map(IpAddr::from));
        }
        Source::Static(Static { addresses, gateway }) => {
            for (position, (address, prefix_len)) in addresses.iter().enumerate() {
                match position {
                    0 => stack.set_ipv6(*address, *prefix_len, None)?,
                    _ => stack.add_address((*address).into(), *prefix_len)?,
                }
            }
            gateways.extend(gateway.map(IpAddr::from));
        }
    }
    // What is on the wire is said first, as routers may be.
    let (on_wire, others): (Vec<&config::Route>, Vec<_>) =
        settings.routes.iter().partition(|route| route.gateway.is_none());
    for route in on_wire {
        stack.add_route(route.network, route.prefix_len, None)?;
    }
    for gateway in gateways {
        let any: IpAddr = if gateway.is_ipv4() { [0; 4].into() } else { [0_u8; 16].into() };
        stack.add_route(any, 0, Some(gateway))?;
    }
    for route in others {
        stack.add_route(route.network, route.prefix_len, route.gateway)?;
    }
    stack.set_dns_servers(settings.dns.iter().copied());
    Ok(())
}

impl Net {
    /// Waits until the device has an address that others can use, which is at once if one is static,
    /// and returns it with its prefix length: an IPv4 address rather than an IPv6 one, and that rather
    /// than a link-local one, which counts only with `--ipv4=off`.
    pub async fn address(&self) -> (IpAddr, u8) {
        let is_local = |ip| matches!(ip, IpAddr::V6(ip) if ip.is_unicast_link_local());
        let counts_local = !self.0.expects_ipv4;
        let (ip, prefix_len) = self.address_where(|ip| counts_local || !is_local(ip)).await;
        let wide = self.addresses().into_iter().find(|(ip, _)| !is_local(*ip));
        wide.unwrap_or((ip, prefix_len))
    }

    /// Waits until the device has an address that `is_wanted`, and returns it with its prefix length.
    pub async fn address_where(&self, mut is_wanted: impl FnMut(IpAddr) -> bool) -> (IpAddr, u8) {
        poll_fn(|context| {
            let found = self.0.with(|stack| stack.addresses().find(|(ip, _)| is_wanted(*ip)));
            if found.is_none() {
                self.0.wake_at_new_address(context.waker());
            }
            found.map_or(Poll::Pending, Poll::Ready)
        })
        .await
    }

    /// The addresses that the device has now, with the prefix lengths of their networks.
    pub fn addresses(&self) -> Vec<(IpAddr, u8)> {
        self.0.with(|stack| stack.addresses().collect())
    }

    /// The servers for name resolution, in the order in which they are asked: those of the command
    /// line, of DHCP and of routers.
    pub fn dns_servers(&self) -> Vec<IpAddr> {
        self.0.with(|stack| stack.dns_servers().collect())
    }

    /// The addresses of a host, at least one: IPv4 addresses if the device has one, and IPv6 addresses
    /// if it has one of more than the link. The first is the best to connect to. It takes a quarter
    /// of a minute at most; an address in place of a name takes none.
    ///
    /// # Errors
    /// [`Error::Name`], [`Error::TimedOut`], [`Error::Limit`], or [`Error::Unreachable`] if the device
    /// has no address yet.
    pub async fn resolve(&self, name: &str) -> Result<Vec<IpAddr>, Error> {
        names::resolve(&self.0, name).await
    }

    /// Accepts connections on a port of all addresses; `backlog` of them wait at most before they
    /// are accepted.
    ///
    /// # Errors
    /// [`Error::PortInUse`] or [`Error::Limit`].
    pub fn listen(&self, port: u16, backlog: usize) -> Result<TcpListener, Error> {
        TcpListener::new(&self.0, port, backlog)
    }

    /// Connects to a peer.
    ///
    /// # Errors
    /// As the peer or the network answers.
    pub async fn connect(&self, remote: SocketAddr) -> Result<TcpStream, Error> {
        TcpStream::connect(&self.0, remote).await
    }

    /// Binds a UDP socket to a port of all addresses; port 0 picks one.
    ///
    /// # Errors
    /// [`Error::PortInUse`] or [`Error::Limit`].
    pub fn bind_udp(&self, port: u16) -> Result<UdpSocket, Error> {
        UdpSocket::bind(&self.0, port)
    }

    /// The device's name.
    pub fn name(&self) -> &str {
        self.0.name()
    }

    /// What the stack counted so far.
    pub fn counters(&self) -> Counters {
        self.0.with(|stack| stack.counters())
    }
}
