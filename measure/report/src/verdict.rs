//! Whether a published vulnerability stays within reach of a system's policy.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// One vulnerability of the kernel, held against every policy.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Eq, Serialize)]
pub struct Verdict {
    /// Such as `CVE-2016-5195`.
    pub id: String,
    /// What it is, in a few words.
    pub title: String,
    /// When it was published.
    pub year: u16,
    /// The address of the page from which it is known what it takes.
    pub source: String,
    /// The part of the kernel.
    pub part: String,
    /// The system calls that it takes, in words; may be empty.
    #[serde(default)]
    pub needs: String,
    /// By system: whether its policy leaves it reachable. A system that is not in it was not judged.
    pub reachable: BTreeMap<String, bool>,
}
