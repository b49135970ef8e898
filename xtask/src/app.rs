//! An app: which crate it is and what its `[package.metadata.nabla]` says about running it.

mod settings;

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail, ensure};

pub(crate) use settings::{Block, Contents, Settings};

use crate::cargo::{self, Profile};
pub(crate) use crate::packages::About;
use crate::packages::{Package, Workspace, our_root};
use crate::suggestion;

/// An app that was found.
#[derive(Debug)]
pub(crate) struct App {
    /// Its name, and that of its binary.
    pub(crate) name: String,
    /// What its author says about it.
    pub(crate) about: About,
    /// The folder with its `Cargo.toml`.
    pub(crate) dir: PathBuf,
    /// How it wants to be run.
    pub(crate) settings: Settings,
    workspace_root: PathBuf,
    binaries: PathBuf,
    profile: Profile,
}

impl App {
    /// Finds the app that the user means: a name among ours, or the folder of any crate.
    ///
    /// # Errors
    /// If there is none, or its metadata is wrong.
    pub(crate) fn find(word: &str, ours: &Workspace, profile: Profile) -> Result<Self> {
        if let Some(package) = ours.apps().find(|package| package.name == word) {
            return Self::of(package, ours, profile);
        }
        let Some(dir) = crate_folder(word) else { bail!(unknown(word, ours)) };
        if let Some(package) = ours.packages.iter().find(|package| package.dir == dir) {
            ensure!(!package.nabla.is_null(), unknown(word, ours));
            return Self::of(package, ours, profile);
        }
        let theirs = Workspace::of(&dir)?;
        let package = theirs.packages.iter().find(|package| package.dir == dir);
        Self::of(package.with_context(|| format!("{word} is no package"))?, &theirs, profile)
    }

    /// Every app of our workspace.
    ///
    /// # Errors
    /// If the metadata of one is wrong.
    pub(crate) fn all(ours: &Workspace, profile: Profile) -> Result<Vec<Self>> {
        ours.apps().map(|package| Self::of(package, ours, profile)).collect()
    }

    /// An app for tests, with its binary in `/bin`.
    #[cfg(test)]
    pub(crate) fn at(name: &str, dir: &str, settings: Settings) -> Self {
        Self {
            name: name.into(),
            about: About::default(),
            dir: dir.into(),
            settings,
            workspace_root: "/".into(),
            binaries: "/bin".into(),
            profile: Profile::Release,
        }
    }

    fn of(package: &Package, workspace: &Workspace, profile: Profile) -> Result<Self> {
        let manifest = || package.dir.join("Cargo.toml").display().to_string();
        if !package.binaries.contains(&package.name) {
            bail!("{}: the package has no binary '{}'", manifest(), package.name);
        }
        Ok(Self {
            name: package.name.clone(),
            about: package.about.clone(),
            settings: Settings::parse(&package.nabla).with_context(manifest)?,
            dir: package.dir.clone(),
            workspace_root: workspace.root.clone(),
            binaries: workspace.binaries(profile),
            profile,
        })
    }

    /// The file of the unikernel, whether it is built or not.
    pub(crate) fn kernel(&self) -> PathBuf {
        self.binaries.join(&self.name)
    }

    /// Builds the unikernel.
    ///
    /// # Errors
    /// If it does not compile.
    pub(crate) fn build(&self) -> Result<()> {
        cargo::build(&self.workspace_root, [&*self.name], self.profile)
    }
}

/// A program of the host that starts unikernels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Starter {
    /// The tender, for the command line.
    Tender,
    /// The runtime that container engines call.
    Runnc,
}

impl Starter {
    /// The name of its package and of its binary.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Tender => "tender",
            Self::Runnc => "runnc",
        }
    }

    fn duty(self) -> &'static str {
        match self {
            Self::Tender => "which loads and confines unikernels",
            Self::Runnc => "which container engines start unikernels with",
        }
    }

    /// Where it is, whether it is built or not.
    pub(crate) fn path(self, ours: &Workspace) -> PathBuf {
        ours.binaries(Profile::Release).join(self.name())
    }

    /// Builds it and returns its path. It is always optimised, and static where that is possible: it
    /// is no part of the app, and its start is a part of every app's.
    ///
    /// # Errors
    /// If it does not compile.
    pub(crate) fn build(self, ours: &Workspace) -> Result<PathBuf> {
        let path = self.path(ours);
        if !path.exists() {
            eprintln!("building {}, {} (once)", self.name(), self.duty());
        }
        cargo::build_static(&ours.root, self.name())?;
        Ok(path)
    }
}

/// Builds the tender and returns its path.
///
/// # Errors
/// If it does not compile.
pub(crate) fn build_tender(ours: &Workspace) -> Result<PathBuf> {
    Starter::Tender.build(ours)
}

/// The folder of a crate, as seen from here or else from our workspace.
fn crate_folder(word: &str) -> Option<PathBuf> {
    [PathBuf::from(word), our_root().join(word)]
        .into_iter()
        .find(|dir| dir.join("Cargo.toml").is_file())
        .and_then(|dir| dir.canonicalize().ok())
}

fn unknown(word: &str, ours: &Workspace) -> String {
    let is_folder = crate_folder(word).is_none() && Path::new(word).is_dir();
    let what = if is_folder {
        format!("the folder {word} has no Cargo.toml")
    } else {
        format!("there is no app '{word}'")
    };
    let hint = suggestion::closest(word, ours.apps().map(|app| &*app.name))
        .map(|name| format!("; {}", suggestion::ask(name)))
        .unwrap_or_default();
    let width = ours.apps().map(|app| app.name.len()).max().unwrap_or_default();
    let list: String = ours
        .apps()
        .map(|app| format!("\n  {:width$}  {}", app.name, app.about.description))
        .collect();
    format!("{what}{hint}\nThe apps are:{list}\nor the folder of a crate of yours")
}
