//! The host's clocks, read from the processor's cycle counter where the tender has granted that, and by
//! system calls elsewhere.
//!
//! The tender's estimate of the counter's rate is refined by a look at the host's clocks after 10 ms, then
//! after 100 ms, then once a second; when nobody asks for the time, never. Such a look corrects what has
//! gone wrong in between, so that the host may slew and step its clocks, sleep, or move to a machine
//! whose counter is another. Small differences are slewed, over the time until the next look; to large ones
//! the clock steps, but never back: it stands until the host has caught up. A counter whose rate
//! cannot be told three times in a row is not used any more.
//!
//! It makes no calls itself: the [`Host`] is an argument.

use solo5_sys::extension;
use solo5_sys::hypercall::{CLOCK_MONOTONIC, CLOCK_REALTIME};

/// Where counter and clocks are read.
pub(crate) trait Host {
    /// The processor's cycle counter.
    fn counter(&mut self) -> u64;
    /// A clock of the host's, in nanoseconds since its epoch.
    fn clock_ns(&mut self, clock_id: i32) -> u64;
}

/// Between looks: at first, and at last, each ten times the one before.
const INTERVAL_MIN_NS: u64 = 10_000_000;
const INTERVAL_MAX_NS: u64 = 1_000_000_000;
/// Clocks slew by at most 500 parts in a million. What differs by more than a 1024th, and by more than
/// the reading can be wrong, has another reason.
const TOLERANCE_SHIFT: u32 = 10;
const TOLERANCE_NS: u64 = 50_000;
/// A look that took longer was interrupted, and is tried again, a few times.
const LOOK_NS: u64 = 2_000;
const LOOKS: usize = 3;
/// Beyond this the clock steps.
const SLEW_MAX_NS: u64 = 1_000_000;
const FAILURES_MAX: u32 = 3;
/// The counters of two processors differ by less.
const SKEW_NS: u64 = 1_000;

/// Both clocks of the host.
pub(crate) struct Clock {
    counter: Option<Counter>,
    /// The latest time that was given away.
    last_ns: u64,
}

/// The monotonic clock as a line over the counter, and what is known about it.
struct Counter {
    /// The line: where it starts, and nanoseconds a tick, times 2^32.
    base: Point,
    rate: u64,
    /// Nanoseconds a tick, times 2^32, as measured.
    scale: u64,
    /// The last look, and when the next is due, in ticks from there.
    looked: Point,
    interval_ns: u64,
    due: i64,
    /// By how many ticks the counters of two processors may differ.
    skew: i64,
    /// Looks in a row at which the scale was wrong.
    failures: u32,
    /// What the wall clock is ahead of the monotonic one.
    wall_ahead_ns: Option<i64>,
}

/// Counter and monotonic clock at the same moment.
#[derive(Clone, Copy, Debug)]
struct Point {
    counter: u64,
    ns: u64,
}

/// What a look at the host's clocks has shown.
struct Look {
    at: Point,
    wall_ahead_ns: i64,
    /// By how much it can be wrong.
    error_ns: u64,
}

impl Clock {
    /// A clock that asks the host each time.
    pub(crate) const fn of_host() -> Self {
        Self { counter: None, last_ns: 0 }
    }

    /// A clock by the tender's estimate.
    pub(crate) fn by_counter(estimate: extension::Clock) -> Self {
        let extension::Clock { counter, monotonic_ns: ns, scale } = estimate;
        let base = Point { counter, ns };
        let counter = (scale > 0).then(|| Counter {
            base,
            rate: scale,
            scale,
            looked: base,
            interval_ns: INTERVAL_MIN_NS,
            due: ticks(INTERVAL_MIN_NS, scale),
            skew: ticks(SKEW_NS, scale),
            failures: 0,
            wall_ahead_ns: None,
        });
        Self { counter, last_ns: 0 }
    }

    /// Whether reading it takes no call, as a rule.
    pub(crate) fn has_counter(&self) -> bool {
        self.counter.is_some()
    }

    /// The monotonic clock in nanoseconds.
    pub(crate) fn monotonic_ns(&mut self, host: &mut impl Host) -> u64 {
        let ns = self.line_ns(host).unwrap_or_else(|| host.clock_ns(CLOCK_MONOTONIC));
        self.last_ns = self.last_ns.max(ns);
        self.last_ns
    }

    /// The wall clock in nanoseconds since 1970.
    pub(crate) fn wall_ns(&mut self, host: &mut impl Host) -> u64 {
        if self.counter.as_ref().is_some_and(|counter| counter.wall_ahead_ns.is_none()) {
            self.look(host);
        }
        let monotonic_ns = self.monotonic_ns(host);
        match self.counter.as_ref().and_then(|counter| counter.wall_ahead_ns) {
            Some(ahead_ns) => monotonic_ns.saturating_add_signed(ahead_ns),
            None => host.clock_ns(CLOCK_REALTIME),
        }
    }

    /// The time by the counter, `None` if it is not used.
    fn line_ns(&mut self, host: &mut impl Host) -> Option<u64> {
        let counter = self.counter.as_ref()?;
        // Not before: where it is not granted it may not be readable.
        let ticks = host.counter();
        if counter.is_due(ticks) {
            self.look(host);
        }
        let counter = self.counter.as_ref()?;
        Some(counter.line_ns(ticks))
    }

    fn look(&mut self, host: &mut impl Host) {
        let Some(counter) = &mut self.counter else { return };
        let look = counter.look(host);
        counter.correct(&look, self.last_ns);
        if counter.failures == FAILURES_MAX {
            self.counter = None;
        }
    }
}

impl Counter {
    /// Whether it is time for a look. A counter that has gone back is a reason too, but not by what
    /// those of two processors may differ.
    fn is_due(&self, ticks: u64) -> bool {
        let passed = ticks.wrapping_sub(self.looked.counter).cast_signed();
        passed < -self.skew || passed >= self.due
    }

    fn line_ns(&self, ticks: u64) -> u64 {
        let passed = ticks.wrapping_sub(self.base.counter).cast_signed().max(0);
        self.base.ns.saturating_add(scaled(passed.unsigned_abs(), self.rate))
    }

    /// Looks at the host's clocks.
    fn look(&self, host: &mut impl Host) -> Look {
        let mut best = self.look_once(host);
        for _ in 1..LOOKS {
            if best.error_ns <= LOOK_NS {
                break;
            }
            let next = self.look_once(host);
            if next.error_ns < best.error_ns {
                best = next;
            }
        }
        best
    }

    fn look_once(&self, host: &mut impl Host) -> Look {
        let before = host.counter();
        let ns = host.clock_ns(CLOCK_MONOTONIC);
        let between = host.counter();
        let wall_ns = host.clock_ns(CLOCK_REALTIME);
        let all = host.counter().wrapping_sub(before);
        let first = between.wrapping_sub(before);
        // From the middle of the first call to the middle of the second.
        let apart_ns = scaled(all / 2, self.scale);
        let wall_ahead_ns = wall_ns.wrapping_sub(ns).wrapping_sub(apart_ns).cast_signed();
        let at = Point { counter: before.wrapping_add(first / 2), ns };
        Look { at, wall_ahead_ns, error_ns: scaled(all, self.scale) }
    }

    /// Continues the line so that it meets the host's clock, and not before `last_ns`.
    fn correct(&mut self, look: &Look, last_ns: u64) {
        let is_right = self.measure(look);
        if is_right {
            self.failures = 0;
            self.interval_ns = (self.interval_ns * 10).min(INTERVAL_MAX_NS);
        } else {
            self.failures += 1;
            self.interval_ns = INTERVAL_MIN_NS;
        }
        let line_ns = self.line_ns(look.at.counter);
        let is_near = look.at.ns.abs_diff(line_ns) <= SLEW_MAX_NS;
        let start_ns = if is_right && is_near { line_ns } else { look.at.ns }.max(last_ns);
        self.base = Point { counter: look.at.counter, ns: start_ns };
        self.rate = self.rate_to_meet(look.at.ns.wrapping_sub(start_ns).cast_signed());
        self.looked = look.at;
        self.due = ticks(self.interval_ns, self.scale);
        // What differs by less is noise, and the wall clock shall not tremble.
        let wall_error_ns = look.error_ns.max(TOLERANCE_NS);
        let known =
            self.wall_ahead_ns.filter(|known| known.abs_diff(look.wall_ahead_ns) <= wall_error_ns);
        self.wall_ahead_ns = known.or(Some(look.wall_ahead_ns));
    }

    /// Measures the scale since the last look; whether it is what it was, nearly.
    fn measure(&mut self, look: &Look) -> bool {
        let passed = look.at.counter.wrapping_sub(self.looked.counter).cast_signed();
        let elapsed_ns = look.at.ns.saturating_sub(self.looked.ns);
        let Ok(ticks @ 1..) = u64::try_from(passed) else { return false };
        let share_ns = elapsed_ns >> TOLERANCE_SHIFT;
        let tolerance_ns = share_ns.saturating_add(look.error_ns).saturating_add(TOLERANCE_NS);
        let is_right = scaled(ticks, self.scale).abs_diff(elapsed_ns) <= tolerance_ns;
        let is_exact = look.error_ns <= share_ns;
        // The first time that it is wrong, the time between may have been anything: a sleep, a
        // move. If it is wrong again, the rate is another.
        if is_exact && (is_right || self.failures > 0) {
            let measured = (u128::from(elapsed_ns) << 32) / u128::from(ticks);
            self.scale = u64::try_from(measured).unwrap_or(u64::MAX).max(1);
        }
        is_right
    }

    /// The rate at which the line meets the host's clock when the next look is due, if it is `behind_ns`
    /// now; at least half and at most twice the right one.
    fn rate_to_meet(&self, behind_ns: i64) -> u64 {
        let scale = i128::from(self.scale);
        let slew = scale * i128::from(behind_ns) / i128::from(self.interval_ns);
        let rate = (scale + slew).clamp(scale / 2, scale * 2);
        u64::try_from(rate).unwrap_or(u64::MAX)
    }
}

/// How long ticks take.
fn scaled(ticks: u64, scale: u64) -> u64 {
    u64::try_from((u128::from(ticks) * u128::from(scale)) >> 32).unwrap_or(u64::MAX)
}

/// How many ticks a time has.
fn ticks(ns: u64, scale: u64) -> i64 {
    i64::try_from((u128::from(ns) << 32) / u128::from(scale)).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests;
