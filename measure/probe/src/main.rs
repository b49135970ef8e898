//! The first process of the virtual machine in which kernel functions are counted. It makes the
//! machine ready, starts what is to be measured, lets a client ask it, records what the kernel does
//! meanwhile, tells that, and ends the machine. With a word behind its name it is one of the programs
//! that are measured.

mod block;
mod boot;
mod client;
mod code;
mod container;
mod fuzz;
mod held;
mod kcore;
mod measure;
mod network;
mod policies;
mod processes;
mod program;
mod systems;
mod tell;
mod tracer;

use std::ffi::OsString;
use std::fs;
use std::process::ExitCode;

use anyhow::{Context, Result, bail};
use surface::scenario::{Scenario, Workload};

/// What the kernel calls its first process.
const NAME: &str = "/init";
const SCENARIO: &str = "/measure/scenario.json";

fn main() -> ExitCode {
    let mut words = std::env::args_os();
    // In a container it has the same number, but another name.
    let is_first = words.next().is_some_and(|name| name == NAME) && std::process::id() == 1;
    let result = match words.next() {
        // The kernel passes on what it does not understand itself.
        _ if is_first => be_first(),
        None => Err(anyhow::anyhow!("this is the first process of a virtual machine")),
        Some(word) => be_measured(&word, words),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            println!("probe: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn be_first() -> Result<()> {
    boot::boot()?;
    let text = fs::read(SCENARIO).context(SCENARIO)?;
    let scenario: Scenario = serde_json::from_slice(&text).context(SCENARIO)?;
    let told = match scenario.workload {
        Workload::Code => serde_json::to_vec(&code::weigh()?)?,
        _ => serde_json::to_vec(&measure::measure(&scenario)?)?,
    };
    tell::tell(&told)?;
    tell::end()
}

fn be_measured(word: &OsString, words: impl Iterator<Item = OsString>) -> Result<()> {
    match word.to_str() {
        Some(held::WORD) => held::main(words),
        Some("hello") => {
            println!("hello from a process");
            Ok(())
        }
        Some("fuzz") => fuzz::main(words.filter_map(|word| word.into_string().ok())),
        Some("block") => block::main(words.filter_map(|word| word.into_string().ok())),
        _ => bail!("{} is nothing to be measured", word.display()),
    }
}
