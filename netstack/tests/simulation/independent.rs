//! Transfers with a TCP that is not ours, smoltcp's, over a rough wire.

use std::collections::{BTreeMap, VecDeque};
use std::net::{IpAddr, SocketAddr};

use netstack::{Config, ConnectionId, Duration, Instant, Limits, Received, Stack};
use smoltcp::iface::{self, Interface, SocketHandle, SocketSet};
use smoltcp::phy::{self, Device, DeviceCapabilities, Medium};
use smoltcp::socket::tcp;
use smoltcp::wire::{EthernetAddress, IpCidr};

use crate::sim::{Faults, Random, address_of, bytes, ipv6_address_of, mac_of};
use crate::transfer::{patient_limits, seeds};

const PORT: u16 = 80;

/// What smoltcp takes for its network card.
#[derive(Default)]
struct Card {
    arrived: VecDeque<Vec<u8>>,
    sent: Vec<Vec<u8>>,
}

struct Arrived(Vec<u8>);
struct Leaving<'a>(&'a mut Vec<Vec<u8>>);

impl phy::RxToken for Arrived {
    fn consume<R, F: FnOnce(&[u8]) -> R>(self, read: F) -> R {
        read(&self.0)
    }
}

impl phy::TxToken for Leaving<'_> {
    fn consume<R, F: FnOnce(&mut [u8]) -> R>(self, len: usize, write: F) -> R {
        let mut frame = vec![0; len];
        let result = write(&mut frame);
        self.0.push(frame);
        result
    }
}

impl Device for Card {
    type RxToken<'a> = Arrived;
    type TxToken<'a> = Leaving<'a>;

    fn receive(&mut self, _: Instant) -> Option<(Arrived, Leaving<'_>)> {
        let frame = self.arrived.pop_front()?;
        Some((Arrived(frame), Leaving(&mut self.sent)))
    }

    fn transmit(&mut self, _: Instant) -> Option<Leaving<'_>> {
        Some(Leaving(&mut self.sent))
    }

    fn capabilities(&self) -> DeviceCapabilities {
        let mut capabilities = DeviceCapabilities::default();
        capabilities.medium = Medium::Ethernet;
        capabilities.max_transmission_unit = 1514;
        capabilities
    }
}

/// Our stack, theirs, and what is on its way to which of them.
struct Pair {
    now: Instant,
    random: Random,
    faults: Faults,
    ours: Stack,
    card: Card,
    theirs: Interface,
    sockets: SocketSet<'static>,
    flying: BTreeMap<(Instant, u64), (bool, Vec<u8>)>,
    sent: u64,
}

impl Pair {
    fn new(seed: u64, limits: &Limits, window: usize) -> (Self, SocketHandle) {
        let (now, mut random) = (Instant::from_secs(1), Random::new(seed));
        let limits = limits.clone();
        let config = Config { limits, ..Config::new(mac_of(0), 1500, random.next()) };
        let mut ours = Stack::new(config, now).unwrap();
        ours.set_ipv4(address_of(0), 24, None).unwrap();
        ours.set_ipv6(ipv6_address_of(0), 64, None).unwrap();
        let mut card = Card::default();
        let mut config = iface::Config::new(EthernetAddress(mac_of(1)).into());
        config.random_seed = random.next();
        let mut theirs = Interface::new(config, &mut card, now);
        theirs.update_ip_addrs(|addresses| {
            addresses.push(IpCidr::new(address_of(1).into(), 24)).unwrap();
            addresses.push(IpCidr::new(ipv6_address_of(1).into(), 64)).unwrap();
        });
        let mut sockets = SocketSet::new(Vec::new());
        let buffer = || tcp::SocketBuffer::new(vec![0; window]);
        let socket = sockets.add(tcp::Socket::new(buffer(), buffer()));
        let (flying, sent) = (BTreeMap::new(), 0);
        let faults = Faults::NONE;
        (Self { now, random, faults, ours, card, theirs, sockets, flying, sent }, socket)
    }

    fn step(&mut self) {
        self.ours.poll(self.now);
        self.theirs.poll(self.now, &mut self.card, &mut self.sockets);
        let mut frames: Vec<_> = self.card.sent.drain(..).map(|frame| (true, frame)).collect();
        while let Some(frame) = self.ours.front_frame() {
            frames.push((false, frame.to_vec()));
            self.ours.pop_frame();
            self.ours.poll(self.now);
        }
        for (is_to_us, frame) in frames {
            for (late, frame) in self.faults.apply(&mut self.random, &frame) {
                self.sent += 1;
                let at = self.now + Duration::from_micros(200) + late;
                self.flying.insert((at, self.sent), (is_to_us, frame));
            }
        }
        let arrival = self.flying.keys().next().map(|(at, _)| *at);
        let deadlines = [
            arrival,
            self.ours.deadline(self.now),
            self.theirs.poll_at(self.now, &self.sockets),
            Some(self.now + Duration::from_secs(1)),
        ];
        // What either wants to do now, it does in the next round.
        self.now = self.now.max(deadlines.into_iter().flatten().min().unwrap());
        while let Some(entry) = self.flying.first_entry().filter(|entry| entry.key().0 <= self.now)
        {
            match entry.remove() {
                (true, frame) => self.ours.receive(self.now, &frame),
                (false, frame) => self.card.arrived.push_back(frame),
            }
        }
    }
}

/// Who connects, and over what.
#[derive(Clone, Copy, Debug)]
struct Kind {
    is_ipv6: bool,
    we_connect: bool,
}

fn exchange(seed: u64, faults: Faults, kind: Kind, window: usize, len: usize) {
    let (mut pair, socket) = Pair::new(seed, &patient_limits(), window);
    let addresses: [IpAddr; 2] = match kind.is_ipv6 {
        false => [address_of(0).into(), address_of(1).into()],
        true => [ipv6_address_of(0).into(), ipv6_address_of(1).into()],
    };
    let listener = pair.ours.listen(PORT, 4).unwrap();
    let socket_of = |pair: &mut Pair| pair.sockets.get_mut::<tcp::Socket<'_>>(socket).is_open();
    pair.faults = faults;
    let mut id: Option<ConnectionId> = None;
    if kind.we_connect {
        pair.sockets.get_mut::<tcp::Socket<'_>>(socket).listen(PORT).unwrap();
        let to = SocketAddr::new(addresses[1], PORT);
        id = Some(pair.ours.connect(pair.now, to, None).unwrap());
    } else {
        let remote = (addresses[0], PORT);
        let tcp = pair.sockets.get_mut::<tcp::Socket<'_>>(socket);
        tcp.connect(pair.theirs.context(), remote, 50_000).unwrap();
    }
    let (up, down) = (bytes(&mut pair.random, len), bytes(&mut pair.random, len));
    let (mut sent_up, mut sent_down) = (0, 0);
    let (mut got_up, mut got_down) = (Vec::new(), Vec::new());
    let end = pair.now + Duration::from_secs(3600);
    while got_up.len() < len || got_down.len() < len {
        assert!(pair.now < end, "seed {seed}, {kind:?}: {} {}", got_up.len(), got_down.len());
        assert!(socket_of(&mut pair), "seed {seed}, {kind:?}: it is closed");
        id = id.or_else(|| pair.ours.accept(listener));
        if let Some(id) = id {
            sent_up += pair.ours.send(id, &up[sent_up..]).expect("it is open");
            let mut buffer = [0; 1000];
            while let Received::Data(bytes) = pair.ours.recv(id, &mut buffer).unwrap() {
                got_down.extend_from_slice(&buffer[..bytes]);
            }
        }
        let tcp = pair.sockets.get_mut::<tcp::Socket<'_>>(socket);
        if tcp.can_send() {
            sent_down += tcp.send_slice(&down[sent_down..]).unwrap();
        }
        while tcp.can_recv() {
            tcp.recv(|data| (data.len(), got_up.extend_from_slice(data))).unwrap();
        }
        pair.step();
    }
    assert!(got_up == up && got_down == down, "seed {seed}, {kind:?}");

    // The end: theirs may forget a FIN, ours must come to rest all the same.
    let id = id.unwrap();
    pair.ours.finish(id);
    pair.sockets.get_mut::<tcp::Socket<'_>>(socket).close();
    pair.ours.release(id);
    let end = pair.now + Duration::from_secs(1200);
    while pair.now < end {
        pair.step();
    }
    let counters = pair.ours.counters();
    assert_eq!((counters.connections, counters.time_wait, counters.buffer_bytes), (0, 0, 0));
}

fn kind(seed: u64) -> Kind {
    Kind { is_ipv6: seed & 1 != 0, we_connect: seed & 2 != 0 }
}

#[test]
fn arrives_over_a_perfect_wire() {
    for seed in 0..8 {
        exchange(seed, Faults::NONE, kind(seed), 16 * 1024, 100_000);
    }
}

#[test]
fn arrives_over_a_rough_wire() {
    for seed in 0..seeds(100) {
        let window = [2048, 4096, 16 * 1024, 100_000][(seed / 4 % 4) as usize];
        exchange(seed, Faults::ROUGH, kind(seed), window, 20_000);
    }
}
