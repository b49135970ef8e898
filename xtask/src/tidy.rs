//! `cargo xtask tidy`: the rules of this source tree that neither the compiler nor clippy knows.
//! It only looks; it changes nothing.

use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, Result};
use lexopt::{Arg, Parser};

use crate::packages::our_root;
use crate::{explain, unexpected};

const USAGE: &str = "\
Usage: cargo xtask tidy

Checks that every source file says what it is for and stays short, that crates share the
workspace's lints, that apps can be run, and that no text names a place on somebody's machine.";

/// Lines of a source file without its tests.
const LINES_MAX: usize = 700;
/// Names that say nothing about a module.
const EMPTY_NAMES: [&str; 5] = ["util", "utils", "common", "helper", "helpers"];
/// Folders of one machine. In pieces, so that this file passes.
const MACHINE_FOLDERS: [&str; 3] =
    [concat!("/", "work"), concat!("/", "root"), concat!("/tmp/", "target")];
/// Folders with a dot in front that belong to the source tree.
const DOT_FOLDERS: [&str; 2] = [".cargo", ".ci"];

/// The verb.
pub(crate) fn main(words: &mut Parser) -> Result<ExitCode> {
    match words.next()? {
        None => {}
        Some(Arg::Long("help") | Arg::Short('h')) => return Ok(explain(USAGE)),
        Some(other) => return Err(unexpected(other, "tidy")),
    }
    let faults = check(&our_root())?;
    for fault in &faults {
        println!("{fault}");
    }
    println!("{} faults", faults.len());
    Ok(if faults.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// The faults of a tree, each a line that names the file.
fn check(root: &Path) -> Result<Vec<String>> {
    let mut faults = Vec::new();
    for path in files(root)? {
        let Ok(text) = fs::read_to_string(root.join(&path)) else {
            continue;
        };
        let found = machine_folder(&text).into_iter().chain(match kind(&path) {
            Kind::Rust => rust_faults(&path, &text),
            Kind::Manifest => manifest_faults(&path, &text),
            Kind::Other => Vec::new(),
        });
        faults.extend(found.map(|fault| format!("{}: {fault}", path.display())));
    }
    Ok(faults)
}

/// The files of the tree, relative to its root, without what was built.
fn files(root: &Path) -> Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    let mut folders = vec![root.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).with_context(|| folder.display().to_string())? {
            let entry = entry?;
            let (path, name) = (entry.path(), entry.file_name());
            let name = name.to_string_lossy();
            let is_hidden = name.starts_with('.') && !DOT_FOLDERS.contains(&&*name);
            let kind = entry.file_type()?;
            if kind.is_dir() && !is_hidden && name != "target" {
                folders.push(path);
            } else if kind.is_file() && name != ".git" {
                files.push(path.strip_prefix(root).unwrap_or(&path).to_owned());
            }
        }
    }
    files.sort();
    Ok(files)
}

enum Kind {
    Rust,
    Manifest,
    Other,
}

fn kind(path: &Path) -> Kind {
    match (path.extension().and_then(OsStr::to_str), path.file_name().and_then(OsStr::to_str)) {
        (Some("rs"), _) => Kind::Rust,
        (_, Some("Cargo.toml")) if path.parent() != Some(Path::new("")) => Kind::Manifest,
        _ => Kind::Other,
    }
}

fn rust_faults(path: &Path, text: &str) -> Vec<String> {
    let mut faults = Vec::new();
    if !opens_with_its_duty(text) {
        faults.push("does not open with `//!`".into());
    }
    let is_test = path.file_stem() == Some(OsStr::new("tests"))
        || path.components().any(|part| part.as_os_str() == "tests");
    let lines = text.lines().take_while(|line| *line != "#[cfg(test)]").count();
    if !is_test && lines > LINES_MAX {
        faults.push(format!("has {lines} lines without tests; at most {LINES_MAX}"));
    }
    let names = path.with_extension("");
    let names = names.components().filter_map(|part| part.as_os_str().to_str());
    faults.extend(
        names
            .filter(|name| EMPTY_NAMES.contains(name))
            .map(|name| format!("the name '{name}' says nothing about the module")),
    );
    faults
}

/// Whether the first line that is neither `#!` nor an inner attribute is an inner doc comment.
fn opens_with_its_duty(text: &str) -> bool {
    text.lines().find(|line| !line.starts_with("#!")).is_some_and(|line| line.starts_with("//!"))
}

fn manifest_faults(path: &Path, text: &str) -> Vec<String> {
    let mut faults = Vec::new();
    let lines: Vec<&str> = text.lines().map(str::trim).collect();
    let has_lints = lines.windows(2).any(|pair| pair == ["[lints]", "workspace = true"])
        || lines.contains(&"lints.workspace = true");
    if !has_lints {
        faults.push("does not share the workspace's lints".into());
    }
    if path.starts_with("apps") && !lines.contains(&"[package.metadata.nabla]") {
        faults.push("has no [package.metadata.nabla], so it cannot be run by name".into());
    }
    faults
}

/// The first mention of a folder of one machine.
fn machine_folder(text: &str) -> Option<String> {
    let (number, line) = text
        .lines()
        .enumerate()
        .find(|(_, line)| MACHINE_FOLDERS.iter().any(|folder| names_folder(line, folder)))?;
    Some(format!("line {} names a place on one machine: {}", number + 1, line.trim()))
}

/// Whether a line has the folder as a whole path of its own, not as a part of another.
fn names_folder(line: &str, folder: &str) -> bool {
    let is_name = |letter: char| letter.is_alphanumeric() || "_-.".contains(letter);
    line.match_indices(folder).any(|(at, _)| {
        let before = line[..at].chars().next_back();
        let after = line[at + folder.len()..].chars().next();
        !before.is_some_and(|letter| is_name(letter) || "}/".contains(letter))
            && !after.is_some_and(is_name)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_tree_is_tidy() {
        let faults = check(&our_root()).unwrap();
        assert!(faults.is_empty(), "\n{}", faults.join("\n"));
    }

    fn faults(path: &str, text: &str) -> String {
        let path = Path::new(path);
        match kind(path) {
            Kind::Rust => rust_faults(path, text).join("\n"),
            Kind::Manifest => manifest_faults(path, text).join("\n"),
            Kind::Other => String::new(),
        }
    }

    #[test]
    fn source_files_open_with_their_duty() {
        assert_eq!(faults("a/b.rs", "#!/usr/bin/env x\n#![no_std]\n//! Duty.\n"), "");
        for text in ["", "use std::fs;\n//! Late.\n", "// Not for the reader.\n"] {
            assert!(faults("a/b.rs", text).contains("//!"), "{text}");
        }
    }

    #[test]
    fn long_files_are_found_but_not_long_tests() {
        let long = format!("//! Long.\n{}", "\n".repeat(LINES_MAX));
        assert!(faults("a/b.rs", &long).contains("701 lines"));
        assert_eq!(faults("a/tests.rs", &long), "");
        assert_eq!(faults("a/tests/b.rs", &long), "");
        assert_eq!(faults("a/b.rs", &long.replacen("\n\n", "\n#[cfg(test)]\n", 1)), "");
    }

    #[test]
    fn empty_names_are_found() {
        for path in ["a/utils.rs", "a/common/mod.rs", "helper/src/lib.rs"] {
            assert!(faults(path, "//! X.\n").contains("says nothing"), "{path}");
        }
        assert_eq!(faults("a/commons.rs", "//! X.\n"), "");
    }

    #[test]
    fn manifests_share_lints_and_apps_can_be_run() {
        assert_eq!(faults("a/Cargo.toml", "[lints]\nworkspace = true\n"), "");
        assert!(faults("a/Cargo.toml", "[lints]\n").contains("lints"));
        let app = faults("apps/a/Cargo.toml", "lints.workspace = true\n");
        assert!(app.contains("package.metadata.nabla"), "{app}");
        assert_eq!(faults("Cargo.toml", ""), "");
    }

    #[test]
    fn machine_folders_are_found_as_whole_paths() {
        let [work, root, target] = MACHINE_FOLDERS;
        for text in [format!("cd {work}/x"), format!("`{root}`"), format!("{target}/y")] {
            assert!(machine_folder(&text).is_some(), "{text}");
        }
        for text in [format!("{work}space"), format!("net{work}"), format!("{root}-less")] {
            assert_eq!(machine_folder(&text), None, "{text}");
        }
    }
}
