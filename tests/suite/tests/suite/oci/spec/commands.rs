//! The commands beside the lifecycle's, terminals, and descriptors that are handed on.

use std::fs;
use std::io::{IoSliceMut, Read};
use std::os::fd::{AsRawFd, FromRawFd, RawFd};
use std::os::unix::net::UnixListener;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use nix::sys::socket::{ControlMessageOwned, MsgFlags, recvmsg};
use serde_json::{Value, json};
use suite::run::TIME_OUT;
use suite::{Binaries, Ended, Running};

use super::Place;
use crate::Case;

/// All cases of this file.
pub(super) fn cases() -> Vec<Case> {
    vec![
        Case::new("oci::spec::commands::pause and resume", pause),
        Case::new("oci::spec::commands::ps, list and events", looks),
        Case::new("oci::spec::commands::update", update),
        Case::new("oci::spec::commands::features, spec and version", about_itself),
        Case::new("oci::spec::commands::exec is refused", exec),
        Case::new("oci::spec::commands::a terminal", terminal),
        Case::new("oci::spec::commands::descriptors do not reach the guest", descriptors),
    ]
}

fn pause(binaries: &Binaries) -> Result<()> {
    let place = Place::new(binaries)?;
    let runtime = place.runtime();
    let life = place.start(|_| {})?;
    ensure!(runtime.about(&life.bundle, &["resume"]).is_err());
    runtime.about(&life.bundle, &["pause"])?;
    ensure!(runtime.state(&life.bundle)?["status"] == "paused");
    for words in [&["pause"][..], &["start"], &["delete"]] {
        ensure!(runtime.about(&life.bundle, words).is_err(), "{words:?} of what is paused");
    }
    runtime.about(&life.bundle, &["resume"])?;
    ensure!(runtime.state(&life.bundle)?["status"] == "running");
    // One that is paused can be killed.
    runtime.about(&life.bundle, &["pause"])?;
    runtime.about(&life.bundle, &["kill", "KILL"])?;
    runtime.wait_for(&life.bundle, "stopped")?;
    life.end()
}

fn looks(binaries: &Binaries) -> Result<()> {
    let place = Place::new(binaries)?;
    let runtime = place.runtime();
    let life = place.start(|_| {})?;
    let guest = life.guest_process()?;
    let shown: Value =
        serde_json::from_str(&runtime.about(&life.bundle, &["ps", "--format=json"])?)?;
    ensure!(shown == json!([life.first, guest]), "{shown}");
    let table = runtime.about(&life.bundle, &["ps"])?;
    ensure!(table.lines().count() == 3 && table.contains("PID"), "{table}");

    let listed = Running::start(&mut runtime.command(&["list", "--format=json"]))?.wait()?;
    let listed: Value = serde_json::from_str(&listed.stdout)?;
    ensure!(listed[0]["id"] == life.bundle.id && listed[0]["status"] == "running", "{listed}");
    let listed = Running::start(&mut runtime.command(&["list"]))?.wait()?.stdout;
    ensure!(listed.starts_with("ID ") && listed.contains(&life.bundle.id), "{listed}");

    let event: Value = serde_json::from_str(&runtime.about(&life.bundle, &["events", "--stats"])?)?;
    ensure!(event["type"] == "stats" && event["id"] == life.bundle.id, "{event}");
    ensure!(event["data"]["pids"]["current"] == 2, "{event}");
    ensure!(
        event["data"]["memory"]["usage"]["usage"].as_u64().is_some_and(|bytes| bytes > 0),
        "{event}"
    );
    ensure!(event["data"]["memory"]["usage"]["limit"] == 64 << 20, "{event}");
    life.end()
}

fn update(binaries: &Binaries) -> Result<()> {
    let place = Place::new(binaries)?;
    let runtime = place.runtime();
    let life = place.start(|_| {})?;
    runtime.about(&life.bundle, &["update", "--pids-limit=23", "--memory=100000000"])?;
    ensure!(life.cgroup("pids.max")?.trim() == "23");
    // Whole pages.
    let limit = life.cgroup("memory.limit_in_bytes").or_else(|_| life.cgroup("memory.max"))?;
    ensure!(limit.trim() == (100_000_000 / 4096 * 4096).to_string(), "{limit}");
    let file = life.bundle.folder().join("resources.json");
    fs::write(&file, json!({ "pids": { "limit": 24 } }).to_string())?;
    runtime.about(&life.bundle, &["update", &format!("--resources={}", file.display())])?;
    ensure!(life.cgroup("pids.max")?.trim() == "24");
    life.end()
}

fn about_itself(binaries: &Binaries) -> Result<()> {
    let place = Place::new(binaries)?;
    let run = |words: &[&str]| -> Result<String> {
        let outcome = Running::start(&mut place.runtime().command(words))?.wait()?;
        ensure!(outcome.ended == Ended::Exit(0), "{words:?}: {outcome:?}");
        Ok(outcome.stdout)
    };
    let features: Value = serde_json::from_str(&run(&["features"])?)?;
    ensure!(features["ociVersionMin"] == "1.0.0", "{features}");
    for kind in ["createRuntime", "createContainer", "startContainer", "poststart", "poststop"] {
        ensure!(
            features["hooks"].as_array().is_some_and(|all| all.contains(&json!(kind))),
            "{features}"
        );
    }
    ensure!(features["linux"]["mountExtensions"]["idmap"]["enabled"] == false, "{features}");
    ensure!(
        features["mountOptions"].as_array().is_some_and(|all| all.contains(&json!("rro"))),
        "{features}"
    );
    // Nothing is promised that is not done.
    for what in ["seccomp", "apparmor", "selinux", "intelRdt"] {
        ensure!(features["linux"][what]["enabled"] == false, "{features}");
    }
    ensure!(run(&["--version"])?.starts_with("runnc version "));

    // The example runs once it has a root.
    let folder = place.sandbox.folder().join("example");
    fs::create_dir(&folder)?;
    let folder = folder.to_str().unwrap_or_default();
    run(&["spec", "--bundle", folder])?;
    let config = std::path::Path::new(folder).join("config.json");
    let mut example: Value = serde_json::from_slice(&fs::read(&config)?)?;
    example["process"]["args"] = json!(["/exit-status", "0"]);
    example["root"]["path"] = json!(place.root);
    example["linux"]["cgroupsPath"] = json!(format!("{}/example", place.sandbox.cgroup()));
    fs::write(&config, example.to_string())?;
    run(&["run", "--bundle", folder, "example"])?;
    let again =
        Running::start(&mut place.runtime().command(&["spec", "--bundle", folder]))?.wait()?;
    ensure!(again.stderr.contains("exists"), "{again:?}");
    Ok(())
}

fn exec(binaries: &Binaries) -> Result<()> {
    let place = Place::new(binaries)?;
    let life = place.start(|_| {})?;
    let words = ["exec", &*life.bundle.id, "/bin/sh"];
    let outcome = Running::start(&mut place.runtime().command(&words))?.wait()?;
    ensure!(
        outcome.ended != Ended::Exit(0) && outcome.stderr.contains("is a unikernel"),
        "{outcome:?}"
    );
    ensure!(place.runtime().state(&life.bundle)?["status"] == "running");
    life.end()
}

fn terminal(binaries: &Binaries) -> Result<()> {
    let place = Place::new(binaries)?;
    let runtime = place.runtime();
    place.refused("console", |config| config["process"]["terminal"] = json!(true))?;
    let bundle = place.bundle(|config| config["process"]["terminal"] = json!(true))?;
    let path = bundle.folder().join("console.sock");
    let listener = UnixListener::bind(&path)?;
    let receiver = thread::spawn(move || -> Result<fs::File> {
        let (stream, _) = listener.accept()?;
        let mut bytes = [0; 4096];
        let mut space = nix::cmsg_space!([RawFd; 1]);
        let mut parts = [IoSliceMut::new(&mut bytes)];
        let received =
            recvmsg::<()>(stream.as_raw_fd(), &mut parts, Some(&mut space), MsgFlags::empty())?;
        for beside in received.cmsgs()? {
            if let ControlMessageOwned::ScmRights(numbers) = beside {
                let number = *numbers.first().context("no descriptor")?;
                // SAFETY: the kernel has just made it for this process.
                return Ok(unsafe { fs::File::from_raw_fd(number) });
            }
        }
        bail!("no terminal came")
    });
    runtime.create_with(&bundle, &["--console-socket".as_ref(), path.as_os_str()])?;
    let Ok(terminal) = receiver.join() else { bail!("the receiver has panicked") };
    let mut terminal = terminal?;
    runtime.about(&bundle, &["start"])?;
    let mut text = String::new();
    let deadline = Instant::now() + TIME_OUT;
    while !text.contains("up: deaf\r\n") {
        let mut bytes = [0; 256];
        let read = terminal.read(&mut bytes)?;
        text.push_str(&String::from_utf8_lossy(&bytes[..read]));
        ensure!(Instant::now() < deadline, "{text}");
        thread::sleep(Duration::from_millis(1));
    }
    let first = runtime.state(&bundle)?["pid"].as_i64().context("no pid")?;
    for number in 0..3 {
        let target = fs::read_link(place.proc(first, &format!("fd/{number}")))?;
        ensure!(
            target.to_string_lossy().contains("/dev/pts/") || target.ends_with("console"),
            "{target:?}"
        );
    }
    runtime.about(&bundle, &["delete", "--force"])?;
    place.gone(&bundle)
}

/// A guest has no way to use them.
fn descriptors(binaries: &Binaries) -> Result<()> {
    let place = Place::new(binaries)?;
    let bundle = place.bundle(|_| {})?;
    let marker = place.sandbox.folder().join("marker");
    fs::write(&marker, "text")?;
    let script = "exec 3<\"$1\"; shift; exec \"$@\" </dev/null >/dev/null 2>&1";
    let words = ["sh", "-c", script, "sh", marker.to_str().unwrap_or_default()];
    let program = place.program.to_str().unwrap_or_default();
    let folder = bundle.folder().to_str().unwrap_or_default();
    let create = [
        program,
        "--root",
        "/run/nabla-state",
        "create",
        "--preserve-fds",
        "1",
        "--bundle",
        folder,
        &bundle.id,
    ];
    place.sandbox.succeed(&[&words[..], &create].concat())?;
    let runtime = place.runtime();
    runtime.about(&bundle, &["start"])?;
    let first = runtime.state(&bundle)?["pid"].as_i64().context("no pid")?;
    let life = super::Life { place: &place, bundle, first };
    for process in [life.first, life.guest_process()?] {
        for entry in fs::read_dir(place.proc(process, "fd"))?.flatten() {
            let target = fs::read_link(entry.path())?;
            ensure!(!target.ends_with("marker"), "{target:?}");
        }
    }
    life.end()
}
