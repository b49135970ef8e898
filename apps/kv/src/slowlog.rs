//! Commands that took long: `SLOWLOG`.
//!
//! An entry keeps so much of its command that it can be told which it was, and no more; and all entries together
//! are bounded in bytes, whatever number of them is configured.

use alloc::boxed::Box;
use alloc::collections::VecDeque;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use core::time::Duration;

use crate::client::Client;
use crate::frame::Request;

/// Words of a command that are kept; the last says how many more there were.
const WORDS_MAX: usize = 32;
/// Bytes of a word that are kept.
const WORD_BYTES_MAX: usize = 128;
/// What an entry and a word take beside their bytes, about.
const ENTRY_BYTES: usize = 160;
const WORD_BYTES: usize = 32;

/// A command that took long.
#[derive(Debug)]
pub struct Entry {
    /// Its number, never used twice.
    pub id: u64,
    /// When it ran, in seconds since 1970.
    pub unix_s: u64,
    /// How long it took, in microseconds.
    pub took_us: u64,
    /// Its words.
    pub words: Vec<Box<[u8]>>,
    /// Who sent it.
    pub peer: String,
    /// The name of that client.
    pub name: Box<[u8]>,
}

impl Entry {
    fn bytes(&self) -> usize {
        let words: usize = self.words.iter().map(|word| word.len() + WORD_BYTES).sum();
        ENTRY_BYTES + words + self.peer.len() + self.name.len()
    }
}

/// The last commands that took long.
#[derive(Debug, Default)]
pub struct SlowLog {
    entries: VecDeque<Entry>,
    next_id: u64,
    bytes: usize,
}

impl SlowLog {
    /// The newest first.
    pub fn newest(&self) -> impl Iterator<Item = &Entry> {
        self.entries.iter().rev()
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Forgets all.
    pub fn clear(&mut self) {
        self.entries.clear();
        self.bytes = 0;
    }

    /// Adds one, and forgets the oldest beyond `len_max` entries and `bytes_max` bytes.
    pub fn add(
        &mut self,
        client: &Client,
        request: Request<'_>,
        took: Duration,
        unix: Duration,
        (len_max, bytes_max): (usize, usize),
    ) {
        let name = client.name.borrow();
        let entry = Entry {
            id: self.next_id,
            unix_s: unix.as_secs(),
            took_us: u64::try_from(took.as_micros()).unwrap_or(u64::MAX),
            words: kept_words(request),
            peer: format!("{}", client.peer),
            name: shortened(&name),
        };
        self.next_id += 1;
        self.bytes += entry.bytes();
        self.entries.push_back(entry);
        while self.entries.len() > len_max || self.bytes > bytes_max {
            let Some(oldest) = self.entries.pop_front() else { break };
            self.bytes -= oldest.bytes();
        }
    }
}

fn kept_words(request: Request<'_>) -> Vec<Box<[u8]>> {
    let is_config = request.get(0).is_some_and(|name| name.eq_ignore_ascii_case(b"CONFIG"));
    let kept = if request.len() > WORDS_MAX { WORDS_MAX - 1 } else { request.len() };
    let mut words: Vec<Box<[u8]>> = Vec::with_capacity(kept + 1);
    let mut is_secret = false;
    for word in request.iter().take(kept) {
        words.push(if is_secret { Box::from(*b"(redacted)") } else { shortened(word) });
        is_secret = is_config && word.eq_ignore_ascii_case(b"REQUIREPASS");
    }
    if kept < request.len() {
        let more = request.len() - kept;
        words.push(format!("... ({more} more arguments)").into_bytes().into());
    }
    words
}

fn shortened(word: &[u8]) -> Box<[u8]> {
    if word.len() <= WORD_BYTES_MAX {
        return word.into();
    }
    let more = word.len() - WORD_BYTES_MAX;
    let mut kept = word[..WORD_BYTES_MAX].to_vec();
    kept.extend_from_slice(format!("... ({more} more bytes)").as_bytes());
    kept.into()
}
