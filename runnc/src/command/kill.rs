//! `kill`: a signal for a container's first process, which is the guest's supervisor.

use anyhow::{Context, Result, ensure};

use crate::cgroup::Cgroup;
use crate::cli::Kill;
use crate::container::Status;
use crate::process::signal_number;
use crate::store::Store;

/// The verb.
pub(super) fn main(store: &Store, words: &Kill) -> Result<()> {
    let number = signal_number(&words.signal)
        .with_context(|| format!("'{}' is no signal such as TERM, SIGKILL or 15", words.signal))?;
    let container = store.find(&words.container_id)?;
    let record = container.record()?;
    let status = container.status();
    let cgroup = Cgroup::of(record)?;
    let all = words.all || number == libc::SIGKILL;
    ensure!(
        status != Status::Creating,
        "container not running: {} is being created",
        container.id()
    );
    let others = if all { cgroup.pids()? } else { Vec::new() };
    // In words that containerd knows.
    ensure!(
        status != Status::Stopped || !others.is_empty(),
        "container not running: {}",
        container.id()
    );
    for pid in others {
        // SAFETY: takes no pointer.
        let _ = unsafe { libc::kill(pid, number) };
    }
    if let Some(init) = container.init() {
        init.signal(number).context("cannot send the signal")?;
    }
    if number == libc::SIGKILL && status == Status::Paused {
        // A frozen process cannot die.
        cgroup.freeze(false)?;
        container.set_paused(false)?;
    }
    Ok(())
}
