//! Calls of cargo.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};

use crate::packages::our_root;

/// How something is compiled.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Profile {
    /// Optimised.
    #[default]
    Release,
    /// Quickly, with checks.
    Debug,
}

impl Profile {
    /// The folder below the target folder.
    pub(crate) fn folder(self) -> &'static str {
        match self {
            Self::Release => "release",
            Self::Debug => "debug",
        }
    }
}

/// The cargo that started this program, in that folder.
pub(crate) fn command(dir: &Path) -> Command {
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    // What `cargo run` tells this package would make cargo believe that another one has changed.
    for (name, _) in std::env::vars_os() {
        let is_ours = name.to_str().is_some_and(|name| {
            name.starts_with("CARGO_PKG_") || name.starts_with("CARGO_MANIFEST_")
        });
        if is_ours {
            command.env_remove(name);
        }
    }
    command.current_dir(dir);
    command
}

/// Builds packages, with cargo's own progress. Guests and host programs are never built in one
/// call: cargo would give both the union of their features, and a guest has no standard library.
///
/// # Errors
/// If something does not compile; cargo has said what.
pub(crate) fn build<'a>(
    workspace: &Path,
    packages: impl IntoIterator<Item = &'a str>,
    profile: Profile,
) -> Result<()> {
    let mut command = command(workspace);
    command.arg("build");
    if profile == Profile::Release {
        command.arg("--release");
        hide_folders(&mut command);
    }
    let mut names = Vec::new();
    for package in packages {
        command.args(["--package", package]);
        names.push(package);
    }
    finish(command, &names.join(", "))
}

/// Builds an optimised host program without shared libraries if this system can link one: nothing
/// is left to be searched, mapped and relocated when it starts, which takes a third off the time to
/// the end of the smallest guest. Without a static C library the program is an ordinary one, and
/// that is said.
///
/// # Errors
/// If it does not compile; cargo has said what.
pub(crate) fn build_static(workspace: &Path, package: &str) -> Result<()> {
    let mut command = command(workspace);
    command.args(["rustc", "--release", "--package", package, "--bin", package]);
    hide_folders(&mut command);
    if has_static_libc() {
        command.args(["--", "-C", "target-feature=+crt-static"]);
    } else {
        eprintln!("there is no static C library here, so {package} will start slower");
    }
    finish(command, package)
}

/// Keeps this machine's folders out of what is built: messages of panics name source files, those of
/// dependencies by their whole paths. So the same sources and the same compiler give the same bytes
/// everywhere. Flags in the environment, which cargo prefers, are left alone.
fn hide_folders(command: &mut Command) {
    let cargo_home = std::env::var_os("CARGO_HOME")
        .map(PathBuf::from)
        .or_else(|| Some(std::env::home_dir()?.join(".cargo")));
    let folders = [(cargo_home, "/cargo"), (Some(our_root()), "/nabla")];
    let flags: Vec<_> = folders
        .into_iter()
        .filter_map(|(folder, name)| Some((folder?, name)))
        // Cargo may name a folder by a symbolic link that leads to it.
        .flat_map(|(folder, name)| {
            folder.canonicalize().into_iter().chain([folder]).map(move |folder| (folder, name))
        })
        .map(|(folder, name)| format!("--remap-path-prefix={}={name}", folder.display()))
        .collect();
    // A list of texts is written the same way in JSON and in TOML.
    command.args(["--config", &format!("build.rustflags={}", serde_json::json!(flags))]);
}

/// Whether programs can be linked with the C library in them. A compiler that does not find a
/// library repeats its name, without a folder.
pub(crate) fn has_static_libc() -> bool {
    let answer = Command::new("cc").arg("-print-file-name=libc.a").output();
    answer.is_ok_and(|output| {
        let path = String::from_utf8_lossy(&output.stdout);
        Path::new(path.trim()).is_absolute() && Path::new(path.trim()).is_file()
    })
}

fn finish(mut command: Command, what: &str) -> Result<()> {
    let status = command.status().context("cannot start cargo")?;
    ensure!(status.success(), "{what} did not build; cargo says why above");
    Ok(())
}
