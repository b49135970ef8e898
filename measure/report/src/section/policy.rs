//! Which system calls are permitted, and which are made.

use std::collections::{BTreeMap, BTreeSet};

use surface::model::{Permitted, Run};

use crate::document::{Block, Cell, Shown, Table, Text};
use crate::measurement::Measurement;
use crate::names::{self, Tone};
use crate::number;
use crate::plot::{Bars, Group, Picture, Row};
use crate::view;

pub(super) fn blocks(measurement: &Measurement) -> Vec<Block> {
    let mut blocks = vec![Block::Paragraph(Text::of(
        "Permitted is what the filters let pass that were really installed, read from the processes \
         themselves. Used is what was made at work. A filter's answer may depend on arguments or on \
         the place of the call: such calls are counted as permitted, and are named apart.",
    ))];
    match picture(measurement) {
        Some(picture) => blocks.push(picture),
        None => blocks.push(super::missing("policies", "no run has read any")),
    }
    for workload in view::workloads(measurement) {
        blocks.extend(counts(measurement, workload));
    }
    blocks.extend(lists(measurement));
    blocks
}

/// How many calls of a policy depend on arguments.
fn conditional(calls: &[Permitted]) -> usize {
    calls.iter().filter(|call| call.conditional).count()
}

/// The calls that a role makes at work.
fn used<'a>(run: &'a Run, role: &'a str) -> BTreeSet<&'a str> {
    view::made(run, "steady", role)
}

fn picture(measurement: &Measurement) -> Option<Block> {
    let mut data = Table::new(
        "System calls permitted and used at work",
        &["Workload", "System", "Role", "#Filters", "#Permitted", "#Of these conditional", "#Used"],
    );
    let mut groups = Vec::new();
    for workload in view::workloads(measurement) {
        let mut rows = Vec::new();
        for run in view::of_workload(measurement, workload) {
            for policy in &run.policies {
                let all = policy.filters == 0;
                let permitted = if all { run.kernel.calls as usize } else { policy.calls.len() };
                let conditional = conditional(&policy.calls);
                let steady = view::surface(run, "steady", Some(&policy.role)).is_some();
                let used = steady.then(|| used(run, &policy.role).len());
                data.row(vec![
                    Cell::code(workload),
                    names::system(&run.system).into(),
                    policy.role.as_str().into(),
                    number::count(policy.filters.into()).into(),
                    number::size(permitted).into(),
                    number::size(conditional).into(),
                    used.map_or_else(Cell::absent, |used| number::size(used).into()),
                ]);
                let text = match used {
                    Some(used) => {
                        format!("{}, {} used", number::size(permitted), number::size(used))
                    }
                    None => number::size(permitted),
                };
                rows.push(Row {
                    label: format!("{}, {}", names::system(&run.system), policy.role),
                    tone: Tone::of(&run.system),
                    value: permitted as f64,
                    text,
                    ring: None,
                    limit: None,
                    spread: None,
                });
            }
        }
        // Policies differ little between workloads: the table has them all.
        if groups.is_empty() && !rows.is_empty() {
            groups.push(Group { title: names::workload(workload).into(), rows });
        }
    }
    groups.extend(references(measurement, &mut data));
    if groups.is_empty() {
        return None;
    }
    Some(Block::Picture(Box::new(Shown {
        id: "permitted".into(),
        title: "System calls that are permitted".into(),
        caption: Text::of(
            "Each role of each system under one workload; the data has all of them. Without a \
             filter, all of the kernel's.",
        ),
        command: "cargo xtask measure syscalls".into(),
        plot: Picture::Bars(Bars { groups, apart: false }),
        data,
    })))
}

/// Published policies.
fn references(measurement: &Measurement, data: &mut Table) -> Option<Group> {
    let rows = measurement.references.iter().map(|reference| {
        let permitted = number::size(reference.calls.len());
        data.row(vec![
            Cell::absent(),
            Text::default().link(names::system(&reference.system), &reference.source).into(),
            "published".into(),
            Cell::absent(),
            permitted.as_str().into(),
            number::size(conditional(&reference.calls)).into(),
            Cell::absent(),
        ]);
        Row {
            label: names::system(&reference.system).into(),
            tone: Tone::of(&reference.system),
            value: reference.calls.len() as f64,
            text: permitted,
            ring: None,
            limit: None,
            spread: None,
        }
    });
    let rows: Vec<Row> = rows.collect();
    (!rows.is_empty()).then(|| Group { title: "as published".into(), rows })
}

/// How often each call is made, for each request.
fn counts(measurement: &Measurement, workload: &str) -> Option<Block> {
    let runs: Vec<&Run> = view::of_workload(measurement, workload)
        .into_iter()
        .filter(|run| !view::phases(run, "steady").is_empty())
        .collect();
    if runs.is_empty() {
        return None;
    }
    let requests: Vec<u64> = runs.iter().map(|run| view::requests(run, "steady")).collect();
    let by_request = requests.iter().all(|requests| *requests > 0);
    let unit = if by_request { "for each request" } else { "in all repeats" };
    let heads = runs.iter().map(|run| format!("#{}", names::system(&run.system)));
    let columns: Vec<String> = ["System call".to_string()].into_iter().chain(heads).collect();
    let columns: Vec<&str> = columns.iter().map(String::as_str).collect();
    let mut table = Table::new(format!("Calls made at work {unit}, {workload}"), &columns);
    let views: Vec<_> = runs.iter().map(|run| view::by_call(run, "steady", None)).collect();
    let mut totals = BTreeMap::<&str, u64>::new();
    for (call, view) in views.iter().flatten().filter(|(call, _)| view::is_call(call)) {
        *totals.entry(call).or_default() += view.count;
    }
    let mut calls: Vec<(&str, u64)> = totals.into_iter().collect();
    calls.sort_by_key(|(call, count)| (std::cmp::Reverse(*count), *call));
    for (call, _) in calls {
        let mut row = vec![Cell::code(call)];
        for (view, requests) in views.iter().zip(&requests) {
            let count = view.get(call).map_or(0, |view| view.count);
            row.push(match count {
                0 => Cell::absent(),
                count if by_request => number::value(count as f64 / *requests as f64).into(),
                count => number::count(count).into(),
            });
        }
        table.row(row);
    }
    Some(Block::Table(table))
}

/// The names of what is permitted.
fn lists(measurement: &Measurement) -> Option<Block> {
    let mut seen = BTreeSet::new();
    let mut items = Vec::new();
    let named = |who: String, calls: &[Permitted]| {
        let of = |conditional: bool| -> String {
            let calls = calls.iter().filter(|call| call.conditional == conditional);
            calls.map(|call| call.name.as_str()).collect::<Vec<_>>().join(" ")
        };
        let mut text = Text::plain_of(format!("{who}, {}", number::size(calls.len())));
        for (head, names) in [(": always ", of(false)), ("; conditionally ", of(true))] {
            if !names.is_empty() {
                text = text.then(head).code(names);
            }
        }
        text
    };
    for workload in view::workloads(measurement) {
        for run in view::of_workload(measurement, workload) {
            for policy in run.policies.iter().filter(|policy| policy.filters > 0) {
                let who = format!("{}, {}", names::system(&run.system), policy.role);
                if seen.insert((who.clone(), policy.calls.clone())) {
                    items.push(named(format!("{workload}: {who}"), &policy.calls));
                }
            }
        }
    }
    for reference in &measurement.references {
        items.push(named(names::system(&reference.system).into(), &reference.calls));
    }
    (!items.is_empty()).then(|| Block::Folded {
        summary: "What is permitted, by name".into(),
        blocks: vec![Block::List(items)],
    })
}
