//! UDP (RFC 768): sockets, found by their port. Datagrams are never cut into fragments.

use alloc::collections::{TryReserveError, VecDeque};
use alloc::vec::Vec;
use core::fmt;
use core::net::{IpAddr, Ipv4Addr, SocketAddr};
use core::task::Waker;

use hashbrown::HashTable;
use smoltcp::time::Duration;

use crate::agenda::Task;
use crate::config::Limits;
use crate::dhcp;
use crate::egress::Way;
use crate::siphash::HashKey;
use crate::stack::Stack;
use crate::wire::frames::Frames;
use crate::wire::icmp;
use crate::wire::ip::{
    self, Content, Envelope, IPV4_HEADER_BYTES, IPV6_HEADER_BYTES, Link, Packet, Refusal, is_host,
    protocol,
};

const HEADER_BYTES: usize = 8;
const CHECKSUM_AT: usize = 6;
/// Datagrams that a socket may send before the next one has its turn.
const BURST: usize = 16;
/// A socket that finds no memory, or whose next hop does not answer yet, tries again after this long.
const RETRY_PERIOD: Duration = Duration::from_secs(1);
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
    /// Bytes that were sent. If they are more, the rest is lost.
    pub sent_bytes: usize,
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

type Parts<'a> = (&'a [u8], &'a [u8]);

/// Datagrams that wait, in order.
#[derive(Default)]
struct Queue {
    datagrams: VecDeque<Queued>,
    bytes: VecDeque<u8>,
}

#[derive(Clone, Copy)]
struct Queued {
    bytes: usize,
    local: SocketAddr,
    remote: SocketAddr,
}

impl Queue {
    /// Takes a datagram; false if there is no room.
    fn push(
        &mut self,
        limits: &Limits,
        data: &[u8],
        local: SocketAddr,
        remote: SocketAddr,
    ) -> bool {
        let has_room = self.datagrams.len() < limits.udp_datagrams
            && self.bytes.len() + data.len() <= limits.udp_buffer_bytes
            && self.datagrams.try_reserve(1).is_ok()
            && self.bytes.try_reserve(data.len()).is_ok();
        if has_room {
            self.bytes.extend(data);
            self.datagrams.push_back(Queued { bytes: data.len(), local, remote });
        }
        has_room
    }

    /// The oldest datagram, in two parts.
    fn front(&self) -> Option<(Queued, Parts<'_>)> {
        let front = *self.datagrams.front()?;
        let (first, second) = self.bytes.as_slices();
        let cut = front.bytes.min(first.len());
        Some((front, (&first[..cut], &second[..front.bytes - cut])))
    }

    fn pop(&mut self) {
        if let Some(front) = self.datagrams.pop_front() {
            self.bytes.drain(..front.bytes);
        }
    }
}

struct UdpSocket {
    port: u16,
    received: Queue,
    to_send: Queue,
    reader: Option<Waker>,
    writer: Option<Waker>,
}

impl UdpSocket {
    fn wake(&mut self) {
        self.reader.take().into_iter().chain(self.writer.take()).for_each(Waker::wake);
    }
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
        socket.wake();
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
        let (received, to_send) = (Queue::default(), Queue::default());
        self.udp.insert(UdpSocket { port, received, to_send, reader: None, writer: None })
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
        let own = self.routes.source_for(remote.ip()).ok_or(match self.routes.addresses() {
            [] => UdpSendError::NoAddress,
            _ => UdpSendError::NotUsable(remote),
        })?;
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
        local: IpAddr,
    ) -> Result<(), UdpSendError> {
        if !self.serves(local) || !is_host(local) || local.is_ipv4() != remote.is_ipv4() {
            return Err(UdpSendError::NotUsable(SocketAddr::new(local, 0)));
        }
        self.queue_datagram(id, data, remote, local)
    }

    fn queue_datagram(
        &mut self,
        id: UdpId,
        data: &[u8],
        remote: SocketAddr,
        local: IpAddr,
    ) -> Result<(), UdpSendError> {
        let ip_header_bytes = match local {
            IpAddr::V4(_) => IPV4_HEADER_BYTES,
            IpAddr::V6(_) => IPV6_HEADER_BYTES,
        };
        let mtu = self.mtu(local.is_ipv6());
        let max = (mtu - ip_header_bytes - HEADER_BYTES).min(self.limits.udp_buffer_bytes);
        if data.len() > max {
            return Err(UdpSendError::TooLarge { bytes: data.len(), max });
        }
        let destination = remote.ip();
        if destination.is_unspecified() || destination.is_loopback() || remote.port() == 0 {
            return Err(UdpSendError::NotUsable(remote));
        }
        let is_broadcast =
            matches!(destination, IpAddr::V4(address) if self.routes.is_broadcast(address));
        if !is_broadcast && self.routes.next_hop(destination).is_none() {
            return Err(UdpSendError::NoRoute(remote));
        }
        let limits = &self.limits;
        let socket = self.udp.get_mut(id).ok_or(UdpSendError::Closed)?;
        let local = SocketAddr::new(local, socket.port);
        if !socket.to_send.push(limits, data, local, remote) {
            return Err(UdpSendError::QueueFull);
        }
        self.agenda.make_ready(Task::Udp(id.slot));
        Ok(())
    }

    /// Takes the oldest datagram out, cut to the buffer's size, and tells its sender.
    pub fn udp_recv_from(&mut self, id: UdpId, buffer: &mut [u8]) -> Option<(usize, SocketAddr)> {
        self.udp_recv(id, buffer).map(|datagram| (datagram.bytes, datagram.remote))
    }

    /// Takes the oldest datagram out, and tells all that is known of it.
    pub fn udp_recv(&mut self, id: UdpId, buffer: &mut [u8]) -> Option<Datagram> {
        let socket = self.udp.get_mut(id)?;
        let (Queued { local, remote, .. }, (first, second)) = socket.received.front()?;
        let from_first = first.len().min(buffer.len());
        buffer[..from_first].copy_from_slice(&first[..from_first]);
        let from_second = second.len().min(buffer.len() - from_first);
        buffer[from_first..from_first + from_second].copy_from_slice(&second[..from_second]);
        let bytes = from_first + from_second;
        let sent_bytes = first.len() + second.len();
        socket.received.pop();
        Some(Datagram { bytes, sent_bytes, remote, local })
    }

    /// Wakes once when a datagram arrives or the socket is closed.
    pub fn register_udp_recv_waker(&mut self, id: UdpId, waker: &Waker) {
        match self.udp.get_mut(id) {
            Some(socket) if socket.received.datagrams.is_empty() => {
                socket.reader = Some(waker.clone());
            }
            _ => waker.wake_by_ref(),
        }
    }

    /// Wakes once when there may be room for another datagram, or the socket is closed.
    pub fn register_udp_send_waker(&mut self, id: UdpId, waker: &Waker) {
        match self.udp.get_mut(id) {
            Some(socket) if !socket.to_send.datagrams.is_empty() => {
                socket.writer = Some(waker.clone());
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

    pub(crate) fn process_udp(
        &mut self,
        link: &Link,
        packet: &Packet<'_>,
        checksum_is_valid: bool,
    ) -> Result<(), Refusal> {
        let (header, _) =
            packet.payload.split_first_chunk::<HEADER_BYTES>().ok_or(Refusal::Malformed)?;
        let [s0, s1, d0, d1, l0, l1, c0, c1] = *header;
        let (source_port, port) = (u16::from_be_bytes([s0, s1]), u16::from_be_bytes([d0, d1]));
        let len = usize::from(u16::from_be_bytes([l0, l1]));
        if source_port == 0 || port == 0 || len < HEADER_BYTES {
            return Err(Refusal::Malformed);
        }
        let datagram = packet.payload.get(..len).ok_or(Refusal::Malformed)?;
        // In IPv4 a checksum of zero means that there is none.
        let has_checksum = [c0, c1] != [0, 0] || packet.source.is_ipv6();
        let valid = Packet { payload: datagram, ..*packet };
        if has_checksum && !checksum_is_valid && !valid.has_valid_checksum() {
            return Err(Refusal::Malformed);
        }
        let data = &datagram[HEADER_BYTES..];
        if port == dhcp::CLIENT_PORT && self.dhcp.is_some() && packet.source.is_ipv4() {
            if source_port == dhcp::SERVER_PORT {
                self.deliver_to_dhcp(data);
            }
            return Ok(());
        }
        let destination = packet.destination;
        let is_to_all =
            matches!(destination, IpAddr::V4(address) if self.routes.is_broadcast(address));
        // A DHCP client has no address yet when it asks its server.
        let is_nameless = packet.source == IpAddr::V4(Ipv4Addr::UNSPECIFIED);
        let is_from_host = is_host(packet.source) || is_nameless;
        if !is_from_host || !is_to_all && !self.serves(destination) {
            return Err(Refusal::NotForUs);
        }
        if self.resolver.expects(port) {
            self.deliver_to_resolver(SocketAddr::new(packet.source, source_port), port, data);
            return Ok(());
        }
        let limits = &self.limits;
        match self.udp.find(port).and_then(|slot| self.udp.at_mut(slot)) {
            Some(socket) => {
                let local = SocketAddr::new(destination, port);
                let remote = SocketAddr::new(packet.source, source_port);
                let is_taken = socket.received.push(limits, data, local, remote);
                if let Some(waker) = socket.reader.take() {
                    waker.wake();
                }
                self.counters.datagrams_received += 1;
                self.counters.datagrams_dropped += u64::from(!is_taken);
            }
            // RFC 1122, 3.2.2.1: only what was sent to us alone is answered by an error.
            None if self.routes.is_own(destination)
                && link.destination == self.mac
                && !is_nameless =>
            {
                self.counters.datagrams_refused += 1;
                let mtu = self.mtu(destination.is_ipv6());
                let (header, quote) =
                    icmp::port_unreachable(destination, packet.source, packet.whole, mtu);
                self.answer(link.source, packet, &header, quote);
            }
            None => return Err(Refusal::NotForUs),
        }
        Ok(())
    }

    pub(crate) fn run_udp(&mut self, slot: u32) {
        let task = Task::Udp(slot);
        for _ in 0..BURST {
            let front = self.udp.at(slot).and_then(|socket| socket.to_send.front());
            let Some((Queued { remote, .. }, _)) = front else { return };
            if !self.frames.has_room() {
                return self.agenda.keep_turn(task);
            }
            let way = self.way_to(task, remote.ip());
            if way == Way::Unknown {
                // The question may be dropped for newer ones; then it is asked again.
                return self.agenda.set_deadline(task, Some(self.now + RETRY_PERIOD));
            }
            let Some(socket) = self.udp.at_mut(slot) else { return };
            let Some((Queued { local, remote, .. }, data)) = socket.to_send.front() else { return };
            match way {
                Way::To(mac) => {
                    let route = Route {
                        macs: (self.mac, mac),
                        source: (local.ip(), local.port()),
                        destination: (remote.ip(), remote.port()),
                    };
                    if !push_datagram(&mut self.frames, self.offload, &route, data) {
                        // There is no memory for it now.
                        return self.agenda.set_deadline(task, Some(self.now + RETRY_PERIOD));
                    }
                }
                // Its next hop does not answer, and it must not hold up those behind it.
                Way::Unknown | Way::None => self.counters.datagrams_dropped += 1,
            }
            socket.to_send.pop();
            if let Some(waker) = socket.writer.take() {
                waker.wake();
            }
        }
        self.agenda.make_ready(task);
    }

    fn free_udp_port(&mut self) -> Result<u16, BindError> {
        let first = self.draw_secret() as usize;
        let count = EPHEMERAL_PORTS.len();
        (0..count)
            .map(|step| EPHEMERAL_PORTS.start() + ((first % count + step) % count) as u16)
            .find(|port| self.udp.find(*port).is_none() && !self.resolver.expects(*port))
            .ok_or(BindError::TooMany(count))
    }
}

/// The ends of a datagram's way.
pub(crate) struct Route {
    /// Our Ethernet address and the next hop's.
    pub(crate) macs: ([u8; 6], [u8; 6]),
    pub(crate) source: (IpAddr, u16),
    pub(crate) destination: (IpAddr, u16),
}

/// Queues a datagram as a frame. False if there is no memory.
pub(crate) fn push_datagram(
    frames: &mut Frames,
    offload: bool,
    route: &Route,
    data: (&[u8], &[u8]),
) -> bool {
    let len = (HEADER_BYTES + data.0.len() + data.1.len()) as u16;
    let mut header = [0; HEADER_BYTES];
    header[0..2].copy_from_slice(&route.source.1.to_be_bytes());
    header[2..4].copy_from_slice(&route.destination.1.to_be_bytes());
    header[4..6].copy_from_slice(&len.to_be_bytes());
    let (source, destination) = (route.source.0, route.destination.0);
    let mut envelope = Envelope::new(route.macs, source, destination, protocol::UDP);
    envelope.may_fragment = true;
    let content = Content {
        header: &header,
        payload: data,
        checksum_at: Some(CHECKSUM_AT),
        segment_bytes: None,
    };
    ip::push_packet(frames, offload, &envelope, &content)
}
