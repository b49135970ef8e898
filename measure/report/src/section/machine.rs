//! On what and with what it was measured.

use std::collections::BTreeSet;

use crate::document::{Block, Cell, Table, Text};
use crate::measurement::Measurement;
use crate::number;

/// What stands under the report's name.
pub(super) fn lead(measurement: &Measurement) -> Vec<Text> {
    let about = &measurement.about;
    let mut parts = Vec::new();
    if !about.date.is_empty() {
        parts.push(about.date.clone());
    }
    if !about.commit.is_empty() {
        parts.push(format!("revision {}", about.commit));
    }
    if !about.machine.is_empty() {
        parts.push(about.machine.clone());
    }
    let mut lead = vec![Text::of(
        "What a program in a unikernel, a container or a sandbox reaches of the kernel beneath it, \
         and what it costs. Made from raw samples; every picture names the command that repeats it.",
    )];
    if !parts.is_empty() {
        lead.push(Text::plain_of(parts.join(" · ")));
    }
    if about.quick {
        lead.push(Text::default().strong("Short form: few samples, rough figures."));
    }
    lead
}

pub(super) fn blocks(measurement: &Measurement) -> Vec<Block> {
    let about = &measurement.about;
    let mut table = Table::new("What the figures were measured on", &["What", "Value"]);
    let mut row = |what: &str, value: String| {
        let value: Cell = if value.is_empty() { Cell::absent() } else { value.into() };
        table.row(vec![what.into(), value]);
    };
    row("Processor", about.machine.clone());
    row("Processors", positive(u64::from(about.processors), number::count));
    row(
        "Memory",
        positive(about.memory_bytes, |bytes| {
            format!("{} GiB", number::value(bytes as f64 / f64::from(1 << 30)))
        }),
    );
    row("Kernel (speed, starts, memory)", about.host_kernel.clone());
    row("Kernel (functions, fuzzer)", kernels(measurement));
    row("Revision", about.commit.clone());
    row("Date", about.date.clone());
    row("Seed", about.seed.to_string());
    let mut versions = Table::new("Programs that took part", &["Program", "Version"]);
    for (program, version) in &about.versions {
        versions.row(vec![program.as_str().into(), version.as_str().into()]);
    }
    let mut blocks = vec![Block::Table(table)];
    blocks.push(if versions.rows.is_empty() {
        super::missing("versions of programs", "about.json has none")
    } else {
        Block::Table(versions)
    });
    blocks
}

fn positive(value: u64, say: impl Fn(u64) -> String) -> String {
    if value == 0 { String::new() } else { say(value) }
}

/// The kernels of the runs: one, if all is well.
fn kernels(measurement: &Measurement) -> String {
    let kernels: BTreeSet<String> = measurement
        .runs
        .iter()
        .chain(&measurement.fuzz)
        .map(|run| {
            let kernel = &run.kernel;
            let (traceable, calls) =
                (number::count(kernel.traceable.into()), number::count(kernel.calls.into()));
            format!(
                "{} ({}): {traceable} traceable functions, {calls} system calls",
                kernel.release, kernel.version
            )
        })
        .collect();
    kernels.into_iter().collect::<Vec<_>>().join("; ")
}
