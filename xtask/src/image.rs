//! `cargo xtask image`: a folder to a site image, which is a tar archive, or a blank disk.

mod blank;
mod pack;
mod refresh;

use std::ffi::OsStr;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, Result, bail, ensure};
use lexopt::{Arg, Parser, ValueExt};
use site_image::tree::Tree;

pub(crate) use blank::{check_size, keep};
pub(crate) use refresh::refresh;

use crate::{explain, size, unexpected};
use pack::Times;
pub(crate) use pack::Unfinished;

const USAGE: &str = "\
Usage: cargo xtask image FOLDER -o FILE.img [--force]
       cargo xtask image --blank SIZE -o FILE.img [--force]

Packs a folder as a site image, a tar archive: the same folder gives the same bytes. Symbolic
links are followed if they stay in the folder, and refused if they leave it.

  -o, --output FILE  the image
  --blank SIZE       an empty disk of that size instead, such as 64M or 1G; takes no room yet
  --force            overwrites a FILE that does not end in .img, or that a blank disk would erase";

/// The verb.
pub(crate) fn main(words: &mut Parser) -> Result<ExitCode> {
    let (mut folder, mut output, mut blank, mut force) = (None, None, None, false);
    while let Some(word) = words.next()? {
        match word {
            Arg::Long("help") | Arg::Short('h') => return Ok(explain(USAGE)),
            Arg::Long("output") | Arg::Short('o') => output = Some(PathBuf::from(words.value()?)),
            Arg::Long("blank") => blank = Some(size::parse(&words.value()?.string()?)?),
            Arg::Long("force") => force = true,
            Arg::Value(path) if folder.is_none() => folder = Some(PathBuf::from(path)),
            other => return Err(unexpected(other, "image")),
        }
    }
    let output = output.context("where to? -o FILE.img names the image")?;
    match (folder, blank) {
        (Some(folder), None) => site(&folder, &output, force)?,
        (None, Some(bytes)) => blank_disk(bytes, &output, force)?,
        (Some(_), Some(_)) => bail!("either a folder or --blank SIZE, not both"),
        (None, None) => bail!("an image of what? a folder, or --blank SIZE"),
    }
    Ok(ExitCode::SUCCESS)
}

fn site(folder: &Path, output: &Path, force: bool) -> Result<()> {
    let is_image = output.extension() == Some(OsStr::new("img"));
    ensure!(
        force || is_image || !output.exists(),
        "{} exists and does not end in .img; --force overwrites it",
        output.display()
    );
    let tree = Tree::read(folder)?;
    pack::write(&tree, Times::Own, output)?;
    println!("{}: {}", output.display(), tree.summary());
    Ok(())
}

/// Packs a folder, with a time of our choice instead of the files' own, so that equal folders anywhere give
/// equal images. The time is in seconds since 1970.
///
/// # Errors
/// If the folder cannot be packed.
pub(crate) fn pack_with_time(folder: &Path, output: &Path, time: i64) -> Result<()> {
    pack::write(&Tree::read(folder)?, Times::Fixed(time), output)
}

fn blank_disk(bytes: u64, output: &Path, force: bool) -> Result<()> {
    check_size(bytes)?;
    ensure!(force || !output.exists(), "{} exists; --force erases it", output.display());
    let unfinished = Unfinished::create(output)?;
    let set_size = |file: &File| file.set_len(bytes);
    set_size(unfinished.file()).with_context(|| output.display().to_string())?;
    unfinished.finish()?;
    println!("{}: {}, blank", output.display(), size::format(bytes));
    Ok(())
}

/// The real path of a file that may not be there yet.
fn real_path(file: &Path) -> Result<PathBuf> {
    let folder = match file.parent() {
        Some(folder) if folder != Path::new("") => folder,
        _ => Path::new("."),
    };
    let name = file.file_name().with_context(|| format!("{} is no file name", file.display()))?;
    let folder =
        fs::canonicalize(folder).with_context(|| format!("cannot write {}", file.display()))?;
    Ok(folder.join(name))
}
