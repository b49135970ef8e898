//! Where the binaries under test are: built by `cargo xtask test` before, or by the suite itself.

use std::env;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};

/// The folder with the tender, the apps and the test guests.
#[derive(Clone, Debug)]
pub struct Binaries(PathBuf);

impl Binaries {
    /// The binaries of `NABLA_BIN_DIR` if it is set; else builds them.
    ///
    /// # Errors
    /// If the build fails.
    pub fn locate() -> Result<Self> {
        match env::var_os("NABLA_BIN_DIR") {
            Some(dir) => Ok(Self(dir.into())),
            None => build(),
        }
    }

    /// Those in a folder of one's own.
    pub fn in_folder(folder: &Path) -> Self {
        Self(folder.to_owned())
    }

    /// The tender.
    pub fn tender(&self) -> PathBuf {
        self.0.join("tender")
    }

    /// The container runtime.
    pub fn runtime(&self) -> PathBuf {
        self.0.join("runnc")
    }

    /// The test guest with that name, a file `tests/guests/NAME.rs`.
    pub fn guest(&self, name: &str) -> PathBuf {
        self.0.join(format!("guest-{name}"))
    }

    /// The plain Solo5 guest with that name, a file `tests/solo5-guests/NAME.rs`.
    pub fn solo5_guest(&self, name: &str) -> PathBuf {
        self.0.join(format!("solo5-{name}"))
    }

    /// The program behind `cargo xtask`, built with them in the other profile.
    pub fn xtask(&self) -> PathBuf {
        self.0.join("../debug/xtask")
    }

    /// The app with that name.
    pub fn app(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }
}

/// Host programs and guests apart: together they would share the features of their dependencies, and
/// a guest's must be without `std`. How the tender is linked is known to `xtask`, which is built on
/// the way, and so are the flags of apps: with others it would replace them while tests run.
const BUILDS: [&[&str]; 2] = [
    &[
        "run", "--quiet", "-pxtask", "--", "build", "--tender", "--runnc", "hello", "httpd",
        "inetd", "kv",
    ],
    &["build", "--release", "-pguests", "-psolo5-guests"],
];

fn build() -> Result<Binaries> {
    let workspace = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let cargo = env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    for arguments in BUILDS {
        let status = Command::new(&cargo)
            .current_dir(&workspace)
            .args(arguments)
            .status()
            .context("cannot start cargo")?;
        ensure!(status.success(), "building the binaries under test failed");
    }
    let target = env::var_os("CARGO_TARGET_DIR").map(PathBuf::from);
    Ok(Binaries(target.unwrap_or_else(|| workspace.join("target")).join("release")))
}
