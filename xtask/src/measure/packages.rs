//! Debian packages that are looked at and not installed: downloaded by apt, and only unpacked.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use anyhow::{Context, Result, bail, ensure};

/// The kernel that figures are from. Debian keeps a version for some months; after that the newest
/// of the same series is taken, and that is said.
pub(crate) const KERNEL: &str = "linux-image-6.1.0-56-cloud-amd64";
const KERNEL_SERIES: &str = "linux-image-6.1.0-";
const KERNEL_FLAVOUR: &str = "-cloud-amd64";

/// Packages that were unpacked into one folder.
#[derive(Debug)]
pub(crate) struct Packages {
    folder: PathBuf,
    root: PathBuf,
    /// Options for apt, if the lists of packages are our own.
    options: Vec<String>,
}

impl Packages {
    /// Below this folder.
    ///
    /// # Errors
    /// If it cannot be made, or this system has no apt.
    pub(crate) fn new(folder: &Path) -> Result<Self> {
        for program in ["apt-get", "apt-cache", "dpkg-deb"] {
            ensure!(
                Command::new(program).arg("--version").output().is_ok(),
                "{program} is not here: the kernel and the programs that are measured come from Debian's packages"
            );
        }
        let root = folder.join("root");
        fs::create_dir_all(&root).with_context(|| root.display().to_string())?;
        Ok(Self { folder: folder.to_owned(), root, options: Vec::new() })
    }

    /// Where they are unpacked.
    pub(crate) fn root(&self) -> &Path {
        &self.root
    }

    /// The kernel's package: the pinned one, or else the newest of its series.
    ///
    /// # Errors
    /// If there is none.
    pub(crate) fn kernel(&mut self) -> Result<String> {
        if self.unpacked(KERNEL).is_none() && !self.is_known(KERNEL)? {
            self.refresh()?;
        }
        if self.unpacked(KERNEL).is_some() || self.is_known(KERNEL)? {
            return Ok(KERNEL.into());
        }
        let names = self.apt("apt-cache", &["search", "--names-only", KERNEL_SERIES])?;
        let newest = newest_kernel(&String::from_utf8_lossy(&names.stdout));
        let newest = newest.with_context(|| {
            format!("there is no package {KERNEL_SERIES}*{KERNEL_FLAVOUR}; Debian 12 has it")
        })?;
        eprintln!("{KERNEL} is not to be had any more: {newest} instead");
        Ok(newest)
    }

    /// Downloads a package, if it is not there yet, and unpacks it. Returns its version.
    ///
    /// # Errors
    /// If it cannot be downloaded.
    pub(crate) fn unpack(&mut self, name: &str) -> Result<String> {
        if let Some(version) = self.unpacked(name) {
            return Ok(version);
        }
        eprintln!("downloading the package {name}");
        let file = match self.download(name) {
            Ok(file) => file,
            Err(_) if self.options.is_empty() => {
                self.refresh()?;
                self.download(name)?
            }
            Err(error) => return Err(error),
        };
        run(Command::new("dpkg-deb").arg("-x").arg(&file).arg(&self.root))?;
        let version = run(Command::new("dpkg-deb").arg("-f").arg(&file).arg("Version"))?;
        let version = String::from_utf8_lossy(&version.stdout).trim().to_owned();
        let mark = self.mark(name);
        fs::write(&mark, &version).with_context(|| mark.display().to_string())?;
        fs::remove_file(&file).with_context(|| file.display().to_string())?;
        Ok(version)
    }

    fn mark(&self, name: &str) -> PathBuf {
        self.folder.join(format!("{name}.version"))
    }

    fn unpacked(&self, name: &str) -> Option<String> {
        fs::read_to_string(self.mark(name)).ok()
    }

    fn is_known(&self, name: &str) -> Result<bool> {
        let answer = self.command("apt-cache").args(["show", name]).output();
        Ok(answer.context("cannot start apt-cache")?.status.success())
    }

    /// Takes lists of packages of our own, fresh ones: the system's may be old or not there, and
    /// only root may renew them.
    fn refresh(&mut self) -> Result<()> {
        if !self.options.is_empty() {
            return Ok(());
        }
        eprintln!("asking for Debian's list of packages");
        let state = self.folder.join("apt");
        for below in ["lists/partial", "archives/partial"] {
            let folder = state.join(below);
            fs::create_dir_all(&folder).with_context(|| folder.display().to_string())?;
        }
        let option = |name: &str, below: &str| format!("-o{name}={}", state.join(below).display());
        self.options = vec![
            option("Dir::State::lists", "lists"),
            option("Dir::Cache", ""),
            option("Dir::Cache::archives", "archives"),
        ];
        self.apt("apt-get", &["-qq", "update"])?;
        Ok(())
    }

    /// The file of a package, in a folder of its own.
    fn download(&self, name: &str) -> Result<PathBuf> {
        let place = self.folder.join("download");
        let _ = fs::remove_dir_all(&place);
        fs::create_dir_all(&place).with_context(|| place.display().to_string())?;
        let mut command = self.command("apt-get");
        // As root apt would try as another user, who may not write here, and say so.
        command.args(["-qq", "-oAPT::Sandbox::User=root", "download", name]).current_dir(&place);
        run(&mut command)?;
        let mut files = fs::read_dir(&place).with_context(|| place.display().to_string())?;
        let file = files.next().with_context(|| format!("apt-get downloaded no file of {name}"))?;
        Ok(file.with_context(|| place.display().to_string())?.path())
    }

    fn command(&self, program: &str) -> Command {
        let mut command = Command::new(program);
        command.args(&self.options);
        command
    }

    fn apt(&self, program: &str, words: &[&str]) -> Result<Output> {
        run(self.command(program).args(words))
    }
}

fn run(command: &mut Command) -> Result<Output> {
    let name = command.get_program().to_string_lossy().into_owned();
    let output = command.output().with_context(|| format!("cannot start {name}"))?;
    if !output.status.success() {
        let complaint = String::from_utf8_lossy(&output.stderr);
        let last = complaint.lines().rev().find(|line| !line.trim().is_empty());
        bail!("{name} failed: {}", last.unwrap_or("it does not say why"));
    }
    Ok(output)
}

/// Of a list as `apt-cache search` prints it.
fn newest_kernel(list: &str) -> Option<String> {
    let number = |name: &&str| {
        let rest = name.strip_prefix(KERNEL_SERIES)?.strip_suffix(KERNEL_FLAVOUR)?;
        rest.parse::<u32>().ok()
    };
    let names = list.lines().filter_map(|line| line.split_whitespace().next());
    let newest = names.filter_map(|name| Some((number(&name)?, name))).max()?;
    Some(newest.1.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_kernel_is_found_by_its_number() {
        let list = "\
linux-image-6.1.0-9-cloud-amd64 - Linux
linux-image-6.1.0-57-cloud-amd64 - Linux
linux-image-6.1.0-58-cloud-amd64-dbg - Debug symbols
linux-image-6.1.0-58-rt-amd64 - Linux
linux-image-6.1.0-49-cloud-amd64 - Linux";
        assert_eq!(newest_kernel(list).as_deref(), Some("linux-image-6.1.0-57-cloud-amd64"));
        assert_eq!(newest_kernel("bash - a shell"), None);
    }
}
