//! The table of connections: slots with generations, found by flow through a keyed hash, and two
//! lists in order of age, of the half-open ones and of those in TIME-WAIT. It knows no protocol.

use alloc::boxed::Box;
use alloc::collections::TryReserveError;
use alloc::vec::Vec;

use hashbrown::HashTable;

use super::connection::{Connection, ConnectionId};
use super::flow::Flow;
use crate::siphash::HashKey;

const NONE: u32 = u32::MAX;

/// The lists that a connection can stand in, one at a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum List {
    HalfOpen,
    TimeWait,
}

/// A connection, where it stays until it is over. Not in the slot: a table that grows would copy
/// them all, want twice the memory meanwhile, and never give any back.
type Place = Box<[Connection; 1]>;

struct Slot {
    generation: u32,
    connection: Option<Place>,
    /// Whether the flow leads here.
    found: bool,
    list: Option<List>,
    older: u32,
    younger: u32,
}

impl Slot {
    fn connection(&self) -> Option<&Connection> {
        self.connection.as_deref().map(|[connection]| connection)
    }

    fn connection_mut(&mut self) -> Option<&mut Connection> {
        self.connection.as_deref_mut().map(|[connection]| connection)
    }
}

/// Ten thousand of them are to fit where there is little memory.
const _: () = assert!(size_of::<Connection>() <= 616);

/// A box, unless there is no memory for it.
fn place(connection: Connection) -> Option<Place> {
    let mut one = Vec::new();
    one.try_reserve_exact(1).ok()?;
    one.push(connection);
    one.into_boxed_slice().try_into().ok()
}

#[derive(Clone, Copy)]
struct Ends {
    oldest: u32,
    youngest: u32,
    len: usize,
}

impl Ends {
    const EMPTY: Self = Self { oldest: NONE, youngest: NONE, len: 0 };
}

pub(crate) struct Table {
    slots: Vec<Slot>,
    free: Vec<u32>,
    by_flow: HashTable<u32>,
    key: HashKey,
    capacity: usize,
    half_open: Ends,
    time_wait: Ends,
}

impl Table {
    pub(crate) fn new(capacity: usize, key: HashKey) -> Result<Self, TryReserveError> {
        let mut free = Vec::new();
        free.try_reserve_exact(capacity)?;
        Ok(Self {
            slots: Vec::new(),
            free,
            by_flow: HashTable::new(),
            key,
            capacity,
            half_open: Ends::EMPTY,
            time_wait: Ends::EMPTY,
        })
    }

    pub(crate) fn len(&self) -> usize {
        self.slots.len() - self.free.len()
    }

    pub(crate) fn list_len(&self, list: List) -> usize {
        self.ends(list).len
    }

    pub(crate) fn oldest(&self, list: List) -> Option<u32> {
        Some(self.ends(list).oldest).filter(|slot| *slot != NONE)
    }

    /// The next younger one in the same list.
    pub(crate) fn younger(&self, slot: u32) -> Option<u32> {
        Some(self.slots[slot as usize].younger).filter(|slot| *slot != NONE)
    }

    /// Slots that may hold a connection.
    pub(crate) fn slots(&self) -> core::ops::Range<u32> {
        0..self.slots.len() as u32
    }

    /// Adds a connection whose flow is not in the table. `None` if there is no room or no memory.
    pub(crate) fn insert(&mut self, connection: Connection) -> Option<ConnectionId> {
        debug_assert!(self.find(&connection.flow).is_none());
        let hash = self.key.hash(&connection.flow.words());
        let connection = place(connection)?;
        {
            let Self { by_flow, slots, key, .. } = self;
            by_flow.try_reserve(1, |slot| hash_of(slots, key, *slot)).ok()?;
        }
        let slot = match self.free.pop() {
            Some(slot) => slot,
            None => self.grow()?,
        };
        let entry = &mut self.slots[slot as usize];
        entry.connection = Some(connection);
        entry.found = true;
        let Self { by_flow, slots, key, .. } = self;
        by_flow.insert_unique(hash, slot, |slot| hash_of(slots, key, *slot));
        Some(self.id(slot))
    }

    fn grow(&mut self) -> Option<u32> {
        if self.slots.len() >= self.capacity {
            return None;
        }
        self.slots.try_reserve(1).ok()?;
        self.slots.push(Slot {
            generation: 0,
            connection: None,
            found: false,
            list: None,
            older: NONE,
            younger: NONE,
        });
        Some(self.slots.len() as u32 - 1)
    }

    /// Takes a connection out; its id is stale from now on.
    pub(crate) fn remove(&mut self, slot: u32) {
        self.forget_flow(slot);
        self.leave_list(slot);
        let entry = &mut self.slots[slot as usize];
        if entry.connection.take().is_some() {
            entry.generation = entry.generation.wrapping_add(1);
            self.free.push(slot);
        }
    }

    /// Segments of the flow no longer come to this connection. False if they did not before.
    pub(crate) fn forget_flow(&mut self, slot: u32) -> bool {
        let entry = &mut self.slots[slot as usize];
        let Some(connection) = entry.connection().filter(|_| entry.found) else {
            return false;
        };
        let hash = self.key.hash(&connection.flow.words());
        entry.found = false;
        match self.by_flow.find_entry(hash, |other| *other == slot) {
            Ok(entry) => {
                entry.remove();
                true
            }
            Err(_) => false,
        }
    }

    pub(crate) fn find(&self, flow: &Flow) -> Option<u32> {
        let hash = self.key.hash(&flow.words());
        let is_it = |slot: &u32| self.at(*slot).is_some_and(|connection| connection.flow == *flow);
        self.by_flow.find(hash, is_it).copied()
    }

    pub(crate) fn at(&self, slot: u32) -> Option<&Connection> {
        self.slots.get(slot as usize)?.connection()
    }

    pub(crate) fn at_mut(&mut self, slot: u32) -> Option<&mut Connection> {
        self.slots.get_mut(slot as usize)?.connection_mut()
    }

    pub(crate) fn id(&self, slot: u32) -> ConnectionId {
        ConnectionId { slot, generation: self.slots[slot as usize].generation }
    }

    pub(crate) fn get(&self, id: ConnectionId) -> Option<&Connection> {
        let slot = self.slots.get(id.slot as usize)?;
        slot.connection().filter(|_| slot.generation == id.generation)
    }

    pub(crate) fn get_mut(&mut self, id: ConnectionId) -> Option<&mut Connection> {
        let slot = self.slots.get_mut(id.slot as usize)?;
        if slot.generation == id.generation { slot.connection_mut() } else { None }
    }

    /// Puts a connection at the young end of a list.
    pub(crate) fn join_list(&mut self, slot: u32, list: List) {
        self.leave_list(slot);
        let youngest = self.ends(list).youngest;
        let entry = &mut self.slots[slot as usize];
        (entry.list, entry.older, entry.younger) = (Some(list), youngest, NONE);
        match self.slots.get_mut(youngest as usize) {
            Some(neighbour) => neighbour.younger = slot,
            None => self.ends_mut(list).oldest = slot,
        }
        let ends = self.ends_mut(list);
        ends.youngest = slot;
        ends.len += 1;
    }

    pub(crate) fn leave_list(&mut self, slot: u32) {
        let entry = &mut self.slots[slot as usize];
        let Some(list) = entry.list.take() else {
            return;
        };
        let (older, younger) = (entry.older, entry.younger);
        match self.slots.get_mut(older as usize) {
            Some(neighbour) => neighbour.younger = younger,
            None => self.ends_mut(list).oldest = younger,
        }
        match self.slots.get_mut(younger as usize) {
            Some(neighbour) => neighbour.older = older,
            None => self.ends_mut(list).youngest = older,
        }
        self.ends_mut(list).len -= 1;
    }

    fn ends(&self, list: List) -> &Ends {
        match list {
            List::HalfOpen => &self.half_open,
            List::TimeWait => &self.time_wait,
        }
    }

    fn ends_mut(&mut self, list: List) -> &mut Ends {
        match list {
            List::HalfOpen => &mut self.half_open,
            List::TimeWait => &mut self.time_wait,
        }
    }
}

fn hash_of(slots: &[Slot], key: &HashKey, slot: u32) -> u64 {
    match slots[slot as usize].connection() {
        Some(connection) => key.hash(&connection.flow.words()),
        None => 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tcp::connection::Stage;
    use crate::tcp::seq::Seq;
    use crate::tcp::tcb::{Parameters, Tcb};
    use core::net::{Ipv4Addr, SocketAddr};
    use proptest::prelude::*;
    use smoltcp::time::Instant;
    use std::collections::BTreeMap;

    const CAPACITY: usize = 8;

    fn flow(number: u16) -> Flow {
        let end = |port| SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        Flow { local: end(80), remote: end(number) }
    }

    fn connection(number: u16) -> Connection {
        let parameters = Parameters {
            initial: Seq(0),
            timestamp_offset: 0,
            mss: 1460,
            burst_bytes: 1460,
            send_bytes_max: 1000,
            receive_bytes_max: 1000,
        };
        let tcb = Tcb::open(parameters, Instant::ZERO);
        Connection::new(flow(number), tcb, Stage::Open, Instant::ZERO)
    }

    proptest! {
        #![proptest_config(ProptestConfig {
            cases: 64,
            failure_persistence: None,
            ..ProptestConfig::default()
        })]

        /// Flows lead to their connection as long as it is there, stale ids to none, and the lists
        /// are in the order of joining.
        #[test]
        fn finds_what_is_there_and_nothing_else(steps in prop::collection::vec((0u16..12, 0u8..4), 0..100)) {
            let mut table = Table::new(CAPACITY, HashKey::from_seed(1)).expect("a small table");
            let mut there = BTreeMap::new();
            let mut stale = Vec::new();
            let mut joined: Vec<u32> = Vec::new();
            for (number, action) in steps {
                match (action, there.get(&number).copied()) {
                    (0 | 1, None) => match table.insert(connection(number)) {
                        Some(id) => drop(there.insert(number, id)),
                        None => prop_assert_eq!(there.len(), CAPACITY),
                    },
                    (2, Some(id)) => {
                        table.join_list(id.slot, List::HalfOpen);
                        joined.retain(|slot| *slot != id.slot);
                        joined.push(id.slot);
                    }
                    (3, Some(id)) => {
                        table.remove(id.slot);
                        joined.retain(|slot| *slot != id.slot);
                        there.remove(&number);
                        stale.push(id);
                    }
                    _ => {}
                }
                for number in 0..12 {
                    prop_assert_eq!(table.find(&flow(number)), there.get(&number).map(|id| id.slot));
                }
                prop_assert!(stale.iter().all(|id| table.get(*id).is_none()));
                prop_assert_eq!(table.len(), there.len());
                let oldest = table.oldest(List::HalfOpen);
                let listed: Vec<u32> =
                    core::iter::successors(oldest, |slot| table.younger(*slot)).collect();
                prop_assert_eq!(&listed, &joined);
                prop_assert_eq!(table.list_len(List::HalfOpen), joined.len());
            }
        }
    }
}
