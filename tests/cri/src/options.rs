//! The command line.

use std::path::PathBuf;

use anyhow::{Context, Result, bail};
use lexopt::{Arg, Parser, ValueExt};

/// What is to be run, and by whom.
#[derive(Debug, Default)]
pub(crate) struct Options {
    /// The runtime's socket.
    pub(crate) socket: PathBuf,
    /// The runtime handler of the pod.
    pub(crate) handler: String,
    /// The pod's log directory.
    pub(crate) logs: PathBuf,
    /// The pod's parent in every cgroup hierarchy.
    pub(crate) cgroup_parent: String,
    /// The pod's containers.
    pub(crate) containers: Vec<Container>,
    /// A part of the error that `ExecSync` must give.
    pub(crate) exec_says: String,
}

/// A container of the pod.
#[derive(Debug)]
pub(crate) struct Container {
    /// Its name in the pod.
    pub(crate) name: String,
    /// The image, which is there already.
    pub(crate) image: String,
    /// A TCP port that must come to accept connections.
    pub(crate) port: u16,
    /// The arguments instead of the image's.
    pub(crate) arguments: Vec<String>,
}

pub(crate) const USAGE: &str = "\
Usage: cri-steps --socket FILE --handler NAME --logs FOLDER --cgroup-parent PATH
                 --container NAME,IMAGE,PORT[,ARGUMENT...]... [--exec-says TEXT]

Runs a pod with these containers by the CRI of the runtime behind the socket, step by step as a
kubelet does, checks each step and prints a line of JSON for it. The exit status is 1 if a step
failed. ExecSync must be refused, with TEXT in the error.";

impl Options {
    /// Reads the command line; `None` if it asks for help.
    ///
    /// # Errors
    /// If it is wrong or lacks something.
    pub(crate) fn parse(mut words: Parser) -> Result<Option<Self>> {
        let mut options = Self::default();
        while let Some(word) = words.next()? {
            match word {
                Arg::Long("socket") => options.socket = words.value()?.into(),
                Arg::Long("handler") => options.handler = words.value()?.string()?,
                Arg::Long("logs") => options.logs = words.value()?.into(),
                Arg::Long("cgroup-parent") => options.cgroup_parent = words.value()?.string()?,
                Arg::Long("exec-says") => options.exec_says = words.value()?.string()?,
                Arg::Long("container") => {
                    options.containers.push(container(&words.value()?.string()?)?);
                }
                Arg::Long("help") | Arg::Short('h') => return Ok(None),
                other => return Err(other.unexpected().into()),
            }
        }
        if options.socket.as_os_str().is_empty() || options.containers.is_empty() {
            bail!("--socket and at least one --container are needed");
        }
        Ok(Some(options))
    }
}

fn container(text: &str) -> Result<Container> {
    let mut parts = text.split(',').map(str::to_owned);
    let mut next = || parts.next().filter(|part| !part.is_empty());
    let wrong = || format!("--container {text}: want NAME,IMAGE,PORT[,ARGUMENT...]");
    let (name, image) = (next().with_context(wrong)?, next().with_context(wrong)?);
    let port = next().and_then(|port| port.parse().ok()).with_context(wrong)?;
    Ok(Container { name, image, port, arguments: parts.collect() })
}
