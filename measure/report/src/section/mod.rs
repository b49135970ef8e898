//! The sections of the report, a file for each: what is said, with which numbers.

mod alone;
mod calls;
mod fuzz;
mod machine;
mod method;
mod performance;
mod policy;
mod summary;
mod surface;
mod vulnerability;
mod weight;

use crate::document::{Block, Document, Section, Text};
use crate::measurement::Measurement;
use crate::names;

/// The whole document.
pub(crate) fn document(measurement: &Measurement) -> Document {
    let sections = [
        ("summary", "Summary", summary::blocks(measurement)),
        ("machine", "Machine and versions", machine::blocks(measurement)),
        ("steady", "Kernel functions at work", surface::steady(measurement)),
        ("start", "Kernel functions of a start and an end", surface::start(measurement)),
        ("functions", "Functions by system call", calls::blocks(measurement)),
        ("alone", "Ours alone, theirs alone", alone::blocks(measurement)),
        ("calls", "System calls permitted and used", policy::blocks(measurement)),
        ("fuzz", "Under the fuzzer", fuzz::blocks(measurement)),
        ("weight", "Weighed by code", weight::blocks(measurement)),
        ("cve", "Published vulnerabilities", vulnerability::blocks(measurement)),
        ("performance", "Speed, starts and memory", performance::blocks(measurement)),
        ("method", "How it was measured", method::blocks(measurement)),
        ("repeat", "How to repeat it", method::repeat(measurement)),
    ];
    let sections = sections.map(|(id, title, mut blocks)| {
        for remark in measurement.about.remarks.get(id).into_iter().flatten() {
            blocks.push(Block::Paragraph(Text::plain_of(remark)));
        }
        Section { id: id.into(), title: title.into(), blocks }
    });
    Document {
        title: "Nabla: what was measured".into(),
        lead: machine::lead(measurement),
        sections: sections.into(),
    }
}

/// What is not there of a workload or a part, with the reason.
fn missing(what: &str, why: &str) -> Block {
    Block::Missing(Text::plain_of(format!("Not measured: {what}: {why}.")))
}

/// Systems that should have been measured under workloads and were not.
fn missing_runs(measurement: &Measurement, workloads: &[&str]) -> Vec<Block> {
    let mut items = Vec::new();
    for workload in workloads {
        for system in names::SYSTEMS {
            if names::is_expected(workload, system) && measurement.run(workload, system).is_none() {
                let why = measurement.why_missing(workload, system);
                items.push((names::system(system), *workload, why.to_string()));
            }
        }
    }
    grouped(items)
}

/// Systems, each with its workloads.
type Systems<'a> = Vec<(&'a str, Vec<&'a str>)>;

/// For each reason the systems, each with its workloads.
fn grouped(items: Vec<(&str, &str, String)>) -> Vec<Block> {
    let mut reasons: Vec<(String, Systems<'_>)> = Vec::new();
    for (system, workload, why) in items {
        let at = reasons.iter().position(|(reason, _)| *reason == why).unwrap_or_else(|| {
            reasons.push((why, Vec::new()));
            reasons.len() - 1
        });
        let systems = &mut reasons[at].1;
        match systems.iter_mut().find(|(name, _)| *name == system) {
            Some((_, workloads)) => workloads.push(workload),
            None => systems.push((system, vec![workload])),
        }
    }
    let line = |(why, systems): (String, Systems<'_>)| {
        let systems = systems.into_iter();
        let systems: Vec<String> = systems
            .map(|(system, workloads)| format!("{system} ({})", workloads.join(", ")))
            .collect();
        missing(&systems.join("; "), &why)
    };
    reasons.into_iter().map(line).collect()
}
