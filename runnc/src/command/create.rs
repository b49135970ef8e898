//! `create`: from a bundle to a container that waits for its start.

use std::os::fd::{AsRawFd, RawFd};
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result, ensure};
use libcontainer::container::builder::ContainerBuilder;
use libcontainer::syscall::syscall::SyscallType;
use liboci_cli::Create;
use nix::unistd::geteuid;

use crate::bundle::Bundle;
use crate::cgroup::{self, Cgroup};
use crate::cli::Global;
use crate::command::delete;
use crate::container::{Container, Record, is_rootless, rfc3339};
use crate::init::{REASON, Unikernel};
use crate::log::Log;
use crate::process::Process;
use crate::store::Store;

/// What `create` and `run` have in common.
pub(super) struct Request<'a> {
    pub(super) id: &'a str,
    pub(super) bundle: &'a Path,
    pub(super) console_socket: Option<&'a PathBuf>,
    pub(super) pid_file: Option<&'a PathBuf>,
    pub(super) no_pivot: bool,
    pub(super) preserve_fds: i32,
    /// Whether this program ends while the container goes on.
    pub(super) detached: bool,
}

/// The verb.
pub(super) fn main(store: &Store, global: &Global, words: &Create, log: &Log) -> Result<Container> {
    create(
        store,
        global,
        &Request {
            id: &words.container_id,
            bundle: &words.bundle,
            console_socket: words.console_socket.as_ref(),
            pid_file: words.pid_file.as_ref(),
            no_pivot: words.no_pivot,
            preserve_fds: words.preserve_fds,
            detached: true,
        },
        log,
    )
}

/// Makes the container, or leaves nothing of it.
pub(super) fn create(
    store: &Store,
    global: &Global,
    request: &Request<'_>,
    log: &Log,
) -> Result<Container> {
    let bundle = Bundle::read(request.bundle)?;
    let spec = &bundle.spec;
    let terminal = spec.process().as_ref().and_then(|process| process.terminal());
    ensure!(
        request.detached || terminal != Some(true),
        "process.terminal needs --detach and --console-socket; without it the console of the guest is the \
         standard output of this program"
    );
    let record = Record {
        id: request.id.to_owned(),
        bundle: bundle.dir.clone(),
        rootfs: bundle.rootfs()?,
        created: rfc3339(SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default()),
        owner: geteuid().as_raw(),
        annotations: spec.annotations().clone().unwrap_or_default(),
        cgroup_path: bundle.cgroup_path(request.id, global.systemd_cgroup)?,
        systemd: global.systemd_cgroup,
        netns: bundle.netns(),
        hooks: spec.hooks().clone(),
        init: None,
    };
    if let Some(resources) = spec.linux().as_ref().and_then(|linux| linux.resources().as_ref()) {
        cgroup::check(resources)?;
    }
    let mut container = store.add(request.id)?;
    match build(&mut container, record, &bundle, request) {
        Ok(()) => Ok(container),
        Err(error) => {
            // The first error is the one to tell.
            let _ = delete::destroy(&container, log);
            Err(error)
        }
    }
}

fn build(
    container: &mut Container,
    record: Record,
    bundle: &Bundle,
    request: &Request<'_>,
) -> Result<()> {
    let cgroup = Cgroup::of(&record)?;
    let others = cgroup.pids()?;
    ensure!(
        others.is_empty(),
        "the control group {} belongs to other processes: {others:?}",
        record.cgroup_path.display()
    );
    // Before anything is made, so that whatever is made can be found again.
    container.save(record.clone())?;
    container.set_pending()?;
    // Open as long as this program, and what it forks, has not become something else.
    let _birth = container.birth()?;
    let (_dir, path) = container.socket()?;
    let listener = UnixListener::bind(path).context("cannot make the socket for the start")?;
    let listener = listener.as_raw_fd();
    let make =
        |is_limited| with_libcontainer(container, &record, bundle, request, listener, is_limited);
    // Hooks see the host as it is, so libcontainer does all of it for them.
    let may_be_inside = bundle.has_own_mounts()
        && !bundle.has_early_hooks()
        && !bundle.mounts_control_groups()
        && !is_rootless();
    let pid = if may_be_inside {
        let linux = bundle.spec.linux().as_ref();
        cgroup.run_inside(linux.and_then(|linux| linux.resources().as_ref()), make)?
    } else {
        cgroup::hide_what_is_not_ours()?;
        make(false)?
    };
    let init = Process::of(pid).context("the container's process ended at once")?;
    container.save(Record { init: Some(init), ..record })
}

/// The part that is libcontainer's: namespaces, root, hooks, and the control group unless its limits are in force
/// already. The number of the container's first process.
fn with_libcontainer(
    container: &Container,
    record: &Record,
    bundle: &Bundle,
    request: &Request<'_>,
    listener: RawFd,
    is_limited: bool,
) -> Result<i32> {
    let given = bundle.for_libcontainer(container.dir(), &record.cgroup_path, is_limited)?;
    let mut builder = ContainerBuilder::new(request.id.to_owned(), SyscallType::default())
        .with_root_path(container.libcontainer())?
        .with_pid_file(request.pid_file)?
        .with_console_socket(request.console_socket)
        .with_preserved_fds(request.preserve_fds)
        .with_executor(Unikernel::new(listener, Rc::clone(&bundle.spec)))
        .validate_id()?;
    // They are what they are; libcontainer would else take its own idea of them.
    (builder.stdin, builder.stdout, builder.stderr) = (None, None, None);
    let made = builder
        .as_init(given)
        .with_systemd(record.systemd)
        .with_detach(request.detached)
        .with_no_pivot(request.no_pivot)
        .build();
    let made = made.map_err(explain)?;
    Ok(made.pid().context("the container has no process")?.as_raw())
}

/// What libcontainer says, with its reasons, and without what it says twice.
fn explain(error: libcontainer::error::LibcontainerError) -> anyhow::Error {
    let mut text = String::new();
    for reason in anyhow::Error::from(error).chain() {
        let reason = reason.to_string();
        if !text.ends_with(&reason) {
            if !text.is_empty() {
                text.push_str(": ");
            }
            text.push_str(&reason);
        }
    }
    match text.split_once(REASON) {
        Some((_, ours)) => anyhow::Error::msg(ours.to_owned()),
        None => anyhow::Error::msg(text),
    }
}
