//! On what, with what and when it was measured: beside the results, which have nothing of it in them.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use anyhow::{Context, Result};
use measure_report::About;
use serde_json::Value;

use super::{Options, Place, kit, machines, vm};
use crate::bench;
use crate::packages::our_root;

/// What people have to say about the figures, by section of the report.
const REMARKS: &str = "measure/data/remarks.json";
/// In the folder of unpacked packages, behind a package's name.
const VERSION: &str = "version";

/// Notes that something was measured now.
///
/// # Errors
/// If it cannot be written.
pub(super) fn note(place: &Place, options: &Options) -> Result<()> {
    let description = bench::describe(&place.ours.root);
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let (machine, git) = (&description["machine"], &description["git"]);
    let changed = if git["dirty"] == true { " with changes" } else { "" };
    let cores = machine["cores"].as_u64().and_then(|cores| cores.try_into().ok());
    let remarks = our_root().join(REMARKS);
    let remarks = fs::read(&remarks).with_context(|| remarks.display().to_string())?;
    let about = About {
        machine: text(&machine["cpu"]),
        processors: cores.unwrap_or_default(),
        memory_bytes: machine["memory_bytes"].as_u64().unwrap_or_default(),
        host_kernel: text(&machine["kernel"]),
        commit: format!("{}{changed}", text(&git["commit"])),
        seed: machines::SEED,
        date: text(&description["date"]).split('T').next().unwrap_or_default().to_owned(),
        quick: options.quick,
        versions: versions(place, &description)?,
        missing: missing(),
        remarks: serde_json::from_slice(&remarks).context(REMARKS)?,
    };
    let file = place.folder("data")?.join("about.json");
    let text = serde_json::to_string_pretty(&about)?;
    fs::write(&file, text + "\n").with_context(|| file.display().to_string())
}

fn versions(place: &Place, description: &Value) -> Result<BTreeMap<String, String>> {
    let mut versions = BTreeMap::new();
    let mut add = |name: &str, version: Option<&str>| {
        if let Some(version) = version {
            versions.insert(name.to_owned(), version.to_owned());
        }
    };
    add("rustc", description["rustc"].as_str());
    add("QEMU", vm::version().ok().as_deref());
    let folder = place.folder("packages")?;
    for entry in fs::read_dir(&folder).with_context(|| folder.display().to_string())? {
        let path = entry.with_context(|| folder.display().to_string())?.path();
        if path.extension().is_some_and(|extension| extension == VERSION)
            && let Some(package) = path.file_stem().and_then(|name| name.to_str())
        {
            add(package, read(&path).as_deref());
        }
    }
    Ok(versions)
}

fn missing() -> BTreeMap<String, String> {
    let solo5 = ("solo5-tap", "solo5-spt was not on the PATH");
    let missing = kit::solo5().is_none().then_some(solo5);
    missing.into_iter().map(|(what, why)| (what.to_owned(), why.to_owned())).collect()
}

fn read(file: &Path) -> Option<String> {
    Some(fs::read_to_string(file).ok()?.trim().to_owned())
}
