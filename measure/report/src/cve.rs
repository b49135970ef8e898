//! Published vulnerabilities of the kernel, and which of them a policy leaves within reach: those of
//! which it permits all system calls of at least one way to exploit them. Read and write are not
//! counted, as everybody has them; the descriptors that a process was handed (`held`) are. What else is
//! needed (`also`) is told and not judged, and neither is an argument that a policy's data do not tell:
//! both in favour of the attacker.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use serde::Deserialize;
use surface::calls;
use surface::model::{Policy, Run};

use crate::profile::{Argument, Profile};
use crate::verdict::Verdict;

/// Most entries, ways of one, and calls of one way, that a table may have.
const MOST: usize = 1000;

/// A table that is not understood.
#[derive(Debug)]
pub struct TableError(String);

impl fmt::Display for TableError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "table of vulnerabilities: {}", self.0)
    }
}

impl std::error::Error for TableError {}

/// All entries, by number.
#[derive(Clone, Debug)]
pub struct Table {
    entries: Vec<Entry>,
    calls: BTreeMap<String, Call>,
    held: BTreeMap<String, String>,
}

/// A process under a policy.
#[derive(Clone)]
pub struct Subject<'a> {
    /// What it may do.
    pub judge: &'a dyn Judge,
    /// What it was handed, in the table's words, such as [`TAP`].
    pub held: BTreeSet<&'a str>,
}

/// The word for a descriptor of a TAP interface, to which frames are written.
pub const TAP: &str = "(tap)";

/// A vulnerability.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq)]
#[serde(deny_unknown_fields)]
pub struct Entry {
    /// Such as `CVE-2016-5195`.
    pub id: String,
    /// What it is, in a few words.
    pub title: String,
    /// When it was published.
    pub year: u16,
    /// The part of the kernel.
    pub part: String,
    /// The kernels that had it.
    pub versions: String,
    /// Ways to exploit it, each with all the calls that it takes. Words divided by `|` are calls of
    /// which one is enough. A word in brackets is a descriptor that has to be held.
    pub calls: Vec<Vec<String>>,
    /// What else it takes.
    pub also: Vec<String>,
    /// The address of the page from which the calls are known.
    pub source: String,
    /// What goes wrong.
    pub statement: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Text {
    /// Calls with arguments, as the entries name them.
    with_arguments: BTreeMap<String, Call>,
    /// Descriptors that processes are handed, and what they are.
    held: BTreeMap<String, String>,
    entries: Vec<Entry>,
}

/// A system call that is needed.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq)]
#[serde(deny_unknown_fields)]
pub struct Call {
    /// Its name.
    pub name: String,
    /// What is known of its arguments.
    pub arguments: Vec<Argument>,
}

/// What permits system calls, or not.
pub trait Judge {
    /// Whether it permits such a call, or cannot tell.
    fn permits(&self, call: &Call) -> bool;
}

impl Judge for Policy {
    /// By name alone: a policy that was read from a process does not tell arguments.
    fn permits(&self, call: &Call) -> bool {
        self.filters == 0 || self.calls.iter().any(|permitted| permitted.name == call.name)
    }
}

impl Judge for Profile {
    fn permits(&self, call: &Call) -> bool {
        self.permits(&call.name, &call.arguments)
    }
}

impl Table {
    /// Reads a table (`measure/data/cves.json`).
    ///
    /// # Errors
    /// If it is none, or names a system call that x86-64 does not have.
    pub fn read(text: &str) -> Result<Self, TableError> {
        let Text { with_arguments, held, mut entries } =
            serde_json::from_str(text).map_err(|error| TableError(error.to_string()))?;
        let long = entries.len() > MOST
            || entries.iter().any(|entry| entry.calls.len() > MOST)
            || entries.iter().flat_map(|entry| &entry.calls).any(|way| way.len() > MOST);
        if long {
            return Err(TableError(format!("it has more than {MOST} things of a kind")));
        }
        entries.sort_by(|a, b| order(&a.id).cmp(&order(&b.id)));
        if let Some(twice) = entries.windows(2).find(|pair| pair[0].id == pair[1].id) {
            return Err(TableError(format!("{} is in it twice", twice[0].id)));
        }
        let mut table = Self { entries, calls: with_arguments, held };
        for call in table.calls.values() {
            known(&call.name, &call.name)?;
        }
        for entry in &table.entries {
            if !entry.id.starts_with("CVE-") || !entry.source.starts_with("https://") {
                return Err(TableError(format!("'{}' has no number or no source", entry.id)));
            }
            if entry.calls.is_empty() || entry.calls.iter().any(Vec::is_empty) {
                return Err(TableError(format!("{} has a way that takes nothing", entry.id)));
            }
            for word in entry.calls.iter().flatten().flat_map(|need| need.split('|')) {
                if !table.calls.contains_key(word) && !table.held.contains_key(word) {
                    known(word, &entry.id)?;
                    let call = Call { name: word.to_owned(), arguments: Vec::new() };
                    table.calls.insert(word.to_owned(), call);
                }
            }
        }
        Ok(table)
    }

    /// The entries, by number.
    pub fn entries(&self) -> &[Entry] {
        &self.entries
    }

    /// Whether one of an entry's ways is open.
    pub fn reaches(&self, entry: &Entry, subject: &Subject<'_>) -> bool {
        let has = |word: &str| match self.calls.get(word) {
            Some(call) => subject.judge.permits(call),
            None => subject.held.contains(word),
        };
        entry.calls.iter().any(|way| way.iter().all(|need| need.split('|').any(has)))
    }

    /// All entries, held against the processes of each system. These do not help each other: the system
    /// is reached if one of them can do it alone.
    pub fn verdicts(&self, systems: &BTreeMap<String, Vec<Subject<'_>>>) -> Vec<Verdict> {
        let verdict = |entry: &Entry| {
            let reachable = systems.iter().map(|(system, subjects)| {
                (system.clone(), subjects.iter().any(|subject| self.reaches(entry, subject)))
            });
            Verdict {
                id: entry.id.clone(),
                title: entry.title.clone(),
                year: entry.year,
                source: entry.source.clone(),
                part: entry.part.clone(),
                needs: self.needs(entry),
                reachable: reachable.collect(),
            }
        };
        self.entries.iter().map(verdict).collect()
    }
}

impl Table {
    /// What an entry takes, in words.
    pub fn needs(&self, entry: &Entry) -> String {
        let word = |word: &str| self.held.get(word).map_or(word, String::as_str).to_owned();
        let need = |need: &String| need.split('|').map(word).collect::<Vec<_>>().join(" or ");
        let way = |way: &Vec<String>| way.iter().map(need).collect::<Vec<_>>().join(", ");
        let ways = entry.calls.iter().map(way).collect::<Vec<_>>().join("; or ");
        [ways].into_iter().chain(entry.also.iter().cloned()).collect::<Vec<_>>().join("; ")
    }
}

/// The processes of these roles, by the system that they were measured in. Each policy of a role stands
/// once, and systems whose policies were not read are left out. A TAP interface is held by guests that
/// have one of their own, and by the gateway behind a ring.
pub fn subjects<'a>(runs: &'a [Run], roles: &[&str]) -> BTreeMap<String, Vec<Subject<'a>>> {
    let mut systems: BTreeMap<String, Vec<Subject<'a>>> = BTreeMap::new();
    let mut seen: Vec<(&str, &Policy)> = Vec::new();
    for run in runs {
        for policy in run.policies.iter().filter(|policy| roles.contains(&policy.role.as_str())) {
            let (system, role) = (run.system.as_str(), policy.role.as_str());
            if seen.contains(&(system, policy)) {
                continue;
            }
            seen.push((system, policy));
            let tap = system.ends_with("-tap") && role == "guest"
                || system == "nabla-ring" && role == "gateway";
            let held = if tap { BTreeSet::from([TAP]) } else { BTreeSet::new() };
            let subject = Subject { judge: policy, held };
            systems.entry(system.to_owned()).or_default().push(subject);
        }
    }
    systems
}

fn known(word: &str, place: &str) -> Result<(), TableError> {
    let found = calls::number(word).map(drop);
    found.ok_or_else(|| TableError(format!("{place}: x86-64 has no system call '{word}'")))
}

/// By year and number, which are not of one length.
fn order(id: &str) -> (Vec<u32>, &str) {
    (id.split('-').filter_map(|part| part.parse().ok()).collect(), id)
}

#[cfg(test)]
mod tests;
