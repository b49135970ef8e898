//! `cargo xtask bench`: measurements of what this project is for, each with the raw samples and
//! the machine that they are from. A bench reports and judges; it never fails for being slow.

mod apart;
pub(crate) mod block;
mod candidate;
mod contained;
mod containers;
mod contest;
pub(crate) mod crowd;
mod density;
mod fleet;
mod guest;
pub(crate) mod http;
pub(crate) mod kv;
mod lab;
mod load;
mod machine;
mod meter;
pub(crate) mod net;
mod oci;
mod peak;
mod process;
mod programs;
mod rounds;
pub(crate) mod start;
mod stats;
mod sweep;
mod table;
mod worker;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::str::FromStr;

use anyhow::{Context, Result, bail};
use lexopt::{Arg, Parser, ValueExt};
use serde_json::Value;

pub(crate) use contest::{Sample, Trials};
pub(crate) use http::page;
pub(crate) use machine::describe;
pub(crate) use sweep::Lines;
#[cfg(test)]
pub(crate) use {contest::Trial, meter::Reading};

use crate::packages::Workspace;
use crate::{explain, unexpected};

const USAGE: &str = "\
Usage: cargo xtask bench start [--runs N] [--json FILE]
       cargo xtask bench density [--guests N] [--json FILE]
       cargo xtask bench http [OPTION...]
       cargo xtask bench net [OPTION...]
       cargo xtask bench kv [OPTION...]
       cargo xtask bench oci [OPTION...]

Measures, prints a table, and writes all samples to a file. Nothing is installed; what is not
there is left out, and that is said.

  start    how long a unikernel takes from its start to its end, beside a program that does
           nothing, container runtimes and Solo5's tenders, in one run, interleaved
  density  many idle web servers at once: how soon all answer, and how much memory each takes
  http     our web server beside nginx under the same load; --help after it says more
  net      a guest's network beside the kernel's own; --help after it says more
  kv       our key-value store beside Redis under the same load; --help after it says more
  oci      container runtimes until a server in them answers; --help after it says more

  --runs N     rounds of `start`, 500 if nothing is said
  --guests N   guests of `density`, 1000 if nothing is said
  --json FILE  where the samples go, target/bench/start.json or density.json if nothing is said";

/// The verb.
pub(crate) fn main(words: &mut Parser) -> Result<ExitCode> {
    let (mut bench, mut runs, mut guests, mut json) = (None, None, None, None);
    while let Some(word) = words.next()? {
        match word {
            Arg::Value(name) if bench.is_none() && name == "http" => return http::main(words),
            Arg::Value(name) if bench.is_none() && name == "net" => return net::main(words),
            Arg::Value(name) if bench.is_none() && name == "kv" => return kv::main(words),
            Arg::Value(name) if bench.is_none() && name == "oci" => return oci::main(words),
            Arg::Value(name) if bench.is_none() && name == worker::WORD => {
                return worker::main(words);
            }
            Arg::Long("help") | Arg::Short('h') => return Ok(explain(USAGE)),
            Arg::Long("runs") => runs = Some(number(words, "--runs")?),
            Arg::Long("guests") => guests = Some(number(words, "--guests")?),
            Arg::Long("json") => json = Some(PathBuf::from(words.value()?)),
            Arg::Value(name) if bench.is_none() => bench = Some(name.string()?),
            other => return Err(unexpected(other, "bench")),
        }
    }
    match (bench.as_deref(), runs, guests) {
        (Some("start"), runs, None) => start::run(runs.unwrap_or(start::ROUNDS), json),
        (Some("density"), None, guests) => density::run(guests.unwrap_or(density::GUESTS), json),
        (Some("start"), _, Some(_)) => bail!("--guests is for cargo xtask bench density"),
        (Some("density"), Some(_), _) => bail!("--runs is for cargo xtask bench start"),
        (Some(other), ..) => {
            bail!("there is no bench '{other}'; there are start, density, http, net, kv, oci")
        }
        (None, ..) => bail!("which bench? cargo xtask bench start, density, http, net, kv, or oci"),
    }
}

/// The value of an option that takes a number.
fn number<N: FromStr>(words: &mut Parser, option: &str) -> Result<N> {
    let value = words.value()?.to_string_lossy().into_owned();
    let parsed = value.parse().ok();
    parsed.with_context(|| format!("{option} {value}: a whole number is needed"))
}

/// The values of an option, separated by commas, each once.
fn list<T: PartialEq>(words: &mut Parser, parse: fn(&str) -> Result<T>) -> Result<Vec<T>> {
    let text = words.value()?.string()?;
    let mut values = Vec::new();
    for name in text.split(',') {
        let value = parse(name)?;
        if !values.contains(&value) {
            values.push(value);
        }
    }
    Ok(values)
}

/// The folder of what benches make.
fn folder(ours: &Workspace) -> Result<PathBuf> {
    let folder = ours.target_dir.join("bench");
    fs::create_dir_all(&folder).with_context(|| folder.display().to_string())?;
    Ok(folder)
}

/// Writes the samples and says where.
fn save(report: &Value, path: &Path) -> Result<()> {
    let text = serde_json::to_string_pretty(report).context("cannot write JSON")?;
    fs::write(path, text + "\n").with_context(|| path.display().to_string())?;
    eprintln!("samples: {}", path.display());
    Ok(())
}
