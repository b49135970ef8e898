//! The programs that are no containers: those that do nothing, and a unikernel under tenders.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail, ensure};

use super::candidate::{Candidate, on_path};
use crate::cargo;

/// The name of the reference.
pub(super) const STATIC: &str = "static";
/// The unikernel under our tender.
pub(super) const HELLO: &str = "tender hello";
/// The same, with no process beside it.
pub(super) const HELLO_ALONE: &str = "tender hello, alone";
/// The unikernel under Solo5's tender.
pub(super) const SOLO5_SPT: &str = "solo5-spt hello";

/// The floor.
pub(super) const BARE: &str = "bare";
/// What everybody has.
pub(super) const TRUE: &str = "/bin/true";
const SOLO5_HVT: &str = "solo5-hvt hello";
/// Names the unikernel for `solo5-hvt`, which needs one of another ABI.
const HVT_HELLO: &str = "NABLA_HVT_HELLO";
/// The guest's memory. A program as small as this one needs less; Solo5's tenders need a value.
const MEMORY: &str = "--mem=16";
/// The tender's option for a guest without a supervisor.
const ALONE: &str = "--no-supervisor";

/// A candidate, or the name of one that is not here and the reason.
pub(super) type Found = Result<Candidate, (&'static str, anyhow::Error)>;

/// All of them. C programs are compiled into `folder`.
pub(super) fn all(folder: &Path, tender: &Path, hello: &Path) -> Vec<Found> {
    vec![
        compile_static(folder)
            .map(|file| Candidate::new(STATIC, &file, [""; 0]))
            .map_err(|reason| (STATIC, reason)),
        compile_bare(folder)
            .map(|file| Candidate::new(BARE, &file, [""; 0]))
            .map_err(|reason| (BARE, reason)),
        Ok(Candidate::new(TRUE, Path::new(TRUE), [""; 0])),
        Ok(Candidate::new(HELLO, tender, [MEMORY.as_ref(), hello.as_os_str()])),
        alone(tender, hello).map_err(|reason| (HELLO_ALONE, reason)),
        solo5_spt(hello).map_err(|reason| (SOLO5_SPT, reason)),
        solo5_hvt().map_err(|reason| (SOLO5_HVT, reason)),
    ]
}

/// A static program that does nothing: the least that a process with a C library costs.
///
/// # Errors
/// If this system cannot link one.
pub(super) fn compile_static(folder: &Path) -> Result<PathBuf> {
    ensure!(cargo::has_static_libc(), "there is no static C library");
    compile(folder, "nothing", "int main(void) { return 0; }\n", &["-static"])
}

/// The same without a C library: the floor.
fn compile_bare(folder: &Path) -> Result<PathBuf> {
    ensure!(cfg!(target_arch = "x86_64"), "it is written for x86-64");
    const EXIT_GROUP: &str = "void _start(void) {\n    \
        __asm__ volatile(\"syscall\" : : \"a\"(231), \"D\"(0));\n}\n";
    compile(folder, "bare", EXIT_GROUP, &["-static", "-nostdlib"])
}

/// Compiles a C program into `folder`.
///
/// # Errors
/// If there is no compiler, or it fails: what it says first.
pub(super) fn compile(
    folder: &Path,
    name: &str,
    source: &str,
    options: &[&str],
) -> Result<PathBuf> {
    let (program, file) = (folder.join(name), folder.join(name).with_extension("c"));
    fs::write(&file, source).with_context(|| file.display().to_string())?;
    let output = Command::new("cc")
        .arg("-O2")
        .args(options)
        .arg("-o")
        .args([&program, &file])
        .output()
        .context("there is no C compiler (cc)")?;
    let said = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "cc: {}", said.lines().next().unwrap_or_default());
    Ok(program)
}

fn alone(tender: &Path, hello: &Path) -> Result<Candidate> {
    let help = Command::new(tender).arg("--help").output().context("tender --help")?;
    let has_option = String::from_utf8_lossy(&help.stdout).contains(ALONE);
    ensure!(has_option, "this tender has no {ALONE}");
    Ok(Candidate::new(HELLO_ALONE, tender, [MEMORY.as_ref(), ALONE.as_ref(), hello.as_os_str()]))
}

fn solo5_spt(hello: &Path) -> Result<Candidate> {
    let program = on_path("solo5-spt").context("solo5-spt is not on PATH")?;
    Ok(Candidate::new(SOLO5_SPT, &program, [MEMORY.as_ref(), hello.as_os_str()]))
}

fn solo5_hvt() -> Result<Candidate> {
    let program = on_path("solo5-hvt").context("solo5-hvt is not on PATH")?;
    match std::env::var_os(HVT_HELLO) {
        Some(hello) => Ok(Candidate::new(SOLO5_HVT, &program, [MEMORY.into(), hello])),
        None => bail!("{HVT_HELLO} does not name a unikernel for it"),
    }
}
