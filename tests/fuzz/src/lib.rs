//! Fuzz targets: each takes any bytes, gives them to the code that reads hostile input, and panics
//! if something does not hold that must hold for all bytes. They know nothing of who makes the
//! bytes: the tests of this crate (bounded, seeded, on stable) or libFuzzer (`libfuzzer/`).
//!
//! | target | what reads the bytes |
//! |---|---|
//! | [`abi`] | the parsers of notes, manifests, requests and extension pages |
//! | [`elf`] | the tender's ELF reader, then policy and filter of what it accepts |
//! | [`command_line`] | the tender's options |
//! | [`gateway`] | a gateway that serves a hostile guest |
//! | [`kv_log`] | the key-value store's log, on any device |
//! | [`kv_request`] | the key-value store's requests, in any pieces |
//! | [`netstack`] | the TCP/IP stack, with its owner and time |
//! | [`ring`] | the ring wire, whose memory a hostile guest writes to |
//!
//! [`mutation`] makes inputs from valid ones, for the bounded runs.

pub mod abi;
pub mod command_line;
pub mod elf;
pub mod gateway;
pub mod kv_log;
pub mod kv_request;
pub mod mutation;
pub mod netstack;
pub mod ring;

/// What became of an input. Both are right; a run that sees only one of them tests little.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It was read as what it is to be.
    Accepted,
    /// It was turned down with a reason.
    Refused,
}

/// A target with what its bounded runs need.
#[derive(Clone, Copy, Debug)]
pub struct Target {
    /// Its name, also of its corpus and of its libFuzzer program.
    pub name: &'static str,
    /// Gives it one input.
    ///
    /// # Panics
    /// If something does not hold that must: that is a finding.
    pub run: fn(&[u8]) -> Verdict,
    /// Valid inputs.
    pub seeds: fn() -> Vec<Vec<u8>>,
    /// Pieces that valid inputs are made of.
    pub words: fn() -> Vec<Vec<u8>>,
    /// Inputs of a bounded run, if nothing else is said.
    pub inputs: u64,
}

/// All targets.
pub const TARGETS: [Target; 8] = [
    abi::TARGET,
    elf::TARGET,
    command_line::TARGET,
    gateway::TARGET,
    kv_log::TARGET,
    kv_request::TARGET,
    netstack::TARGET,
    ring::TARGET,
];

/// Checks that a text for people is one line that a terminal shows as it is.
///
/// # Panics
/// If it is not.
fn assert_one_line(text: &str) {
    assert!(!text.is_empty(), "an error without a text");
    assert!(!text.contains(char::is_control), "more than one plain line: {text:?}");
}
