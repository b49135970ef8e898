//! What goes wrong at the runtime's own command line: it is killed at any time, its disk is full, a
//! container is deleted that never ran. Nothing may stay that another command cannot remove.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use suite::Binaries;
use suite::oci::bundle::{Description, make_bridge, make_networks};
use suite::oci::{Runtime, Sandbox, Traces};

use super::{PAGE, orderly, web_root};
use crate::Case;

/// How often the runtime is killed in each command, at times spread over what the command takes.
const KILLS: u32 = 40;

/// All cases of this file.
pub(super) fn cases() -> Vec<Case> {
    vec![
        Case::new("oci::failures::the runtime killed in create leaves nothing", |b| {
            killed_in(b, Command::Create)
        }),
        Case::new("oci::failures::the runtime killed in start leaves nothing", |b| {
            killed_in(b, Command::Start)
        }),
        Case::new("oci::failures::the runtime killed in delete leaves nothing", |b| {
            killed_in(b, Command::Delete)
        }),
        Case::new("oci::failures::created, never started, deleted", never_started),
        Case::new("oci::failures::states, and commands at the wrong time", wrong_time),
        Case::new("oci::failures::a full disk for the state", full_disk),
    ]
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Command {
    Create,
    Start,
    Delete,
}

/// A sandbox with a network and a web server's root folder.
struct Place {
    sandbox: Sandbox,
    root: PathBuf,
    address: std::net::SocketAddr,
}

impl Place {
    fn new(binaries: &Binaries) -> Result<Self> {
        let sandbox = Sandbox::new()?;
        let root = web_root(binaries, &sandbox)?;
        make_bridge(&sandbox)?;
        let addresses = make_networks(&sandbox, &["one".to_owned()])?;
        let address = (*addresses.first().context("no address")?, 80).into();
        Ok(Self { sandbox, root, address })
    }

    fn description(&self) -> Description<'_> {
        Description {
            root: &self.root,
            words: &["/httpd"],
            environment: &["NABLA_MEMORY=16M"],
            network: Some("one"),
        }
    }

    /// What belongs to the network namespace: interfaces, and what is attached to them.
    fn network(&self) -> Result<String> {
        let words = ["netns", "exec", "one", "sh", "-c"];
        let script = "ip -o link | sed 's/ qdisc .* qlen/ qlen/'; tc qdisc show; \
                      for i in $(ls /sys/class/net); do tc filter show dev $i ingress; done";
        self.sandbox.succeed(&[&["ip"], &words[..], &[script]].concat())
    }
}

/// Kills the runtime in a command, at one time after the other, and removes what there is.
fn killed_in(binaries: &Binaries, command: Command) -> Result<()> {
    let place = Place::new(binaries)?;
    let runtime = Runtime::new(&place.sandbox, &binaries.runtime());
    // One untouched life, to know how long the command takes and what is there at all times.
    let bundle = runtime.bundle("killed", place.description())?;
    let mut took = Duration::ZERO;
    let mut timed = |of: Command, action: &dyn Fn() -> Result<()>| -> Result<()> {
        let start = Instant::now();
        action()?;
        if of == command {
            took = start.elapsed();
        }
        Ok(())
    };
    timed(Command::Create, &|| runtime.create(&bundle))?;
    timed(Command::Start, &|| runtime.about(&bundle, &["start"]).map(drop))?;
    ensure!(place.sandbox.page(place.address)? == PAGE);
    timed(Command::Delete, &|| runtime.about(&bundle, &["delete", "--force"]).map(drop))?;
    let before = Traces::of(&place.sandbox)?;
    let network = place.network()?;

    let mut done = 0;
    for kill in 0..KILLS {
        let limit = took.mul_f64(1.1 * f64::from(kill + 1) / f64::from(KILLS));
        let context = || format!("{command:?} killed after {limit:?}, which takes {took:?}");
        let was_done = match command {
            Command::Create => runtime.create_killed(&bundle, limit)?,
            Command::Start => {
                runtime.create(&bundle).with_context(context)?;
                runtime.start_killed(&bundle, limit)?
            }
            Command::Delete => {
                runtime.create(&bundle).with_context(context)?;
                runtime.about(&bundle, &["start"]).with_context(context)?;
                runtime.delete_killed(&bundle, limit)?
            }
        };
        done += u32::from(was_done);
        // As engines do: the runtime is asked to remove whatever there is, and says nothing if that
        // is nothing.
        runtime.about(&bundle, &["delete", "--force"]).with_context(context)?;
        before.nothing_more(&place.sandbox, |_| false).with_context(context)?;
        let now = place.network()?;
        ensure!(now == network, "{}: {now}", context());
    }
    ensure!(done < KILLS, "the runtime was never killed");
    // The id is free again.
    runtime.create(&bundle)?;
    runtime.about(&bundle, &["start"])?;
    ensure!(place.sandbox.page(place.address)? == PAGE);
    runtime.about(&bundle, &["delete", "--force"])?;
    before.nothing_more(&place.sandbox, |_| false)
}

/// Engines delete such a container without force.
fn never_started(binaries: &Binaries) -> Result<()> {
    let place = Place::new(binaries)?;
    let runtime = Runtime::new(&place.sandbox, &binaries.runtime());
    let bundle = runtime.bundle("never", place.description())?;
    runtime.create(&bundle)?;
    runtime.about(&bundle, &["delete", "--force"])?;
    let before = Traces::of(&place.sandbox)?;
    runtime.create(&bundle)?;
    ensure!(runtime.state(&bundle)?["status"] == "created");
    runtime.about(&bundle, &["delete"])?;
    before.nothing_more(&place.sandbox, |_| false)?;
    ensure!(runtime.state(&bundle).is_err());

    // Killed instead of started.
    runtime.create(&bundle)?;
    runtime.about(&bundle, &["kill", "KILL"])?;
    runtime.wait_for(&bundle, "stopped")?;
    runtime.about(&bundle, &["delete"])?;
    before.nothing_more(&place.sandbox, |_| false)
}

fn wrong_time(binaries: &Binaries) -> Result<()> {
    let place = Place::new(binaries)?;
    let runtime = Runtime::new(&place.sandbox, &binaries.runtime());
    let bundle = runtime.bundle("states", place.description())?;
    for words in [&["start"][..], &["kill", "TERM"], &["delete"], &["state"]] {
        ensure!(runtime.about(&bundle, words).is_err(), "{words:?} of what is not there");
    }
    runtime.about(&bundle, &["delete", "--force"])?;
    runtime.create(&bundle)?;
    let Err(error) = runtime.create(&bundle) else { bail!("created twice") };
    ensure!(format!("{error:#}").contains("states"), "{error:#}");
    let state = runtime.state(&bundle)?;
    ensure!(state["status"] == "created" && state["id"] == "states", "{state:#}");
    ensure!(state["pid"].as_i64().is_some_and(|pid| pid > 1), "{state:#}");
    runtime.about(&bundle, &["start"])?;
    ensure!(place.sandbox.page(place.address)? == PAGE);
    ensure!(runtime.state(&bundle)?["status"] == "running");
    for words in [&["start"][..], &["delete"], &["kill", "NONSENSE"]] {
        ensure!(runtime.about(&bundle, words).is_err(), "{words:?} of what is running");
    }
    ensure!(place.sandbox.page(place.address)? == PAGE);
    orderly("SIGTERM", || {
        runtime.about(&bundle, &["kill", "TERM"])?;
        runtime.wait_for(&bundle, "stopped")
    })?;
    ensure!(runtime.about(&bundle, &["start"]).is_err());
    runtime.about(&bundle, &["delete"])?;
    ensure!(runtime.state(&bundle).is_err());
    Ok(())
}

fn full_disk(binaries: &Binaries) -> Result<()> {
    let place = Place::new(binaries)?;
    let sandbox = &place.sandbox;
    sandbox.succeed(&["mkdir", "/run/full"])?;
    sandbox.succeed(&["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", "/run/full"])?;
    let fill = "dd if=/dev/zero of=/run/full/filler bs=4k 2>/dev/null; true";
    sandbox.succeed(&["sh", "-c", fill])?;
    let state = "/run/full/state".into();
    let runtime = Runtime::with_state(sandbox, &binaries.runtime(), state);
    let bundle = runtime.bundle("full", place.description())?;
    let before = Traces::of(sandbox)?;
    let Err(error) = runtime.create(&bundle) else { bail!("created on a full disk") };
    ensure!(format!("{error:#}").to_lowercase().contains("no space"), "{error:#}");
    runtime.about(&bundle, &["delete", "--force"])?;
    // Only the folder for the state itself.
    before.nothing_more(sandbox, |line| line == "file /run/full/state")?;

    sandbox.succeed(&["rm", "/run/full/filler"])?;
    runtime.create(&bundle)?;
    runtime.about(&bundle, &["start"])?;
    ensure!(sandbox.page(place.address)? == PAGE);
    // Full again: what runs can be stopped and deleted.
    sandbox.succeed(&["sh", "-c", fill])?;
    orderly("SIGTERM", || {
        runtime.about(&bundle, &["kill", "TERM"])?;
        runtime.wait_for(&bundle, "stopped")
    })?;
    runtime.about(&bundle, &["delete"])?;
    before.nothing_more(sandbox, |line| line == "file /run/full/state")
}
