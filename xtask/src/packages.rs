//! The packages of a workspace, as `cargo metadata` tells.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use crate::cargo;

/// A workspace: ours, or that of an app outside of it.
#[derive(Debug)]
pub(crate) struct Workspace {
    /// Where its `Cargo.toml` lies.
    pub(crate) root: PathBuf,
    /// Where cargo puts what it builds.
    pub(crate) target_dir: PathBuf,
    /// Its members.
    pub(crate) packages: Vec<Package>,
}

/// A member of a workspace.
#[derive(Clone, Debug)]
pub(crate) struct Package {
    /// Its name.
    pub(crate) name: String,
    /// What its author says about it.
    pub(crate) about: About,
    /// Where its `Cargo.toml` lies.
    pub(crate) dir: PathBuf,
    /// The names of its binaries.
    pub(crate) binaries: Vec<String>,
    /// `package.metadata.nabla`, null if there is none.
    pub(crate) nabla: Value,
}

/// What an author says about a package. What is not said is empty.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct About {
    /// One line.
    pub(crate) description: String,
    /// Its version.
    pub(crate) version: String,
    /// Its licences, as an SPDX expression.
    pub(crate) license: String,
}

impl About {
    fn parse(package: &Value) -> Self {
        let text = |key: &str| package[key].as_str().unwrap_or_default().to_owned();
        Self {
            description: text("description"),
            version: text("version"),
            license: text("license"),
        }
    }
}

impl Workspace {
    /// The workspace that this program belongs to.
    ///
    /// # Errors
    /// If cargo cannot load it.
    pub(crate) fn ours() -> Result<Self> {
        Self::of(&our_root())
    }

    /// The workspace of the package in that folder.
    ///
    /// # Errors
    /// If cargo cannot load it.
    pub(crate) fn of(dir: &Path) -> Result<Self> {
        let manifest = dir.join("Cargo.toml");
        let output = cargo::command(dir)
            .args(["metadata", "--no-deps", "--format-version=1", "--manifest-path"])
            .arg(&manifest)
            .output()
            .context("cannot start cargo")?;
        let errors = String::from_utf8_lossy(&output.stderr);
        ensure!(output.status.success(), "{}: {}", manifest.display(), errors.trim());
        let metadata = serde_json::from_slice(&output.stdout).context("cargo metadata")?;
        Self::parse(&metadata)
    }

    fn parse(metadata: &Value) -> Result<Self> {
        let packages = metadata["packages"].as_array().context("cargo metadata: no packages")?;
        Ok(Self {
            root: path(metadata, "workspace_root")?,
            target_dir: path(metadata, "target_directory")?,
            packages: packages.iter().map(Package::parse).collect::<Result<_>>()?,
        })
    }

    /// Where cargo puts the binaries of a profile.
    pub(crate) fn binaries(&self, profile: cargo::Profile) -> PathBuf {
        self.target_dir.join(profile.folder())
    }

    /// The members that are apps: those with `package.metadata.nabla`.
    pub(crate) fn apps(&self) -> impl Iterator<Item = &Package> {
        self.packages.iter().filter(|package| !package.nabla.is_null())
    }
}

impl Package {
    fn parse(package: &Value) -> Result<Self> {
        let manifest = path(package, "manifest_path")?;
        let targets = package["targets"].as_array().context("cargo metadata: no targets")?;
        let is_binary = |target: &&Value| {
            target["kind"].as_array().is_some_and(|kinds| kinds.iter().any(|kind| kind == "bin"))
        };
        Ok(Self {
            name: text(package, "name")?.to_owned(),
            about: About::parse(package),
            dir: manifest.parent().unwrap_or(&manifest).to_owned(),
            binaries: targets
                .iter()
                .filter(is_binary)
                .map(|target| Ok(text(target, "name")?.to_owned()))
                .collect::<Result<_>>()?,
            nabla: package["metadata"]["nabla"].clone(),
        })
    }
}

/// The folder of our workspace. Cargo says at run time where this package lies now.
pub(crate) fn our_root() -> PathBuf {
    let xtask = std::env::var_os("CARGO_MANIFEST_DIR")
        .map_or_else(|| PathBuf::from(env!("CARGO_MANIFEST_DIR")), PathBuf::from);
    xtask.parent().map_or_else(|| xtask.clone(), Path::to_owned)
}

fn text<'a>(value: &'a Value, key: &str) -> Result<&'a str> {
    value[key].as_str().with_context(|| format!("cargo metadata: no {key}"))
}

fn path(value: &Value, key: &str) -> Result<PathBuf> {
    Ok(text(value, key)?.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn packages_and_their_binaries_are_read() {
        let metadata = serde_json::json!({
            "workspace_root": "/w",
            "target_directory": "/w/target",
            "packages": [
                {
                    "name": "httpd",
                    "description": "Serves.",
                    "version": "1.2.3",
                    "license": "MIT",
                    "manifest_path": "/w/apps/httpd/Cargo.toml",
                    "metadata": { "nabla": { "memory_mb": 32 } },
                    "targets": [
                        { "kind": ["lib"], "name": "httpd" },
                        { "kind": ["bin"], "name": "httpd" },
                    ],
                },
                {
                    "name": "tender",
                    "description": null,
                    "manifest_path": "/w/tender/Cargo.toml",
                    "metadata": null,
                    "targets": [],
                },
            ],
        });
        let workspace = Workspace::parse(&metadata).unwrap();
        let apps: Vec<_> = workspace.apps().collect();
        assert_eq!(apps.len(), 1);
        assert_eq!(apps[0].dir, Path::new("/w/apps/httpd"));
        assert_eq!(apps[0].binaries, ["httpd"]);
        let about =
            About { description: "Serves.".into(), version: "1.2.3".into(), license: "MIT".into() };
        assert_eq!(apps[0].about, about);
        assert_eq!(workspace.packages[1].about, About::default());
        let binaries = workspace.binaries(cargo::Profile::Release);
        assert_eq!(binaries, Path::new("/w/target/release"));
    }

    #[test]
    fn metadata_without_what_is_needed_is_an_error() {
        let error = Workspace::parse(&serde_json::json!({ "packages": [] })).unwrap_err();
        assert!(error.to_string().contains("workspace_root"), "{error}");
    }
}
