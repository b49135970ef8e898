//! What two systems have in common, and what each has alone.

use crate::document::{Block, Cell, Shown, Table, Text};
use crate::measurement::Measurement;
use crate::names::{self, Tone};
use crate::number;
use crate::plot::{Picture, Side, Sides};
use crate::view;

/// Ours, and with whom they are compared.
const OURS: [&str; 2] = ["nabla-tap", "nabla-ring"];
const RIVALS: [&str; 4] = ["runc", "gvisor", "native", "solo5-tap"];

/// A pair under a workload.
struct Pair<'a> {
    workload: &'a str,
    ours: &'a str,
    theirs: &'a str,
    ours_alone: Vec<&'a str>,
    both: usize,
    theirs_alone: Vec<&'a str>,
}

pub(super) fn blocks(measurement: &Measurement) -> Vec<Block> {
    let mut blocks = vec![Block::Paragraph(Text::of(
        "A smaller number could still be made of other functions. Here is what is behind the numbers: \
         functions that only ours reach, that both do, and that only the others do, at work.",
    ))];
    let pairs = pairs(measurement);
    if pairs.is_empty() {
        blocks.push(super::missing("pairs", "no two systems ran under the same workload"));
        return blocks;
    }
    blocks.push(picture(&pairs));
    blocks.push(Block::Folded {
        summary: "By name, pair by pair".into(),
        blocks: pairs.iter().map(lists).collect(),
    });
    blocks
}

fn pairs(measurement: &Measurement) -> Vec<Pair<'_>> {
    let mut pairs = Vec::new();
    for workload in view::workloads(measurement) {
        for (ours, theirs) in OURS.iter().flat_map(|ours| RIVALS.map(|theirs| (*ours, theirs))) {
            // Solo5's tender has no rings.
            if (ours, theirs) == ("nabla-ring", "solo5-tap") {
                continue;
            }
            let surface =
                |system| view::surface(measurement.run(workload, system)?, "steady", None);
            let (Some(one), Some(other)) = (surface(ours), surface(theirs)) else { continue };
            pairs.push(Pair {
                workload,
                ours,
                theirs,
                ours_alone: one.union.difference(&other.union).copied().collect(),
                both: one.union.intersection(&other.union).count(),
                theirs_alone: other.union.difference(&one.union).copied().collect(),
            });
        }
    }
    pairs
}

impl Pair<'_> {
    fn title(&self) -> String {
        format!("{} · {}", names::system(self.ours), names::system(self.theirs))
    }
}

fn picture(pairs: &[Pair<'_>]) -> Block {
    let mut data = Table::new(
        "Functions at work, in common and alone",
        &["Workload", "Ours", "Theirs", "#Ours alone", "#Both", "#Theirs alone"],
    );
    let mut groups: Vec<(String, Vec<Side>)> = Vec::new();
    for pair in pairs {
        data.row(vec![
            Cell::code(pair.workload),
            names::system(pair.ours).into(),
            names::system(pair.theirs).into(),
            number::size(pair.ours_alone.len()).into(),
            number::size(pair.both).into(),
            number::size(pair.theirs_alone.len()).into(),
        ]);
        let title = names::workload(pair.workload);
        if groups.last().is_none_or(|(last, _)| last != title) {
            groups.push((title.into(), Vec::new()));
        }
        let side = Side {
            label: pair.title(),
            ours_tone: Tone::of(pair.ours),
            theirs_tone: Tone::of(pair.theirs),
            ours: pair.ours_alone.len(),
            both: pair.both,
            theirs: pair.theirs_alone.len(),
        };
        groups.last_mut().expect("a group was just made").1.push(side);
    }
    Block::Picture(Box::new(Shown {
        id: "alone".into(),
        title: "Functions that only ours reach, that both do, and that only theirs do".into(),
        caption: Text::of(
            "From the left of each bar: ours alone, both, theirs alone. The line is where the \
             common part begins. All processes of a system, interrupts left out.",
        ),
        command: "cargo xtask measure surface".into(),
        plot: Picture::Sides(Sides { groups }),
        data,
    }))
}

fn lists(pair: &Pair<'_>) -> Block {
    let list = |name: &str, functions: &[&str]| {
        let text = Text::plain_of(format!("{name}, {}", number::size(functions.len())));
        match functions {
            [] => text,
            functions => text.then(": ").code(functions.join(" ")),
        }
    };
    Block::Folded {
        summary: format!("{}: {}", pair.workload, pair.title()),
        blocks: vec![Block::List(vec![
            list("Ours alone", &pair.ours_alone),
            list("Theirs alone", &pair.theirs_alone),
        ])],
    }
}
