//! One connection in the table: its control block or what is left of it, who owns it, and how long
//! it may still last. The rules for its end stand here; protocol and tables do not.

use core::num::NonZeroU32;
use core::task::Waker;

use smoltcp::time::{Duration, Instant};

use super::flow::Flow;
use super::listener::ListenerId;
use super::tcb::{Rest, State, Tcb};

/// A RST that cannot be sent for this long, for want of a neighbour or room, is not sent at all.
const RESET_GRACE: Duration = Duration::from_secs(1);

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

/// A time, or for ever, to the millisecond and up to 49 days: there is one for each of many
/// connections, so it is kept small.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Patience(Option<NonZeroU32>);

impl Patience {
    pub(crate) const ENDLESS: Self = Self(None);

    pub(crate) fn new(time: Option<Duration>) -> Self {
        let milliseconds = |time: Duration| u32::try_from(time.total_millis()).unwrap_or(u32::MAX);
        Self(time.map(|time| NonZeroU32::new(milliseconds(time)).unwrap_or(NonZeroU32::MIN)))
    }

    pub(crate) fn get(self) -> Option<Duration> {
        self.0.map(|milliseconds| Duration::from_millis(milliseconds.get().into()))
    }
}

/// What there is of a connection. A box for the largest would be one more allocation that can fail.
#[expect(clippy::large_enum_variant)]
pub(crate) enum Body {
    Open(Tcb),
    /// Both sides are done; only answers to late segments are left.
    TimeWait(Rest),
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
    pub(crate) expiry: Expiry,
    pub(crate) peer_timeout: Patience,
    /// How often an idle peer is asked for a sign of life.
    pub(crate) keep_alive: Patience,
    /// Wakes who waits for bytes, or an end.
    pub(crate) reader: Option<Waker>,
    /// Wakes who waits for room, for the handshake, or an end.
    pub(crate) writer: Option<Waker>,
    /// The owner found no memory for what it wants to send; it is woken then to try again.
    pub(crate) starved_until: Option<Instant>,
    probed_at: Instant,
    /// When the peer was last heard.
    heard_at: Instant,
    /// Since when the peer owes us an answer.
    owed_since: Option<Instant>,
    /// No challenge is sent before.
    pub(crate) challenge_at: Instant,
    /// The next hop's reachability is not confirmed before.
    pub(crate) confirm_at: Instant,
}

impl Connection {
    pub(crate) fn new(flow: Flow, tcb: Tcb, stage: Stage, now: Instant) -> Self {
        Self {
            flow,
            body: Body::Open(tcb),
            stage,
            owner: Owner::Queue,
            listener: None,
            verdict: None,
            expiry: Expiry::Never,
            peer_timeout: Patience::ENDLESS,
            keep_alive: Patience::ENDLESS,
            reader: None,
            writer: None,
            starved_until: None,
            probed_at: now,
            heard_at: now,
            owed_since: None,
            challenge_at: now,
            confirm_at: now,
        }
    }

    pub(crate) fn tcb(&self) -> Option<&Tcb> {
        match &self.body {
            Body::Open(tcb) => Some(tcb),
            Body::TimeWait(_) | Body::Closed => None,
        }
    }

    pub(crate) fn tcb_mut(&mut self) -> Option<&mut Tcb> {
        match &mut self.body {
            Body::Open(tcb) => Some(tcb),
            Body::TimeWait(_) | Body::Closed => None,
        }
    }

    pub(crate) fn state(&self) -> ConnectionState {
        let ended = ConnectionState::Closed(self.verdict.unwrap_or(CloseReason::Finished));
        let Some(tcb) = self.tcb().filter(|_| self.verdict.is_none()) else {
            return ended;
        };
        match (self.stage, tcb.state()) {
            (_, State::Closed | State::TimeWait) => ended,
            (Stage::Offered, _) => ConnectionState::Offered,
            (Stage::HalfOpen | Stage::Opening, _) => ConnectionState::Opening,
            (Stage::Open, State::CloseWait) if tcb.may_send() => ConnectionState::PeerFinished,
            (Stage::Open, State::Established) if tcb.may_send() => ConnectionState::Established,
            (Stage::Open, _) => ConnectionState::Finishing,
        }
    }

    /// Its time is nearly over: a RST still has a moment to go out. Whoever waits is woken.
    pub(crate) fn condemn(&mut self, reason: CloseReason) {
        self.verdict.get_or_insert(reason);
        self.expiry = Expiry::After(RESET_GRACE);
        self.wake();
    }

    pub(crate) fn wake_reader(&mut self) {
        if let Some(waker) = self.reader.take() {
            waker.wake();
        }
    }

    pub(crate) fn wake_writer(&mut self) {
        if let Some(waker) = self.writer.take() {
            waker.wake();
        }
    }

    pub(crate) fn wake(&mut self) {
        self.wake_reader();
        self.wake_writer();
    }

    pub(crate) fn has_unread(&self) -> bool {
        self.tcb().is_some_and(|tcb| tcb.received() > 0)
    }

    /// The peer was heard.
    pub(crate) fn hear(&mut self, now: Instant) {
        self.heard_at = now;
    }

    /// The peer is asked for a sign of life.
    pub(crate) fn note_probe(&mut self, now: Instant) {
        self.probed_at = now;
    }

    /// Tells the time to everything that waits for it.
    pub(crate) fn tell_time(&mut self, now: Instant) {
        if let Expiry::After(time) = self.expiry {
            self.expiry = Expiry::At(now + time);
        }
        let is_owed = self.verdict.is_none() && self.tcb().is_some_and(Tcb::is_owed);
        self.owed_since = is_owed.then(|| self.owed_since.unwrap_or(now));
    }

    /// When an idle peer is to be asked for a sign of life.
    pub(crate) fn probe_at(&self) -> Option<Instant> {
        let is_open = self.stage == Stage::Open && self.verdict.is_none() && self.tcb().is_some();
        let interval = self.keep_alive.get().filter(|_| is_open)?;
        Some(self.heard_at.max(self.probed_at) + interval)
    }

    pub(crate) fn expires_at(&self) -> Option<Instant> {
        match self.expiry {
            Expiry::At(at) => Some(at),
            Expiry::Never | Expiry::After(_) => None,
        }
    }

    /// When a silent peer is given up.
    pub(crate) fn silent_until(&self) -> Option<Instant> {
        let timeout = self.peer_timeout.get().filter(|_| self.verdict.is_none())?;
        match (self.owed_since, self.keep_alive.get()) {
            (Some(since), _) => Some(since.max(self.heard_at) + timeout),
            // It can answer only when it was asked.
            (None, Some(interval)) => Some(self.heard_at + interval + timeout),
            (None, None) => None,
        }
    }

    /// Whether its answer to the peer is held back.
    pub(crate) fn is_held_back(&self) -> bool {
        self.stage == Stage::Offered && self.verdict.is_none()
    }

    /// The next time that something is to be done, `None` if only input makes anything to do.
    pub(crate) fn deadline(&self) -> Option<Instant> {
        let tcb = self.tcb().filter(|_| !self.is_held_back()).and_then(Tcb::deadline);
        let own =
            [self.expires_at(), self.silent_until(), self.probe_at(), self.starved_until, tcb];
        own.into_iter().flatten().min()
    }
}
