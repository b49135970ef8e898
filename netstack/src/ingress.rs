//! What happens to a frame that arrived: the socket it is for sees it, and no other; a SYN may make
//! a new connection; what nobody wants is answered by smoltcp without any socket.

use alloc::vec::Vec;

use core::net::{Ipv4Addr, SocketAddrV4};

use smoltcp::iface::{Interface, SocketSet};
use smoltcp::socket::tcp;
use smoltcp::time::{Duration, Instant};
use smoltcp::wire::{EthernetAddress, IpAddress, IpListenEndpoint};

use crate::agenda::Task;
use crate::connection::{Body, CloseReason, Connection, Expiry, Owner, Stage, new_socket};
use crate::egress::{Cause, TIME_WAIT};
use crate::listener::ListenerId;
use crate::stack::Stack;
use crate::table::List;
use crate::wire::arp::{self, Arp};
use crate::wire::demux::{DHCP_CLIENT_PORT, Parcel, Refusal, Segment, classify};
use crate::wire::frames::Frames;
use crate::wire::port::{Outcome, Port};
use crate::wire::segment::{Mark, emit_bare, mend_and_mark};

/// A peer that opens a connection we think is open is challenged this often (RFC 5961, 7).
const CHALLENGE_PERIOD: Duration = Duration::from_secs(1);

impl Stack {
    pub(crate) fn process(&mut self, frame: &[u8]) {
        match classify(frame, self.mac) {
            Ok(Parcel::Tcp(segment)) => self.process_tcp(frame, &segment),
            Ok(Parcel::Udp { source, destination }) => self.process_udp(frame, source, destination),
            Ok(Parcel::Arp(arp)) => self.process_arp(frame, &arp),
            Ok(Parcel::Icmp { destination }) => self.process_icmp(frame, destination),
            Err(Refusal::Malformed) => self.counters.dropped_malformed += 1,
            Err(Refusal::NotForUs) => self.counters.dropped_not_for_us += 1,
            Err(Refusal::Fragment) => self.counters.dropped_fragments += 1,
            Err(Refusal::Unsupported) => self.counters.dropped_unsupported += 1,
        }
    }

    fn process_arp(&mut self, frame: &[u8], arp: &Arp) {
        // With any_ip smoltcp would answer for every address: also for the one that the sender
        // announces as its own.
        if arp.sender == arp.target {
            return self.counters.dropped_unsupported += 1;
        }
        if !self.neighbours.admit(self.now, arp.sender) {
            self.counters.dropped_arp += 1;
            return self.answer_stranger(arp);
        }
        self.ingest_alone(frame);
        self.agenda.neighbour_found(arp.sender);
    }

    /// Tells a host that nothing is learned from where the stack is, if it asks for that.
    fn answer_stranger(&mut self, arp: &Arp) {
        let is_askable = self.addresses.is_own(arp.target) && self.addresses.is_on_link(arp.sender);
        let has_place = EthernetAddress(arp.sender_mac).is_unicast();
        if arp.is_request && is_askable && has_place && self.neighbours.may_answer(self.now) {
            let queued = arp::emit_answer(&mut self.frames, self.mac, arp);
            self.counters.dropped_answers += u64::from(!queued);
        }
    }

    fn process_icmp(&mut self, frame: &[u8], destination: Ipv4Addr) {
        // With any_ip smoltcp would answer pings in the name of every host there is.
        if self.any_ip && !self.addresses.is_own(destination) {
            return self.counters.dropped_not_for_us += 1;
        }
        self.ingest_alone(frame);
    }

    fn process_udp(&mut self, frame: &[u8], source: SocketAddrV4, destination: SocketAddrV4) {
        if destination.port() == DHCP_CLIENT_PORT && self.dhcp.is_some() {
            return self.deliver_to_dhcp(frame);
        }
        // Without an address of its own a host gives no answer, so nothing is looked up either.
        match self.udp.find(destination.port()) {
            Some(slot) => self.deliver_datagram(slot, frame),
            None if source.ip().is_unspecified() => self.counters.dropped_not_for_us += 1,
            None => self.ingest_alone(frame),
        }
    }

    fn process_tcp(&mut self, frame: &[u8], segment: &Segment) {
        if !self.any_ip && !self.addresses.is_own(*segment.flow.local.ip()) {
            return self.counters.dropped_not_for_us += 1;
        }
        match self.table.find(&segment.flow) {
            Some(slot) => self.deliver(slot, frame, segment),
            None => self.open_or_refuse(frame, segment),
        }
    }

    fn deliver(&mut self, slot: u32, frame: &[u8], segment: &Segment) {
        let now = self.now;
        let Some(connection) = self.table.at_mut(slot) else {
            return;
        };
        if let Body::TimeWait(mark) = connection.body {
            return self.answer_late(slot, &mark, frame, segment);
        }
        if connection.oversteps(segment) {
            return self.counters.dropped_beyond_window += 1;
        }
        if segment.opens() && connection.stage == Stage::Open && connection.verdict.is_none() {
            return self.challenge(slot, segment);
        }
        let Body::Socket(socket) = &mut connection.body else {
            return;
        };
        let outcome =
            ingest(now, &mut self.interface, &mut self.frames, self.mtu, frame, socket.set_mut());
        connection.hear(now, segment);
        if segment.syn && connection.stage == Stage::Opening {
            connection.begin_window(segment);
        }
        self.note_answer(outcome);
        if outcome == Outcome::Sent {
            self.note_mark(slot, true);
        }
        self.touched.push(slot);
        self.settle(slot, Cause::Segment { rst: segment.rst });
        self.reset_if_unread(slot);
    }

    /// Data that comes after the owner has released the connection will never be read; the peer is
    /// told so, as Linux does.
    fn reset_if_unread(&mut self, slot: u32) {
        let Some(connection) = self.table.at_mut(slot) else { return };
        let is_deserted = connection.owner == Owner::Nobody && connection.verdict.is_none();
        if is_deserted && connection.has_unread() {
            connection.reset(CloseReason::Aborted);
            self.counters.connections_aborted += 1;
            self.settle(slot, Cause::Segment { rst: false });
        }
    }

    /// A SYN for a connection that we think is open: perhaps the peer has restarted. smoltcp would
    /// not answer. Our acknowledgement makes such a peer reset the old connection (RFC 9293, 3.10.7.4).
    fn challenge(&mut self, slot: u32, segment: &Segment) {
        let now = self.now;
        let Some(connection) = self.table.at_mut(slot) else {
            return;
        };
        let Some(mark) = connection.mark.filter(|_| now >= connection.challenge_at) else {
            return;
        };
        connection.challenge_at = now + CHALLENGE_PERIOD;
        self.acknowledge(segment, &mark);
    }

    /// A segment for a connection in TIME-WAIT (RFC 9293, 3.10.7.4; RFC 1337 for RST).
    fn answer_late(&mut self, slot: u32, mark: &Mark, frame: &[u8], segment: &Segment) {
        let is_newer = segment.sequence.wrapping_sub(mark.acknowledged) as i32 > 0;
        if segment.rst {
            return;
        }
        if segment.opens() && is_newer {
            self.counters.time_wait_reused += 1;
            self.end_time_wait(slot);
            return self.open_or_refuse(frame, segment);
        }
        if segment.fin {
            self.table.join_list(slot, List::TimeWait);
            if let Some(connection) = self.table.at_mut(slot) {
                connection.expiry = Expiry::After(TIME_WAIT);
            }
            self.schedule(slot, Cause::Segment { rst: false }, false);
        }
        if segment.syn || segment.fin || segment.payload_bytes > 0 {
            self.acknowledge(segment, mark);
        }
    }

    fn acknowledge(&mut self, segment: &Segment, mark: &Mark) {
        let (frames, flow) = (&mut self.frames, &segment.flow);
        let queued = emit_bare(frames, self.mac, segment.source_mac, flow, (*mark).into());
        self.counters.dropped_answers += u64::from(!queued);
    }

    /// A segment for no connection: a SYN may begin one, everything else gets a RST.
    fn open_or_refuse(&mut self, frame: &[u8], segment: &Segment) {
        let is_own = self.addresses.is_own(*segment.flow.local.ip());
        let listener = self.listeners.find(segment.flow.local.port()).filter(|_| is_own);
        match listener {
            Some(listener) if segment.opens() => {
                if self.listeners.is_full(listener) {
                    return self.counters.syns_dropped_backlog += 1;
                }
                self.open(frame, segment, Some(listener));
            }
            None if segment.opens() && self.offer_unmatched => self.open(frame, segment, None),
            _ => {
                self.counters.segments_refused += 1;
                self.ingest_alone(frame);
            }
        }
    }

    /// Makes a connection from a SYN: for a listener, or else as an offer.
    fn open(&mut self, frame: &[u8], segment: &Segment, listener: Option<ListenerId>) {
        if !self.make_room() {
            return self.counters.syns_dropped_limit += 1;
        }
        let Ok(mut lone) = new_socket(&self.limits) else {
            return self.counters.syns_dropped_memory += 1;
        };
        let local = segment.flow.local;
        let endpoint =
            IpListenEndpoint { addr: Some(IpAddress::Ipv4(*local.ip())), port: local.port() };
        lone.socket_mut().pause_synack(listener.is_none());
        // Cannot fail: the socket is closed and the port is not 0.
        let listening = lone.socket_mut().listen(endpoint).is_ok();
        let mut opener = self.new_opener();
        ingest(self.now, &mut opener, &mut self.frames, self.mtu, frame, lone.set_mut());
        self.counters.sockets_polled += 1;
        if !listening || lone.socket().state() != tcp::State::SynReceived {
            return self.counters.dropped_malformed += 1;
        }
        let (stage, patience) = match listener {
            Some(_) => (Stage::HalfOpen, self.limits.handshake_timeout),
            None => (Stage::Offered, self.limits.offer_timeout),
        };
        let mut connection = Connection::new(segment.flow, lone, stage, self.now);
        connection.listener = listener;
        connection.peer_timeout = Some(self.limits.peer_timeout);
        connection.expiry = Expiry::After(patience);
        connection.begin_window(segment);
        let Some(id) = self.table.insert(connection) else {
            return self.counters.syns_dropped_memory += 1;
        };
        self.table.join_list(id.slot, List::HalfOpen);
        if listener.is_none() {
            self.queue_offer(id);
        }
        self.schedule(id.slot, Cause::Segment { rst: false }, false);
    }

    fn queue_offer(&mut self, id: crate::ConnectionId) {
        // At most half_open offers are alive, but some that are dead may still be queued.
        if self.offers.len() >= 2 * self.limits.half_open {
            let table = &self.table;
            self.offers.retain(|offer| table.get(*offer).is_some());
        }
        self.offers.push_back(id);
        self.counters.connections_offered += 1;
    }

    /// Room for one more connection, if need be at the cost of the oldest half-open one.
    fn make_room(&mut self) -> bool {
        let half_open = self.table.list_len(List::HalfOpen);
        let has_room = self.has_room_for_connection();
        if has_room && half_open < self.limits.half_open {
            return true;
        }
        let Some(oldest) = self.table.oldest(List::HalfOpen) else {
            return has_room;
        };
        self.table.remove(oldest);
        self.agenda.set_deadline(Task::Tcp(oldest), None);
        self.counters.half_open_evicted += 1;
        true
    }

    pub(crate) fn has_room_for_connection(&self) -> bool {
        self.table.len() - self.table.list_len(List::TimeWait) < self.limits.connections
    }

    /// Shows smoltcp a frame that is for none of the sockets.
    pub(crate) fn ingest_alone(&mut self, frame: &[u8]) {
        let mut nobody = SocketSet::new(Vec::new());
        let outcome =
            ingest(self.now, &mut self.interface, &mut self.frames, self.mtu, frame, &mut nobody);
        self.note_answer(outcome);
    }

    /// Counts what became of the answer to a frame.
    pub(crate) fn note_answer(&mut self, outcome: Outcome) {
        self.counters.sockets_polled += 1;
        match outcome {
            Outcome::Sent => {
                self.note_question();
            }
            Outcome::Starved => self.counters.dropped_answers += 1,
            Outcome::Idle | Outcome::Unresolved => {}
        }
    }

    /// If the frame that was just queued is an ARP request, its answer is welcome.
    pub(crate) fn note_question(&mut self) -> Option<Ipv4Addr> {
        let target = arp::question_of(self.frames.back()?)?;
        self.neighbours.note_question(target);
        Some(target)
    }

    /// Keeps in mind what the frame that was just queued tells about its connection.
    pub(crate) fn note_mark(&mut self, slot: u32, is_answer: bool) {
        let Some(connection) = self.table.at_mut(slot) else { return };
        let Some(frame) = self.frames.back_mut() else { return };
        let before = connection.mark;
        if let Some(mark) = mend_and_mark(frame, &connection.flow, before, is_answer) {
            connection.note_sent(mark);
        }
    }
}

/// Shows smoltcp a frame, and with it only these sockets.
pub(crate) fn ingest(
    now: Instant,
    interface: &mut Interface,
    frames: &mut Frames,
    mtu: usize,
    frame: &[u8],
    sockets: &mut SocketSet<'static>,
) -> Outcome {
    let mut port = Port::incoming(frames, mtu, frame);
    interface.poll_ingress_single(now, &mut port, sockets);
    port.outcome()
}
