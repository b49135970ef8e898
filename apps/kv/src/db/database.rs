//! One database: its keys, the index of those that expire, and how much a log of them takes.

use alloc::boxed::Box;
use alloc::collections::BTreeSet;

use super::dict::{Dict, Hasher, Keyed};
use super::record::Record;

/// A database. Its index names each key that expires by time and hash, so that the next is found at
/// once; two keys that share both (2^-64) share the entry, and the second expires when it is looked at.
#[derive(Debug)]
pub(super) struct Database {
    pub(super) keys: Dict<Record>,
    pub(super) expiries: BTreeSet<(u64, u64)>,
    pub(super) encoded_bytes: u64,
    /// By how much the former ever grew.
    pub(super) grown_bytes: u64,
}

impl Database {
    pub(super) fn new(hasher: Hasher) -> Self {
        Self {
            keys: Dict::new(hasher),
            expiries: BTreeSet::new(),
            encoded_bytes: 0,
            grown_bytes: 0,
        }
    }

    /// Puts a record in the place of the one with its key, which is returned.
    pub(super) fn insert(&mut self, hash: u64, record: Record) -> Option<Record> {
        self.encoded_bytes += record.encoded_bytes();
        self.grown_bytes += record.encoded_bytes();
        let expires_at = record.expires_at();
        let old = match self.keys.get_mut_hashed(hash, record.key()) {
            Some(place) => Some(core::mem::replace(place, record)),
            None => {
                self.keys.insert_new_hashed(hash, record);
                None
            }
        };
        if let Some(old) = &old {
            self.forget(hash, old);
        }
        if let Some(at) = expires_at {
            self.expiries.insert((at, hash));
        }
        old
    }

    pub(super) fn remove(&mut self, hash: u64, key: &[u8]) -> Option<Record> {
        let record = self.keys.remove_hashed(hash, key)?;
        self.forget(hash, &record);
        Some(record)
    }

    fn forget(&mut self, hash: u64, record: &Record) {
        self.encoded_bytes -= record.encoded_bytes();
        if let Some(at) = record.expires_at() {
            self.expiries.remove(&(at, hash));
        }
    }

    /// Changes a record, other than in its key and its expiry.
    pub(super) fn edit<R>(
        &mut self,
        hash: u64,
        key: &[u8],
        change: impl FnOnce(&mut Record) -> R,
    ) -> Option<R> {
        let record = self.keys.get_mut_hashed(hash, key)?;
        let before = record.encoded_bytes();
        let result = change(record);
        let after = record.encoded_bytes();
        self.encoded_bytes = self.encoded_bytes - before + after;
        self.grown_bytes += after.saturating_sub(before);
        Some(result)
    }

    /// Changes when a key expires. Whether it is there.
    pub(super) fn set_expiry(&mut self, hash: u64, key: &[u8], expires_at: Option<u64>) -> bool {
        let change = |record: &mut Record| {
            let old = record.expires_at();
            record.set_expires_at(expires_at);
            old
        };
        let Some(old) = self.edit(hash, key, change) else { return false };
        if let Some(at) = old {
            self.expiries.remove(&(at, hash));
        }
        if let Some(at) = expires_at {
            self.expiries.insert((at, hash));
        }
        true
    }

    /// The key that expired first, if one has.
    pub(super) fn next_expired(&mut self, now_ms: u64) -> Option<Box<[u8]>> {
        loop {
            let &(at, hash) = self.expiries.first().filter(|(at, _)| *at <= now_ms)?;
            let same = |record: &Record| record.expires_at() == Some(at);
            if let Some(record) = self.keys.find_by_hash(hash, same) {
                return Some(record.key().into());
            }
            // The second of two keys with one entry, whose first is gone.
            self.expiries.remove(&(at, hash));
        }
    }

    /// The key that expires next.
    pub(super) fn next_to_expire(&self) -> Option<&Record> {
        let &(at, hash) = self.expiries.first()?;
        self.keys.find_by_hash(hash, |record| record.expires_at() == Some(at))
    }

    /// Some key that expires: the one after a random hash among those that expire about now, which is
    /// near enough for eviction.
    pub(super) fn random_expiring(&self, random: u64) -> Option<&Record> {
        let (first, last) = (self.expiries.first()?.0, self.expiries.last()?.0);
        let at = first + random % (last - first + 1);
        let mut from = self.expiries.range((at, random)..);
        let &(at, hash) = from.next().or_else(|| self.expiries.first())?;
        self.keys.find_by_hash(hash, |record| record.expires_at() == Some(at))
    }
}
