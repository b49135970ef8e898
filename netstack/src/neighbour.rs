//! The Ethernet addresses of the hosts on the wire, for ARP (RFC 826) and for neighbour discovery
//! with its unreachability detection (RFC 4861, 7.2 and 7.3), which ARP gets as well. It writes no
//! packets: it says what to ask ([`Lookup::Ask`], [`Due`]), and is told what came.
//!
//! Everybody on the wire can claim anything, and this table is small. So an address enters it only
//! if the stack asked for it, or with a request for one of the stack's own addresses, of which few
//! a second teach anything ([`LEARNED_PER_PERIOD`]). A request never takes the place of an entry
//! that was used lately, and questions without an answer have a share of the table of their own:
//! neither a flood of requests nor one of packets with invented senders can push out the router of
//! a connection that is in use. Nor can it hide the stack: requests beyond that rate are answered
//! without learning from them, up to a far higher rate ([`Neighbours::may_answer`]).

use alloc::vec::Vec;
use core::net::IpAddr;

use hashbrown::HashTable;
use smoltcp::time::{Duration, Instant};

use crate::siphash::HashKey;
use crate::wire::ip::{is_host, is_unicast};

pub(crate) const NEIGHBOURS_DEFAULT: usize = 256;
const NEIGHBOURS_MIN: usize = 4;
const NEIGHBOURS_MAX: usize = 1 << 16;

/// Names as in RFC 4861, 10.
const RETRANS_TIMER: Duration = Duration::from_secs(1);
const MAX_SOLICIT: u8 = 3;
const REACHABLE_TIME: Duration = Duration::from_secs(30);
const DELAY_FIRST_PROBE_TIME: Duration = Duration::from_secs(5);
/// How long nobody asks again for a host that did not answer.
const FAILED_FOR: Duration = Duration::from_secs(3);
/// An entry that was looked up this lately is not given up for a stranger's request.
const IN_USE_FOR: Duration = Duration::from_secs(60);

const PERIOD: Duration = Duration::from_secs(1);
const LEARNED_PER_PERIOD: u32 = 16;
const ANSWERED_PER_PERIOD: u32 = 1024;

/// What is known of a neighbour.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Lookup {
    /// Send it there.
    Found([u8; 6]),
    /// Nothing yet: send a request to everybody (ARP) or to the solicited-node group, then wait.
    Ask,
    /// It was asked for; [`Neighbours::learn`] or [`Neighbours::due`] will tell, within four seconds
    /// unless too many other questions took its place: then look it up again.
    Wait,
    /// It did not answer a moment ago, or there is no memory to wait for it.
    Failed,
}

/// How an address came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// An ARP reply (which overrides), or a neighbour advertisement with the solicited flag.
    /// Whether it was in fact asked for is checked.
    Answer { overrides: bool },
    /// An ARP packet that is not about us (which overrides), or a neighbour advertisement without
    /// the solicited flag. Only changes what is known.
    Unasked { overrides: bool },
    /// The sender of an ARP request, neighbour solicitation or router advertisement for us.
    Request,
}

/// What time has brought.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Due {
    /// Ask again: this Ethernet address, or everybody.
    Request { target: IpAddr, mac: Option<[u8; 6]> },
    /// It does not answer. Whoever waits for it does so in vain.
    Unresolved(IpAddr),
    /// It was known, but does not answer any more, and is forgotten: if it is a router, try another.
    Unreachable(IpAddr),
}

pub(crate) struct Neighbours {
    entries: Vec<Entry>,
    by_address: HashTable<u32>,
    key: HashKey,
    /// Entries with a known Ethernet address; the others wait for theirs or have failed.
    resolved: usize,
    resolved_max: usize,
    unresolved_max: usize,
    /// No deadline is earlier.
    wake_at: Option<Instant>,
    scan_from: usize,
    learning: Budget,
    answering: Budget,
}

#[derive(Clone, Copy)]
struct Entry {
    address: IpAddr,
    /// Means nothing until the address is resolved.
    mac: [u8; 6],
    state: State,
    /// When the state ends.
    until: Instant,
    /// The last look-up; `None` if it came with a request and was never used.
    used_at: Option<Instant>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Incomplete { asked: u8 },
    Failed,
    Reachable,
    Stale,
    Delay,
    Probe { asked: u8 },
}

impl Neighbours {
    /// Room for so many neighbours, within 4 and 65,536. A quarter of it is for questions.
    pub(crate) fn new(limit: usize, key: HashKey, now: Instant) -> Self {
        let limit = limit.clamp(NEIGHBOURS_MIN, NEIGHBOURS_MAX);
        Self {
            entries: Vec::new(),
            by_address: HashTable::new(),
            key,
            resolved: 0,
            resolved_max: limit - limit / 4,
            unresolved_max: limit / 4,
            wake_at: None,
            scan_from: 0,
            learning: Budget::new(LEARNED_PER_PERIOD, now),
            answering: Budget::new(ANSWERED_PER_PERIOD, now),
        }
    }

    /// Where a packet for this neighbour goes. The caller has chosen it by its routes: it is on the
    /// wire, and no group.
    pub(crate) fn lookup(&mut self, now: Instant, address: IpAddr) -> Lookup {
        let Some(slot) = self.find(address) else { return self.ask(now, address) };
        let entry = &mut self.entries[slot];
        entry.used_at = Some(now);
        match entry.state {
            State::Incomplete { .. } => return Lookup::Wait,
            State::Failed if !entry.failed_long_ago(now) => return Lookup::Failed,
            State::Failed => {
                entry.enter(State::Incomplete { asked: 1 }, now + RETRANS_TIMER);
                let until = entry.until;
                self.note_deadline(until);
                return Lookup::Ask;
            }
            State::Reachable if now < entry.until => {}
            State::Reachable | State::Stale => {
                entry.enter(State::Delay, now + DELAY_FIRST_PROBE_TIME);
                let (until, mac) = (entry.until, entry.mac);
                self.note_deadline(until);
                return Lookup::Found(mac);
            }
            State::Delay | State::Probe { .. } => {}
        }
        Lookup::Found(entry.mac)
    }

    /// Takes what a packet says: `mac` is `None` for an advertisement without its target's
    /// Ethernet address. Returns whether the neighbour's Ethernet address is known now, so that
    /// those who wait for it can go on.
    pub(crate) fn learn(
        &mut self,
        now: Instant,
        address: IpAddr,
        mac: Option<[u8; 6]>,
        kind: Kind,
    ) -> bool {
        if !is_host(address) || mac.is_some_and(|mac| !is_unicast(mac)) {
            return false;
        }
        let mut slot = self.find(address);
        if let Some(failed) = slot.filter(|slot| self.entries[*slot].failed_long_ago(now)) {
            // The question is closed: whoever speaks now was not asked.
            self.remove(failed);
            slot = None;
        }
        match (slot, mac) {
            (Some(slot), mac) if self.entries[slot].is_resolved() => {
                self.entries[slot].update(now, mac, kind);
                true
            }
            (Some(_), Some(mac)) => self.resolve(now, address, mac, kind),
            (None, Some(mac)) => kind == Kind::Request && self.learn_stranger(now, address, mac),
            (_, None) => false,
        }
    }

    /// A layer above has heard from this neighbour what only an answer to our packets can be
    /// (RFC 4861, 7.3.1): it is reachable.
    pub(crate) fn confirm(&mut self, now: Instant, address: IpAddr) {
        if let Some(slot) = self.find(address)
            && self.entries[slot].is_resolved()
        {
            self.entries[slot].enter(State::Reachable, now + REACHABLE_TIME);
        }
    }

    /// Whether one more request for the stack's own addresses may be answered.
    pub(crate) fn may_answer(&mut self, now: Instant) -> bool {
        self.answering.spend(now)
    }

    /// The next thing to do, one at a time until there is none.
    pub(crate) fn due(&mut self, now: Instant) -> Option<Due> {
        while self.wake_at.is_some_and(|at| at <= now) {
            while let Some(entry) = self.entries.get_mut(self.scan_from) {
                let due = entry.advance(now);
                match due {
                    Some(Due::Unreachable(_)) => self.remove(self.scan_from),
                    _ => self.scan_from += 1,
                }
                if due.is_some() {
                    return due;
                }
            }
            self.find_deadline();
        }
        None
    }

    /// When [`Self::due`] may have something next.
    pub(crate) fn next_deadline(&self) -> Option<Instant> {
        self.wake_at
    }

    fn ask(&mut self, now: Instant, address: IpAddr) -> Lookup {
        if self.entries.len() - self.resolved >= self.unresolved_max {
            let oldest = self.slots(false).min_by_key(|(_, entry)| {
                // A failed question has had its time.
                (entry.state != State::Failed, entry.used_at)
            });
            if let Some((slot, _)) = oldest {
                self.remove(slot);
            }
        }
        let entry = Entry {
            address,
            mac: [0; 6],
            state: State::Incomplete { asked: 1 },
            until: now + RETRANS_TIMER,
            used_at: Some(now),
        };
        if !self.insert(entry) {
            return Lookup::Failed;
        }
        self.note_deadline(entry.until);
        Lookup::Ask
    }

    /// Somebody whom the stack asked for, perhaps too long ago, is known now.
    fn resolve(&mut self, now: Instant, address: IpAddr, mac: [u8; 6], kind: Kind) -> bool {
        self.make_room(None);
        let Some(slot) = self.find(address) else { return false };
        let entry = &mut self.entries[slot];
        entry.mac = mac;
        match kind {
            Kind::Answer { .. } => entry.enter(State::Reachable, now + REACHABLE_TIME),
            Kind::Unasked { .. } | Kind::Request => entry.enter(State::Stale, now),
        }
        self.resolved += 1;
        // Most often it was the only question, and nobody need wake for it.
        self.find_deadline();
        true
    }

    fn learn_stranger(&mut self, now: Instant, address: IpAddr, mac: [u8; 6]) -> bool {
        let entry = Entry { address, mac, state: State::Stale, until: now, used_at: None };
        self.learning.spend(now) && self.make_room(Some(now)) && self.insert(entry)
    }

    /// Makes room for a resolved entry. At the time given, entries in use stay.
    fn make_room(&mut self, sparing_at: Option<Instant>) -> bool {
        if self.resolved < self.resolved_max {
            return true;
        }
        let oldest = self.slots(true).min_by_key(|(_, entry)| entry.used_at);
        let Some((slot, entry)) = oldest else { return false };
        if let (Some(now), Some(used_at)) = (sparing_at, entry.used_at)
            && now < used_at + IN_USE_FOR
        {
            return false;
        }
        self.remove(slot);
        true
    }

    fn slots(&self, resolved: bool) -> impl Iterator<Item = (usize, &Entry)> {
        let slots = self.entries.iter().enumerate();
        slots.filter(move |(_, entry)| entry.is_resolved() == resolved)
    }

    fn find(&self, address: IpAddr) -> Option<usize> {
        let is_it = |slot: &u32| self.entries[*slot as usize].address == address;
        self.by_address.find(hash_of(&self.key, address), is_it).map(|slot| *slot as usize)
    }

    /// Without memory, nothing changes.
    fn insert(&mut self, entry: Entry) -> bool {
        let Self { entries, by_address, key, .. } = self;
        let rehash = |slot: &u32| hash_of(key, entries[*slot as usize].address);
        if by_address.try_reserve(1, rehash).is_err() || entries.try_reserve(1).is_err() {
            return false;
        }
        let slot = entries.len() as u32;
        entries.push(entry);
        let rehash = |slot: &u32| hash_of(key, entries[*slot as usize].address);
        by_address.insert_unique(hash_of(key, entry.address), slot, rehash);
        self.resolved += usize::from(entry.is_resolved());
        true
    }

    /// The last entry takes its place.
    fn remove(&mut self, slot: usize) {
        let hash = hash_of(&self.key, self.entries[slot].address);
        if let Ok(place) = self.by_address.find_entry(hash, |it| *it as usize == slot) {
            place.remove();
        }
        let removed = self.entries.swap_remove(slot);
        self.resolved -= usize::from(removed.is_resolved());
        if let Some(moved) = self.entries.get(slot) {
            let (hash, from) = (hash_of(&self.key, moved.address), self.entries.len());
            if let Some(place) = self.by_address.find_mut(hash, |it| *it as usize == from) {
                *place = slot as u32;
            }
        }
    }

    fn find_deadline(&mut self) {
        self.scan_from = 0;
        self.wake_at = self.entries.iter().filter_map(Entry::deadline).min();
    }

    fn note_deadline(&mut self, at: Instant) {
        self.wake_at = Some(self.wake_at.map_or(at, |wake_at| wake_at.min(at)));
    }
}

impl Entry {
    fn is_resolved(&self) -> bool {
        !matches!(self.state, State::Incomplete { .. } | State::Failed)
    }

    fn failed_long_ago(&self, now: Instant) -> bool {
        self.state == State::Failed && self.until <= now
    }

    /// When something is to be done by itself; other states end when they are looked at.
    fn deadline(&self) -> Option<Instant> {
        match self.state {
            State::Incomplete { .. } | State::Delay | State::Probe { .. } => Some(self.until),
            State::Failed | State::Reachable | State::Stale => None,
        }
    }

    fn enter(&mut self, state: State, until: Instant) {
        (self.state, self.until) = (state, until);
    }

    /// RFC 4861, 7.2.3 and 7.2.5, for an entry whose Ethernet address is known.
    fn update(&mut self, now: Instant, mac: Option<[u8; 6]>, kind: Kind) {
        let overrides = match kind {
            Kind::Answer { overrides } | Kind::Unasked { overrides } => overrides,
            Kind::Request => true,
        };
        let changed = mac.filter(|mac| *mac != self.mac);
        if changed.is_some() && !overrides {
            if self.state == State::Reachable {
                self.enter(State::Stale, now);
            }
            return;
        }
        self.mac = changed.unwrap_or(self.mac);
        // Only who was asked can prove by an answer that packets reach it.
        let proves = matches!((kind, self.state), (Kind::Answer { .. }, State::Probe { .. }));
        if proves {
            self.enter(State::Reachable, now + REACHABLE_TIME);
        } else if changed.is_some() {
            self.enter(State::Stale, now);
        }
    }

    fn advance(&mut self, now: Instant) -> Option<Due> {
        if self.deadline().is_none_or(|at| now < at) {
            return None;
        }
        let target = self.address;
        match self.state {
            State::Incomplete { asked } if asked < MAX_SOLICIT => {
                self.enter(State::Incomplete { asked: asked + 1 }, now + RETRANS_TIMER);
                Some(Due::Request { target, mac: None })
            }
            State::Incomplete { .. } => {
                self.enter(State::Failed, now + FAILED_FOR);
                Some(Due::Unresolved(target))
            }
            State::Delay => {
                self.enter(State::Probe { asked: 1 }, now + RETRANS_TIMER);
                Some(Due::Request { target, mac: Some(self.mac) })
            }
            State::Probe { asked } if asked < MAX_SOLICIT => {
                self.enter(State::Probe { asked: asked + 1 }, now + RETRANS_TIMER);
                Some(Due::Request { target, mac: Some(self.mac) })
            }
            State::Probe { .. } => Some(Due::Unreachable(target)),
            State::Failed | State::Reachable | State::Stale => None,
        }
    }
}

/// So many in each period.
struct Budget {
    per_period: u32,
    left: u32,
    period_ends_at: Instant,
}

impl Budget {
    fn new(per_period: u32, now: Instant) -> Self {
        Self { per_period, left: per_period, period_ends_at: now + PERIOD }
    }

    fn spend(&mut self, now: Instant) -> bool {
        if now >= self.period_ends_at {
            self.left = self.per_period;
            self.period_ends_at = now + PERIOD;
        }
        let is_left = self.left > 0;
        self.left = self.left.saturating_sub(1);
        is_left
    }
}

/// Keyed, so that nobody can choose addresses that collide.
fn hash_of(key: &HashKey, address: IpAddr) -> u64 {
    match address {
        IpAddr::V4(address) => key.hash(&[address.to_bits().into()]),
        IpAddr::V6(address) => {
            let bits = address.to_bits();
            key.hash(&[(bits >> 64) as u64, bits as u64])
        }
    }
}

#[cfg(test)]
mod tests;
