//! The simulation: hosts, a wire with faults, and a clock that jumps to the next event. Everything
//! follows from a seed, so a failing run can be run again.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use netstack::{
    Config, ConnectionId, ConnectionState, Duration, Instant, Limits, ListenerId, Received, Stack,
    VNET_HEADER_BYTES,
};

use crate::offload;
use crate::path::too_big;

/// A small generator of numbers (SplitMix64); good enough for faults.
pub struct Random(u64);

impl Random {
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    pub fn below(&mut self, limit: usize) -> usize {
        (self.next() % limit as u64) as usize
    }

    pub fn percent(&mut self, chance: u64) -> bool {
        self.next() % 100 < chance
    }
}

/// What the wire does to frames, in percent of them.
#[derive(Clone, Copy, Default)]
pub struct Faults {
    pub loss: u64,
    pub duplication: u64,
    pub corruption: u64,
    pub reordering: u64,
}

impl Faults {
    pub const NONE: Self = Self { loss: 0, duplication: 0, corruption: 0, reordering: 0 };
    pub const ROUGH: Self = Self { loss: 8, duplication: 4, corruption: 3, reordering: 15 };

    /// What arrives of a frame, each with what it takes longer than usual.
    pub fn apply(&self, random: &mut Random, frame: &[u8]) -> Vec<(Duration, Vec<u8>)> {
        if random.percent(self.loss) {
            return Vec::new();
        }
        let copies = 1 + usize::from(random.percent(self.duplication));
        let copy = |_| {
            let mut frame = frame.to_vec();
            // Ethernet's own checksum guards its header and ARP; the wire damages what lies behind.
            if frame[12..14] != [8, 6] && random.percent(self.corruption) {
                let at = 14 + random.below(frame.len() - 14);
                frame[at] ^= 1 << random.below(8);
            }
            let mut late = Duration::ZERO;
            if random.percent(self.reordering) {
                late += Duration::from_micros(random.below(3000) as u64);
            }
            (late, frame)
        };
        (0..copies).map(copy).collect()
    }
}

/// What is lost, decided frame by frame.
pub type Filter = Box<dyn FnMut(&[u8]) -> bool>;

/// Hosts on one wire. Every frame reaches all the other hosts.
pub struct Net {
    pub now: Instant,
    pub hosts: Vec<Stack>,
    pub faults: Faults,
    pub delay: Duration,
    /// Frames from and to this host are lost.
    pub unplugged: Option<usize>,
    pub random: Random,
    /// Frames that were sent, if they are recorded.
    pub record: Option<Vec<Vec<u8>>>,
    /// Frames that are lost beside those that the faults take.
    pub drops: Option<Filter>,
    /// Where [`Net::establish`] finds the server.
    pub server: IpAddr,
    /// Hosts whose frames begin with virtio-net headers.
    pub offloading: Vec<bool>,
    /// The wire cuts such frames as a TAP does, or else both hosts share their memory.
    pub cuts: bool,
    /// A router on the way takes no larger packets than this, and says so.
    pub path_mtu: Option<usize>,
    flying: BTreeMap<(Instant, u64), (usize, Vec<u8>)>,
    sent: u64,
}

impl Net {
    /// A wire without hosts.
    pub fn new(seed: u64, faults: Faults) -> Self {
        Self {
            now: Instant::from_secs(1),
            hosts: Vec::new(),
            faults,
            delay: Duration::from_micros(200),
            unplugged: None,
            random: Random::new(seed),
            record: None,
            drops: None,
            server: address_of(1).into(),
            offloading: Vec::new(),
            cuts: true,
            path_mtu: None,
            flying: BTreeMap::new(),
            sent: 0,
        }
    }

    /// A client, host 0, and a server, host 1.
    pub fn pair(seed: u64, faults: Faults, limits: &Limits) -> Self {
        let mut net = Self::new(seed, faults);
        for host in 0..2 {
            net.add_host(host, limits.clone());
        }
        net
    }

    /// The same with IPv6 addresses that are given.
    pub fn pair_ipv6(seed: u64, faults: Faults, limits: &Limits) -> Self {
        let mut net = Self::pair(seed, faults, limits);
        net.server = ipv6_address_of(1).into();
        for (host, stack) in (0..).zip(&mut net.hosts) {
            stack.set_ipv6(ipv6_address_of(host), 64, None).expect("a usual address");
        }
        net
    }

    /// Two hosts of which these have offloads.
    pub fn pair_offloading(seed: u64, offloading: [bool; 2], limits: &Limits) -> Self {
        let mut net = Self::new(seed, Faults::NONE);
        for (host, offload) in (0..).zip(offloading) {
            let config = Config { offload, ..net.config(host, limits.clone()) };
            net.add(host, config);
        }
        net
    }

    fn config(&mut self, number: u8, limits: Limits) -> Config {
        Config { limits, ..Config::new(mac_of(number), 1500, self.random.next()) }
    }

    /// Adds host `number` with its address, [`address_of`].
    pub fn add_host(&mut self, number: u8, limits: Limits) -> usize {
        let config = self.config(number, limits);
        self.add(number, config)
    }

    fn add(&mut self, number: u8, config: Config) -> usize {
        self.offloading.resize(self.hosts.len(), false);
        self.offloading.push(config.offload);
        let mut stack = Stack::new(config, self.now).expect("the limits are sound");
        stack.set_ipv4(address_of(number), 24, Some(address_of(200))).expect("a usual address");
        self.hosts.push(stack);
        self.hosts.len() - 1
    }

    /// Lets the hosts work and moves time to the next event, if one comes before the limit.
    pub fn step(&mut self, limit: Instant) -> bool {
        self.flush();
        let arrival = self.flying.keys().next().map(|(at, _)| *at);
        let deadlines = self.hosts.iter_mut().filter_map(|host| host.deadline(self.now));
        let Some(next) = deadlines.chain(arrival).min().filter(|next| *next <= limit) else {
            self.now = limit;
            return false;
        };
        self.now = next.max(self.now);
        while let Some(entry) = self.flying.first_entry().filter(|entry| entry.key().0 <= self.now)
        {
            let (to, frame) = entry.remove();
            self.hosts[to].receive(self.now, &frame);
        }
        true
    }

    /// Runs until `done`, or panics when the time is over.
    pub fn run_until(&mut self, time: Duration, mut done: impl FnMut(&mut Self) -> bool) {
        let limit = self.now + time;
        while !done(self) {
            // The last step may have been the one.
            if !self.step(limit) {
                assert!(done(self), "nothing more happens, or {time} are over");
                return;
            }
        }
    }

    /// Runs for so long.
    pub fn run_for(&mut self, time: Duration) {
        let limit = self.now + time;
        while self.step(limit) {}
    }

    /// Polls every host and takes its frames to the wire.
    fn flush(&mut self) {
        for from in 0..self.hosts.len() {
            loop {
                self.hosts[from].poll(self.now);
                if self.hosts[from].front_frame().is_none() {
                    break;
                }
                while let Some(frame) = self.hosts[from].front_frame().map(<[u8]>::to_vec) {
                    self.hosts[from].pop_frame();
                    self.send(from, frame);
                }
            }
        }
    }

    fn send(&mut self, from: usize, frame: Vec<u8>) {
        if let Some(record) = &mut self.record {
            record.push(frame.clone());
        }
        for to in (0..self.hosts.len()).filter(|to| *to != from) {
            let is_unplugged = self.unplugged.is_some_and(|host| host == from || host == to);
            if is_unplugged {
                continue;
            }
            let [sends, takes] = [from, to].map(|host| self.is_offloading(host));
            if sends && takes && !self.cuts {
                self.carry(to, &frame, &[]);
                continue;
            }
            let pieces = if sends { offload::cut(&frame) } else { vec![frame.clone()] };
            for piece in pieces {
                if let Some(answer) = self.path_mtu.and_then(|mtu| too_big(mtu, &piece)) {
                    let header: &[u8] = if sends { &[0; VNET_HEADER_BYTES] } else { &[] };
                    self.carry(from, &answer, header);
                } else {
                    self.carry(to, &piece, if takes { &[0; VNET_HEADER_BYTES] } else { &[] });
                }
            }
        }
    }

    fn is_offloading(&self, host: usize) -> bool {
        self.offloading.get(host).is_some_and(|offloading| *offloading)
    }

    /// Takes a frame to a host, behind this header, with faults.
    fn carry(&mut self, to: usize, frame: &[u8], header: &[u8]) {
        if self.drops.as_mut().is_some_and(|drops| drops(frame)) {
            return;
        }
        for (late, frame) in self.faults.apply(&mut self.random, frame) {
            self.sent += 1;
            let at = self.now + self.delay + late;
            self.flying.insert((at, self.sent), (to, [header, &frame].concat()));
        }
    }

    /// A connection of host 0 to a listener of host 1: both ends, established.
    pub fn establish(&mut self, listener: ListenerId, port: u16) -> (ConnectionId, ConnectionId) {
        let to = SocketAddr::new(self.server, port);
        let client = self.hosts[0].connect(self.now, to, None).expect("room for it");
        let mut server = None;
        self.run_until(Duration::from_secs(600), |net| {
            server = server.or_else(|| net.hosts[1].accept(listener));
            server.is_some() && net.hosts[0].state(client) == ConnectionState::Established
        });
        (client, server.expect("it was accepted"))
    }
}

pub fn mac_of(host: u8) -> [u8; 6] {
    [2, 0, 0, 0, 0, host + 1]
}

pub fn address_of(host: u8) -> Ipv4Addr {
    Ipv4Addr::new(10, 0, 0, host + 1)
}

pub fn ipv6_address_of(host: u8) -> Ipv6Addr {
    Ipv6Addr::new(0x2001, 0xdb8, 0, 1, 0, 0, 0, u16::from(host) + 1)
}

pub fn remote(host: u8, port: u16) -> SocketAddr {
    SocketAddr::from((address_of(host), port))
}

/// Limits that keep a simulation small.
pub fn small_limits() -> Limits {
    Limits {
        connections: 64,
        half_open: 16,
        time_wait: 32,
        receive_buffer_bytes: 4096,
        send_buffer_bytes: 4096,
        frames_queued: 32,
        ..Limits::default()
    }
}

/// One side of a transfer: sends its bytes, then finishes, and collects what comes.
pub struct Side {
    pub host: usize,
    pub id: ConnectionId,
    pub to_send: Vec<u8>,
    pub sent: usize,
    pub received: Vec<u8>,
    pub finished: bool,
}

impl Side {
    pub fn new(host: usize, id: ConnectionId, to_send: Vec<u8>) -> Self {
        Self { host, id, to_send, sent: 0, received: Vec::new(), finished: false }
    }

    /// Moves what can be moved now.
    pub fn work(&mut self, net: &mut Net) {
        let stack = &mut net.hosts[self.host];
        if self.sent < self.to_send.len() {
            let sent = stack.send(self.id, &self.to_send[self.sent..]).expect("it is open");
            self.sent += sent;
            if self.sent == self.to_send.len() {
                stack.finish(self.id);
            }
        }
        let mut buffer = [0; 1000];
        while !self.finished {
            match stack.recv(self.id, &mut buffer).expect("it is open") {
                Received::Data(bytes) => self.received.extend_from_slice(&buffer[..bytes]),
                Received::Empty => break,
                Received::Finished => self.finished = true,
            }
        }
    }
}

pub fn bytes(random: &mut Random, len: usize) -> Vec<u8> {
    (0..len).map(|_| random.next() as u8).collect()
}
