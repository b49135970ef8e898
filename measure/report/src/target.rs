//! What was to be reached, and whether it was. A target of which something was not measured is neither
//! met nor missed.

use std::collections::BTreeSet;

use surface::model::Run;

use crate::measurement::Measurement;
use crate::{names, view};

/// One target.
#[derive(Clone, Debug, PartialEq)]
pub struct Target {
    /// In words, with its limit.
    pub title: String,
    /// What the number is.
    pub unit: Unit,
    /// The most that is allowed; of [`Unit::Fewer`], the least.
    pub limit: f64,
    /// What was measured, or why nothing was.
    pub measured: Result<f64, String>,
    /// What stands in the way, if it is missed.
    pub way: Vec<Way>,
}

/// What the number of a target is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unit {
    /// Kernel functions.
    Functions,
    /// System calls.
    Calls,
    /// A share of a rival's functions, from 0 to 1.
    Share,
    /// The share of functions that are reached no more, from 0 to 1: the one unit of which more is
    /// better.
    Fewer,
}

/// Functions in the way, by the system call that reaches them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Way {
    /// The call, or another reason to be in the kernel.
    pub call: String,
    /// Its functions; empty where the call itself is in the way.
    pub functions: Vec<String>,
}

impl Target {
    /// Whether it is met; None where it was not measured.
    #[must_use]
    pub fn is_met(&self) -> Option<bool> {
        let measured = *self.measured.as_ref().ok()?;
        Some(match self.unit {
            Unit::Fewer => measured >= self.limit,
            _ => measured <= self.limit,
        })
    }
}

const STEADY: &str = "steady";
const GUEST: &str = "guest";

/// All targets.
#[must_use]
pub fn targets(measurement: &Measurement) -> Vec<Target> {
    let tap = Subject { system: "nabla-tap", role: None, name: "httpd on TAP" };
    let ring_guest =
        Subject { system: "nabla-ring", role: Some(GUEST), name: "httpd on a ring, guest alone" };
    let ring = Subject { system: "nabla-ring", role: None, name: "httpd on a ring, with gateway" };
    let mut targets =
        vec![functions(measurement, &tap, 250.0), functions(measurement, &ring_guest, 110.0)];
    for rival in ["runc", "gvisor"] {
        for subject in [&tap, &ring_guest, &ring] {
            targets.push(share(measurement, subject, rival));
        }
    }
    targets.push(permitted(measurement));
    targets.push(used(measurement));
    targets.extend(["nabla-tap", "nabla-ring"].map(|system| fewer(measurement, system)));
    targets
}

/// Whose functions are counted.
struct Subject<'a> {
    system: &'a str,
    role: Option<&'a str>,
    name: &'a str,
}

impl Subject<'_> {
    /// How many functions it reaches in the steady state of httpd.
    fn reached(&self, measurement: &Measurement) -> Result<f64, String> {
        let missing = || not_measured(measurement, "httpd", self.system);
        let run = measurement.run("httpd", self.system).ok_or_else(missing)?;
        let silent = || format!("nothing was recorded of {} at work", names::system(self.system));
        let surface = view::surface(run, STEADY, self.role).ok_or_else(silent)?;
        Ok(surface.union.len() as f64)
    }

    fn way(&self, measurement: &Measurement) -> Vec<Way> {
        measurement
            .run("httpd", self.system)
            .map(|run| way(run, STEADY, self.role))
            .unwrap_or_default()
    }
}

fn functions(measurement: &Measurement, subject: &Subject<'_>, limit: f64) -> Target {
    Target {
        title: format!("{}: at most {limit} functions", subject.name),
        unit: Unit::Functions,
        limit,
        measured: subject.reached(measurement),
        way: Vec::new(),
    }
    .in_the_way(|| subject.way(measurement))
}

fn share(measurement: &Measurement, subject: &Subject<'_>, rival: &str) -> Target {
    let theirs = Subject { system: rival, role: None, name: rival }.reached(measurement);
    let measured = subject.reached(measurement).and_then(|ours| match theirs? {
        // Interrupts alone.
        0.0 => Err(format!("{} reached nothing", names::system(rival))),
        theirs => Ok(ours / theirs),
    });
    Target {
        title: format!(
            "{}: at most 20\u{a0}% of {}'s functions",
            subject.name,
            names::system(rival)
        ),
        unit: Unit::Share,
        limit: 0.2,
        measured,
        way: Vec::new(),
    }
    .in_the_way(|| subject.way(measurement))
}

/// The most system calls that any guest of ours is permitted.
fn permitted(measurement: &Measurement) -> Target {
    let guests = ours(measurement).flat_map(|run| &run.policies).filter(|p| p.role == GUEST);
    let most = guests.max_by_key(|policy| match policy.filters {
        0 => usize::MAX,
        _ => policy.calls.len(),
    });
    let measured = match most {
        None => Err("no policy of a guest was read".into()),
        Some(policy) if policy.filters == 0 => Err("a guest ran without a filter".into()),
        Some(policy) => Ok(policy.calls.len() as f64),
    };
    Target {
        title: "Guests of httpd and kv: at most 7 system calls permitted".into(),
        unit: Unit::Calls,
        limit: 7.0,
        measured,
        way: Vec::new(),
    }
    .in_the_way(|| {
        let calls = most.map(|policy| policy.calls.as_slice()).unwrap_or_default();
        calls.iter().map(|call| Way { call: call.name.clone(), functions: Vec::new() }).collect()
    })
}

/// The most system calls that a guest of ours makes in the steady state of any workload.
fn used(measurement: &Measurement) -> Target {
    let calls = ours(measurement)
        .filter(|run| view::surface(run, STEADY, Some(GUEST)).is_some())
        .map(|run| -> (BTreeSet<&str>, &Run) { (view::made(run, STEADY, GUEST), run) })
        .max_by_key(|(calls, _)| calls.len());
    let place = calls.as_ref().map_or_else(String::new, |(_, run)| {
        format!(" (most: {}, {})", run.workload, names::system(&run.system))
    });
    Target {
        title: format!("Any guest in service: at most 4 system calls used{place}"),
        unit: Unit::Calls,
        limit: 4.0,
        measured: match &calls {
            Some((calls, _)) => Ok(calls.len() as f64),
            None => Err("no steady state of a guest was measured".into()),
        },
        way: Vec::new(),
    }
    .in_the_way(|| {
        let calls = calls.map(|(calls, _)| calls).unwrap_or_default();
        calls.into_iter().map(|call| Way { call: call.into(), functions: Vec::new() }).collect()
    })
}

/// Against what the same number of calls reaches without a filter.
fn fewer(measurement: &Measurement, system: &str) -> Target {
    let run = |system: &str| {
        let missing = || not_measured(measurement, "fuzz", system);
        let run = measurement.fuzzed(system).ok_or_else(missing)?;
        let silent = || format!("nothing was recorded of {}", names::system(system));
        let role = (system != "native").then_some(GUEST);
        view::surface(run, "fuzz", role).ok_or_else(silent)?;
        Ok(run)
    };
    let measured = run("native").and_then(|native| {
        let run = run(system)?;
        let base = view::fuzz_base(native, run);
        let base = base.ok_or("the fuzzer told no progress without a filter")?;
        Ok(1.0 - view::fuzz_union(run, Some(GUEST)).len() as f64 / base as f64)
    });
    Target {
        title: format!(
            "Fuzzer, {}, guest: at least 98\u{a0}% fewer functions",
            names::system(system)
        ),
        unit: Unit::Fewer,
        limit: 0.98,
        measured,
        way: Vec::new(),
    }
    .in_the_way(|| {
        let run = measurement.fuzzed(system);
        run.map(|run| way(run, "fuzz", Some(GUEST))).unwrap_or_default()
    })
}

impl Target {
    /// Adds what is in the way, if it is missed.
    fn in_the_way(mut self, way: impl FnOnce() -> Vec<Way>) -> Self {
        if self.is_met() == Some(false) {
            self.way = way();
        }
        self
    }
}

/// A phase's functions by call.
fn way(run: &Run, phase: &str, role: Option<&str>) -> Vec<Way> {
    let calls = view::by_call(run, phase, role).into_iter();
    calls
        .map(|(call, view)| Way {
            call: call.into(),
            functions: view.functions.into_iter().map(str::to_owned).collect(),
        })
        .collect()
}

fn ours(measurement: &Measurement) -> impl Iterator<Item = &Run> {
    measurement.runs.iter().filter(|run| run.system.starts_with("nabla-"))
}

fn not_measured(measurement: &Measurement, workload: &str, system: &str) -> String {
    let why = measurement.why_missing(workload, system);
    format!("not measured: {workload} on {}: {why}", names::system(system))
}
