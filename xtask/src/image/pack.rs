//! A tree to a tar archive: the same names, contents and times give the same bytes, whoever owns
//! the files. The image appears under its name only when it is complete.

use std::fs::{self, File};
use std::io::{self, BufWriter, IsTerminal, Read};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};

use super::real_path;
use super::tree::{Entry, Kind, Tree};
use crate::digest::Digest;

/// When the files of an image changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Times {
    /// As the files of the folder did.
    Own,
    /// All at the same time, in seconds since 1970. Each file then has a record of its contents' digest, for
    /// what readers tell from times otherwise.
    Fixed(u64),
}

/// The key of that record.
const CONTENTS_KEY: &str = "NABLA.etag";
/// Hexadecimal digits of the digest in it: nobody attacks whoever asks whether their own site has changed.
const CONTENTS_DIGITS: usize = 32;

/// Writes the image of a tree.
///
/// # Errors
/// If a file cannot be read, changes while it is read, or the image cannot be written.
pub(crate) fn write(tree: &Tree, times: Times, output: &Path) -> Result<()> {
    let place = real_path(output)?;
    ensure!(
        !place.starts_with(&tree.root),
        "the image {} would lie in the folder that it is made of; write it elsewhere",
        output.display()
    );
    let unfinished = Unfinished::create(output)?;
    let mut archive = tar::Builder::new(BufWriter::with_capacity(1 << 20, unfinished.file()));
    let mut progress = Progress::new(tree.bytes());
    for entry in &tree.entries {
        append(&mut archive, entry, times, &mut progress)?;
    }
    let written = archive.into_inner().and_then(|buffer| Ok(buffer.into_inner()?));
    written.with_context(|| format!("cannot write {}", output.display()))?;
    progress.clear();
    unfinished.finish()
}

fn append(
    archive: &mut tar::Builder<impl io::Write>,
    entry: &Entry,
    times: Times,
    progress: &mut Progress,
) -> Result<()> {
    let mut header = tar::Header::new_gnu();
    header.set_uid(0);
    header.set_gid(0);
    header.set_mtime(match times {
        Times::Own => u64::try_from(entry.modified.0).unwrap_or_default(),
        Times::Fixed(seconds) => seconds,
    });
    if let (Times::Fixed(_), Kind::File(_)) = (times, entry.kind) {
        let digest = Digest::of_file(&entry.path)?.to_string();
        let record = (CONTENTS_KEY, &digest.as_bytes()[..CONTENTS_DIGITS]);
        archive
            .append_pax_extensions([record])
            .with_context(|| format!("cannot pack {}", entry.path.display()))?;
    }
    let packed = match entry.kind {
        Kind::Folder => {
            header.set_entry_type(tar::EntryType::Directory);
            header.set_mode(0o755);
            header.set_size(0);
            // The slash at the end is what older readers know a folder by.
            archive.append_data(&mut header, entry.name.join(""), io::empty())
        }
        Kind::File(bytes) => {
            header.set_entry_type(tar::EntryType::Regular);
            header.set_mode(0o644);
            header.set_size(bytes);
            let file = File::open(&entry.path)
                .with_context(|| format!("cannot read {}", entry.path.display()))?;
            let contents = Contents { file, left: bytes, progress };
            archive.append_data(&mut header, &entry.name, contents)
        }
    };
    packed.with_context(|| format!("cannot pack {}", entry.path.display()))
}

/// Exactly as many bytes of a file as it had when it was listed.
struct Contents<'a> {
    file: File,
    left: u64,
    progress: &'a mut Progress,
}

impl Read for Contents<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let room = usize::try_from(self.left).unwrap_or(usize::MAX).min(buffer.len());
        let bytes = self.file.read(&mut buffer[..room])?;
        if bytes == 0 && room > 0 {
            return Err(io::Error::other("the file became shorter while it was read"));
        }
        self.left -= bytes as u64;
        self.progress.advance(bytes as u64);
        Ok(bytes)
    }
}

/// A line on a terminal that says how far a large tree is.
struct Progress {
    done: u64,
    total: u64,
    last: Option<Instant>,
}

impl Progress {
    const LARGE: u64 = 64 << 20;
    const INTERVAL: Duration = Duration::from_millis(200);

    fn new(total: u64) -> Self {
        let is_shown = total >= Self::LARGE && io::stderr().is_terminal();
        Self { done: 0, total, last: is_shown.then(Instant::now) }
    }

    fn advance(&mut self, bytes: u64) {
        self.done += bytes;
        if self.last.is_some_and(|last| last.elapsed() >= Self::INTERVAL) {
            eprint!("\rpacking: {} of {} MiB", self.done >> 20, self.total >> 20);
            self.last = Some(Instant::now());
        }
    }

    fn clear(&self) {
        if self.last.is_some() {
            eprint!("\r\x1b[K");
        }
    }
}

/// A file that gets its name when it is finished, and is removed if it is not.
#[derive(Debug)]
pub(crate) struct Unfinished {
    file: File,
    path: PathBuf,
    place: PathBuf,
}

impl Unfinished {
    /// Creates the file beside the place where it will be.
    ///
    /// # Errors
    /// If that cannot be done.
    pub(crate) fn create(place: &Path) -> Result<Self> {
        let place = real_path(place)?;
        let mut name = std::ffi::OsString::from(".");
        name.push(place.file_name().unwrap_or_default());
        name.push(format!(".{}", std::process::id()));
        let path = place.with_file_name(name);
        let file =
            File::create(&path).with_context(|| format!("cannot write {}", place.display()))?;
        Ok(Self { file, path, place })
    }

    /// The file.
    pub(crate) fn file(&self) -> &File {
        &self.file
    }

    /// Gives the file its name, in place of what had it.
    ///
    /// # Errors
    /// If that cannot be done.
    pub(crate) fn finish(self) -> Result<()> {
        fs::rename(&self.path, &self.place)
            .with_context(|| format!("cannot write {}", self.place.display()))
    }
}

impl Drop for Unfinished {
    fn drop(&mut self) {
        // There is nothing to remove if it has been given its name.
        let _ = fs::remove_file(&self.path);
    }
}

#[cfg(test)]
mod tests;
