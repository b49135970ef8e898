//! All splices: whose turn it is, and what becomes of one that is over. How connections begin is in
//! `tcp_in` and `tcp_out`, what one does in its turn in `splice`.

use std::collections::{BTreeSet, HashMap, VecDeque};
use std::net::TcpStream;

use netstack::{ConnectionId, Instant, Stack};

use crate::address::DestinationPolicy;
use crate::counters::Counters;
use crate::host;
use crate::poller::{Poller, Readiness, Source};
use crate::slab::{Key, Slab};
use crate::splice::{Ending, Splice, Stage, Turn};
use crate::tcp_in::Listeners;

/// What the splices work with, for the time of one call.
pub(crate) struct Context<'a> {
    pub(crate) now: Instant,
    pub(crate) stack: &'a mut Stack,
    pub(crate) poller: &'a Poller,
    pub(crate) counters: &'a mut Counters,
}

pub(crate) struct Tcp {
    pub(crate) splices: Slab<Splice>,
    pub(crate) listeners: Listeners,
    pub(crate) destinations: DestinationPolicy,
    /// Clients that wait for a guest which is still starting, and when each is tried again.
    pub(crate) held: BTreeSet<(Instant, Key)>,
    by_connection: HashMap<ConnectionId, Key>,
    ready: VecDeque<Key>,
}

impl Tcp {
    pub(crate) fn new(
        listeners: Listeners,
        destinations: DestinationPolicy,
        connections_max: usize,
    ) -> Self {
        Self {
            splices: Slab::new(connections_max),
            listeners,
            destinations,
            held: BTreeSet::new(),
            by_connection: HashMap::new(),
            ready: VecDeque::new(),
        }
    }

    /// Whether there is room for one more connection. The stack may hold some that are over for
    /// the host, as the guest has not taken all of them yet.
    pub(crate) fn has_room(&self, stack: &Stack) -> bool {
        !self.splices.is_full() && stack.counters().connections < stack.limits().connections
    }

    /// A host socket can do something.
    pub(crate) fn note(&mut self, key: Key, readiness: Readiness) {
        if let Some(splice) = self.splices.get_mut(key) {
            splice.note(readiness);
            self.enqueue(key);
        }
    }

    /// Gives everyone who has something to do one turn.
    pub(crate) fn run(&mut self, cx: &mut Context<'_>) {
        self.retry_held(cx);
        self.note_touched(cx.stack);
        for _ in 0..self.ready.len() {
            if let Some(key) = self.ready.pop_front() {
                self.give_turn(cx, key);
            }
        }
    }

    /// Whatever the guest, or time, has done to the stack's connections.
    pub(crate) fn note_touched(&mut self, stack: &mut Stack) {
        while let Some(connection) = stack.next_touched() {
            if let Some(&key) = self.by_connection.get(&connection) {
                self.enqueue(key);
            }
        }
    }

    pub(crate) fn has_work(&self) -> bool {
        !self.ready.is_empty()
    }

    /// When a held client is tried again.
    pub(crate) fn deadline(&self) -> Option<Instant> {
        self.held.first().map(|(at, _)| *at)
    }

    /// Whether data of the guest is still on its way to the host's network.
    pub(crate) fn holds_data(&self, stack: &Stack) -> bool {
        self.splices.iter().any(|(_, splice)| splice.holds_data(stack))
    }

    /// Checks for the fuzzer that no table holds more than it may. Keys of splices that are over
    /// leave the queues only when their turn comes.
    ///
    /// # Panics
    /// If one does.
    pub(crate) fn check(&self, connections_max: usize) {
        assert!(self.splices.len() <= connections_max);
        assert!(self.by_connection.len() <= self.splices.len());
        assert!(self.ready.len() <= 2 * connections_max);
        assert!(self.held.len() <= 2 * connections_max);
    }

    /// Resets whatever the guest has not finished: it is gone.
    pub(crate) fn close(mut self) {
        let keys: Vec<Key> = self.splices.iter().map(|(key, _)| key).collect();
        for key in keys {
            if let Some(splice) = self.splices.remove(key)
                && !splice.is_guest_finished()
            {
                host::reset(splice.host);
            }
        }
    }

    /// Takes a new splice in, or closes it if there is no room.
    pub(crate) fn insert(&mut self, cx: &Context<'_>, splice: Splice) -> Option<Key> {
        let connection = splice.connection;
        let key = self.splices.insert(splice).ok()?;
        let host = &self.splices.get_mut(key)?.host;
        if cx.poller.watch_stream(host, Source::Tcp(key)).is_err() {
            self.splices.remove(key);
            return None;
        }
        if let Some(connection) = connection {
            self.by_connection.insert(connection, key);
        }
        Some(key)
    }

    /// Gives a splice its side of the stack.
    pub(crate) fn join(&mut self, key: Key, connection: ConnectionId) {
        self.by_connection.insert(connection, key);
        if let Some(splice) = self.splices.get_mut(key) {
            splice.connection = Some(connection);
        }
    }

    /// The connection is no splice's any more.
    pub(crate) fn forget(&mut self, connection: ConnectionId) {
        self.by_connection.remove(&connection);
    }

    pub(crate) fn enqueue(&mut self, key: Key) {
        if let Some(splice) = self.splices.get_mut(key)
            && !splice.queued
        {
            splice.queued = true;
            self.ready.push_back(key);
        }
    }

    fn give_turn(&mut self, cx: &mut Context<'_>, key: Key) {
        let Some(splice) = self.splices.get_mut(key) else {
            return;
        };
        splice.queued = false;
        let turn = splice.advance(cx.stack);
        if splice.stage == Stage::Open
            && let Some(client) = &mut splice.client
        {
            self.listeners.leave_door(client);
        }
        match turn {
            Turn::Wait => {}
            Turn::Again => self.enqueue(key),
            Turn::Connected => self.accept_offer(cx, key),
            Turn::Refused => self.hold_refused(cx, key),
            Turn::Over(ending) => self.end(cx, key, ending),
        }
    }

    pub(crate) fn end(&mut self, cx: &mut Context<'_>, key: Key, ending: Ending) {
        let Some(mut splice) = self.splices.remove(key) else {
            return;
        };
        if let Some(client) = &mut splice.client {
            self.listeners.leave_door(client);
        }
        if let Some(connection) = splice.connection {
            self.by_connection.remove(&connection);
            match ending {
                // What is queued for the guest still goes there, and so does the end.
                Ending::Finished | Ending::GuestGone => cx.stack.release(connection),
                Ending::HostGone => cx.stack.abort(connection),
            }
        }
        self.count_end(cx, &splice, ending);
        match ending {
            Ending::Finished => drop(splice),
            Ending::GuestGone | Ending::HostGone => host::reset(splice.host),
        }
    }

    fn count_end(&self, cx: &mut Context<'_>, splice: &Splice, ending: Ending) {
        let was_connecting = splice.stage == Stage::Connecting;
        cx.counters.connections_refused += u64::from(was_connecting && ending == Ending::HostGone);
    }
}

/// The guest's segments are passed on as they come, so they must not wait in the host for each other.
pub(crate) fn send_at_once(stream: &TcpStream) {
    // It fails for a connection that is reset already.
    let _ = stream.set_nodelay(true);
}
