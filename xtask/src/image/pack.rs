//! A tree to a file: the image appears under its name only when it is complete.

use std::fs::{self, File};
use std::io::{self, BufWriter, IsTerminal, Write};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};

use site_image::archive;
use site_image::tree::{Entry, Tree};

use super::real_path;
use crate::digest::Digest;

/// When the files of an image changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Times {
    /// As the files of the folder did.
    Own,
    /// All at the same time, in seconds since 1970. Each file then has a record of its contents' digest, for
    /// what readers tell from times otherwise.
    Fixed(i64),
}

/// Hexadecimal digits of the digest in such a record: nobody attacks whoever asks whether their own
/// site has changed.
const TAG_DIGITS: usize = 32;

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
    let mut progress = Progress::new(tree.bytes());
    let buffer = BufWriter::with_capacity(1 << 20, unfinished.file());
    let progressed = |bytes| progress.advance(bytes);
    let mut buffer = match times {
        Times::Own => archive::write(tree, buffer, progressed)?,
        Times::Fixed(seconds) => {
            archive::write_tagged(&at(tree, seconds), buffer, tag, progressed)?
        }
    };
    buffer.flush().with_context(|| format!("cannot write {}", output.display()))?;
    drop(buffer);
    progress.clear();
    unfinished.finish()
}

/// The same tree as if all of it had changed at that time.
fn at(tree: &Tree, seconds: i64) -> Tree {
    let mut tree = tree.clone();
    tree.entries.iter_mut().for_each(|entry| entry.modified = (seconds, 0));
    tree
}

fn tag(entry: &Entry) -> Result<String> {
    let mut digits = Digest::of_file(&entry.path)?.to_string();
    digits.truncate(TAG_DIGITS);
    Ok(digits)
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
