//! The transmission control block: all that one connection knows (RFC 9293, 3.3.1), how it begins,
//! and what can be asked of it. What its owner does with it is in `stream`, what arrives in `input`,
//! what is sent in `output`, and what is lost in `recovery`. It has no frames, no addresses and no
//! clock.

use smoltcp::time::Instant;

use super::buffer::{Memory, Ring};
use super::congestion::Congestion;
use super::ranges::Ranges;
use super::recovery::Recovery;
use super::round_trip::RoundTrip;
use super::seq::Seq;
use crate::wire::segment::{Options, TIMESTAMPS_BYTES, Timestamps};

/// What a peer takes that names no size (RFC 9293, 3.7.1), and the least that we make of one.
pub(crate) const MSS_DEFAULT: u32 = 536;
const MSS_MIN: u32 = 64;
/// Sent without being asked for: the window before the connection has shown what it can use.
pub(super) const WINDOW_INITIAL: u32 = 64 * 1024;
/// The largest window shift (RFC 7323, 2.3).
const SHIFT_MAX: u8 = 14;

/// RFC 9293, 3.3.2, without LISTEN, which is a listener's, and TIME-WAIT, which needs no block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum State {
    SynSent,
    SynReceived,
    Established,
    FinWait1,
    FinWait2,
    CloseWait,
    Closing,
    LastAck,
    /// Both sides have finished and know it; only late segments may need an answer.
    TimeWait,
    Closed,
}

/// What the owner decides about a connection before it begins.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Parameters {
    /// The initial sequence number (RFC 6528).
    pub(crate) initial: Seq,
    /// What is added to the clock of the timestamps, so that they tell nothing about the host.
    pub(crate) timestamp_offset: u32,
    /// The largest segment that we can send and take, headers excluded.
    pub(crate) mss: u32,
    /// The most bytes of one packet's payload, for wires that cut it into segments; or else zero.
    pub(crate) burst_bytes: u32,
    pub(crate) send_bytes_max: u32,
    pub(crate) receive_bytes_max: u32,
}

/// When an acknowledgement is due.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Due {
    Never,
    At(Instant),
    Now,
}

/// What the one timer of the sending side waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Timer {
    Idle,
    /// An acknowledgement (RFC 6298).
    Retransmit(Instant),
    /// A window that the peer may open (RFC 9293, 3.8.6.1).
    Persist(Instant),
}

impl Timer {
    pub(crate) const fn at(self) -> Option<Instant> {
        match self {
            Self::Idle => None,
            Self::Retransmit(at) | Self::Persist(at) => Some(at),
        }
    }
}

pub(crate) struct Tcb {
    pub(super) state: State,
    pub(super) parameters: Parameters,

    // What we send.
    /// The first number that is not acknowledged (SND.UNA).
    pub(super) unacknowledged: Seq,
    /// The number after the last one sent (SND.NXT).
    pub(super) next_send: Seq,
    /// The number of the first byte in `send`.
    pub(super) send_start: Seq,
    pub(super) send: Ring,
    /// The owner is done with sending: a FIN follows what is in `send`.
    pub(super) finishing: bool,
    /// The peer's window from `unacknowledged` on (SND.WND), and the largest it ever had.
    pub(super) window: u32,
    pub(super) window_max: u32,
    pub(super) window_shift: u8,
    /// The segment that told the window (SND.WL1, SND.WL2).
    pub(super) window_sequence: Seq,
    pub(super) window_ack: Seq,
    /// The most bytes of a segment, options included.
    pub(super) mss: u32,
    pub(super) nagle: bool,
    pub(super) congestion: Congestion,
    pub(super) recovery: Recovery,
    pub(super) round_trip: RoundTrip,
    /// A segment whose acknowledgement will be timed: the number behind it, and when it was sent.
    pub(super) timed: Option<(Seq, Instant)>,
    pub(super) timer: Timer,
    pub(super) sent_at: Instant,
    /// Bytes in flight when something was last sent for the first time.
    pub(super) flight: u32,
    /// The congestion window held back what could have been sent.
    pub(super) is_window_limited: bool,

    // What we receive.
    /// The peer's SYN has come.
    pub(super) has_peer: bool,
    /// The next number that we expect (RCV.NXT).
    pub(super) next_receive: Seq,
    /// The number after the window that the peer was told.
    pub(super) edge: Seq,
    pub(super) receive: Ring,
    /// What lies in `receive` behind its end, having come out of order.
    pub(super) early: Ranges,
    /// The last number that came out of order.
    pub(super) early_last: Seq,
    /// The number of the peer's FIN, if it has come.
    pub(super) peer_end: Option<Seq>,
    /// The window that we give when the owner reads everything.
    pub(super) receive_window: u32,
    /// What the owner has read since `reading_since`, for the window's growth.
    pub(super) read_bytes: u32,
    pub(super) reading_since: Instant,
    pub(super) own_shift: u8,
    pub(super) unacked_bytes: u32,

    // What is said in answer.
    pub(super) ack: Due,
    pub(super) probe_due: bool,
    /// A probe of a closed window has no answer yet.
    pub(super) is_probing: bool,
    pub(super) reset_due: bool,
    /// The last number that we acknowledged.
    pub(super) acknowledged: Seq,
    pub(super) sack: bool,
    pub(super) timestamps: bool,
    /// The peer's timestamp that we echo (TS.Recent), and when it came.
    pub(super) timestamp_recent: u32,
    pub(super) timestamp_at: Instant,
    pub(super) shrink_at: Option<Instant>,
}

impl Tcb {
    /// A connection that we open: it sends a SYN.
    pub(crate) fn open(parameters: Parameters, now: Instant) -> Self {
        let initial = parameters.initial;
        let mss = parameters.mss;
        let limit = parameters.receive_bytes_max;
        Self {
            state: State::SynSent,
            unacknowledged: initial,
            next_send: initial,
            send_start: initial + 1,
            send: Ring::new(),
            finishing: false,
            window: 0,
            window_max: 0,
            window_shift: 0,
            window_sequence: Seq(0),
            window_ack: initial,
            mss,
            nagle: false,
            congestion: Congestion::new(mss),
            recovery: Recovery::new(initial),
            round_trip: RoundTrip::new(),
            timed: None,
            timer: Timer::Idle,
            sent_at: now,
            flight: 0,
            is_window_limited: false,
            has_peer: false,
            next_receive: Seq(0),
            edge: Seq(0),
            receive: Ring::new(),
            early: Ranges::new(),
            early_last: Seq(0),
            peer_end: None,
            receive_window: WINDOW_INITIAL.min(limit),
            read_bytes: 0,
            reading_since: now,
            own_shift: shift_for(limit),
            unacked_bytes: 0,
            ack: Due::Never,
            probe_due: false,
            is_probing: false,
            reset_due: false,
            acknowledged: Seq(0),
            sack: true,
            timestamps: true,
            timestamp_recent: 0,
            timestamp_at: now,
            shrink_at: None,
            parameters,
        }
    }

    /// A connection that a peer opens by this SYN: it answers with one of its own.
    pub(crate) fn answer(
        parameters: Parameters,
        now: Instant,
        sequence: Seq,
        window: u16,
        options: &Options,
    ) -> Self {
        let mut tcb = Self::open(parameters, now);
        tcb.state = State::SynReceived;
        tcb.take_syn(sequence, options);
        tcb.note_window(u32::from(window), sequence, parameters.initial);
        tcb
    }

    /// What the peer's SYN tells.
    pub(super) fn take_syn(&mut self, sequence: Seq, options: &Options) {
        self.has_peer = true;
        self.next_receive = sequence + 1;
        self.acknowledged = self.next_receive;
        // The window of a SYN is never scaled.
        self.edge = self.next_receive + self.receive_window.min(u32::from(u16::MAX));
        let peer_mss = options.mss.map_or(MSS_DEFAULT, u32::from).max(MSS_MIN);
        self.mss = self.parameters.mss.min(peer_mss);
        self.congestion.restart(self.mss);
        self.sack = options.sack_permitted;
        match options.window_shift {
            Some(shift) => self.window_shift = shift.min(SHIFT_MAX),
            None => {
                // More than 16 bits cannot be told, so there is no more.
                self.own_shift = 0;
                let limit = u32::from(u16::MAX);
                self.parameters.receive_bytes_max = self.parameters.receive_bytes_max.min(limit);
                self.receive_window = self.receive_window.min(limit);
            }
        }
        self.timestamps = options.timestamps.is_some();
        self.timestamp_recent = options.timestamps.map_or(0, |timestamps| timestamps.value);
    }

    pub(super) fn note_window(&mut self, window: u32, sequence: Seq, ack: Seq) {
        self.window = window;
        self.window_max = self.window_max.max(window);
        (self.window_sequence, self.window_ack) = (sequence, ack);
    }

    pub(crate) const fn state(&self) -> State {
        self.state
    }

    /// Whether the handshake is over.
    pub(crate) const fn is_synchronized(&self) -> bool {
        !matches!(self.state, State::SynSent | State::SynReceived | State::Closed)
    }

    /// Whether the owner may still send.
    pub(crate) const fn may_send(&self) -> bool {
        matches!(self.state, State::Established | State::CloseWait) && !self.finishing
    }

    /// Whether more can come than what is there.
    pub(crate) const fn may_receive(&self) -> bool {
        matches!(self.state, State::Established | State::FinWait1 | State::FinWait2)
    }

    /// The window that could be told now.
    pub(super) fn window_now(&self) -> u32 {
        self.receive_window.saturating_sub(self.receive.len() as u32)
    }

    /// Ends the connection without the peer's consent. Tells it, if it knows of the connection.
    pub(crate) fn reset(&mut self, memory: &mut Memory) {
        // A peer that has our SYN may be waiting for more.
        let has_spoken = self.has_peer || self.next_send != self.parameters.initial;
        self.reset_due = has_spoken && !matches!(self.state, State::TimeWait | State::Closed);
        self.close(memory);
    }

    /// Ends the connection without a word: its address is gone.
    pub(crate) fn forget(&mut self, memory: &mut Memory) {
        self.close(memory);
        self.reset_due = false;
    }

    /// Ends the connection and gives back what waits to be sent. What has come can still be read.
    pub(super) fn close(&mut self, memory: &mut Memory) {
        self.state = State::Closed;
        self.send.clear(memory);
        self.recovery = Recovery::new(self.next_send);
        self.early.clear();
        (self.timer, self.ack, self.probe_due) = (Timer::Idle, Due::Never, false);
    }

    /// Gives back all memory.
    pub(crate) fn clear(&mut self, memory: &mut Memory) {
        self.close(memory);
        self.reset_due = false;
        self.receive.clear(memory);
    }

    /// Gives back memory that was not used for a while.
    pub(super) fn shrink(&mut self, memory: &mut Memory, now: Instant) {
        if self.shrink_at.is_some_and(|at| at <= now) {
            self.shrink_at = None;
            if self.early.is_empty() {
                self.receive.shrink(memory);
            }
            self.send.shrink(memory);
        }
    }

    /// Whether the owner is done with sending.
    pub(crate) const fn is_finishing(&self) -> bool {
        self.finishing
    }

    /// Whether nothing is left to be told to the peer.
    pub(crate) fn is_over(&self) -> bool {
        self.state == State::Closed && !self.reset_due
    }

    /// Whether there is something to be done now.
    pub(crate) fn wants_turn(&self) -> bool {
        self.ack == Due::Now || matches!(self.state, State::TimeWait | State::Closed)
    }

    /// Whether a RST is to be sent.
    pub(crate) const fn owes_reset(&self) -> bool {
        self.reset_due
    }

    /// Whether the peer was told of everything that has come.
    pub(crate) fn has_acknowledged_all(&self) -> bool {
        self.acknowledged == self.next_receive
    }

    /// The peer owes an answer. One that keeps its window closed owes it to probes alone (RFC 9293,
    /// 3.8.6.1).
    pub(crate) fn is_owed(&self) -> bool {
        match self.state {
            State::Closed | State::TimeWait => false,
            State::SynSent => true,
            _ if matches!(self.timer, Timer::Persist(_)) => self.is_probing,
            _ => self.unacknowledged != self.next_send || !self.send.is_empty(),
        }
    }

    /// Asks for a segment that makes the peer answer.
    pub(crate) fn probe(&mut self) {
        self.probe_due = self.is_synchronized();
    }

    /// Asks for an acknowledgement of where both directions are.
    pub(crate) fn acknowledge_now(&mut self) {
        self.ack = Due::Now;
    }

    pub(crate) fn set_nagle(&mut self, enabled: bool) {
        self.nagle = enabled;
    }

    /// The way takes no larger packets: this many bytes of a segment, options included.
    pub(crate) fn limit_mss(&mut self, mss: u32) {
        let mss = mss.max(MSS_MIN);
        if mss < self.mss {
            self.mss = mss;
            self.recovery.resend_all(self.next_send, self.unacknowledged);
        }
    }

    /// Whether this number of ours is on its way (RFC 5927, 4.1).
    pub(crate) fn is_in_flight(&self, sequence: Seq) -> bool {
        !sequence.before(self.unacknowledged) && sequence.before(self.next_send)
    }

    /// Bytes of data in a full segment.
    pub(super) fn data_bytes_max(&self) -> u32 {
        let options = if self.timestamps { TIMESTAMPS_BYTES as u32 } else { 0 };
        self.mss - options
    }

    /// The timestamps of what is sent now.
    pub(super) fn timestamps_at(&self, now: Instant) -> Option<Timestamps> {
        self.timestamps.then(|| Timestamps {
            value: (now.total_millis() as u32).wrapping_add(self.parameters.timestamp_offset),
            echo: self.timestamp_recent,
        })
    }

    /// What a late segment of a connection in TIME-WAIT is answered with.
    pub(crate) const fn rest(&self) -> Rest {
        Rest {
            next_send: self.next_send,
            next_receive: self.next_receive,
            timestamp_offset: self.parameters.timestamp_offset,
            timestamp_recent: if self.timestamps { Some(self.timestamp_recent) } else { None },
        }
    }

    /// When [`Self::run`](super::output) must be called next.
    pub(crate) fn deadline(&self) -> Option<Instant> {
        let ack = match self.ack {
            Due::At(at) => Some(at),
            Due::Never | Due::Now => None,
        };
        [ack, self.timer.at(), self.shrink_at].into_iter().flatten().min()
    }
}

/// What is left of a connection in TIME-WAIT.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Rest {
    pub(crate) next_send: Seq,
    pub(crate) next_receive: Seq,
    pub(crate) timestamp_offset: u32,
    pub(crate) timestamp_recent: Option<u32>,
}

/// The shift with which a window up to `limit` fits in 16 bits.
fn shift_for(limit: u32) -> u8 {
    let bits = u32::BITS - limit.leading_zeros();
    (bits.saturating_sub(16) as u8).min(SHIFT_MAX)
}
