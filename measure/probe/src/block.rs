//! What a program does that reads and writes a disk: batches with a rest between them, each announced.
//! The guest `block-batches` does the same.

use std::fs::OpenOptions;
use std::io::{Write as _, stdout};
use std::os::unix::fs::FileExt as _;
use std::time::Duration;

use anyhow::{Context, Result, ensure};

const BLOCK: u64 = 4096;
/// In this time whoever looks on gets ready. A runtime's start makes a million records that are read first, and
/// a machine whose time is the count of its instructions does not wait for time to pass.
pub(crate) const REST: Duration = Duration::from_secs(60);

/// `FILE BATCHES TRANSFERS`: as many reads as writes.
///
/// # Errors
/// If the file cannot be read or written.
pub(crate) fn main(mut words: impl Iterator<Item = String>) -> Result<()> {
    let path = words.next().context("which file?")?;
    let mut number = || -> Result<u64> { Ok(words.next().context("how many?")?.parse()?) };
    let (batches, transfers) = (number()?, number()?);
    let file =
        OpenOptions::new().read(true).write(true).open(&path).with_context(|| path.clone())?;
    let blocks = file.metadata()?.len() / BLOCK;
    ensure!(blocks > 0, "{path} has no block");
    let mut buffer = [0; BLOCK as usize];
    for batch in 0..=batches {
        println!("ready {batch}");
        stdout().flush()?;
        // The last one's end is to be seen without the program's.
        std::thread::sleep(REST);
        if batch == batches {
            break;
        }
        for transfer in 0..transfers {
            let place = transfer * 7919 % blocks * BLOCK;
            if transfer % 2 == 0 {
                file.read_exact_at(&mut buffer, place)?;
            } else {
                file.write_all_at(&buffer, place)?;
            }
        }
    }
    Ok(())
}
