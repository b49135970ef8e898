//! Optional block devices: a guest starts without them, under our tender, and has then neither a descriptor
//! nor a call for them.

use std::fs;
use std::path::PathBuf;

use anyhow::{Result, ensure};
use suite::{Binaries, Ended, Outcome, Run};
use tempfile::TempDir;

use crate::Case;
use crate::behaviours::Abi;

/// All cases of this file.
pub(crate) fn cases() -> Vec<Case> {
    vec![
        Case::new("optional::any of the devices may be missing", combinations),
        Case::new("optional::synchronous writes are known", synchronous),
        Case::new("optional::what is not attached has no rule", rules),
        Case::new("optional::half of an option is refused", half_an_option),
        Case::new("optional::a plain guest needs all", plain),
    ]
}

const ABSENT: &str = "no file is attached to the optional block device";

/// A folder with a kernel and a disk for each device.
struct Place {
    folder: TempDir,
    kernel: PathBuf,
}

impl Place {
    fn new(binaries: &Binaries, abi: Abi) -> Result<Self> {
        let folder = TempDir::new()?;
        let kernel = abi.kernel(binaries.guest("block-optional"), &folder)?;
        let place = Self { folder, kernel };
        for name in ["cache", "storage"] {
            fs::write(place.disk(name), [0x5a; 4096])?;
        }
        Ok(place)
    }

    fn disk(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn attach(&self, name: &str) -> String {
        format!("--block:{name}={}", self.disk(name).display())
    }

    fn run(&self, binaries: &Binaries, options: &[String]) -> Result<Outcome> {
        options.iter().fold(Run::new(binaries, self.kernel.clone()), Run::option).finish()
    }
}

/// Each device with and without, on each wire: the numbers of the others follow.
fn combinations(binaries: &Binaries) -> Result<()> {
    for net in ["--net:service=user", "--net:service=user,wire=plain"] {
        for attached in [&[][..], &["cache"], &["storage"], &["cache", "storage"]] {
            let place = Place::new(binaries, Abi::Extended)?;
            let mut options = vec![net.to_owned(), "--verbose".to_owned()];
            options.extend(attached.iter().map(|name| place.attach(name)));
            let outcome = place.run(binaries, &options)?;
            ensure!(outcome.ended == Ended::Exit(0), "{attached:?}: {outcome:?}");
            for name in ["cache", "storage"] {
                let (said, told) = match attached.contains(&name) {
                    true => (format!("{name}: 4096 bytes of 90, synchronous false\n"), "blocks of"),
                    false => (format!("{name}: {ABSENT}\n"), "not attached"),
                };
                ensure!(outcome.stdout.contains(&said), "{attached:?}: {outcome:?}");
                let line = outcome.stderr.lines().find(|line| line.contains(&format!(" {name}: ")));
                ensure!(line.is_some_and(|line| line.contains(told)), "{attached:?}: {outcome:?}");
            }
            ensure!(outcome.stdout.contains("\naddress 10."), "{attached:?}: {outcome:?}");
            ensure!(fs::read(place.disk("cache"))? == [0x5a; 4096], "it was written to");
            let written = fs::read(place.disk("storage"))?[3584..] == [7; 512];
            ensure!(written == attached.contains(&"storage"), "{attached:?}: {outcome:?}");
        }
    }
    Ok(())
}

fn synchronous(binaries: &Binaries) -> Result<()> {
    for synchronous in [&[][..], &["cache"], &["storage"], &["cache", "storage"]] {
        let place = Place::new(binaries, Abi::Extended)?;
        let mut options = vec!["--net:service=user".to_owned()];
        options.extend(["cache", "storage"].map(|name| place.attach(name)));
        options.extend(synchronous.iter().map(|name| format!("--block-sync:{name}")));
        let outcome = place.run(binaries, &options)?;
        for name in ["cache", "storage"] {
            let said =
                format!("{name}: 4096 bytes of 90, synchronous {}\n", synchronous.contains(&name));
            ensure!(outcome.stdout.contains(&said), "{synchronous:?}: {outcome:?}");
        }
    }
    Ok(())
}

fn rules(binaries: &Binaries) -> Result<()> {
    let place = Place::new(binaries, Abi::Extended)?;
    for (attached, calls, devices) in [
        (None, "5 system calls: read, write, ppoll, clock_gettime, exit_group", 2),
        (
            Some("cache"),
            "6 system calls: read, write, ppoll, pread64, clock_gettime, exit_group",
            1,
        ),
        (
            Some("storage"),
            "7 system calls: read, write, ppoll, pread64, pwrite64, clock_gettime, exit_group",
            1,
        ),
    ] {
        let mut options = vec!["--inspect".to_owned()];
        options.extend(attached.map(|name| place.attach(name)));
        let outcome = place.run(binaries, &options)?;
        ensure!(outcome.stdout.contains(calls), "{attached:?}: {outcome:?}");
        let missing = outcome.stdout.matches(", not attached: without it (").count();
        ensure!(missing == devices, "{attached:?}: {outcome:?}");
        let optional = outcome.stdout.matches("(optional)").count();
        ensure!(optional == 2, "{attached:?}: {outcome:?}");
    }
    Ok(())
}

fn half_an_option(binaries: &Binaries) -> Result<()> {
    let place = Place::new(binaries, Abi::Extended)?;
    for option in ["--block-sync:storage", "--block-sector-size:storage=4096"] {
        let outcome = place.run(binaries, &["--net:service=user".into(), option.into()])?;
        let said =
            "the unikernel declares the block device 'storage': attach it by --block:storage=PATH";
        ensure!(outcome.ended == Ended::Exit(1) && outcome.stdout.is_empty(), "{outcome:?}");
        ensure!(outcome.stderr.contains(said), "{option}: {outcome:?}");
    }
    Ok(())
}

/// What Solo5's tender makes of it.
fn plain(binaries: &Binaries) -> Result<()> {
    let place = Place::new(binaries, Abi::Plain)?;
    let net = "--net:service=user".to_owned();
    let outcome = place.run(binaries, &[net.clone(), place.attach("cache")])?;
    ensure!(outcome.ended == Ended::Exit(1), "{outcome:?}");
    ensure!(outcome.stderr.contains("attach it by --block:storage=PATH"), "{outcome:?}");
    let both = [net, place.attach("cache"), place.attach("storage"), "--block-sync:storage".into()];
    let outcome = place.run(binaries, &both)?;
    let said = "storage: 4096 bytes of 90, synchronous false\n";
    ensure!(outcome.ended == Ended::Exit(0) && outcome.stdout.contains(said), "{outcome:?}");
    Ok(())
}
