//! What is measured in virtual machines: the kernel functions that systems reach in their service and
//! under a fuzzer, and the code of these functions.

use std::fs;
use std::path::Path;

use ::surface::scenario::{Scenario, System, Workload};
use anyhow::{Context, Result, ensure};

use super::kit;
use super::machines::{Machines, SEED, name};
use super::{Options, Place};

const REPEATS: u32 = 5;
const QUICK_REPEATS: u32 = 2;
const REQUESTS: u32 = 100;
/// System calls of the fuzzer.
const CALLS: u64 = 200_000;

/// `measure surface`.
///
/// # Errors
/// If something does not build, or a machine fails.
pub(super) fn measure(place: &Place, options: &Options) -> Result<()> {
    let repeats = if options.quick { QUICK_REPEATS } else { REPEATS };
    let scenarios =
        wanted(options, &Workload::SURFACE, |system, workload| scenario(system, workload, repeats));
    run(place, options, scenarios, "data/surface")
}

/// `measure fuzz`.
///
/// # Errors
/// If something does not build, or a machine fails.
pub(super) fn fuzz(place: &Place, options: &Options) -> Result<()> {
    let calls = if options.quick { CALLS / 10 } else { CALLS };
    let scenarios = wanted(options, &[Workload::Fuzz], |system, workload| Scenario {
        calls,
        ..scenario(system, workload, 1)
    });
    run(place, options, scenarios, "data/fuzz")
}

/// `measure code`.
///
/// # Errors
/// If something does not build, or the machine fails.
pub(super) fn code(place: &Place, options: &Options) -> Result<()> {
    let file = place.folder("data")?.join("kernel.json");
    let scenario = scenario(System::Native, Workload::Code, 1);
    Machines::make(place)?.run(vec![scenario], options.jobs(), |_, told| write(&file, told))
}

fn run(place: &Place, options: &Options, scenarios: Vec<Scenario>, folder: &str) -> Result<()> {
    ensure!(!scenarios.is_empty(), "no system does what was asked for");
    let folder = place.folder(folder)?;
    let file = |scenario: &Scenario| {
        let word = match scenario.workload {
            Workload::Fuzz => scenario.system.to_string(),
            _ => name(scenario),
        };
        folder.join(format!("{word}.json"))
    };
    let mut machines = Machines::make(place)?;
    for scenario in &scenarios {
        // What fails now is not to be told from a time before.
        let _ = fs::remove_file(file(scenario));
    }
    machines.run(scenarios, options.jobs(), |scenario, told| write(&file(scenario), told))
}

fn write(file: &Path, told: &[u8]) -> Result<()> {
    fs::write(file, told).with_context(|| file.display().to_string())
}

/// Who does what of what was asked for.
fn wanted(
    options: &Options,
    workloads: &[Workload],
    make: impl Fn(System, Workload) -> Scenario,
) -> Vec<Scenario> {
    let mut scenarios = Vec::new();
    for &workload in workloads {
        for system in System::ALL.into_iter().filter(|system| system.does(workload)) {
            if !options.wants(system, workload) {
                continue;
            }
            if system == System::Solo5Tap && kit::solo5().is_none() {
                eprintln!("{workload} on {system}: solo5-spt is not on the PATH, left out");
                continue;
            }
            scenarios.push(make(system, workload));
        }
    }
    scenarios
}

/// A system and what it does, looked at so often.
pub(super) fn scenario(system: System, workload: Workload, repeats: u32) -> Scenario {
    Scenario { system, workload, repeats, requests: REQUESTS, seed: SEED, calls: 0 }
}
