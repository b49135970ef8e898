//! Listening ports: which connections they have made that nobody has accepted yet. Handshakes are
//! in `tcp`; this is only the book of them.

use alloc::collections::{TryReserveError, VecDeque};
use alloc::vec::Vec;
use core::fmt;
use core::task::Waker;

use super::connection::ConnectionId;
use crate::config::Limits;

/// Names a listening port. Once it is closed the name is never used for another one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ListenerId {
    slot: u32,
    generation: u32,
}

/// Why a port cannot be listened on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ListenError {
    /// Port 0 is not a port.
    PortZero,
    /// There is a listener on this port already.
    PortInUse(u16),
    /// The limit of listeners is reached.
    TooMany(usize),
    /// There is no memory for the backlog.
    OutOfMemory,
}

impl fmt::Display for ListenError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::PortZero => f.write_str("port 0 cannot be listened on; choose 1 to 65535"),
            Self::PortInUse(port) => write!(f, "port {port} has a listener already"),
            Self::TooMany(limit) => {
                write!(f, "the limit of {limit} listeners is reached; raise limits.listeners")
            }
            Self::OutOfMemory => f.write_str("not enough memory for the backlog"),
        }
    }
}

impl core::error::Error for ListenError {}

impl From<TryReserveError> for ListenError {
    fn from(_: TryReserveError) -> Self {
        Self::OutOfMemory
    }
}

struct Listener {
    port: u16,
    backlog: usize,
    established: VecDeque<ConnectionId>,
    waker: Option<Waker>,
}

/// All listeners. There are few, so they are searched one by one.
pub(crate) struct Listeners {
    slots: Vec<(u32, Option<Listener>)>,
    limit: usize,
    backlog_limit: usize,
    half_open_limit: usize,
}

impl Listeners {
    pub(crate) fn new(limits: &Limits) -> Self {
        Self {
            slots: Vec::new(),
            limit: limits.listeners,
            backlog_limit: limits.connections,
            half_open_limit: limits.half_open,
        }
    }

    pub(crate) fn open(&mut self, port: u16, backlog: usize) -> Result<ListenerId, ListenError> {
        if port == 0 {
            return Err(ListenError::PortZero);
        }
        if self.find(port).is_some() {
            return Err(ListenError::PortInUse(port));
        }
        let backlog = backlog.clamp(1, self.backlog_limit);
        let mut established = VecDeque::new();
        // SYNs are dropped when the backlog is full, but handshakes under way may still complete.
        established.try_reserve_exact(backlog.saturating_add(self.half_open_limit))?;
        let listener = Listener { port, backlog, established, waker: None };
        let slot = match self.slots.iter().position(|(_, listener)| listener.is_none()) {
            Some(slot) => slot,
            None if self.slots.len() >= self.limit => return Err(ListenError::TooMany(self.limit)),
            None => {
                self.slots.try_reserve(1)?;
                self.slots.push((0, None));
                self.slots.len() - 1
            }
        };
        let (generation, place) = &mut self.slots[slot];
        *place = Some(listener);
        Ok(ListenerId { slot: slot as u32, generation: *generation })
    }

    /// Closes the port and tells what was established on it.
    pub(crate) fn close(&mut self, id: ListenerId) -> VecDeque<ConnectionId> {
        let Some(listener) = self.get_mut(id) else {
            return VecDeque::new();
        };
        let established = core::mem::take(&mut listener.established);
        if let Some(waker) = listener.waker.take() {
            waker.wake();
        }
        let (generation, place) = &mut self.slots[id.slot as usize];
        *place = None;
        *generation = generation.wrapping_add(1);
        established
    }

    /// The listener of a port.
    pub(crate) fn find(&self, port: u16) -> Option<ListenerId> {
        let slot = self
            .slots
            .iter()
            .position(|(_, listener)| listener.as_ref().is_some_and(|other| other.port == port))?;
        Some(ListenerId { slot: slot as u32, generation: self.slots[slot].0 })
    }

    pub(crate) fn is_full(&self, id: ListenerId) -> bool {
        self.get(id).is_none_or(|listener| listener.established.len() >= listener.backlog)
    }

    /// Queues an established connection and wakes whoever accepts. False if there is no such listener.
    pub(crate) fn push(&mut self, id: ListenerId, connection: ConnectionId) -> bool {
        let Some(listener) = self.get_mut(id) else {
            return false;
        };
        listener.established.push_back(connection);
        if let Some(waker) = listener.waker.take() {
            waker.wake();
        }
        true
    }

    pub(crate) fn pop(&mut self, id: ListenerId) -> Option<ConnectionId> {
        self.get_mut(id)?.established.pop_front()
    }

    /// A waker for a listener that is gone, or has something to accept, is woken at once.
    pub(crate) fn register(&mut self, id: ListenerId, waker: &Waker) {
        match self.get_mut(id) {
            Some(listener) if listener.established.is_empty() => {
                listener.waker = Some(waker.clone());
            }
            _ => waker.wake_by_ref(),
        }
    }

    fn get(&self, id: ListenerId) -> Option<&Listener> {
        let (generation, listener) = self.slots.get(id.slot as usize)?;
        listener.as_ref().filter(|_| *generation == id.generation)
    }

    fn get_mut(&mut self, id: ListenerId) -> Option<&mut Listener> {
        let (generation, listener) = self.slots.get_mut(id.slot as usize)?;
        listener.as_mut().filter(|_| *generation == id.generation)
    }
}
