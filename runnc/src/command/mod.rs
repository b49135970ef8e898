//! The verbs, one file for each that is more than a few lines.

mod create;
mod delete;
mod events;
mod features;
mod kill;
mod list;
mod ps;
mod run;
mod spec;
mod start;
mod update;

use std::io::{self, Write};
use std::process::ExitCode;

use anyhow::{Context, Result, bail, ensure};

use crate::cgroup::Cgroup;
use crate::cli::{Cli, Verb};
use crate::container::{OCI_VERSION, Status};
use crate::log::Log;
use crate::store::Store;

/// Does what the command line says.
///
/// # Errors
/// What kept it from being done.
pub(crate) fn obey(cli: Cli, log: &Log) -> Result<ExitCode> {
    let Cli { global, version, verb } = cli;
    if version {
        let name = concat!("runnc version ", env!("CARGO_PKG_VERSION"));
        print(&format!("{name}\nspec: {OCI_VERSION}\nabi: Solo5 spt 2\n"))?;
        return Ok(ExitCode::SUCCESS);
    }
    let store = Store::new(&global)?;
    match verb.context("which verb? see runnc --help")? {
        Verb::Create(words) => create::main(&store, &global, &words, log).map(drop)?,
        Verb::Start(words) => start::main(&store, &words.container_id, log)?,
        Verb::State(words) => {
            let state = store.find(&words.container_id)?.state()?;
            print(&format!("{state:#}\n"))?;
        }
        Verb::Kill(words) => kill::main(&store, &words)?,
        Verb::Delete(words) => delete::main(&store, &words, log)?,
        Verb::Run(words) => return run::main(&store, &global, &words, log),
        Verb::List(words) => list::main(&store, &words)?,
        Verb::Ps(words) => ps::main(&store, &words)?,
        Verb::Pause(words) => pause(&store, &words.container_id)?,
        Verb::Resume(words) => resume(&store, &words.container_id)?,
        Verb::Events(words) => events::main(&store, &words)?,
        Verb::Update(words) => update::main(&store, &words)?,
        Verb::Exec(words) => {
            store.find(&words.container_id)?;
            bail!(
                "exec: container {} is a unikernel, which has no shell and no processes to add one to; \
                 it tells what it does on its console (see the logs) and over its network",
                words.container_id
            );
        }
        Verb::Spec(words) => spec::main(&words)?,
        Verb::Features(_) => print(&format!("{:#}\n", features::features()))?,
    }
    Ok(ExitCode::SUCCESS)
}

fn pause(store: &Store, id: &str) -> Result<()> {
    let container = store.take(id)?;
    let status = container.status();
    ensure!(status == Status::Running, "cannot pause a container that is {}", status.name());
    container.set_paused(true)?;
    let frozen = Cgroup::of(container.record()?).and_then(|cgroup| cgroup.freeze(true));
    if frozen.is_err() {
        container.set_paused(false)?;
    }
    frozen
}

fn resume(store: &Store, id: &str) -> Result<()> {
    let container = store.take(id)?;
    let status = container.status();
    ensure!(status == Status::Paused, "cannot resume a container that is {}", status.name());
    Cgroup::of(container.record()?)?.freeze(false)?;
    container.set_paused(false)
}

/// Writes to standard output.
fn print(text: &str) -> Result<()> {
    io::stdout().write_all(text.as_bytes()).context("cannot write to standard output")
}
