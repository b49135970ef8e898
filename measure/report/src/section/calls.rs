//! Which system calls the functions belong to.

use std::collections::{BTreeMap, BTreeSet};

use surface::model::Run;

use crate::document::{Block, Cell, Shown, Table, Text};
use crate::measurement::Measurement;
use crate::names::{self, Tone};
use crate::number;
use crate::plot::{Picture, Segment, Stack, StackRow};
use crate::view;

/// Parts of a bar that have a name of their own.
const PARTS: usize = 7;

pub(super) fn blocks(measurement: &Measurement) -> Vec<Block> {
    let mut blocks = vec![Block::Paragraph(Text::of(
        "A function that only one system call reaches would go with it. What several reach (entry \
         and exit, seccomp, the scheduler, locks) is shared, and drawn hollow. Names in brackets are \
         other ways into the kernel, such as `(page fault)`.",
    ))];
    let before = blocks.len();
    for workload in view::workloads(measurement) {
        blocks.extend(picture(measurement, workload));
    }
    for workload in view::workloads(measurement) {
        let lists: Vec<Block> =
            view::of_workload(measurement, workload).into_iter().filter_map(list).collect();
        if !lists.is_empty() {
            blocks.push(Block::Folded {
                summary: format!("All functions by system call, {workload} at work"),
                blocks: lists,
            });
        }
    }
    if blocks.len() == before {
        blocks.push(super::missing("functions by system call", "no run has a steady state"));
    }
    blocks
}

/// The functions that each call alone reaches, the largest first, and those that several do.
pub(super) struct Parts<'a> {
    pub(super) alone: Vec<(&'a str, BTreeSet<&'a str>)>,
    pub(super) shared: BTreeSet<&'a str>,
}

impl<'a> Parts<'a> {
    fn of(run: &'a Run, phase: &str) -> Option<Self> {
        let calls = view::by_call(run, phase, None);
        if calls.is_empty() {
            return None;
        }
        let mut reached = BTreeMap::<&str, usize>::new();
        for function in calls.values().flat_map(|call| &call.functions) {
            *reached.entry(function).or_default() += 1;
        }
        let shared = reached.iter().filter(|(_, by)| **by > 1).map(|(name, _)| *name).collect();
        let mut alone: Vec<(&str, BTreeSet<&str>)> = calls
            .into_iter()
            .map(|(call, mut view)| {
                view.functions.retain(|function| reached[function] == 1);
                (call, view.functions)
            })
            .collect();
        alone.sort_by_key(|(call, functions)| (std::cmp::Reverse(functions.len()), *call));
        Some(Parts { alone, shared })
    }
}

fn picture(measurement: &Measurement, workload: &str) -> Option<Block> {
    let mut data = Table::new(
        format!("Functions by system call, {workload} at work"),
        &["System", "System call", "#Its alone", "#All of it"],
    );
    let mut rows = Vec::new();
    for run in view::of_workload(measurement, workload) {
        let Some(parts) = Parts::of(run, "steady") else { continue };
        let label = names::system(&run.system);
        let all = view::by_call(run, "steady", None);
        for (call, functions) in &parts.alone {
            data.row(vec![
                label.into(),
                Cell::code(*call),
                number::size(functions.len()).into(),
                number::size(all[call].functions.len()).into(),
            ]);
        }
        let shared = number::size(parts.shared.len());
        data.row(vec![label.into(), "several calls".into(), shared.into(), Cell::absent()]);
        rows.push(StackRow {
            label: label.into(),
            tone: Tone::of(&run.system),
            segments: segments(&parts),
        });
    }
    if rows.is_empty() {
        return None;
    }
    Some(Block::Picture(Box::new(Shown {
        id: format!("functions-{}", crate::escape::slug(workload)),
        title: format!("Functions by system call, {workload} at work"),
        caption: Text::of(
            "Each part: functions that no other call of the system reaches. Hollow: those that \
             several calls do. Interrupts left out.",
        ),
        command: "cargo xtask measure surface".into(),
        plot: Picture::Stack(Stack { rows }),
        data,
    })))
}

fn segments(parts: &Parts<'_>) -> Vec<Segment> {
    let count = |functions: &BTreeSet<&str>| functions.len() as u32;
    let shared = Segment { name: "several".into(), value: count(&parts.shared), shared: true };
    let named = parts.alone.iter().take(PARTS).map(|(call, functions)| Segment {
        name: (*call).into(),
        value: count(functions),
        shared: false,
    });
    let others = parts.alone.get(PARTS..).unwrap_or_default();
    let rest = Segment {
        name: format!("{} others", others.len()),
        value: others.iter().map(|(_, functions)| count(functions)).sum(),
        shared: false,
    };
    let all = [shared].into_iter().chain(named).chain([rest]);
    all.filter(|segment| segment.value > 0).collect()
}

fn list(run: &Run) -> Option<Block> {
    let parts = Parts::of(run, "steady")?;
    let line = |name: Text, functions: &BTreeSet<&str>| {
        let names: Vec<&str> = functions.iter().copied().collect();
        name.then(&format!(", {}: ", number::size(names.len()))).code(names.join(" "))
    };
    let mut items = vec![line(Text::plain_of("several calls"), &parts.shared)];
    let alone = parts.alone.iter().filter(|(_, functions)| !functions.is_empty());
    items.extend(alone.map(|(call, functions)| line(Text::default().code(*call), functions)));
    items.retain(|item| !item.plain().ends_with(": "));
    Some(Block::Folded {
        summary: names::system(&run.system).into(),
        blocks: vec![Block::List(items)],
    })
}
