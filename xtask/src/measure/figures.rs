//! Speed, time and memory, ours beside others': what benches measure, as figures with raw samples. Every figure is of one
//! run in which its rivals took turns.

mod memory;
mod start;
mod throughput;

use measure_report::figure::{Better, Figure, Point, Series};

pub(crate) use memory::memory;
pub(crate) use start::start;
pub(crate) use throughput::throughput;

/// How much is measured.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Options {
    /// As little as shows that it works: a minute, with few samples.
    pub(crate) quick: bool,
}

impl Options {
    /// The command that makes a figure again.
    fn command(self, verb: &str) -> String {
        let quick = if self.quick { " --quick" } else { "" };
        format!("cargo xtask measure {verb}{quick}")
    }
}

/// A figure that is filled bit by bit.
fn empty(id: &str, title: &str, unit: &str, better: Better, command: String) -> Figure {
    Figure {
        id: id.into(),
        title: title.into(),
        unit: unit.into(),
        command,
        better,
        x: None,
        series: Vec::new(),
        targets: Vec::new(),
        notes: Vec::new(),
    }
}

/// Adds a point to the series of that name, which is made if there is none.
fn add(figure: &mut Figure, name: &str, point: Point) {
    match figure.series.iter_mut().find(|series| series.name == name) {
        Some(series) => series.points.push(point),
        None => figure.series.push(Series { name: name.into(), points: vec![point] }),
    }
}

/// A bar.
fn bar(label: &str, samples: Vec<f64>) -> Point {
    Point { x: None, label: Some(label.into()), samples }
}

/// A place on an axis.
fn at(x: usize, samples: Vec<f64>) -> Point {
    Point { x: Some(x as f64), label: None, samples }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn points_of_a_name_are_one_series() {
        let options = Options { quick: true };
        let mut figure = empty("x", "X", "s", Better::Lower, options.command("start"));
        add(&mut figure, "a", at(1, vec![1.0]));
        add(&mut figure, "b", bar("all", vec![2.0]));
        add(&mut figure, "a", at(2, vec![3.0]));
        assert_eq!(figure.command, "cargo xtask measure start --quick");
        let shape: Vec<_> =
            figure.series.iter().map(|series| (&*series.name, series.points.len())).collect();
        assert_eq!(shape, [("a", 2), ("b", 1)]);
    }
}
