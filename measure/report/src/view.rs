//! Questions to runs: which functions, in which phase, by whom.

use std::collections::{BTreeMap, BTreeSet};

use surface::model::{Phase, Role, Run};

use crate::measurement::Measurement;
use crate::names;

/// The functions of a phase over its repeats.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Surface<'a> {
    /// Reached in any repeat.
    pub(crate) union: BTreeSet<&'a str>,
    /// Reached in all.
    pub(crate) intersection: BTreeSet<&'a str>,
    /// Reached in any, interrupt work included.
    pub(crate) unfiltered: BTreeSet<&'a str>,
    /// How many repeats there are.
    pub(crate) repeats: usize,
}

/// One system call over all repeats.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct CallView<'a> {
    pub(crate) count: u64,
    pub(crate) functions: BTreeSet<&'a str>,
}

/// The phases of a name.
pub(crate) fn phases<'a>(run: &'a Run, name: &str) -> Vec<&'a Phase> {
    run.phases.iter().filter(|phase| phase.name == name).collect()
}

/// What processes do before they confine themselves.
const LAUNCH: &str = "launch";

/// Whether a role belongs to a phase: a launch is a part of a start and of nothing else.
fn belongs(phase: &Phase, role: &str) -> bool {
    role != LAUNCH || phase.name == "start"
}

/// The roles of a phase, all or the one.
fn roles<'a>(phase: &'a Phase, role: Option<&'a str>) -> impl Iterator<Item = &'a Role> {
    phase
        .roles
        .iter()
        .filter(move |(name, _)| role.is_none_or(|wanted| wanted == name.as_str()))
        .filter(|(name, _)| belongs(phase, name))
        .map(|(_, role)| role)
}

/// The functions of a phase. None if there is no such phase, none that has the role, or nothing at all
/// was recorded: no number is made of a tracer that was silent.
pub(crate) fn surface<'a>(run: &'a Run, phase: &str, role: Option<&'a str>) -> Option<Surface<'a>> {
    let phases = phases(run, phase);
    if let Some(role) = role
        && !phases.iter().any(|phase| phase.roles.contains_key(role))
    {
        return None;
    }
    let mut all: Option<Surface<'a>> = None;
    for phase in phases {
        let mut reached = BTreeSet::new();
        let mut interrupts = BTreeSet::new();
        for call in roles(phase, role).flat_map(|role| role.calls.values()) {
            reached.extend(call.functions.iter().map(String::as_str));
            interrupts.extend(call.interrupts.iter().map(String::as_str));
        }
        let first = all.is_none();
        let surface = all.get_or_insert_with(Surface::default);
        surface.repeats += 1;
        surface.unfiltered.extend(reached.iter().copied().chain(interrupts));
        if first {
            surface.intersection.clone_from(&reached);
        } else {
            surface.intersection.retain(|function| reached.contains(function));
        }
        surface.union.extend(reached);
    }
    all.filter(|surface| !surface.unfiltered.is_empty())
}

/// The functions of a phase by system call, or by another reason to be in the kernel.
pub(crate) fn by_call<'a>(
    run: &'a Run,
    phase: &str,
    role: Option<&'a str>,
) -> BTreeMap<&'a str, CallView<'a>> {
    let mut calls = BTreeMap::<&str, CallView<'_>>::new();
    for role in phases(run, phase).into_iter().flat_map(|phase| roles(phase, role)) {
        for (name, call) in &role.calls {
            let view = calls.entry(name).or_default();
            view.count += call.count;
            view.functions.extend(call.functions.iter().map(String::as_str));
        }
    }
    calls
}

/// All that a fuzzed system, or a role of it, reached, its end and the calls that killed it with it.
pub(crate) fn fuzz_union<'a>(run: &'a Run, role: Option<&'a str>) -> BTreeSet<&'a str> {
    let names = ["fuzz", "denied", "exit"];
    let all = names.into_iter().filter_map(|name| surface(run, name, role));
    all.flat_map(|surface| surface.union).collect()
}

/// How many calls a fuzzer made.
pub(crate) fn fuzz_calls(run: &Run) -> Option<u64> {
    let progress = phases(run, "fuzz").into_iter().flat_map(|phase| &phase.progress);
    progress.map(|progress| progress.calls).max()
}

/// What a fuzzer without a filter had reached when it had made as many calls as another: who makes fewer
/// reaches less, whatever the policy.
pub(crate) fn fuzz_base(unfiltered: &Run, other: &Run) -> Option<usize> {
    let calls = fuzz_calls(other)?;
    let phases = phases(unfiltered, "fuzz").into_iter();
    let progress = phases.flat_map(|phase| &phase.progress);
    let reached = progress.filter(|progress| progress.calls <= calls);
    reached.map(|progress| progress.functions as usize).max().filter(|&base| base > 0)
}

/// The system calls that a role made in a phase, if it began any: one that it was in before is none.
pub(crate) fn made<'a>(run: &'a Run, phase: &str, role: &'a str) -> BTreeSet<&'a str> {
    let calls = by_call(run, phase, Some(role)).into_iter();
    calls.filter(|(name, view)| is_call(name) && view.count > 0).map(|(name, _)| name).collect()
}

/// Requests that were answered in all phases of a name.
pub(crate) fn requests(run: &Run, phase: &str) -> u64 {
    phases(run, phase).iter().map(|phase| u64::from(phase.requests)).sum()
}

/// The roles of a phase by name.
pub(crate) fn role_names<'a>(run: &'a Run, phase: &str) -> BTreeSet<&'a str> {
    let phases = phases(run, phase).into_iter();
    phases
        .flat_map(|phase| phase.roles.keys().filter(|role| belongs(phase, role)))
        .map(String::as_str)
        .collect()
}

/// Whether a context is a system call, and not a fault, a signal or the like.
pub(crate) fn is_call(name: &str) -> bool {
    !name.starts_with('(')
}

/// A workload's runs in the order of tables.
pub(crate) fn of_workload<'a>(measurement: &'a Measurement, workload: &str) -> Vec<&'a Run> {
    let mut runs: Vec<&Run> =
        measurement.runs.iter().filter(|run| run.workload == workload).collect();
    runs.sort_by_key(|run| (names::rank(&names::SYSTEMS, &run.system), &run.system));
    runs
}

/// The workloads of which there are runs, in the order of tables.
pub(crate) fn workloads(measurement: &Measurement) -> Vec<&str> {
    let found: BTreeSet<&str> = measurement.runs.iter().map(|run| run.workload.as_str()).collect();
    let mut found: Vec<&str> = found.into_iter().collect();
    found.sort_by_key(|name| (names::rank(&names::WORKLOADS, name), *name));
    found
}

/// Runs of the fuzzer in the order of tables.
pub(crate) fn fuzzed(measurement: &Measurement) -> Vec<&Run> {
    let mut runs: Vec<&Run> = measurement.fuzz.iter().collect();
    runs.sort_by_key(|run| (names::rank(&names::FUZZED, &run.system), &run.system));
    runs
}
