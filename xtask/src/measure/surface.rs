//! `measure surface`: the kernel functions that systems reach, each in a virtual machine of its own.

use std::collections::VecDeque;
use std::fs;
use std::path::Path;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow};
use surface::model::Run;
use surface::scenario::{Scenario, System, Workload};

use super::initramfs::Initramfs;
use super::kit::{self, Kit};
use super::vm::Vm;
use super::{Options, Place};

/// What random numbers of the machines begin with.
const SEED: u64 = 1;
const REPEATS: u32 = 5;
const REQUESTS: u32 = 100;
/// Most machines take one or two minutes.
const AT_MOST: Duration = Duration::from_secs(900);

/// Measures what was asked for, and keeps each run.
///
/// # Errors
/// If something does not build, or a machine fails.
pub(crate) fn run(place: &Place, options: &Options) -> Result<()> {
    let mut kit = Kit::make(place)?;
    let folder = place.folder("data/surface")?;
    let mut machines = VecDeque::new();
    for scenario in scenarios(options) {
        machines.push_back((scenario.clone(), kit.machine(&scenario)?));
    }
    let vm = Vm::new(kit.kernel.clone(), SEED)?;
    let work = place.folder("vm")?;
    each(&vm, &work, machines, options.jobs(), |scenario, run| {
        let file = folder.join(format!("{}-{}.json", scenario.workload, scenario.system));
        fs::write(&file, serde_json::to_vec(run)?).with_context(|| file.display().to_string())
    })
}

fn scenarios(options: &Options) -> Vec<Scenario> {
    let mut scenarios = Vec::new();
    for workload in Workload::ALL.into_iter().filter(|&workload| workload != Workload::Fuzz) {
        for system in System::ALL.into_iter().filter(|system| system.does(workload)) {
            if !options.wants(system, workload) {
                continue;
            }
            if system == System::Solo5Tap && kit::solo5().is_none() {
                eprintln!("{workload} on {system}: solo5-spt is not on the PATH, left out");
                continue;
            }
            let repeats = if options.quick { 2 } else { REPEATS };
            let (requests, seed) = (REQUESTS, SEED);
            scenarios.push(Scenario { system, workload, repeats, requests, seed, calls: 0 });
        }
    }
    scenarios
}

/// Runs machines, some at once, and gives each result to `keep`.
///
/// # Errors
/// If one fails; the others that had begun are finished.
pub(crate) fn each(
    vm: &Vm,
    work: &Path,
    machines: VecDeque<(Scenario, Initramfs)>,
    jobs: usize,
    keep: impl Fn(&Scenario, &Run) -> Result<()> + Sync,
) -> Result<()> {
    let count = machines.len();
    let queue = Mutex::new((0, machines));
    let failure = Mutex::new(None);
    let next = || {
        let mut queue = queue.lock().ok()?;
        queue.0 += 1;
        let number = queue.0;
        queue.1.pop_front().map(|machine| (number, machine))
    };
    std::thread::scope(|scope| {
        for _ in 0..jobs.min(count) {
            scope.spawn(|| {
                while let Some((number, (scenario, files))) = next() {
                    let result = one(vm, work, &scenario, &files, &format!("[{number}/{count}]"))
                        .and_then(|run| keep(&scenario, &run));
                    if let Err(error) = result {
                        eprintln!("{} on {}: {error:#}", scenario.workload, scenario.system);
                        if let Ok(mut failure) = failure.lock() {
                            failure.get_or_insert(error);
                        }
                    }
                }
            });
        }
    });
    match failure.into_inner() {
        Ok(Some(error)) => Err(error),
        Ok(None) => Ok(()),
        Err(_) => Err(anyhow!("a thread failed")),
    }
}

fn one(
    vm: &Vm,
    work: &Path,
    scenario: &Scenario,
    files: &Initramfs,
    number: &str,
) -> Result<Run> {
    let name = format!("{}-{}", scenario.workload, scenario.system);
    let start = Instant::now();
    eprintln!("{number} {name}: starts");
    let told = vm.run(work, &name, files, AT_MOST, |said| eprintln!("{number} {name}: {said}"))?;
    let run = serde_json::from_slice(&told).context("a run is not as it should be")?;
    eprintln!("{number} {name}: done after {} s", start.elapsed().as_secs());
    Ok(run)
}
