//! Variables: what `--env` sets is what a guest reads, and nothing else.

use anyhow::{Result, ensure};
use suite::{Binaries, Ended, Outcome, Run};
use tempfile::TempDir;

use crate::Case;
use crate::behaviours::Abi;

/// All cases of this file.
pub(crate) fn cases() -> Vec<Case> {
    vec![
        Case::new("environment::what is set is read", read),
        Case::new("environment::there is room for 256 KiB", bounds),
        Case::new("environment::guests that read none get none", plain),
    ]
}

fn run(binaries: &Binaries, options: &[&str], arguments: &[&str]) -> Result<Outcome> {
    let run = Run::new(binaries, binaries.guest("environment")).arguments(arguments);
    options.iter().fold(run, Run::option).finish()
}

fn read(binaries: &Binaries) -> Result<()> {
    let set = ["--env=B=two words", "--env=A=1=2", "--env=A=3=4", "--env=EMPTY="];
    let expected = "A=<3=4>\nB=<two words>\nEMPTY=<>\nB is Some(\"two words\")\nC is None\n";
    for mode in ["--jail", "--no-jail", "--no-supervisor", "--x-exec-heap"] {
        let outcome = run(binaries, &[&set[..], &[mode]].concat(), &["B", "C"])?;
        ensure!(outcome.ended == Ended::Exit(0), "{mode}: {outcome:?}");
        ensure!(outcome.stdout == expected, "{mode}: {outcome:?}");
        // Nothing of the tender's own environment.
        let none = run(binaries, &[mode], &["PATH"])?;
        ensure!(none.stdout == "PATH is None\n", "{mode}: {none:?}");
    }
    Ok(())
}

fn bounds(binaries: &Binaries) -> Result<()> {
    // A string of the host's holds 128 KiB less a NUL; the third is what is left.
    let long = |name: &str, bytes: usize| format!("--env={name}={}", "x".repeat(bytes - 3));
    let half = 120 << 10;
    let left = (256 << 10) - 2 * half;
    let [a, b] = ["A", "B"].map(|name| long(name, half));
    let outcome = run(binaries, &[&a, &b, &long("C", left)], &[])?;
    let expected = format!("A: {0} bytes\nB: {0} bytes\nC: {1} bytes\n", half - 3, left - 3);
    ensure!(outcome.stdout == expected, "{outcome:?}");
    let outcome = run(binaries, &[&a, &b, &long("C", left + 1)], &[])?;
    ensure!(outcome.ended == Ended::Exit(1), "{:?}", outcome.ended);
    let told = "the guest's variables take more than 262144 bytes\n";
    ensure!(outcome.stderr.ends_with(told), "{}", outcome.stderr.len());
    Ok(())
}

fn plain(binaries: &Binaries) -> Result<()> {
    let folder = TempDir::new()?;
    let kernel = Abi::Plain.kernel(binaries.guest("environment"), &folder)?;
    let outcome = Run::new(binaries, kernel.clone()).arguments(&["A"]).finish()?;
    ensure!(outcome.stdout == "A is None\n", "{outcome:?}");
    for inspect in [&[][..], &["--inspect"]] {
        let run = Run::new(binaries, kernel.clone()).option("--env=A=1");
        let outcome = inspect.iter().fold(run, Run::option).finish()?;
        ensure!(outcome.ended == Ended::Exit(1), "{outcome:?}");
        ensure!(outcome.stderr.contains("reads no variables"), "{outcome:?}");
    }
    Ok(())
}
