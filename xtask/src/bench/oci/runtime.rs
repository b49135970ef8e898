//! The runtimes that are compared: what each runs, and under which view of the system.

use std::ffi::{OsStr, OsString};
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use super::bundle::Contents;
use super::stage::{self, ID_PREFIX};
use super::view::{Hidden, View};
use crate::app::{App, Starter};
use crate::bench::candidate::{Candidate, on_path};
use crate::bench::http::page;
use crate::cargo::Profile;
use crate::image;
use crate::packages::Workspace;

const APP: &str = "httpd";
/// Where version 2 of cgroups is on a system whose controllers are those of version 1.
const UNIFIED: &str = "/sys/fs/cgroup/unified";
/// Settings of the network, among them one that once only the first namespace had.
const SETTINGS: &str = "/proc/sys/net";

/// A runtime.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::bench) enum Kind {
    /// Ours, with a unikernel.
    Runnc,
    /// The reference.
    Runc,
    /// The same in C.
    Crun,
    /// gVisor.
    Runsc,
}

impl Kind {
    /// All of them.
    pub(in crate::bench) const ALL: [Self; 4] = [Self::Runnc, Self::Runc, Self::Crun, Self::Runsc];

    /// Its name.
    pub(in crate::bench) fn name(self) -> &'static str {
        match self {
            Self::Runnc => "runnc",
            Self::Runc => "runc",
            Self::Crun => "crun",
            Self::Runsc => "runsc",
        }
    }

    /// By its name.
    ///
    /// # Errors
    /// If there is none of that name.
    pub(super) fn parse(name: &str) -> Result<Self> {
        let found = Self::ALL.into_iter().find(|kind| kind.name() == name);
        let names = Self::ALL.map(Self::name).join(", ");
        found.with_context(|| format!("'{name}' is no candidate; there are {names}"))
    }

    /// What it does not understand about this system. This thread's network is one that containers
    /// could have.
    fn hidden(self) -> Option<Hidden> {
        match self {
            Self::Runnc | Self::Runc => None,
            // crun refuses a version 2 that has controllers beside those of version 1, though it
            // would use these only.
            Self::Crun => {
                let controllers = fs::read_to_string(format!("{UNIFIED}/cgroup.controllers")).ok();
                let has_some = controllers.is_some_and(|names| !names.trim().is_empty());
                has_some.then_some(Hidden::Mount(UNIFIED))
            }
            // gVisor takes a namespace that has this file for the system's own, which it does not
            // serve. In newer kernels all have it.
            Self::Runsc => {
                let is_mistaken = Path::new(SETTINGS).join("core/rmem_default").exists();
                is_mistaken.then_some(Hidden::Contents(SETTINGS))
            }
        }
    }
}

/// A runtime that is here, and what it runs.
#[derive(Debug)]
pub(in crate::bench) struct Runtime {
    /// Which one.
    pub(in crate::bench) kind: Kind,
    /// What its containers run.
    pub(in crate::bench) contents: Contents,
    /// The view of the system that it is started in, if it cannot have all of it.
    pub(in crate::bench) view: Option<View>,
    /// What it said with all of it.
    complaint: String,
    program: PathBuf,
    state: PathBuf,
}

impl Runtime {
    /// Finds or builds a runtime, and fills the root of its containers in `folder`. It keeps its
    /// state in a folder of its own in `state`.
    ///
    /// # Errors
    /// If it is not there, or something does not build.
    pub(in crate::bench) fn find(
        kind: Kind,
        ours: &Workspace,
        folder: &Path,
        state: &Path,
    ) -> Result<Self> {
        let (program, contents) = match kind {
            Kind::Runnc => (Starter::Runnc.build(ours)?, unikernel(ours, folder)?),
            _ => {
                let program = on_path(kind.name());
                let program = program.with_context(|| format!("{} is not on PATH", kind.name()))?;
                (program, Contents::server(folder)?)
            }
        };
        Self::with(kind, program, contents, state)
    }

    /// A rival that is on PATH, to run something in a root. It keeps its state in a folder of its own in
    /// `state`.
    ///
    /// # Errors
    /// If it is not there.
    pub(in crate::bench) fn rival(kind: Kind, contents: Contents, state: &Path) -> Result<Self> {
        let program = on_path(kind.name());
        let program = program.with_context(|| format!("{} is not on PATH", kind.name()))?;
        Self::with(kind, program, contents, state)
    }

    fn with(kind: Kind, program: PathBuf, contents: Contents, state: &Path) -> Result<Self> {
        let state = state.join(kind.name());
        fs::create_dir_all(&state).with_context(|| state.display().to_string())?;
        Ok(Self { kind, contents, view: None, complaint: String::new(), program, state })
    }

    /// Makes the view that it needs on this system, if it needs one. This thread's network is one that
    /// containers could have.
    ///
    /// # Errors
    /// If this user may not.
    pub(in crate::bench) fn look_away(&mut self) -> Result<()> {
        self.view = self.kind.hidden().map(View::without).transpose()?;
        Ok(())
    }

    /// Makes a view in which it may work if it does not as it is, for this reason; `false` if there
    /// is none. This thread's network is one that containers could have.
    ///
    /// # Errors
    /// If this user may not.
    pub(super) fn adapt(&mut self, complaint: &anyhow::Error) -> Result<bool> {
        self.complaint = format!("{complaint:#}");
        self.view = self.kind.hidden().map(View::without).transpose()?;
        Ok(self.view.is_some())
    }

    /// Removes the containers of a bench that was killed.
    ///
    /// # Errors
    /// If the state cannot be read.
    pub(in crate::bench) fn clear(&self) -> Result<()> {
        let name = || self.state.display().to_string();
        for entry in fs::read_dir(&self.state).with_context(name)? {
            if let Some(id) = id(&entry.with_context(name)?.file_name()) {
                stage::force(self, id);
            }
        }
        Ok(())
    }

    /// The command of one of its verbs.
    pub(in crate::bench) fn command(&self, words: &[&str]) -> Candidate {
        let name = format!("{} {}", self.kind.name(), words[0]);
        let root: [OsString; 2] = ["--root".into(), self.state.clone().into()];
        let words = words.iter().map(OsString::from);
        Candidate::new(&name, &self.program, root.into_iter().chain(words))
    }

    /// What is done to it for its view, for people.
    pub(super) fn remark(&self) -> Option<String> {
        let what = match self.view.as_ref()?.hidden {
            Hidden::Mount(folder) => folder.to_owned(),
            Hidden::Contents(folder) => format!("what is in {folder}"),
        };
        let (name, complaint) = (self.kind.name(), &self.complaint);
        Some(format!("{name} does not see {what}, with which it does not run: {complaint}"))
    }
}

/// The container that a file or a folder in a runtime's state belongs to: it is named by it, and
/// runsc adds something.
fn id(name: &OsStr) -> Option<&str> {
    let id = name.to_str()?.split(['_', '.']).next()?;
    id.starts_with(ID_PREFIX).then_some(id)
}

/// Builds the web server and a site of the page that the other server has as well.
fn unikernel(ours: &Workspace, folder: &Path) -> Result<Contents> {
    let app = App::find(APP, ours, Profile::Release)?;
    app.build().context("the unikernel is not built")?;
    let (site, image) = (folder.join("site"), folder.join("site.img"));
    fs::create_dir_all(&site).with_context(|| site.display().to_string())?;
    fs::write(site.join("index.html"), page()).context("cannot write the page")?;
    image::refresh(&site, &image)?;
    Contents::unikernel(folder, &app.kernel(), &image)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn candidates_are_found_by_name() {
        for kind in Kind::ALL {
            assert_eq!(Kind::parse(kind.name()).unwrap(), kind);
        }
        assert!(Kind::parse("lxc").unwrap_err().to_string().contains("runnc, runc, crun, runsc"));
    }

    #[test]
    fn containers_are_known_by_what_is_left_of_them() {
        let id = |name: &'static str| id(OsStr::new(name));
        assert_eq!(id("nabla-bench-7-1"), Some("nabla-bench-7-1"));
        assert_eq!(id("nabla-bench-7-1_sandbox:nabla-bench-7-1.state"), Some("nabla-bench-7-1"));
        assert_eq!(id("lock"), None);
    }

    #[test]
    fn the_state_is_named_before_the_verb() {
        let contents = Contents::new("/".into(), ["/x"], Vec::new());
        let runtime = Runtime {
            kind: Kind::Runc,
            contents,
            view: None,
            complaint: String::new(),
            program: "/bin/runc".into(),
            state: "/run/x/runc".into(),
        };
        let command = runtime.command(&["kill", "id", "KILL"]);
        assert_eq!((&*command.name, &*command.program), ("runc kill", Path::new("/bin/runc")));
        assert_eq!(command.arguments, ["--root", "/run/x/runc", "kill", "id", "KILL"]);
    }
}
