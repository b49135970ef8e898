//! Replaying the log at the start.
//!
//! Records are commands, carried out as a client's are, but for their time: no key expires before all
//! are read, as a later one may say that it shall not.

use alloc::boxed::Box;
use alloc::collections::BTreeMap;
use alloc::rc::Rc;
use alloc::vec::Vec;
use core::fmt;
use core::net::{Ipv4Addr, SocketAddr};
use core::time::Duration;

use crate::client::{Client, Session};
use crate::command::{self, Context};
use crate::db::DATABASES;
use crate::db::effect::{self, Kind};
use crate::db::value::Value;
use crate::frame::Owned;
use crate::log::Replay;
use crate::reply::{Protocol, Reply};
use crate::store::Store;
use crate::types::list::List;

/// What was loaded.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Loaded {
    /// Records.
    pub records: u64,
    /// Keys of all databases.
    pub keys: usize,
}

/// Why the data cannot be loaded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Error {
    /// It needs more memory than there is.
    Memory {
        /// Bytes that there are.
        size_bytes: usize,
    },
    /// A record is not as this version writes them.
    Malformed,
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Memory { size_bytes } => write!(
                f,
                "the data needs more than the {} MB of memory that there are; give the guest more (--mem)",
                size_bytes >> 20
            ),
            Self::Malformed => f.write_str(
                "a record of the log is not as this version writes them, though its checksum is right",
            ),
        }
    }
}

impl core::error::Error for Error {}

/// Elements that are freed after each record, if there are any: as many as one takes away, about.
const FREED_AT_ONCE: usize = 1000;

/// A list whose copy is being read, and the changes that are to follow it.
#[derive(Debug)]
struct Shadow {
    list: List,
    changes: Vec<u8>,
}

/// Replays a log into a store.
pub(super) struct Loader<'a> {
    store: &'a mut Store,
    session: Session,
    words: Owned,
    shadows: BTreeMap<(usize, Box<[u8]>), Shadow>,
    /// Whether the log began with a compaction that has not ended yet, whose copies of lists are needed.
    is_rebuilding: bool,
    loaded: Loaded,
}

impl<'a> Loader<'a> {
    pub(super) fn new(store: &'a mut Store) -> Self {
        let nobody = SocketAddr::from((Ipv4Addr::UNSPECIFIED, 0));
        let client = Client::new(0, nobody, nobody, Duration::ZERO);
        store.keys.begin_loading();
        store.is_loading = true;
        Self {
            store,
            session: Session::new(Rc::new(client), true),
            words: Owned::default(),
            shadows: BTreeMap::new(),
            is_rebuilding: false,
            loaded: Loaded::default(),
        }
    }

    pub(super) fn finish(self) -> Loaded {
        let keys = (0..DATABASES).map(|database| self.store.keys.count(database).0).sum();
        self.store.keys.end_loading();
        self.store.is_loading = false;
        Loaded { keys, ..self.loaded }
    }

    fn record(&mut self, kind: Kind, bytes: &[u8]) -> Result<(), Error> {
        self.loaded.records += 1;
        match kind {
            Kind::CompactionBegin => {
                self.is_rebuilding |= self.loaded.records == 1;
                Ok(())
            }
            Kind::CompactionEnd => {
                self.is_rebuilding = false;
                self.shadows.clear();
                Ok(())
            }
            Kind::Command { database } => {
                self.defer(database, bytes);
                self.command(database, bytes);
                Ok(())
            }
            Kind::ListBegin | Kind::ListPart | Kind::ListEnd => self.list(kind, bytes),
        }
    }

    /// Carries out the command whose words were read. It may fail, where it changes what a later copy
    /// brings, see the words on compaction.
    fn command(&mut self, database: usize, bytes: &[u8]) {
        let request = self.words.request(bytes);
        let Some(command) = self.store.command(request.get(0).unwrap_or_default()) else { return };
        if !command.takes(request.len()) {
            return;
        }
        self.session.database = database;
        let mut reply = Reply::new(Protocol::Resp2);
        let mut context =
            Context { store: self.store, session: &mut self.session, reply: &mut reply };
        let _ = command::run(&mut context, command, request);
    }

    /// Keeps a change of a list whose copy is not complete. When the list is gone, its copy is not needed.
    fn defer(&mut self, database: usize, bytes: &[u8]) {
        if self.shadows.is_empty() {
            return;
        }
        let request = self.words.request(bytes);
        match (request.get(0), request.get(1)) {
            (Some(b"FLUSHDB"), _) => self.shadows.retain(|(place, _), _| *place != database),
            (Some(b"DEL"), Some(key)) => drop(self.shadows.remove(&(database, key.into()))),
            (_, Some(key)) => {
                if let Some(shadow) = self.shadows.get_mut(&(database, key.into())) {
                    shadow.changes.extend_from_slice(bytes);
                }
            }
            _ => {}
        }
    }

    fn list(&mut self, kind: Kind, bytes: &[u8]) -> Result<(), Error> {
        let request = self.words.request(bytes);
        let (Some(&[database]), Some(key)) = (request.get(0), request.get(1)) else {
            return Err(Error::Malformed);
        };
        let place = (usize::from(database), Box::from(key));
        match kind {
            _ if !self.is_rebuilding => {}
            Kind::ListBegin => {
                let shadow = Shadow { list: List::new(), changes: Vec::new() };
                self.shadows.insert(place, shadow);
            }
            Kind::ListEnd => {
                if let Some(shadow) = self.shadows.remove(&place) {
                    self.put(place.0, &place.1, shadow)?;
                }
            }
            _ => {
                if let Some(shadow) = self.shadows.get_mut(&place) {
                    request.iter().skip(2).for_each(|element| shadow.list.push_back(element));
                }
            }
        }
        Ok(())
    }

    fn put(&mut self, database: usize, key: &[u8], shadow: Shadow) -> Result<(), Error> {
        self.store.keys.select(database.min(DATABASES - 1));
        self.store.keys.put(key, Value::List(shadow.list), None);
        let mut changes = &shadow.changes[..];
        while !changes.is_empty() {
            let (kind, bytes) =
                effect::take(&mut changes, &mut self.words).map_err(|_| Error::Malformed)?;
            if let Kind::Command { database } = kind {
                self.command(database, bytes);
            }
        }
        Ok(())
    }
}

impl Replay for Loader<'_> {
    type Error = Error;

    fn begin(&mut self) {
        (0..DATABASES).for_each(|database| self.store.keys.flush(database));
        while self.store.keys.free_some(1 << 20) {}
        self.shadows.clear();
        self.is_rebuilding = false;
        self.loaded = Loaded::default();
    }

    fn batch(&mut self, payload: &[u8]) -> Result<(), Error> {
        let mut rest = payload;
        while !rest.is_empty() {
            let (kind, bytes) =
                effect::take(&mut rest, &mut self.words).map_err(|_| Error::Malformed)?;
            self.record(kind, bytes)?;
            self.store.keys.free_some(FREED_AT_ONCE);
            let memory = self.store.memory();
            if memory.used_bytes > memory.size_bytes / 8 * 7 {
                return Err(Error::Memory { size_bytes: memory.size_bytes });
            }
        }
        Ok(())
    }
}

/// Replays records that were not in a log.
#[cfg(test)]
pub(crate) fn replay(store: &mut Store, records: &[u8]) {
    let mut loader = Loader::new(store);
    loader.begin();
    loader.batch(records).expect("records are replayed");
    loader.finish();
}
