//! Lifecycle: create, start, state, kill, delete, and bundles that are none.

use std::fs;

use anyhow::{Result, bail, ensure};
use serde_json::{Value, json};
use suite::{Binaries, Ended, Running};

use super::{Place, field, read};
use crate::Case;

/// All cases of this file.
pub(super) fn cases() -> Vec<Case> {
    vec![
        Case::new("oci::spec::lifecycle::state", state),
        Case::new("oci::spec::lifecycle::annotations", annotations),
        Case::new(
            "oci::spec::lifecycle::the process id, in a file and in the container",
            process_id,
        ),
        Case::new("oci::spec::lifecycle::exit statuses", exit_statuses),
        Case::new("oci::spec::lifecycle::kill sends signals", kill),
        Case::new("oci::spec::lifecycle::ids", ids),
        Case::new("oci::spec::lifecycle::bundles and configurations that are none", bundles),
        Case::new("oci::spec::lifecycle::a root that is missing, and one beside", roots),
        Case::new("oci::spec::lifecycle::versions, and properties that nobody knows", versions),
        Case::new(
            "oci::spec::lifecycle::the configuration counts as it was at create",
            later_changes,
        ),
    ]
}

fn state(binaries: &Binaries) -> Result<()> {
    let place = Place::new(binaries)?;
    let runtime = place.runtime();
    let bundle = place.bundle(|config| config["process"]["args"] = json!(["/shutdown", "heed"]))?;
    runtime.create(&bundle)?;
    let created = runtime.state(&bundle)?;
    ensure!(created["status"] == "created" && created["id"] == bundle.id, "{created}");
    ensure!(created["ociVersion"].as_str().is_some_and(|it| it.starts_with("1.")), "{created}");
    ensure!(created["bundle"] == bundle.folder().to_str().unwrap_or_default(), "{created}");
    ensure!(created["pid"].as_i64().is_some_and(|pid| pid > 0), "{created}");
    // The program does not run before its start.
    ensure!(!bundle.console().contains("up"), "{}", bundle.console());
    runtime.about(&bundle, &["start"])?;
    let running = runtime.state(&bundle)?;
    ensure!(running["status"] == "running" && running["pid"] == created["pid"], "{running}");
    runtime.about(&bundle, &["kill", "TERM"])?;
    runtime.wait_for(&bundle, "stopped")?;
    let stopped = runtime.state(&bundle)?;
    ensure!(stopped["id"] == bundle.id && stopped["bundle"] == created["bundle"], "{stopped}");
    ensure!(bundle.console().contains("asked"), "{}", bundle.console());
    runtime.about(&bundle, &["delete"])?;
    place.gone(&bundle)
}

fn annotations(binaries: &Binaries) -> Result<()> {
    let place = Place::new(binaries)?;
    let said = json!({ "org.example.one": "1", "org.example.empty": "" });
    let life = place.start(|config| config["annotations"] = said.clone())?;
    let state = place.runtime().state(&life.bundle)?;
    ensure!(state["annotations"] == said, "{state}");
    life.end()?;
    let life = place.start(|_| {})?;
    let state = place.runtime().state(&life.bundle)?;
    ensure!(state["annotations"].as_object().is_none_or(serde_json::Map::is_empty), "{state}");
    life.end()
}

fn process_id(binaries: &Binaries) -> Result<()> {
    let place = Place::new(binaries)?;
    let runtime = place.runtime();
    let bundle = place.bundle(|_| {})?;
    let file = bundle.folder().join("pid");
    runtime.create_with(&bundle, &["--pid-file".as_ref(), file.as_os_str()])?;
    let state = runtime.state(&bundle)?;
    let pid = state["pid"].as_i64().unwrap_or_default();
    ensure!(read(&file)? == pid.to_string(), "{state}");
    let ids = field(&read(&place.proc(pid, "status"))?, "NSpid");
    ensure!(ids.ends_with(" 1"), "{ids}");
    runtime.about(&bundle, &["delete", "--force"])?;
    place.gone(&bundle)
}

fn exit_statuses(binaries: &Binaries) -> Result<()> {
    let place = Place::new(binaries)?;
    for status in [0, 7, 200] {
        let words = ["/exit-status".to_owned(), status.to_string()];
        let bundle = place.bundle(|config| config["process"]["args"] = json!(words))?;
        let words = ["run", "--bundle", bundle.folder().to_str().unwrap_or_default(), &*bundle.id];
        let outcome = Running::start(&mut place.runtime().command(&words))?.wait()?;
        ensure!(outcome.ended == Ended::Exit(status), "{outcome:?}");
        place.gone(&bundle)?;
    }
    Ok(())
}

/// A guest that ends when it is asked to.
fn heeds(config: &mut Value) {
    config["process"]["args"] = json!(["/shutdown", "heed"]);
}

fn kill(binaries: &Binaries) -> Result<()> {
    let place = Place::new(binaries)?;
    let runtime = place.runtime();
    for signal in ["KILL", "SIGKILL", "9", "TERM", "15"] {
        let life = place.start(heeds)?;
        runtime.about(&life.bundle, &["kill", signal])?;
        runtime.wait_for(&life.bundle, "stopped")?;
        let Err(error) = runtime.about(&life.bundle, &["kill", signal]) else {
            bail!("{signal} for one that has stopped")
        };
        ensure!(format!("{error:#}").contains("not running"), "{error:#}");
        life.end()?;
    }
    // Without a word it is SIGTERM; one that was only created takes it as well.
    let bundle = place.bundle(|_| {})?;
    runtime.create(&bundle)?;
    runtime.about(&bundle, &["kill", "KILL"])?;
    runtime.wait_for(&bundle, "stopped")?;
    runtime.about(&bundle, &["delete"])?;
    let life = place.start(heeds)?;
    runtime.about(&life.bundle, &["kill"])?;
    runtime.wait_for(&life.bundle, "stopped")?;
    life.end()
}

fn ids(binaries: &Binaries) -> Result<()> {
    let place = Place::new(binaries)?;
    let bundle = place.bundle(|_| {})?;
    for id in ["..", "a/b", "a b"] {
        let words = ["create", "--bundle", bundle.folder().to_str().unwrap_or_default(), id];
        let outcome = Running::start(&mut place.runtime().command(&words))?.wait()?;
        ensure!(outcome.ended != Ended::Exit(0), "{id}: {outcome:?}");
        ensure!(outcome.stderr.contains("invalid container ID"), "{id}: {outcome:?}");
    }
    Ok(())
}

fn bundles(binaries: &Binaries) -> Result<()> {
    let place = Place::new(binaries)?;
    let runtime = place.runtime();
    let nowhere = place.sandbox.folder().join("nowhere");
    let words = ["create", "--bundle", nowhere.to_str().unwrap_or_default(), "one"];
    let outcome = Running::start(&mut runtime.command(&words))?.wait()?;
    ensure!(outcome.stderr.contains("nowhere"), "{outcome:?}");
    let bundle = place.bundle(|_| {})?;
    let config = bundle.folder().join("config.json");
    for (text, words) in [("{", "is no configuration"), ("[]", "config.json")] {
        fs::write(&config, text)?;
        let Err(error) = runtime.create(&bundle) else { bail!("{text} was taken") };
        ensure!(format!("{error:#}").contains(words), "{error:#}");
    }
    fs::remove_file(&config)?;
    let Err(error) = runtime.create(&bundle) else { bail!("created of nothing") };
    ensure!(format!("{error:#}").contains("config.json"), "{error:#}");
    place.gone(&bundle)?;
    let without = |key: &'static str| {
        move |config: &mut Value| {
            config.as_object_mut().map(|all| all.remove(key));
        }
    };
    for key in ["process", "root", "linux"] {
        place.refused("lacks process, linux or root", without(key))?;
    }
    place.refused("no args", |config| config["process"]["args"] = json!([]))?;
    place.refused("/nothing", |config| config["process"]["args"] = json!(["/nothing"]))
}

fn roots(binaries: &Binaries) -> Result<()> {
    let place = Place::new(binaries)?;
    place.refused("cannot find the root", |config| config["root"]["path"] = json!("/no/such"))?;
    // As the bundle's folder has it, relative.
    let bundle = place.bundle(|config| config["root"]["path"] = json!("inner"))?;
    std::os::unix::fs::symlink(&place.root, bundle.folder().join("inner"))?;
    let runtime = place.runtime();
    runtime.create(&bundle)?;
    runtime.about(&bundle, &["start"])?;
    runtime.about(&bundle, &["delete", "--force"])?;
    place.gone(&bundle)
}

fn versions(binaries: &Binaries) -> Result<()> {
    let place = Place::new(binaries)?;
    for version in ["2.0.0", "nonsense", ""] {
        place.refused("version", |config| config["ociVersion"] = json!(version))?;
    }
    for version in ["1.0.0", "1.2.1", "1.0.2-dev"] {
        place.start(|config| config["ociVersion"] = json!(version))?.end()?;
    }
    let life = place.start(|config| {
        config["nobodyKnows"] = json!({ "this": 1 });
        config["process"]["nobodyKnows"] = json!(true);
        config["linux"]["nobodyKnows"] = json!([1]);
    })?;
    life.end()
}

fn later_changes(binaries: &Binaries) -> Result<()> {
    let place = Place::new(binaries)?;
    let runtime = place.runtime();
    let bundle = place
        .bundle(|config| config["process"]["args"] = json!(["/arguments", "as", "created"]))?;
    runtime.create(&bundle)?;
    bundle.change(|config| config["process"]["args"] = json!(["/arguments", "changed"]))?;
    runtime.about(&bundle, &["start"])?;
    runtime.wait_for(&bundle, "stopped")?;
    let console = bundle.console();
    ensure!(console.contains("<created>") && !console.contains("<changed>"), "{console}");
    runtime.about(&bundle, &["delete"])?;
    place.gone(&bundle)
}
