//! The keyspace: sixteen databases of keys with values, when they expire, and who wants to know of changes.
//!
//! State and its bookkeeping only: it knows nothing of commands, replies or connections. What changes
//! here is seen by those who watch a key or wait for it, is counted for the log's size, and where
//! it happens by itself (a key that expires, a value that becomes empty) is told to the log.
//!
//! | module | duty |
//! |---|---|
//! | [`dict`] | the hash table |
//! | [`record`], [`value`] | what a slot of it holds |
//! | `database` | one database, with the index of what expires |
//! | [`copy`] | a value as commands that make it |
//! | [`effect`] | changes as the log has them |
//! | [`watch`] | keys that a transaction depends on |
//! | [`eviction`] | what goes when memory is short |
//! | `garbage` | what was removed and is freed in pieces; records that would lie better elsewhere |

pub mod copy;
mod database;
pub mod dict;
pub mod effect;
pub mod eviction;
mod garbage;
pub mod record;
#[cfg(test)]
mod tests;
pub mod value;
pub mod watch;

use alloc::boxed::Box;
use alloc::vec::Vec;
use core::mem;

use crate::command::Error;
use crate::frame::Request;
use database::Database;
use dict::{Hasher, Keyed};
use effect::Effects;
use garbage::Garbage;
use record::{Record, View};
use value::{Collection, Value};
use watch::Watches;

/// How many databases there are.
pub const DATABASES: usize = 16;

/// All data, and what depends on it.
#[derive(Debug)]
pub struct Keyspace {
    databases: Vec<Database>,
    selected: usize,
    hasher: Hasher,
    now_ms: u64,
    /// Whether the log is being replayed, so that nothing expires.
    is_loading: bool,
    /// Changes that the log does not have yet.
    pub effects: Effects,
    /// Keys that transactions depend on.
    pub watches: Watches,
    /// Keys that got elements while somebody may wait for them.
    pub ready: Vec<(usize, Box<[u8]>)>,
    /// Whether anybody waits for a key, so that [`ready`](Self::ready) is kept.
    pub has_waiters: bool,
    /// Whether databases were exchanged while somebody waited, so that any key may have got elements.
    pub has_swapped: bool,
    /// Whether looking at keys does not count as using them.
    pub is_not_touching: bool,
    /// What changed since the start.
    pub changes: u64,
    /// What was looked for and found, and not found.
    pub hits: u64,
    /// The latter.
    pub misses: u64,
    /// Keys that expired.
    pub expired: u64,
    /// Keys that were evicted.
    pub evicted: u64,
    garbage: Vec<Garbage>,
    /// Where [`gather`](Self::gather) goes on: a database, and a segment of its table.
    gathered: (usize, usize),
}

impl Keyspace {
    /// An empty one.
    pub fn new(hasher: Hasher) -> Self {
        Self {
            databases: (0..DATABASES).map(|_| Database::new(hasher)).collect(),
            selected: 0,
            hasher,
            now_ms: 0,
            is_loading: false,
            effects: Effects::default(),
            watches: Watches::default(),
            ready: Vec::new(),
            has_waiters: false,
            has_swapped: false,
            is_not_touching: false,
            changes: 0,
            hits: 0,
            misses: 0,
            expired: 0,
            evicted: 0,
            garbage: Vec::new(),
            gathered: (0, 0),
        }
    }

    /// For tables that values have.
    pub const fn hasher(&self) -> Hasher {
        self.hasher
    }

    /// The time that counts for expiry, in milliseconds since 1970; 0 while the log is replayed.
    pub const fn now_ms(&self) -> u64 {
        if self.is_loading { 0 } else { self.now_ms }
    }

    /// Says what time it is.
    pub const fn set_now_ms(&mut self, now_ms: u64) {
        self.now_ms = now_ms;
    }

    /// Lets nothing expire, while what is there is what once was. What is read or written counts as used now.
    pub const fn begin_loading(&mut self) {
        self.is_loading = true;
    }

    /// Ends that, and counts nothing of it.
    pub const fn end_loading(&mut self) {
        self.is_loading = false;
        self.changes = 0;
        self.reset_counters();
    }

    /// Forgets what was counted for `INFO`, but for changes.
    pub const fn reset_counters(&mut self) {
        (self.hits, self.misses, self.expired, self.evicted) = (0, 0, 0, 0);
    }

    /// The database that all functions without a number mean.
    pub const fn selected(&self) -> usize {
        self.selected
    }

    /// Chooses it; the number is less than [`DATABASES`].
    pub fn select(&mut self, database: usize) {
        debug_assert!(database < DATABASES);
        self.selected = database.min(DATABASES - 1);
    }

    /// The most that a log of nothing but the present state takes.
    pub fn encoded_bytes(&self) -> u64 {
        self.databases.iter().map(|database| database.encoded_bytes).sum()
    }

    /// By how many bytes [`encoded_bytes`](Self::encoded_bytes) ever grew, whatever it shrank.
    pub fn grown_bytes(&self) -> u64 {
        self.databases.iter().map(|database| database.grown_bytes).sum()
    }

    fn here(&self) -> &Database {
        &self.databases[self.selected]
    }

    fn here_mut(&mut self) -> &mut Database {
        &mut self.databases[self.selected]
    }

    /// How many keys there are, expired ones included that nobody has looked at.
    pub fn len(&self) -> usize {
        self.here().keys.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Keys, and keys that expire, of a database.
    pub fn count(&self, database: usize) -> (usize, usize) {
        self.databases.get(database).map_or((0, 0), |it| (it.keys.len(), it.expiries.len()))
    }

    /// The key, which counts as used now.
    pub fn read(&mut self, key: &[u8]) -> Option<&Record> {
        let hash = self.live(key);
        let (seconds, touches) = (self.access_seconds(), !self.is_not_touching);
        let record = self.databases[self.selected].keys.get_mut_hashed(hash, key);
        match record {
            Some(record) => {
                self.hits += 1;
                if touches && record.access() != seconds {
                    record.set_access(seconds);
                }
                Some(record)
            }
            None => {
                self.misses += 1;
                None
            }
        }
    }

    /// The key, without counting as used.
    pub fn peek(&mut self, key: &[u8]) -> Option<&Record> {
        let hash = self.live(key);
        self.here().keys.get_hashed(hash, key)
    }

    /// Whether the key is there; it does not count as used.
    pub fn contains(&mut self, key: &[u8]) -> bool {
        self.peek(key).is_some()
    }

    /// The string at a key, which counts as used now.
    ///
    /// # Errors
    /// If it is of another type.
    pub fn string(&mut self, key: &[u8]) -> Result<Option<&[u8]>, Error> {
        match self.read(key).map(Record::view) {
            None => Ok(None),
            Some(View::String(bytes)) => Ok(Some(bytes)),
            Some(View::Other(_)) => Err(Error::WrongType),
        }
    }

    /// The list, set, hash or sorted set at a key, which counts as used now.
    ///
    /// # Errors
    /// If it is of another type.
    pub fn collection<T: Collection>(&mut self, key: &[u8]) -> Result<Option<&T>, Error> {
        match self.read(key).map(Record::view) {
            None => Ok(None),
            Some(View::Other(value)) => T::of(value).map(Some).ok_or(Error::WrongType),
            Some(View::String(_)) => Err(Error::WrongType),
        }
    }

    /// The same without counting as used, and without an end of what has expired: to look at several
    /// at a time, once [`collection`](Self::collection) has been asked for each.
    pub fn look<T: Collection>(&self, key: &[u8]) -> Option<&T> {
        self.look_any(key).and_then(T::of)
    }

    /// Changes the list, set, hash or sorted set at a key, if it is there. `change` returns its result and
    /// whether it changed anything. A value without elements is removed.
    ///
    /// # Errors
    /// If it is of another type.
    pub fn edit<T: Collection, R>(
        &mut self,
        key: &[u8],
        change: impl FnOnce(&mut T) -> (R, bool),
    ) -> Result<Option<R>, Error> {
        let hash = self.live(key);
        let seconds = self.access_seconds();
        let edited = self.here_mut().edit(hash, key, |record| {
            record.set_access(seconds);
            let value = record.value_mut().and_then(T::of_mut).ok_or(Error::WrongType)?;
            let (result, is_changed) = change(value);
            Ok((result, is_changed, value.is_empty()))
        });
        let Some((result, is_changed, is_empty)) = edited.transpose()? else { return Ok(None) };
        if is_empty {
            self.delete(key);
        } else if is_changed {
            self.changed(key);
        }
        Ok(Some(result))
    }

    /// The same, with a new value if there is none.
    ///
    /// # Errors
    /// If it is of another type.
    pub fn edit_or_create<T: Collection, R>(
        &mut self,
        key: &[u8],
        new: impl FnOnce(Hasher) -> T,
        change: impl FnOnce(&mut T) -> (R, bool),
    ) -> Result<R, Error> {
        let hash = self.live(key);
        if self.here().keys.get_hashed(hash, key).is_some() {
            let mut change = Some(change);
            let edited = self.edit(key, |value| match change.take() {
                Some(change) => {
                    let (result, is_changed) = change(value);
                    (Some(result), is_changed)
                }
                None => (None, false),
            })?;
            if let Some(Some(result)) = edited {
                return Ok(result);
            }
            unreachable!("the key is there, and edit calls its function once");
        }
        let mut value = new(self.hasher);
        let (result, _) = change(&mut value);
        if !value.is_empty() {
            self.insert(Record::object(key, value.into_value(), None));
            self.changed(key);
        }
        Ok(result)
    }

    /// Changes a record that is there, other than in its key and its expiry, and counts the change.
    pub fn edit_record<R>(
        &mut self,
        key: &[u8],
        change: impl FnOnce(&mut Record) -> R,
    ) -> Option<R> {
        let hash = self.live(key);
        let seconds = self.access_seconds();
        let result = self.here_mut().edit(hash, key, |record| {
            record.set_access(seconds);
            change(record)
        })?;
        self.changed(key);
        Some(result)
    }

    /// Puts a string at a key, whatever was there. It expires as said.
    pub fn set_string(&mut self, key: &[u8], value: &[u8], expires_at: Option<u64>) {
        let seconds = self.access_seconds();
        let hash = self.hasher.hash(key);
        let database = &mut self.databases[self.selected];
        if let Some(record) = database.keys.get_mut_hashed(hash, key) {
            // The same length in place: what most counters and caches do.
            if expires_at.is_none()
                && record.expires_at().is_none()
                && record.is_packed()
                && let Some(bytes) = record.string_mut()
                && bytes.len() == value.len()
            {
                bytes.copy_from_slice(value);
                record.set_access(seconds);
                self.changed(key);
                return;
            }
        }
        self.insert_hashed(hash, Record::string(key, value, expires_at));
        self.changed(key);
    }

    /// Puts a value at a key, whatever was there. One without elements only removes that.
    pub fn put(&mut self, key: &[u8], value: Value, expires_at: Option<u64>) {
        if value.is_empty() {
            self.delete(key);
            return;
        }
        self.insert(Record::object(key, value, expires_at));
        self.changed(key);
    }

    /// Puts a record in the place of any with its key.
    pub fn insert(&mut self, record: Record) {
        let hash = self.hasher.hash(record.key());
        self.insert_hashed(hash, record);
    }

    fn insert_hashed(&mut self, hash: u64, mut record: Record) {
        record.set_access(self.access_seconds());
        if let Some(old) = self.here_mut().insert(hash, record) {
            self.discard(old);
        }
    }

    /// Removes a key and tells the log. Whether it was there.
    pub fn delete(&mut self, key: &[u8]) -> bool {
        match self.take(key) {
            Some(record) => {
                self.discard(record);
                self.effects.command(self.selected, &[b"DEL", key]);
                true
            }
            None => false,
        }
    }

    /// Takes a record out. The log is not told.
    pub fn take(&mut self, key: &[u8]) -> Option<Record> {
        let hash = self.live(key);
        let record = self.here_mut().remove(hash, key)?;
        self.changed(key);
        Some(record)
    }

    /// Changes when a key expires, `None` for never. Whether it is there. The log is not told.
    pub fn set_expiry(&mut self, key: &[u8], expires_at: Option<u64>) -> bool {
        let hash = self.live(key);
        let is_there = self.here_mut().set_expiry(hash, key, expires_at);
        if is_there {
            self.changed(key);
        }
        is_there
    }

    /// Removes all keys of a database and tells the log.
    pub fn flush(&mut self, database: usize) {
        let Some(it) = self.databases.get_mut(database) else { return };
        self.watches.changed_all(database, |key| it.keys.get(key).is_some());
        let old = mem::replace(it, Database::new(self.hasher));
        it.grown_bytes = old.grown_bytes;
        self.changes += old.keys.len() as u64;
        if !old.keys.is_empty() {
            self.garbage.push(Garbage::Keys(old.keys));
        }
        if !old.expiries.is_empty() {
            self.garbage.push(Garbage::Expiries(old.expiries));
        }
        self.effects.command(database, &[b"FLUSHDB"]);
    }

    /// Exchanges two databases. The log is not told.
    pub fn swap(&mut self, one: usize, other: usize) {
        if one == other || one.max(other) >= DATABASES {
            return;
        }
        self.databases.swap(one, other);
        for database in [one, other] {
            let keys = &self.databases[database].keys;
            let others = &self.databases[one + other - database].keys;
            let is_there = |key: &[u8]| keys.get(key).is_some() || others.get(key).is_some();
            self.watches.changed_all(database, is_there);
        }
        self.has_swapped |= self.has_waiters;
        self.changes += 1;
    }

    /// Tells those who watch a key, or wait for it, and counts a change.
    pub fn changed(&mut self, key: &[u8]) {
        self.changes += 1;
        if !self.watches.is_empty() {
            self.watches.changed(self.selected, key);
        }
        if self.has_waiters && self.look_any(key).is_some_and(Value::can_be_waited_for) {
            self.ready.push((self.selected, key.into()));
        }
    }

    fn look_any(&self, key: &[u8]) -> Option<&Value> {
        match self.here().keys.get(key).map(Record::view)? {
            View::Other(value) => Some(value),
            View::String(_) => None,
        }
    }

    /// Tells the log a command that has the same effect whenever it is repeated in the same state of
    /// its one key, and depends on no other key.
    pub fn log(&mut self, words: &[&[u8]]) {
        self.effects.command(self.selected, words);
    }

    /// The same with the words of a request.
    pub fn log_request(&mut self, request: Request<'_>) {
        self.effects.request(self.selected, request);
    }

    /// Visits keys that have not expired, see [`Dict::scan`].
    pub fn scan(&self, cursor: u64, count: usize, mut visit: impl FnMut(&Record)) -> u64 {
        let now_ms = self.now_ms();
        self.here().keys.scan(cursor, count, |record| {
            if !is_expired(record, now_ms) {
                visit(record);
            }
        })
    }

    /// Some key that has not expired.
    pub fn random(&mut self, mut random: impl FnMut() -> u64) -> Option<&Record> {
        let now_ms = self.now_ms();
        for _ in 0..100 {
            let key: Box<[u8]> = match self.here().keys.random(random()) {
                None => return None,
                Some(record) if !is_expired(record, now_ms) => record.key().into(),
                Some(_) => continue,
            };
            return self.peek(&key);
        }
        None
    }

    /// Removes up to so many keys that have expired, of all databases. How many it were.
    pub fn expire_some(&mut self, count: usize) -> usize {
        let selected = self.selected;
        let mut removed = 0;
        for database in 0..DATABASES {
            self.selected = database;
            while removed < count {
                let now_ms = self.now_ms();
                let Some(key) = self.here_mut().next_expired(now_ms) else { break };
                self.expire(&key);
                removed += 1;
            }
        }
        self.selected = selected;
        removed
    }

    /// Removes the key if it has expired, and returns its hash.
    fn live(&mut self, key: &[u8]) -> u64 {
        let hash = self.hasher.hash(key);
        let (database, now_ms) = (self.here(), self.now_ms());
        if !database.expiries.is_empty()
            && database.keys.get_hashed(hash, key).is_some_and(|it| is_expired(it, now_ms))
        {
            self.expire(key);
        }
        hash
    }

    fn expire(&mut self, key: &[u8]) {
        let hash = self.hasher.hash(key);
        if let Some(record) = self.here_mut().remove(hash, key) {
            self.expired += 1;
            self.discard(record);
            self.effects.command(self.selected, &[b"DEL", key]);
            self.changed(key);
        }
    }

    const fn access_seconds(&self) -> u32 {
        (self.now_ms / 1000) as u32 & ((1 << 24) - 1)
    }
}

fn is_expired(record: &Record, now_ms: u64) -> bool {
    record.expires_at().is_some_and(|at| at <= now_ms)
}
