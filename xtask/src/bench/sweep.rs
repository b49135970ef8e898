//! The same with more and more instances: for each number all rivals have their turns, in an order that changes. One
//! that is too slow for the next number stops there, and that is said.

use std::time::{Duration, Instant};

use anyhow::Result;

use super::rounds;

/// Something that many can be had of at once. What it measures are values, always as many and in the same order.
pub(super) trait Rival {
    /// Its name in a figure.
    fn name(&self) -> String;

    /// Starts so many, measures, and ends them.
    ///
    /// # Errors
    /// If it cannot.
    fn go(&mut self, count: usize) -> Result<Vec<f64>>;
}

/// How far it goes.
#[derive(Clone, Copy, Debug)]
pub(super) struct Plan<'a> {
    /// Instances, fewest first, and how often each number is tried.
    pub(super) sizes: &'a [(usize, u64)],
    /// What a turn may take at most, all that belongs to it included, as far as it can be foretold.
    pub(super) turn: Duration,
    /// What of it does not grow with the instances.
    pub(super) fixed: Duration,
}

/// What came of it.
#[derive(Debug, Default)]
pub(crate) struct Lines {
    /// In the order of the rivals.
    pub(crate) lines: Vec<Line>,
    /// Who was left out, or stopped.
    pub(crate) remarks: Vec<String>,
}

/// What one rival did.
#[derive(Debug)]
pub(crate) struct Line {
    /// Its name.
    pub(crate) name: String,
    /// By number of instances, the values of each turn.
    pub(crate) points: Vec<(usize, Vec<Vec<f64>>)>,
    last: Option<(usize, Duration)>,
    has_stopped: bool,
}

/// Lets all rivals go.
pub(super) fn sweep(rivals: &mut [Box<dyn Rival + '_>], plan: Plan<'_>) -> Lines {
    let names = rivals.iter().map(|rival| rival.name());
    let lines = names.map(|name| Line::new(name, Vec::new())).collect();
    let mut lines = Lines { lines, remarks: Vec::new() };
    for &(count, turns) in plan.sizes {
        for line in &mut lines.lines {
            let needs = line.last.map(|(last, took)| {
                plan.fixed + took.saturating_sub(plan.fixed).mul_f64(count as f64 / last as f64)
            });
            if !line.has_stopped && needs.is_some_and(|needs| needs > plan.turn) {
                line.has_stopped = true;
                let limit = plan.turn.as_secs();
                let name = &line.name;
                let text =
                    format!("{name}: {count} would take more than {limit} s and are left out");
                lines.remarks.push(text);
            }
        }
        for round in 0..turns {
            for at in rounds::order(rivals.len(), round) {
                let line = &mut lines.lines[at];
                if line.has_stopped {
                    continue;
                }
                let start = Instant::now();
                let found = rivals[at].go(count);
                let took = start.elapsed();
                eprintln!(
                    "{count} at once: round {} of {turns}, {}, {took:.2?}",
                    round + 1,
                    line.name
                );
                match found {
                    Ok(values) => line.take(count, values, took),
                    Err(reason) => {
                        line.has_stopped = true;
                        let text = format!("{} stops at {count}: {reason:#}", line.name);
                        eprintln!("  {text}");
                        lines.remarks.push(text);
                    }
                }
            }
        }
    }
    lines.lines.retain(|line| !line.points.is_empty());
    lines
}

#[cfg(test)]
impl Lines {
    /// One line, for tests of what is made of it.
    pub(crate) fn of_one(name: &str, points: Vec<(usize, Vec<Vec<f64>>)>) -> Self {
        Self { lines: vec![Line::new(name.into(), points)], remarks: vec!["remark".into()] }
    }
}

impl Line {
    /// One that begins with these points.
    pub(super) fn new(name: String, points: Vec<(usize, Vec<Vec<f64>>)>) -> Self {
        Self { name, points, last: None, has_stopped: false }
    }

    fn take(&mut self, count: usize, values: Vec<f64>, took: Duration) {
        self.last = Some((count, took));
        match self.points.last_mut().filter(|(last, _)| *last == count) {
            Some((_, turns)) => turns.push(values),
            None => self.points.push((count, vec![values])),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::thread;

    use anyhow::bail;

    use super::*;

    struct Slow(Duration);

    impl Rival for Slow {
        fn name(&self) -> String {
            format!("{:?}", self.0)
        }

        fn go(&mut self, count: usize) -> Result<Vec<f64>> {
            if count == 2 && self.0.is_zero() {
                bail!("it cannot");
            }
            thread::sleep(self.0);
            Ok(vec![count as f64])
        }
    }

    #[test]
    fn who_is_slow_or_fails_stops_and_others_go_on() {
        let of = |ms| Box::new(Slow(Duration::from_millis(ms))) as Box<dyn Rival>;
        let mut rivals = [of(0), of(1), of(100)];
        let plan = Plan {
            sizes: &[(1, 2), (2, 1), (40, 1)],
            turn: Duration::from_secs(1),
            fixed: Duration::ZERO,
        };
        let found = sweep(&mut rivals, plan);
        let counts = |at: usize| -> Vec<_> {
            found.lines[at].points.iter().map(|(count, turns)| (*count, turns.len())).collect()
        };
        assert_eq!(counts(0), [(1, 2)]);
        assert_eq!(counts(1), [(1, 2), (2, 1), (40, 1)]);
        assert_eq!(counts(2), [(1, 2), (2, 1)]);
        assert_eq!(found.remarks.len(), 2, "{:?}", found.remarks);
    }
}
