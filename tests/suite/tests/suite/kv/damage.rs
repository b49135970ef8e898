//! Disks that were damaged, and disks of others.

use std::fs::{self, File};
use std::os::unix::fs::FileExt;
use std::path::Path;

use anyhow::{Context, Result, ensure};
use suite::{Binaries, Ended, Run};
use tempfile::TempDir;

use super::{Store, disk};

/// Where the log's frames begin, see the words on the format in the log's module.
const RING_START: u64 = 8192;
const KEYS: usize = 200;

/// Writes keys one after the other, so that each is a frame.
fn fill(binaries: &Binaries, disk: &Path) -> Result<()> {
    let store = Store::start(binaries, disk, &[])?;
    let mut connection = store.connect()?;
    for number in 0..KEYS {
        redis::cmd("SET").arg(format!("key:{number}")).arg(number).query::<()>(&mut connection)?;
    }
    store.stop().map(drop)
}

/// How many of the keys are there, which must be the first ones, and what the store said.
fn count(binaries: &Binaries, disk: &Path) -> Result<(usize, String)> {
    let store = Store::start(binaries, disk, &[])?;
    let mut connection = store.connect()?;
    let keys: usize = redis::cmd("DBSIZE").query(&mut connection)?;
    for number in 0..keys {
        let key = format!("key:{number}");
        let value: Option<usize> = redis::cmd("GET").arg(&key).query(&mut connection)?;
        ensure!(value == Some(number), "{key} is {value:?} of {keys} keys");
    }
    Ok((keys, store.stop()?))
}

/// The case: a byte in the middle, a file that was cut, and superblocks that are gone.
pub(crate) fn repaired(binaries: &Binaries) -> Result<()> {
    let folder = TempDir::new()?;
    let path = disk(&folder, 1 << 20)?;
    fill(binaries, &path)?;
    let image = fs::read(&path)?;
    let (keys, said) = count(binaries, &path)?;
    ensure!(keys == KEYS && said.contains("ends cleanly"), "{keys}: {said}");

    let file = File::options().write(true).open(&path)?;
    file.write_all_at(&image, 0)?;
    let at = RING_START + 100 * 512 + 60;
    file.write_all_at(&[image[at as usize] ^ 1], at)?;
    let (keys, said) = count(binaries, &path)?;
    ensure!((1..KEYS).contains(&keys), "{keys}: {said}");
    ensure!(said.contains("THE LOG IS DAMAGED"), "{said}");
    // What was repaired stays so, and goes on.
    let (again, said) = count(binaries, &path)?;
    ensure!(again == keys, "{again} of {keys}: {said}");

    file.write_all_at(&image, 0)?;
    file.set_len(RING_START + 50 * 512)?;
    let outcome = count(binaries, &path);
    let (keys, said) = outcome.context("a disk that was cut")?;
    ensure!((1..KEYS).contains(&keys), "{keys}: {said}");

    file.set_len(image.len() as u64)?;
    file.write_all_at(&image, 0)?;
    file.write_all_at(&[0xaa; 4096], 0)?;
    let (keys, said) = count(binaries, &path)?;
    ensure!(keys == KEYS, "{keys}: {said}");
    Ok(())
}

/// The case: something else is on the disk, and stays there.
pub(crate) fn foreign(binaries: &Binaries) -> Result<()> {
    let folder = TempDir::new()?;
    let path = disk(&folder, 1 << 20)?;
    let text = b"the only copy of a thesis";
    File::options().write(true).open(&path)?.write_all_at(text, 4096)?;
    let run = Run::new(binaries, binaries.app("kv"))
        .option("--mem=64")
        .option("--net:service=user")
        .option(format!("--block:data={}", path.display()));
    let outcome = run.finish()?;
    ensure!(outcome.ended == Ended::Exit(1), "{outcome:?}");
    ensure!(outcome.stdout.contains("--format"), "{outcome:?}");
    let image = fs::read(&path)?;
    ensure!(&image[4096..4096 + text.len()] == text, "the disk was changed");
    Ok(())
}
