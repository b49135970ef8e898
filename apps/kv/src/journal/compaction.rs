//! Copying what there is to the log's end, bit by bit, so that its beginning can go.
//!
//! Changes go on being logged meanwhile, in one order with the copies. When every key has been copied
//! or changed since the beginning (the [`Mark`]), a replay from there gives the present state: a
//! copy says all of a key, and every change after it is there too. What a replay makes of changes
//! before the copy may be nonsense, as it lacks what they were changes of; the copy puts it right.
//! For that each change must say all that follows from it for its key without naming another one, which is the
//! commands' duty (see [`Keyspace::log`](crate::db::Keyspace::log)).
//!
//! A replay that begins with a compaction needs its copies; one that began earlier has everything without them, so it passes
//! them over where they are not complete in themselves.
//!
//! A large hash, set or sorted set is copied in parts without being cleared first: elements only
//! ever come from the log, and their removal is there as well. A large list has no
//! elements that could be named one by one, so a frozen copy of it is written in parts, and a replay puts
//! it in the list's place when it is complete, followed by the changes since it was frozen.

use alloc::boxed::Box;
use alloc::vec::Vec;
use core::time::Duration;

use super::Journal;
use crate::db::copy::{self, Parts};
use crate::db::dict::Keyed;
use crate::db::effect::{Effects, Kind};
use crate::db::record::{Record, View};
use crate::db::value::Value;
use crate::db::{DATABASES, Keyspace};
use crate::log::{LogError, Mark};
use crate::number::format_float;
use crate::store::Store;
use crate::types::list::Frozen;
use crate::world::Disk;

/// What one step writes, about. Tests have little data and many steps.
pub(super) const STEP_BYTES: usize = if cfg!(test) { 100 } else { 64 << 10 };
/// Elements, and bytes, of a value that is copied at once.
const SMALL_LEN: usize = if cfg!(test) { 4 } else { 256 };
const SMALL_BYTES: u64 = 16 << 10;
/// Keys that are looked at together.
const KEYS_AT_ONCE: usize = if cfg!(test) { 1 } else { 8 };
/// Elements that are looked at together, at most.
const ELEMENTS_AT_ONCE: usize = if cfg!(test) { 1 } else { 256 };

/// A compaction on its way.
#[derive(Debug)]
pub(super) struct Compaction {
    mark: Mark,
    since: Duration,
    database: usize,
    cursor: u64,
    /// Keys with large values whose turn it is.
    large: Vec<Box<[u8]>>,
    part: Option<Part>,
    /// What is still to be written, at most, when [`Keyspace::grown_bytes`] was `grown_bytes`.
    left_bytes: u64,
    grown_bytes: u64,
}

/// A large value that is copied in parts.
#[derive(Debug)]
struct Part {
    key: Box<[u8]>,
    rest: Rest,
}

#[derive(Debug)]
enum Rest {
    /// Elements from this cursor on.
    From(u64),
    /// What is left of a list that was frozen.
    Frozen(Frozen),
}

impl Compaction {
    /// What is still to be written, at most.
    pub(super) fn left_bytes(&self, keys: &Keyspace) -> u64 {
        let grown = keys.grown_bytes() - self.grown_bytes;
        (self.left_bytes + grown).min(keys.encoded_bytes())
    }

    /// Writes a little. Whether there is more.
    fn step(&mut self, keys: &mut Keyspace) -> bool {
        self.left_bytes = self.left_bytes(keys);
        self.grown_bytes = keys.grown_bytes();
        let start = keys.effects.as_bytes().len();
        let selected = keys.selected();
        keys.select(self.database.min(DATABASES - 1));
        let more = loop {
            if self.database >= DATABASES {
                break false;
            }
            let has_memory = self.piece(keys);
            if !has_memory || keys.effects.as_bytes().len() - start >= STEP_BYTES {
                break true;
            }
        };
        if !more {
            keys.effects.part(Kind::CompactionEnd, &[]);
        }
        keys.select(selected);
        more
    }

    /// Writes the next piece, unless there is no memory to copy it.
    fn piece(&mut self, keys: &mut Keyspace) -> bool {
        if let Some(part) = self.part.take() {
            self.part = part.write(keys, &mut self.left_bytes);
        } else if let Some(key) = self.large.pop() {
            if !self.begin_large(keys, &key) {
                self.large.push(key);
                return false;
            }
        } else if self.cursor == u64::MAX {
            self.database += 1;
            self.cursor = 0;
            keys.select(self.database.min(DATABASES - 1));
        } else {
            self.copy_keys(keys);
        }
        true
    }

    /// Begins with a large value, if it is still there, or copies a long string. Whether there was memory.
    fn begin_large(&mut self, keys: &mut Keyspace, key: &[u8]) -> bool {
        let database = keys.selected();
        let mut effects = core::mem::take(&mut keys.effects);
        let mut has_memory = true;
        if let Some(record) = keys.record(key) {
            match record.view() {
                View::Other(value) if is_large(record) => {
                    self.part = Some(Part::begin(&mut effects, database, key, value));
                }
                _ => {
                    let bytes = record.encoded_bytes();
                    has_memory = effects.try_reserve(usize::try_from(bytes).unwrap_or(usize::MAX));
                    if has_memory {
                        copy::write(&mut effects, database, record);
                        self.left_bytes = self.left_bytes.saturating_sub(bytes);
                    }
                }
            }
        }
        keys.effects = effects;
        has_memory
    }

    fn copy_keys(&mut self, keys: &mut Keyspace) {
        let mut effects = core::mem::take(&mut keys.effects);
        let (database, mut left_bytes) = (self.database, self.left_bytes);
        let next = keys.scan(self.cursor, KEYS_AT_ONCE, |record| {
            if is_large(record) {
                self.large.push(record.key().into());
            } else {
                copy::write(&mut effects, database, record);
                left_bytes = left_bytes.saturating_sub(record.encoded_bytes());
            }
        });
        self.left_bytes = left_bytes;
        keys.effects = effects;
        self.cursor = if next == 0 { u64::MAX } else { next };
    }
}

/// Whether a record is copied in parts, or by itself.
fn is_large(record: &Record) -> bool {
    let len = if let View::Other(value) = record.view() { value.len() } else { 1 };
    len > SMALL_LEN || record.encoded_bytes() > SMALL_BYTES
}

impl Part {
    /// Begins with a value. Nothing here removes what has expired: its time is copied, too.
    fn begin(effects: &mut Effects, database: usize, key: &[u8], value: &Value) -> Self {
        let rest = match value {
            Value::List(list) => {
                effects.part(Kind::ListBegin, &[&[database as u8], key]);
                Rest::Frozen(list.freeze())
            }
            _ => Rest::From(0),
        };
        Self { key: key.into(), rest }
    }

    /// Writes a part, and returns what is left.
    fn write(mut self, keys: &mut Keyspace, left_bytes: &mut u64) -> Option<Self> {
        let database = keys.selected();
        let mut effects = core::mem::take(&mut keys.effects);
        let record = keys.record(&self.key);
        let more = match &mut self.rest {
            Rest::Frozen(frozen) => write_list(&mut effects, database, &self.key, frozen),
            Rest::From(cursor) => match record.map(Record::view) {
                Some(View::Other(value)) => {
                    write_elements(&mut effects, database, &self.key, value, cursor)
                }
                _ => false,
            },
        };
        if let Some(record) = record.filter(|_| !more) {
            copy::write_expiry(&mut effects, database, record);
            *left_bytes = left_bytes.saturating_sub(record.encoded_bytes());
        }
        keys.effects = effects;
        more.then_some(self)
    }
}

fn write_list(effects: &mut Effects, database: usize, key: &[u8], frozen: &mut Frozen) -> bool {
    let database = [database as u8];
    let mut words: Vec<Vec<u8>> = Vec::new();
    frozen.visit_next(STEP_BYTES / 2, |element| words.push(element.to_vec()));
    let is_over = words.is_empty();
    let kind = if is_over { Kind::ListEnd } else { Kind::ListPart };
    let first = [&database[..], key];
    let words: Vec<&[u8]> = first.into_iter().chain(words.iter().map(|it| &it[..])).collect();
    effects.part(kind, &words);
    !is_over
}

/// Writes some elements from a cursor on. Whether there are more.
fn write_elements(
    effects: &mut Effects,
    database: usize,
    key: &[u8],
    value: &Value,
    cursor: &mut u64,
) -> bool {
    // The larger they are, the fewer at a time.
    let element_bytes = value.encoded_bytes() / value.len().max(1) as u64;
    let count =
        (STEP_BYTES as u64 / element_bytes.max(1)).clamp(1, ELEMENTS_AT_ONCE as u64) as usize;
    let mut parts = Parts::new(effects, database, copy::command_of(value), key);
    *cursor = match value {
        Value::Set(set) => set.scan(*cursor, count, |member| parts.add(&[member])),
        Value::Hash(hash) => hash.scan(*cursor, count, |field, value| parts.add(&[field, value])),
        Value::SortedSet(set) => set.scan(*cursor, count, |member, score| {
            parts.add(&[format_float(score).as_bytes(), member]);
        }),
        // A list here took the place of another value, and the log has all of it.
        Value::List(_) | Value::String(_) => 0,
    };
    parts.write();
    *cursor != 0
}

impl<D: Disk> Journal<D> {
    /// Begins to compact, or begins anew.
    pub(super) fn begin_compaction(&mut self, store: &mut Store) {
        store.persistence.is_compaction_asked = false;
        store.keys.effects.is_compacting = true;
        // What was changed before belongs before the mark.
        self.take(store);
        if self.commit(store).is_err() {
            // It is asked for again once the device works.
            store.keys.effects.is_compacting = self.compaction.is_some();
            return;
        }
        store.keys.effects.is_compaction_void = false;
        log::debug!("compacting: the log has {} bytes", self.log.used_bytes());
        self.compaction = Some(Compaction {
            mark: self.log.mark(),
            since: store.now,
            database: 0,
            cursor: 0,
            large: Vec::new(),
            part: None,
            left_bytes: store.keys.encoded_bytes(),
            grown_bytes: store.keys.grown_bytes(),
        });
        // The first record behind the mark, by which a replay knows that it begins with this compaction.
        store.keys.effects.part(Kind::CompactionBegin, &[]);
        self.take(store);
    }

    /// Goes on with a compaction, if there is one. Whether there is more to do.
    pub(super) fn compact_some(&mut self, store: &mut Store) -> bool {
        if store.keys.effects.is_compaction_void {
            self.begin_compaction(store);
        }
        if store.keys.effects.is_compaction_void {
            // It did not begin anew, and the old one must not end.
            return false;
        }
        let Some(compaction) = &mut self.compaction else { return false };
        if !store.keys.effects.as_bytes().is_empty() {
            // Changes of clients come first, and could not be logged.
            return false;
        }
        let more = compaction.step(&mut store.keys);
        self.take(store);
        if let Some((LogError::Full { .. }, _)) = self.failed {
            self.give_up(store);
            return false;
        }
        if self.commit(store).is_err() {
            return false;
        }
        if more {
            return true;
        }
        self.end_compaction(store);
        false
    }

    /// Ends a compaction for which there turned out to be no room. What it wrote does no harm: the log
    /// says the same from its old beginning.
    fn give_up(&mut self, store: &mut Store) {
        log::error!(
            "there is no room to compact the log: {} bytes are free",
            self.log.free_bytes()
        );
        store.keys.effects.clear();
        store.keys.effects.is_compacting = false;
        self.compaction = None;
        self.failed = None;
    }

    fn end_compaction(&mut self, store: &mut Store) {
        let Some(compaction) = &self.compaction else { return };
        if let Err(error) = self.log.retire_to(compaction.mark, &mut self.disk) {
            // It is tried again, as all of it is written.
            log::error!("the log cannot be shortened: {error}");
            return;
        }
        let seconds = store.now.saturating_sub(compaction.since).as_secs();
        log::debug!("compacted in {seconds} s: the log has {} bytes", self.log.used_bytes());
        self.compaction = None;
        store.keys.effects.is_compacting = false;
        let persistence = &mut store.persistence;
        persistence.compactions += 1;
        persistence.last_compaction_s = Some(seconds);
        persistence.last_compaction_unix_s = store.keys.now_ms() / 1000;
        persistence.changes_at_compaction = store.keys.changes;
        persistence.base_bytes = self.log.used_bytes();
    }
}
