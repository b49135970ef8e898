//! The loads that a server is put under.

use std::fmt;

use anyhow::{Context, Result, bail, ensure};

/// The most connections: a port each, of one address.
const CONNECTIONS_MAX: usize = 60_000;

/// How requests are made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Load {
    /// As fast as there are answers, over connections that stay.
    Keep,
    /// As fast as there are answers, each over a connection of its own.
    Short,
    /// At a fixed rate, over connections that stay.
    Rate,
}

/// A load, and over how many connections at a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Row {
    pub(super) load: Load,
    pub(super) connections: usize,
}

impl Row {
    /// Those that are measured if nothing is said.
    pub(super) fn all() -> Vec<Self> {
        let row = |(load, connections)| Self { load, connections };
        [
            (Load::Keep, 1),
            (Load::Keep, 64),
            (Load::Keep, 1000),
            (Load::Keep, 10_000),
            (Load::Short, 64),
            (Load::Rate, 64),
        ]
        .map(row)
        .into()
    }

    /// All loads with as many connections.
    ///
    /// # Errors
    /// If it is none, or too many.
    pub(super) fn with_connections(connections: usize) -> Result<Vec<Self>> {
        let possible = (1..=CONNECTIONS_MAX).contains(&connections);
        ensure!(possible, "--connections is from 1 to {CONNECTIONS_MAX}");
        Ok([Load::Keep, Load::Short, Load::Rate].map(|load| Self { load, connections }).into())
    }

    /// Reads a name such as `keep-64`.
    ///
    /// # Errors
    /// If it is none.
    pub(super) fn parse(name: &str) -> Result<Self> {
        let help = || format!("'{name}' is no load; there are keep-N, short-N and rate-N");
        let (load, connections) = name.split_once('-').with_context(help)?;
        let load = match load {
            "keep" => Load::Keep,
            "short" => Load::Short,
            "rate" => Load::Rate,
            _ => bail!(help()),
        };
        let connections = connections.parse().ok();
        let possible = connections.filter(|count| (1..=CONNECTIONS_MAX).contains(count));
        Ok(Self { load, connections: possible.with_context(help)? })
    }
}

impl fmt::Display for Row {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let load = match self.load {
            Load::Keep => "keep",
            Load::Short => "short",
            Load::Rate => "rate",
        };
        write!(f, "{load}-{}", self.connections)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_read_as_written() {
        for row in Row::all() {
            assert_eq!(Row::parse(&row.to_string()).unwrap(), row);
        }
        for name in ["", "keep", "keep-", "keep-0", "long-1", "short-60001", "rate--1"] {
            assert!(Row::parse(name).is_err(), "{name}");
        }
    }
}
