//! What is measured: systems, what they do, and which of them do what.

use std::fmt::{self, Display};
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// A way to run a program.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum System {
    /// Our guest with a TAP interface of its own.
    NablaTap,
    /// Our guest before a gateway, a socket between them.
    NablaPlain,
    /// Our guest on a ring, behind which a gateway carries frames to a TAP interface.
    NablaRing,
    /// Our guest on a ring before a gateway with sockets of the host.
    NablaUser,
    /// Our guest's file under Solo5's tender.
    Solo5Tap,
    /// A process as any other.
    Native,
    /// A process under Docker's default filter and nothing else.
    Docker,
    /// A container.
    Runc,
    /// A container whose kernel is a program.
    Gvisor,
}

/// What a system does while it is looked at.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Workload {
    /// It says hello and ends.
    Hello,
    /// A web server answers requests for a page of 1 KiB.
    Httpd,
    /// A key-value store sets and gets.
    Kv,
    /// Blocks of a disk are read and written.
    Block,
    /// A program makes all system calls that it can think of.
    Fuzz,
    /// Nothing runs: the kernel's code is looked at.
    Code,
}

impl System {
    /// All, in the order of reports.
    pub const ALL: [Self; 9] = [
        Self::NablaTap,
        Self::NablaPlain,
        Self::NablaRing,
        Self::NablaUser,
        Self::Solo5Tap,
        Self::Native,
        Self::Docker,
        Self::Runc,
        Self::Gvisor,
    ];

    /// Its word in names of files and in options.
    pub const fn word(self) -> &'static str {
        match self {
            Self::NablaTap => "nabla-tap",
            Self::NablaPlain => "nabla-plain",
            Self::NablaRing => "nabla-ring",
            Self::NablaUser => "nabla-user",
            Self::Solo5Tap => "solo5-tap",
            Self::Native => "native",
            Self::Docker => "docker",
            Self::Runc => "runc",
            Self::Gvisor => "gvisor",
        }
    }

    /// Whether it runs unikernels under our tender.
    pub const fn is_ours(self) -> bool {
        matches!(self, Self::NablaTap | Self::NablaPlain | Self::NablaRing | Self::NablaUser)
    }

    /// Whether its guest shares memory with a gateway.
    pub const fn has_ring(self) -> bool {
        matches!(self, Self::NablaRing | Self::NablaUser)
    }

    /// Whether it can do that: a network is not looked at twice with a workload that has none.
    pub const fn does(self, workload: Workload) -> bool {
        match workload {
            Workload::Hello | Workload::Block => {
                !matches!(self, Self::NablaPlain | Self::NablaRing | Self::NablaUser | Self::Docker)
            }
            Workload::Httpd | Workload::Kv => !matches!(self, Self::Docker),
            Workload::Fuzz => !matches!(self, Self::NablaPlain | Self::NablaUser | Self::Solo5Tap),
            Workload::Code => matches!(self, Self::Native),
        }
    }
}

impl Workload {
    /// All, in the order of reports.
    pub const ALL: [Self; 6] =
        [Self::Hello, Self::Httpd, Self::Kv, Self::Block, Self::Fuzz, Self::Code];

    /// Those of which the functions are told that a system reaches in its service.
    pub const SURFACE: [Self; 4] = [Self::Hello, Self::Httpd, Self::Kv, Self::Block];

    /// Its word in names of files and in options.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Hello => "hello",
            Self::Httpd => "httpd",
            Self::Kv => "kv",
            Self::Block => "block",
            Self::Fuzz => "fuzz",
            Self::Code => "code",
        }
    }
}

impl Display for System {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.word())
    }
}

impl Display for Workload {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.word())
    }
}

impl FromStr for System {
    type Err = String;

    fn from_str(word: &str) -> Result<Self, String> {
        let found = Self::ALL.into_iter().find(|system| system.word() == word);
        found.ok_or_else(|| unknown("system", word, &Self::ALL.map(Self::word)))
    }
}

impl FromStr for Workload {
    type Err = String;

    fn from_str(word: &str) -> Result<Self, String> {
        let found = Self::ALL.into_iter().find(|workload| workload.word() == word);
        found.ok_or_else(|| unknown("workload", word, &Self::ALL.map(Self::word)))
    }
}

fn unknown(what: &str, word: &str, words: &[&str]) -> String {
    format!("'{word}' is no {what}; there are {}", words.join(", "))
}

/// What a virtual machine is told to do.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq, Serialize)]
pub struct Scenario {
    /// Who.
    pub system: System,
    /// What.
    pub workload: Workload,
    /// How often the steady state is looked at.
    pub repeats: u32,
    /// Requests each time.
    pub requests: u32,
    /// What random numbers begin with.
    pub seed: u64,
    /// System calls of the fuzzer.
    pub calls: u64,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_read_as_they_are_written() {
        for system in System::ALL {
            assert_eq!(system.word().parse(), Ok(system));
            assert_eq!(serde_json::json!(system), system.word());
        }
        for workload in Workload::ALL {
            assert_eq!(workload.word().parse(), Ok(workload));
            assert_eq!(serde_json::json!(workload), workload.word());
        }
        let error = "xen".parse::<System>().unwrap_err();
        assert!(error.contains("nabla-tap"), "{error}");
    }
}
