//! Drives a container runtime over the Kubernetes CRI, as a kubelet does: one pod with some
//! containers, from its sandbox to its removal. Each step is checked and told as a line of JSON. It
//! pulls no image and starts no daemon.

mod options;
mod pod;

use std::process::ExitCode;

use lexopt::Parser;
use options::{Options, USAGE};

fn main() -> ExitCode {
    let options = match Options::parse(Parser::from_env()) {
        Ok(Some(options)) => options,
        Ok(None) => {
            println!("{USAGE}");
            return ExitCode::SUCCESS;
        }
        Err(error) => {
            eprintln!("cri-steps: {error:#}");
            return ExitCode::from(2);
        }
    };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let result = match runtime {
        Ok(runtime) => runtime.block_on(pod::run(&options)),
        Err(error) => Err(error.into()),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("cri-steps: {error:#}");
            ExitCode::FAILURE
        }
    }
}
