//! `runnc`: an OCI runtime whose containers are unikernels. It takes runc's command line, so that
//! podman, containerd, Docker and Kubernetes start it in runc's place.
//!
//! | module | what it does |
//! |---|---|
//! | [`cli`] | the command line |
//! | [`command`] | one file for each verb |
//! | [`store`], [`container`] | what is known of containers between two calls, and what they are doing now |
//! | [`bundle`] | a bundle's configuration, and what libcontainer is given of it |
//! | [`cgroup`] | its control group |
//! | [`plan`] | how `start` and the waiting container speak with each other |
//! | [`network`] | the container's network, handed to the guest |
//! | [`init`] | inside of the container: from an entrypoint to a guest |
//! | [`log`] | what engines read when something went wrong |

mod bundle;
mod cgroup;
mod cli;
mod command;
mod container;
mod init;
mod log;
mod network;
mod plan;
mod process;
mod store;

use std::process::ExitCode;

use clap::Parser;

use cli::Cli;

fn main() -> ExitCode {
    let cli = Cli::parse();
    let log = log::Log::open(&cli.global);
    match command::obey(cli, &log) {
        Ok(code) => code,
        Err(error) => {
            log.error(&error);
            ExitCode::FAILURE
        }
    }
}
