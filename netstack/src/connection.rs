//! One TCP connection: its socket or what is left of it, who owns it, and how long it may still
//! last. The rules for its end stand here; frames and tables do not.

use alloc::collections::TryReserveError;

use smoltcp::socket::tcp;
use smoltcp::time::{Duration, Instant};

use crate::config::Limits;
use crate::flow::Flow;
use crate::listener::ListenerId;
use crate::wire::demux::Segment;
use crate::wire::lone::{Lone, try_zeroed};
use crate::wire::segment::{Bare, Mark};

/// A RST that cannot be sent for this long, for want of a neighbour or room, is not sent at all.
const RESET_GRACE: Duration = Duration::from_secs(1);

/// How often a peer is asked for its window when smoltcp does not ask.
const PROBE_INTERVAL: Duration = Duration::from_secs(2);

pub(crate) type Socket = Lone<tcp::Socket<'static>>;

/// Names a connection. Once it is released the name is never used for another one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ConnectionId {
    pub(crate) slot: u32,
    pub(crate) generation: u32,
}

/// Where a connection stands, for its owner.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ConnectionState {
    /// A peer asks for it; the answer is held back until it is accepted.
    Offered,
    /// The handshake is under way.
    Opening,
    /// Both directions are open.
    Established,
    /// The peer has finished sending; the owner may still send.
    PeerFinished,
    /// The owner has finished sending; the peer may still send.
    Finishing,
    /// It is over. What was received before can still be read.
    Closed(CloseReason),
}

/// How a connection ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CloseReason {
    /// Both sides finished.
    Finished,
    /// The peer reset it.
    Reset,
    /// The peer refused to open it.
    Refused,
    /// The peer did not answer in time.
    TimedOut,
    /// The owner, or the stack on its behalf, reset it.
    Aborted,
    /// The stack lost the address that the connection was bound to.
    AddressLost,
    /// No such connection: it was released.
    Released,
}

/// When a connection ends whatever happens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Expiry {
    Never,
    /// So long after the next turn. The owner's calls come without the time, and the last time that
    /// the stack was told may be long ago.
    After(Duration),
    At(Instant),
}

/// A window that the peer was told.
#[derive(Clone, Copy, Debug, Default)]
struct Window {
    /// The sequence number after it.
    end: Option<u32>,
    is_of_syn: bool,
    shift: u8,
}

/// What there is of a connection.
pub(crate) enum Body {
    Socket(Socket),
    /// Both sides are done; only answers to late segments are left.
    TimeWait(Mark),
    /// Nothing, until the owner releases it.
    Closed,
}

/// How far the handshake is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stage {
    /// A peer's SYN came to a listener, or an offer was accepted.
    HalfOpen,
    /// A peer's SYN is held without an answer.
    Offered,
    /// Our SYN.
    Opening,
    /// It was established at some time.
    Open,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Owner {
    /// It waits to be taken out by `accept` or `next_offer`.
    Queue,
    Application,
    Nobody,
}

pub(crate) struct Connection {
    pub(crate) flow: Flow,
    pub(crate) body: Body,
    pub(crate) stage: Stage,
    pub(crate) owner: Owner,
    pub(crate) listener: Option<ListenerId>,
    /// Why it ended or is ending.
    pub(crate) verdict: Option<CloseReason>,
    /// The owner wants to finish, but the handshake is still under way.
    pub(crate) finish_wanted: bool,
    pub(crate) expiry: Expiry,
    pub(crate) peer_timeout: Option<Duration>,
    /// How often an idle peer is asked for a sign of life.
    pub(crate) keep_alive: Option<Duration>,
    /// smoltcp waits for the peer but would never ask it again; see [`Self::probe_at`].
    pub(crate) is_stuck: bool,
    probed_at: Instant,
    /// Where the peer's last segment came from.
    pub(crate) peer_mac: [u8; 6],
    /// Up to where the peer has acknowledged.
    peer_acknowledged: Option<u32>,
    /// When the peer was last heard.
    heard_at: Instant,
    /// Since when the peer owes us an answer.
    owed_since: Option<Instant>,
    /// What the last segment sent tells of both directions.
    pub(crate) mark: Option<Mark>,
    /// The sequence number after the peer's FIN.
    pub(crate) peer_end: Option<u32>,
    /// The window that the peer was told; see [`Self::oversteps`].
    window: Window,
    /// No challenge is sent before.
    pub(crate) challenge_at: Instant,
}

impl Connection {
    pub(crate) fn new(flow: Flow, socket: Socket, stage: Stage, now: Instant) -> Self {
        Self {
            flow,
            body: Body::Socket(socket),
            stage,
            owner: Owner::Queue,
            listener: None,
            verdict: None,
            finish_wanted: false,
            expiry: Expiry::Never,
            peer_timeout: None,
            keep_alive: None,
            is_stuck: false,
            probed_at: now,
            peer_mac: [0; 6],
            peer_acknowledged: None,
            heard_at: now,
            owed_since: None,
            mark: None,
            peer_end: None,
            window: Window::default(),
            challenge_at: now,
        }
    }

    pub(crate) fn socket(&self) -> Option<&tcp::Socket<'static>> {
        match &self.body {
            Body::Socket(lone) => Some(lone.socket()),
            Body::TimeWait(_) | Body::Closed => None,
        }
    }

    pub(crate) fn socket_mut(&mut self) -> Option<&mut tcp::Socket<'static>> {
        match &mut self.body {
            Body::Socket(lone) => Some(lone.socket_mut()),
            Body::TimeWait(_) | Body::Closed => None,
        }
    }

    pub(crate) fn state(&self) -> ConnectionState {
        let ended = ConnectionState::Closed(self.verdict.unwrap_or(CloseReason::Finished));
        let Some(socket) = self.socket().filter(|_| self.verdict.is_none()) else {
            return ended;
        };
        match (self.stage, socket.state()) {
            (_, tcp::State::Closed | tcp::State::TimeWait) => ended,
            (Stage::Offered, _) => ConnectionState::Offered,
            (Stage::HalfOpen | Stage::Opening, _) => ConnectionState::Opening,
            (Stage::Open, tcp::State::CloseWait) => ConnectionState::PeerFinished,
            (Stage::Open, tcp::State::Established) => ConnectionState::Established,
            (Stage::Open, _) => ConnectionState::Finishing,
        }
    }

    /// Sends RST as soon as the wire has room. Whoever waits for the socket is woken.
    pub(crate) fn reset(&mut self, reason: CloseReason) {
        self.verdict.get_or_insert(reason);
        self.expiry = Expiry::After(RESET_GRACE);
        if let Some(socket) = self.socket_mut() {
            socket.abort();
        }
    }

    pub(crate) fn has_unread(&self) -> bool {
        self.socket().is_some_and(|socket| socket.recv_queue() > 0)
    }

    /// The peer was heard.
    pub(crate) fn hear(&mut self, now: Instant, segment: &Segment) {
        self.heard_at = now;
        self.peer_mac = segment.source_mac;
        if segment.fin {
            self.peer_end = Some(segment.end());
        }
        if let Some(mark) = self.mark.filter(|_| segment.ack) {
            let sent = mark.next_sequence.wrapping_sub(segment.acknowledged) as i32 >= 0;
            let newer = self
                .peer_acknowledged
                .is_none_or(|before| segment.acknowledged.wrapping_sub(before) as i32 > 0);
            if sent && newer {
                self.peer_acknowledged = Some(segment.acknowledged);
            }
        }
    }

    /// Keeps in mind what was just sent.
    pub(crate) fn note_sent(&mut self, mark: Mark) {
        if self.stage == Stage::Open && !mark.syn {
            let bytes = u32::from(mark.window) << self.window.shift;
            self.window.end = Some(mark.acknowledged.wrapping_add(bytes));
            self.window.is_of_syn = false;
        }
        self.mark = Some(mark);
    }

    /// The peer's SYN has come: what our own SYN announces begins after it, and is never scaled.
    pub(crate) fn begin_window(&mut self, syn: &Segment) {
        let capacity = self.socket().map_or(0, tcp::Socket::recv_capacity);
        let first = u32::from(u16::try_from(capacity).unwrap_or(u16::MAX));
        // As smoltcp chooses it: the bits of the capacity beyond 16.
        let shift = (usize::BITS - capacity.leading_zeros()).saturating_sub(16) as u8;
        self.window = Window {
            end: Some(syn.sequence.wrapping_add(1).wrapping_add(first)),
            is_of_syn: true,
            shift: if syn.scales_window { shift } else { 0 },
        };
    }

    /// Whether a segment must be dropped because it goes beyond the window that the peer was told.
    /// smoltcp cuts most of those to size, but not all:
    ///
    /// - It takes the window of our SYN as scaled, so a peer could fill more than the buffer, which
    ///   it asserts against.
    /// - It takes the FIN of a segment that it has cut, and so loses the data in between. Even an
    ///   honest peer can send such a one, since a scaled window is rounded down and may shrink.
    pub(crate) fn oversteps(&self, segment: &Segment) -> bool {
        let Some(end) = self.window.end.filter(|_| segment.payload_bytes > 0) else { return false };
        let segment_end = segment.sequence.wrapping_add(segment.payload_bytes);
        let goes_beyond = segment_end.wrapping_sub(end) as i32 > 0;
        goes_beyond && (segment.fin || self.window.is_of_syn)
    }

    /// Whether times are to be told that the owner's calls left open.
    pub(crate) fn wants_time(&self) -> bool {
        matches!(self.expiry, Expiry::After(_)) || self.is_owed() && self.owed_since.is_none()
    }

    /// Tells the time to everything that waits for it.
    pub(crate) fn tell_time(&mut self, now: Instant) {
        if let Expiry::After(time) = self.expiry {
            self.expiry = Expiry::At(now + time);
        }
        self.owed_since = match self.is_owed() {
            true => Some(self.owed_since.unwrap_or(now)),
            false => None,
        };
    }

    /// Whether the peer owes us an answer.
    fn is_owed(&self) -> bool {
        use tcp::State::{Closing, FinWait1, LastAck, SynSent};
        let owes = |socket: &tcp::Socket<'_>| {
            socket.send_queue() > 0
                || matches!(socket.state(), SynSent | FinWait1 | Closing | LastAck)
        };
        self.verdict.is_none() && self.socket().is_some_and(owes)
    }

    /// When the peer is to be asked what it has got and what it has room for.
    ///
    /// smoltcp has timers of its own for that, but loses them: when the window closes while a lost
    /// segment waits to be sent again, when it opens while one is in flight, and when duplicate
    /// acknowledgements come while only the FIN is. Its keep-alives are not used either, since they
    /// carry a byte that a peer could take for data in such a state.
    pub(crate) fn probe_at(&self) -> Option<Instant> {
        let is_open = self.stage == Stage::Open && self.verdict.is_none();
        let interval = match self.is_stuck {
            true => Some(PROBE_INTERVAL),
            false => self.keep_alive,
        };
        let interval = interval.filter(|_| is_open && self.socket().is_some())?;
        Some(self.heard_at.max(self.probed_at) + interval)
    }

    /// A segment without data that makes the peer answer: the FIN again if only that is not
    /// acknowledged, or else a number that the peer has seen (RFC 9293, 3.8.4).
    pub(crate) fn probe(&mut self, now: Instant) -> Option<Bare> {
        self.probed_at = now;
        let mark = self.mark?;
        let acknowledged = self.peer_acknowledged?;
        use tcp::State::{Closing, FinWait1, LastAck};
        let has_finished = self
            .socket()
            .is_some_and(|socket| matches!(socket.state(), FinWait1 | Closing | LastAck));
        let only_fin_is_left = mark.next_sequence == acknowledged.wrapping_add(1);
        let fin = self.is_stuck && has_finished && only_fin_is_left;
        let sequence = if fin { acknowledged } else { acknowledged.wrapping_sub(1) };
        Some(Bare { sequence, acknowledged: mark.acknowledged, window: mark.window, fin })
    }

    /// Whether the peer owes us an answer that smoltcp, having no deadline, will not ask for.
    pub(crate) fn would_wait_forever(&self) -> bool {
        self.stage == Stage::Open && self.is_owed()
    }

    pub(crate) fn expires_at(&self) -> Option<Instant> {
        match self.expiry {
            Expiry::At(at) => Some(at),
            Expiry::Never | Expiry::After(_) => None,
        }
    }

    /// When a silent peer is given up.
    pub(crate) fn silent_until(&self) -> Option<Instant> {
        let timeout = self.peer_timeout.filter(|_| self.verdict.is_none())?;
        match self.owed_since {
            Some(since) => Some(since.max(self.heard_at) + timeout),
            None if self.keep_alive.is_some() => Some(self.heard_at + timeout),
            None => None,
        }
    }
}

/// A socket with the buffers that the limits allow, or an error if there is no memory.
///
/// Nagle's algorithm is off, as servers that write whole answers want it, and ACKs are delayed by
/// smoltcp's 10 ms. Time-outs are this crate's own: smoltcp's would end idle connections, too.
pub(crate) fn new_socket(limits: &Limits) -> Result<Socket, TryReserveError> {
    let receive_buffer = try_zeroed(limits.receive_buffer_bytes)?;
    let send_buffer = try_zeroed(limits.send_buffer_bytes)?;
    let mut socket = tcp::Socket::new(
        tcp::SocketBuffer::new(receive_buffer),
        tcp::SocketBuffer::new(send_buffer),
    );
    socket.set_nagle_enabled(false);
    Lone::new(socket)
}
