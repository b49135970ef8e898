//! A segment arrives (RFC 9293, 3.10.7, with the checks of RFC 5961 and 7323). Everything in it may
//! be a lie; what it changes is only the block.

use smoltcp::time::{Duration, Instant};

use super::buffer::{BLOCK_BYTES, Memory};
use super::ranges::Range;
use super::recovery::Finding;
use super::seq::Seq;
use super::tcb::{Due, State, Tcb, Timer};
use crate::wire::segment::{Flags, Segment};

/// How long an acknowledgement may wait for company.
const ACK_DELAY: Duration = Duration::from_millis(10);
/// A timestamp older than this may have wrapped, and proves nothing (RFC 7323, 5.5).
const TIMESTAMP_AGE_MAX: Duration = Duration::from_secs(24 * 24 * 3600);

/// An echo of a timestamp that is older than this is none.
const ECHO_AGE_MAX_MS: u32 = 120_000;

/// What became of a segment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Outcome {
    /// It fits the connection, so the peer is alive.
    pub(crate) is_heard: bool,
    /// It must be answered by a RST (RFC 9293, 3.10.7.3 and 3.10.7.4).
    pub(crate) is_refused: bool,
    /// The peer has reset the connection.
    pub(crate) is_reset: bool,
    /// It does not fit, and is answered by an acknowledgement of where we are, at a limited rate.
    pub(crate) is_challenged: bool,
    /// There is more to read, or an end.
    pub(crate) is_readable: bool,
    /// There is more room to write, or an end.
    pub(crate) is_writable: bool,
    /// Its data went beyond the window.
    pub(crate) is_beyond_window: bool,
    /// There was no memory for its data.
    pub(crate) is_out_of_memory: bool,
}

impl Outcome {
    const CHALLENGED: Self = Self {
        is_heard: false,
        is_refused: false,
        is_reset: false,
        is_challenged: true,
        is_readable: false,
        is_writable: false,
        is_beyond_window: false,
        is_out_of_memory: false,
    };
}

impl Tcb {
    pub(crate) fn process(
        &mut self,
        now: Instant,
        segment: &Segment<'_>,
        memory: &mut Memory,
    ) -> Outcome {
        let outcome = match self.state {
            State::Closed => Outcome::default(),
            State::SynSent => self.process_in_syn_sent(now, segment, memory),
            _ => self.process_synchronized(now, segment, memory),
        };
        self.is_probing &= !outcome.is_heard;
        outcome
    }

    fn process_in_syn_sent(
        &mut self,
        now: Instant,
        segment: &Segment<'_>,
        memory: &mut Memory,
    ) -> Outcome {
        let header = &segment.header;
        let answers_us = segment.has(Flags::ACK)
            && self.next_send != self.parameters.initial
            && header.acknowledged == self.next_send;
        if segment.has(Flags::ACK) && !answers_us {
            return Outcome { is_refused: !segment.has(Flags::RST), ..Outcome::default() };
        }
        if segment.has(Flags::RST) {
            if answers_us {
                self.close(memory);
            }
            return Outcome { is_reset: answers_us, ..Outcome::default() };
        }
        if !segment.has(Flags::SYN) {
            return Outcome::default();
        }
        self.take_syn(header.sequence, &header.options);
        self.note_window(u32::from(header.window), header.sequence, header.acknowledged);
        self.ack = Due::Now;
        if !answers_us {
            // Both have sent a SYN at the same time: ours goes out again, with an acknowledgement.
            self.state = State::SynReceived;
            self.timer = Timer::Idle;
            return Outcome { is_heard: true, ..Outcome::default() };
        }
        self.acknowledge_sent(now, segment, memory);
        self.state = State::Established;
        Outcome { is_heard: true, is_readable: true, is_writable: true, ..Outcome::default() }
    }

    fn process_synchronized(
        &mut self,
        now: Instant,
        segment: &Segment<'_>,
        memory: &mut Memory,
    ) -> Outcome {
        let header = &segment.header;
        if !self.passes_timestamp_check(now, segment) {
            return self.correct(segment, false);
        }
        // A segment that ends before the window, or begins behind it, is old or a guess. One that
        // ends right where the window begins may acknowledge something.
        if segment.end().before(self.next_receive) || header.sequence.after(self.edge) {
            // A keep-alive is of this kind, too.
            let is_beyond_window = header.sequence.after(self.edge);
            return match segment.has(Flags::RST) {
                true => Outcome { is_beyond_window, ..Outcome::default() },
                false => Outcome { is_beyond_window, ..self.correct(segment, true) },
            };
        }
        if segment.has(Flags::RST) {
            if header.sequence != self.next_receive {
                return Outcome::CHALLENGED;
            }
            self.close(memory);
            return Outcome { is_reset: true, ..Outcome::default() };
        }
        if segment.has(Flags::SYN) {
            let is_again =
                self.state == State::SynReceived && header.sequence + 1 == self.next_receive;
            if !is_again {
                return Outcome::CHALLENGED;
            }
            if !segment.has(Flags::ACK) {
                // Our answer was lost: it goes out again.
                self.timer = Timer::Idle;
                return Outcome { is_heard: true, ..Outcome::default() };
            }
            // Both have opened at the same time, and this is the answer to ours.
            self.ack = Due::Now;
        }
        if !segment.has(Flags::ACK) {
            return Outcome::default();
        }
        let mut outcome = Outcome { is_heard: true, ..Outcome::default() };
        if self.state == State::SynReceived {
            if header.acknowledged != self.next_send || self.next_send == self.parameters.initial {
                return Outcome { is_refused: true, ..Outcome::default() };
            }
            self.state = State::Established;
            outcome.is_writable = true;
            let window = self.window_in(segment);
            self.note_window(window, header.sequence, header.acknowledged);
        } else if header.acknowledged.after(self.next_send)
            || header.acknowledged.before(self.unacknowledged - self.window_max)
        {
            return Outcome::CHALLENGED;
        }
        self.note_timestamp(now, segment);
        self.process_ack(now, segment, memory, &mut outcome);
        self.process_payload(now, segment, memory, &mut outcome);
        self.process_fin(memory, &mut outcome);
        outcome
    }

    /// A segment out of place is answered by where we are; but not always if there is nothing in it,
    /// or else two ends that disagree would tell each other without end.
    fn correct(&mut self, segment: &Segment<'_>, is_heard: bool) -> Outcome {
        let is_challenged = segment.len() == 0;
        if !is_challenged {
            self.ack = Due::Now;
        }
        Outcome { is_heard, is_challenged, ..Outcome::default() }
    }

    /// The window that a segment tells. That of a SYN is never scaled.
    fn window_in(&self, segment: &Segment<'_>) -> u32 {
        let shift = if segment.has(Flags::SYN) { 0 } else { self.window_shift };
        u32::from(segment.header.window) << shift
    }

    /// Protection against wrapped sequences (RFC 7323, 5).
    fn passes_timestamp_check(&self, now: Instant, segment: &Segment<'_>) -> bool {
        if !self.timestamps || segment.has(Flags::RST) || segment.has(Flags::SYN) {
            return true;
        }
        match segment.header.options.timestamps {
            Some(theirs) => {
                theirs.value.wrapping_sub(self.timestamp_recent) as i32 >= 0
                    || now > self.timestamp_at + TIMESTAMP_AGE_MAX
            }
            None => true,
        }
    }

    /// RFC 7323, 4.3: the echo is of the segment that was last acknowledged.
    fn note_timestamp(&mut self, now: Instant, segment: &Segment<'_>) {
        if let Some(theirs) = segment.header.options.timestamps
            && self.timestamps
            && !segment.header.sequence.after(self.acknowledged)
        {
            (self.timestamp_recent, self.timestamp_at) = (theirs.value, now);
        }
    }

    fn process_ack(
        &mut self,
        now: Instant,
        segment: &Segment<'_>,
        memory: &mut Memory,
        outcome: &mut Outcome,
    ) {
        let header = &segment.header;
        let ack = header.acknowledged;
        let window = self.window_in(segment);
        let mut news = false;
        if self.sack {
            for range in header.options.sacks.iter() {
                news |= self.recovery.note_sacked(range, self.unacknowledged, self.next_send);
            }
        }
        if ack.after(self.unacknowledged) {
            self.acknowledge_sent(now, segment, memory);
            outcome.is_writable = true;
        } else if ack == self.unacknowledged
            && segment.len() == 0
            && window == self.window
            && self.unacknowledged != self.next_send
            && !self.sack
        {
            self.recovery.note_duplicate();
            news = true;
        }
        // SND.WL1 and SND.WL2: only the newest segment tells the window.
        let is_newest = self.window_sequence.before(header.sequence)
            || self.window_sequence == header.sequence && !ack.before(self.window_ack);
        if is_newest {
            let opens = window > self.window;
            self.note_window(window, header.sequence, ack);
            if opens && matches!(self.timer, Timer::Persist(_)) {
                self.timer = Timer::Idle;
                self.round_trip.advance();
            }
        }
        if news {
            self.look_for_losses();
        }
    }

    fn look_for_losses(&mut self) {
        let mss = self.data_bytes_max();
        let is_all_sent = self.next_send == self.end_of_queue();
        let (from, to) = (self.unacknowledged, self.next_send);
        if self.recovery.find_losses(from, to, mss, is_all_sent) == Finding::Loss {
            self.congestion.lose(self.flight_size(), mss);
            self.timed = None;
        }
    }

    /// The peer has got everything before what this segment acknowledges, which is within what was sent.
    fn acknowledge_sent(&mut self, now: Instant, segment: &Segment<'_>, memory: &mut Memory) {
        let ack = segment.header.acknowledged;
        let mss = self.data_bytes_max();
        let acked = ack.since(self.unacknowledged);
        let data = (ack.since(self.send_start) as usize).min(self.send.len());
        self.send.consume(memory, data, false);
        if self.send.is_empty() && self.send.capacity() > 0 {
            self.shrink_at.get_or_insert(now + Duration::from_secs(1));
        }
        self.send_start += data as u32;
        self.unacknowledged = ack;
        self.measure_round_trip(now, segment);
        let grows = !self.recovery.is_active() && self.is_window_limited;
        if grows || self.recovery.is_by_timeout() {
            self.congestion.acknowledge(acked, mss, self.recovery.is_by_timeout());
        }
        self.recovery.advance(ack, acked, mss, self.sack);
        self.timer = match ack == self.next_send {
            true => Timer::Idle,
            false => Timer::Retransmit(now + self.patience()),
        };
        if ack == self.next_send && self.finishing && self.is_fin_sent() {
            self.state = match self.state {
                State::FinWait1 => State::FinWait2,
                State::Closing => State::TimeWait,
                State::LastAck => State::Closed,
                other => other,
            };
        }
    }

    /// Times the way and back, of what was sent once (RFC 6298, 3), or else by the timestamp that
    /// comes back (RFC 7323, 4). Until there is such a time, a time-out that was doubled stays so; or
    /// else all that takes longer than the time-out would be sent again for ever.
    fn measure_round_trip(&mut self, now: Instant, segment: &Segment<'_>) {
        match (self.timed, segment.header.options.timestamps, self.timestamps_at(now)) {
            (Some((end, sent_at)), ..) if !end.after(segment.header.acknowledged) => {
                self.round_trip.measure(now - sent_at);
                self.timed = None;
            }
            (None, Some(theirs), Some(own)) if self.is_synchronized() => {
                let elapsed_ms = own.value.wrapping_sub(theirs.echo);
                if elapsed_ms <= ECHO_AGE_MAX_MS {
                    self.round_trip.measure_echo(Duration::from_millis(elapsed_ms.into()));
                }
            }
            _ if !self.is_synchronized() => self.round_trip.advance(),
            _ => {}
        }
    }

    fn process_payload(
        &mut self,
        now: Instant,
        segment: &Segment<'_>,
        memory: &mut Memory,
        outcome: &mut Outcome,
    ) {
        let has_fin = segment.has(Flags::FIN);
        if segment.payload.is_empty() && !has_fin {
            return;
        }
        if !matches!(self.state, State::Established | State::FinWait1 | State::FinWait2) {
            // The peer has finished before; it repeats itself.
            self.ack = Due::Now;
            return;
        }
        let start = segment.header.sequence + u32::from(segment.has(Flags::SYN));
        let end = start + segment.payload.len() as u32;
        // Cut to the window, on both sides, and to before the peer's end.
        let from = start.max(self.next_receive);
        let mut to = end.min(self.edge);
        if let Some(peer_end) = self.peer_end {
            to = to.min(peer_end);
        }
        outcome.is_beyond_window = end.after(self.edge);
        if has_fin && !end.after(self.edge) && self.peer_end.is_none() {
            let has_later = self.early.last().is_some_and(|last| last.end.after(end));
            if !has_later && !end.before(self.next_receive) {
                self.peer_end = Some(end);
            }
        }
        if !from.before(to) {
            // Nothing new, or nothing that fits.
            self.ack = Due::Now;
            return;
        }
        let position = self.receive.len() + from.since(self.next_receive) as usize;
        let bytes = self.make_receive_room(memory, position, to.since(from) as usize);
        outcome.is_out_of_memory = bytes < to.since(from) as usize;
        if outcome.is_out_of_memory {
            // What was told stays told, but from then on it is what there is memory for.
            let capacity = self.receive.capacity().max(BLOCK_BYTES);
            self.receive_window = self.receive_window.min(capacity as u32);
        }
        let to = from + bytes as u32;
        if bytes == 0 {
            self.ack = Due::Now;
            return;
        }
        let payload = &segment.payload[from.since(start) as usize..to.since(start) as usize];
        self.receive.write_at(position, payload);
        if from == self.next_receive {
            self.advance(now, to);
            outcome.is_readable = true;
        } else {
            // A duplicate acknowledgement tells the peer at once (RFC 5681, 4.2).
            // A range too many is not noted, so it will be sent again.
            if self.early.insert(Range { start: from, end: to }) {
                self.early_last = from;
            }
            self.ack = Due::Now;
        }
    }

    /// Makes room in the receive buffer at a position, for as much of `bytes` as there is memory.
    fn make_receive_room(&mut self, memory: &mut Memory, position: usize, bytes: usize) -> usize {
        if self.receive.reserve(memory, position + bytes).is_err() {
            let _ = self.receive.reserve(memory, BLOCK_BYTES);
        }
        bytes.min(self.receive.capacity().saturating_sub(position))
    }

    /// Data up to here has come in order; perhaps it joins what came early.
    fn advance(&mut self, now: Instant, to: Seq) {
        let had_early = !self.early.is_empty();
        let end = self.early.first_gap(to);
        self.early.trim(end);
        let bytes = end.since(self.next_receive);
        self.receive.extend(bytes as usize);
        self.next_receive = end;
        self.unacked_bytes = self.unacked_bytes.saturating_add(bytes);
        if had_early || self.unacked_bytes >= 2 * self.data_bytes_max() {
            self.ack = Due::Now;
        } else if self.ack == Due::Never {
            self.ack = Due::At(now + ACK_DELAY);
        }
    }

    /// The peer's FIN, once everything before it has come.
    fn process_fin(&mut self, memory: &mut Memory, outcome: &mut Outcome) {
        if self.peer_end != Some(self.next_receive) {
            return;
        }
        self.state = match self.state {
            State::Established => State::CloseWait,
            State::FinWait1 => State::Closing,
            State::FinWait2 => State::TimeWait,
            _ => return,
        };
        self.next_receive += 1;
        self.edge = self.edge.max(self.next_receive);
        self.ack = Due::Now;
        // Nothing comes any more: what was read needs no room.
        self.receive.shrink(memory);
        outcome.is_readable = true;
    }
}
