//! Files that are no unikernels, or no longer: one clear line and status 1, before the guest runs.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result, anyhow, ensure};
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use suite::{Binaries, Ended, Outcome, Run};
use tempfile::TempDir;

use crate::Case;

/// All cases of this file.
pub(crate) fn cases() -> Vec<Case> {
    vec![
        Case::new("hostile::files that are no unikernels", not_unikernels),
        Case::new("hostile::a mutated unikernel is refused or runs confined", mutated),
        Case::new("hostile::any mutation of real files is reported or refused", inspected),
        Case::new("hostile::a truncated unikernel is refused", truncated),
        Case::new("hostile::wrong command lines", command_lines),
    ]
}

/// One line of the tender's on stderr, status 1, and nothing on the console.
fn refused(outcome: &Outcome) -> bool {
    outcome.ended == Ended::Exit(1)
        && outcome.stdout.is_empty()
        && outcome.stderr.starts_with("tender: ")
        && outcome.stderr.lines().count() == 1
}

fn not_unikernels(binaries: &Binaries) -> Result<()> {
    let folder = TempDir::new()?;
    let text = folder.path().join("text");
    fs::write(&text, "no unikernel\n")?;
    let empty = folder.path().join("empty");
    fs::write(&empty, "")?;
    let absent = folder.path().join("absent");
    for path in [&text, &empty, &absent, folder.path(), Path::new("/dev/zero"), &binaries.tender()]
    {
        let outcome = Run::new(binaries, path).finish()?;
        ensure!(refused(&outcome), "{}: {outcome:?}", path.display());
        ensure!(outcome.stderr.contains(&*path.to_string_lossy()), "{outcome:?}");
    }
    Ok(())
}

/// The ELF header and the program headers of a guest.
const HEADERS_BYTES: usize = 64 + 9 * 56;

/// A small generator of numbers; the seed is part of the test.
struct Random(u64);

impl Random {
    fn below(&mut self, limit: usize) -> usize {
        self.0 =
            self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        ((self.0 >> 33) as usize) % limit
    }
}

fn mutated(binaries: &Binaries) -> Result<()> {
    const NOTES: std::ops::Range<usize> = 0x7000..0x7100;
    let original = fs::read(binaries.guest("hello"))?;
    let folder = TempDir::new()?;
    let path = folder.path().join("mutated");
    let mut random = Random(42);
    let mut refusals = 0;
    for round in 0..300 {
        let mut bytes = original.clone();
        for _ in 0..=random.below(4) {
            let at = match random.below(3) {
                0 => NOTES.start + random.below(NOTES.len()),
                _ => random.below(HEADERS_BYTES),
            };
            bytes[at % original.len()] =
                [0, 1, 0x7f, 0x80, 0xff, random.below(256) as u8][random.below(6)];
        }
        fs::write(&path, &bytes)?;
        // What runs may run for ever.
        let limit = ["timeout", "-s", "KILL", "5"];
        let outcome = Run::new(binaries, &path).through(&limit).finish()?;
        let ran = outcome.stderr.is_empty() || outcome.stderr.starts_with("tender: the guest ");
        ensure!(ran || refused(&outcome), "round {round}: {outcome:?}");
        refusals += usize::from(!ran);
    }
    ensure!(refusals > 100, "only {refusals} of 300 mutations were refused");
    Ok(())
}

/// Where a change goes: into the headers, or anywhere.
fn change() -> impl Strategy<Value = (u64, u8)> {
    let headers = (0..HEADERS_BYTES).prop_map(|at| at as u64);
    let position = prop_oneof![4 => headers, 1 => any::<u64>()];
    let value = prop_oneof![Just(0), Just(1), Just(0x7f), Just(0x80), Just(0xff), any::<u8>()];
    (position, value)
}

/// Looks at mutated files without running them, as a mutated program may run for ever.
fn inspected(binaries: &Binaries) -> Result<()> {
    let files = [binaries.app("httpd"), binaries.guest("block"), binaries.guest("net-echo")]
        .map(fs::read)
        .into_iter()
        .collect::<Result<Vec<_>, _>>()?;
    let folder = TempDir::new()?;
    let path = folder.path().join("mutated");
    let config = Config { cases: 300, failure_persistence: None, ..Config::default() };
    let mutations = (0..files.len(), proptest::collection::vec(change(), 1..5));
    let outcome = TestRunner::new(config).run(&mutations, |(file, changes)| {
        let mut bytes = files[file].clone();
        for (at, value) in changes {
            let at = (at % bytes.len() as u64) as usize;
            bytes[at] = value;
        }
        let run = || -> Result<Outcome> {
            fs::write(&path, &bytes)?;
            Run::new(binaries, &path).option("--inspect").finish()
        };
        let outcome = run().map_err(|error| TestCaseError::fail(format!("{error:#}")))?;
        let reported = outcome.ended == Ended::Exit(0) && outcome.stderr.is_empty();
        prop_assert!(reported || refused(&outcome), "{outcome:?}");
        Ok(())
    });
    outcome.map_err(|failure| anyhow!("{failure}"))
}

fn truncated(binaries: &Binaries) -> Result<()> {
    let original = fs::read(binaries.guest("hello"))?;
    let folder = TempDir::new()?;
    let path = folder.path().join("truncated");
    for bytes in [1, 4, 16, 63, 64, 100, 500, 0x1000, 0x1001, 0x7010, 0x7050] {
        fs::write(&path, original.get(..bytes).context("the guest is too small")?)?;
        let outcome = Run::new(binaries, &path).finish()?;
        ensure!(refused(&outcome), "{bytes} bytes: {outcome:?}");
    }
    Ok(())
}

fn command_lines(binaries: &Binaries) -> Result<()> {
    let folder = TempDir::new()?;
    let odd = folder.path().join("odd.img");
    fs::write(&odd, [0; 700])?;
    let disk = folder.path().join("disk.img");
    fs::write(&disk, [0; 1024])?;
    let attach = |path: &Path| format!("--block:storage={}", path.display());
    let good = attach(&disk);
    // The options, and words that the answer must have.
    let wrong: [(&[&str], &[&str]); 14] = [
        (&[], &["storage", "--block:storage="]),
        (&["--mem=0"], &["--mem"]),
        (&["--mem=lots"], &["--mem", "lots"]),
        (&["--mem=99999999999"], &["--mem"]),
        (&["--frobnicate"], &["--frobnicate"]),
        (&["--block:other=/dev/null"], &["other"]),
        (&["--block:storage=/nonexistent/x"], &["/nonexistent/x"]),
        (&[&attach(&odd)], &["odd.img", "512"]),
        (&[&good, "--block-sector-size:storage=513"], &["513"]),
        (&[&good, "--block-sector-size:storage=4096"], &["4096"]),
        (&[&good, "--net:service=tap0"], &["service"]),
        (&[&good, "--net-mac:service=zz"], &["zz"]),
        (&["--block:storage"], &["--block:storage"]),
        // Not open here, and not to be confused with what the tender opens itself.
        (&[&good, "--net:service=@3"], &["@3", "service"]),
    ];
    for (options, words) in wrong {
        let run = Run::new(binaries, binaries.guest("block"));
        let outcome = options.iter().fold(run, Run::option).finish()?;
        ensure!(refused(&outcome), "{options:?}: {outcome:?}");
        for word in words {
            ensure!(outcome.stderr.contains(word), "{options:?} without {word}: {outcome:?}");
        }
    }
    Ok(())
}
