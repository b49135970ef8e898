//! A stub resolver for names of hosts (RFC 1035, RFC 3596): it asks servers that ask others, by
//! UDP, and remembers what they said for a while. It does no TCP, so that an answer that a datagram
//! does not hold is an error, no DNSSEC, no search lists, and no local names.
//!
//! An answer is believed if it comes from the server that was asked, to the port that was asked
//! from, with the right id and the name in the same letters (RFC 5452); all three are random, new
//! for each attempt, and there is only one attempt for a name at a time.

use alloc::vec::Vec;
use core::fmt;
use core::net::{IpAddr, SocketAddr};
use core::task::Waker;

use smoltcp::time::{Duration, Instant};

use crate::siphash::HashKey;

mod cache;
mod message;
mod name;

use cache::{Cache, Known};
pub use message::{Addresses, Kind};
use message::{Question, Reply};
use name::Name;

/// The size of the largest message to a server.
pub(crate) const QUERY_BYTES_MAX: usize = message::QUERY_BYTES_MAX;

const SERVERS_MAX: usize = 4;
const QUERIES_MAX: usize = 16;
const ATTEMPTS_MAX: u8 = 3;
const ATTEMPT_TIMEOUT: Duration = Duration::from_secs(2);
const DNS_PORT: u16 = 53;
/// Ports for dynamic use (RFC 6335, 6).
const PORT_FIRST: u16 = 49_152;
const PORT_DRAWS_MAX: usize = 8;
/// A result that nobody has taken for so long gives way to a new query.
const RESULT_KEPT_FOR: Duration = Duration::from_secs(10);

/// A query that goes on, or whose result has not been taken yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct QueryId {
    slot: u32,
    generation: u32,
}

/// The addresses of a name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Answer {
    /// At least one, in the server's order.
    pub addresses: Addresses,
    /// So long they can be believed; an hour at most.
    pub ttl_s: u32,
}

/// Why there is no address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ResolveError {
    /// It has no labels of 1 to 63 letters, or is longer than 253.
    MalformedName,
    /// Sixteen names are being looked up.
    TooManyQueries,
    /// Nobody is known who could be asked.
    NoServers,
    /// The servers know that there is none.
    NoSuchName,
    /// The name exists, but has no address of this kind.
    NoAddress,
    /// No server could or would tell.
    ServerFailed,
    /// The answer has more than a datagram holds.
    Truncated,
    /// No server answered.
    TimedOut,
    /// The result was taken, or nobody took it for long and its place was needed.
    Forgotten,
}

impl fmt::Display for ResolveError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::MalformedName => "the name is not one that a host can have",
            Self::TooManyQueries => "too many names are being looked up already",
            Self::NoServers => "no name server is known",
            Self::NoSuchName => "there is no such name",
            Self::NoAddress => "the name has no such address",
            Self::ServerFailed => "no name server could tell",
            Self::Truncated => "the answer is too long for a datagram",
            Self::TimedOut => "no name server answered",
            Self::Forgotten => "the result is not there any more",
        })
    }
}

impl core::error::Error for ResolveError {}

type Outcome = Result<Answer, ResolveError>;

/// A datagram to port 53.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Outgoing {
    pub(crate) server: IpAddr,
    pub(crate) local_port: u16,
    /// At the beginning of the buffer.
    pub(crate) bytes: usize,
}

pub(crate) struct Resolver {
    servers: Vec<IpAddr>,
    /// The server that answered last; it is asked first.
    preferred: usize,
    slots: Vec<Slot>,
    cache: Cache,
    key: HashKey,
    drawn: u64,
}

struct Slot {
    generation: u32,
    state: State,
    waker: Option<Waker>,
}

enum State {
    Free,
    Asking(Query),
    Done { outcome: Outcome, at: Instant },
}

struct Query {
    name: Name,
    kind: Kind,
    attempts: u8,
    /// The one whose answer is waited for.
    attempt: Option<Attempt>,
    next_at: Instant,
    /// A server said that it cannot tell.
    refused: bool,
    /// The attempt was not made: its server cannot be reached yet.
    unsent: bool,
}

#[derive(Clone, Copy)]
struct Attempt {
    server: IpAddr,
    local_port: u16,
    id: u16,
    upper_case: u64,
}

impl Resolver {
    /// The seed must be secret: ids and ports come from it.
    pub(crate) fn new(seed: u64) -> Self {
        Self {
            servers: Vec::new(),
            preferred: 0,
            slots: Vec::new(),
            cache: Cache::default(),
            key: HashKey::from_seed(seed),
            drawn: 0,
        }
    }

    /// Whom to ask, up to four, the preferred one first. Others may know other names, so what was
    /// remembered is forgotten if they change.
    pub(crate) fn set_servers(&mut self, servers: impl IntoIterator<Item = IpAddr>) {
        let mut new = Vec::new();
        if new.try_reserve_exact(SERVERS_MAX).is_ok() {
            new.extend(servers.into_iter().take(SERVERS_MAX));
        }
        if new != self.servers {
            (self.servers, self.preferred) = (new, 0);
            self.cache.clear();
        }
    }

    /// Begins to look for a name, or an address in its place. The result is for [`Self::result`],
    /// at once if nobody need be asked. Each query must be ended by that or by [`Self::cancel`].
    ///
    /// # Errors
    /// [`ResolveError::MalformedName`], [`ResolveError::NoServers`] or
    /// [`ResolveError::TooManyQueries`].
    pub(crate) fn query(
        &mut self,
        now: Instant,
        name: &str,
        kind: Kind,
    ) -> Result<QueryId, ResolveError> {
        if let Ok(address) = name.parse::<IpAddr>() {
            let mut addresses = Addresses::NONE;
            addresses.push(address);
            let answer = Answer { addresses, ttl_s: cache::TTL_MAX_S };
            let outcome =
                if kind.fits(address) { Ok(answer) } else { Err(ResolveError::NoAddress) };
            return self.insert(now, State::Done { outcome, at: now });
        }
        let name = Name::parse(name).ok_or(ResolveError::MalformedName)?;
        if let Some((known, ttl)) = self.cache.find(now, &name, kind) {
            return self.insert(now, State::Done { outcome: outcome_of(known, ttl), at: now });
        }
        if self.servers.is_empty() {
            return Err(ResolveError::NoServers);
        }
        self.insert(
            now,
            State::Asking(Query {
                name,
                kind,
                attempts: 0,
                attempt: None,
                next_at: now,
                refused: false,
                unsent: false,
            }),
        )
    }

    /// The result, once: afterwards the id means nothing any more. `None` while it is looked for.
    pub(crate) fn result(&mut self, id: QueryId) -> Option<Outcome> {
        let Some(slot) = self.slot_mut(id) else { return Some(Err(ResolveError::Forgotten)) };
        let State::Done { outcome, .. } = slot.state else { return None };
        slot.free();
        Some(outcome)
    }

    /// Ends a query. Nobody wants its result.
    pub(crate) fn cancel(&mut self, id: QueryId) {
        if let Some(slot) = self.slot_mut(id) {
            slot.free();
        }
    }

    /// Wakes once when there is a result.
    pub(crate) fn register_waker(&mut self, id: QueryId, waker: &Waker) {
        match self.slot_mut(id) {
            Some(slot) if matches!(slot.state, State::Asking(_)) => {
                slot.waker = Some(waker.clone())
            }
            _ => waker.wake_by_ref(),
        }
    }

    /// The next datagram to send, one at a time until there is none. It is written into the buffer,
    /// of at least [`QUERY_BYTES_MAX`]; in a smaller one it is lost. Ports that somebody else uses
    /// are not taken; if there are only those, the attempt is lost.
    pub(crate) fn poll(
        &mut self,
        now: Instant,
        buffer: &mut [u8],
        is_free: impl Fn(u16) -> bool,
    ) -> Option<Outgoing> {
        for index in 0..self.slots.len() {
            let State::Asking(query) = &self.slots[index].state else { continue };
            if now < query.next_at || self.is_led(query) {
                continue;
            }
            if query.attempts == ATTEMPTS_MAX {
                let error = match query.refused {
                    true => ResolveError::ServerFailed,
                    false => ResolveError::TimedOut,
                };
                let (name, kind) = (query.name.clone(), query.kind);
                self.finish(now, &name, kind, Err(error));
                continue;
            }
            let before = query.attempts;
            let attempt = self.draw_attempt(before, &is_free);
            let State::Asking(query) = &mut self.slots[index].state else { continue };
            query.attempts += 1;
            query.next_at = now + ATTEMPT_TIMEOUT;
            query.attempt = attempt;
            if let Some(attempt) = attempt
                && let Some(bytes) = query.question(&attempt).write(buffer)
            {
                let Attempt { server, local_port, .. } = attempt;
                return Some(Outgoing { server, local_port, bytes });
            }
        }
        None
    }

    /// A datagram of [`Self::poll`] could not be sent yet: it does not count.
    pub(crate) fn note_unsent(&mut self, outgoing: &Outgoing) {
        let is_it = |attempt: Attempt| {
            attempt.local_port == outgoing.local_port && attempt.server == outgoing.server
        };
        for slot in &mut self.slots {
            if let State::Asking(query) = &mut slot.state
                && query.attempt.is_some_and(is_it)
            {
                query.attempt = None;
                query.attempts = query.attempts.saturating_sub(1);
                query.unsent = true;
            }
        }
    }

    /// What could not be sent is due again.
    pub(crate) fn retry_unsent(&mut self, now: Instant) {
        for slot in &mut self.slots {
            if let State::Asking(query) = &mut slot.state
                && core::mem::take(&mut query.unsent)
            {
                query.next_at = now;
            }
        }
    }

    /// When [`Self::poll`] has something next.
    pub(crate) fn deadline(&self) -> Option<Instant> {
        let asking = self.asking().filter(|query| !self.is_led(query));
        asking.map(|query| query.next_at).min()
    }

    /// Whether datagrams to this port are for the resolver.
    pub(crate) fn expects(&self, local_port: u16) -> bool {
        let mut attempts = self.asking().filter_map(|query| query.attempt);
        attempts.any(|attempt| attempt.local_port == local_port)
    }

    /// Takes the payload of a datagram. Returns whether it was an answer that was waited for; all
    /// others change nothing.
    pub(crate) fn receive(
        &mut self,
        now: Instant,
        from: SocketAddr,
        local_port: u16,
        message: &[u8],
    ) -> bool {
        let mut replies = self.slots.iter_mut().filter_map(|slot| {
            let State::Asking(query) = &mut slot.state else { return None };
            let attempt = query.attempt.filter(|attempt| {
                attempt.server == from.ip() && attempt.local_port == local_port
            })?;
            let reply = query.question(&attempt).read_reply(message)?;
            Some((query, reply))
        });
        let Some((query, reply)) = replies.next().filter(|_| from.port() == DNS_PORT) else {
            return false;
        };
        if reply == Reply::ServerFailed {
            // Another one may know better, or the same one next time.
            (query.attempt, query.next_at, query.refused) = (None, now, true);
            return true;
        }
        let (name, kind) = (query.name.clone(), query.kind);
        self.preferred = self.servers.iter().position(|it| *it == from.ip()).unwrap_or(0);
        let (known, ttl) = match reply {
            Reply::Found { addresses, ttl } => (Known::Addresses(addresses), ttl),
            Reply::NoSuchName { ttl } => (Known::NoSuchName, ttl),
            Reply::NoAddress { ttl } => (Known::NoAddress, ttl),
            Reply::Truncated => {
                self.finish(now, &name, kind, Err(ResolveError::Truncated));
                return true;
            }
            Reply::ServerFailed => return true,
        };
        self.cache.insert(now, &name, kind, known, ttl);
        self.finish(now, &name, kind, outcome_of(known, ttl));
        true
    }

    fn insert(&mut self, now: Instant, state: State) -> Result<QueryId, ResolveError> {
        let is_old = |at: Instant| at + RESULT_KEPT_FOR <= now;
        let place = self.slots.iter().position(|slot| match slot.state {
            State::Free => true,
            State::Done { at, .. } => is_old(at),
            State::Asking(_) => false,
        });
        let place = match place {
            Some(place) => place,
            None if self.slots.len() < QUERIES_MAX && self.slots.try_reserve(1).is_ok() => {
                self.slots.push(Slot { generation: 0, state: State::Free, waker: None });
                self.slots.len() - 1
            }
            None => return Err(ResolveError::TooManyQueries),
        };
        let slot = &mut self.slots[place];
        slot.free();
        slot.state = state;
        Ok(QueryId { slot: place as u32, generation: slot.generation })
    }

    /// Ends all queries for a name.
    fn finish(&mut self, now: Instant, name: &Name, kind: Kind, outcome: Outcome) {
        for slot in &mut self.slots {
            if let State::Asking(query) = &slot.state
                && query.kind == kind
                && query.name == *name
            {
                slot.state = State::Done { outcome, at: now };
                if let Some(waker) = slot.waker.take() {
                    waker.wake();
                }
            }
        }
    }

    /// Whether another query asks the same already: more than one at a time would make it easier
    /// to guess an answer (RFC 5452, 5).
    fn is_led(&self, query: &Query) -> bool {
        let mut leaders = self.asking().filter(|other| other.attempts > 0);
        query.attempts == 0
            && leaders.any(|other| other.kind == query.kind && other.name == query.name)
    }

    fn asking(&self) -> impl Iterator<Item = &Query> {
        self.slots.iter().filter_map(|slot| match &slot.state {
            State::Asking(query) => Some(query),
            State::Free | State::Done { .. } => None,
        })
    }

    fn slot_mut(&mut self, id: QueryId) -> Option<&mut Slot> {
        let slot = self.slots.get_mut(id.slot as usize)?;
        Some(slot).filter(|it| it.generation == id.generation && !matches!(it.state, State::Free))
    }

    /// `None` without a server or a free port.
    fn draw_attempt(&mut self, before: u8, is_free: impl Fn(u16) -> bool) -> Option<Attempt> {
        let turn = self.preferred + usize::from(before);
        let server = *self.servers.get(turn.checked_rem(self.servers.len())?)?;
        let mut draws = (0..PORT_DRAWS_MAX).map(|_| self.draw());
        let (id, local_port) = draws.find_map(|random| {
            // The last 14 bits, so that the port is one for dynamic use.
            let port = PORT_FIRST | random as u16;
            is_free(port).then_some(((random >> 16) as u16, port))
        })?;
        // Some servers do not keep the letters as they are. They get a last chance.
        let upper_case = if before + 1 < ATTEMPTS_MAX { self.draw() } else { 0 };
        Some(Attempt { server, local_port, id, upper_case })
    }

    fn draw(&mut self) -> u64 {
        self.drawn = self.drawn.wrapping_add(1);
        self.key.hash(&[self.drawn])
    }
}

impl Slot {
    fn free(&mut self) {
        self.generation = self.generation.wrapping_add(1);
        (self.state, self.waker) = (State::Free, None);
    }
}

impl Query {
    fn question(&self, attempt: &Attempt) -> Question<'_> {
        let Attempt { id, upper_case, .. } = *attempt;
        Question { id, name: &self.name, kind: self.kind, upper_case }
    }
}

fn outcome_of(known: Known, ttl: u32) -> Outcome {
    match known {
        Known::Addresses(addresses) => Ok(Answer { addresses, ttl_s: ttl.min(cache::TTL_MAX_S) }),
        Known::NoSuchName => Err(ResolveError::NoSuchName),
        Known::NoAddress => Err(ResolveError::NoAddress),
    }
}

#[cfg(test)]
mod tests;
