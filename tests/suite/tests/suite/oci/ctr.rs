//! containerd by its own client: on the network of the sandbox and on one by CNI, and over a restart of
//! the daemon.

use std::fs;
use std::net::{IpAddr, SocketAddr};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use suite::oci::containerd::NEEDS;
use suite::oci::{Containerd, Image, Sandbox, Traces};
use suite::run::TIME_OUT;
use suite::{Binaries, Ended};

use super::{PAGE, image_of, orderly, web};
use crate::Case;

/// All cases of this file.
pub(super) fn cases() -> Vec<Case> {
    let cases = vec![
        Case::new("oci::ctr::on the network of the host", on_host),
        Case::new("oci::ctr::on a network by CNI, over a restart of containerd", over_restart),
        Case::new("oci::ctr::statuses of guests are the task's", ends),
        Case::new("oci::ctr::created and never started", never_started),
    ];
    cases.into_iter().map(|case| case.with_needs(&NEEDS)).collect()
}

/// The image that a pod's sandbox is said to be run from.
pub(super) fn pause(binaries: &Binaries, sandbox: &Sandbox) -> Result<Image> {
    image_of(sandbox, "pause", &binaries.tender())
}

/// The status of a task in `ctr task ls`.
fn status(containerd: &Containerd<'_>, id: &str) -> Result<String> {
    let list = containerd.ctr(&["task", "ls"])?;
    let line = list.lines().find(|line| line.split_whitespace().next() == Some(id));
    let line = line.with_context(|| format!("no task {id}: {list}"))?;
    Ok(line.split_whitespace().last().unwrap_or_default().to_owned())
}

fn wait_for(containerd: &Containerd<'_>, id: &str, wanted: &str) -> Result<()> {
    let deadline = Instant::now() + TIME_OUT;
    loop {
        let now = status(containerd, id)?;
        if now == wanted {
            return Ok(());
        }
        ensure!(Instant::now() < deadline, "{id} is {now}, not {wanted}");
        thread::sleep(Duration::from_millis(10));
    }
}

/// Sends SIGTERM, waits for the end, and removes task and container.
fn end(containerd: &Containerd<'_>, id: &str) -> Result<()> {
    orderly("SIGTERM", || {
        containerd.ctr(&["task", "kill", "--signal=SIGTERM", id])?;
        wait_for(containerd, id, "STOPPED")
    })?;
    let outcome = containerd.run(&["task", "delete", id])?;
    ensure!(outcome.ended == Ended::Exit(0), "{outcome:?}");
    containerd.ctr(&["container", "delete", id]).map(drop)
}

fn on_host(binaries: &Binaries) -> Result<()> {
    let sandbox = Sandbox::new()?;
    let pause = pause(binaries, &sandbox)?;
    let containerd = Containerd::start(&sandbox, &binaries.runtime(), &pause)?;
    let image = web(binaries, &sandbox)?;
    containerd.import(&image)?;
    let before = Traces::of(&sandbox)?;
    containerd.ctr(&containerd.container(&["--detach", "--net-host"], &image, "web", &[]))?;
    let address = ([127, 0, 0, 1], 80).into();
    ensure!(sandbox.page(address)? == PAGE);
    ensure!(status(&containerd, "web")? == "RUNNING");
    let numbers = containerd.ctr(&["task", "metrics", "web"])?;
    ensure!(numbers.contains("memory.usage"), "{numbers}");
    let processes = containerd.ctr(&["task", "ps", "web"])?;
    ensure!(processes.lines().count() >= 2, "{processes}");
    containerd.ctr(&["task", "pause", "web"])?;
    ensure!(status(&containerd, "web")? == "PAUSED");
    containerd.ctr(&["task", "resume", "web"])?;
    ensure!(sandbox.page(address)? == PAGE);
    end(&containerd, "web")?;
    before.nothing_more(&sandbox, is_containerds)
}

/// Folders that containerd and its shims make with the first container and keep, without those of
/// containers.
pub(super) fn is_containerds(line: &str) -> bool {
    let Some(rest) = line.strip_prefix("file /run/containerd") else { return false };
    // The last is the folder of a namespace.
    matches!(rest, "" | "/fifo" | "/runc" | "/s" | "/io.containerd.grpc.v1.cri")
        || rest.strip_prefix("/runc/").is_some_and(|name| !name.contains('/'))
}

fn over_restart(binaries: &Binaries) -> Result<()> {
    let sandbox = Sandbox::new()?;
    let pause = pause(binaries, &sandbox)?;
    let mut containerd = Containerd::start(&sandbox, &binaries.runtime(), &pause)?;
    let image = web(binaries, &sandbox)?;
    containerd.import(&image)?;
    containerd.ctr(&containerd.container(&["--detach", "--cni"], &image, "web", &[]))?;
    // The allocator keeps a file for each address.
    let addresses = fs::read_dir(sandbox.inside("/run/nabla-ipam/nabla"))?.flatten();
    let names = addresses.map(|entry| entry.file_name().to_string_lossy().into_owned());
    let address = names.filter_map(|name| name.parse::<IpAddr>().ok()).next();
    let address = SocketAddr::new(address.context("no address was given out")?, 80);
    ensure!(sandbox.page(address)? == PAGE);
    containerd.restart()?;
    ensure!(status(&containerd, "web")? == "RUNNING");
    ensure!(sandbox.page(address)? == PAGE);
    end(&containerd, "web")?;
    let list = containerd.ctr(&["task", "ls", "--quiet"])?;
    ensure!(list.trim().is_empty(), "{list}");
    Ok(())
}

fn ends(binaries: &Binaries) -> Result<()> {
    let sandbox = Sandbox::new()?;
    let pause = pause(binaries, &sandbox)?;
    let containerd = Containerd::start(&sandbox, &binaries.runtime(), &pause)?;
    let image = image_of(&sandbox, "exit-status", &binaries.guest("exit-status"))?;
    containerd.import(&image)?;
    for status in [0, 7] {
        let command = ["/exit-status", &status.to_string()];
        let words = containerd.container(&["--rm"], &image, "short", &command);
        let outcome = containerd.run(&words)?;
        ensure!(outcome.ended == Ended::Exit(status), "{outcome:?}");
    }
    Ok(())
}

/// What the shim does then is the runtime's `delete` of a container that is only created.
fn never_started(binaries: &Binaries) -> Result<()> {
    let sandbox = Sandbox::new()?;
    let pause = pause(binaries, &sandbox)?;
    let containerd = Containerd::start(&sandbox, &binaries.runtime(), &pause)?;
    // A program that is no unikernel: the task is created, and its start fails.
    containerd.import(&pause)?;
    let before = Traces::of(&sandbox)?;
    let words = containerd.container(&["--detach"], &pause, "never", &[]);
    let outcome = containerd.run(&words)?;
    ensure!(outcome.ended != Ended::Exit(0) && outcome.stderr.contains("/pause"), "{outcome:?}");
    containerd.run(&["task", "delete", "--force", "never"])?;
    containerd.ctr(&["container", "delete", "never"])?;
    before.nothing_more(&sandbox, is_containerds)
}
