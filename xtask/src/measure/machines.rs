//! Virtual machines, some at once, each with its scenario.

use std::collections::VecDeque;
use std::path::PathBuf;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use ::surface::scenario::Scenario;
use anyhow::{Result, anyhow};

use super::Place;
use super::initramfs::Initramfs;
use super::kit::Kit;
use super::vm::Vm;

/// What random numbers of the machines begin with.
pub(super) const SEED: u64 = 1;
/// Most machines take less than a minute.
const AT_MOST: Duration = Duration::from_secs(1200);

/// All that machines are made of.
#[derive(Debug)]
pub(super) struct Machines {
    /// What is in them.
    pub(super) kit: Kit,
    vm: Vm,
    work: PathBuf,
}

impl Machines {
    /// Builds and downloads what is needed.
    ///
    /// # Errors
    /// If something does not build or cannot be had.
    pub(super) fn make(place: &Place) -> Result<Self> {
        super::vm::version()?;
        let kit = Kit::make(place)?;
        let vm = Vm::new(kit.kernel.clone(), SEED)?;
        Ok(Self { kit, vm, work: place.folder("vm")? })
    }

    /// Runs a machine for each scenario, so many at once, and gives what it tells to `keep`.
    ///
    /// # Errors
    /// The first that failed. The others were run all the same.
    pub(super) fn run(
        &mut self,
        scenarios: Vec<Scenario>,
        jobs: usize,
        keep: impl Fn(&Scenario, &[u8]) -> Result<()> + Sync,
    ) -> Result<()> {
        let count = scenarios.len();
        let mut machines = VecDeque::new();
        for (scenario, number) in scenarios.into_iter().zip(1..) {
            let files = self.kit.machine(&scenario)?;
            machines.push_back((format!("[{number}/{count}]"), scenario, files));
        }
        let (queue, failure) = (Mutex::new(machines), Mutex::new(None));
        std::thread::scope(|scope| {
            for _ in 0..jobs.min(count) {
                scope.spawn(|| {
                    let next = || queue.lock().ok()?.pop_front();
                    while let Some((number, scenario, files)) = next() {
                        let told = self.one(&number, &scenario, &files);
                        let Err(error) = told.and_then(|told| keep(&scenario, &told)) else {
                            continue;
                        };
                        eprintln!("{number} {}: {error:#}", name(&scenario));
                        if let Ok(mut failure) = failure.lock() {
                            failure.get_or_insert(error);
                        }
                    }
                });
            }
        });
        match failure.into_inner() {
            Ok(failure) => failure.map_or(Ok(()), Err),
            Err(_) => Err(anyhow!("a thread failed")),
        }
    }

    fn one(&self, number: &str, scenario: &Scenario, files: &Initramfs) -> Result<Vec<u8>> {
        let (name, start) = (name(scenario), Instant::now());
        eprintln!("{number} {name}: starts");
        let says = |said: &str| eprintln!("{number} {name}: {said}");
        let told = self.vm.run(&self.work, &name, files, AT_MOST, says)?;
        eprintln!("{number} {name}: done after {} s", start.elapsed().as_secs());
        Ok(told)
    }
}

/// Of a scenario, in names of files as well.
pub(super) fn name(scenario: &Scenario) -> String {
    format!("{}-{}", scenario.workload, scenario.system)
}
