//! A figure of speed, time or memory: raw samples, and what is to be known to repeat them. Medians and
//! quartiles are made here, of the samples, and stand in no file.

use serde::{Deserialize, Serialize};

/// One figure.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub struct Figure {
    /// A name for files and links: lower case letters, digits and hyphens.
    pub id: String,
    /// What it shows.
    pub title: String,
    /// Of the values, such as `requests/s`.
    pub unit: String,
    /// What repeats it.
    pub command: String,
    /// Which direction is the good one.
    pub better: Better,
    /// What the points' numbers are, such as `instances started at once`. Without it the points have
    /// labels and are shown as bars.
    pub x: Option<String>,
    /// Who was measured.
    pub series: Vec<Series>,
    /// What was to be reached, in words.
    pub targets: Vec<String>,
    /// What is to be known besides, such as a rival that was not there.
    pub notes: Vec<String>,
}

/// Which direction is the good one.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq, Serialize)]
pub enum Better {
    /// Less is better.
    Lower,
    /// More is better.
    Higher,
}

/// What was measured of one system.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub struct Series {
    /// Whose.
    pub name: String,
    /// Where, in order.
    pub points: Vec<Point>,
}

/// The samples of one place.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub struct Point {
    /// The place on the axis, where the figure has one.
    pub x: Option<f64>,
    /// The place by name, where it has none.
    pub label: Option<String>,
    /// As they were measured, in order.
    pub samples: Vec<f64>,
}

/// The middle of samples and their spread.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Summary {
    /// Half of the samples are below.
    pub median: f64,
    /// A quarter is below.
    pub lower: f64,
    /// Three quarters are below.
    pub upper: f64,
    /// How many samples there were.
    pub samples: usize,
}

impl Point {
    /// Median and quartiles, interpolated between samples (Hyndman and Fan's type 7, as R and NumPy
    /// do). None without finite samples.
    #[must_use]
    pub fn summary(&self) -> Option<Summary> {
        let mut sorted: Vec<f64> =
            self.samples.iter().copied().filter(|sample| sample.is_finite()).collect();
        sorted.sort_by(f64::total_cmp);
        let last = sorted.len().checked_sub(1)?;
        let quantile = |part: f64| {
            let at = part * last as f64;
            let below = at.floor() as usize;
            let above = (below + 1).min(last);
            sorted[below] + (sorted[above] - sorted[below]) * (at - below as f64)
        };
        Some(Summary {
            median: quantile(0.5),
            lower: quantile(0.25),
            upper: quantile(0.75),
            samples: sorted.len(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn point(samples: &[f64]) -> Point {
        Point { x: None, label: None, samples: samples.to_vec() }
    }

    #[test]
    fn quartiles_are_those_of_r() {
        let summary = point(&[4.0, 1.0, 3.0, 2.0]).summary().unwrap();
        assert_eq!((summary.lower, summary.median, summary.upper), (1.75, 2.5, 3.25));
        assert_eq!(point(&[7.0]).summary().unwrap().upper, 7.0);
    }

    #[test]
    fn without_samples_there_is_no_middle() {
        assert_eq!(point(&[]).summary(), None);
        assert_eq!(point(&[f64::NAN, f64::INFINITY]).summary(), None);
    }
}
