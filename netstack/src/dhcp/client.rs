//! The DHCP client (RFC 2131, 4.4): it says what to send, hears what came, and keeps the lease
//! while it lasts. It does not look whether somebody else has the address, does not remember
//! leases over a restart, and gives none back.

use core::net::Ipv4Addr;

use smoltcp::time::{Duration, Instant};
use smoltcp::wire::DhcpMessageType;

use super::lease::Lease;
use super::message::{Reply, Request, Terms};
use crate::siphash::HashKey;

/// RFC 2131, 4.1: the wait doubles up to this, give or take a second.
const RETRY_MAX_S: u64 = 64;
/// Requests for an offer, before another one is looked for.
const REQUESTS_MAX: u32 = 4;
/// RFC 2131, 4.4.5. Short leases need less.
const RENEW_RETRY_MIN: Duration = Duration::from_secs(60);

pub(crate) struct Client {
    mac: [u8; 6],
    key: HashKey,
    /// Random numbers that were drawn.
    drawn: u64,
    xid: u32,
    /// When the client began to ask for what it asks for now.
    asking_since: Instant,
    /// When it sent its last message.
    requested_at: Instant,
    send_at: Option<Instant>,
    state: State,
    /// Refusals since the last lease.
    refused: u32,
}

enum State {
    /// Looks for servers; so many messages were sent.
    Selecting { sent: u32 },
    /// Asks for what a server offered.
    Requesting { address: Ipv4Addr, server: Ipv4Addr, sent: u32 },
    /// Has a lease.
    Bound(Binding),
}

struct Binding {
    lease: Lease,
    server: Ipv4Addr,
    until: Option<Until>,
    /// Has asked for more time.
    is_asking: bool,
}

#[derive(Clone, Copy)]
struct Until {
    rebind_at: Instant,
    expires_at: Instant,
    retry_min: Duration,
}

/// What time has brought.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    Send(Outgoing),
    /// The lease has ended: the address must not be used any more.
    Deconfigured,
}

/// A message from UDP port 68 to port 67.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Outgoing {
    /// Unspecified as long as the client has no address.
    pub(crate) source: Ipv4Addr,
    /// The server, or everybody on the wire.
    pub(crate) destination: Ipv4Addr,
    /// At the beginning of the buffer.
    pub(crate) bytes: usize,
}

/// What a server's message has brought.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Event {
    /// There is a lease, or it is another one than before.
    Configured(Lease),
    /// The server took the lease away: the address must not be used any more.
    Deconfigured,
}

impl Client {
    /// A client that asks at once. The seed makes its numbers hard to foresee.
    pub(crate) fn new(mac: [u8; 6], seed: u64, now: Instant) -> Self {
        let mut client = Self {
            mac,
            key: HashKey::from_seed(seed),
            drawn: 0,
            xid: 0,
            asking_since: now,
            requested_at: now,
            send_at: None,
            state: State::Selecting { sent: 0 },
            refused: 0,
        };
        client.select(now, now);
        client
    }

    /// The lease, while it is valid.
    pub(crate) fn lease(&self) -> Option<&Lease> {
        match &self.state {
            State::Bound(binding) => Some(&binding.lease),
            _ => None,
        }
    }

    #[cfg(test)]
    pub(super) fn xid(&self) -> u32 {
        self.xid
    }

    /// When [`Self::poll`] has something next; `None` if a lease lasts for ever.
    pub(crate) fn deadline(&self) -> Option<Instant> {
        match &self.state {
            State::Bound(Binding { until: Some(until), .. }) => {
                Some(self.send_at.map_or(until.expires_at, |at| at.min(until.expires_at)))
            }
            _ => self.send_at,
        }
    }

    /// The next thing to do, one at a time until there is none. A message is written into the
    /// buffer, of at least [`MESSAGE_BYTES`](super::message::MESSAGE_BYTES); in a smaller one it is lost.
    pub(crate) fn poll(&mut self, now: Instant, buffer: &mut [u8]) -> Option<Step> {
        if let State::Bound(Binding { until: Some(until), .. }) = &self.state
            && until.expires_at <= now
        {
            self.select(now, now);
            return Some(Step::Deconfigured);
        }
        if self.send_at.is_none_or(|at| now < at) {
            return None;
        }
        if let State::Requesting { sent: REQUESTS_MAX.., .. } = self.state {
            self.select(now, now);
        }
        let (request, destination) = self.next_request(now);
        let bytes = request.write(buffer)?;
        let source = request.own.unwrap_or(Ipv4Addr::UNSPECIFIED);
        Some(Step::Send(Outgoing { source, destination, bytes }))
    }

    /// Takes the payload of a UDP datagram that came from port 67 to port 68.
    pub(crate) fn receive(&mut self, now: Instant, message: &[u8]) -> Option<Event> {
        let reply = Reply::parse(message, self.mac, self.xid)?;
        match (&self.state, reply.kind) {
            (State::Selecting { sent: 1.. }, DhcpMessageType::Offer) => {
                let (lease, _) = reply.given?;
                let (address, server) = (lease.address, reply.server);
                self.state = State::Requesting { address, server, sent: 0 };
                self.send_at = Some(now);
                None
            }
            (State::Requesting { address, server, .. }, DhcpMessageType::Ack) => {
                let (lease, terms) = reply.given?;
                if lease.address != *address || reply.server != *server {
                    return None;
                }
                self.bind(lease, terms, reply.server);
                self.lease().cloned().map(Event::Configured)
            }
            (State::Requesting { server, sent: 1.., .. }, DhcpMessageType::Nak) => {
                if reply.server == *server {
                    self.refused = self.refused.saturating_add(1);
                    // At once for the first time; a server must not have us ask in a loop.
                    let wait = match self.refused {
                        1 => Duration::ZERO,
                        refused => retry_after(refused, self.draw()),
                    };
                    self.select(now, now + wait);
                }
                None
            }
            (State::Bound(binding), kind) if binding.may_hear(now, reply.server) => match kind {
                DhcpMessageType::Ack => {
                    let (lease, terms) = reply.given?;
                    let is_new = lease != binding.lease;
                    self.bind(lease, terms, reply.server);
                    self.lease().cloned().filter(|_| is_new).map(Event::Configured)
                }
                DhcpMessageType::Nak => {
                    self.select(now, now);
                    Some(Event::Deconfigured)
                }
                _ => None,
            },
            _ => None,
        }
    }

    /// Looks for servers from then on.
    fn select(&mut self, now: Instant, from: Instant) {
        self.begin_to_ask(now);
        self.state = State::Selecting { sent: 0 };
        self.send_at = Some(from);
    }

    /// The times count from the request, not from the answer, so that the lease does not end later
    /// for the client than for the server (RFC 2131, 4.4.1).
    fn bind(&mut self, lease: Lease, terms: Terms, server: Ipv4Addr) {
        let from = self.requested_at;
        let until = terms.map(|times| Until {
            rebind_at: from + times.rebind,
            expires_at: from + times.expire,
            retry_min: (times.expire / 16).clamp(Duration::from_secs(1), RENEW_RETRY_MIN),
        });
        self.send_at = terms.map(|times| from + times.renew);
        self.state = State::Bound(Binding { lease, server, until, is_asking: false });
        self.refused = 0;
    }

    /// The message to send now, and to whom; sets when the next one is due.
    fn next_request(&mut self, now: Instant) -> (Request, Ipv4Addr) {
        if let State::Bound(Binding { is_asking: is_asking @ false, .. }) = &mut self.state {
            *is_asking = true;
            self.begin_to_ask(now);
        }
        self.requested_at = now;
        let elapsed = (now - self.asking_since).secs();
        let mut request = Request {
            kind: DhcpMessageType::Request,
            mac: self.mac,
            xid: self.xid,
            seconds: elapsed.min(u16::MAX.into()) as u16,
            own: None,
            requested: None,
            server: None,
        };
        let mut destination = Ipv4Addr::BROADCAST;
        let random = self.draw();
        let send_at = match &mut self.state {
            State::Selecting { sent } => {
                request.kind = DhcpMessageType::Discover;
                *sent = sent.saturating_add(1);
                Some(now + retry_after(*sent, random))
            }
            State::Requesting { address, server, sent } => {
                (request.requested, request.server) = (Some(*address), Some(*server));
                *sent = sent.saturating_add(1);
                Some(now + retry_after(*sent, random))
            }
            State::Bound(binding) => {
                request.own = Some(binding.lease.address);
                if binding.is_renewing(now) {
                    destination = binding.server;
                }
                binding.until.map(|until| until.next_request_at(now))
            }
        };
        self.send_at = send_at;
        (request, destination)
    }

    /// A transaction of its own.
    fn begin_to_ask(&mut self, now: Instant) {
        self.asking_since = now;
        self.xid = self.draw() as u32;
    }

    fn draw(&mut self) -> u64 {
        self.drawn = self.drawn.wrapping_add(1);
        self.key.hash(&[self.drawn])
    }
}

impl Binding {
    /// Only the server that gave the lease is asked for more of it.
    fn is_renewing(&self, now: Instant) -> bool {
        self.until.is_some_and(|until| now < until.rebind_at)
    }

    /// Whether this server's answer is waited for.
    fn may_hear(&self, now: Instant, server: Ipv4Addr) -> bool {
        self.is_asking && (server == self.server || !self.is_renewing(now))
    }
}

impl Until {
    /// After half of what is left, or what is left if that is little.
    fn next_request_at(&self, now: Instant) -> Instant {
        let end = if now < self.rebind_at { self.rebind_at } else { self.expires_at };
        let half = Duration::from_micros((end - now).total_micros() / 2);
        (now + half.max(self.retry_min)).min(end)
    }
}

/// RFC 2131, 4.1: the wait doubles, give or take a second. But not after the first message: the
/// wire may just be coming up.
fn retry_after(sent: u32, random: u64) -> Duration {
    let jitter_ms = random % 1000;
    match sent {
        0 | 1 => Duration::from_millis(1000 + jitter_ms),
        sent => {
            let seconds = RETRY_MAX_S.min(1 << sent.min(16));
            Duration::from_millis((seconds - 1) * 1000 + 2 * jitter_ms)
        }
    }
}
