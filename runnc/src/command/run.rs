//! `run`: create and start; without `--detach`, wait, and end as the container ended.

use std::process::ExitCode;

use anyhow::{Context, Result, ensure};
use liboci_cli::Run;
use nix::errno::Errno;
use nix::sys::prctl;
use nix::sys::signal::{SigSet, Signal};

use crate::cli::Global;
use crate::command::{create, delete, start};
use crate::log::Log;
use crate::process::Process;
use crate::store::Store;

/// The verb.
pub(super) fn main(store: &Store, global: &Global, words: &Run, log: &Log) -> Result<ExitCode> {
    let request = create::Request {
        id: &words.container_id,
        bundle: &words.bundle,
        console_socket: words.console_socket.as_ref(),
        pid_file: words.pid_file.as_ref(),
        no_pivot: words.no_pivot,
        preserve_fds: words.preserve_fds,
        detached: words.detach,
    };
    if !words.detach {
        // The container's first process may be a grandchild, and is to be waited for here.
        prctl::set_child_subreaper(true).context("cannot adopt the container's process")?;
    }
    let mut container = create::create(store, global, &request, log)?;
    let signals = signals();
    if !words.detach {
        // Only now, so that the container has not inherited it.
        signals.thread_block().context("cannot block signals")?;
    }
    if let Err(error) = start::start(&container, log) {
        // The first error is the one to tell.
        let _ = delete::destroy(&container, log);
        return Err(error);
    }
    if words.detach {
        return Ok(ExitCode::SUCCESS);
    }
    let init = container.record()?.init.context("the container has no process")?;
    container.unlock();
    let code = wait(init, &signals)?;
    if !words.keep {
        // Somebody may have removed it.
        if let Ok(container) = store.take(&words.container_id) {
            delete::destroy(&container, log)?;
        }
    }
    Ok(ExitCode::from(code))
}

/// What is passed on to the container, and the end of a child.
fn signals() -> SigSet {
    [Signal::SIGCHLD, Signal::SIGTERM, Signal::SIGINT, Signal::SIGHUP, Signal::SIGQUIT]
        .into_iter()
        .collect()
}

/// Waits for the end of the container's first process, which is this one's to wait for, and passes
/// signals on to it. Its status, or 128 and the number of the signal that ended it.
fn wait(init: Process, signals: &SigSet) -> Result<u8> {
    loop {
        let mut status = 0;
        // SAFETY: `status` is writable.
        let waited = unsafe { libc::waitpid(init.pid, &raw mut status, libc::WNOHANG) };
        match Errno::result(waited).context("cannot wait for the container")? {
            0 => {}
            _ if libc::WIFEXITED(status) => return Ok(libc::WEXITSTATUS(status) as u8),
            _ => return Ok(128 | libc::WTERMSIG(status) as u8),
        }
        let signal = signals.wait().context("cannot wait for signals")?;
        if signal != Signal::SIGCHLD {
            let sent = init.signal(signal as i32);
            ensure!(sent.is_ok(), "cannot pass {signal} on to the container");
        }
    }
}
