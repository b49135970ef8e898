//! The command line, as runc's: global options, then a verb. The verbs' own options are those of
//! `liboci-cli`, which youki shares with others.

use std::path::PathBuf;

use clap::{Parser, Subcommand};
use liboci_cli::{
    Create, Delete, Events, Exec, Features, List, Pause, Ps, Resume, Run, Spec, Start, State,
    Update,
};

/// Runs Solo5 spt unikernels as containers.
#[derive(Debug, Parser)]
#[command(name = "runnc", disable_version_flag = true)]
pub(crate) struct Cli {
    #[command(flatten)]
    pub(crate) global: Global,
    /// Print the version
    #[arg(short, long)]
    pub(crate) version: bool,
    #[command(subcommand)]
    pub(crate) verb: Option<Verb>,
}

/// What stands before the verb.
#[derive(Debug, clap::Args)]
pub(crate) struct Global {
    /// Where states of containers are kept
    #[arg(long)]
    pub(crate) root: Option<PathBuf>,
    /// Write what goes wrong to this file as well
    #[arg(long)]
    pub(crate) log: Option<PathBuf>,
    /// `text` or `json`
    #[arg(long, default_value = "text")]
    pub(crate) log_format: String,
    /// Say more in the log
    #[arg(long)]
    pub(crate) debug: bool,
    /// Have systemd make the control groups
    #[arg(long)]
    pub(crate) systemd_cgroup: bool,
    /// Ignored: what is rootless is found out
    #[arg(long, hide = true)]
    pub(crate) rootless: Option<String>,
}

/// What `kill` is told. `liboci-cli` knows no kill without a signal, runc does.
#[derive(Debug, clap::Args)]
pub(crate) struct Kill {
    /// The container
    pub(crate) container_id: String,
    /// A name such as TERM or SIGKILL, or a number
    #[arg(default_value = "TERM")]
    pub(crate) signal: String,
    /// To all processes of the container
    #[arg(short, long)]
    pub(crate) all: bool,
}

/// A verb.
#[derive(Debug, Subcommand)]
pub(crate) enum Verb {
    /// Make a container of a bundle, ready to be started
    Create(Create),
    /// Start the unikernel of a container
    Start(Start),
    /// Say what a container is doing
    State(State),
    /// Send a signal to a container
    Kill(Kill),
    /// Remove a container that has stopped
    Delete(Delete),
    /// Create and start, and without --detach wait
    Run(Run),
    /// List containers
    List(List),
    /// List the processes of a container
    Ps(Ps),
    /// Freeze a container
    Pause(Pause),
    /// Let a frozen container go on
    Resume(Resume),
    /// Tell what a container uses
    Events(Events),
    /// Change the limits of a container
    Update(Update),
    /// Refused: a unikernel has no processes to add to
    Exec(Exec),
    /// Write a config.json to begin with
    Spec(Spec),
    /// Tell what this runtime can do
    Features(Features),
}
