//! Memory in the background: what was removed is freed in pieces, and records move to where they lie better.
//!
//! It decides neither what goes nor when: the server calls it between requests.

use alloc::collections::BTreeSet;
use alloc::vec::Vec;

use super::dict::Dict;
use super::record::Record;
use super::value::Value;
use super::{DATABASES, Keyspace};

/// A value with more elements is not freed at once.
const FREED_AT_ONCE: usize = 64;

/// What is freed bit by bit.
#[derive(Debug)]
pub(super) enum Garbage {
    Value(Value),
    Keys(Dict<Record>),
    Expiries(BTreeSet<(u64, u64)>),
}

impl Keyspace {
    /// Frees about so many elements of what was removed. Whether there is more.
    pub fn free_some(&mut self, count: usize) -> bool {
        let mut left = count;
        while left > 0
            && let Some(garbage) = self.garbage.last_mut()
        {
            let mut large = Vec::new();
            let freed = match garbage {
                Garbage::Value(value) => value.drain_some(left),
                Garbage::Keys(keys) => {
                    keys.drain_some_with(left, |record| large.extend(large_value(record)))
                }
                Garbage::Expiries(expiries) => {
                    (0..left).take_while(|_| expiries.pop_first().is_some()).count()
                }
            };
            if freed == 0 {
                self.garbage.pop();
            }
            self.garbage.extend(large.into_iter().map(Garbage::Value));
            left = left.saturating_sub(freed.max(1));
        }
        !self.garbage.is_empty()
    }

    /// Looks at about so many records, and copies those that would lie better in memory then. How many
    /// it copied. Each call goes on where the last one ended.
    pub fn gather(&mut self, would_move: fn(&[u8]) -> bool, count: usize) -> usize {
        let (mut looked_at, mut copied) = (0, 0);
        // Once around at most.
        for _ in 0..=DATABASES {
            let (database, segment) = &mut self.gathered;
            let keys = &mut self.databases[*database].keys;
            while looked_at < count
                && let Some(records) = keys.segment_mut(*segment)
            {
                looked_at += records.len();
                copied += records.iter_mut().filter_map(|it| it.gather(would_move)).count();
                *segment += 1;
            }
            if looked_at >= count {
                break;
            }
            self.gathered = ((*database + 1) % DATABASES, 0);
        }
        copied
    }

    /// Values, and databases, that are being freed.
    pub fn garbage_len(&self) -> usize {
        self.garbage.len()
    }

    /// Frees what a record has, later if it is much.
    pub fn discard(&mut self, record: Record) {
        self.garbage.extend(large_value(record).map(Garbage::Value));
    }
}

/// The value of a record that goes, if it is too much to be freed at once.
fn large_value(record: Record) -> Option<Value> {
    record.into_value().filter(|value| value.len() > FREED_AT_ONCE)
}
