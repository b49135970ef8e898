//! `cargo xtask build`: apps to unikernels, and the programs that run them.

use std::fs;
use std::path::Path;
use std::process::ExitCode;

use anyhow::{Context, Result};
use lexopt::{Arg, Parser, ValueExt};

use crate::app::{App, Starter};
use crate::cargo::Profile;
use crate::packages::Workspace;
use crate::{explain, size, unexpected};

const USAGE: &str = "\
Usage: cargo xtask build [APP...] [--tender] [--runnc] [--debug]

Builds apps, all of this workspace if nothing is named. Each is one file: a Solo5 spt unikernel.

  --tender  the tender as well, which runs them; always optimised, and static where this system
            has a static C library
  --runnc   the runtime for container engines, in the same way
  --debug   apps not optimised, with checks of overflows and the like";

/// The verb.
pub(crate) fn main(words: &mut Parser) -> Result<ExitCode> {
    let (mut names, mut starters) = (Vec::new(), Vec::new());
    let mut profile = Profile::Release;
    while let Some(word) = words.next()? {
        match word {
            Arg::Long("help") | Arg::Short('h') => return Ok(explain(USAGE)),
            Arg::Long("tender") => starters.push(Starter::Tender),
            Arg::Long("runnc") => starters.push(Starter::Runnc),
            Arg::Long("debug") => profile = Profile::Debug,
            Arg::Value(name) => names.push(name.string()?),
            other => return Err(unexpected(other, "build")),
        }
    }
    let ours = Workspace::ours()?;
    let apps = if names.is_empty() && starters.is_empty() {
        App::all(&ours, profile)?
    } else {
        names.iter().map(|name| App::find(name, &ours, profile)).collect::<Result<_>>()?
    };
    for starter in &starters {
        starter.build(&ours)?;
    }
    for app in &apps {
        app.build()?;
    }
    for app in &apps {
        report(&app.name, &app.kernel())?;
    }
    for starter in &starters {
        report(starter.name(), &starter.path(&ours))?;
    }
    Ok(ExitCode::SUCCESS)
}

fn report(name: &str, path: &Path) -> Result<()> {
    let bytes = fs::metadata(path).with_context(|| path.display().to_string())?.len();
    println!("{name}: {}, {}", path.display(), size::format(bytes));
    Ok(())
}
