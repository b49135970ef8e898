//! The horizontal attack profile: functions weighed by their machine code.

use std::collections::{BTreeMap, BTreeSet};

use surface::model::{Code, KernelCode, Run};

use crate::document::{Block, Cell, Shown, Table, Text};
use crate::measurement::Measurement;
use crate::names::{self, Tone};
use crate::number;
use crate::plot::{Bars, Group, Picture, Row};
use crate::view;

/// How many functions are named.
const HEAVIEST: usize = 20;

/// A weight of code.
#[derive(Clone, Copy)]
struct Measure {
    id: &'static str,
    title: &'static str,
    of: fn(&Code) -> u64,
}

const COMPLEXITY: Measure = Measure {
    id: "weight-complexity",
    title: "Decision points of the functions reached at work",
    of: |code| u64::from(code.complexity),
};
const BYTES: Measure = Measure {
    id: "weight-bytes",
    title: "Bytes of machine code of the functions reached at work",
    of: |code| u64::from(code.bytes),
};

pub(super) fn blocks(measurement: &Measurement) -> Vec<Block> {
    let mut blocks = vec![Block::Paragraph(Text::of(
        "A function of ten lines and one of a thousand are not the same risk. So each is weighed, by \
         the size of its machine code, and by its cyclomatic complexity (McCabe: decision points in \
         the machine code, and one). Both are read from the kernel that was measured.",
    ))];
    let Some(code) = &measurement.code else {
        let why = measurement.about.missing.get("kernel");
        let why = why.map_or("there is no result of the kernel's code", String::as_str);
        blocks.push(super::missing("weights", why));
        return blocks;
    };
    let pictures =
        [COMPLEXITY, BYTES].into_iter().filter_map(|measure| picture(measurement, code, measure));
    blocks.extend(pictures);
    blocks.extend(fuzzed(measurement, code));
    blocks.extend(heaviest(measurement, code));
    blocks.push(Block::Paragraph(
        Text::of("Code of package ").code(format!("linux-image-{}", code.release)).then(&format!(
            ": {} functions, {} bytes, {} decision points in all.",
            number::size(code.functions.len()),
            number::count(code.functions.values().map(BYTES.of).sum()),
            number::count(code.functions.values().map(COMPLEXITY.of).sum()),
        )),
    ));
    blocks
}

/// The weight of functions, and how many of them have none as their code is not known.
fn weigh(code: &KernelCode, functions: &BTreeSet<&str>, measure: Measure) -> (u64, usize) {
    let mut unknown = 0;
    let mut sum = 0;
    for function in functions {
        match code.functions.get(*function) {
            Some(code) => sum += (measure.of)(code),
            None => unknown += 1,
        }
    }
    (sum, unknown)
}

fn picture(measurement: &Measurement, code: &KernelCode, measure: Measure) -> Option<Block> {
    let mut data = Table::new(
        measure.title,
        &["Workload", "System", "#Functions", "#Weight", "#Without known code"],
    );
    let mut groups = Vec::new();
    for workload in view::workloads(measurement) {
        let mut rows = Vec::new();
        for run in view::of_workload(measurement, workload) {
            let Some(surface) = view::surface(run, "steady", None) else { continue };
            let (sum, unknown) = weigh(code, &surface.union, measure);
            data.row(vec![
                Cell::code(workload),
                names::system(&run.system).into(),
                number::size(surface.union.len()).into(),
                number::count(sum).into(),
                number::size(unknown).into(),
            ]);
            rows.push(Row {
                label: names::system(&run.system).into(),
                tone: Tone::of(&run.system),
                value: sum as f64,
                text: number::count(sum),
                ring: None,
                limit: None,
                spread: None,
            });
        }
        if !rows.is_empty() {
            groups.push(Group { title: names::workload(workload).into(), rows });
        }
    }
    if groups.is_empty() {
        return None;
    }
    Some(Block::Picture(Box::new(Shown {
        id: measure.id.into(),
        title: measure.title.into(),
        caption: Text::of(
            "Sum over the functions that a system reaches at work, interrupts left out.",
        ),
        command: "cargo xtask measure surface".into(),
        plot: Picture::Bars(Bars { groups, apart: false }),
        data,
    })))
}

fn fuzzed(measurement: &Measurement, code: &KernelCode) -> Option<Block> {
    let mut table = Table::new(
        "Weight of what the fuzzer reaches",
        &["System", "#Functions", "#Decision points", "#Bytes"],
    );
    for run in view::fuzzed(measurement) {
        let Some(surface) = view::surface(run, "fuzz", None) else { continue };
        table.row(vec![
            names::system(&run.system).into(),
            number::size(surface.union.len()).into(),
            number::count(weigh(code, &surface.union, COMPLEXITY).0).into(),
            number::count(weigh(code, &surface.union, BYTES).0).into(),
        ]);
    }
    (!table.rows.is_empty()).then_some(Block::Table(table))
}

/// The most complex functions of httpd at work: of all systems, and of ours.
fn heaviest(measurement: &Measurement, code: &KernelCode) -> Vec<Block> {
    let runs: Vec<(&Run, BTreeSet<&str>)> = view::of_workload(measurement, "httpd")
        .into_iter()
        .filter_map(|run| Some((run, view::surface(run, "steady", None)?.union)))
        .collect();
    let ours = |run: &Run| run.system.starts_with("nabla-");
    let of = |title: String, wanted: &dyn Fn(&Run) -> bool| {
        let reached: BTreeSet<&str> =
            runs.iter().filter(|(run, _)| wanted(run)).flat_map(|(_, set)| set).copied().collect();
        table(title, &reached, &runs, &code.functions)
    };
    let tables = [
        of(
            format!("The {HEAVIEST} most complex functions that httpd's systems reach at work"),
            &|_| true,
        ),
        of(format!("The {HEAVIEST} most complex that ours reach"), &ours),
    ];
    tables.into_iter().filter(|table| !table.rows.is_empty()).map(Block::Table).collect()
}

fn table(
    title: String,
    reached: &BTreeSet<&str>,
    runs: &[(&Run, BTreeSet<&str>)],
    code: &BTreeMap<String, Code>,
) -> Table {
    let mut columns = vec!["Function".to_string(), "#Decision points".into(), "#Bytes".into()];
    columns.extend(runs.iter().map(|(run, _)| names::system(&run.system).to_string()));
    let columns: Vec<&str> = columns.iter().map(String::as_str).collect();
    let mut table = Table::new(title, &columns);
    let mut heaviest: Vec<(&str, &Code)> =
        reached.iter().filter_map(|function| Some((*function, code.get(*function)?))).collect();
    heaviest.sort_by_key(|(name, code)| (std::cmp::Reverse((code.complexity, code.bytes)), *name));
    for (name, code) in heaviest.into_iter().take(HEAVIEST) {
        let mut row = vec![
            Cell::code(name),
            number::count(code.complexity.into()).into(),
            number::count(code.bytes.into()).into(),
        ];
        row.extend(runs.iter().map(|(_, functions)| match functions.contains(name) {
            true => Cell::from("yes"),
            false => Cell::absent(),
        }));
        table.row(row);
    }
    table
}
