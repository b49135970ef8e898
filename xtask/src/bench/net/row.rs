//! What servers are asked for.

use std::fmt;

use anyhow::{Context, Result};

/// Something to do with a server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Row {
    /// Bulk TCP from the server.
    Out,
    /// Bulk TCP to the server.
    In,
    /// Echo of datagrams.
    Udp,
    /// A byte there and back over TCP.
    Rtt,
    /// Bulk TCP from the server, over the lossy link.
    LossyOut,
    /// Bulk TCP to the server, over the lossy link.
    LossyIn,
}

impl Row {
    /// All of them.
    pub(super) const ALL: [Self; 6] =
        [Self::Out, Self::In, Self::Udp, Self::Rtt, Self::LossyOut, Self::LossyIn];

    /// By its name.
    ///
    /// # Errors
    /// If there is none of that name.
    pub(super) fn parse(name: &str) -> Result<Self> {
        let found = Self::ALL.into_iter().find(|row| row.word() == name);
        let words = Self::ALL.map(Self::word).join(", ");
        found.with_context(|| format!("'{name}' is no row; there are {words}"))
    }

    fn word(self) -> &'static str {
        match self {
            Self::Out => "out",
            Self::In => "in",
            Self::Udp => "udp",
            Self::Rtt => "rtt",
            Self::LossyOut => "lossy-out",
            Self::LossyIn => "lossy-in",
        }
    }

    /// Whether bytes are counted, and not answers.
    pub(super) fn is_bulk(self) -> bool {
        !matches!(self, Self::Udp | Self::Rtt)
    }

    /// Whether it takes place over the lossy link.
    pub(super) fn is_lossy(self) -> bool {
        matches!(self, Self::LossyOut | Self::LossyIn)
    }

    /// Whether the client is the one that sends.
    pub(super) fn is_in(self) -> bool {
        matches!(self, Self::In | Self::LossyIn)
    }
}

impl fmt::Display for Row {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.word())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_read_as_written() {
        for row in Row::ALL {
            assert_eq!(Row::parse(&row.to_string()).unwrap(), row);
        }
        assert!(Row::parse("up").unwrap_err().to_string().contains("lossy-out"));
    }
}
