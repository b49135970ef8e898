//! UDP sockets: each in a set of its own, found by its port. Datagrams are never cut into fragments.

use alloc::collections::TryReserveError;
use alloc::vec::Vec;
use core::fmt;
use core::net::{IpAddr, Ipv4Addr, SocketAddr, SocketAddrV4};
use core::task::Waker;

use hashbrown::HashTable;
use smoltcp::socket::udp;
use smoltcp::wire::{IpAddress, IpEndpoint};

use crate::agenda::Task;
use crate::config::Limits;
use crate::egress::{STALL, emit};
use crate::ingress::ingest;
use crate::siphash::HashKey;
use crate::stack::Stack;
use crate::wire::demux::is_host;
use crate::wire::lone::{Lone, try_zeroed};
use crate::wire::port::Outcome;

/// IPv4 header and UDP header.
const HEADERS_BYTES: usize = 20 + 8;
/// Datagrams that a socket may send before the next one has its turn.
const BURST: usize = 8;
/// After this many fruitless questions for its next hop, once a second, a datagram is dropped, so
/// that it does not hold up those behind it.
const PATIENCE: u8 = 3;
const EPHEMERAL_PORTS: core::ops::RangeInclusive<u16> = 49_152..=65_535;

/// Names a UDP socket. Once it is closed the name is never used for another one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct UdpId {
    slot: u32,
    generation: u32,
}

/// What [`Stack::udp_recv`] tells of a datagram.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Datagram {
    /// Bytes copied.
    pub bytes: usize,
    /// The bytes did not all fit; the rest is lost.
    pub truncated: bool,
    /// Who sent it.
    pub remote: SocketAddr,
    /// Where it was sent: an address of ours, a broadcast address, or with `any_ip` any other.
    pub local: SocketAddr,
}

/// Why a port cannot be bound.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BindError {
    /// Another socket has this port.
    PortInUse(u16),
    /// The limit of UDP sockets is reached.
    TooMany(usize),
    /// There is no memory for buffers.
    OutOfMemory,
}

impl fmt::Display for BindError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::PortInUse(port) => {
                write!(f, "UDP port {port} is in use; port 0 chooses a free one")
            }
            Self::TooMany(limit) => {
                write!(f, "the limit of {limit} UDP sockets is reached; raise limits.udp_sockets")
            }
            Self::OutOfMemory => f.write_str("not enough memory for a UDP socket"),
        }
    }
}

impl core::error::Error for BindError {}

impl From<TryReserveError> for BindError {
    fn from(_: TryReserveError) -> Self {
        Self::OutOfMemory
    }
}

/// Why a datagram cannot be sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UdpSendError {
    /// No such socket: it was closed.
    Closed,
    /// It is larger than the MTU or the socket's buffer allows.
    TooLarge {
        /// The size of the data.
        bytes: usize,
        /// The most that can be sent.
        max: usize,
    },
    /// The socket's queue is full; try again when frames have gone out.
    QueueFull,
    /// The stack has no address yet.
    NoAddress,
    /// Nothing can be sent to, or from, this address and port.
    NotUsable(SocketAddr),
    /// The destination is outside of the own network, and there is no router.
    NoRoute(SocketAddr),
}

impl fmt::Display for UdpSendError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Closed => f.write_str("the UDP socket is closed"),
            Self::TooLarge { bytes, max } => {
                write!(f, "a datagram of {bytes} bytes is too large; {max} is the most")
            }
            Self::QueueFull => f.write_str("the UDP socket's queue is full"),
            Self::NoAddress => f.write_str("the stack has no address yet"),
            Self::NotUsable(address) => write!(f, "{address} cannot be an end of a datagram's way"),
            Self::NoRoute(remote) => write!(f, "no route to {remote}: there is no gateway"),
        }
    }
}

impl core::error::Error for UdpSendError {}

struct UdpSocket {
    port: u16,
    lone: Lone<udp::Socket<'static>>,
    /// Where the oldest queued datagrams go, so that the right neighbour is waited for.
    next_hop: Option<Ipv4Addr>,
    failures: u8,
}

pub(crate) struct UdpSockets {
    slots: Vec<(u32, Option<UdpSocket>)>,
    by_port: HashTable<u32>,
    key: HashKey,
    limit: usize,
}

impl UdpSockets {
    pub(crate) fn new(limit: usize, key: HashKey) -> Self {
        Self { slots: Vec::new(), by_port: HashTable::new(), key, limit }
    }

    pub(crate) fn find(&self, port: u16) -> Option<u32> {
        let is_it = |slot: &u32| self.at(*slot).is_some_and(|socket| socket.port == port);
        self.by_port.find(self.hash(port), is_it).copied()
    }

    fn hash(&self, port: u16) -> u64 {
        self.key.hash(&[port.into()])
    }

    fn at(&self, slot: u32) -> Option<&UdpSocket> {
        self.slots.get(slot as usize)?.1.as_ref()
    }

    fn at_mut(&mut self, slot: u32) -> Option<&mut UdpSocket> {
        self.slots.get_mut(slot as usize)?.1.as_mut()
    }

    fn get_mut(&mut self, id: UdpId) -> Option<&mut UdpSocket> {
        let (generation, socket) = self.slots.get_mut(id.slot as usize)?;
        socket.as_mut().filter(|_| *generation == id.generation)
    }

    fn insert(&mut self, socket: UdpSocket) -> Result<UdpId, BindError> {
        let hash = self.hash(socket.port);
        let slot = match self.slots.iter().position(|(_, socket)| socket.is_none()) {
            Some(slot) => slot,
            None if self.slots.len() >= self.limit => return Err(BindError::TooMany(self.limit)),
            None => {
                self.slots.try_reserve(1)?;
                self.slots.push((0, None));
                self.slots.len() - 1
            }
        };
        let Self { slots, by_port, key, .. } = self;
        let rehash = |slot: &u32| match &slots[*slot as usize].1 {
            Some(socket) => key.hash(&[socket.port.into()]),
            None => 0,
        };
        by_port.try_reserve(1, rehash).map_err(|_| BindError::OutOfMemory)?;
        by_port.insert_unique(hash, slot as u32, rehash);
        let (generation, place) = &mut slots[slot];
        *place = Some(socket);
        Ok(UdpId { slot: slot as u32, generation: *generation })
    }

    fn remove(&mut self, id: UdpId) {
        let Some(socket) = self.get_mut(id) else {
            return;
        };
        socket.lone.socket_mut().close();
        let port = socket.port;
        let hash = self.hash(port);
        if let Ok(entry) = self.by_port.find_entry(hash, |slot| *slot == id.slot) {
            entry.remove();
        }
        let (generation, place) = &mut self.slots[id.slot as usize];
        *place = None;
        *generation = generation.wrapping_add(1);
    }
}

impl Stack {
    /// Binds a socket to a port of all own addresses; port 0 chooses one.
    ///
    /// # Errors
    /// If the port is taken, or a limit is reached.
    pub fn udp_bind(&mut self, port: u16) -> Result<UdpId, BindError> {
        let port = match port {
            0 => self.free_udp_port()?,
            port if self.udp.find(port).is_some() => return Err(BindError::PortInUse(port)),
            port => port,
        };
        let mut lone = new_socket(&self.limits)?;
        // Cannot fail: the socket is new and the port is not 0.
        let _ = lone.socket_mut().bind(port);
        self.udp.insert(UdpSocket { port, lone, next_hop: None, failures: 0 })
    }

    /// The port that a socket is bound to.
    pub fn udp_port(&self, id: UdpId) -> Option<u16> {
        let (generation, socket) = self.udp.slots.get(id.slot as usize)?;
        socket.as_ref().filter(|_| *generation == id.generation).map(|socket| socket.port)
    }

    /// Queues a datagram from the own address.
    ///
    /// # Errors
    /// If it can never be sent, or not now.
    pub fn udp_send_to(
        &mut self,
        id: UdpId,
        data: &[u8],
        remote: SocketAddr,
    ) -> Result<(), UdpSendError> {
        let own = self.addresses.own().ok_or(UdpSendError::NoAddress)?;
        self.queue_datagram(id, data, remote, own)
    }

    /// Queues a datagram in the name of another address: for a gateway, whose stack takes packets
    /// for every destination. The port is the socket's.
    ///
    /// # Errors
    /// As for [`Stack::udp_send_to`], and if the stack does not have this address.
    pub fn udp_send_from(
        &mut self,
        id: UdpId,
        data: &[u8],
        remote: SocketAddr,
        local: Ipv4Addr,
    ) -> Result<(), UdpSendError> {
        let is_served = self.addresses.is_own(local) || self.any_ip && is_host(local);
        if !is_served {
            return Err(UdpSendError::NotUsable(SocketAddr::from((local, 0))));
        }
        self.queue_datagram(id, data, remote, local)
    }

    fn queue_datagram(
        &mut self,
        id: UdpId,
        data: &[u8],
        remote: SocketAddr,
        local: Ipv4Addr,
    ) -> Result<(), UdpSendError> {
        let max = (self.mtu - HEADERS_BYTES).min(self.limits.udp_buffer_bytes);
        if data.len() > max {
            return Err(UdpSendError::TooLarge { bytes: data.len(), max });
        }
        let (address, next_hop) = self.route_datagram(remote)?;
        let socket = self.udp.get_mut(id).ok_or(UdpSendError::Closed)?;
        let endpoint = IpEndpoint { addr: IpAddress::Ipv4(address), port: remote.port() };
        let mut meta = udp::UdpMetadata::from(endpoint);
        if self.addresses.own() != Some(local) {
            meta.local_address = Some(IpAddress::Ipv4(local));
        }
        match socket.lone.socket_mut().send_slice(data, meta) {
            Ok(()) => {}
            Err(udp::SendError::BufferFull) => return Err(UdpSendError::QueueFull),
            Err(udp::SendError::Unaddressable) => return Err(UdpSendError::NotUsable(remote)),
        }
        socket.next_hop = next_hop;
        self.agenda.make_ready(Task::Udp(id.slot));
        Ok(())
    }

    /// Checks that there is a way to a destination, since smoltcp would hold the datagram forever.
    fn route_datagram(
        &self,
        remote: SocketAddr,
    ) -> Result<(Ipv4Addr, Option<Ipv4Addr>), UdpSendError> {
        let IpAddr::V4(address) = remote.ip() else {
            return Err(UdpSendError::NotUsable(remote));
        };
        if address.is_unspecified() || address.is_loopback() || remote.port() == 0 {
            return Err(UdpSendError::NotUsable(remote));
        }
        if address.is_multicast() || self.addresses.is_broadcast(address) {
            return Ok((address, None));
        }
        match self.addresses.next_hop(address) {
            Some(next_hop) => Ok((address, Some(next_hop))),
            None => Err(UdpSendError::NoRoute(remote)),
        }
    }

    /// Takes the oldest datagram out, cut to the buffer's size, and tells its sender.
    pub fn udp_recv_from(&mut self, id: UdpId, buffer: &mut [u8]) -> Option<(usize, SocketAddr)> {
        self.udp_recv(id, buffer).map(|datagram| (datagram.bytes, datagram.remote))
    }

    /// Takes the oldest datagram out, and tells all that is known of it.
    pub fn udp_recv(&mut self, id: UdpId, buffer: &mut [u8]) -> Option<Datagram> {
        let socket = self.udp.get_mut(id)?;
        let port = socket.port;
        let (data, meta) = socket.lone.socket_mut().recv().ok()?;
        let bytes = data.len().min(buffer.len());
        buffer[..bytes].copy_from_slice(&data[..bytes]);
        let IpAddress::Ipv4(remote) = meta.endpoint.addr;
        let local = match meta.local_address {
            Some(IpAddress::Ipv4(local)) => local,
            None => Ipv4Addr::UNSPECIFIED,
        };
        Some(Datagram {
            bytes,
            truncated: bytes < data.len(),
            remote: SocketAddrV4::new(remote, meta.endpoint.port).into(),
            local: SocketAddrV4::new(local, port).into(),
        })
    }

    /// Wakes once when a datagram arrives or the socket is closed.
    pub fn register_udp_recv_waker(&mut self, id: UdpId, waker: &Waker) {
        match self.udp.get_mut(id) {
            Some(socket) if !socket.lone.socket().can_recv() => {
                socket.lone.socket_mut().register_recv_waker(waker);
            }
            _ => waker.wake_by_ref(),
        }
    }

    /// Closes a socket. What is still queued is lost.
    pub fn udp_close(&mut self, id: UdpId) {
        if self.udp.get_mut(id).is_some() {
            self.udp.remove(id);
            self.agenda.set_deadline(Task::Udp(id.slot), None);
        }
    }

    pub(crate) fn deliver_datagram(&mut self, slot: u32, frame: &[u8]) {
        let Some(socket) = self.udp.at_mut(slot) else {
            return;
        };
        let set = socket.lone.set_mut();
        let outcome = ingest(self.now, &mut self.interface, &mut self.frames, self.mtu, frame, set);
        self.counters.datagrams_received += 1;
        self.note_answer(outcome);
    }

    pub(crate) fn run_udp(&mut self, slot: u32) {
        let mut stalled = true;
        for _ in 0..BURST {
            let Some(socket) = self.udp.at_mut(slot) else {
                return;
            };
            if socket.failures >= PATIENCE {
                self.drop_datagram(slot);
                continue;
            }
            let next_hop = socket.next_hop;
            let set = socket.lone.set_mut();
            let outcome = emit(self.now, &mut self.interface, &mut self.frames, self.mtu, set);
            let outcome = self.note_emission(Task::Udp(slot), outcome, next_hop);
            let Some(socket) = self.udp.at_mut(slot) else {
                return;
            };
            match outcome {
                Outcome::Sent => socket.failures = 0,
                Outcome::Unresolved => socket.failures += 1,
                Outcome::Idle | Outcome::Starved => {}
            }
            stalled &= outcome == Outcome::Idle;
            if outcome != Outcome::Sent {
                break;
            }
        }
        self.schedule_udp(slot, stalled);
    }

    /// Drops the oldest datagram. smoltcp does so with a datagram for which there is no source
    /// address, and on a new interface there is none.
    fn drop_datagram(&mut self, slot: u32) {
        let mut nowhere = self.new_opener();
        let Some(socket) = self.udp.at_mut(slot) else {
            return;
        };
        socket.failures = 0;
        emit(self.now, &mut nowhere, &mut self.frames, self.mtu, socket.lone.set_mut());
        self.counters.datagrams_dropped += 1;
    }

    fn schedule_udp(&mut self, slot: u32, stalled: bool) {
        let now = self.now;
        let Some(socket) = self.udp.at_mut(slot) else {
            return;
        };
        match self.interface.poll_at(now, socket.lone.set()) {
            Some(due) if due <= now && !stalled => self.agenda.make_ready(Task::Udp(slot)),
            due => {
                let due = due.map(|due| due.max(now + STALL));
                self.agenda.set_deadline(Task::Udp(slot), due);
            }
        }
    }

    fn free_udp_port(&mut self) -> Result<u16, BindError> {
        let first = self.draw_secret() as usize;
        let count = EPHEMERAL_PORTS.len();
        (0..count)
            .map(|step| EPHEMERAL_PORTS.start() + ((first % count + step) % count) as u16)
            .find(|port| self.udp.find(*port).is_none())
            .ok_or(BindError::TooMany(count))
    }
}

fn new_socket(limits: &Limits) -> Result<Lone<udp::Socket<'static>>, TryReserveError> {
    let buffer = || {
        let mut metadata = Vec::new();
        metadata.try_reserve_exact(limits.udp_datagrams)?;
        metadata.resize(limits.udp_datagrams, udp::PacketMetadata::EMPTY);
        Ok::<_, TryReserveError>(udp::PacketBuffer::new(
            metadata,
            try_zeroed(limits.udp_buffer_bytes)?,
        ))
    };
    Lone::new(udp::Socket::new(buffer()?, buffer()?))
}
