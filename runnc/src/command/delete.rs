//! `delete`: removes a container and all that was made for it. Each step stands alone, so that one that
//! fails, or was done before, keeps no other from being done.

use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use libcontainer::container::{ContainerStatus, State};
use libcontainer::oci_spec::runtime::Hook;
use liboci_cli::Delete;

use crate::cgroup::Cgroup;
use crate::container::{Container, Record, Status};
use crate::log::Log;
use crate::store::Store;
use crate::{network, process};

/// How long killed processes may take to be gone. One that waits for a disk takes long.
const PATIENCE: Duration = Duration::from_secs(10);

/// The verb.
pub(super) fn main(store: &Store, words: &Delete, log: &Log) -> Result<()> {
    let container = match words.force {
        true => match take_by_force(store, &words.container_id)? {
            Some(container) => container,
            // Who forces has what he wants.
            None => return Ok(()),
        },
        false => store.take(&words.container_id)?,
    };
    let status = container.status();
    // As runc and crun do, one that was never started is removed as well.
    let may = words.force || matches!(status, Status::Stopped | Status::Created);
    ensure!(
        may,
        "cannot delete container {} that is {}: kill it first, or --force",
        container.id(),
        status.name()
    );
    destroy(&container, log)
}

/// The container, whatever state it and its record are in; nothing if there is none.
fn take_by_force(store: &Store, id: &str) -> Result<Option<Container>> {
    let mut container = match store.find_remains(id) {
        Err(error) if error.to_string().contains("does not exist") => return Ok(None),
        container => container?,
    };
    // Another call may be waiting for it, with the lock in its hands.
    if let Some(init) = container.init() {
        init.signal(libc::SIGKILL)?;
    }
    container.take_remains()?;
    match store.find_remains(id) {
        Ok(found) => {
            container.update(found);
            Ok(Some(container))
        }
        Err(_) => Ok(None),
    }
}

/// Ends what runs and removes all, as far as that is possible.
///
/// # Errors
/// The first step that failed; all the others are taken. What is known of the container stays if something is
/// left to remove.
pub(super) fn destroy(container: &Container, log: &Log) -> Result<()> {
    let Some(record) = container.known() else {
        // Nothing else was made yet.
        return container.forget();
    };
    let cgroup = Cgroup::of(record);
    let ended = end_processes(container, cgroup.as_ref().ok());
    let left = network::leave(record);
    let removed = cgroup.and_then(|cgroup| cgroup.remove());
    ended.and(left).and(removed)?;
    container.forget()?;
    let hooks = record.hooks.as_ref().and_then(|hooks| hooks.poststop().as_ref());
    run_hooks("poststop", hooks, &hook_state(record, ContainerStatus::Stopped), log);
    Ok(())
}

/// Ends all processes of a container. Those of a `create` that was interrupted may be anywhere on their way.
fn end_processes(container: &Container, cgroup: Option<&Cgroup>) -> Result<()> {
    let deadline = Instant::now() + PATIENCE;
    let is_complete = container.known().is_some_and(|record| record.init.is_some());
    let mut pause = Duration::from_micros(100);
    loop {
        let init = container.init();
        if let Some(init) = init {
            init.signal(libc::SIGKILL)?;
        }
        let mut left = cgroup.map_or(Ok(Vec::new()), Cgroup::pids)?;
        left.extend(init.map(|init| init.pid));
        if !is_complete {
            left.extend(container.remains());
        }
        if left.is_empty() {
            return Ok(());
        }
        left.iter().for_each(|&pid| process::kill(pid));
        // One that is frozen dies when it thaws.
        let _ = cgroup.map(|cgroup| cgroup.freeze(false));
        ensure!(
            Instant::now() < deadline,
            "processes {left:?} of container {} do not end",
            container.id()
        );
        thread::sleep(pause);
        pause = (pause * 2).min(Duration::from_millis(20));
    }
}

/// Runs hooks of a kind whose failure is only told, and keeps no other from being run.
pub(super) fn run_hooks(kind: &str, hooks: Option<&Vec<Hook>>, state: &State, log: &Log) {
    for hook in hooks.into_iter().flatten() {
        let one = vec![hook.clone()];
        let run = libcontainer::hooks::run_hooks(Some(&one), Some(state), None, None, None);
        if let Err(error) = run {
            log.warn(&format!("{kind} hook {}: {error}", hook.path().display()));
        }
    }
}

/// The state that hooks are given.
pub(super) fn hook_state(record: &Record, status: ContainerStatus) -> State {
    let pid = record.init.map(|init| init.pid).filter(|_| status != ContainerStatus::Stopped);
    let mut state = State::new(&record.id, status, pid, record.bundle.clone());
    state.annotations = Some(record.annotations.clone());
    state
}
