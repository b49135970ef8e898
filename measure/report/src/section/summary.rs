//! What came out, held against what was to be reached.

use crate::document::{Block, Cell, Mood, Shown, Table, Text};
use crate::measurement::Measurement;
use crate::names::{self, Tone};
use crate::number;
use crate::plot::{Bars, Group, Picture, Row};
use crate::target::{Target, Unit, Way, targets};
use crate::view;

pub(super) fn blocks(measurement: &Measurement) -> Vec<Block> {
    let targets = targets(measurement);
    let mut blocks = vec![Block::Paragraph(verdict(&targets))];
    blocks.extend(picture(measurement));
    blocks.push(Block::Table(table(&targets)));
    blocks.extend(in_the_way(&targets));
    blocks
}

fn verdict(targets: &[Target]) -> Text {
    let count = |wanted| targets.iter().filter(|target| target.is_met() == wanted).count();
    let (met, missed, unknown) = (count(Some(true)), count(Some(false)), count(None));
    Text::default()
        .strong(format!("{met} of {} targets are met, {missed} are missed", targets.len()))
        .then(&match unknown {
            0 => ".".to_string(),
            unknown => format!(", and {unknown} could not be told, as something was not measured."),
        })
}

/// The one picture that says most: httpd at work, on everything.
fn picture(measurement: &Measurement) -> Option<Block> {
    let mut data = Table::new("Kernel functions, httpd at work", &["System", "#Functions"]);
    let mut rows = Vec::new();
    for run in view::of_workload(measurement, "httpd") {
        let Some(surface) = view::surface(run, "steady", None) else { continue };
        let mut add = |label: String, functions: usize, limit: Option<f64>| {
            data.row(vec![label.as_str().into(), number::size(functions).into()]);
            rows.push(Row {
                label,
                tone: Tone::of(&run.system),
                value: functions as f64,
                text: number::size(functions),
                ring: None,
                limit,
                spread: None,
            });
        };
        let label = names::system(&run.system);
        let guest = view::surface(run, "steady", Some("guest"));
        match guest.filter(|_| view::role_names(run, "steady").len() > 1) {
            Some(guest) => {
                let limit = (run.system == "nabla-ring").then_some(110.0);
                add(format!("{label}, guest"), guest.union.len(), limit);
                add(format!("{label}, all"), surface.union.len(), None);
            }
            None => {
                let limit = (run.system == "nabla-tap").then_some(250.0);
                add(label.to_string(), surface.union.len(), limit);
            }
        }
    }
    if rows.is_empty() {
        return None;
    }
    Some(Block::Picture(Box::new(Shown {
        id: "summary".into(),
        title: "Kernel functions that a web server reaches while it works".into(),
        caption: Text::of(
            "Different functions in 100 requests over 10 connections, interrupt work left out, \
             any of the repeats. Dashed: the target. `guest` is the unikernel's process alone, \
             `all` has the gateway and the supervisor in it.",
        ),
        command: "cargo xtask measure surface".into(),
        plot: Picture::Bars(Bars {
            groups: vec![Group { title: String::new(), rows }],
            apart: false,
        }),
        data,
    })))
}

fn table(targets: &[Target]) -> Table {
    let mut table = Table::new("Targets, at work unless said", &["Target", "#Measured", "Result"]);
    for target in targets {
        let mut cells = vec![target.title.as_str().into()];
        match &target.measured {
            Ok(measured) => {
                cells.push(value(target.unit, *measured).into());
                cells.push(result(target, *measured));
            }
            Err(why) => {
                cells.push(Cell::absent());
                cells.push(Cell::felt(why.as_str(), Mood::Absent));
            }
        }
        table.row(cells);
    }
    table
}

fn value(unit: Unit, value: f64) -> String {
    match unit {
        Unit::Functions | Unit::Calls => number::value(value),
        Unit::Share | Unit::Fewer => number::percent(value),
    }
}

fn result(target: &Target, measured: f64) -> Cell {
    let gap = (measured - target.limit).abs();
    let gap = match target.unit {
        Unit::Functions | Unit::Calls => number::value(gap),
        // As differences of what the table shows, which is rounded.
        Unit::Share | Unit::Fewer => {
            let tenths = |share: f64| (share * 1000.0).round();
            let points = (tenths(measured) - tenths(target.limit)).abs() / 10.0;
            format!("{points:.1} points")
        }
    };
    match target.is_met() {
        Some(true) => Cell::felt(format!("✓ met, {gap} to spare"), Mood::Good),
        _ => Cell::felt(format!("✗ missed by {gap}"), Mood::Bad),
    }
}

/// The functions in the way, once for all targets that have the same.
fn in_the_way(targets: &[Target]) -> Vec<Block> {
    let mut groups: Vec<(Vec<&str>, &[Way])> = Vec::new();
    for target in targets.iter().filter(|target| target.is_met() == Some(false)) {
        match groups.iter_mut().find(|(_, way)| *way == target.way) {
            Some((titles, _)) => titles.push(&target.title),
            None => groups.push((vec![&target.title], &target.way)),
        }
    }
    let blocks = groups.into_iter().map(|(titles, way)| {
        let items = way.iter().map(|way| {
            let text = Text::default().code(way.call.as_str());
            match way.functions.len() {
                0 => text,
                count => {
                    text.then(&format!(", {}: ", number::size(count))).code(way.functions.join(" "))
                }
            }
        });
        Block::Folded {
            summary: format!("In the way, by system call: {}", titles.join("; ")),
            blocks: vec![Block::List(items.collect())],
        }
    });
    blocks.collect()
}
