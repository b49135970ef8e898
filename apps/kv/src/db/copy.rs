//! A value as the commands that make it anew: for the log, when a key gets another name or database,
//! and when it is compacted.

use alloc::vec::Vec;

use super::Keyspace;
use super::dict::Keyed;
use super::effect::Effects;
use super::record::{Record, View};
use super::value::Value;
use crate::frame::Request;
use crate::number::{Decimal, format_float};

/// Words of one command, and their bytes, at most about.
const WORDS_MAX: usize = 128;
const BYTES_MAX: usize = 32 << 10;

/// A command that grows by elements and is written whenever it is large enough.
#[derive(Debug)]
pub struct Parts<'a> {
    effects: &'a mut Effects,
    database: usize,
    name: &'static [u8],
    key: &'a [u8],
    words: Vec<Vec<u8>>,
    bytes: usize,
}

impl<'a> Parts<'a> {
    /// The command `name key ...`.
    pub fn new(
        effects: &'a mut Effects,
        database: usize,
        name: &'static str,
        key: &'a [u8],
    ) -> Self {
        let name = name.as_bytes();
        Self { effects, database, name, key, words: Vec::new(), bytes: 0 }
    }

    /// Adds words that stay together.
    pub fn add(&mut self, words: &[&[u8]]) {
        for word in words {
            self.bytes += word.len();
            self.words.push(word.to_vec());
        }
        if self.words.len() >= WORDS_MAX || self.bytes >= BYTES_MAX {
            self.write();
        }
    }

    /// Writes what there is.
    pub fn write(&mut self) {
        if self.words.is_empty() {
            return;
        }
        let first = [self.name, self.key];
        let words: Vec<&[u8]> =
            first.into_iter().chain(self.words.iter().map(|w| &w[..])).collect();
        self.effects.command(self.database, &words);
        self.words.clear();
        self.bytes = 0;
    }
}

/// Writes commands that make a record what it is, whatever was there.
pub fn write(effects: &mut Effects, database: usize, record: &Record) {
    let key = record.key();
    match record.view() {
        View::String(bytes) => write_string(effects, database, record, bytes),
        View::Other(value) => {
            effects.command(database, &[b"DEL", key]);
            write_elements(effects, database, key, value);
            write_expiry(effects, database, record);
        }
    }
}

/// The same with the elements of sets and hashes in order, to compare.
#[cfg(test)]
pub(crate) fn write_sorted(effects: &mut Effects, database: usize, record: &Record) {
    let mut elements: Vec<Vec<Vec<u8>>> = Vec::new();
    match record.view() {
        View::Other(Value::Set(set)) => {
            set.for_each(|member| elements.push(alloc::vec![member.to_vec()]))
        }
        View::Other(Value::Hash(hash)) => {
            hash.iter().for_each(|(field, value)| {
                elements.push(alloc::vec![field.to_vec(), value.to_vec()])
            });
        }
        _ => return write(effects, database, record),
    }
    elements.sort();
    effects.command(database, &[b"DEL", record.key()]);
    for element in elements {
        let words: Vec<&[u8]> = element.iter().map(|word| &word[..]).collect();
        effects.command(database, &words);
    }
    write_expiry(effects, database, record);
}

fn write_string(effects: &mut Effects, database: usize, record: &Record, bytes: &[u8]) {
    let key = record.key();
    match record.expires_at() {
        None => effects.command(database, &[b"SET", key, bytes]),
        Some(at) => {
            let at = Decimal::of_unsigned(at);
            effects.command(database, &[b"SET", key, bytes, b"PXAT", at.as_bytes()]);
        }
    }
}

/// Writes when a record expires, if it does.
pub fn write_expiry(effects: &mut Effects, database: usize, record: &Record) {
    if let Some(at) = record.expires_at() {
        let at = Decimal::of_unsigned(at);
        effects.command(database, &[b"PEXPIREAT", record.key(), at.as_bytes()]);
    }
}

fn write_elements(effects: &mut Effects, database: usize, key: &[u8], value: &Value) {
    let mut parts = Parts::new(effects, database, command_of(value), key);
    match value {
        Value::String(_) => {}
        Value::List(list) => list.iter().for_each(|element| parts.add(&[element])),
        Value::Set(set) => set.for_each(|member| parts.add(&[member])),
        Value::Hash(hash) => hash.iter().for_each(|(field, value)| parts.add(&[field, value])),
        Value::SortedSet(set) => {
            set.iter().for_each(|(member, score)| {
                parts.add(&[format_float(score).as_bytes(), member]);
            });
        }
    }
    parts.write();
}

/// The command that adds elements to a value.
pub const fn command_of(value: &Value) -> &'static str {
    match value {
        Value::String(_) => "APPEND",
        Value::List(_) => "RPUSH",
        Value::Set(_) => "SADD",
        Value::Hash(_) => "HSET",
        Value::SortedSet(_) => "ZADD",
    }
}

/// A value that takes more in the log is not copied there only because its name changed.
const COPIED_BYTES_MAX: u64 = 16 << 20;

impl Keyspace {
    /// The record of a key in the selected database, even if it has expired and was not removed yet.
    pub(crate) fn record(&self, key: &[u8]) -> Option<&Record> {
        self.here().keys.get(key)
    }

    /// Tells the log that a key has another name now.
    pub fn log_rename(&mut self, from: &[u8], to: &[u8]) {
        let is_large = self.peek(to).is_some_and(|it| it.encoded_bytes() > COPIED_BYTES_MAX);
        if self.effects.is_compacting && !is_large {
            self.log(&[b"DEL", from]);
            self.log_whole(to);
        } else {
            self.effects.is_compaction_void |= self.effects.is_compacting;
            self.log(&[b"RENAME", from, to]);
        }
    }

    /// Tells the log that two databases were exchanged.
    pub fn log_swap(&mut self, request: Request<'_>) {
        self.effects.is_compaction_void |= self.effects.is_compacting;
        self.log_request(request);
    }

    /// Tells the log all of a key's value, as what it is does not follow from its own history.
    pub fn log_whole(&mut self, key: &[u8]) {
        if !self.effects.is_kept() {
            return;
        }
        let hash = self.hasher.hash(key);
        if let Some(record) = self.databases[self.selected].keys.get_hashed(hash, key) {
            write(&mut self.effects, self.selected, record);
        }
    }
}
