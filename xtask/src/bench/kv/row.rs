//! The loads that a store is put under.

use std::fmt;

use anyhow::{Context, Result};

use crate::bench::load::resp::Command;

const CONNECTIONS_MAX: usize = 10_000;
const DEPTH_MAX: usize = 1000;
/// More than any machine has room for.
const KEYS_MAX: u64 = 1_000_000_000;

/// How commands are sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Pace {
    /// As fast as there are answers.
    Full,
    /// At a fixed rate.
    Rate,
}

/// A load. Its name is `[rate-|sync-]COMMAND-CONNECTIONS[-pDEPTH][-kKEYS]`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Row {
    pub(super) pace: Pace,
    /// Whether an answer means that the change is on the disk.
    pub(super) is_synchronous: bool,
    pub(super) command: Command,
    pub(super) connections: usize,
    /// Commands of a connection that are on their way at a time.
    pub(super) depth: usize,
    /// How many keys there are, if not as many as usual.
    pub(super) keys: Option<u64>,
}

impl Row {
    /// Those that are measured if nothing is said.
    pub(super) const USUAL: [&str; 11] = [
        "get-1",
        "set-1",
        "get-50",
        "set-50",
        "get-500",
        "set-500",
        "get-50-p16",
        "set-50-p16",
        "sync-set-50",
        "rate-get-50",
        "rate-set-50",
    ];

    /// Reads a name.
    ///
    /// # Errors
    /// If it is none.
    pub(super) fn parse(name: &str) -> Result<Self> {
        let help = || {
            format!(
                "'{name}' is no row; there are [rate-|sync-]COMMAND-CONNECTIONS[-pDEPTH][-kKEYS] with \
                 get, set, incr, lpush, mixed, and memory, size, start"
            )
        };
        Self::read(name).with_context(help)
    }

    fn read(name: &str) -> Option<Self> {
        let (pace, is_synchronous, rest) = match name.split_once('-')? {
            ("rate", rest) => (Pace::Rate, false, rest),
            ("sync", rest) => (Pace::Full, true, rest),
            _ => (Pace::Full, false, name),
        };
        let mut words = rest.split('-');
        let command = Command::parse(words.next()?).ok()?;
        let connections =
            number(words.next()?).filter(|count| (1..=CONNECTIONS_MAX).contains(count))?;
        let mut row = Self { pace, is_synchronous, command, connections, depth: 1, keys: None };
        for word in words {
            match word.split_at_checked(1)? {
                ("p", depth) => {
                    row.depth = number(depth).filter(|depth| (1..=DEPTH_MAX).contains(depth))?;
                }
                ("k", keys) => {
                    row.keys = Some(number(keys).filter(|keys| (1..=KEYS_MAX).contains(keys))?);
                }
                _ => return None,
            }
        }
        Some(row).filter(|row| row.to_string() == name)
    }

    /// The cost of a `GET` and of a `SET` among so many keys.
    pub(super) fn of_size(keys: u64) -> [Self; 2] {
        [Command::Get, Command::Set].map(|command| Self {
            pace: Pace::Full,
            is_synchronous: false,
            command,
            connections: 50,
            depth: 16,
            keys: Some(keys),
        })
    }
}

fn number<N: std::str::FromStr>(text: &str) -> Option<N> {
    text.parse().ok().filter(|_| text.bytes().all(|byte| byte.is_ascii_digit()))
}

impl fmt::Display for Row {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = match (self.pace, self.is_synchronous) {
            (Pace::Rate, _) => "rate-",
            (Pace::Full, true) => "sync-",
            (Pace::Full, false) => "",
        };
        write!(f, "{kind}{}-{}", self.command, self.connections)?;
        if self.depth > 1 {
            write!(f, "-p{}", self.depth)?;
        }
        self.keys.map_or(Ok(()), |keys| write!(f, "-k{keys}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_read_as_written() {
        let more = ["incr-1", "lpush-10000", "get-50-p16-k10000000", "rate-mixed-7-p2"];
        for name in Row::USUAL.into_iter().chain(more) {
            assert_eq!(Row::parse(name).unwrap().to_string(), name);
        }
        for row in Row::of_size(1000) {
            assert_eq!(Row::parse(&row.to_string()).unwrap(), row);
        }
        for name in [
            "",
            "get",
            "get-",
            "get-0",
            "del-1",
            "get-1-",
            "get-1-p1",
            "get-1-x2",
            "rate-sync-get-1",
        ] {
            assert!(Row::parse(name).is_err(), "{name}");
        }
    }
}
