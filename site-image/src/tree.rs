//! A folder as an ordered list of what goes into its image. Nothing outside of the folder gets
//! in: a symbolic link that leads out is refused, as are devices, sockets and pipes; or, of a whole
//! system's root, left out.

use std::fs::{self, Metadata};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail, ensure};

use crate::{archive, mounts, size};

/// Deeper folders are refused.
const DEPTH_MAX: usize = 64;
/// More files and folders are refused.
const ENTRIES_MAX: usize = 1_000_000;

/// What becomes of what has no place in an image: links that lead out or nowhere, devices, sockets,
/// pipes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Strangers {
    /// The folder is refused.
    Refused,
    /// They are left out, and so is what is mounted inside of the folder.
    LeftOut,
}

/// A folder and all that it holds, in the order of the names' bytes, folders before their contents.
#[derive(Clone, Debug)]
pub struct Tree {
    /// The folder, without symbolic links.
    pub root: PathBuf,
    /// Its contents.
    pub entries: Vec<Entry>,
}

/// A file or folder.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Entry {
    /// The name in the image, relative to the folder.
    pub name: PathBuf,
    /// The file or folder itself, without symbolic links.
    pub path: PathBuf,
    /// What it is.
    pub kind: Kind,
    /// When it changed last: seconds since 1970, and nanoseconds.
    pub modified: (i64, i64),
}

/// What an entry is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
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
    pub fn read(folder: &Path) -> Result<Self> {
        Self::read_with(folder, Strangers::Refused)
    }

    /// Lists a folder, with what has no place in an image refused or left out.
    ///
    /// # Errors
    /// If something in it cannot be read, or is refused.
    pub fn read_with(folder: &Path, strangers: Strangers) -> Result<Self> {
        let root = fs::canonicalize(folder)
            .with_context(|| format!("cannot read the folder {}", folder.display()))?;
        ensure!(root.is_dir(), "{} is no folder", folder.display());
        let elsewhere = match strangers {
            Strangers::Refused => Vec::new(),
            Strangers::LeftOut => mounts::below(&root)?,
        };
        let mut reader = Reader { root: root.clone(), elsewhere, strangers, entries: Vec::new() };
        reader.add_folder(&root, Path::new(""), &mut vec![root.clone()])?;
        Ok(Self { root, entries: reader.entries })
    }

    /// The bytes of all files.
    pub fn bytes(&self) -> u64 {
        self.files().sum()
    }

    /// The bytes of the archive that [`crate::archive::write`] makes of it.
    pub fn archive_bytes(&self) -> u64 {
        archive::bytes(self)
    }

    /// What there is, in words.
    pub fn summary(&self) -> String {
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

/// A tree on its way.
struct Reader {
    root: PathBuf,
    /// What is mounted inside of the folder, if that is to be left out.
    elsewhere: Vec<PathBuf>,
    strangers: Strangers,
    entries: Vec<Entry>,
}

impl Reader {
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
            let found = folder.join(&entry);
            match self.look(&found, above) {
                Ok((path, metadata, kind)) => {
                    self.add(path, &metadata, kind, name.join(&entry), above)?;
                }
                Err(_) if self.strangers == Strangers::LeftOut => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// What is found there, if it has a place in an image.
    fn look(&self, found: &Path, above: &[PathBuf]) -> Result<(PathBuf, Metadata, Kind)> {
        let path = fs::canonicalize(found)
            .with_context(|| format!("cannot follow {}", found.display()))?;
        ensure!(
            path.starts_with(&self.root),
            "{} leads out of the folder, to {}; copy what is meant into it",
            found.display(),
            path.display()
        );
        // Not by the number of the file system: mounts of the same one have the same, and the files of
        // an overlay can have others.
        let is_elsewhere = self.elsewhere.iter().any(|mount| path.starts_with(mount));
        ensure!(!is_elsewhere, "{} is mounted there", found.display());
        let metadata = fs::metadata(&path).with_context(|| path.display().to_string())?;
        let kind = kind_of(&metadata)
            .with_context(|| format!("{} is neither file nor folder", found.display()))?;
        if kind == Kind::Folder && above.contains(&path) {
            bail!("{} is a link to a folder that it lies in", found.display());
        }
        Ok((path, metadata, kind))
    }

    fn add(
        &mut self,
        path: PathBuf,
        metadata: &Metadata,
        kind: Kind,
        name: PathBuf,
        above: &mut Vec<PathBuf>,
    ) -> Result<()> {
        ensure!(self.entries.len() < ENTRIES_MAX, "there are more than {ENTRIES_MAX} files");
        let modified = (metadata.mtime(), metadata.mtime_nsec());
        self.entries.push(Entry { name: name.clone(), path: path.clone(), kind, modified });
        if kind == Kind::Folder {
            above.push(path.clone());
            self.add_folder(&path, &name, above)?;
            above.pop();
        }
        Ok(())
    }
}

fn kind_of(metadata: &Metadata) -> Option<Kind> {
    match metadata {
        file if file.is_file() => Some(Kind::File(file.len())),
        folder if folder.is_dir() => Some(Kind::Folder),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;
    use std::thread;

    use nix::errno::Errno;
    use nix::mount::{MsFlags, mount};
    use nix::sched::{CloneFlags, unshare};
    use tempfile::TempDir;

    use super::*;

    /// Mounts one folder at another, for this thread alone.
    fn bind(source: &Path, target: &Path) -> Result<(), Errno> {
        const NONE: Option<&str> = None;
        unshare(CloneFlags::CLONE_NEWNS)?;
        mount(NONE, "/", NONE, MsFlags::MS_PRIVATE | MsFlags::MS_REC, NONE)?;
        mount(Some(source), target, NONE, MsFlags::MS_BIND, NONE)
    }

    #[test]
    fn mounts_of_the_same_file_system_are_left_out() {
        let (root, volume) = (TempDir::new().unwrap(), TempDir::new().unwrap());
        let place = |name: &str| root.path().join(name);
        fs::write(volume.path().join("secret"), "").unwrap();
        fs::create_dir_all(place("a volume\\")).unwrap();
        fs::create_dir_all(place("a volume\\2")).unwrap();
        symlink("a volume\\/secret", place("link")).unwrap();
        let names = |strangers| {
            let tree = Tree::read_with(root.path(), strangers).unwrap();
            tree.entries.into_iter().map(|entry| entry.name).collect::<Vec<_>>()
        };
        thread::scope(|scope| {
            scope.spawn(|| {
                if let Err(error) = bind(volume.path(), &place("a volume\\")) {
                    eprintln!("skipped: this user cannot mount ({error})");
                    return;
                }
                assert_eq!(names(Strangers::LeftOut), [Path::new("a volume\\2")]);
                let all = ["a volume\\", "a volume\\/secret", "a volume\\2", "link"];
                assert_eq!(names(Strangers::Refused), all.map(PathBuf::from));
                // The folder itself may be one.
                let tree = Tree::read_with(&place("a volume\\"), Strangers::LeftOut).unwrap();
                assert_eq!(tree.entries.len(), 1);
            });
        });
    }
}
