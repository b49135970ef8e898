//! What a stack is made from: its address on the wire and its limits. It refuses settings that
//! could never work.

use alloc::collections::TryReserveError;
use core::fmt;
use core::net::IpAddr;

use crate::routes::RouteError;
use crate::wire::vnet::VNET_HEADER_BYTES;
use crate::{Duration, ETHERNET_HEADER_BYTES};

/// The smallest IP packet that every IPv4 host must take (RFC 791).
pub const MTU_MIN: usize = 576;
/// The largest IP MTU whose frame length still fits in 16 bits.
pub const MTU_MAX: usize = 65_535 - ETHERNET_HEADER_BYTES;
/// TCP windows end at 1 GiB (RFC 7323).
const BUFFER_BYTES_MAX: usize = 1 << 30;
const BUFFER_BYTES_MIN: usize = 536;
/// Slots are numbered with 32 bits, a few of them reserved.
const COUNT_MAX: usize = 1 << 24;

/// How to make a [`Stack`](crate::Stack).
#[derive(Clone, Debug)]
pub struct Config {
    /// The stack's own Ethernet address, unicast.
    pub mac: [u8; 6],
    /// The largest IP packet in bytes, [`MTU_MIN`] to [`MTU_MAX`]; the Ethernet header comes on top.
    pub mtu: usize,
    /// Secret and different on each start: it keys the hash of the connection table and chooses
    /// ports and sequence numbers.
    pub seed: u64,
    /// What the stack may hold at most.
    pub limits: Limits,
    /// Takes packets for every IPv4 destination, and answers ARP for each: for a gateway.
    pub any_ip: bool,
    /// Every frame, both ways, begins with a header of [`VNET_HEADER_BYTES`](crate::VNET_HEADER_BYTES):
    /// the wire carries segments of up to 64 KB, cuts them to size and computes checksums, as a TAP
    /// with virtio-net headers does; or it needs neither, as it never leaves the host's memory.
    pub offload: bool,
}

impl Config {
    /// Default limits, and only the stack's own address is served.
    pub fn new(mac: [u8; 6], mtu: usize, seed: u64) -> Self {
        Self { mac, mtu, seed, limits: Limits::default(), any_ip: false, offload: false }
    }

    /// The longest frame in bytes that the stack sends and must be able to take.
    pub const fn frame_bytes_max(&self) -> usize {
        match self.offload {
            true => VNET_HEADER_BYTES + ETHERNET_HEADER_BYTES + u16::MAX as usize,
            false => ETHERNET_HEADER_BYTES + self.mtu,
        }
    }

    pub(crate) fn validate(&self) -> Result<(), ConfigError> {
        if self.mac[0] & 1 != 0 || self.mac == [0; 6] {
            return Err(ConfigError::MacNotUnicast(self.mac));
        }
        if !(MTU_MIN..=MTU_MAX).contains(&self.mtu) {
            return Err(ConfigError::MtuOutOfRange(self.mtu));
        }
        self.limits.validate()
    }
}

/// What a stack may hold at most. Memory is taken as connections come; [`Limits::worst_case_bytes`]
/// tells what it can amount to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// TCP connections with buffers, half-open ones included. Beyond it, new SYNs are dropped.
    pub connections: usize,
    /// Handshakes that the peer began and has not completed; beyond it, the oldest is forgotten.
    pub half_open: usize,
    /// Connections in TIME-WAIT. They hold no buffers; beyond it, the oldest ends early.
    pub time_wait: usize,
    /// Listening ports.
    pub listeners: usize,
    /// Bytes that wait for the owner of a connection to read them: the largest TCP window. Windows
    /// begin smaller and grow as they are used; memory is taken when bytes come.
    pub receive_buffer_bytes: usize,
    /// Bytes of a connection that the peer has not acknowledged yet. The buffer grows with the
    /// congestion window.
    pub send_buffer_bytes: usize,
    /// Bytes that all connections' buffers may hold together, apart from those of
    /// `small_buffers_bytes`.
    pub buffers_bytes: usize,
    /// Bytes that buffers of 4 KiB may hold together: what each connection begins with in each
    /// direction, so that large buffers do not starve it. Beyond it, what comes is dropped and sent
    /// again, and writers wait.
    pub small_buffers_bytes: usize,
    /// Outgoing frames that wait for the wire. Beyond it, connections wait for their turn.
    pub frames_queued: usize,
    /// UDP sockets.
    pub udp_sockets: usize,
    /// Datagrams that wait in a UDP socket, for each direction.
    pub udp_datagrams: usize,
    /// Bytes of datagrams that wait in a UDP socket, for each direction.
    pub udp_buffer_bytes: usize,
    /// A peer that owes us an answer and is silent for this long is given up.
    pub peer_timeout: Duration,
    /// A peer's handshake that is not completed after this long is forgotten.
    pub handshake_timeout: Duration,
    /// An offer that nobody accepts is refused after this long.
    pub offer_timeout: Duration,
    /// A released connection has this long to send what is queued and to close; then it is reset.
    pub linger_timeout: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connections: 1024,
            half_open: 1024,
            time_wait: 1024,
            listeners: 16,
            receive_buffer_bytes: 1 << 20,
            send_buffer_bytes: 1 << 20,
            buffers_bytes: 16 << 20,
            small_buffers_bytes: 16 << 20,
            frames_queued: 256,
            udp_sockets: 16,
            udp_datagrams: 32,
            udp_buffer_bytes: 32 * 1024,
            peer_timeout: Duration::from_secs(60),
            handshake_timeout: Duration::from_secs(10),
            offer_timeout: Duration::from_secs(60),
            linger_timeout: Duration::from_secs(60),
        }
    }
}

impl Limits {
    /// About how much memory a stack with these limits and this MTU holds when all of them are reached.
    pub fn worst_case_bytes(&self, mtu: usize) -> usize {
        const PER_SLOT: usize = 1024;
        let udp = self.udp_buffer_bytes.saturating_mul(2).saturating_add(PER_SLOT);
        self.connections
            .saturating_mul(PER_SLOT)
            .saturating_add(self.buffers_bytes)
            .saturating_add(self.small_buffers_bytes)
            .saturating_add(self.time_wait.saturating_mul(PER_SLOT))
            .saturating_add(self.udp_sockets.saturating_mul(udp))
            .saturating_add(self.frames_bytes(mtu, true))
    }

    /// Bytes of outgoing frames that wait for the wire.
    pub(crate) fn frames_bytes(&self, mtu: usize, offload: bool) -> usize {
        if offload {
            return 2 * usize::from(u16::MAX);
        }
        self.frames_queued.saturating_mul(mtu + ETHERNET_HEADER_BYTES)
    }

    fn validate(&self) -> Result<(), ConfigError> {
        let counts = [
            ("connections", self.connections, 1),
            ("half_open", self.half_open, 1),
            ("time_wait", self.time_wait, 1),
            ("listeners", self.listeners, 0),
            ("frames_queued", self.frames_queued, 1),
            ("udp_sockets", self.udp_sockets, 0),
            ("udp_datagrams", self.udp_datagrams, 1),
        ];
        let sizes = [
            ("receive_buffer_bytes", self.receive_buffer_bytes),
            ("send_buffer_bytes", self.send_buffer_bytes),
            ("udp_buffer_bytes", self.udp_buffer_bytes),
            ("buffers_bytes", self.buffers_bytes),
            ("small_buffers_bytes", self.small_buffers_bytes),
        ];
        for (name, value, min) in counts {
            check_range(name, value, min, COUNT_MAX)?;
        }
        for (name, value) in sizes {
            check_range(name, value, BUFFER_BYTES_MIN, BUFFER_BYTES_MAX)?;
        }
        Ok(())
    }
}

fn check_range(
    name: &'static str,
    value: usize,
    min: usize,
    max: usize,
) -> Result<(), ConfigError> {
    if (min..=max).contains(&value) {
        Ok(())
    } else {
        Err(ConfigError::LimitOutOfRange { name, value, min, max })
    }
}

/// Why a stack cannot be made or addressed so.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ConfigError {
    /// The Ethernet address is a group address or zero.
    MacNotUnicast([u8; 6]),
    /// The MTU is below [`MTU_MIN`] or above [`MTU_MAX`].
    MtuOutOfRange(usize),
    /// A limit is out of its range.
    LimitOutOfRange {
        /// The field of [`Limits`].
        name: &'static str,
        /// What was asked for.
        value: usize,
        /// The least that works.
        min: usize,
        /// The most that works.
        max: usize,
    },
    /// There is no memory for the tables that these limits need.
    OutOfMemory,
    /// A host cannot have this address in a network of this prefix length.
    AddressNotUsable(IpAddr, u8),
    /// The gateway is not another host of the own network.
    GatewayNotOnLink(IpAddr),
    /// There are as many addresses as the stack can have.
    TooManyAddresses,
    /// There are as many routes as the stack can have.
    TooManyRoutes,
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::MacNotUnicast(mac) => {
                write!(
                    f,
                    "the Ethernet address {mac:02x?} is not a host's: its first byte must be even"
                )
            }
            Self::MtuOutOfRange(mtu) => {
                write!(f, "the MTU of {mtu} bytes is not within {MTU_MIN} to {MTU_MAX}")
            }
            Self::LimitOutOfRange { name, value, min, max } => {
                write!(f, "the limit {name} = {value} is not within {min} to {max}")
            }
            Self::OutOfMemory => f.write_str("not enough memory for the limits; lower them"),
            Self::AddressNotUsable(address, prefix_len) => {
                write!(f, "{address}/{prefix_len} is not an address that a host can have")
            }
            Self::GatewayNotOnLink(gateway) => {
                write!(f, "the gateway {gateway} is not another host of the own network")
            }
            Self::TooManyAddresses => RouteError::TooManyAddresses.fmt(f),
            Self::TooManyRoutes => RouteError::TooManyRoutes.fmt(f),
        }
    }
}

impl core::error::Error for ConfigError {}

impl From<TryReserveError> for ConfigError {
    fn from(_: TryReserveError) -> Self {
        Self::OutOfMemory
    }
}

impl From<RouteError> for ConfigError {
    fn from(error: RouteError) -> Self {
        match error {
            RouteError::TooManyRoutes => Self::TooManyRoutes,
            RouteError::TooManyAddresses => Self::TooManyAddresses,
            RouteError::AddressNotUsable(address, len) => Self::AddressNotUsable(address, len),
            RouteError::GatewayNotOnLink(gateway) => Self::GatewayNotOnLink(gateway),
        }
    }
}
