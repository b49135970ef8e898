//! The round trip time and the retransmission time-out that follows from it (RFC 6298).

use smoltcp::time::Duration;

/// Before anything is measured.
const INITIAL: Duration = Duration::from_secs(1);
/// As on Linux; a second, as the RFC has it, is long on a wire of microseconds.
const MIN: Duration = Duration::from_millis(200);
const MAX: Duration = Duration::from_secs(60);
/// The clock's granularity, G of the RFC.
const GRANULARITY: u32 = 1000;

#[derive(Clone, Copy, Debug)]
pub(crate) struct RoundTrip {
    /// Microseconds; zero before the first measurement.
    smoothed: u32,
    variation: u32,
    /// How often the time-out was doubled.
    backoff: u8,
}

impl RoundTrip {
    pub(crate) const fn new() -> Self {
        Self { smoothed: 0, variation: 0, backoff: 0 }
    }

    /// A segment that was sent once has been acknowledged after this long.
    pub(crate) fn measure(&mut self, elapsed: Duration) {
        let sample =
            u32::try_from(elapsed.total_micros()).unwrap_or(u32::MAX / 8).clamp(1, u32::MAX / 8);
        if self.smoothed == 0 {
            (self.smoothed, self.variation) = (sample, sample / 2);
        } else {
            let deviation = self.smoothed.abs_diff(sample);
            self.variation = self.variation - self.variation / 4 + deviation / 4;
            self.smoothed = self.smoothed - self.smoothed / 8 + sample / 8;
        }
        self.backoff = 0;
    }

    /// A timestamp came back after this long, in answer to something that was sent twice. If that was
    /// its first copy, the way may have become longer than the time-out, or the answer to it was lost:
    /// so it counts, but not as more than twice of what was expected.
    pub(crate) fn measure_echo(&mut self, elapsed: Duration) {
        self.measure(elapsed.min(self.base() * 2));
    }

    pub(crate) fn timeout(&self) -> Duration {
        (self.base() * (1u32 << self.backoff.min(10))).min(MAX)
    }

    /// The time-out when it was not doubled.
    fn base(&self) -> Duration {
        let base = match self.smoothed {
            0 => INITIAL,
            smoothed => {
                let margin = u64::from(self.variation.max(GRANULARITY / 4)) * 4;
                Duration::from_micros(u64::from(smoothed) + margin).max(MIN)
            }
        };
        base.min(MAX)
    }

    /// The time-out has passed: the next one is twice as long.
    pub(crate) fn back_off(&mut self) {
        self.backoff = self.backoff.saturating_add(1);
    }

    /// The peer has acknowledged something new.
    pub(crate) fn advance(&mut self) {
        self.backoff = 0;
    }

    /// The smoothed round trip time, if there is one.
    pub(crate) fn smoothed(&self) -> Option<Duration> {
        (self.smoothed != 0).then(|| Duration::from_micros(self.smoothed.into()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn follows_what_is_measured_within_bounds() {
        let mut trip = RoundTrip::new();
        assert_eq!(trip.timeout(), INITIAL);
        trip.measure(Duration::from_millis(100));
        assert_eq!(trip.timeout(), Duration::from_millis(300));
        for _ in 0..100 {
            trip.measure(Duration::from_micros(50));
        }
        assert_eq!(trip.timeout(), MIN);
        for _ in 0..20 {
            trip.back_off();
        }
        assert_eq!(trip.timeout(), MAX);
        trip.measure(Duration::from_secs(1 << 30));
        trip.advance();
        assert!(trip.timeout() <= MAX);
    }

    #[test]
    fn an_echo_of_long_ago_is_not_taken_at_its_word() {
        let mut trip = RoundTrip::new();
        trip.measure(Duration::from_millis(1));
        (0..6).for_each(|_| trip.back_off());
        trip.measure_echo(Duration::from_secs(25));
        assert!(trip.timeout() < Duration::from_millis(500), "{}", trip.timeout());
        for _ in 0..12 {
            trip.measure_echo(Duration::from_millis(700));
        }
        assert!(trip.timeout() > Duration::from_millis(700), "it follows all the same");
    }
}
