//! Hooks: which are run when, what they are told, and what follows when one fails.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail, ensure};
use serde_json::{Value, json};
use suite::oci::Bundle;
use suite::{Binaries, Ended, Running};

use super::Place;
use crate::Case;

/// In the order in which they are run.
const KINDS: [&str; 6] =
    ["prestart", "createRuntime", "createContainer", "startContainer", "poststart", "poststop"];
/// Those that `create` runs.
const OF_CREATE: [&str; 3] = ["prestart", "createRuntime", "createContainer"];

/// All cases of this file.
pub(super) fn cases() -> Vec<Case> {
    vec![
        Case::new("oci::spec::hooks::all kinds, in their order", order),
        Case::new("oci::spec::hooks::the state on standard input", told),
        Case::new("oci::spec::hooks::args, env and namespaces", surroundings),
        Case::new("oci::spec::hooks::one of create that fails", failing_create),
        Case::new("oci::spec::hooks::startContainer that fails", failing_start),
        Case::new("oci::spec::hooks::poststart and poststop that fail", failing_post),
        Case::new("oci::spec::hooks::one that takes too long", time_out),
        Case::new("oci::spec::hooks::run runs them all", run),
    ]
}

/// A folder that hooks write to: in the container's root, for `startContainer` sees nothing else.
fn notes(place: &Place) -> Result<PathBuf> {
    // A shell and what it needs, for `startContainer`, whose path is one of the container's.
    let notes = place.root.join("notes");
    fs::create_dir_all(&notes)?;
    fs::set_permissions(&notes, std::os::unix::fs::PermissionsExt::from_mode(0o777))?;
    Ok(notes)
}

/// The host's `/bin`, `/lib`, ..., so that a hook inside of the container has a shell.
fn with_shell(config: &mut Value) {
    let folders =
        ["/bin", "/usr", "/lib", "/lib64"].into_iter().filter(|path| Path::new(path).exists());
    let mounts = folders.map(|path| json!({ "destination": path, "type": "bind", "source": path, "options": ["rbind", "ro"] }));
    if let Some(all) = config["mounts"].as_array_mut() {
        all.extend(mounts);
    }
    config["root"]["readonly"] = json!(false);
}

/// A hook that writes its kind into `order`, and its state into a file of its own; `notes` is where it finds them.
fn hook(kind: &str, notes: &str, more: &str) -> Value {
    let script = format!("echo {kind} >>{notes}/order; cat >{notes}/{kind}; {more}");
    json!({ "path": "/bin/sh", "args": ["sh", "-c", script], "env": ["PATH=/usr/bin:/bin"] })
}

/// All hooks; `more` says what one does besides.
fn all(notes: &Path, more: impl Fn(&str) -> String) -> Value {
    let outside = notes.to_str().unwrap_or_default();
    let hooks = KINDS.map(|kind| {
        let notes = if kind == "startContainer" { "/notes" } else { outside };
        (kind.to_owned(), json!([hook(kind, notes, &more(kind))]))
    });
    Value::Object(hooks.into_iter().collect())
}

fn said(notes: &Path) -> Vec<String> {
    let text = fs::read_to_string(notes.join("order")).unwrap_or_default();
    text.lines().map(str::to_owned).collect()
}

fn hooked(place: &Place, notes: &Path, more: impl Fn(&str) -> String) -> Result<Bundle> {
    let bundle = place.bundle(|config| {
        with_shell(config);
        config["hooks"] = all(notes, more);
        config["annotations"] = json!({ "org.example.key": "value" });
    })?;
    Ok(bundle)
}

fn order(binaries: &Binaries) -> Result<()> {
    let place = Place::new(binaries)?;
    let notes = notes(&place)?;
    let runtime = place.runtime();
    let bundle = hooked(&place, &notes, |_| String::new())?;
    runtime.create(&bundle)?;
    ensure!(said(&notes) == KINDS[..3], "{:?}", said(&notes));
    runtime.about(&bundle, &["start"])?;
    ensure!(said(&notes) == KINDS[..5], "{:?}", said(&notes));
    runtime.about(&bundle, &["kill", "KILL"])?;
    runtime.wait_for(&bundle, "stopped")?;
    ensure!(said(&notes) == KINDS[..5], "{:?}", said(&notes));
    runtime.about(&bundle, &["delete"])?;
    ensure!(said(&notes) == KINDS, "{:?}", said(&notes));
    place.gone(&bundle)
}

fn told(binaries: &Binaries) -> Result<()> {
    let place = Place::new(binaries)?;
    let notes = notes(&place)?;
    let runtime = place.runtime();
    let bundle = hooked(&place, &notes, |_| String::new())?;
    runtime.create(&bundle)?;
    let pid = runtime.state(&bundle)?["pid"].clone();
    runtime.about(&bundle, &["start"])?;
    runtime.about(&bundle, &["delete", "--force"])?;
    for kind in KINDS {
        let text = super::read(&notes.join(kind))?;
        let state: Value =
            serde_json::from_str(&text).with_context(|| format!("{kind}: {text}"))?;
        ensure!(state["id"] == bundle.id && state["ociVersion"].is_string(), "{kind}: {state}");
        ensure!(state["bundle"] == bundle.folder().to_str().unwrap_or_default(), "{kind}: {state}");
        ensure!(state["annotations"]["org.example.key"] == "value", "{kind}: {state}");
        let status = match kind {
            "poststart" => "running",
            "poststop" => "stopped",
            // libcontainer tells `startContainer` the same as those before it.
            _ => "creating",
        };
        ensure!(state["status"] == status, "{kind}: {state}");
        if ["prestart", "createRuntime", "poststart"].contains(&kind) {
            ensure!(state["pid"] == pid, "{kind}: {state}, not {pid}");
        }
    }
    place.gone(&bundle)
}

fn surroundings(binaries: &Binaries) -> Result<()> {
    let place = Place::new(binaries)?;
    let notes = notes(&place)?;
    let runtime = place.runtime();
    let bundle = hooked(&place, &notes, |kind| {
        let folder =
            if kind == "startContainer" { "/notes" } else { notes.to_str().unwrap_or_default() };
        format!(
            "readlink /proc/self/ns/net >{folder}/{kind}.net; env >{folder}/{kind}.env; pwd >{folder}/{kind}.pwd"
        )
    })?;
    runtime.create(&bundle)?;
    runtime.about(&bundle, &["start"])?;
    let first = runtime.state(&bundle)?["pid"].as_i64().context("no pid")?;
    let of =
        |process: PathBuf| fs::read_link(process.join("ns/net")).map(|it| it.display().to_string());
    let (inside, outside) = (of(place.proc(first, ""))?, of(place.sandbox.inside("/proc/1"))?);
    runtime.about(&bundle, &["delete", "--force"])?;
    for kind in KINDS {
        let net = super::read(&notes.join(format!("{kind}.net")))?;
        let expected =
            if ["createContainer", "startContainer"].contains(&kind) { &inside } else { &outside };
        ensure!(net.trim() == expected, "{kind}: {net}, not {expected}");
        // Nothing but what the hook says, and what a shell adds.
        let env = super::read(&notes.join(format!("{kind}.env")))?;
        let names: Vec<&str> = env.lines().filter_map(|line| line.split('=').next()).collect();
        ensure!(
            names.iter().all(|name| ["PATH", "PWD", "OLDPWD", "SHLVL", "_"].contains(name)),
            "{kind}: {env}"
        );
    }
    Ok(())
}

/// The container is gone then, and its `poststop` hooks were run.
fn failing_create(binaries: &Binaries) -> Result<()> {
    for failing in OF_CREATE {
        let place = Place::new(binaries)?;
        let notes = notes(&place)?;
        let more = |kind: &str| if kind == failing { "exit 3".to_owned() } else { String::new() };
        let bundle = hooked(&place, &notes, more)?;
        let Err(error) = place.runtime().create(&bundle) else { bail!("{failing} has failed") };
        ensure!(format!("{error:#}").contains("hook"), "{failing}: {error:#}");
        place.gone(&bundle)?;
        let mut expected: Vec<&str> = OF_CREATE.into_iter().collect();
        expected
            .truncate(OF_CREATE.iter().position(|kind| *kind == failing).unwrap_or_default() + 1);
        expected.push("poststop");
        ensure!(said(&notes) == expected, "{failing}: {:?}", said(&notes));
    }
    Ok(())
}

fn failing_start(binaries: &Binaries) -> Result<()> {
    let place = Place::new(binaries)?;
    let notes = notes(&place)?;
    let runtime = place.runtime();
    let more =
        |kind: &str| if kind == "startContainer" { "exit 3".to_owned() } else { String::new() };
    let bundle = hooked(&place, &notes, more)?;
    runtime.create(&bundle)?;
    let Err(error) = runtime.about(&bundle, &["start"]) else { bail!("it has started") };
    ensure!(
        format!("{error:#}").contains("ended before the unikernel could be started"),
        "{error:#}"
    );
    runtime.wait_for(&bundle, "stopped")?;
    ensure!(!bundle.console().contains("up:"), "{}", bundle.console());
    runtime.about(&bundle, &["delete"])?;
    let expected = ["prestart", "createRuntime", "createContainer", "startContainer", "poststop"];
    ensure!(said(&notes) == expected, "{:?}", said(&notes));
    place.gone(&bundle)
}

/// A warning; the remaining hooks are run.
fn failing_post(binaries: &Binaries) -> Result<()> {
    let place = Place::new(binaries)?;
    let notes = notes(&place)?;
    let runtime = place.runtime();
    let outside = notes.to_str().unwrap_or_default();
    let bundle = place.bundle(|config| {
        for kind in ["poststart", "poststop"] {
            config["hooks"][kind] =
                json!([hook(kind, outside, "exit 3"), hook(&format!("{kind}2"), outside, "")]);
        }
    })?;
    runtime.create(&bundle)?;
    let log = place.sandbox.folder().join("log");
    let with_log = |words: &[&str]| -> Result<()> {
        let log = log.to_str().unwrap_or_default();
        let words = [&["--log", log][..], words, &[&*bundle.id]].concat();
        let outcome = Running::start(&mut runtime.command(&words))?.wait()?;
        ensure!(outcome.ended == Ended::Exit(0), "{outcome:?}");
        Ok(())
    };
    with_log(&["start"])?;
    ensure!(runtime.state(&bundle)?["status"] == "running");
    with_log(&["delete", "--force"])?;
    ensure!(
        said(&notes) == ["poststart", "poststart2", "poststop", "poststop2"],
        "{:?}",
        said(&notes)
    );
    let log = super::read(&log)?;
    ensure!(log.matches("level=warning").count() == 2, "{log}");
    place.gone(&bundle)
}

fn time_out(binaries: &Binaries) -> Result<()> {
    let place = Place::new(binaries)?;
    place.refused("hook", |config| {
        config["hooks"] = json!({ "createRuntime": [
            { "path": "/bin/sleep", "args": ["sleep", "1000"], "timeout": 1 }
        ] });
    })?;
    place.refused("hook", |config| {
        config["hooks"] = json!({ "createRuntime": [{ "path": "/no/such" }] });
    })
}

fn run(binaries: &Binaries) -> Result<()> {
    let place = Place::new(binaries)?;
    let notes = notes(&place)?;
    let bundle = hooked(&place, &notes, |_| String::new())?;
    bundle.change(|config| config["process"]["args"] = json!(["/exit-status", "7"]))?;
    let words = ["run", "--bundle", bundle.folder().to_str().unwrap_or_default(), &*bundle.id];
    let outcome = Running::start(&mut place.runtime().command(&words))?.wait()?;
    ensure!(outcome.ended == Ended::Exit(7), "{outcome:?}");
    ensure!(said(&notes) == KINDS, "{:?}", said(&notes));
    place.gone(&bundle)
}
