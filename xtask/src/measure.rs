//! `cargo xtask measure`: the figures of the Nabla papers.

mod figures;

use std::fs;
use std::process::ExitCode;

use anyhow::{Context, Result, bail};
use lexopt::{Arg, Parser, ValueExt};

use crate::packages::Workspace;
use crate::{explain, unexpected};

const USAGE: &str = "\
Usage: cargo xtask measure throughput|start|memory [--quick]";

/// The verb.
pub(crate) fn main(words: &mut Parser) -> Result<ExitCode> {
    let (mut what, mut quick) = (None, false);
    while let Some(word) = words.next()? {
        match word {
            Arg::Long("help") | Arg::Short('h') => return Ok(explain(USAGE)),
            Arg::Long("quick") => quick = true,
            Arg::Value(name) if what.is_none() => what = Some(name.string()?),
            other => return Err(unexpected(other, "measure")),
        }
    }
    let options = figures::Options { quick };
    let figures = match what.as_deref() {
        Some("throughput") => figures::throughput(options)?,
        Some("start") => figures::start(options)?,
        Some("memory") => figures::memory(options)?,
        _ => bail!("what? cargo xtask measure throughput, start, or memory"),
    };
    let folder = Workspace::ours()?.target_dir.join("measure/data/figures");
    fs::create_dir_all(&folder).with_context(|| folder.display().to_string())?;
    for figure in figures {
        let text = serde_json::to_string_pretty(&figure).context("cannot write JSON")?;
        let file = folder.join(format!("{}.json", figure.id));
        fs::write(&file, text + "\n").with_context(|| file.display().to_string())?;
        eprintln!("{}", file.display());
    }
    Ok(ExitCode::SUCCESS)
}
