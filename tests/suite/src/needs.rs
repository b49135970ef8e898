//! What a test needs of the machine. A need that is not met makes the test *skipped*, with its
//! reason printed, never passed.

use std::env;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

/// Something that not every machine has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Need {
    /// To be root.
    Root,
    /// A program on the `PATH`, with the Debian package that holds it.
    Program(&'static str, &'static str),
    /// A file of the system's, such as a device.
    File(&'static str),
}

impl Need {
    /// Why the need is not met, `None` if it is.
    pub fn missing(self) -> Option<String> {
        match self {
            Self::Root if nix::unistd::geteuid().is_root() => None,
            Self::Root => Some("needs root".into()),
            Self::File(path) if Path::new(path).exists() => None,
            Self::File(path) => Some(format!("needs {path}")),
            Self::Program(name, _) if find(name).is_ok() => None,
            Self::Program(name, package) => {
                Some(format!("needs {name} (Debian package {package})"))
            }
        }
    }
}

/// Where a program is.
///
/// # Errors
/// If it is nowhere.
pub fn find(program: &str) -> Result<PathBuf> {
    let path = env::var_os("PATH").unwrap_or_default();
    env::split_paths(&path)
        .chain(["/usr/sbin".into(), "/sbin".into()])
        .map(|folder| folder.join(program))
        .find(|file| file.is_file())
        .with_context(|| format!("{program} is not on the PATH"))
}
