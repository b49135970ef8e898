//! Network devices: TCP and UDP over `netstack`, one stack per device.
//!
//! [`open`] brings a device up with the address of the command line (`--ipv4=10.0.0.2/24`,
//! `--ipv4-gateway=10.0.0.1`; with several devices `--ipv4:NAME=...`) or else by DHCP. Streams
//! speak [`embedded_io_async`], and [`Net`] is an [`embedded_nal_async::TcpConnect`].

mod config;
mod device;
mod error;
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
use core::time::Duration;

use solo5_sys::extension::Features;
use solo5_sys::manifest::{Attachment, DeviceKind};

use crate::hypercall::{self, PollFd};
use crate::single_thread::SingleThread;
use crate::time::Instant;
use crate::{boot, entropy, time};
use config::StaticAddress;
use device::Device;

/// A network device with its stack. Clones share it.
#[derive(Clone)]
pub struct Net(Rc<Device>);

static DEVICES: SingleThread<Vec<Rc<Device>>> = SingleThread::new(Vec::new());

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
    let (mac, mtu_bytes, fd, only) = boot::with(|boot| {
        let (_, device) = boot.manifest.find(name, DeviceKind::Net).ok_or(Error::NoDevice)?;
        let nets = boot.manifest.devices().filter(|(_, d)| d.kind == DeviceKind::Net).count();
        match device.attachment {
            Some(Attachment::Net { mac, mtu_bytes, fd }) => Ok((mac, mtu_bytes, fd, nets == 1)),
            _ => Err(Error::NoDevice),
        }
    })?;
    if DEVICES.with(|devices| devices.iter().any(|device| device.fd == fd)) {
        return Err(Error::Busy);
    }
    let mut stack_config =
        netstack::Config::new(mac, usize::from(mtu_bytes), entropy::random_u64());
    stack_config.limits = limits;
    let now = time::now().to_netstack();
    let mut stack =
        netstack::Stack::new(stack_config, now).map_err(|e| Error::Config(e.to_string()))?;
    match config::static_address(name, only)? {
        Some(StaticAddress { address, prefix_len, gateway }) => stack
            .set_ipv4(address, prefix_len, gateway)
            .map_err(|e| Error::Config(e.to_string()))?,
        None => stack.start_dhcp(now),
    }
    let device = Rc::new(Device::new(name, fd, usize::from(mtu_bytes), stack));
    DEVICES.with(|devices| devices.push(Rc::clone(&device)));
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

fn each(mut f: impl FnMut(&Device)) {
    DEVICES.with(|devices| devices.iter().for_each(|device| f(device)));
}

/// Moves frames in and out of every device and lets the stacks work.
pub(crate) fn drive(now: Instant) {
    each(|device| device.drive(now));
}

/// Lets the stacks work and moves frames out.
pub(crate) fn flush(now: Instant) {
    each(|device| device.flush(now));
}

/// Yields until a device is ready, a stack's deadline has come, or `timer` has.
pub(crate) fn wait(now: Instant, timer: Option<Instant>) {
    let mut deadline = timer;
    let mut fds = Vec::new();
    let mut blocked = false;
    each(|device| {
        deadline = [deadline, device.deadline(now)].into_iter().flatten().min();
        if let Some(events) = device.interest() {
            blocked |= events & PollFd::OUT != 0;
            fds.push(PollFd { fd: device.fd, events, returned: 0 });
        }
    });
    if deadline.is_some_and(|deadline| deadline <= now) {
        return;
    }
    if fds.is_empty() && deadline.is_none() {
        panic!("every task waits for something that cannot happen");
    }
    // Interruption and readiness are the same to the caller, who looks again.
    let _ = if boot::has(Features::PPOLL) {
        hypercall::ppoll(&mut fds, deadline.map(|deadline| deadline - now))
    } else {
        wait_by_epoll(now, deadline, blocked)
    };
}

/// Solo5's epoll set tells only what can be read, so a device that is full is tried again soon.
fn wait_by_epoll(
    now: Instant,
    deadline: Option<Instant>,
    blocked: bool,
) -> Result<usize, hypercall::Errno> {
    const RETRY: Duration = Duration::from_millis(1);
    let deadline = match (deadline, blocked) {
        (deadline, true) => [deadline, Some(now + RETRY)].into_iter().flatten().min(),
        (deadline, false) => deadline,
    };
    let (epoll_fd, timer_fd) = boot::with(|boot| (boot.epoll_fd, boot.timer_fd));
    hypercall::epoll_yield(epoll_fd, timer_fd, deadline.map(Instant::since_epoch))
}
