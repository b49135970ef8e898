//! The TCP/IP stack, given whole frames: raw ones, right ones with changes whose checksums are right
//! again, and segments of connections that go on, while its owner sends, reads, opens and closes, and
//! time passes.

mod frames;
mod peer;

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use netstack::{
    Config, ConnectionId, Duration, Instant, Limits, ListenerId, QueryKind, Stack, UdpId,
    VNET_HEADER_BYTES,
};

use crate::{Target, Verdict};
use frames::{OWN_MAC, PEER_MAC, check, complete, fix};
use peer::{PEERS, Peer, ROUTER};

/// This target.
pub const TARGET: Target = Target { name: "netstack", run, seeds, words, inputs: 5_000 };

/// What the first byte of an input asks for.
const OFFLOAD: u8 = 1;
const GATEWAY: u8 = 2;
const DHCP: u8 = 4;
const ROUTERS: u8 = 8;

/// Turns without progress, after which the stack counts as running without end.
const TURNS_MAX: u32 = 1000;
/// What every connection may hold in each direction, beside what all of them share.
const BLOCK_BYTES: usize = 4096;

/// The bytes of an input, then zeros.
struct Bytes<'a>(&'a [u8]);

impl Bytes<'_> {
    fn next(&mut self) -> u8 {
        self.0.split_off_first().copied().unwrap_or_default()
    }

    fn number(&mut self) -> u16 {
        u16::from_le_bytes([self.next(), self.next()])
    }
}

struct World {
    now: Instant,
    stack: Stack,
    peer: Peer,
    offload: bool,
    frame_bytes_max: usize,
    /// The wire takes nothing.
    is_stuck: bool,
    listener: Option<ListenerId>,
    udp: UdpId,
    ids: Vec<ConnectionId>,
}

/// Takes the steps.
///
/// # Panics
/// If something does not hold that must.
pub fn run(data: &[u8]) -> Verdict {
    let mut bytes = Bytes(data);
    let mut world = World::new(bytes.next());
    while !bytes.0.is_empty() {
        world.take_step(&mut bytes);
        world.settle();
    }
    world.end();
    let counters = world.stack.counters();
    match counters.dropped_malformed + counters.dropped_unsupported {
        0 => Verdict::Accepted,
        _ => Verdict::Refused,
    }
}

fn limits() -> Limits {
    Limits {
        connections: 6,
        half_open: 3,
        time_wait: 2,
        listeners: 2,
        receive_buffer_bytes: 100_000,
        send_buffer_bytes: 100_000,
        buffers_bytes: 150_000,
        frames_queued: 12,
        udp_sockets: 2,
        udp_datagrams: 4,
        udp_buffer_bytes: 4096,
        ..Limits::default()
    }
}

impl World {
    fn new(mode: u8) -> Self {
        let now = Instant::from_secs(1);
        let [offload, any_ip, dhcp, routers] =
            [OFFLOAD, GATEWAY, DHCP, ROUTERS].map(|bit| mode & bit != 0);
        let config =
            Config { limits: limits(), offload, any_ip, ..Config::new(OWN_MAC, 1500, 0x5eed) };
        let frame_bytes_max = config.frame_bytes_max();
        let mut stack = Stack::new(config, now).expect("sound limits");
        let own = Ipv4Addr::new(10, 0, 0, 1);
        let mut own6 = Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 1);
        if dhcp {
            stack.start_dhcp(now);
        } else {
            let router = Some(Ipv4Addr::new(10, 0, 0, 2));
            stack.set_ipv4(own, 24, router).expect("a usual address");
        }
        if routers {
            stack.start_autoconfiguration(now, 7);
            own6 = Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0xff, 0xfe00, 1);
        } else {
            stack.set_ipv6(own6, 64, None).expect("a usual address");
        }
        for address in PEERS.into_iter().chain([IpAddr::V6(ROUTER)]) {
            stack.add_neighbour(address, PEER_MAC);
        }
        stack.set_offer_unmatched(any_ip);
        stack.set_dns_servers([PEERS[0]]);
        stack.set_track_touched(true);
        let listener = stack.listen(80, 3).ok();
        let udp = stack.udp_bind(7).expect("the first");
        let peer = Peer::new([own.into(), own6.into()]);
        let (is_stuck, ids) = (false, Vec::new());
        let mut world =
            Self { now, stack, peer, offload, frame_bytes_max, is_stuck, listener, udp, ids };
        world.settle();
        world
    }

    fn take_step(&mut self, bytes: &mut Bytes<'_>) {
        match bytes.next() % 8 {
            0 => {
                let len = usize::from(bytes.next()).min(bytes.0.len());
                let (frame, rest) = bytes.0.split_at(len);
                bytes.0 = rest;
                let frame = frame.to_vec();
                self.receive(&frame);
            }
            1 => {
                let kind = bytes.next();
                let frame = self.peer.frame(kind);
                self.receive_changed(frame, bytes);
            }
            2 | 3 => {
                let frame = self.peer.segment(bytes);
                self.receive(&frame);
            }
            4 => {
                let frame = self.peer.segment(bytes);
                self.receive_changed(frame, bytes);
            }
            5 => {
                let time = bytes.number();
                let unit = if time & 1 == 0 { 1 } else { 100 };
                self.wait(Duration::from_millis(u64::from(time >> 1) * unit));
            }
            _ => self.act(bytes),
        }
    }

    /// A frame with a few bytes changed, cut off or made right again.
    fn receive_changed(&mut self, mut frame: Vec<u8>, bytes: &mut Bytes<'_>) {
        let shape = bytes.next();
        for _ in 0..shape & 7 {
            let (at, value) = (usize::from(bytes.next()), bytes.next());
            if let Some(place) = frame.get_mut(at) {
                *place ^= value;
            }
        }
        if shape & 8 != 0 {
            frame.truncate(usize::from(bytes.number()));
        }
        if shape & 16 == 0 {
            fix(&mut frame);
        }
        self.receive(&frame);
    }

    fn receive(&mut self, frame: &[u8]) {
        let header: &[u8] = if self.offload { &[0; VNET_HEADER_BYTES] } else { &[] };
        self.stack.receive(self.now, &[header, frame].concat());
    }

    /// What the owner does.
    fn act(&mut self, bytes: &mut Bytes<'_>) {
        let (choice, which, how_much) = (bytes.next(), bytes.next(), bytes.next());
        let id = self.ids.get(usize::from(which) % self.ids.len().max(1)).copied();
        let peer = SocketAddr::new(PEERS[usize::from(which) % 3], 9);
        let payload = vec![b'y'; usize::from(how_much) * 300];
        match (choice % 16, id) {
            (0, _) => {
                let accepted = self.listener.and_then(|listener| self.stack.accept(listener));
                self.ids.extend(accepted);
            }
            (1, _) => self.ids.extend(self.stack.next_offer()),
            (2, _) => self.ids.extend(self.stack.connect(self.now, peer, None)),
            (3 | 4, Some(id)) => drop(self.stack.send(id, &payload)),
            (5 | 6, Some(id)) => drop(self.stack.recv(id, &mut vec![0; payload.len().max(1)])),
            (7, Some(id)) => self.stack.finish(id),
            (8, Some(id)) => self.stack.abort(id),
            (9, Some(id)) => {
                self.stack.release(id);
                self.ids.retain(|other| *other != id);
            }
            (10, Some(id)) => match how_much % 4 {
                0 => self.stack.accept_offer(id),
                1 => self.stack.set_keep_alive(id, Some(Duration::from_secs(which.into()))),
                2 => self.stack.set_nagle(id, true),
                _ => self.stack.set_timeout(id, Some(Duration::from_secs(which.into()))),
            },
            (11, _) => {
                let payload = &payload[..payload.len().min(1000)];
                let _ = self.stack.udp_send_to(self.udp, payload, peer);
            }
            (12, _) => drop(self.stack.udp_recv(self.udp, &mut [0; 100])),
            (13, _) => {
                let kind = if how_much & 1 == 0 { QueryKind::A } else { QueryKind::Aaaa };
                let _ = self.stack.query(self.now, "host.example", kind).map(|id| {
                    if how_much & 2 != 0 {
                        self.stack.cancel_query(id);
                    }
                    self.stack.query_result(id)
                });
            }
            (14, _) => self.is_stuck = how_much & 1 != 0,
            (15, _) if how_much == 0 => {
                if let Some(listener) = self.listener.take() {
                    self.stack.close_listener(listener);
                }
            }
            _ => while self.stack.next_touched().is_some() {},
        }
    }

    /// Time passes, and the stack runs whenever it wants to.
    fn wait(&mut self, time: Duration) {
        let (end, mut turns) = (self.now + time, 0);
        while let Some(next) = self.stack.deadline(self.now).filter(|next| *next <= end) {
            turns = if next > self.now { 0 } else { turns + 1 };
            assert!(turns < TURNS_MAX, "the deadline does not move");
            self.now = self.now.max(next);
            self.settle();
            // Its owner would wait for the wire, too.
            if self.is_stuck && self.stack.deadline(self.now).is_some_and(|at| at <= self.now) {
                break;
            }
        }
        self.now = end;
    }

    /// The stack works, the wire takes what it sends, and everything is within its limits.
    fn settle(&mut self) {
        for turn in 0.. {
            assert!(turn < TURNS_MAX, "it sends without end");
            self.stack.poll(self.now);
            if self.is_stuck || self.stack.front_frame().is_none() {
                break;
            }
            while let Some(frame) = self.stack.front_frame() {
                assert!(frame.len() <= self.frame_bytes_max, "{} bytes", frame.len());
                let frame = if self.offload { complete(frame) } else { frame.to_vec() };
                if let Some(sent) = check(&frame) {
                    self.peer.note(&sent);
                }
                self.stack.pop_frame();
            }
        }
        let (counters, limits) = (self.stack.counters(), limits());
        // One that its owner still holds when its TIME-WAIT is over is a connection again.
        let (all, all_max) =
            (counters.connections + counters.time_wait, limits.connections + limits.time_wait);
        assert!(all <= all_max, "{all} connections");
        assert!(counters.half_open <= limits.half_open, "{} half-open", counters.half_open);
        assert!(counters.time_wait <= limits.time_wait, "{} in TIME-WAIT", counters.time_wait);
        let bytes_max = limits.buffers_bytes + counters.connections * 2 * BLOCK_BYTES;
        assert!(counters.buffer_bytes <= bytes_max, "{} bytes", counters.buffer_bytes);
        assert!(self.stack.addresses().count() <= 64);
    }

    /// Everything is closed, and with time nothing is left.
    fn end(&mut self) {
        self.is_stuck = false;
        if let Some(listener) = self.listener.take() {
            self.stack.close_listener(listener);
        }
        while let Some(id) = self.stack.next_offer() {
            self.ids.push(id);
        }
        for id in std::mem::take(&mut self.ids) {
            self.stack.release(id);
        }
        self.settle();
        self.wait(Duration::from_secs(200));
        let counters = self.stack.counters();
        let left = (counters.connections, counters.time_wait, counters.buffer_bytes);
        assert_eq!(left, (0, 0, 0), "connections, TIME-WAIT, bytes");
    }
}

/// A segment of the flow of this number, without changes.
fn segment(flow: u8, flags: u8, len: u8) -> Vec<u8> {
    vec![2, flow, flags, 0, len]
}

fn owner(choice: u8, how_much: u8) -> Vec<u8> {
    vec![6, choice, 0, how_much]
}

fn wait(milliseconds: u16) -> Vec<u8> {
    let [low, high] = (milliseconds << 1).to_le_bytes();
    vec![5, low, high]
}

/// Handshakes and data both ways, in all modes; addresses from servers and routers; names.
fn seeds() -> Vec<Vec<u8>> {
    const ACCEPT: u8 = 0;
    let passive = |source: u8| {
        let open = [segment(source, 2, 0), segment(0, 16, 0), owner(ACCEPT, 0)].concat();
        let data = [segment(0, 24, 100), owner(3, 100), wait(20), segment(0, 16, 0)].concat();
        [open, data, owner(5, 255), owner(7, 0), segment(0, 17, 0), wait(300)].concat()
    };
    let active = [owner(2, 0), segment(0, 18, 0), owner(3, 200), segment(0, 16, 0), owner(9, 0)];
    let lossy = [
        vec![6, 3, 0, 200],
        vec![2, 0, 16, 2 | 16, 0, 0x80, 0xf0, 0xf8, 0xfc, 0xfe],
        wait(500),
        vec![2, 0, 16, 1, 50, 20],
        segment(0, 16, 50),
    ];
    let kinds = |kinds: &[u8]| -> Vec<u8> { kinds.iter().flat_map(|kind| [1, *kind, 0]).collect() };
    let mut all = Vec::new();
    for mode in [0, OFFLOAD] {
        let with = |mode: u8, steps: &[u8]| [&[mode], steps].concat();
        all.push(with(mode, &passive(0x0f)));
        all.push(with(mode, &passive(0x1f)));
        // More handshakes than may be half-open, of which some are completed.
        let flood: Vec<u8> = (8..16).flat_map(|source| segment(source, 2, 0)).collect();
        all.push(with(mode, &[flood, segment(4, 16, 9), segment(6, 16, 9), wait(12_000)].concat()));
        all.push(with(mode, &active.concat()));
        all.push(with(mode, &[passive(0x0f), lossy.concat(), kinds(&[7])].concat()));
        all.push(with(mode, &kinds(&[0, 1, 2, 3, 4, 5, 9, 10])));
        all.push(with(mode | DHCP, &[kinds(&[11, 12]), wait(30_000)].concat()));
        let routed = [kinds(&[14]), wait(1500), kinds(&[6]), wait(3000), kinds(&[3, 6])];
        all.push(with(mode | ROUTERS, &routed.concat()));
        all.push(with(mode, &[owner(13, 0), kinds(&[13]), owner(13, 1), wait(9000)].concat()));
        let offered = [segment(0x0f, 2, 0), owner(1, 0), owner(10, 0), segment(0, 16, 40)];
        all.push(with(mode | GATEWAY, &offered.concat()));
    }
    all
}

fn words() -> Vec<Vec<u8>> {
    let mut words: Vec<Vec<u8>> = (0..16).map(|kind| vec![1, kind, 0]).collect();
    words.extend((0..16).map(|choice| owner(choice, 1)));
    words.extend([2, 16, 17, 18, 4, 20, 24, 25].map(|flags| segment(0, flags, 10)));
    words.extend([wait(20), wait(300), wait(5000), vec![5, 0xff, 0xff]]);
    words
}
