//! What the guest `block-load` does, done by a plain program with `pread64` and `pwrite64` on the same file: the same
//! ways in the same order, the same places, the clock looked at as rarely.

use std::fs::File;
use std::io::{Result as IoResult, Write};
use std::os::unix::fs::FileExt;
use std::path::PathBuf;
use std::process::ExitCode;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use lexopt::{Arg, Parser};

use crate::bench::number;
use crate::unexpected;

/// What the program says before the first transfer.
pub(crate) const READY: &str = "ready";
const BYTES: [usize; 2] = [4 << 10, 1 << 20];
/// How long it is still there when it has said everything: somebody reads its clocks.
const LINGER: Duration = Duration::from_millis(100);
const BATCH_BYTES: usize = 256 << 10;

/// The task of a worker.
pub(in super::super) fn main(words: &mut Parser) -> Result<ExitCode> {
    let (mut file, mut ms) = (None, 0);
    while let Some(word) = words.next()? {
        match word {
            Arg::Long("file") => file = Some(PathBuf::from(words.value()?)),
            Arg::Long("ms") => ms = number(words, "--ms")?,
            other => return Err(unexpected(other, "bench")),
        }
    }
    let name = file.context("which file?")?;
    let named = || name.display().to_string();
    let disk = File::options().read(true).write(true).open(&name).with_context(named)?;
    let capacity_bytes = disk.metadata().with_context(named)?.len();
    ensure!(capacity_bytes >= BYTES[1] as u64, "{}: too small", named());
    say(READY)?;
    for writes in [false, true] {
        for is_random in [false, true] {
            for bytes in BYTES {
                let way = Way { writes, is_random, bytes };
                let (count, elapsed) = way.go(&disk, capacity_bytes, Duration::from_millis(ms))?;
                let verb = if writes { "write" } else { "read" };
                let order = if is_random { "random" } else { "sequential" };
                say(&format!("{verb} {order} {bytes} {count} {}", elapsed.as_nanos()))?;
            }
        }
    }
    thread::sleep(LINGER);
    Ok(ExitCode::SUCCESS)
}

/// A line that is not kept back when standard output is a pipe.
fn say(line: &str) -> Result<()> {
    let mut output = std::io::stdout().lock();
    writeln!(output, "{line}").and_then(|()| output.flush()).context("standard output")
}

struct Way {
    writes: bool,
    is_random: bool,
    bytes: usize,
}

impl Way {
    fn go(&self, disk: &File, capacity_bytes: u64, time: Duration) -> IoResult<(u64, Duration)> {
        let mut buffer = vec![0x5a; self.bytes];
        let places = (capacity_bytes / self.bytes as u64).max(1);
        let batch = (BATCH_BYTES / self.bytes).max(1);
        let (mut count, mut random) = (0, 0);
        let start = Instant::now();
        loop {
            for _ in 0..batch {
                let place = if self.is_random { next(&mut random) } else { count } % places;
                let offset = place * self.bytes as u64;
                if self.writes {
                    disk.write_all_at(&buffer, offset)?;
                } else {
                    disk.read_exact_at(&mut buffer, offset)?;
                }
                count += 1;
            }
            let elapsed = start.elapsed();
            if elapsed >= time {
                return Ok((count, elapsed));
            }
        }
    }
}

/// SplitMix64: the guest's places, too.
fn next(state: &mut u64) -> u64 {
    *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let mut bits = *state;
    bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    bits ^ (bits >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_way_goes_on_for_its_time_and_stays_inside() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("disk");
        std::fs::write(&file, vec![1; 2 << 20]).unwrap();
        let disk = File::options().read(true).write(true).open(&file).unwrap();
        for writes in [false, true] {
            let way = Way { writes, is_random: true, bytes: 4 << 10 };
            let (count, elapsed) = way.go(&disk, 2 << 20, Duration::from_millis(2)).unwrap();
            assert!(count >= 64 && elapsed >= Duration::from_millis(2));
        }
        assert_eq!(disk.metadata().unwrap().len(), 2 << 20);
        let written = std::fs::read(&file).unwrap();
        assert!(written.contains(&0x5a));
    }
}
