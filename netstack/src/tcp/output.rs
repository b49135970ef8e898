//! What a connection sends next (RFC 9293, 3.8): plans, one segment at a time, and what follows from
//! having sent it. A plan that finds no way out is made again later.

use smoltcp::time::{Duration, Instant};

use super::buffer::Memory;
use super::seq::Seq;
use super::tcb::{Due, State, Tcb, Timer};
use crate::wire::segment::{Flags, Options, Sacks, Timestamps};

/// SACK blocks that fit beside timestamps.
const SACKS_MAX: usize = 3;
/// A closed window is asked for at least this often, so that a lost probe or two prove nothing.
const PERSIST_MAX: Duration = Duration::from_secs(15);

/// A segment that is to be sent: all of its header but the ports, and which part of the send buffer.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Plan {
    pub(crate) sequence: Seq,
    pub(crate) acknowledged: Seq,
    pub(crate) window: u16,
    pub(crate) flags: Flags,
    pub(crate) options: Options,
    /// The payload in the send buffer.
    pub(crate) position: usize,
    pub(crate) bytes: usize,
    /// What the wire cuts a larger payload into.
    pub(crate) segment_bytes: usize,
    kind: Kind,
}

impl Plan {
    /// Whether it repeats what was sent before.
    pub(crate) fn is_again(&self) -> bool {
        self.kind == Kind::Resend
    }

    /// Whether it only asks for a sign of life.
    pub(crate) fn is_probe(&self) -> bool {
        self.kind == Kind::Probe
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Reset,
    Syn,
    Resend,
    Data,
    Probe,
    Ack,
}

impl Tcb {
    /// Does what is due at this time. [`Self::plan`] tells what is to be sent then.
    pub(crate) fn run(&mut self, now: Instant, memory: &mut Memory) {
        self.shrink(memory, now);
        if let Due::At(at) = self.ack
            && at <= now
        {
            self.ack = Due::Now;
        }
        match self.timer {
            Timer::Retransmit(at) if at <= now => self.time_out(now),
            Timer::Persist(at) if at <= now => {
                self.round_trip.back_off();
                self.timer = Timer::Persist(now + self.patience());
                self.probe_due = true;
                self.is_probing = true;
            }
            _ => {}
        }
    }

    fn time_out(&mut self, now: Instant) {
        self.timed = None;
        self.round_trip.back_off();
        if !self.is_synchronized() {
            // The SYN goes out again.
            self.timer = Timer::Idle;
            return;
        }
        let mss = self.data_bytes_max();
        let in_flight = self.flight_size();
        let again = self.recovery.time_out(self.unacknowledged, self.next_send);
        self.congestion.time_out(in_flight, mss, again);
        self.timer = Timer::Retransmit(now + self.patience());
    }

    /// How long an acknowledgement or a window is waited for. A peer with a closed window may take
    /// for ever, but it must not look dead.
    pub(super) fn patience(&self) -> Duration {
        let timeout = self.round_trip.timeout();
        if self.window == 0 && self.is_synchronized() { timeout.min(PERSIST_MAX) } else { timeout }
    }

    /// What is to be sent now.
    pub(crate) fn plan(&mut self, now: Instant) -> Option<Plan> {
        if self.reset_due {
            let flags = if self.has_peer { Flags::RST.with(Flags::ACK) } else { Flags::RST };
            return Some(self.bare(now, self.next_send, flags, Kind::Reset));
        }
        match self.state {
            State::Closed => return None,
            State::SynSent | State::SynReceived => return self.plan_syn(now),
            _ => {}
        }
        if self.timer == Timer::Idle && self.unacknowledged == self.next_send {
            self.restart_after_idle(now);
        }
        if self.ack == Due::Now && !self.early.is_empty() {
            // Only a segment without data tells of gaps, and peers count those (RFC 5681, 2).
            return Some(self.bare(now, self.next_send, Flags::ACK, Kind::Ack));
        }
        if let Some(plan) = self.plan_again(now) {
            return Some(plan);
        }
        if let Some(plan) = self.plan_new(now) {
            return Some(plan);
        }
        if self.probe_due {
            return Some(self.bare(now, self.unacknowledged - 1, Flags::ACK, Kind::Probe));
        }
        if self.ack == Due::Now {
            return Some(self.bare(now, self.next_send, Flags::ACK, Kind::Ack));
        }
        None
    }

    fn plan_syn(&mut self, now: Instant) -> Option<Plan> {
        if self.timer != Timer::Idle {
            return None;
        }
        let (flags, is_answer) = match self.state {
            State::SynSent => (Flags::SYN, false),
            _ => (Flags::SYN.with(Flags::ACK), true),
        };
        let mut plan = self.bare(now, self.parameters.initial, flags, Kind::Syn);
        plan.options.mss = u16::try_from(self.parameters.mss).ok().or(Some(u16::MAX));
        plan.options.sack_permitted = self.sack;
        let scales = !is_answer || self.own_shift > 0 || self.window_shift > 0;
        plan.options.window_shift = scales.then_some(self.own_shift);
        plan.window = u16::try_from(self.receive_window).unwrap_or(u16::MAX);
        Some(plan)
    }

    /// After a long silence the way may have changed (RFC 5681, 4.1).
    fn restart_after_idle(&mut self, now: Instant) {
        if now > self.sent_at + self.round_trip.timeout() {
            self.congestion.idle(self.data_bytes_max());
        }
    }

    /// What was lost goes first.
    fn plan_again(&mut self, now: Instant) -> Option<Plan> {
        let mss = self.data_bytes_max();
        let (from, to) = (self.unacknowledged, self.next_send);
        let room = self.congestion.window().saturating_sub(self.recovery.in_flight(from, to, mss));
        // The first one goes whatever the congestion window says (RFC 6675, 5, step 4.3).
        let is_first = self.recovery.next_lost(1).is_some_and(|first| first.start == from);
        if room < mss && !is_first {
            return None;
        }
        let room = (room / mss).clamp(1, self.burst_segments()) * mss;
        let range = self.recovery.next_lost(room)?;
        Some(self.data(now, range.start, range.end.since(range.start), Kind::Resend))
    }

    fn plan_new(&mut self, now: Instant) -> Option<Plan> {
        self.is_window_limited = false;
        let queue_end = self.end_of_queue();
        let unsent = queue_end.since(self.next_send);
        if unsent == 0 {
            return None;
        }
        let mss = self.data_bytes_max();
        let (from, to) = (self.unacknowledged, self.next_send);
        let peer_room = (self.unacknowledged + self.window).since(self.next_send);
        let in_flight = self.recovery.in_flight(from, to, mss);
        let own_room = self.congestion.window().saturating_sub(in_flight);
        let fin = u32::from(self.finishing && !self.is_fin_sent());
        let data = unsent - fin;
        let mut bytes = data.min(peer_room).min(own_room).min(self.burst_segments() * mss);
        self.is_window_limited =
            bytes < data.min(peer_room) && own_room < data.min(peer_room) + mss;
        if bytes < data && bytes > mss {
            bytes -= bytes % mss;
        }
        // The FIN takes no room in the congestion window.
        let takes_all = bytes == data && (fin == 0 || peer_room > data || from == to);
        let is_idle = from == to;
        // Silly windows (RFC 9293, 3.8.6.2.1) and Nagle (3.7.4).
        let is_worthwhile = bytes >= mss
            || takes_all && (!self.nagle || is_idle || fin > 0)
            || bytes > 0 && bytes >= self.window_max / 2 && bytes == peer_room
            || bytes > 0 && self.probe_due;
        if !is_worthwhile {
            if is_idle && self.timer == Timer::Idle && bytes < data.max(1) && own_room >= mss {
                self.timer = Timer::Persist(now + self.patience());
            }
            return None;
        }
        let len = bytes + if takes_all { fin } else { 0 };
        Some(self.data(now, self.next_send, len, Kind::Data))
    }

    /// Segments that the wire can make of one packet.
    fn burst_segments(&self) -> u32 {
        (self.parameters.burst_bytes / self.mss).max(1)
    }

    /// A segment of sequence numbers from the queue, of which the last may be the FIN's.
    fn data(&self, now: Instant, start: Seq, len: u32, kind: Kind) -> Plan {
        let position = start.since(self.send_start) as usize;
        let bytes = (len as usize).min(self.send.len() - position.min(self.send.len()));
        let mut flags = Flags::ACK;
        if bytes < len as usize {
            flags = flags.with(Flags::FIN);
        }
        if position + bytes == self.send.len() && bytes > 0 {
            flags = flags.with(Flags::PSH);
        }
        Plan { position, bytes, ..self.bare(now, start, flags, kind) }
    }

    /// A segment without data.
    fn bare(&self, now: Instant, sequence: Seq, flags: Flags, kind: Kind) -> Plan {
        let mut sacks = Sacks::default();
        if self.sack && matches!(kind, Kind::Ack | Kind::Probe) {
            self.list_early(&mut sacks);
        }
        let timestamps = match kind {
            Kind::Syn if !self.has_peer => {
                self.timestamps_at(now).map(|own| Timestamps { echo: 0, ..own })
            }
            _ => self.timestamps_at(now),
        };
        let acknowledged = if self.has_peer { self.next_receive } else { Seq(0) };
        let window = self.next_window().since(self.next_receive) >> self.own_shift;
        Plan {
            sequence,
            acknowledged,
            window: u16::try_from(window).unwrap_or(u16::MAX),
            flags,
            options: Options { timestamps, sacks, ..Options::default() },
            position: 0,
            bytes: 0,
            segment_bytes: self.data_bytes_max() as usize,
            kind,
        }
    }

    /// Where the window ends that is told next: never before where it ended (RFC 9293, 3.8.6).
    fn next_window(&self) -> Seq {
        self.edge.max(self.next_receive + self.window_now())
    }

    /// RFC 2018, 4: the newest range first.
    fn list_early(&self, sacks: &mut Sacks) {
        let newest = self.early.iter().find(|range| {
            !self.early_last.before(range.start) && self.early_last.before(range.end)
        });
        let Some(newest) = newest.or(self.early.first()) else { return };
        sacks.push(newest);
        let others = self.early.iter().filter(|range| *range != newest);
        others.take(SACKS_MAX - 1).for_each(|range| sacks.push(range));
    }

    /// The plan was carried out.
    pub(crate) fn note_sent(&mut self, now: Instant, plan: &Plan) {
        self.sent_at = now;
        if plan.kind == Kind::Reset {
            self.reset_due = false;
            return;
        }
        if plan.flags.has(Flags::ACK) {
            self.acknowledged = plan.acknowledged;
            let shift = if plan.kind == Kind::Syn { 0 } else { self.own_shift };
            let edge = plan.acknowledged + (u32::from(plan.window) << shift);
            self.edge = self.edge.max(edge);
            self.unacked_bytes = 0;
            self.ack = Due::Never;
        }
        let len = plan.bytes as u32
            + u32::from(plan.flags.has(Flags::SYN))
            + u32::from(plan.flags.has(Flags::FIN));
        let end = plan.sequence + len;
        match plan.kind {
            Kind::Reset => {}
            Kind::Probe => self.probe_due = false,
            Kind::Ack => {}
            Kind::Syn | Kind::Data => self.note_new(now, plan, end),
            Kind::Resend => {
                self.recovery.note_resent(end);
                self.timed = None;
                self.timer = Timer::Retransmit(now + self.patience());
            }
        }
    }

    fn note_new(&mut self, now: Instant, plan: &Plan, end: Seq) {
        self.probe_due = false;
        let is_first = end.after(self.next_send);
        self.next_send = self.next_send.max(end);
        self.flight = self.next_send.since(self.unacknowledged);
        if is_first && self.timed.is_none() && !self.recovery.is_active() {
            self.timed = Some((end, now));
        } else if plan.kind == Kind::Syn {
            self.timed = None;
        }
        if !matches!(self.timer, Timer::Retransmit(_)) {
            self.timer = Timer::Retransmit(now + self.patience());
        }
        if plan.flags.has(Flags::FIN) {
            self.state = match self.state {
                State::Established => State::FinWait1,
                State::CloseWait => State::LastAck,
                other => other,
            };
        }
    }

    /// FlightSize of RFC 5681, of which a loss takes the half. Acknowledgements come in batches: those
    /// before the one that tells of the loss have made room that nothing could fill yet.
    pub(super) fn flight_size(&self) -> u32 {
        let outstanding = self.next_send.since(self.unacknowledged);
        outstanding.max(self.flight.min(self.congestion.window()))
    }

    /// The number after all that is queued, the FIN included.
    pub(super) fn end_of_queue(&self) -> Seq {
        self.send_start + self.send.len() as u32 + u32::from(self.finishing)
    }

    pub(super) fn is_fin_sent(&self) -> bool {
        self.finishing && self.next_send.after(self.send_start + self.send.len() as u32)
    }

    /// The two parts of a plan's payload.
    pub(crate) fn payload(&self, plan: &Plan) -> (&[u8], &[u8]) {
        self.send.slices(plan.position, plan.bytes)
    }
}
