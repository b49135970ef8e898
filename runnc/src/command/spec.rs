//! `spec`: a configuration to begin with.

use std::fs::File;
use std::io::{ErrorKind, Write};
use std::path::Path;

use anyhow::{Context, Result, bail};
use libcontainer::oci_spec::runtime::{Spec as Configuration, get_rootless_mounts};
use liboci_cli::Spec;
use nix::unistd::{getegid, geteuid};
use serde_json::{Value, json};

/// The verb: writes `config.json` into the bundle, where none may be yet.
pub(super) fn main(words: &Spec) -> Result<()> {
    let path = words.bundle.as_deref().unwrap_or(Path::new(".")).join("config.json");
    let text = format!("{:#}\n", configuration(words.rootless)?);
    let mut file = match File::options().write(true).create_new(true).open(&path) {
        Err(error) if error.kind() == ErrorKind::AlreadyExists => {
            bail!("{} exists; remove it first", path.display())
        }
        file => file.with_context(|| format!("cannot write {}", path.display()))?,
    };
    file.write_all(text.as_bytes()).with_context(|| format!("cannot write {}", path.display()))
}

/// libcontainer's example, for a unikernel.
fn configuration(rootless: bool) -> Result<Value> {
    let mut spec = serde_json::to_value(Configuration::default())?;
    spec["process"]["terminal"] = json!(false);
    spec["process"]["args"] = json!(["/unikernel"]);
    spec["hostname"] = json!("unikernel");
    if rootless {
        let namespaces = spec["linux"]["namespaces"].as_array_mut();
        let namespaces = namespaces.context("the example has no namespaces")?;
        namespaces.retain(|one| one["type"] != "network");
        namespaces.push(json!({ "type": "user" }));
        let own = |id: u32| json!([{ "containerID": 0, "hostID": id, "size": 1 }]);
        spec["linux"]["uidMappings"] = own(geteuid().as_raw());
        spec["linux"]["gidMappings"] = own(getegid().as_raw());
        spec["mounts"] = serde_json::to_value(get_rootless_mounts())?;
        spec["linux"]["resources"] = Value::Null;
    }
    Ok(spec)
}
