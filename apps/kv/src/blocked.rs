//! Clients that wait for a key: who they are, in which order, and how each gets its reply.
//!
//! What they wait for is taken and written elsewhere, by the commands. All here takes logarithmic time in the
//! clients that wait, so that neither the last of many nor one with many keys costs the others anything.

use alloc::boxed::Box;
use alloc::collections::BTreeMap;
use alloc::rc::Rc;
use alloc::vec::Vec;
use core::cell::{Cell, RefCell};
use core::task::{Context, Poll, Waker};
use core::time::Duration;

use crate::reply::{Protocol, Reply};
use crate::types::End;

/// A type of values that can be waited for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// A list.
    List,
    /// A sorted set.
    SortedSet,
}

/// What a client waits for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Wanted {
    /// An element of a list.
    Element(End),
    /// Up to so many elements of a list.
    Elements(End, usize),
    /// An element of a list, for another list.
    Move {
        /// Where it is taken.
        from: End,
        /// Where it is put.
        to: End,
        /// The key of the other list.
        destination: Box<[u8]>,
    },
    /// A member of a sorted set.
    Member(End),
    /// Up to so many members of a sorted set.
    Members(End, usize),
}

impl Wanted {
    /// The type of values that it is found in.
    pub const fn kind(&self) -> Kind {
        match self {
            Self::Element(_) | Self::Elements(..) | Self::Move { .. } => Kind::List,
            Self::Member(_) | Self::Members(..) => Kind::SortedSet,
        }
    }
}

/// A client that waits. Its command has given it here, and its connection looks at
/// [`poll`](Self::poll).
#[derive(Debug)]
pub struct Waiter {
    /// The client's number.
    pub client: u64,
    /// The database of the keys.
    pub database: usize,
    /// The keys, any of which will do.
    pub keys: Vec<Rc<[u8]>>,
    /// What is wanted of them.
    pub wanted: Wanted,
    /// How long it waits; for ever if there is none.
    pub timeout: Option<Duration>,
    /// How the reply is written.
    pub protocol: Protocol,
    /// Its place in the order of all who ever waited.
    ticket: Cell<u64>,
    outcome: RefCell<Option<Vec<u8>>>,
    waker: RefCell<Option<Waker>>,
}

impl Waiter {
    /// A client that is to wait for ever for something in database 0; see [`Blocked::add`].
    pub const fn new(client: u64, keys: Vec<Rc<[u8]>>, wanted: Wanted) -> Self {
        Self {
            client,
            database: 0,
            keys,
            wanted,
            timeout: None,
            protocol: Protocol::Resp2,
            ticket: Cell::new(0),
            outcome: RefCell::new(None),
            waker: RefCell::new(None),
        }
    }

    /// The reply, once there is one.
    pub fn poll(&self, context: &mut Context<'_>) -> Poll<Vec<u8>> {
        match self.outcome.take() {
            Some(reply) => Poll::Ready(reply),
            None => {
                self.waker.replace(Some(context.waker().clone()));
                Poll::Pending
            }
        }
    }

    /// The reply when its time is over.
    pub fn reply_of_timeout(&self) -> Vec<u8> {
        let mut reply = Reply::new(self.protocol);
        reply.null_array();
        reply.into_bytes()
    }

    /// Gives it its reply. It must have been [removed](Blocked::remove) from those who wait.
    pub fn answer(&self, reply: Vec<u8>) {
        self.outcome.replace(Some(reply));
        if let Some(waker) = self.waker.take() {
            waker.wake();
        }
    }
}

/// Those who wait for the same, by ticket.
type Queue = BTreeMap<u64, Rc<Waiter>>;

/// Those who wait for something of one type in one database, by key.
type Queues = BTreeMap<Rc<[u8]>, Queue>;

/// All who wait.
#[derive(Debug, Default)]
pub struct Blocked {
    queues: BTreeMap<(usize, Kind), Queues>,
    by_client: BTreeMap<u64, Rc<Waiter>>,
    tickets: u64,
}

impl Blocked {
    /// Whether nobody does.
    pub fn is_empty(&self) -> bool {
        self.by_client.is_empty()
    }

    /// How many do.
    pub fn len(&self) -> usize {
        self.by_client.len()
    }

    /// Lets somebody wait, behind all others. A client waits once at a time.
    pub fn add(&mut self, waiter: &Rc<Waiter>) {
        self.tickets += 1;
        waiter.ticket.set(self.tickets);
        let queues = self.queues.entry((waiter.database, waiter.wanted.kind())).or_default();
        for key in &waiter.keys {
            let queue = queues.entry(Rc::clone(key)).or_default();
            queue.insert(self.tickets, Rc::clone(waiter));
        }
        self.by_client.insert(waiter.client, Rc::clone(waiter));
    }

    /// Forgets somebody, whether it waits or not.
    pub fn remove(&mut self, waiter: &Rc<Waiter>) {
        if !self.by_client.get(&waiter.client).is_some_and(|other| Rc::ptr_eq(other, waiter)) {
            return;
        }
        self.by_client.remove(&waiter.client);
        let place = (waiter.database, waiter.wanted.kind());
        let Some(queues) = self.queues.get_mut(&place) else { return };
        for key in &waiter.keys {
            if let Some(queue) = queues.get_mut(key) {
                queue.remove(&waiter.ticket.get());
                if queue.is_empty() {
                    queues.remove(key);
                }
            }
        }
        if queues.is_empty() {
            self.queues.remove(&place);
        }
    }

    /// Who has waited longest for a key of a type.
    pub fn first(&self, database: usize, kind: Kind, key: &[u8]) -> Option<&Rc<Waiter>> {
        let queue = self.queues.get(&(database, kind))?.get(key)?;
        queue.first_key_value().map(|(_, waiter)| waiter)
    }

    /// All keys that somebody waits for, with their databases. Some may be there twice.
    pub fn keys(&self) -> impl Iterator<Item = (usize, &[u8])> {
        let places = self.queues.iter();
        places.flat_map(|((database, _), queues)| queues.keys().map(|key| (*database, &key[..])))
    }

    /// Ends a client's waiting, as if its time were over or with an error. Whether it waited.
    pub fn unblock(&mut self, client: u64, with_error: bool) -> bool {
        let Some(waiter) = self.by_client.get(&client).cloned() else { return false };
        self.remove(&waiter);
        let reply = if with_error {
            b"-UNBLOCKED client unblocked via CLIENT UNBLOCK\r\n".to_vec()
        } else {
            waiter.reply_of_timeout()
        };
        waiter.answer(reply);
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn waiter(client: u64, keys: &[&str]) -> Rc<Waiter> {
        let keys = keys.iter().map(|key| Rc::from(key.as_bytes())).collect();
        Rc::new(Waiter::new(client, keys, Wanted::Element(End::First)))
    }

    fn first(blocked: &Blocked, key: &str) -> Option<u64> {
        blocked.first(0, Kind::List, key.as_bytes()).map(|waiter| waiter.client)
    }

    #[test]
    fn who_came_first_is_first_for_every_key() {
        let mut blocked = Blocked::default();
        let waiters = [waiter(7, &["a", "b", "a"]), waiter(3, &["b"]), waiter(5, &["b", "c"])];
        waiters.iter().for_each(|waiter| blocked.add(waiter));
        assert_eq!(["a", "b", "c"].map(|key| first(&blocked, key)), [Some(7), Some(7), Some(5)]);
        assert_eq!(blocked.first(0, Kind::SortedSet, b"a").map(|it| it.client), None);
        assert_eq!(blocked.first(1, Kind::List, b"a").map(|it| it.client), None);
        blocked.remove(&waiters[0]);
        blocked.remove(&waiters[0]);
        assert_eq!(["a", "b", "c"].map(|key| first(&blocked, key)), [None, Some(3), Some(5)]);
        assert_eq!(blocked.len(), 2);
        assert!(blocked.unblock(3, true));
        assert!(!blocked.unblock(3, true));
        assert_eq!(first(&blocked, "b"), Some(5));
        blocked.remove(&waiters[2]);
        assert!(blocked.is_empty() && blocked.queues.is_empty());
    }
}
