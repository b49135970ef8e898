//! What single guests do and how they end: once with Nabla's extensions, once as plain Solo5 guests,
//! made from the same files by renaming the note that asks for the extensions.

use std::fs;
use std::path::PathBuf;

use anyhow::{Context, Result, ensure};
use suite::{Binaries, Ended, Outcome, Run};
use tempfile::TempDir;

use crate::Case;

pub(crate) const SIGSEGV: i32 = 11;
pub(crate) const SIGSYS: i32 = 31;

/// Which ABI a guest's file asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Abi {
    /// Solo5's with Nabla's extensions.
    Extended,
    /// Solo5's alone.
    Plain,
}

impl Abi {
    /// Both.
    pub(crate) const ALL: [Self; 2] = [Self::Extended, Self::Plain];

    fn label(self) -> &'static str {
        match self {
            Self::Extended => "extended",
            Self::Plain => "plain",
        }
    }

    /// The guest's file for this ABI, made in `folder` if it is not the built one.
    ///
    /// # Errors
    /// If the file cannot be read or written, or has no note.
    pub(crate) fn kernel(self, built: PathBuf, folder: &TempDir) -> Result<PathBuf> {
        if self == Self::Extended {
            return Ok(built);
        }
        const NOTE: &[u8] = b"\x06\0\0\0\x2c\0\0\0REQ1Nabla\0";
        let mut bytes = fs::read(&built).with_context(|| built.display().to_string())?;
        let at = bytes.windows(NOTE.len()).position(|window| window == NOTE).context("no note")?;
        bytes[at + NOTE.len() - 6] = b'X';
        let path = folder.path().join("plain");
        fs::write(&path, bytes)?;
        Ok(path)
    }
}

struct Behaviour {
    guest: &'static str,
    options: &'static [&'static str],
    arguments: &'static [&'static str],
    ended: Ended,
    /// What the console must contain.
    console: &'static str,
}

const fn behaviour(guest: &'static str, ended: Ended, console: &'static str) -> Behaviour {
    Behaviour { guest, options: &[], arguments: &[], ended, console }
}

impl Behaviour {
    const fn with(self, arguments: &'static [&'static str]) -> Self {
        Self { arguments, ..self }
    }

    const fn options(self, options: &'static [&'static str]) -> Self {
        Self { options, ..self }
    }
}

const BEHAVIOURS: &[Behaviour] = &[
    behaviour("hello", Ended::Exit(0), "hello from a guest\n"),
    behaviour("arguments", Ended::Exit(0), "<--solo5:quiet>\n<a=b>\n<-->\n<c>\n").with(&[
        "--solo5:quiet",
        "a=b",
        "--",
        "c",
    ]),
    behaviour("arguments", Ended::Exit(0), ""),
    behaviour("exit-status", Ended::Exit(0), "").with(&["0"]),
    behaviour("exit-status", Ended::Exit(7), "").with(&["7"]),
    behaviour("exit-status", Ended::Exit(254), "").with(&["255"]),
    behaviour("error", Ended::Exit(1), "error: the manifest declares no such block device\n"),
    behaviour("panic", Ended::Exit(255), "on purpose\n"),
    behaviour("abort", Ended::Exit(255), ""),
    behaviour("null-dereference", Ended::Signal(SIGSEGV), ""),
    behaviour("write-read-only", Ended::Signal(SIGSEGV), ""),
    behaviour("write-code", Ended::Signal(SIGSEGV), ""),
    behaviour("execute-data", Ended::Signal(SIGSEGV), "").with(&["heap"]),
    behaviour("execute-data", Ended::Signal(SIGSEGV), "").with(&["stack"]),
    behaviour("execute-data", Ended::Signal(SIGSEGV), "").with(&["read-only"]),
    behaviour("execute-data", Ended::Exit(0), "executed\n")
        .with(&["heap"])
        .options(&["--x-exec-heap"]),
    behaviour("stack-overflow", Ended::Signal(SIGSEGV), ""),
    behaviour("heap-exhaustion", Ended::Exit(0), "exhausted after "),
    behaviour("heap-exhaustion", Ended::Exit(255), "memory allocation of 1048576 bytes failed")
        .with(&["panic"]),
    behaviour("clocks", Ended::Exit(0), "unix "),
    behaviour("tasks", Ended::Exit(0), "1000 tasks\n"),
];

/// All cases of this file.
pub(crate) fn cases() -> Vec<Case> {
    let behaviours = Abi::ALL.into_iter().flat_map(|abi| {
        BEHAVIOURS.iter().map(move |behaviour| {
            let words = [behaviour.options, behaviour.arguments].concat().join(" ");
            let name = format!("behaviour::{}::{} {words}", abi.label(), behaviour.guest);
            Case::new(name.trim_end(), move |binaries| check(behaviour, abi, binaries))
        })
    });
    let blocks = Abi::ALL.into_iter().flat_map(|abi| {
        let named = move |name: &str| format!("block::{}::{name}", abi.label());
        [
            Case::new(named("write and read back"), move |b| {
                block_round_trip(b, abi, 512, 64 << 10)
            }),
            Case::new(named("of one block"), move |b| block_round_trip(b, abi, 512, 512)),
            Case::new(named("with blocks of 4096"), move |b| {
                block_round_trip(b, abi, 4096, 3 << 20)
            }),
            Case::new(named("calls beyond the capacity"), move |b| block_beyond(b, abi)),
            Case::new(named("read-only device"), move |b| block_read_only(b, abi)),
        ]
    });
    behaviours
        .chain(blocks)
        .chain([
            Case::new("entropy differs from start to start", entropy),
            Case::new("wall clock is the host's", wall_clock),
        ])
        .collect()
}

fn check(behaviour: &Behaviour, abi: Abi, binaries: &Binaries) -> Result<()> {
    let folder = TempDir::new()?;
    let kernel = abi.kernel(binaries.guest(behaviour.guest), &folder)?;
    let run = Run::new(binaries, kernel).arguments(behaviour.arguments);
    let run = behaviour.options.iter().fold(run, Run::option);
    let outcome = run.finish()?;
    ensure!(outcome.ended == behaviour.ended, "{outcome:?}");
    ensure!(outcome.stdout.contains(behaviour.console), "{outcome:?}");
    Ok(())
}

fn image(folder: &TempDir, bytes: usize) -> Result<PathBuf> {
    let path = folder.path().join("disk.img");
    fs::write(&path, vec![0x5a; bytes])?;
    Ok(path)
}

fn run_block(
    binaries: &Binaries,
    guest: &str,
    arguments: &[&str],
    abi: Abi,
    (block, capacity): (usize, usize),
) -> Result<(Outcome, Vec<u8>)> {
    let folder = TempDir::new()?;
    let disk = image(&folder, capacity)?;
    let outcome = Run::new(binaries, abi.kernel(binaries.guest(guest), &folder)?)
        .option(format!("--block:storage={}", disk.display()))
        .option(format!("--block-sector-size:storage={block}"))
        .arguments(arguments)
        .finish()?;
    Ok((outcome, fs::read(disk)?))
}

fn block_round_trip(binaries: &Binaries, abi: Abi, block: usize, capacity: usize) -> Result<()> {
    let (outcome, disk) = run_block(binaries, "block", &[], abi, (block, capacity))?;
    let expected = format!("capacity {capacity} block {block}\ngood\n");
    ensure!(outcome.ended == Ended::Exit(0) && outcome.stdout == expected, "{outcome:?}");
    let pattern = |at: usize| ((at as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 56) as u8;
    ensure!(disk.len() == capacity, "the image has {} bytes", disk.len());
    ensure!(disk.iter().enumerate().all(|(at, &byte)| byte == pattern(at)), "the image is wrong");
    Ok(())
}

fn block_beyond(binaries: &Binaries, abi: Abi) -> Result<()> {
    for call in ["write-behind", "write-astride", "read-astride", "read-far"] {
        let (outcome, disk) = run_block(binaries, "block-beyond", &[call], abi, (512, 8192))?;
        ensure!(outcome.ended == Ended::Signal(SIGSYS), "{call}: {outcome:?}");
        ensure!(outcome.stdout == "last 512\n", "{call}: {outcome:?}");
        ensure!(disk == vec![0x5a; 8192], "{call}: the image was changed");
    }
    Ok(())
}

fn block_read_only(binaries: &Binaries, abi: Abi) -> Result<()> {
    let (outcome, disk) = run_block(binaries, "block-read-only", &[], abi, (512, 4096))?;
    ensure!(outcome.ended == Ended::Exit(0), "{outcome:?}");
    ensure!(outcome.stdout == "first byte 90\n", "{outcome:?}");
    ensure!(disk == vec![0x5a; 4096], "the image was changed");
    Ok(())
}

fn entropy(binaries: &Binaries) -> Result<()> {
    let run = Run::new(binaries, binaries.guest("entropy"));
    let (first, second) = (run.finish()?, run.finish()?);
    ensure!(first.ended == Ended::Exit(0), "{first:?}");
    ensure!(second.ended == Ended::Exit(0), "{second:?}");
    ensure!(first.stdout.len() == 33, "{first:?}");
    ensure!(first.stdout != second.stdout, "{first:?}");
    Ok(())
}

fn wall_clock(binaries: &Binaries) -> Result<()> {
    let unix = || Ok(std::time::UNIX_EPOCH.elapsed()?.as_secs());
    let before: Result<u64> = unix();
    let outcome = Run::new(binaries, binaries.guest("clocks")).finish()?;
    let after: Result<u64> = unix();
    let line = outcome.stdout.trim().strip_prefix("unix ").context("no time")?;
    let told: u64 = line.parse()?;
    ensure!((before?..=after?).contains(&told), "told {told}");
    Ok(())
}
