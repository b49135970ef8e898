//! `cargo xtask build`: apps to unikernels.

use std::fs;
use std::process::ExitCode;

use anyhow::{Context, Result};
use lexopt::{Arg, Parser, ValueExt};

use crate::app::App;
use crate::cargo::Profile;
use crate::packages::Workspace;
use crate::{explain, size, unexpected};

const USAGE: &str = "\
Usage: cargo xtask build [APP...] [--debug]

Builds apps, all of this workspace if none is named. Each is one file: a Solo5 spt unikernel.

  --debug  not optimised, with checks of overflows and the like";

/// The verb.
pub(crate) fn main(words: &mut Parser) -> Result<ExitCode> {
    let mut names = Vec::new();
    let mut profile = Profile::Release;
    while let Some(word) = words.next()? {
        match word {
            Arg::Long("help") | Arg::Short('h') => return Ok(explain(USAGE)),
            Arg::Long("debug") => profile = Profile::Debug,
            Arg::Value(name) => names.push(name.string()?),
            other => return Err(unexpected(other, "build")),
        }
    }
    let ours = Workspace::ours()?;
    let apps = if names.is_empty() {
        App::all(&ours, profile)?
    } else {
        names.iter().map(|name| App::find(name, &ours, profile)).collect::<Result<_>>()?
    };
    for app in &apps {
        app.build()?;
    }
    for app in &apps {
        report(app)?;
    }
    Ok(ExitCode::SUCCESS)
}

fn report(app: &App) -> Result<()> {
    let kernel = app.kernel();
    let bytes = fs::metadata(&kernel).with_context(|| kernel.display().to_string())?.len();
    println!("{}: {}, {}", app.name, kernel.display(), size::format(bytes));
    Ok(())
}
