//! What one of many idle instances holds.
//!
//! Processes: the sum over all that belong to them, ours with gateways and supervisors, of the proportional set size
//! (`Pss` of `/proc/PID/smaps_rollup`, Documentation/filesystems/proc.rst of Linux), where a page that several share
//! counts in part. The system: by how much less is available (`MemAvailable`), the kernel's own part with it; for few instances
//! it is noise, so there it is left out.

use anyhow::Result;
use measure_report::figure::{Better, Figure};

use super::{Options, add, at, empty};
use crate::bench::{self, Lines};

/// With fewer instances than this, what is available says nothing.
const SYSTEM_MIN: usize = 100;
const KIB: f64 = 1024.0;

/// Both figures, or with few instances the first. Who is not installed is left out, and who is too slow for more at once stops, which notes tell.
///
/// # Errors
/// If something does not build, or networks cannot be made, which needs root.
pub(crate) fn memory(options: Options) -> Result<Vec<Figure>> {
    eprintln!("memory");
    Ok(figures(bench::crowd::idle(options.quick)?, &options.command("memory")))
}

fn figures(found: Lines, command: &str) -> Vec<Figure> {
    let figure = |id: &str, title: &str| {
        let mut figure = empty(id, title, "KiB", Better::Lower, command.to_owned());
        figure.x = Some("idle instances".into());
        figure.notes.push(
            "servers have answered once; runc's and gVisor's containers have the smallest server there can be, ours a \
             web server with a site"
                .into(),
        );
        figure
    };
    let mut held = figure("memory", "Memory of an instance's processes (PSS)");
    let mut taken = figure(
        "memory-system",
        "Memory that an instance takes of the system's, the kernel's part included",
    );
    for line in found.lines {
        for (count, turns) in line.points {
            let column = |at: usize| -> Vec<f64> {
                turns.iter().filter_map(|values| values.get(at)).map(|bytes| bytes / KIB).collect()
            };
            add(&mut held, &line.name, at(count, column(0)));
            if count >= SYSTEM_MIN {
                add(&mut taken, &line.name, at(count, column(1)));
            }
        }
    }
    for figure in [&mut held, &mut taken] {
        figure.notes.extend(found.remarks.iter().cloned());
    }
    [held, taken].into_iter().filter(|figure| !figure.series.is_empty()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn few_instances_say_nothing_of_the_system() {
        let points = vec![
            (1, vec![vec![2048.0, 9.0], vec![4096.0, 9.0]]),
            (100, vec![vec![1024.0, 3072.0]]),
        ];
        let found = Lines::of_one("ours", points);
        let figures = figures(found, "cargo xtask measure memory");
        let samples = |at: usize| -> Vec<_> {
            figures[at].series[0].points.iter().map(|point| point.samples.clone()).collect()
        };
        assert_eq!(samples(0), [vec![2.0, 4.0], vec![1.0]]);
        assert_eq!((samples(1), figures[1].notes.len()), (vec![vec![3.0]], 2));
    }
}
