//! What a fuzzer reaches of the kernel through each policy.

use surface::model::{Progress, Run};

use crate::document::{Block, Cell, Shown, Table, Text};
use crate::measurement::Measurement;
use crate::names::{self, Tone};
use crate::number;
use crate::plot::{Dot, Line, Lines, Picture};
use crate::view;

/// Whose policy it is.
const GUEST: &str = "guest";
const COMMAND: &str = "cargo xtask measure fuzz";

pub(super) fn blocks(measurement: &Measurement) -> Vec<Block> {
    let mut blocks = vec![Block::Paragraph(Text::of(
        "A program that is taken over makes the calls that an attacker wants. The same seeded \
         fuzzer, with plausible arguments, runs as an unprivileged user behind each policy: how \
         much of the kernel does it reach?",
    ))];
    let runs = view::fuzzed(measurement);
    blocks.extend(picture(&runs));
    if let Some(table) = table(&runs) {
        blocks.push(Block::Table(table));
    }
    for system in names::FUZZED {
        if measurement.fuzzed(system).is_none() {
            let why = measurement.why_missing("fuzz", system);
            blocks.push(super::missing(&format!("{}, fuzzed", names::system(system)), why));
        }
    }
    blocks
}

fn progress(run: &Run) -> impl Iterator<Item = &Progress> {
    // On a logarithmic axis there is no zero.
    view::phases(run, "fuzz")
        .into_iter()
        .flat_map(|phase| &phase.progress)
        .filter(|progress| progress.calls > 0)
}

fn picture(runs: &[&Run]) -> Option<Block> {
    let mut data =
        Table::new("Functions by calls made", &["System", "#Calls made", "#Functions reached"]);
    let mut lines = Vec::new();
    for run in runs {
        let name = names::system(&run.system);
        let mut dots = Vec::new();
        for progress in progress(run) {
            let (calls, functions) = (progress.calls, progress.functions);
            data.row(vec![
                name.into(),
                number::count(calls).into(),
                number::count(functions.into()).into(),
            ]);
            dots.push(Dot { x: calls as f64, y: f64::from(functions), spread: None });
        }
        if let Some(last) = dots.last() {
            let name = format!("{} {}", short(run), number::value(last.y));
            lines.push(Line { name, tone: Tone::of(&run.system), dots });
        }
    }
    if lines.is_empty() {
        return None;
    }
    Some(Block::Picture(Box::new(Shown {
        id: "fuzz".into(),
        title: "Kernel functions that a fuzzer has reached after so many calls".into(),
        caption: Text::of(
            "Interrupts left out. The number is what was reached at the end; a line that ends \
             early made fewer calls.",
        ),
        command: COMMAND.into(),
        plot: Picture::Lines(Lines {
            x: "system calls made (logarithmic)".into(),
            y: "functions reached".into(),
            log_x: true,
            log_y: false,
            marks: false,
            lines,
        }),
        data,
    })))
}

/// A name that has room beside a line.
fn short(run: &Run) -> &str {
    match run.system.as_str() {
        "native" => "no filter",
        "docker" => "Docker",
        other => names::system(other),
    }
}

fn table(runs: &[&Run]) -> Option<Table> {
    let mut table = Table::new(
        "Functions that the fuzzer reaches, against no filter",
        &[
            "System",
            "#Calls made",
            "#Functions",
            "#With its end and killing calls",
            "#Without a filter, after as many calls",
            "#Fewer than that",
        ],
    );
    let native = runs.iter().find(|run| run.system == "native");
    for run in runs {
        let guest = view::role_names(run, "fuzz").contains(GUEST).then_some(GUEST);
        for role in guest.map(Some).into_iter().chain([None]) {
            let Some(surface) = view::surface(run, "fuzz", role) else { continue };
            let all = view::fuzz_union(run, role).len();
            let base = native.and_then(|native| view::fuzz_base(native, run));
            let base = base.filter(|_| run.system != "native");
            let fewer = base.map(|base| number::percent(1.0 - all as f64 / base as f64));
            let name = match (run.system.as_str(), role) {
                ("native", _) => "no filter".to_owned(),
                (system, Some(role)) => format!("{}, {role} alone", names::system(system)),
                (system, None) => names::system(system).to_owned(),
            };
            let made = view::fuzz_calls(run);
            table.row(vec![
                name.into(),
                made.map_or_else(Cell::absent, |made| number::count(made).into()),
                number::size(surface.union.len()).into(),
                number::size(all).into(),
                base.map_or_else(Cell::absent, |base| number::size(base).into()),
                fewer.map_or_else(Cell::absent, Into::into),
            ]);
        }
    }
    (!table.rows.is_empty()).then_some(table)
}
