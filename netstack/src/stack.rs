//! The stack as a whole: its parts, the way of frames in and out, and time. What happens to a frame
//! is in `ingress`, what is sent in `egress`, and the owner's calls in `tcp`, `udp` and `address`.

use alloc::collections::VecDeque;
use alloc::vec::Vec;

use core::net::IpAddr;
use core::task::Waker;

use smoltcp::time::Instant;

use crate::agenda::{Agenda, Task};
use crate::config::{Config, ConfigError, Limits};
use crate::counters::Counters;
use crate::dhcp;
use crate::neighbour::{NEIGHBOURS_DEFAULT, Neighbours};
use crate::resolver::Resolver;
use crate::routes::{Route, Routes};
use crate::siphash::HashKey;
use crate::slaac::Slaac;
use crate::tcp::buffer::Memory;
use crate::tcp::connection::ConnectionId;
use crate::tcp::listener::Listeners;
use crate::tcp::table::{List, Table};
use crate::udp::UdpSockets;
use crate::wire::frames::Frames;

/// A TCP/IP stack for one Ethernet wire.
pub struct Stack {
    pub(crate) now: Instant,
    pub(crate) mac: [u8; 6],
    /// The largest packet that the wire takes, and what networks on it say of theirs.
    wire_mtu: usize,
    pub(crate) ipv4_mtu: usize,
    pub(crate) ipv6_mtu: usize,
    pub(crate) any_ip: bool,
    pub(crate) offload: bool,
    pub(crate) limits: Limits,
    pub(crate) frames: Frames,
    pub(crate) neighbours: Neighbours,
    pub(crate) routes: Routes,
    pub(crate) address_waker: Option<Waker>,
    pub(crate) agenda: Agenda,
    pub(crate) memory: Memory,
    pub(crate) table: Table,
    pub(crate) listeners: Listeners,
    pub(crate) offers: VecDeque<ConnectionId>,
    pub(crate) offer_unmatched: bool,
    pub(crate) touched: Touched,
    pub(crate) udp: UdpSockets,
    pub(crate) dhcp: Option<dhcp::Client>,
    pub(crate) slaac: Option<Slaac>,
    pub(crate) resolver: Resolver,
    pub(crate) own_servers: Vec<IpAddr>,
    pub(crate) own_routes: Vec<Route>,
    pub(crate) counters: Counters,
    key: HashKey,
    secrets_drawn: u64,
}

impl Stack {
    /// A stack without an address: see [`Stack::set_ipv4`] and [`Stack::start_dhcp`].
    ///
    /// # Errors
    /// If the configuration cannot work, or there is no memory for its tables.
    pub fn new(config: Config, now: Instant) -> Result<Self, ConfigError> {
        config.validate()?;
        let Config { mac, mtu, seed, limits, any_ip, offload } = config;
        let key = HashKey::from_seed(seed);
        let frames = Frames::new(limits.frames_queued, limits.frames_bytes(mtu, offload))?;
        let tcp_slots = limits.connections + limits.time_wait;
        let mut offers = VecDeque::new();
        offers.try_reserve_exact(2 * limits.half_open + 1)?;
        Ok(Self {
            now,
            mac,
            wire_mtu: mtu,
            ipv4_mtu: mtu,
            ipv6_mtu: mtu,
            any_ip,
            offload,
            frames,
            neighbours: Neighbours::new(NEIGHBOURS_DEFAULT, key, now),
            routes: Routes::new()?,
            address_waker: None,
            agenda: Agenda::new(tcp_slots, limits.udp_sockets)?,
            memory: Memory::new(limits.buffers_bytes, limits.small_buffers_bytes),
            table: Table::new(tcp_slots, key)?,
            listeners: Listeners::new(&limits),
            offers,
            offer_unmatched: false,
            touched: Touched::new(tcp_slots)?,
            udp: UdpSockets::new(limits.udp_sockets, key),
            dhcp: None,
            slaac: None,
            resolver: Resolver::new(key.hash(&[3])),
            own_servers: Vec::new(),
            own_routes: Vec::new(),
            counters: Counters::default(),
            key,
            secrets_drawn: 0,
            limits,
        })
    }

    /// Takes one frame from the wire: Ethernet without its checksum, with [`Config::offload`] behind
    /// a virtio-net header. The bytes may be anything.
    pub fn receive(&mut self, now: Instant, frame: &[u8]) {
        self.set_now(now);
        self.counters.frames_received += 1;
        self.process(frame);
    }

    /// Runs what is due and queues frames until there is nothing to send or the queue is full.
    pub fn poll(&mut self, now: Instant) {
        self.set_now(now);
        self.agenda.advance(now);
        while self.frames.has_room() {
            let Some(task) = self.agenda.next_ready() else {
                break;
            };
            self.counters.turns += 1;
            match task {
                Task::Tcp(slot) => self.run_connection(slot),
                Task::Udp(slot) => self.run_udp(slot),
                Task::Neighbours => self.run_neighbours(),
                Task::Dhcp => self.run_dhcp(),
                Task::Autoconfiguration => self.run_autoconfiguration(),
                Task::Resolver => self.run_resolver(),
            }
        }
    }

    /// The next outgoing frame. It stays the next until [`Stack::pop_frame`], so that a full wire loses nothing.
    pub fn front_frame(&self) -> Option<&[u8]> {
        self.frames.front()
    }

    /// Forgets the frame that [`Stack::front_frame`] gave.
    pub fn pop_frame(&mut self) {
        self.frames.pop();
    }

    /// When [`Stack::poll`] must run at the latest; `now` if there is work, `None` if only input
    /// makes any. While the queue of outgoing frames is full, what waits for room does not count.
    pub fn deadline(&mut self, now: Instant) -> Option<Instant> {
        if self.agenda.is_ready() && self.frames.has_room() {
            return Some(now);
        }
        self.agenda.earliest_deadline()
    }

    /// What the stack has counted so far, and how much it holds now.
    pub fn counters(&self) -> Counters {
        let time_wait = self.table.list_len(List::TimeWait);
        Counters {
            frames_sent: self.frames.queued_ever(),
            connections: self.table.len() - time_wait,
            half_open: self.table.list_len(List::HalfOpen),
            time_wait,
            buffer_bytes: self.memory.used_bytes(),
            ..self.counters.clone()
        }
    }

    /// The limits that the stack was made with.
    pub fn limits(&self) -> &Limits {
        &self.limits
    }

    /// Time never goes back for the stack, whatever its owner says.
    pub(crate) fn set_now(&mut self, now: Instant) {
        self.now = self.now.max(now);
    }

    /// A number that nobody outside can foresee.
    pub(crate) fn draw_secret(&mut self) -> u64 {
        self.secrets_drawn += 1;
        self.key.hash(&[1, self.secrets_drawn])
    }

    /// The largest packet between these networks, in bytes.
    pub(crate) fn mtu(&self, is_ipv6: bool) -> usize {
        self.wire_mtu.min(if is_ipv6 { self.ipv6_mtu } else { self.ipv4_mtu })
    }

    /// What only this stack can compute of these words.
    pub(crate) fn secret_of(&self, words: &[u64]) -> u64 {
        self.key.hash(words)
    }
}

/// Connections that something happened to, each at most once.
pub(crate) struct Touched {
    pub(crate) tracking: bool,
    queue: VecDeque<u32>,
    queued: Vec<bool>,
}

impl Touched {
    fn new(slots: usize) -> Result<Self, ConfigError> {
        let mut queue = VecDeque::new();
        queue.try_reserve_exact(slots)?;
        let mut queued = Vec::new();
        queued.try_reserve_exact(slots)?;
        queued.resize(slots, false);
        Ok(Self { tracking: false, queue, queued })
    }

    pub(crate) fn push(&mut self, slot: u32) {
        if self.tracking && !self.queued[slot as usize] {
            self.queued[slot as usize] = true;
            self.queue.push_back(slot);
        }
    }

    pub(crate) fn pop(&mut self) -> Option<u32> {
        let slot = self.queue.pop_front()?;
        self.queued[slot as usize] = false;
        Some(slot)
    }
}
