//! A folder as an ordered list of what goes into its image. Nothing outside of the folder gets
//! in: a symbolic link that leads out is refused, as are devices, sockets and pipes.

use std::fs::{self, Metadata};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail, ensure};

use crate::size;

/// Deeper folders are refused.
const DEPTH_MAX: usize = 64;

/// A folder and all that it holds, in the order of the names' bytes, folders before their contents.
#[derive(Debug)]
pub(crate) struct Tree {
    /// The folder, without symbolic links.
    pub(crate) root: PathBuf,
    /// Its contents.
    pub(crate) entries: Vec<Entry>,
}

/// A file or folder.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Entry {
    /// The name in the image, relative to the folder.
    pub(crate) name: PathBuf,
    /// The file or folder itself, without symbolic links.
    pub(crate) path: PathBuf,
    /// What it is.
    pub(crate) kind: Kind,
    /// When it changed last: seconds since 1970, and nanoseconds.
    pub(crate) modified: (i64, i64),
}

/// What an entry is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Kind {
    /// A regular file of that many bytes.
    File(u64),
    /// A folder.
    Folder,
}

impl Tree {
    /// Lists a folder.
    ///
    /// # Errors
    /// If something in it cannot be read or has no place in an image.
    pub(crate) fn read(folder: &Path) -> Result<Self> {
        let root = fs::canonicalize(folder)
            .with_context(|| format!("cannot read the folder {}", folder.display()))?;
        ensure!(root.is_dir(), "{} is no folder", folder.display());
        let mut tree = Self { root: root.clone(), entries: Vec::new() };
        tree.add_folder(&root, Path::new(""), &mut vec![root.clone()])?;
        Ok(tree)
    }

    /// Adds what a folder holds. `above` are the folders on the way to it, itself included.
    fn add_folder(&mut self, folder: &Path, name: &Path, above: &mut Vec<PathBuf>) -> Result<()> {
        ensure!(above.len() <= DEPTH_MAX, "{} lies too deep", folder.display());
        let unreadable = || format!("cannot read the folder {}", folder.display());
        let mut names = fs::read_dir(folder)
            .with_context(unreadable)?
            .map(|entry| Ok(entry?.file_name()))
            .collect::<Result<Vec<_>>>()
            .with_context(unreadable)?;
        names.sort();
        for entry in names {
            self.add(&folder.join(&entry), name.join(&entry), above)?;
        }
        Ok(())
    }

    fn add(&mut self, found: &Path, name: PathBuf, above: &mut Vec<PathBuf>) -> Result<()> {
        let path = fs::canonicalize(found)
            .with_context(|| format!("cannot follow {}", found.display()))?;
        ensure!(
            path.starts_with(&self.root),
            "{} leads out of the folder, to {}; copy what is meant into it",
            found.display(),
            path.display()
        );
        let metadata = fs::metadata(&path).with_context(|| path.display().to_string())?;
        let kind = kind_of(&metadata)
            .with_context(|| format!("{} is neither file nor folder", found.display()))?;
        let modified = (metadata.mtime(), metadata.mtime_nsec());
        self.entries.push(Entry { name: name.clone(), path: path.clone(), kind, modified });
        if kind == Kind::Folder {
            if above.contains(&path) {
                bail!("{} is a link to a folder that it lies in", found.display());
            }
            above.push(path.clone());
            self.add_folder(&path, &name, above)?;
            above.pop();
        }
        Ok(())
    }

    /// The bytes of all files.
    pub(crate) fn bytes(&self) -> u64 {
        self.files().sum()
    }

    /// What there is, in words.
    pub(crate) fn summary(&self) -> String {
        let files = self.files().count();
        let folders = self.entries.len() - files;
        let count = |count, what| format!("{count} {what}{}", if count == 1 { "" } else { "s" });
        [count(files, "file"), count(folders, "folder"), size::format(self.bytes())].join(", ")
    }

    fn files(&self) -> impl Iterator<Item = u64> {
        self.entries.iter().filter_map(|entry| match entry.kind {
            Kind::File(bytes) => Some(bytes),
            Kind::Folder => None,
        })
    }
}

fn kind_of(metadata: &Metadata) -> Option<Kind> {
    match metadata {
        file if file.is_file() => Some(Kind::File(file.len())),
        folder if folder.is_dir() => Some(Kind::Folder),
        _ => None,
    }
}
