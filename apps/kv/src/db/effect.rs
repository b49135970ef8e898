//! Changes as the log has them: commands with a single key, written so that repeating them gives the
//! same state, whatever else happened.
//!
//! A record is the number of its database, the number of its words, and each word after its length;
//! numbers are LEB128. The first byte is 16 and more for what is no command, see [`Kind`].

use alloc::vec::Vec;

use crate::frame::{Owned, Request};

/// What a record says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A command in the database with this number.
    Command {
        /// Less than [`DATABASES`](super::DATABASES).
        database: usize,
    },
    /// The elements of a list begin that is copied while it changes: database and key.
    ListBegin,
    /// More of its elements.
    ListPart,
    /// It is complete.
    ListEnd,
    /// A compaction begins: what follows, up to its end, tells all that there is.
    CompactionBegin,
    /// It is complete.
    CompactionEnd,
}

const LIST_BEGIN: u8 = 16;
const LIST_PART: u8 = 17;
const LIST_END: u8 = 18;
const COMPACTION_BEGIN: u8 = 19;
const COMPACTION_END: u8 = 20;

/// Records that the log does not have yet.
#[derive(Debug, Default)]
pub struct Effects {
    bytes: Vec<u8>,
    is_kept: bool,
    count: u64,
    /// Whether the log is being compacted. Then nothing that depends on another key may be told to it, as
    /// that key's value may not be in the new part yet.
    pub is_compacting: bool,
    /// Whether that was told all the same, so that the compaction has to begin anew.
    pub is_compaction_void: bool,
}

impl Effects {
    /// Whether records are kept at all; they are not at first.
    pub const fn keep(&mut self, is_kept: bool) {
        self.is_kept = is_kept;
    }

    /// Whether they are.
    pub const fn is_kept(&self) -> bool {
        self.is_kept
    }

    /// How many records there ever were.
    pub const fn count(&self) -> u64 {
        self.count
    }

    /// Adds a command.
    pub fn command(&mut self, database: usize, words: &[&[u8]]) {
        self.record(database as u8, words.iter().copied());
    }

    /// Adds a request as it came.
    pub fn request(&mut self, database: usize, request: Request<'_>) {
        self.record(database as u8, request.iter());
    }

    /// Adds a part of a compaction.
    pub fn part(&mut self, kind: Kind, words: &[&[u8]]) {
        let byte = match kind {
            Kind::Command { database } => database as u8,
            Kind::ListBegin => LIST_BEGIN,
            Kind::ListPart => LIST_PART,
            Kind::ListEnd => LIST_END,
            Kind::CompactionBegin => COMPACTION_BEGIN,
            Kind::CompactionEnd => COMPACTION_END,
        };
        self.record(byte, words.iter().copied());
    }

    fn record<'a>(&mut self, kind: u8, words: impl ExactSizeIterator<Item = &'a [u8]>) {
        if !self.is_kept {
            return;
        }
        self.count += 1;
        self.bytes.push(kind);
        put_number(&mut self.bytes, words.len());
        for word in words {
            put_number(&mut self.bytes, word.len());
            self.bytes.extend_from_slice(word);
        }
    }

    /// What there is.
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Makes room for so many bytes. Whether there is memory for them.
    pub fn try_reserve(&mut self, bytes: usize) -> bool {
        self.bytes.try_reserve_exact(bytes).is_ok()
    }

    /// Forgets everything, and memory beyond a small buffer.
    pub fn clear(&mut self) {
        self.bytes.clear();
        self.bytes.shrink_to(4096);
    }
}

fn put_number(bytes: &mut Vec<u8>, mut number: usize) {
    while number >= 0x80 {
        bytes.push(number as u8 | 0x80);
        number >>= 7;
    }
    bytes.push(number as u8);
}

/// A record is not as it is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Malformed;

/// Takes the first record off `bytes`. Its words are in `words`, which is overwritten.
///
/// # Errors
/// If it is not one.
pub fn take<'a>(bytes: &mut &'a [u8], words: &mut Owned) -> Result<(Kind, &'a [u8]), Malformed> {
    let whole = *bytes;
    let (&kind, mut rest) = whole.split_first().ok_or(Malformed)?;
    let kind = match kind {
        LIST_BEGIN => Kind::ListBegin,
        LIST_PART => Kind::ListPart,
        LIST_END => Kind::ListEnd,
        COMPACTION_BEGIN => Kind::CompactionBegin,
        COMPACTION_END => Kind::CompactionEnd,
        database if usize::from(database) < super::DATABASES => {
            Kind::Command { database: usize::from(database) }
        }
        _ => return Err(Malformed),
    };
    let count = take_number(&mut rest)?;
    words.clear();
    for _ in 0..count {
        let length = take_number(&mut rest)?;
        let (_, after) = rest.split_at_checked(length).ok_or(Malformed)?;
        let start = whole.len() - rest.len();
        words.push_span(start, start + length).ok_or(Malformed)?;
        rest = after;
    }
    *bytes = rest;
    Ok((kind, &whole[..whole.len() - rest.len()]))
}

fn take_number(bytes: &mut &[u8]) -> Result<usize, Malformed> {
    let mut number = 0_usize;
    for shift in (0..35).step_by(7) {
        let (&byte, rest) = bytes.split_first().ok_or(Malformed)?;
        *bytes = rest;
        number |= usize::from(byte & 0x7f) << shift;
        if byte < 0x80 {
            return Ok(number);
        }
    }
    Err(Malformed)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn records_are_read_as_they_were_written(
            records in prop::collection::vec(
                (0_usize..16, prop::collection::vec(prop::collection::vec(any::<u8>(), 0..200), 0..5)), 0..5),
        ) {
            let mut effects = Effects::default();
            effects.keep(true);
            for (database, words) in &records {
                let words: Vec<&[u8]> = words.iter().map(|word| &word[..]).collect();
                effects.command(*database, &words);
            }
            let mut bytes = effects.as_bytes();
            let mut owned = Owned::default();
            for (database, words) in &records {
                let (kind, record) = take(&mut bytes, &mut owned).unwrap();
                prop_assert_eq!(kind, Kind::Command { database: *database });
                let read: Vec<_> = owned.request(record).iter().map(<[u8]>::to_vec).collect();
                prop_assert_eq!(&read, words);
            }
            prop_assert!(bytes.is_empty());
        }

        #[test]
        fn anything_is_survived(bytes in prop::collection::vec(any::<u8>(), 0..100)) {
            let mut rest = &bytes[..];
            let mut owned = Owned::default();
            while take(&mut rest, &mut owned).is_ok() {}
        }
    }
}
