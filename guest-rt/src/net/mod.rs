//! Network devices: TCP and UDP over `netstack`, one stack per device.
//!
//! [`open`] brings a device up with the address of the command line (`--ipv4=10.0.0.2/24`,
//! `--ipv4-gateway=10.0.0.1`; with several devices `--ipv4:NAME=...`) or else by DHCP. Streams
//! speak [`embedded_io_async`], and [`Net`] is an [`embedded_nal_async::TcpConnect`].

mod config;
mod device;
pub(crate) mod devices;
mod error;
mod pace;
mod ring;
mod tcp;
mod udp;

pub use error::Error;
pub use netstack::{Counters, Limits};
pub use tcp::{ReadHalf, TcpListener, TcpStream, WriteHalf};
pub use udp::UdpSocket;

use alloc::rc::Rc;
use alloc::string::ToString;
use alloc::vec::Vec;
use core::future::poll_fn;
use core::net::{Ipv4Addr, SocketAddr};
use core::task::Poll;

use solo5_sys::manifest::{Attachment, DeviceKind};

use crate::{boot, entropy, time};
use config::StaticAddress;
use device::Device;

/// A network device with its stack. Clones share it.
#[derive(Clone)]
pub struct Net(Rc<Device>);

/// Brings up the device of that name with the default limits.
///
/// # Errors
/// If the manifest does not declare it, it is open already, or its settings are wrong.
pub fn open(name: &str) -> Result<Net, Error> {
    open_with(name, Limits::default())
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
    let mut stack_config =
        netstack::Config::new(mac, usize::from(mtu_bytes), entropy::random_u64());
    stack_config.limits = limits;
    stack_config.offload = boot::with(|boot| boot.extension.has_virtio_net(index));
    let frame_bytes_max = stack_config.frame_bytes_max();
    let now = time::now().to_netstack();
    let mut stack =
        netstack::Stack::new(stack_config, now).map_err(|e| Error::Config(e.to_string()))?;
    match config::static_address(name, is_only)? {
        Some(StaticAddress { address, prefix_len, gateway }) => stack
            .set_ipv4(address, prefix_len, gateway)
            .map_err(|e| Error::Config(e.to_string()))?,
        None => stack.start_dhcp(now),
    }
    let ring = ring::Ring::open(index, fd);
    let patience = ring.as_ref().map_or(patience, |ring| patience.min(ring.patience()));
    let device = Rc::new(Device::new(name, fd, ring, frame_bytes_max, stack));
    devices::add(&device, patience);
    Ok(Net(device))
}

impl Net {
    /// Waits until the device has an address, which is at once if it is static.
    pub async fn address(&self) -> (Ipv4Addr, u8) {
        poll_fn(|context| {
            let address = self.0.with(|stack| stack.ipv4());
            if address.is_none() {
                self.0.wake_with_address(context.waker());
            }
            address.map_or(Poll::Pending, Poll::Ready)
        })
        .await
    }

    /// The servers for name resolution that DHCP gave.
    pub fn dns_servers(&self) -> Vec<Ipv4Addr> {
        self.0.with(|stack| {
            stack.lease().map(|lease| lease.dns.iter().copied().collect()).unwrap_or_default()
        })
    }

    /// Accepts connections on a port; `backlog` of them wait at most before they are accepted.
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

    /// Binds a UDP socket; port 0 picks one.
    ///
    /// # Errors
    /// [`Error::PortInUse`] or [`Error::Limit`].
    pub fn bind_udp(&self, port: u16) -> Result<UdpSocket, Error> {
        UdpSocket::bind(&self.0, port)
    }

    /// What the stack counted so far.
    pub fn counters(&self) -> Counters {
        self.0.with(|stack| stack.counters().clone())
    }
}

impl embedded_nal_async::TcpConnect for Net {
    type Error = Error;
    type Connection<'a> = TcpStream;

    async fn connect(&self, remote: SocketAddr) -> Result<TcpStream, Error> {
        Net::connect(self, remote).await
    }
}
