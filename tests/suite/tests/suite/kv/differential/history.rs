//! What was sent before, to tell how a difference came about.

use std::collections::VecDeque;

use super::grammar::Sent;
use super::wire::{Reply, Words, shown};

/// Commands that are kept.
const KEPT: usize = 5000;
/// Commands that are told.
const TOLD: usize = 30;

/// The last commands.
#[derive(Default)]
pub(super) struct History(VecDeque<Entry>);

struct Entry {
    connection: usize,
    words: Words,
    /// Whether it was done, rather than refused or put off.
    is_done: bool,
}

impl Entry {
    fn is(&self, name: &str) -> bool {
        self.words[0].eq_ignore_ascii_case(name.as_bytes())
    }

    fn is_one_of(&self, names: &[&str]) -> bool {
        names.iter().any(|name| self.is(name))
    }

    fn line(&self) -> String {
        format!("{}> {}", self.connection, shown(&self.words))
    }
}

impl History {
    pub(super) fn add(&mut self, connection: usize, words: &[Vec<u8>], redis: &Reply) {
        if self.0.len() == KEPT {
            self.0.pop_front();
        }
        let is_done = !redis.is_line("QUEUED") && !matches!(redis, Reply::Line(b'-', _));
        self.0.push_back(Entry { connection, words: words.to_vec(), is_done });
    }

    /// Tells a difference in what came last, after the commands that had to do with its keys. If it ends a
    /// transaction, they are those with the keys that it watched, or changed in `queue`.
    pub(super) fn tell(&self, queue: &[Sent], told: &str) -> String {
        let Some(last) = self.0.back() else { return told.to_owned() };
        let is_exec = last.is("EXEC");
        let watch = if is_exec { self.watch(last.connection) } else { None };
        let keys: Vec<&Vec<u8>> = match watch {
            Some(at) => self
                .0
                .range(at..)
                .filter(|it| it.is("WATCH"))
                .flat_map(|it| &it.words[1..])
                .collect(),
            None if is_exec => queue.iter().flat_map(|sent| &sent.words[1..]).collect(),
            None => last.words[1..].iter().collect(),
        };
        let matters = |entry: &&Entry| {
            let is_mode = entry.is_one_of(&["SELECT", "FLUSHALL", "FLUSHDB"])
                || (is_exec && entry.is_one_of(&["MULTI", "EXEC", "DISCARD", "UNWATCH"]));
            entry.words.iter().any(|word| is_key(word) && keys.contains(&word))
                || entry.is("SWAPDB")
                || (is_mode && entry.connection == last.connection)
        };
        let related = self.0.range(watch.unwrap_or(0)..).rev().skip(1).filter(matters);
        let mut lines: Vec<String> = related.take(TOLD).map(Entry::line).collect();
        lines.reverse();
        format!("{}\n=> {}\n{told}", lines.join("\n"), last.line())
    }

    /// Where the first `WATCH` of a connection's last transaction is, if it has one.
    fn watch(&self, connection: usize) -> Option<usize> {
        let is_here =
            |(_, entry): &(usize, &Entry)| entry.connection == connection && entry.is_done;
        let before = self.0.iter().enumerate().rev().skip(1).filter(is_here);
        let these = before.take_while(|(_, it)| !it.is_one_of(&["EXEC", "DISCARD", "UNWATCH"]));
        these.filter(|(_, entry)| entry.is("WATCH")).map(|(at, _)| at).last()
    }
}

/// Whether a word looks like a key of the grammar's.
fn is_key(word: &[u8]) -> bool {
    matches!(word, [b's' | b'l' | b'h' | b't' | b'z' | b'q' | b'y', b'0'..=b'9'])
}
