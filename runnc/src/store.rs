//! Where containers are kept: one folder for each, below the root.

use std::fs::{self, DirBuilder};
use std::io::ErrorKind;
use std::os::unix::fs::DirBuilderExt;
use std::path::PathBuf;

use anyhow::{Context, Result, bail, ensure};

use crate::cli::Global;
use crate::container::{Container, is_rootless, read_record};

/// As long as names of files may be.
const ID_MAX_BYTES: usize = 255;

/// Where containers are kept.
#[derive(Debug)]
pub(crate) struct Store {
    root: PathBuf,
}

impl Store {
    /// The folder of `--root`, or the usual one of this user.
    ///
    /// # Errors
    /// If a user has none.
    pub(crate) fn new(global: &Global) -> Result<Self> {
        let root = match &global.root {
            Some(root) => root.clone(),
            None if !is_rootless() => PathBuf::from("/run/runnc"),
            None => {
                let runtime = std::env::var_os("XDG_RUNTIME_DIR")
                    .context("where to keep states? --root DIR, or set XDG_RUNTIME_DIR")?;
                PathBuf::from(runtime).join("runnc")
            }
        };
        Ok(Self { root: std::path::absolute(root).context("--root")? })
    }

    /// Makes room for a new container, which this call works on.
    ///
    /// # Errors
    /// If there is one of that name, or no room.
    pub(crate) fn add(&self, id: &str) -> Result<Container> {
        let dir = self.dir(id)?;
        let cannot = || format!("cannot make {}", dir.display());
        let private = |recursive| {
            let mut builder = DirBuilder::new();
            builder.mode(0o700).recursive(recursive);
            builder
        };
        private(true).create(&self.root).with_context(cannot)?;
        match private(false).create(&dir) {
            Err(error) if error.kind() == ErrorKind::AlreadyExists => {
                bail!("container with given ID already exists: {id}")
            }
            made => made.with_context(cannot)?,
        }
        let mut container = Container::at(id, dir, None);
        match container.lock(true) {
            Ok(()) => Ok(container),
            Err(error) => {
                let _ = container.forget();
                Err(error)
            }
        }
    }

    /// A container that there is.
    ///
    /// # Errors
    /// If there is none of that name, in words that engines know.
    pub(crate) fn find(&self, id: &str) -> Result<Container> {
        let dir = self.dir(id)?;
        match fs::metadata(&dir) {
            Ok(metadata) if metadata.is_dir() => {}
            Err(error) if error.kind() != ErrorKind::NotFound => {
                return Err(error).with_context(|| format!("cannot look at {}", dir.display()));
            }
            _ => bail!("container does not exist: {id}"),
        }
        let record = read_record(&dir)?;
        Ok(Container::at(id, dir, record))
    }

    /// A container whose record may be damaged, for one who wants it gone.
    ///
    /// # Errors
    /// If there is none.
    pub(crate) fn find_remains(&self, id: &str) -> Result<Container> {
        match self.find(id) {
            Err(error) if !error.to_string().contains("does not exist") => {
                Ok(Container::at(id, self.dir(id)?, None))
            }
            found => found,
        }
    }

    /// The same, for a call that works on the container.
    ///
    /// # Errors
    /// If there is none, or another call works on it and does not end.
    pub(crate) fn take(&self, id: &str) -> Result<Container> {
        let mut container = Container::at(id, self.dir(id)?, None);
        container.lock(false)?;
        // Only now, as it may have been changed before the lock was there.
        container.update(self.find(id)?);
        Ok(container)
    }

    /// All containers, in the order of their names.
    ///
    /// # Errors
    /// If the root cannot be read.
    pub(crate) fn all(&self) -> Result<Vec<Container>> {
        let entries = match fs::read_dir(&self.root) {
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
            entries => entries.with_context(|| format!("cannot read {}", self.root.display()))?,
        };
        let mut ids: Vec<String> = entries
            .filter_map(|entry| entry.ok()?.file_name().into_string().ok())
            .filter(|id| check_id(id).is_ok())
            .collect();
        ids.sort_unstable();
        // One that is removed meanwhile is none.
        Ok(ids.iter().filter_map(|id| self.find(id).ok()).collect())
    }

    fn dir(&self, id: &str) -> Result<PathBuf> {
        check_id(id)?;
        Ok(self.root.join(id))
    }
}

/// A name of a container is a name of a file, of the letters that runc permits.
fn check_id(id: &str) -> Result<()> {
    let is_letter = |byte: u8| byte.is_ascii_alphanumeric() || b"_+-.".contains(&byte);
    let is_valid = !id.is_empty()
        && id.len() <= ID_MAX_BYTES
        && id.bytes().all(is_letter)
        && ![".", ".."].contains(&id);
    ensure!(is_valid, "invalid container ID '{id}': letters, digits and _ + - . make one");
    Ok(())
}
