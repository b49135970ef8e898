//! Axes: values to places, and which values are written at them.

/// An axis.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Scale {
    low: f64,
    high: f64,
    from: f64,
    to: f64,
    log: bool,
}

impl Scale {
    /// From values to pixels. Logarithmic ones need positive values; what is not falls on the edge.
    pub(super) fn new((low, high): (f64, f64), (from, to): (f64, f64), log: bool) -> Self {
        let log = log && low > 0.0 && high > low;
        let high = if high > low { high } else { low + 1.0 };
        Scale { low, high, from, to, log }
    }

    /// The place of a value.
    pub(super) fn at(&self, value: f64) -> f64 {
        let part = if self.log {
            (value.max(self.low) / self.low).ln() / (self.high / self.low).ln()
        } else {
            (value - self.low) / (self.high - self.low)
        };
        self.from + part.clamp(0.0, 1.0) * (self.to - self.from)
    }

    /// Round values on the axis, about as many as asked for.
    pub(super) fn ticks(&self, about: usize) -> Vec<f64> {
        if self.log { self.log_ticks(about) } else { self.even_ticks(about) }
    }

    fn even_ticks(&self, about: usize) -> Vec<f64> {
        let rough = (self.high - self.low) / about.max(1) as f64;
        let step = round_up(rough);
        let first = (self.low / step).ceil() as i64;
        let last = (self.high / step + 1e-9).floor() as i64;
        // Hostile ranges must not make a list without end.
        (first..=last).take(50).map(|at| at as f64 * step).collect()
    }

    fn log_ticks(&self, about: usize) -> Vec<f64> {
        let (first, last) = (self.low.log10().floor() as i32, self.high.log10().ceil() as i32);
        let within = |value: &f64| *value >= self.low * 0.999 && *value <= self.high * 1.001;
        let of = |factors: &[f64]| -> Vec<f64> {
            (first..=last)
                .flat_map(|power| factors.iter().map(move |factor| factor * 10f64.powi(power)))
                .filter(within)
                .collect()
        };
        let tens = of(&[1.0]);
        if tens.len() * 2 > about {
            let every = tens.len().div_ceil(about.max(1));
            return tens.into_iter().step_by(every.max(1)).collect();
        }
        let halves = of(&[1.0, 2.0, 5.0]);
        if halves.len() <= about + 2 { halves } else { tens }
    }
}

/// The next of 1, 2, 2.5, 5 times a power of ten.
fn round_up(value: f64) -> f64 {
    if !(value.is_finite() && value > 0.0) {
        return 1.0;
    }
    let power = 10f64.powf(value.log10().floor());
    let factor = value / power;
    let steps = [1.0, 2.0, 2.5, 5.0, 10.0];
    let step = steps.into_iter().find(|step| factor <= step * 1.000_001).unwrap_or(10.0);
    step * power
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ticks_are_round() {
        let scale = Scale::new((0.0, 487.0), (0.0, 100.0), false);
        assert_eq!(scale.ticks(5), [0.0, 100.0, 200.0, 300.0, 400.0]);
        let scale = Scale::new((1.0, 1000.0), (0.0, 100.0), true);
        assert_eq!(scale.ticks(4), [1.0, 10.0, 100.0, 1000.0]);
        assert_eq!(scale.at(1.0), 0.0);
        assert!((scale.at(10.0) - 33.33).abs() < 0.01);
    }

    #[test]
    fn no_range_hangs_or_panics() {
        for (low, high) in [(0.0, 0.0), (5.0, 5.0), (f64::MIN_POSITIVE, f64::MAX), (3.0, 1.0)] {
            for log in [false, true] {
                let scale = Scale::new((low, high), (0.0, 100.0), log);
                assert!(scale.ticks(5).len() <= 700);
                assert!((0.0..=100.0).contains(&scale.at(2.0)));
            }
        }
    }
}
