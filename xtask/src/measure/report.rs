//! `measure report`: the page, the text and the pictures, from all that was measured so far.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use anyhow::{Context, Result};
use measure_report::Measurement;
use measure_report::cve::Table;
use measure_report::profile::Profile;

use super::{Place, parts};

/// What Docker's profile is read for.
const KERNEL: (u32, u32) = (6, 1);
const PROFILE: &str = "https://github.com/moby/moby/blob/master/profiles/seccomp/default.json, see measure/data/README.md";
/// Of pictures, beside the text.
const PICTURES: &str = "report";

/// Makes it and says where it is.
///
/// # Errors
/// If a result is damaged, or nothing can be written.
pub(crate) fn write(place: &Place) -> Result<()> {
    let measurement = read(place)?;
    let report = measure_report::render(&measurement, PICTURES);
    let pictures = place.folder(PICTURES)?;
    for (name, picture) in &report.pictures {
        save(&pictures.join(name), picture)?;
    }
    let (page, text) = (place.folder.join("report.html"), place.folder.join("report.md"));
    save(&page, &report.html)?;
    save(&text, &report.markdown)?;
    println!("report: {}", page.display());
    println!("        {}", text.display());
    Ok(())
}

/// All results that lie there, with the published vulnerabilities held against them.
///
/// # Errors
/// If one is damaged.
pub(crate) fn read(place: &Place) -> Result<Measurement> {
    let mut files = BTreeMap::new();
    collect(&place.folder("data")?, "", &mut files)?;
    let mut measurement = measure_report::load(&files)?;
    if !measurement.runs.is_empty() {
        let data = |name: &str| {
            let path = place.ours.root.join("measure/data").join(name);
            fs::read_to_string(&path).with_context(|| path.display().to_string())
        };
        let profile = parts::docker_profile(&place.ours.root.join("measure/data"))?;
        let profile = Profile::read(&profile, &[], KERNEL)?;
        measurement.judge(&Table::read(&data("cves.json")?)?, &profile, PROFILE);
    }
    Ok(measurement)
}

fn collect(folder: &Path, below: &str, files: &mut BTreeMap<String, String>) -> Result<()> {
    for entry in fs::read_dir(folder).with_context(|| folder.display().to_string())? {
        let path = entry.with_context(|| folder.display().to_string())?.path();
        let Some(name) = path.file_name().and_then(|name| name.to_str()) else { continue };
        let name = format!("{below}{name}");
        if path.is_dir() {
            collect(&path, &format!("{name}/"), files)?;
        } else {
            let text = fs::read_to_string(&path).with_context(|| path.display().to_string())?;
            files.insert(name, text);
        }
    }
    Ok(())
}

fn save(file: &Path, text: &str) -> Result<()> {
    fs::write(file, text).with_context(|| file.display().to_string())
}
