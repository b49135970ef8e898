//! `start`: hands the waiting container its network, and comes back when the guest is about to run or
//! has said why it cannot.

use std::io::{self, ErrorKind};
use std::os::unix::net::UnixStream;

use anyhow::{Context, Result, bail, ensure};
use libcontainer::container::ContainerStatus;
use libcontainer::notify_socket::{NOTIFY_FILE, NotifySocket};

use crate::command::delete::{hook_state, run_hooks};
use crate::container::{Container, Status};
use crate::log::Log;
use crate::network;
use crate::plan::{self, Answer, Wish};
use crate::process::Process;
use crate::store::Store;

/// The verb.
pub(super) fn main(store: &Store, id: &str, log: &Log) -> Result<()> {
    start(&store.take(id)?, log)
}

/// Starts a container that was created. One that cannot be started is stopped afterwards.
pub(super) fn start(container: &Container, log: &Log) -> Result<()> {
    let status = container.status();
    ensure!(
        status == Status::Created,
        "cannot start container {} that is {}",
        container.id(),
        status.name()
    );
    let record = container.record()?;
    let init = container.init().context("the container's process has ended")?;
    // Before, so that none that runs counts as one that waits. One that fails is stopped.
    container.set_started()?;
    if let Err(error) = hand_over(container, init, log) {
        // What else it has started ends with it. The first error is the one to tell.
        let _ = init.signal(libc::SIGKILL);
        return Err(error);
    }
    let hooks = record.hooks.as_ref().and_then(|hooks| hooks.poststart().as_ref());
    run_hooks("poststart", hooks, &hook_state(record, ContainerStatus::Running), log);
    Ok(())
}

fn hand_over(container: &Container, init: Process, log: &Log) -> Result<()> {
    let inner = container.libcontainer().join(container.id()).join(NOTIFY_FILE);
    NotifySocket::new(inner).notify_container_start().context("the container does not wait")?;
    let stream = match connect(container) {
        // Nobody has it open any more, as after a hook that has failed.
        Err(error) if is_refusal(&error) => bail!(ended(init)),
        stream => stream?,
    };
    stream.set_read_timeout(Some(plan::PATIENCE)).context("cannot set a time limit")?;
    let Some((wish, _)) = plan::receive::<Wish>(&stream)? else { bail!(ended(init)) };
    if !wish.pauses {
        network::join(container.record()?, init, &wish, &stream)?;
    }
    match plan::receive::<Answer>(&stream)? {
        Some((Answer::Ready { warnings }, _)) => {
            warnings.iter().for_each(|warning| log.warn(warning));
            Ok(())
        }
        Some((Answer::Failed(reason), _)) => bail!(reason),
        None => bail!(ended(init)),
    }
}

fn is_refusal(error: &anyhow::Error) -> bool {
    let error = error.downcast_ref::<io::Error>();
    error.is_some_and(|error| error.kind() == ErrorKind::ConnectionRefused)
}

fn ended(init: Process) -> String {
    format!("the container's process {} ended before the unikernel could be started", init.pid)
}

fn connect(container: &Container) -> Result<UnixStream> {
    let (_dir, path) = container.socket()?;
    UnixStream::connect(path).context("the container does not wait for a start")
}
