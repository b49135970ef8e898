//! Everything that was measured, as the report takes it, and its files' texts made into it.

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};
use surface::model::{KernelCode, Permitted, Run};

use crate::figure::Figure;
use crate::verdict::Verdict;

/// Everything that was measured. Any part may be missing; the report then says so.
#[derive(Clone, Debug, Default)]
pub struct Measurement {
    /// On what, with what, and when.
    pub about: About,
    /// What reached which functions: `surface/*.json`.
    pub runs: Vec<Run>,
    /// What fuzzers reached: `fuzz/*.json`.
    pub fuzz: Vec<Run>,
    /// The kernel's code, for weights: `kernel.json`.
    pub code: Option<KernelCode>,
    /// Speed, time, memory: `figures/*.json`.
    pub figures: Vec<Figure>,
    /// Policies that are published and not installed by anything that was measured, such as Docker's.
    pub references: Vec<Reference>,
    /// Published vulnerabilities, held against the policies.
    pub verdicts: Vec<Verdict>,
}

/// On what, with what, and when it was measured: `about.json`. Each field may be left out.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Eq, Serialize)]
#[serde(default)]
pub struct About {
    /// The processor's name.
    pub machine: String,
    /// How many processors there are.
    pub processors: u32,
    /// The machine's memory.
    pub memory_bytes: u64,
    /// The kernel under the performance figures, as `uname -r` says. The surface's is in each run.
    pub host_kernel: String,
    /// The revision of this repository.
    pub commit: String,
    /// What random numbers began with.
    pub seed: u64,
    /// The day, in words.
    pub date: String,
    /// Whether it was the short form, whose figures are rough.
    pub quick: bool,
    /// By program: its version.
    pub versions: BTreeMap<String, String>,
    /// Why something is not there: by system (`gvisor`), or by workload and system (`kv-gvisor`), or by
    /// part (`fuzz`, `kernel`, `figures`, `cve`).
    pub missing: BTreeMap<String, String>,
    /// What people have to say about the figures, by the section's name in links (`summary`, `steady`,
    /// `fuzz` ...).
    pub remarks: BTreeMap<String, Vec<String>>,
}

/// A policy that is published as data.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq, Serialize)]
pub struct Reference {
    /// The system's name in tables, such as `docker`.
    pub system: String,
    /// Where it is from: an address.
    pub source: String,
    /// What it permits.
    pub calls: Vec<Permitted>,
}

/// A file of results that is not understood.
#[derive(Debug)]
pub struct LoadError {
    /// The file's name, as it was given.
    pub file: String,
    /// What is wrong with it.
    pub cause: String,
}

impl fmt::Display for LoadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}; measure anew or remove it", self.file, self.cause)
    }
}

impl std::error::Error for LoadError {}

/// Parses files of results: `about.json`, `kernel.json`, `surface/*.json`, `fuzz/*.json`,
/// `figures/*.json`, `references/*.json`, and `verdicts.json`, by name below their folder. Other files are passed over.
///
/// # Errors
/// A file that is not JSON or not what its name promises.
pub fn load(files: &BTreeMap<String, String>) -> Result<Measurement, LoadError> {
    let mut measurement = Measurement::default();
    for (file, text) in files {
        let Some(name) = file.strip_suffix(".json") else { continue };
        match name.split_once('/') {
            None if name == "about" => measurement.about = parse(file, text)?,
            None if name == "kernel" => measurement.code = Some(parse(file, text)?),
            None if name == "verdicts" => measurement.verdicts = parse(file, text)?,
            Some(("surface", _)) => measurement.runs.push(parse(file, text)?),
            Some(("fuzz", _)) => measurement.fuzz.push(parse(file, text)?),
            Some(("figures", _)) => measurement.figures.push(parse(file, text)?),
            Some(("references", _)) => measurement.references.push(parse(file, text)?),
            _ => {}
        }
    }
    Ok(measurement)
}

fn parse<T: for<'de> Deserialize<'de>>(file: &str, text: &str) -> Result<T, LoadError> {
    serde_json::from_str(text)
        .map_err(|error| LoadError { file: file.into(), cause: error.to_string() })
}

impl Measurement {
    /// The run of a system under a workload.
    #[must_use]
    pub fn run(&self, workload: &str, system: &str) -> Option<&Run> {
        self.runs.iter().find(|run| run.workload == workload && run.system == system)
    }

    /// The run of a system under the fuzzer.
    #[must_use]
    pub fn fuzzed(&self, system: &str) -> Option<&Run> {
        self.fuzz.iter().find(|run| run.system == system)
    }

    /// Why something is not there, as far as is known.
    pub(crate) fn why_missing(&self, workload: &str, system: &str) -> &str {
        let both = format!("{workload}-{system}");
        [both.as_str(), system, workload]
            .iter()
            .find_map(|name| self.about.missing.get(*name))
            .map_or("no result of it lies there", String::as_str)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_told_apart_by_their_names() {
        let files = BTreeMap::from([
            ("about.json".to_string(), r#"{"commit":"abc","versions":{"runc":"1.1"}}"#.to_string()),
            ("verdicts.json".to_string(), "[]".to_string()),
            ("notes.txt".to_string(), "not JSON".to_string()),
            (
                "figures/http.json".to_string(),
                r#"{"id":"http","title":"t","unit":"u","command":"c","better":"Higher","x":null,
                   "series":[{"name":"n","points":[{"x":null,"label":"l","samples":[1.0]}]}],
                   "targets":[],"notes":[]}"#
                    .to_string(),
            ),
        ]);
        let measurement = load(&files).unwrap();
        assert_eq!(measurement.about.commit, "abc");
        assert_eq!(measurement.figures[0].series[0].points[0].samples, [1.0]);
    }

    #[test]
    fn what_is_wrong_names_the_file() {
        let files = BTreeMap::from([("surface/kv-runc.json".to_string(), "{".to_string())]);
        let error = load(&files).unwrap_err().to_string();
        assert!(error.starts_with("surface/kv-runc.json: "), "{error}");
    }
}
