//! Block devices: reads and writes of a file as fast as they go, by a guest under tenders, by a plain program, and by
//! that program in containers. The file is in memory (`/dev/shm`), so what is measured is the way to the kernel's
//! file system, and no disk: system calls, their filter, what a sandbox puts between.
//!
//! All programs run on one processor, one after the other, in an order that changes from round to round, and
//! each goes through all ways in one run: reads and writes, sequential and random, of 4 KiB and of 1 MiB. A line that a
//! program says after each way is when the clocks of its processes are read.

use std::fs::{self, File};
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use anyhow::{Context, Result, anyhow, bail, ensure};

use super::candidate::on_path;
use super::contained::{Contained, Harbour, KINDS, Mooring};
use super::contest::{Sample, Trial, Trials};
use super::lab::Lab;
use super::load::blocks::READY;
use super::meter::{self, Reading};
use super::oci::{Contents, Kind};
use super::worker::Place;
use super::{folder, rounds};
use crate::app;
use crate::cargo::{self, Profile};
use crate::packages::Workspace;

const MEMORY_FOLDER: &str = "/dev/shm";
const DISK_NAME: &str = "disk.img";
const DISK_BYTES: usize = 64 << 20;
/// Where a container finds the disk.
const SHARED: &str = "/data";
/// How long until a program says its next line, beyond the time that it was given.
const PATIENCE: Duration = Duration::from_secs(20);
/// Ways to transfer: two verbs, two orders, two sizes.
const WAYS: usize = 8;

/// Who reads and writes.
enum Candidate {
    /// The guest under a tender, Solo5's if it is named.
    Guest { tender: PathBuf },
    /// A plain program.
    Native,
    /// The same in a container.
    Contained(Contained),
}

/// The disk, in a folder of its own that is removed at the end.
struct Disk {
    folder: PathBuf,
}

impl Disk {
    fn make(fallback: &Path) -> Result<Self> {
        let memory = Path::new(MEMORY_FOLDER);
        let parent = if memory.is_dir() { memory } else { fallback };
        let disk =
            Self { folder: parent.join(format!("nabla-bench-block-{}", std::process::id())) };
        let named = || disk.folder.display().to_string();
        fs::create_dir_all(&disk.folder).with_context(named)?;
        let mut file = File::create(disk.path()).with_context(named)?;
        // Written, so that no page is the kernel's page of zeros.
        let part = vec![0xa5; 1 << 20];
        (0..DISK_BYTES / part.len()).try_for_each(|_| file.write_all(&part)).with_context(named)?;
        Ok(disk)
    }

    fn path(&self) -> PathBuf {
        self.folder.join(DISK_NAME)
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.folder);
    }
}

struct Bench {
    lab: Lab,
    disk: Disk,
    worker: PathBuf,
    guest: PathBuf,
    time: Duration,
}

/// Each program in each round, for this long in each way.
///
/// # Errors
/// If something does not build, or nothing works here.
pub(crate) fn trials(count: u64, time: Duration) -> Result<Trials> {
    let ours = Workspace::ours()?;
    let folder = folder(&ours)?;
    let tender = app::build_tender(&ours)?;
    cargo::build(&ours.root, ["guests"], Profile::Release)?;
    let binaries = ours.binaries(Profile::Release);
    let bench = Bench {
        lab: Lab::new(&ours, super::http::CONGESTION)?,
        disk: Disk::make(&folder)?,
        worker: binaries.join("xtask"),
        guest: binaries.join("guest-block-load"),
        time,
    };
    let harbour = Harbour::new(&folder);
    let mut remarks = Vec::new();
    let mut candidates = vec![("guest, tender".to_owned(), Candidate::Guest { tender })];
    match on_path("solo5-spt") {
        Some(tender) => {
            candidates.push(("guest, solo5-spt".into(), Candidate::Guest { tender }));
        }
        None => remarks.push("solo5-spt is left out: it is not on PATH".into()),
    }
    candidates.push(("program".into(), Candidate::Native));
    for (kind, number) in KINDS.into_iter().zip(0..) {
        let name = format!("program in {}", kind.name());
        let made = match &harbour {
            Ok(harbour) => bench.contained(harbour, kind, number),
            Err(reason) => Err(anyhow!("{reason:#}")),
        };
        match made {
            Ok(contained) => candidates.push((name, Candidate::Contained(contained))),
            Err(reason) => remarks.push(format!("{name} is left out: {reason:#}")),
        }
    }
    let trials = bench.hold(&candidates, count, &mut remarks);
    ensure!(!trials.is_empty(), "no program works here:\n{}", remarks.join("\n"));
    Ok(Trials { trials, remarks })
}

impl Bench {
    fn hold(
        &self,
        candidates: &[(String, Candidate)],
        count: u64,
        remarks: &mut Vec<String>,
    ) -> Vec<Trial> {
        let mut trials: Vec<Trial> = Vec::new();
        let mut failed = vec![false; candidates.len()];
        for round in 0..count {
            for at in rounds::order(candidates.len(), round) {
                let (name, candidate) = &candidates[at];
                if failed[at] {
                    continue;
                }
                eprintln!("block: round {} of {count}, {name}", round + 1);
                match self.run(candidate) {
                    Ok(samples) => samples.into_iter().for_each(|(row, sample)| {
                        let of = |trial: &&mut Trial| trial.row == row && trial.candidate == *name;
                        match trials.iter_mut().find(of) {
                            Some(trial) => trial.samples.push(sample),
                            None => trials.push(Trial {
                                row,
                                candidate: name.clone(),
                                samples: vec![sample],
                            }),
                        }
                    }),
                    Err(reason) => {
                        failed[at] = true;
                        remarks.push(format!("{name} is left out: {reason:#}"));
                    }
                }
            }
        }
        // As they were listed, and not as they came in the first round.
        let place = |name: &str| candidates.iter().position(|(its, _)| its == name);
        trials.sort_by_key(|trial| place(&trial.candidate));
        trials
    }

    fn contained(&self, harbour: &Harbour, kind: Kind, number: u8) -> Result<Contained> {
        let root = harbour.root("blocks", &self.worker)?;
        let worker = self.worker.to_string_lossy();
        let mut contents =
            Contents::new(root, [&*worker, "bench", "worker", "blocks"], vec!["PATH=/"]);
        contents.words.extend(self.task(&Path::new(SHARED).join(DISK_NAME)));
        contents.shared.push((self.disk.folder.clone(), SHARED.into()));
        harbour.contained(&self.lab, kind, contents, number)
    }

    fn task(&self, disk: &Path) -> [String; 4] {
        let (disk, ms) = (disk.display().to_string(), self.time.as_millis().to_string());
        ["--file".into(), disk, "--ms".into(), ms]
    }

    /// What a program says, way by way.
    fn run(&self, candidate: &Candidate) -> Result<Vec<(String, Sample)>> {
        let disk = self.disk.path();
        let place = Place { cpu: self.lab.server_cpu(), ..Place::default() };
        let mut _mooring: Option<Mooring> = None;
        let command = match candidate {
            Candidate::Guest { tender } => {
                let mut command = self.lab.launcher.exec(place, tender.as_os_str());
                command.args(["--mem=16".into(), format!("--block:storage={}", disk.display())]);
                command.arg(&self.guest).arg(format!("--ms={}", self.time.as_millis()));
                command
            }
            Candidate::Native => {
                let mut command = self.lab.launcher.task(place, ["blocks"]);
                command.args(self.task(&disk));
                command
            }
            Candidate::Contained(contained) => {
                let (command, kept) = contained.command(&self.lab)?;
                _mooring = Some(kept);
                command
            }
        };
        Talk::start(command)?.listen(self.time + PATIENCE)
    }
}

/// A program that says how far it is. It is killed if it is dropped before its end.
struct Talk {
    child: Child,
    lines: Receiver<String>,
}

impl Talk {
    fn start(mut command: Command) -> Result<Self> {
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::inherit());
        let mut child = command.spawn().context("cannot start a program")?;
        let output = child.stdout.take().context("no pipe")?;
        let (sender, lines) = channel();
        std::thread::spawn(move || {
            let said = BufReader::new(output).lines().map_while(Result::ok);
            said.take_while(|line| sender.send(line.clone()).is_ok()).for_each(drop);
        });
        Ok(Self { child, lines })
    }

    fn listen(mut self, patience: Duration) -> Result<Vec<(String, Sample)>> {
        let next = || self.lines.recv_timeout(patience).context("it has ended, or says nothing");
        while next()? != READY {}
        let family = meter::family(self.child.id().cast_signed())?;
        let mut before = Reading::take(&family)?;
        let mut samples = Vec::new();
        for _ in 0..WAYS {
            let line = next()?;
            let now = Reading::take(&family)?;
            samples.push(parse(&line, now.since(&before)).with_context(|| line.clone())?);
            before = now;
        }
        // What it says else is not asked for, and its end is the pipe's.
        while self.lines.recv_timeout(patience).is_ok() {}
        match self.child.wait().context("wait")? {
            status if status.success() => Ok(samples),
            status => bail!("it ends with {status}"),
        }
    }
}

impl Drop for Talk {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Reads a line such as `read random 4096 100000 99000000`: the way, how many transfers, and in how many nanoseconds.
fn parse(line: &str, clocks: Reading) -> Option<(String, Sample)> {
    let mut words = line.split_whitespace();
    let (verb, order) = (words.next()?, words.next()?);
    let bytes: u64 = words.next()?.parse().ok()?;
    let amount = words.next()?.parse().ok()?;
    let elapsed_ns = words.next()?.parse().ok()?;
    let size = if bytes >= 1 << 20 {
        format!("{} MiB", bytes >> 20)
    } else {
        format!("{} KiB", bytes >> 10)
    };
    Some((format!("{order} {verb}, {size}"), Sample::of_counts(amount, elapsed_ns, clocks)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_a_sample() {
        let clocks = Reading { watched_ns: 500, own_ns: 0, busy_ns: 600 };
        let (row, sample) = parse("read random 4096 100 2000", clocks).unwrap();
        assert_eq!(
            (&*row, sample.rate(), sample.server_ns()),
            ("random read, 4 KiB", 50_000_000, 5)
        );
        assert_eq!(
            parse("write sequential 1048576 1 1", clocks).unwrap().0,
            "sequential write, 1 MiB"
        );
        for wrong in ["", "read random", "read random x 1 1", "read random 4096 1 -1"] {
            assert!(parse(wrong, clocks).is_none(), "{wrong}");
        }
    }

    #[test]
    fn a_program_that_fails_is_told() {
        let shell = |script: &str| {
            let mut command = Command::new("sh");
            command.args(["-c", script]);
            Talk::start(command).unwrap().listen(Duration::from_secs(10))
        };
        let line = "echo write random 4096 1 1;";
        let good = format!("echo noise; echo ready; {}", line.repeat(WAYS));
        assert_eq!(shell(&good).unwrap().len(), WAYS);
        assert!(shell(&format!("{good} exit 3")).is_err());
        assert!(shell("echo ready; echo what").is_err() && shell("exit 0").is_err());
    }
}
