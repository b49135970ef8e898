//! A TCP segment arrives at the stack: the connection it is for sees it, and no other; a SYN may make
//! a new one; what nobody wants is refused.

use smoltcp::time::Duration;

use super::connection::{
    Body, CloseReason, Connection, ConnectionId, Expiry, Owner, Patience, Stage,
};
use super::flow::Flow;
use super::input::Outcome;
use super::listener::ListenerId;
use super::seq::Seq;
use super::table::List;
use super::tcb::{Rest, Tcb};
use super::turn::TIME_WAIT;
use crate::agenda::Task;
use crate::stack::Stack;
use crate::wire::ip::{self, Content, Envelope, protocol};
use crate::wire::segment::{CHECKSUM_AT, Flags, Header, Options, Segment, Timestamps, emit};

/// A segment that does not fit is answered this often (RFC 5961, 7).
const CHALLENGE_PERIOD: Duration = Duration::from_millis(500);
/// A next hop whose peers answer is known to be there; it is told so this often.
const CONFIRM_PERIOD: Duration = Duration::from_secs(5);

impl Stack {
    pub(crate) fn process_tcp(&mut self, flow: &Flow, mac: [u8; 6], segment: &Segment<'_>) {
        match self.table.find(flow) {
            Some(slot) => self.deliver(slot, mac, segment),
            None => self.open_or_refuse(flow, mac, segment),
        }
    }

    fn deliver(&mut self, slot: u32, mac: [u8; 6], segment: &Segment<'_>) {
        let now = self.now;
        let Some(connection) = self.table.at_mut(slot) else { return };
        let flow = connection.flow;
        let outcome = match &mut connection.body {
            Body::TimeWait(rest) => {
                let rest = *rest;
                return self.answer_late(slot, &flow, mac, &rest, segment);
            }
            Body::Closed => return,
            Body::Open(tcb) => tcb.process(now, segment, &mut self.memory),
        };
        self.counters.segments_delivered += 1;
        self.counters.dropped_beyond_window += u64::from(outcome.is_beyond_window);
        self.counters.dropped_memory += u64::from(outcome.is_out_of_memory);
        if outcome.is_heard {
            connection.hear(now);
        }
        if outcome.is_readable {
            connection.wake_reader();
        }
        if outcome.is_writable {
            connection.wake_writer();
            if now >= connection.confirm_at {
                connection.confirm_at = now + CONFIRM_PERIOD;
                if let Some(next_hop) = self.routes.next_hop(flow.remote.ip()) {
                    self.neighbours.confirm(now, next_hop);
                }
            }
        }
        self.conclude(slot, mac, segment, outcome);
    }

    /// Draws the consequences of what a segment did to its connection.
    fn conclude(&mut self, slot: u32, mac: [u8; 6], segment: &Segment<'_>, outcome: Outcome) {
        let now = self.now;
        let Some(connection) = self.table.at_mut(slot) else { return };
        if outcome.is_refused {
            let flow = connection.flow;
            return self.refuse(&flow, mac, segment);
        }
        if outcome.is_challenged {
            let is_due = now >= connection.challenge_at;
            let Some(tcb) = connection.tcb_mut().filter(|_| is_due) else { return };
            tcb.acknowledge_now();
            connection.challenge_at = now + CHALLENGE_PERIOD;
        }
        if outcome.is_reset {
            let reason = match connection.stage {
                Stage::Opening => CloseReason::Refused,
                _ => CloseReason::Reset,
            };
            connection.verdict.get_or_insert(reason);
        }
        let is_deserted = connection.owner == Owner::Nobody && connection.verdict.is_none();
        if is_deserted && connection.has_unread() {
            // Data that comes after the owner has released the connection will never be read; the
            // peer is told so, as Linux does.
            self.counters.connections_aborted += 1;
            self.reset_connection(slot, CloseReason::Aborted);
        }
        self.touched.push(slot);
        self.settle(slot);
        self.agenda.make_ready(Task::Tcp(slot));
    }

    /// A segment for a connection in TIME-WAIT (RFC 9293, 3.10.7.4; RFC 1337 for RST).
    fn answer_late(
        &mut self,
        slot: u32,
        flow: &Flow,
        mac: [u8; 6],
        rest: &Rest,
        segment: &Segment<'_>,
    ) {
        if segment.has(Flags::RST) {
            return;
        }
        // RFC 6191: a SYN with a newer timestamp, or else a newer number, is of a new connection.
        let theirs = segment.header.options.timestamps;
        let is_newer = segment.header.sequence.after(rest.next_receive)
            || matches!((theirs, rest.timestamp_recent), (Some(theirs), Some(recent))
                if theirs.value.wrapping_sub(recent) as i32 > 0);
        if segment.opens() && is_newer {
            self.counters.time_wait_reused += 1;
            self.end_time_wait(slot);
            return self.open_or_refuse(flow, mac, segment);
        }
        if segment.has(Flags::FIN) {
            self.table.join_list(slot, List::TimeWait);
            let until = self.now + TIME_WAIT;
            if let Some(connection) = self.table.at_mut(slot) {
                connection.expiry = Expiry::At(until);
            }
            self.agenda.set_deadline(Task::Tcp(slot), Some(until));
        }
        if segment.len() > 0 {
            let value = (self.now.total_millis() as u32).wrapping_add(rest.timestamp_offset);
            let timestamps = rest.timestamp_recent.map(|echo| Timestamps { value, echo });
            let options = Options { timestamps, ..Options::default() };
            self.send_bare(flow, mac, Flags::ACK, rest.next_send, rest.next_receive, options);
        }
    }

    /// A segment for no connection: a SYN may begin one, everything else gets a RST.
    fn open_or_refuse(&mut self, flow: &Flow, mac: [u8; 6], segment: &Segment<'_>) {
        let is_own = self.routes.is_own(flow.local.ip());
        let listener = self.listeners.find(flow.local.port()).filter(|_| is_own);
        match listener {
            Some(listener) if segment.opens() => {
                if self.listeners.is_full(listener) {
                    return self.counters.syns_dropped_backlog += 1;
                }
                self.open(flow, segment, Some(listener));
            }
            None if segment.opens() && self.offer_unmatched => self.open(flow, segment, None),
            _ => {
                self.counters.segments_refused += 1;
                self.refuse(flow, mac, segment);
            }
        }
    }

    /// Answers by a RST, straight back to where the segment came from (RFC 9293, 3.10.7.1).
    fn refuse(&mut self, flow: &Flow, mac: [u8; 6], segment: &Segment<'_>) {
        if segment.has(Flags::RST) {
            return;
        }
        let (flags, sequence, acknowledged) = match segment.has(Flags::ACK) {
            true => (Flags::RST, segment.header.acknowledged, Seq(0)),
            false => (Flags::RST.with(Flags::ACK), Seq(0), segment.end()),
        };
        self.send_bare(flow, mac, flags, sequence, acknowledged, Options::default());
    }

    /// Sends a segment without data and without a window, for no connection that could send it.
    fn send_bare(
        &mut self,
        flow: &Flow,
        mac: [u8; 6],
        flags: Flags,
        sequence: Seq,
        acknowledged: Seq,
        options: Options,
    ) {
        let header = Header {
            source_port: flow.local.port(),
            destination_port: flow.remote.port(),
            sequence,
            acknowledged,
            window: 0,
            flags,
            options,
        };
        let (own, peer) = (flow.local.ip(), flow.remote.ip());
        let envelope = Envelope::new((self.mac, mac), own, peer, protocol::TCP);
        let written = emit(&header);
        let content = Content {
            header: written.as_slice(),
            payload: (&[], &[]),
            checksum_at: Some(CHECKSUM_AT),
            segment_bytes: None,
        };
        let is_queued = self.frames.has_room_for_answer()
            && ip::push_packet(&mut self.frames, self.offload, &envelope, &content);
        self.counters.dropped_answers += u64::from(!is_queued);
    }

    /// Makes a connection from a SYN: for a listener, or else as an offer.
    fn open(&mut self, flow: &Flow, segment: &Segment<'_>, listener: Option<ListenerId>) {
        if !self.make_room() {
            return self.counters.syns_dropped_limit += 1;
        }
        let header = &segment.header;
        let parameters = self.parameters(flow);
        let tcb =
            Tcb::answer(parameters, self.now, header.sequence, header.window, &header.options);
        let (stage, patience) = match listener {
            Some(_) => (Stage::HalfOpen, self.limits.handshake_timeout),
            None => (Stage::Offered, self.limits.offer_timeout),
        };
        let mut connection = Connection::new(*flow, tcb, stage, self.now);
        connection.listener = listener;
        connection.peer_timeout = Patience::new(Some(self.limits.peer_timeout));
        connection.expiry = Expiry::After(patience);
        let Some(id) = self.table.insert(connection) else {
            return self.counters.syns_dropped_memory += 1;
        };
        self.table.join_list(id.slot, List::HalfOpen);
        if listener.is_none() {
            self.queue_offer(id);
        }
        self.agenda.make_ready(Task::Tcp(id.slot));
    }

    fn queue_offer(&mut self, id: ConnectionId) {
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
        self.remove_connection(oldest);
        self.counters.half_open_evicted += 1;
        true
    }

    pub(crate) fn has_room_for_connection(&self) -> bool {
        self.table.len() - self.table.list_len(List::TimeWait) < self.limits.connections
    }

    /// A router says that packets of a flow are too large: segments may have so many bytes at most.
    pub(crate) fn limit_path(&mut self, flow: &Flow, sequence: Seq, mss: usize) {
        let Some(slot) = self.table.find(flow) else { return };
        let tcb = self.table.at_mut(slot).and_then(Connection::tcb_mut);
        if let Some(tcb) = tcb.filter(|tcb| tcb.is_in_flight(sequence)) {
            tcb.limit_mss(mss as u32);
            self.counters.paths_limited += 1;
            self.agenda.make_ready(Task::Tcp(slot));
        }
    }

    /// A router says that a peer cannot be talked to. That counts before the connection is open.
    pub(crate) fn refuse_opening(&mut self, flow: &Flow, sequence: Seq) {
        let Some(slot) = self.table.find(flow) else { return };
        let Some(connection) = self.table.at_mut(slot) else { return };
        let is_opening = connection.stage == Stage::Opening;
        if let Some(tcb) = connection.tcb_mut().filter(|_| is_opening)
            && tcb.is_in_flight(sequence)
        {
            tcb.reset(&mut self.memory);
            connection.condemn(CloseReason::Refused);
            self.touched.push(slot);
            self.settle(slot);
        }
    }
}
