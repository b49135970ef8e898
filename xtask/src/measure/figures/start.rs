//! How long starts take: one by one, and many at once.
//!
//! One by one is `bench start`. At once is from before the first is started until the last has ended, of
//! programs that do nothing, or until all have answered, of servers. Networks of containers and TAP interfaces are
//! there before the clock starts; the user-mode network of a tender is a part of its start.

use anyhow::Result;
use measure_report::figure::{Better, Figure};

use super::{Options, add, at, bar, empty};
use crate::bench::{self, Lines};

/// Rounds of single starts. Containers take part in every fifth.
const ROUNDS: u64 = 200;
const QUICK_ROUNDS: u64 = 25;

/// All figures of starts. Who is not installed is left out, and who is too slow for more at once stops, which notes
/// tell.
///
/// # Errors
/// If something does not build, or networks cannot be made, which needs root.
pub(crate) fn start(options: Options) -> Result<Vec<Figure>> {
    let command = options.command("start");
    let rounds = if options.quick { QUICK_ROUNDS } else { ROUNDS };
    let mut single = empty(
        "start",
        "One start, from before the program is started until its end is known",
        "ms",
        Better::Lower,
        command.clone(),
    );
    eprintln!("start: one by one");
    let found = bench::start::samples(rounds)?;
    for line in found.lines {
        let turns = line.points.iter().flat_map(|(_, turns)| turns);
        let samples = turns.flat_map(|values| values.first()).map(|seconds| seconds * 1e3);
        add(&mut single, &line.name, bar("start to end", samples.collect()));
    }
    single.notes.push(format!("alone: cargo xtask bench start --runs {rounds}"));
    single.notes.extend(found.remarks);

    eprintln!("start: many at once, until all have ended");
    let ended = bench::crowd::ended(options.quick)?;
    let title = "Many starts at once: time until the last has ended, of programs that do nothing";
    let ended = figure("start-ended", title, command.clone(), ended);

    eprintln!("start: many at once, until all have answered");
    let answered = bench::crowd::answered(options.quick)?;
    let title = "Many servers started at once: time until all have answered";
    let mut answered = figure("start-answered", title, command, answered);
    let note = "networks of containers and TAP interfaces are made before; runc's and gVisor's containers have the smallest \
                server there can be, ours a web server with a site";
    answered.notes.insert(0, note.into());
    Ok(vec![single, ended, answered])
}

fn figure(id: &str, title: &str, command: String, found: Lines) -> Figure {
    let mut figure = empty(id, title, "ms", Better::Lower, command);
    figure.x = Some("instances started at once".into());
    for line in found.lines {
        for (count, turns) in line.points {
            let samples = turns.iter().flat_map(|values| values.first()).map(|value| value * 1e3);
            add(&mut figure, &line.name, at(count, samples.collect()));
        }
    }
    figure.notes.extend(found.remarks);
    figure
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seconds_become_milliseconds_by_number() {
        let found = Lines::of_one("ours", vec![(2, vec![vec![0.5], vec![0.25]])]);
        let figure = figure("start-ended", "Starts", "x".into(), found);
        let point = &figure.series[0].points[0];
        assert_eq!((point.x, &*point.samples), (Some(2.0), &[500.0, 250.0][..]));
        assert_eq!(figure.notes, ["remark"]);
    }
}
