//! Figures of speed, starts and memory, whatever they are: of each its samples' median and spread.

use std::collections::BTreeSet;

use crate::document::{Block, Cell, Shown, Table, Text};
use crate::escape;
use crate::figure::{Better, Figure, Point, Series, Summary};
use crate::measurement::Measurement;
use crate::names::{self, Tone};
use crate::number;
use crate::plot::lines::is_wide;
use crate::plot::{Bars, Dot, Group, Line, Lines, Picture, Row, Spread};

/// Kinds of figures in order: the first word of their names.
const KINDS: [&str; 7] = ["http", "kv", "udp", "block", "start", "memory", "density"];

/// More samples than these are not drawn each.
const DRAWN: usize = 40;

pub(super) fn blocks(measurement: &Measurement) -> Vec<Block> {
    let mut blocks = vec![Block::Paragraph(Text::of(
        "On the machine itself, not under emulation. Rivals take turns in one run. A number is the \
         median of its samples; the thick line goes from the first quartile to the third, and thin \
         ones are the samples.",
    ))];
    if measurement.figures.is_empty() {
        let why = measurement.about.missing.get("figures");
        let why = why.map_or("there are no results of these", String::as_str);
        blocks.push(super::missing("speed, starts and memory", why));
    }
    let mut figures: Vec<&Figure> = measurement.figures.iter().collect();
    figures.sort_by_key(|figure| {
        let kind = figure.id.split('-').next().unwrap_or_default();
        (names::rank(&KINDS, kind), &figure.id)
    });
    let mut seen = BTreeSet::new();
    for (at, figure) in figures.into_iter().enumerate() {
        let mut id = format!("figure-{}", escape::slug(&figure.id));
        if !seen.insert(id.clone()) {
            id = format!("{id}-again-{at}");
        }
        blocks.push(picture(figure, id));
        let targets = figure.targets.iter().map(|target| format!("Target: {target}"));
        let notes: Vec<Text> =
            targets.chain(figure.notes.iter().cloned()).map(Text::plain_of).collect();
        if !notes.is_empty() {
            blocks.push(Block::List(notes));
        }
    }
    blocks
}

fn picture(figure: &Figure, id: String) -> Block {
    let better = match figure.better {
        Better::Lower => "less is better",
        Better::Higher => "more is better",
    };
    let plot = match &figure.x {
        Some(x) => lines(figure, x),
        None => bars(figure),
    };
    let scales = match &plot {
        Picture::Bars(bars) if bars.apart => " Each group has a scale of its own.",
        _ => "",
    };
    Block::Picture(Box::new(Shown {
        id,
        title: figure.title.clone(),
        caption: Text::plain_of(format!("In {}; {better}.{scales}", figure.unit)),
        command: figure.command.clone(),
        plot,
        data: table(figure),
    }))
}

fn table(figure: &Figure) -> Table {
    let place = figure.x.as_deref().unwrap_or("Of");
    let place = if figure.x.is_some() { format!("#{place}") } else { place.into() };
    let mut table = Table::new(
        format!("{} ({})", figure.title, figure.unit),
        &["Series", &place, "#Median", "#First quartile", "#Third quartile", "#Samples"],
    );
    for (series, point) in points(figure) {
        let mut row = vec![series.name.as_str().into(), place_of(point)];
        match point.summary() {
            Some(Summary { median, lower, upper, samples }) => {
                row.extend([median, lower, upper].map(|value| number::value(value).into()));
                row.push(number::size(samples).into());
            }
            None => row.extend([Cell::absent(), Cell::absent(), Cell::absent(), "0".into()]),
        }
        table.row(row);
    }
    table
}

fn points(figure: &Figure) -> impl Iterator<Item = (&Series, &Point)> {
    let each = |series| -> Vec<(&Series, &Point)> {
        let series: &Series = series;
        series.points.iter().map(|point| (series, point)).collect()
    };
    figure.series.iter().flat_map(each)
}

fn place_of(point: &Point) -> Cell {
    match (point.x, &point.label) {
        (Some(x), _) => number::value(x).into(),
        (None, Some(label)) => label.as_str().into(),
        (None, None) => Cell::absent(),
    }
}

/// A group for each label, in the order in which they come.
fn bars(figure: &Figure) -> Picture {
    let mut groups: Vec<Group> = Vec::new();
    for (series, point) in points(figure) {
        let title = point.label.clone().unwrap_or_default();
        let Some(summary) = point.summary() else { continue };
        let samples = if point.samples.len() <= DRAWN { point.samples.clone() } else { Vec::new() };
        let row = Row {
            label: series.name.clone(),
            tone: Tone::of(&series.name),
            value: summary.median,
            text: number::value(summary.median),
            ring: None,
            limit: None,
            spread: Some(Spread { lower: summary.lower, upper: summary.upper, samples }),
        };
        match groups.iter_mut().find(|group| group.title == title) {
            Some(group) => group.rows.push(row),
            None => groups.push(Group { title, rows: vec![row] }),
        }
    }
    let longest =
        groups.iter().map(|group| group.rows.iter().map(|row| row.value).fold(0.0, f64::max));
    let apart = is_wide(longest, 4.0);
    Picture::Bars(Bars { groups, apart })
}

fn lines(figure: &Figure, x: &str) -> Picture {
    let xs = points(figure).filter_map(|(_, point)| point.x);
    let log_x = is_wide(xs, 12.0);
    let medians = points(figure).filter_map(|(_, point)| Some(point.summary()?.median));
    let log_y = is_wide(medians, 30.0);
    let of = |series: &Series| Line {
        name: series.name.clone(),
        tone: Tone::of(&series.name),
        dots: series.points.iter().filter_map(dot).collect(),
    };
    let scale = |log: bool| if log { " (logarithmic)" } else { "" };
    Picture::Lines(Lines {
        x: format!("{x}{}", scale(log_x)),
        y: format!("{}{}", figure.unit, scale(log_y)),
        log_x,
        log_y,
        marks: true,
        lines: figure.series.iter().map(of).filter(|line| !line.dots.is_empty()).collect(),
    })
}

fn dot(point: &Point) -> Option<Dot> {
    let summary = point.summary()?;
    let spread = (summary.samples > 1).then_some((summary.lower, summary.upper));
    Some(Dot { x: point.x?, y: summary.median, spread })
}
