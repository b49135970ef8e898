//! `measure syscalls`: what each process may ask of the kernel, and what it asks, from the runs of
//! `measure surface`.

use std::collections::BTreeMap;

use anyhow::{Result, ensure};
use measure_report::Measurement;
use surface::model::Run;

use super::{Options, Place, report};

/// Prints it.
///
/// # Errors
/// If nothing was measured yet.
pub(super) fn print(place: &Place, options: &Options) -> Result<()> {
    let measurement = report::read(place)?;
    let runs: Vec<_> = measurement.runs.iter().filter(|run| options.wants_run(run)).collect();
    ensure!(!runs.is_empty(), "no run is there yet; cargo xtask measure surface makes them");
    for run in runs {
        println!("{} on {}", run.workload, run.system);
        let used = used(run);
        for (role, calls) in &used {
            let permitted = match run.policies.iter().find(|policy| policy.role == *role) {
                None => "unknown".into(),
                Some(policy) if policy.filters == 0 => format!("all {}", run.kernel.calls),
                Some(policy) => policy.calls.len().to_string(),
            };
            let list: Vec<_> =
                calls.iter().map(|(call, count)| format!("{call} {count}")).collect();
            println!("  {role}: {permitted} permitted, {} used: {}", calls.len(), list.join(", "));
        }
    }
    docker(&measurement);
    Ok(())
}

/// How often a role made which calls in all repeats of its steady state.
fn used(run: &Run) -> BTreeMap<&str, BTreeMap<&str, u64>> {
    let mut used = BTreeMap::<_, BTreeMap<_, _>>::new();
    for phase in run.phases.iter().filter(|phase| phase.name == "steady") {
        for (role, done) in &phase.roles {
            // What stands in brackets is no call.
            let calls =
                done.calls.iter().filter(|(name, call)| !name.starts_with('(') && call.count > 0);
            for (name, call) in calls {
                *used.entry(&**role).or_default().entry(&**name).or_default() += call.count;
            }
        }
    }
    used
}

fn docker(measurement: &Measurement) {
    for reference in &measurement.references {
        let conditional = reference.calls.iter().filter(|call| call.conditional).count();
        println!(
            "{}: {} permitted, {conditional} of them by their arguments ({})",
            reference.system,
            reference.calls.len(),
            reference.source
        );
    }
}
