//! `cargo xtask test`: builds what the tests run, runs every test of the workspace, and ends with
//! one line that counts them. A test that was skipped is told as skipped, never as passed.

mod tally;

use std::io::{self, BufRead, BufReader, IsTerminal, Read, Write};
use std::process::ExitCode;

use anyhow::{Context, Result};
use lexopt::{Arg, Parser, ValueExt};

use crate::app::Starter;
use crate::cargo::{self, Profile};
use crate::packages::Workspace;
use crate::{explain, unexpected};
use tally::Tally;

const USAGE: &str = "\
Usage: cargo xtask test [FILTER]

Builds the tender and all guests, then runs the tests of the whole workspace whose names contain
FILTER. The last line counts them: `N passed, N failed, N skipped`. A test is skipped if it needs
a privilege or a program that is not there; it says which. The exit status is 1 if a test
failed, and also if one was skipped where nothing should be: with CI=true, as root.";

/// The packages of the test guests.
const GUESTS: [&str; 2] = ["guests", "solo5-guests"];
/// Where the suite finds what it runs.
const BINARIES_VARIABLE: &str = "NABLA_BIN_DIR";

/// The verb.
pub(crate) fn main(words: &mut Parser) -> Result<ExitCode> {
    let mut filter = None;
    while let Some(word) = words.next()? {
        match word {
            Arg::Long("help") | Arg::Short('h') => return Ok(explain(USAGE)),
            Arg::Value(text) if filter.is_none() => filter = Some(text.string()?),
            other => return Err(unexpected(other, "test")),
        }
    }
    let ours = Workspace::ours()?;
    let mut tally = match build_binaries(&ours) {
        Ok(()) => run(&ours, filter.as_deref())?,
        Err(error) => Tally::of_failure(format!("{error:#}")),
    };
    if tally.is_empty() {
        tally.fail(match filter {
            Some(filter) => format!("no test's name contains '{filter}'"),
            None => "no test was run".into(),
        });
    }
    Ok(report(&tally))
}

fn build_binaries(ours: &Workspace) -> Result<()> {
    eprintln!("building the tender, the container runtime, the test guests and the apps");
    Starter::Tender.build(ours)?;
    Starter::Runnc.build(ours)?;
    let apps = ours.apps().map(|app| &*app.name);
    cargo::build(&ours.root, apps.chain(GUESTS), Profile::Release)
}

/// The calls of cargo that test everything. The container runtime stands alone: with it, a package that
/// guests use as well would have the standard library, which they cannot link.
const CALLS: [&[&str]; 2] = [&["--workspace", "--exclude", "runnc"], &["--package", "runnc"]];

/// Runs the tests, showing and reading what they say.
fn run(ours: &Workspace, filter: Option<&str>) -> Result<Tally> {
    eprintln!("running the tests");
    let mut tally = Tally::default();
    let mut is_well = true;
    for packages in CALLS {
        is_well &= call(ours, packages, filter, &mut tally)?;
    }
    tally.finish(is_well);
    Ok(tally)
}

/// Runs the tests of some packages; whether cargo is content.
fn call(
    ours: &Workspace,
    packages: &[&str],
    filter: Option<&str>,
    tally: &mut Tally,
) -> Result<bool> {
    // One pipe for both, so that cargo's lines and the tests' keep their order.
    let (output, input) = io::pipe().context("cannot make a pipe")?;
    let mut command = cargo::command(&ours.root);
    command.arg("test").args(packages).arg("--no-fail-fast");
    command.env(BINARIES_VARIABLE, ours.binaries(Profile::Release));
    if io::stdout().is_terminal() {
        command.args(["--color", "always"]);
    }
    if let Some(filter) = filter {
        command.args(["--", filter]);
    }
    command.stdout(input.try_clone().context("cannot share a pipe")?).stderr(input);
    let mut child = command.spawn().context("cannot start cargo")?;
    // The command keeps the pipe's other end open, and with it the reader.
    drop(command);

    read_lines(output, tally)?;
    Ok(child.wait().context("cannot wait for cargo")?.success())
}

/// Passes all on to the standard output, line by line, and to the tally.
fn read_lines(output: impl Read, tally: &mut Tally) -> Result<()> {
    let mut reader = BufReader::new(output);
    let mut stdout = io::stdout().lock();
    let mut line = Vec::new();
    while reader.read_until(b'\n', &mut line).context("cannot read what cargo says")? > 0 {
        stdout.write_all(&line).context("cannot write")?;
        tally.take(&String::from_utf8_lossy(&line));
        line.clear();
    }
    Ok(())
}

/// The end of the output. The counts stand alone on the last line.
fn report(tally: &Tally) -> ExitCode {
    for reason in tally.skip_reasons() {
        println!("{reason}");
    }
    for failure in tally.failures() {
        println!("failed: {failure}");
    }
    let nothing_may_be_skipped = std::env::var_os("CI").is_some_and(|ci| ci == "true") && is_root();
    if nothing_may_be_skipped && tally.skipped() > 0 {
        println!("failed: as root in CI no test may be skipped");
    }
    println!("{tally}");
    match tally.failed() > 0 || (nothing_may_be_skipped && tally.skipped() > 0) {
        true => ExitCode::FAILURE,
        false => ExitCode::SUCCESS,
    }
}

fn is_root() -> bool {
    nix::unistd::geteuid().is_root()
}
