//! Datagrams of the guest to the host's network and back: one connected host socket for each pair of
//! a guest's port and a remote, so that nobody else's datagrams come in. A flow that is idle, or
//! the least recently used when there are too many, is forgotten.

use std::collections::{HashMap, VecDeque};
use std::net::{SocketAddrV4, UdpSocket};

use netstack::{Duration, Instant};
use nix::errno::Errno;
use smoltcp::wire::Icmpv4DstUnreachable;

use crate::address::{Destination, DestinationPolicy};
use crate::counters::Counters;
use crate::error::Error;
use crate::frame::{self, DATAGRAM_HEADERS_BYTES, Datagram, ETHERNET_HEADER_BYTES, Sender};
use crate::host::{self, Moved};
use crate::poller::{Poller, Source};
use crate::slab::{Key, Slab};
use crate::wire::{Sent, Wire};

pub(crate) const FLOWS_MAX: usize = 256;
const IDLE: Duration = Duration::from_secs(60);
/// How often idle flows are looked for.
const SWEEP_PERIOD: Duration = Duration::from_secs(5);
/// Datagrams taken from one flow before others have their turn.
const TURN_DATAGRAMS: usize = 32;

struct Flow {
    socket: UdpSocket,
    /// The Ethernet address is that of the last datagram.
    sender: Sender,
    remote: SocketAddrV4,
    used_at: Instant,
    queued: bool,
}

/// The table of flows.
pub(crate) struct Nat {
    destinations: DestinationPolicy,
    flows: Slab<Flow>,
    by_ends: HashMap<(u16, SocketAddrV4), Key>,
    ready: VecDeque<Key>,
    /// A frame with room for a datagram as long as the wire takes.
    frame: Box<[u8]>,
    sweep_at: Instant,
}

impl Nat {
    pub(crate) fn new(destinations: DestinationPolicy, mtu: u16, now: Instant) -> Self {
        Self {
            destinations,
            flows: Slab::new(FLOWS_MAX),
            by_ends: HashMap::new(),
            ready: VecDeque::new(),
            frame: vec![0; usize::from(mtu) + ETHERNET_HEADER_BYTES].into(),
            sweep_at: now + SWEEP_PERIOD,
        }
    }

    /// Passes a datagram of the guest on.
    pub(crate) fn send(
        &mut self,
        now: Instant,
        poller: &Poller,
        datagram: &Datagram<'_>,
        counters: &mut Counters,
    ) -> Option<Vec<u8>> {
        match self.try_send(now, poller, datagram, counters) {
            Ok(()) => {
                counters.datagrams_out += 1;
                None
            }
            Err(reason) => {
                counters.datagrams_refused += 1;
                frame::unreachable(datagram.sender.mac, reason, datagram.packet)
            }
        }
    }

    fn try_send(
        &mut self,
        now: Instant,
        poller: &Poller,
        datagram: &Datagram<'_>,
        counters: &mut Counters,
    ) -> Result<(), Icmpv4DstUnreachable> {
        let key = self.flow(now, poller, datagram, counters)?;
        let flow = self.flows.get_mut(key).ok_or(Icmpv4DstUnreachable::HostUnreachable)?;
        flow.used_at = now;
        flow.sender.mac = datagram.sender.mac;
        let moved = match host::write(&flow.socket, datagram.payload) {
            // Most likely it is an earlier datagram's, and this one is not sent yet.
            Moved::Failed(_) => host::write(&flow.socket, datagram.payload),
            moved => moved,
        };
        match moved {
            // A full socket loses datagrams, as any full queue on the way does.
            Moved::Bytes(_) | Moved::NotNow => Ok(()),
            Moved::Failed(error) => Err(explain(error)),
        }
    }

    /// The flow of a datagram, new if need be.
    fn flow(
        &mut self,
        now: Instant,
        poller: &Poller,
        datagram: &Datagram<'_>,
        counters: &mut Counters,
    ) -> Result<Key, Icmpv4DstUnreachable> {
        let ends = (datagram.sender.port, datagram.destination);
        if let Some(&key) = self.by_ends.get(&ends) {
            return Ok(key);
        }
        let Some(Destination::Host(address)) = self.destinations.resolve(datagram.destination)
        else {
            return Err(Icmpv4DstUnreachable::CommProhibited);
        };
        if self.flows.is_full() {
            self.forget_oldest();
            counters.flows_evicted += 1;
        }
        let flow = Flow {
            socket: host::connect_datagram(address).map_err(explain)?,
            sender: datagram.sender,
            remote: datagram.destination,
            used_at: now,
            queued: false,
        };
        self.insert(poller, ends, flow).ok_or(Icmpv4DstUnreachable::HostUnreachable)
    }

    fn insert(&mut self, poller: &Poller, ends: (u16, SocketAddrV4), flow: Flow) -> Option<Key> {
        let key = self.flows.insert(flow).ok()?;
        let socket = &self.flows.get_mut(key)?.socket;
        if poller.watch_input(socket, Source::Udp(key)).is_err() {
            self.flows.remove(key);
            return None;
        }
        self.by_ends.insert(ends, key);
        Some(key)
    }

    fn forget_oldest(&mut self) {
        let oldest = self.flows.iter().min_by_key(|(_, flow)| flow.used_at);
        if let Some(key) = oldest.map(|(key, _)| key) {
            self.forget(key);
        }
    }

    fn forget(&mut self, key: Key) {
        if let Some(flow) = self.flows.remove(key) {
            self.by_ends.remove(&(flow.sender.port, flow.remote));
            if flow.queued {
                self.ready.retain(|queued| *queued != key);
            }
        }
    }

    /// There are datagrams for a flow.
    pub(crate) fn note(&mut self, key: Key) {
        if let Some(flow) = self.flows.get_mut(key)
            && !flow.queued
        {
            flow.queued = true;
            self.ready.push_back(key);
        }
    }

    /// Brings datagrams to the guest, as long as the wire has room.
    pub(crate) fn run(
        &mut self,
        now: Instant,
        wire: &mut Wire,
        counters: &mut Counters,
    ) -> Result<(), Error> {
        for _ in 0..self.ready.len() {
            if wire.is_full() {
                break;
            }
            let Some(key) = self.ready.pop_front() else {
                break;
            };
            if self.receive(now, key, wire, counters)? {
                self.note(key);
            }
        }
        Ok(())
    }

    /// Whether there is something to do that needs no event but room on the wire.
    pub(crate) fn has_work(&self) -> bool {
        !self.ready.is_empty()
    }

    /// One turn of a flow. Tells whether there may be more.
    fn receive(
        &mut self,
        now: Instant,
        key: Key,
        wire: &mut Wire,
        counters: &mut Counters,
    ) -> Result<bool, Error> {
        let Some(flow) = self.flows.get_mut(key) else {
            return Ok(false);
        };
        flow.queued = false;
        let guest = frame::guest(flow.sender.port);
        for _ in 0..TURN_DATAGRAMS {
            let room = &mut self.frame[DATAGRAM_HEADERS_BYTES..];
            match host::read_datagram(&flow.socket, room) {
                Moved::NotNow => return Ok(false),
                Moved::Bytes(bytes) if bytes > room.len() => counters.datagrams_too_large += 1,
                Moved::Bytes(bytes) => {
                    flow.used_at = now;
                    counters.datagrams_in += 1;
                    let frame = &mut self.frame[..DATAGRAM_HEADERS_BYTES + bytes];
                    frame::write_datagram_headers(frame, flow.sender.mac, flow.remote, guest);
                    if wire.send(frame)? == Sent::Full {
                        wire.queue(frame.to_vec());
                        return Ok(true);
                    }
                }
                // The other side's refusal of an earlier datagram.
                Moved::Failed(Errno::ECONNREFUSED) => wire.queue(frame::unreachable_datagram(
                    flow.sender.mac,
                    flow.sender.port,
                    flow.remote,
                )),
                // There may be datagrams behind it, and no event would tell of them.
                Moved::Failed(_) => {}
            }
        }
        Ok(true)
    }

    /// Checks for the fuzzer that no table holds more than it may.
    ///
    /// # Panics
    /// If one does.
    pub(crate) fn check(&self) {
        assert!(self.flows.len() <= FLOWS_MAX);
        assert_eq!(self.by_ends.len(), self.flows.len());
        assert!(self.ready.len() <= self.flows.len());
    }

    /// When idle flows are looked for, if there are flows.
    pub(crate) fn deadline(&self) -> Option<Instant> {
        (self.flows.len() > 0).then_some(self.sweep_at)
    }

    /// Forgets what has been idle for too long.
    pub(crate) fn sweep(&mut self, now: Instant) {
        if now < self.sweep_at {
            return;
        }
        self.sweep_at = now + SWEEP_PERIOD;
        let idle: Vec<Key> = self
            .flows
            .iter()
            .filter(|(_, flow)| flow.used_at + IDLE <= now)
            .map(|(key, _)| key)
            .collect();
        for key in idle {
            self.forget(key);
        }
    }
}

/// What a failure of the host means for the guest.
fn explain(error: Errno) -> Icmpv4DstUnreachable {
    match error {
        Errno::ECONNREFUSED => Icmpv4DstUnreachable::PortUnreachable,
        Errno::ENETUNREACH => Icmpv4DstUnreachable::NetUnreachable,
        Errno::EACCES | Errno::EPERM => Icmpv4DstUnreachable::CommProhibited,
        _ => Icmpv4DstUnreachable::HostUnreachable,
    }
}

#[cfg(test)]
mod tests {
    use std::os::fd::{AsRawFd, OwnedFd};

    use nix::sys::socket::{AddressFamily, MsgFlags, SockFlag, SockType, recv, socketpair};

    use super::*;

    const LOOPBACK: DestinationPolicy = DestinationPolicy::new(true);

    fn datagram(port: u16, destination: SocketAddrV4) -> Datagram<'static> {
        Datagram {
            sender: Sender { mac: [2, 0, 0, 0, 0, 1], port },
            destination,
            payload: b"hello",
            packet: &[],
        }
    }

    fn server() -> (UdpSocket, SocketAddrV4) {
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        let port = socket.local_addr().unwrap().port();
        (socket, SocketAddrV4::new(crate::address::GATEWAY, port))
    }

    #[test]
    fn flows_are_bounded_and_idle_ones_forgotten() {
        let poller = Poller::new().unwrap();
        let mut counters = Counters::default();
        let mut now = Instant::ZERO;
        let mut nat = Nat::new(LOOPBACK, 1500, now);
        let (_server, address) = server();
        for port in 1..=FLOWS_MAX as u16 + 44 {
            now += Duration::from_micros(1);
            assert_eq!(nat.send(now, &poller, &datagram(port, address), &mut counters), None);
        }
        assert_eq!((nat.flows.len(), nat.by_ends.len()), (FLOWS_MAX, FLOWS_MAX));
        assert_eq!(counters.flows_evicted, 44);
        assert!(!nat.by_ends.contains_key(&(1, address)), "the oldest");

        let later = now + IDLE;
        nat.send(later, &poller, &datagram(100, address), &mut counters);
        nat.sweep(later);
        assert_eq!(nat.flows.len(), 1, "the one in use");
        nat.sweep(later + IDLE);
        assert_eq!((nat.flows.len(), nat.by_ends.len()), (0, 0));
        assert_eq!(nat.deadline(), None);
    }

    #[test]
    fn what_waits_for_the_wire_is_bounded() {
        let poller = Poller::new().unwrap();
        let mut counters = Counters::default();
        let mut now = Instant::ZERO;
        let mut nat = Nat::new(LOOPBACK, 1500, now);
        let (_server, address) = server();
        // Each has an answer, and the wire never has room.
        for port in 1..=4 * FLOWS_MAX as u16 {
            now += Duration::from_micros(1);
            nat.send(now, &poller, &datagram(port, address), &mut counters);
            nat.note(nat.by_ends[&(port, address)]);
        }
        assert_eq!((nat.flows.len(), nat.ready.len()), (FLOWS_MAX, FLOWS_MAX));
    }

    #[test]
    fn an_earlier_refusal_does_not_cost_a_datagram() {
        let mut poller = Poller::new().unwrap();
        let mut counters = Counters::default();
        let mut nat = Nat::new(LOOPBACK, 1500, Instant::ZERO);
        let (closed, address) = server();
        let host = closed.local_addr().unwrap();
        drop(closed);
        nat.send(Instant::ZERO, &poller, &datagram(7, address), &mut counters);
        while poller.wait(None).unwrap() == 0 || !poller.event(0).1.failed {}

        let server = UdpSocket::bind(host).unwrap();
        nat.send(Instant::ZERO, &poller, &datagram(7, address), &mut counters);
        assert_eq!((counters.datagrams_out, counters.datagrams_refused), (2, 0));
        assert_eq!(server.recv(&mut [0; 16]).unwrap(), 5);
    }

    #[test]
    fn what_is_behind_an_error_is_received() {
        let poller = Poller::new().unwrap();
        let mut counters = Counters::default();
        let mut nat = Nat::new(LOOPBACK, 1500, Instant::ZERO);
        let (_server, address) = server();
        nat.send(Instant::ZERO, &poller, &datagram(7, address), &mut counters);
        let key = nat.by_ends[&(7, address)];
        nat.flows.get_mut(key).unwrap().socket = failed_with_a_datagram(b"behind");

        let (guest, wire) = seqpacket_pair();
        let mut wire = Wire::open(crate::wire::Ends::Socket(wire)).unwrap();
        nat.note(key);
        nat.run(Instant::ZERO, &mut wire, &mut counters).unwrap();
        let mut frame = [0; 1514];
        let bytes = recv(guest.as_raw_fd(), &mut frame, MsgFlags::MSG_DONTWAIT).unwrap();
        assert_eq!(&frame[DATAGRAM_HEADERS_BYTES..bytes], b"behind");
    }

    /// A socket of the unix family, as no privilege is needed to give it an error other than a
    /// refusal: its peer has closed without reading all.
    fn failed_with_a_datagram(payload: &[u8]) -> UdpSocket {
        let (ours, peer) = seqpacket_pair();
        assert_eq!(host::write(&ours, b"unread"), Moved::Bytes(6));
        assert_eq!(host::write(&peer, payload), Moved::Bytes(payload.len()));
        UdpSocket::from(ours)
    }

    fn seqpacket_pair() -> (OwnedFd, OwnedFd) {
        socketpair(AddressFamily::Unix, SockType::SeqPacket, None, SockFlag::empty()).unwrap()
    }

    #[test]
    fn a_flow_is_one_socket() {
        let poller = Poller::new().unwrap();
        let mut counters = Counters::default();
        let mut nat = Nat::new(LOOPBACK, 1500, Instant::ZERO);
        let (server, address) = server();
        for port in [7, 7, 8] {
            nat.send(Instant::ZERO, &poller, &datagram(port, address), &mut counters);
        }
        let mut buffer = [0; 16];
        let sources: Vec<_> = (0..3).map(|_| server.recv_from(&mut buffer).unwrap().1).collect();
        assert_eq!(sources[0], sources[1]);
        assert_ne!(sources[0], sources[2]);
    }

    #[test]
    fn what_the_policy_forbids_is_sent_nowhere() {
        let poller = Poller::new().unwrap();
        let mut counters = Counters::default();
        let strict = DestinationPolicy::new(false);
        let mut nat = Nat::new(strict, 1500, Instant::ZERO);
        let (_server, address) = server();
        nat.send(Instant::ZERO, &poller, &datagram(7, address), &mut counters);
        assert_eq!((counters.datagrams_refused, counters.datagrams_out), (1, 0));
        assert_eq!(nat.flows.len(), 0);
    }
}
